"""Revisions: who may make them and in which order, what they take of the store, and what a refused one leaves."""

from __future__ import annotations

import errno
import multiprocessing
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jcs_ct.diagnosis.review import now
from jcs_ct.errors import (
    NoSuchJobError,
    QueueError,
    QueueFullError,
    RevisionConflictError,
    UsageError,
)
from jcs_ct.jobs.drafts import drafting
from jcs_ct.jobs.housekeeping import sweep
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.revisions import Revision, RevisionKind, correct, masks_of, reports_of, revisions, sign_off, study_of
from tests.jobs.finished import FORMATS, Case, finished, quickly, write_study
from tests.jobs.stores import REPOSITORY, submit


@quickly
def test_what_the_worker_made_is_number_0(case: Case) -> None:
    (first,) = revisions(case.queue, case.job)
    assert (first.number, first.parent, first.kind, first.by, first.judgement) == (0, None, "diagnosis", None, None)
    assert first.summary == case.queue.job(case.job).summary
    assert first.at.endswith("Z")
    assert reports_of(case.queue, case.job) == case.queue.reports_path(case.job)


@quickly
def test_of_two_changes_of_one_parent_the_second_is_refused(case: Case) -> None:
    queue, job = case.queue, case.job
    sign_off(queue, job, "accepted", "anna", "", 0)
    changes: tuple[Callable[[], object], ...] = (
        lambda: sign_off(queue, job, "rejected", "bob", "", 0),
        lambda: correct(queue, job, case.opacities, "bob", 0),
        lambda: correct(queue, job, case.opacities, "bob", 2),
    )
    for change in changes:
        with pytest.raises(RevisionConflictError, match=r"is at revision 1, found a change of revision [02]:"):
            change()
    assert len(revisions(queue, job)) == 2
    assert case.nothing_is_left()


def overtaken(case: Case, meanwhile: Callable[[], object]) -> Revision:
    """Make a revision; something else happens while that computes."""
    with drafting(case.queue, case.job, None, 0) as draft:
        (draft.folder / "reports").mkdir()
        meanwhile()
        return draft.add(draft.next(RevisionKind.SIGN_OFF, "anna", now(), "", judgement="accepted"))


@quickly
def test_who_is_overtaken_while_measuring_is_refused(case: Case) -> None:
    queue, job = case.queue, case.job
    with pytest.raises(RevisionConflictError):
        overtaken(case, lambda: sign_off(queue, job, "accepted", "bob", "", 0))
    assert [one.by for one in revisions(queue, job)] == [None, "bob"]
    assert case.nothing_is_left()


def _sign(root: Path, settings: str, job: str, user: str, answers: Any) -> None:
    from jcs_ct.jobs.settings import QueueSettings

    with JobQueue(root, QueueSettings.from_json(settings)) as queue:
        try:
            sign_off(queue, job, "accepted", user, "", 0)
            answers.put("made")
        except RevisionConflictError:
            answers.put("refused")


@quickly
def test_of_many_processes_at_once_one_wins(case: Case) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    settings = case.queue.settings.as_json()
    users = [f"user-{k}" for k in range(6)]
    processes = [
        context.Process(target=_sign, args=(case.queue.folders.root, settings, case.job, user, answers))
        for user in users
    ]
    for process in processes:
        process.start()
    assert sorted(answers.get(timeout=60) for _ in users) == ["made"] + ["refused"] * 5
    for process in processes:
        process.join()
    (_, made) = revisions(case.queue, case.job)
    assert case.result["review"]["reviewer"] == made.by
    assert case.nothing_is_left()


@quickly
def test_threads_may_correct_at_once(case: Case, tmp_path: Path) -> None:
    second = finished(case.queue, write_study("nifti", tmp_path / "in"), FORMATS["nifti"])
    jobs, failures = (case.job, second), []

    def work(job: str) -> None:
        try:
            for parent in range(3):
                correct(case.queue, job, case.opacities, "anna", parent)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [len(revisions(case.queue, job)) for job in jobs] == [4, 4]
    assert case.nothing_is_left()


@quickly
def test_a_folder_will_do_for_a_queue(case: Case) -> None:
    root = case.queue.folders.root
    made = sign_off(root, case.job, "accepted", "anna", "", 0, owner="anna")
    assert revisions(root, case.job, "anna")[-1] == made
    assert reports_of(root, case.job, 1, "anna") == reports_of(case.queue, case.job)


@quickly
def test_others_do_not_learn_that_there_is_a_job(case: Case) -> None:
    queue, job = case.queue, case.job
    for look in (
        lambda: revisions(queue, job, "bob"),
        lambda: reports_of(queue, job, 0, "bob"),
        lambda: masks_of(queue, job, None, "bob"),
        lambda: study_of(queue, job, "bob"),
        lambda: sign_off(queue, job, "accepted", "bob", "", 0, owner="bob"),
        lambda: correct(queue, job, case.opacities, "bob", 0, owner="bob"),
        lambda: revisions(queue, "0" * 32),
    ):
        with pytest.raises(NoSuchJobError):
            look()
    assert len(revisions(queue, job)) == 1


@quickly
def test_what_cannot_be_is_refused_and_leaves_nothing(case: Case) -> None:
    queue, job, outlines = case.queue, case.job, case.opacities
    refusals: list[tuple[type[Exception], str, Callable[[], object]]] = [
        (UsageError, "found the judgement 'perhaps'", lambda: sign_off(queue, job, "perhaps", "anna", "", 0)),
        (UsageError, "found the user name ''", lambda: sign_off(queue, job, "accepted", "", "", 0)),
        (UsageError, "found the user name ''", lambda: correct(queue, job, outlines, "", 0)),
        (UsageError, "at most 4000", lambda: correct(queue, job, outlines, "anna", 0, "x" * 4001)),
        (UsageError, "the outlines have the shape", lambda: correct(queue, job, outlines[1:], "anna", 0)),
        (QueueError, "has no revision 1; expected one of 0 to 0", lambda: reports_of(queue, job, 1)),
        (QueueError, "has no revision -1", lambda: reports_of(queue, job, -1)),
    ]
    for kind, words, act in refusals:
        with pytest.raises(kind, match=words):
            act()
        assert case.nothing_is_left()
    assert len(revisions(queue, job)) == 1


def test_job_without_a_result_has_no_revisions(queue: JobQueue, tmp_path: Path) -> None:
    job = submit(queue, tmp_path)
    for look in (revisions, reports_of, masks_of):
        with pytest.raises(QueueError, match="is queued; expected one that is done or not_assessable"):
            look(queue, job)
    with pytest.raises(QueueError, match="is queued"):
        sign_off(queue, job, "accepted", "anna", "", 0)


@quickly
def test_bytes_of_revisions_are_counted_once(case: Case) -> None:
    queue, job = case.queue, case.job
    before = queue.job(job).result_bytes
    sign_off(queue, job, "accepted", "anna", "", 0)
    signed = queue.job(job).result_bytes
    # What it shares with its parent is on the disk once.
    new = [path for path in queue.folders.revision(job, 1).rglob("*") if path.is_file() and path.stat().st_nlink == 1]
    assert {path.name for path in new} == {"result.json", "revision.json"}
    assert signed == before + sum(path.stat().st_size for path in new)
    correct(queue, job, case.opacities, "anna", 1)
    added = [path for path in queue.folders.revision(job, 2).rglob("*") if path.is_file()]
    assert queue.job(job).result_bytes == signed + sum(path.stat().st_size for path in added)
    (queue.folders.job(job) / "view").mkdir()
    (queue.folders.job(job) / "view" / "volume.nii.gz").write_bytes(bytes(1000))
    queue.ledger.recount(job)
    assert queue.job(job).result_bytes == signed + sum(path.stat().st_size for path in added) + 1000


@quickly
def test_revision_needs_room(case: Case, tmp_path: Path) -> None:
    job = case.queue.job(case.job)
    stored = job.input_bytes + job.result_bytes
    reserve = 10 * job.result_bytes
    with case.with_settings(max_store_bytes=stored + reserve - 1, result_reserve_bytes=reserve) as full:
        with pytest.raises(QueueFullError, match="with this revision it would hold up to"):
            sign_off(full, case.job, "accepted", "anna", "", 0)
        with pytest.raises(QueueFullError, match="with this revision it would hold up to"):
            correct(full, case.job, case.opacities, "anna", 0)
    with case.with_settings(min_free_bytes=2**60) as full, pytest.raises(QueueFullError, match="disk is nearly full"):
        sign_off(full, case.job, "accepted", "anna", "", 0)
    assert case.nothing_is_left()
    # What revisions take is missing for studies to come, until the job is removed.
    correct(case.queue, case.job, case.opacities, "anna", 0)
    limit = 2 * stored + reserve
    with case.with_settings(max_store_bytes=limit, result_reserve_bytes=reserve) as nearly_full:
        upload = case.queue.study_path(case.job)
        with pytest.raises(QueueFullError, match="with this study"):
            nearly_full.submit(upload, "anna")
        moved = shutil.copytree(upload, tmp_path / "again")
        nearly_full.remove(case.job)
        nearly_full.submit(moved, "anna")


@quickly
def test_waiting_studies_do_not_keep_a_result_from_being_signed(case: Case, tmp_path: Path) -> None:
    with case.with_settings(max_waiting=1) as busy:
        submit(busy, tmp_path)
        assert sign_off(busy, case.job, "accepted", "anna", "", 0).number == 1


@quickly
def test_removal_and_retention_take_revisions_along(case: Case, tmp_path: Path) -> None:
    queue, job = case.queue, case.job
    second = finished(queue, write_study("nifti", tmp_path / "in"), FORMATS["nifti"])
    sign_off(queue, job, "accepted", "anna", "", 0)
    labels = masks_of(queue, second).lesion_labels
    assert labels is not None
    correct(queue, second, labels == 1, "anna", 0)
    queue.remove(job)
    assert not queue.folders.job(job).exists()
    with pytest.raises(NoSuchJobError):
        revisions(queue, job)
    with case.with_settings(retention_count=0, retention_age_s=None) as forgetful:
        sweep(forgetful)
    assert list(queue.folders.jobs.iterdir()) == []
    assert case.nothing_is_left()


@quickly
def test_job_that_is_removed_meanwhile_is_gone(case: Case) -> None:
    with pytest.raises(NoSuchJobError):
        overtaken(case, lambda: case.queue.remove(case.job))
    assert list(case.queue.folders.jobs.iterdir()) == []
    assert case.nothing_is_left()


@quickly
def test_job_whose_folder_is_about_to_go_takes_no_revision(case: Case) -> None:
    def forget() -> None:
        with case.queue.database.transaction() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (case.job,))

    with pytest.raises(NoSuchJobError):
        overtaken(case, forget)
    assert not case.queue.folders.revisions(case.job).exists()


@quickly
@pytest.mark.parametrize("wrapped", [False, True])
def test_full_disk_is_said_to_be_one(case: Case, wrapped: bool) -> None:
    def fill() -> None:
        full = OSError(errno.ENOSPC, "No space left on device")
        if not wrapped:
            raise full
        raise UsageError("cannot write results") from full

    with pytest.raises(QueueFullError, match="the queue's disk is full"):
        overtaken(case, fill)
    assert case.nothing_is_left()


@quickly
def test_what_fails_as_the_job_is_removed_meanwhile_says_so(case: Case) -> None:
    def miss() -> None:
        case.queue.remove(case.job)
        case.queue.folders.outcome(case.job).read_bytes()

    with pytest.raises(NoSuchJobError):
        overtaken(case, miss)
    assert case.nothing_is_left()


@quickly
def test_sweep_leaves_who_is_at_work_alone(case: Case) -> None:
    with drafting(case.queue, case.job, None, 0) as draft:
        sweep(case.queue)
        assert draft.folder.exists()


def test_looking_at_revisions_loads_no_heavy_library() -> None:
    program = (
        "import sys\nimport jcs_ct.jobs.revisions\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}\n"
        "             & {'numpy', 'pydicom', 'highdicom', 'scipy', 'reportlab', 'pypdf', 'openvino', 'torch'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
