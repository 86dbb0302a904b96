"""One upload with several studies becomes a job for each, of the same owner, or none at all."""

from __future__ import annotations

import json
from pathlib import Path

from jcs_ct.jobs.housekeeping import sweep
from jcs_ct.jobs.job import JobOptions, JobState
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.worker import Worker
from jcs_ct.reports.formats import ReportFormat
from tests.jobs.stand_in import Orders, prepare
from tests.jobs.stores import is_whole, quick, submit


def work_off(queue: JobQueue, folder: Path) -> int:
    """Work off all that waits; how many claims that took."""
    worker = Worker(queue, "worker", prepare(None, str(folder / "starts.log")))
    count = 0
    while (claim := queue.ledger.claim("worker")) is not None:
        assert worker.work_off(claim)
        count += 1
    return count


def test_each_study_of_an_upload_is_a_job(tmp_path: Path) -> None:
    options = JobOptions("1.2.3", (ReportFormat.CSV,))
    with JobQueue(tmp_path / "store", quick(tmp_path)) as queue:
        upload = Orders("u", studies=5).write(tmp_path / "five.json")
        job = queue.submit(upload, "anna", name="five.zip", options=options, move=True)
        assert work_off(queue, tmp_path) == 1 + 5
        made = sorted(queue.jobs("anna"), key=lambda each: each.name)
        assert [each.name for each in made] == [f"five.zip ({number} of 5)" for number in range(1, 6)]
        assert [each.state for each in made] == [JobState.DONE] * 5
        assert (made[0].id, {each.upload for each in made}) == (job, {job})
        assert [(each.options, each.attempts) for each in made] == [(options, 1)] * 5
        for number, each in enumerate(made, start=1):
            assert is_whole(queue, each.id, f"u-{number}")
            assert each.input_bytes == (queue.study_path(each.id) / "orders.json").stat().st_size
        assert [path.name for path in (queue.folders.job(job) / "input").iterdir()] == [".one"]
        lines = [json.loads(line) for line in queue.folders.audit.read_text().splitlines()]
        assert [line["job"] for line in lines] == [each.id for each in made[1:]]


def test_without_room_for_all_there_is_a_job_for_none(tmp_path: Path) -> None:
    with JobQueue(tmp_path / "store", quick(tmp_path, max_waiting_per_owner=4)) as queue:
        job = submit(queue, tmp_path, key="u", studies=5)
        other = submit(queue, tmp_path, "berta", key="b")
        work_off(queue, tmp_path)
        sweep(queue)
        assert {each.id for each in queue.jobs()} == {job, other}
        ended = queue.job(job)
        assert ended.state is JobState.FAILED
        assert (ended.reason or "").startswith(
            "the upload holds 5 studies, and there is no room for a job for each (4 of"
        )
        assert list(queue.folders.incoming.iterdir()) == []
        assert queue.job(other).state is JobState.DONE


def test_upload_that_is_cancelled_meanwhile_makes_no_jobs(tmp_path: Path) -> None:
    with JobQueue(tmp_path / "store", quick(tmp_path)) as queue:
        job = submit(queue, tmp_path, key="u", studies=3)
        claim = queue.ledger.claim("worker")
        assert claim is not None
        queue.cancel(job)
        Worker(queue, "worker", prepare(None, str(tmp_path / "starts.log"))).work_off(claim)
        sweep(queue)
        assert [(each.id, each.state) for each in queue.jobs()] == [(job, JobState.CANCELLED)]
        assert [path.name for path in queue.folders.jobs.iterdir()] == [job]
        assert queue.study_path(job).is_file()


def test_study_of_a_dicom_peer_is_not_parted(tmp_path: Path) -> None:
    # The node knows its studies by their images, and keeps two persons of one study apart itself.
    with JobQueue(tmp_path / "store", quick(tmp_path)) as queue:
        job = queue.submit(Orders("u", studies=2).write(tmp_path / "a.json"), "pacs", sender="CT1", move=True)
        work_off(queue, tmp_path)
        assert [(each.id, each.state, each.reason) for each in queue.jobs()] == [(job, "failed", "found several")]


def test_queue_of_version_2_is_brought_up_to_date(tmp_path: Path) -> None:
    with JobQueue(tmp_path / "store", quick(tmp_path)) as queue:
        job = submit(queue, tmp_path, key="u", studies=2)
        with queue.database.transaction() as db:
            db.execute("ALTER TABLE jobs DROP COLUMN upload")
            db.execute("PRAGMA user_version = 2")
    with JobQueue(tmp_path / "store", quick(tmp_path)) as queue:
        assert queue.job(job).upload == ""
        work_off(queue, tmp_path)
        assert {each.upload for each in queue.jobs()} == {job}
