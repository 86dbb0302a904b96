"""What doors see: handing in, limits, owners, cancelling, removing, following."""

from __future__ import annotations

import dataclasses
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from jcs_ct.errors import InputError, NoSuchJobError, QueueError, QueueFullError, UnsupportedInputError
from jcs_ct.jobs import intake
from jcs_ct.jobs.job import JobOptions, JobState, Outcome
from jcs_ct.jobs.ledger import Loss
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.settings import QueueSettings
from jcs_ct.reports.formats import ReportFormat
from tests.jobs.stores import submit


def with_settings(queue: JobQueue, **changes: object) -> JobQueue:
    return JobQueue(queue.folders.root, dataclasses.replace(queue.settings, **changes))  # type: ignore[arg-type]


def names_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def study_folder(root: Path) -> Path:
    (root / "series" / "deep").mkdir(parents=True)
    (root / "series" / "IM 1").write_bytes(b"one")
    (root / "series" / "deep" / "..IM2").write_bytes(b"three")
    return root


def test_file_is_copied_under_a_name_of_ours(queue: JobQueue, tmp_path: Path) -> None:
    source = tmp_path / "Doe^Jane.NII.GZ"
    source.write_bytes(b"study")
    job = queue.job(queue.submit(source, "anna", options=JobOptions("1.2.3", (ReportFormat.CSV,))))
    path = queue.study_path(job.id)
    assert (path.name, path.read_bytes(), source.read_bytes()) == ("study.nii.gz", b"study", b"study")
    assert (job.state, job.owner, job.name, job.input_bytes) == (JobState.QUEUED, "anna", "Doe^Jane.NII.GZ", 5)
    assert job.options == JobOptions("1.2.3", (ReportFormat.CSV,))
    assert "Doe" not in str(path.relative_to(queue.folders.root))


def test_folder_is_copied_as_it_is(queue: JobQueue, tmp_path: Path) -> None:
    source = study_folder(tmp_path / "study")
    path = queue.study_path(queue.submit(source, "anna"))
    assert path.is_dir()
    assert names_below(path) == names_below(source)
    assert (path / "series" / "deep" / "..IM2").read_bytes() == b"three"


@pytest.mark.parametrize("same_disk", [True, False])
def test_moving_leaves_nothing_behind(
    queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_disk: bool
) -> None:
    if not same_disk:
        monkeypatch.setattr(intake, "_linked", lambda *rest: False)
    source, archive = study_folder(tmp_path / "study"), tmp_path / "upload"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("../escape", b"evil")
    folder_job = queue.submit(source, "anna", move=True)
    zip_job = queue.submit(archive, "anna", name="scan.zip", move=True)
    assert not source.exists()
    assert not archive.exists()
    assert names_below(queue.study_path(folder_job)) == ["series", "series/IM 1", "series/deep", "series/deep/..IM2"]
    # Archives are kept packed; the reader unpacks them, and refuses what would leave its folder.
    assert zipfile.is_zipfile(queue.study_path(zip_job))
    assert list(queue.folders.incoming.iterdir()) == []


def test_handing_in_again_under_the_same_key_makes_no_second_job(queue: JobQueue, tmp_path: Path) -> None:
    source = tmp_path / "study"
    source.write_bytes(b"one")
    first = queue.submit(source, "anna", key="1.2.3", move=True)
    source.write_bytes(b"one")
    assert queue.submit(source, "anna", key="1.2.3", move=True) == first
    assert not source.exists()
    source.write_bytes(b"other")
    assert len({first, queue.submit(source, "bert", key="1.2.3"), queue.submit(source, "anna", key="4")}) == 3
    assert len(queue.jobs()) == 3


@pytest.mark.parametrize("move", [True, False])
@pytest.mark.parametrize("target", ["outside", "series"])
def test_links_are_refused_and_nothing_is_kept(queue: JobQueue, tmp_path: Path, move: bool, target: str) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    source = study_folder(tmp_path / "study")
    (source / "link").symlink_to(tmp_path / "outside" if target == "outside" else source / "series")
    with pytest.raises(UnsupportedInputError, match="link is a symbolic link; expected files"):
        queue.submit(source, "anna", move=move)
    with pytest.raises(UnsupportedInputError, match="symbolic link"):
        queue.submit(source / "link", "anna", move=move)
    assert names_below(source) == ["link", "series", "series/IM 1", "series/deep", "series/deep/..IM2"]
    assert queue.jobs() == ()
    assert list(queue.folders.incoming.iterdir()) == []


def test_link_that_takes_a_files_place_meanwhile_is_not_followed(
    queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside").write_bytes(b"one")
    source = study_folder(tmp_path / "study")
    before = queue.ledger.reserve

    def exchange(*arguments: Any) -> None:
        before(*arguments)
        (source / "series" / "IM 1").unlink()
        (source / "series" / "IM 1").symlink_to(tmp_path / "outside")

    monkeypatch.setattr(queue.ledger, "reserve", exchange)
    with pytest.raises(InputError, match="changed while it was copied"):
        queue.submit(source, "anna")
    assert queue.jobs() == ()


def test_file_that_grows_meanwhile_is_refused(queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "study.zip"
    source.write_bytes(b"half")
    before = queue.ledger.reserve

    def grow(*arguments: Any) -> None:
        before(*arguments)
        source.write_bytes(b"half and half")

    monkeypatch.setattr(queue.ledger, "reserve", grow)
    for move in (False, True):
        source.write_bytes(b"half")
        with pytest.raises(InputError, match="changed while it was copied"):
            queue.submit(source, "anna", move=move)
        assert source.read_bytes() == b"half and half"
    assert queue.jobs() == ()


@pytest.mark.parametrize("what", ["missing", "empty folder", "pipe", "pipe in folder"])
def test_what_is_no_study_is_refused(queue: JobQueue, tmp_path: Path, what: str) -> None:
    source = tmp_path / "source"
    if what != "missing" and what != "pipe":
        source.mkdir()
    if "pipe" in what:
        os.mkfifo(source / "p" if source.is_dir() else source)
    with pytest.raises(InputError, match="expected"):
        queue.submit(source, "anna")


def test_names_are_for_display_only(queue: JobQueue, tmp_path: Path) -> None:
    source = tmp_path / "study"
    source.write_bytes(b"study")
    job = queue.submit(source, "anna", name="../../etc/\x1b[31m<b>\nDoe\ud800" + "x" * 500)
    assert queue.job(job).name.startswith("../../etc/ [31m<b> Doe?xxx")
    assert len(queue.job(job).name) == 200
    assert queue.study_path(job) == queue.folders.root / "jobs" / job / "input" / "study"


def test_study_that_is_too_large_or_has_too_many_files_is_refused(queue: JobQueue, tmp_path: Path) -> None:
    source = study_folder(tmp_path / "study")
    with (
        with_settings(queue, max_input_bytes=7) as small,
        pytest.raises(UnsupportedInputError, match="expected at most"),
    ):
        small.submit(source, "anna")
    with with_settings(queue, max_files=1) as few, pytest.raises(UnsupportedInputError, match="more than 1 files"):
        few.submit(source, "anna")
    with with_settings(queue, max_input_bytes=8, max_files=2) as enough:
        assert enough.submit(source, "anna")


def test_full_store_refuses_and_takes_again_after_a_removal(queue: JobQueue, tmp_path: Path) -> None:
    source = tmp_path / "study"
    source.write_bytes(b"x" * 1000)
    with with_settings(queue, max_store_bytes=3000, result_reserve_bytes=500) as limited:
        first = limited.submit(source, "anna")
        limited.submit(source, "anna")
        with pytest.raises(QueueFullError, match="store is full"):
            limited.submit(source, "anna", move=True)
        assert source.exists()
        limited.cancel(first)
        limited.remove(first)
        assert limited.submit(source, "anna")


def test_studies_that_are_still_arriving_count(queue: JobQueue) -> None:
    with with_settings(queue, max_store_bytes=3000, result_reserve_bytes=0, max_waiting=2) as limited:
        limited.ledger.reserve("a", 2000)
        with pytest.raises(QueueFullError, match="store is full"):
            limited.ledger.reserve("b", 1001)
        limited.ledger.reserve("c", 1000)
        with pytest.raises(QueueFullError, match="2 studies wait, expected fewer than 2"):
            limited.ledger.reserve("d", 0)
        limited.ledger.drop_arrival("a")
        limited.ledger.reserve("d", 0)


def test_nearly_full_disk_refuses(queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "study"
    source.write_bytes(b"x" * 1000)
    free = 10_000
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6 - free, free))
    with with_settings(queue, min_free_bytes=8500, result_reserve_bytes=500) as limited:
        assert limited.submit(source, "anna")
        free = 9999
        with pytest.raises(QueueFullError, match="disk is nearly full"):
            limited.submit(source, "anna")


def test_owners_see_only_what_is_theirs(queue: JobQueue, tmp_path: Path) -> None:
    hers, his = submit(queue, tmp_path, "anna"), submit(queue, tmp_path, "bert")
    assert [job.id for job in queue.jobs("anna")] == [hers]
    assert [job.id for job in queue.jobs()] == [his, hers]
    assert {event.job_id for event in queue.events(owner="anna")} == {hers}
    for look in (queue.job, queue.cancel, queue.remove, queue.study_path, queue.reports_path):
        with pytest.raises(NoSuchJobError) as refused:
            look(his, "anna")
        with pytest.raises(NoSuchJobError) as unknown:
            look("0" * 32, "anna")
        assert str(refused.value).replace(his, "0" * 32) == str(unknown.value)
    assert queue.job(his, "bert").state is JobState.QUEUED


def test_cancelled_job_is_never_claimed(queue: JobQueue, tmp_path: Path) -> None:
    first, second = submit(queue, tmp_path), submit(queue, tmp_path)
    assert queue.cancel(first, "anna").state is JobState.CANCELLED
    claim = queue.ledger.claim("worker")
    assert claim is not None
    assert claim.job.id == second
    assert queue.ledger.claim("worker") is None


def test_ended_job_cannot_be_cancelled_and_a_waiting_one_not_removed(queue: JobQueue, tmp_path: Path) -> None:
    job = submit(queue, tmp_path)
    with pytest.raises(QueueError, match="is queued; expected one that has ended"):
        queue.remove(job)
    claim = queue.ledger.claim("worker")
    assert claim is not None
    queue.ledger.fail(claim.token, "damaged")
    assert queue.cancel(job).state is JobState.FAILED
    queue.remove(job)
    assert not queue.folders.job(job).exists()
    with pytest.raises(NoSuchJobError):
        queue.job(job)


def test_events_grow_and_hold_what_counts(queue: JobQueue, tmp_path: Path) -> None:
    start = queue.last_event()
    job = submit(queue, tmp_path)
    claim = queue.ledger.claim("worker")
    assert claim is not None
    for done in range(5):
        queue.ledger.progress(claim.token, "classifying", done, 4)
    seen = queue.events(after=start)
    told = [(event.state, event.stage, event.stage_done, event.stage_total) for event in seen]
    assert told == [("queued", None, 0, 0), ("running", None, 0, 0), ("running", "classifying", 4, 4)]
    numbers = [event.number for event in seen]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == queue.last_event() > start
    queue.cancel(job)
    (cancelled,) = queue.events(after=numbers[-1])
    assert (cancelled.state, cancelled.job_id) == (JobState.CANCELLED, job)
    queue.remove(job)
    assert [(event.state, event.job_id) for event in queue.events()] == [(None, job)]
    assert queue.events()[0].number > cancelled.number


def test_reports_are_there_only_of_what_has_ended_well(queue: JobQueue, tmp_path: Path) -> None:
    job = submit(queue, tmp_path)
    with pytest.raises(QueueError, match="is queued; expected one that is done or not_assessable"):
        queue.reports_path(job)


def test_lost_claim_changes_nothing(queue: JobQueue, tmp_path: Path) -> None:
    job = submit(queue, tmp_path)
    old = queue.ledger.claim("slow")
    assert old is not None
    queue.ledger.give_back("slow", Loss.STOP, "stopped")
    new = queue.ledger.claim("fast")
    assert new is not None
    for attempt in (old, new):
        folder = queue.folders.attempt(job, attempt.token)
        (folder / "reports").mkdir(parents=True)
        (folder / "reports" / "by").write_text(attempt.token)
        (folder / "outcome.json").write_text(Outcome(JobState.DONE).as_json())
    assert not queue.ledger.heartbeat(old.token)
    assert not queue.ledger.progress(old.token, "stage", 1, 1)
    assert not queue.ledger.finish(old.token)
    assert not queue.ledger.fail(old.token, "reason")
    assert queue.ledger.finish(new.token)
    assert not queue.ledger.finish(new.token)
    assert (queue.reports_path(job) / "by").read_text() == new.token


@pytest.mark.parametrize(
    "wrong",
    [{"workers": 0}, {"threads": 0}, {"max_attempts": 0}, {"heartbeat_s": 0.0}, {"lease_s": 5.0, "heartbeat_s": 3.0}],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        QueueSettings(**wrong)  # type: ignore[arg-type]


def test_settings_travel_to_workers() -> None:
    settings = QueueSettings(workers=2, task_settings={"threshold": 20}, retention_age_s=None)
    assert QueueSettings.from_json(settings.as_json()) == settings
