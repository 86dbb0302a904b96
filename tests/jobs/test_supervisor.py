"""Workers that die, hang, run out of memory, or cannot begin; jobs that are cancelled; two supervisors on one store."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from pathlib import Path

import pytest

from jcs_ct.jobs.job import JobState
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.supervisor import Supervisor
from tests.jobs.stand_in import starts
from tests.jobs.stores import ended, is_whole, quick, submit, wait_for

pytestmark = pytest.mark.usefixtures("_workers_find_the_stand_in")


def test_studies_are_worked_off_in_the_order_in_which_they_came(queue: JobQueue, tmp_path: Path) -> None:
    keys = ["b", "a", "c"]
    jobs = [submit(queue, tmp_path, key=key) for key in keys]
    with Supervisor(queue.folders.root, queue.settings) as supervisor:
        ends = [ended(queue, job) for job in jobs]
        (worker,) = supervisor.worker_pids
    assert [job.state for job in ends] == [JobState.DONE] * 3
    assert [job.summary["key"] for job in ends] == starts(tmp_path / "starts.log") == keys
    assert all(is_whole(queue, job, key) for job, key in zip(jobs, keys, strict=True))
    assert all(job.attempts == 1 and job.finished_at and job.result_bytes > 6 * 12_800 for job in ends)
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_every_ending_has_its_state_and_its_line(queue: JobQueue, tmp_path: Path) -> None:
    wanted = {
        "not_assessable": (JobState.NOT_ASSESSABLE, "too few slices"),
        "unreadable": (JobState.FAILED, "the study is damaged: copy it again"),
        "bug": (
            JobState.FAILED,
            "internal error (KeyError): a fault of JCS; its operator finds details with the job",
        ),
        "memory": (JobState.FAILED, "ran out of memory; given up after 3 attempts"),
        "disk_full": (JobState.FAILED, "the disk was full; given up after 3 attempts"),
        "die": (JobState.FAILED, "the worker died (signal 9, SIGKILL); given up after 3 attempts"),
    }
    jobs = {ending: submit(queue, tmp_path, key=ending, ending=ending) for ending in wanted}
    good = submit(queue, tmp_path, key="good")
    with Supervisor(queue.folders.root, queue.settings):
        found = {ending: ended(queue, job) for ending, job in jobs.items()}
        assert ended(queue, good).state is JobState.DONE
    assert {ending: (job.state, job.reason) for ending, job in found.items()} == wanted
    begun = starts(tmp_path / "starts.log")
    assert [begun.count(ending) for ending in wanted] == [1, 1, 1, 3, 3, 3]
    assert is_whole(queue, jobs["not_assessable"], "not_assessable")
    trace = (queue.folders.job(jobs["bug"]) / "traceback.txt").read_text()
    assert "Doe^Jane" in trace


@pytest.mark.parametrize("ending", ["die", "memory", "disk_full", "half"])
def test_what_passes_is_tried_again(queue: JobQueue, tmp_path: Path, ending: str) -> None:
    job = submit(queue, tmp_path, key="study", ending=ending, only_first=True)
    with Supervisor(queue.folders.root, queue.settings):
        found = ended(queue, job)
    assert (found.state, found.attempts, found.reason) == (JobState.DONE, 2, None)
    assert is_whole(queue, job, "study")
    assert starts(tmp_path / "starts.log") == ["study", "study"]


def test_running_job_is_cancelled_and_its_worker_goes_on(queue: JobQueue, tmp_path: Path) -> None:
    long = submit(queue, tmp_path, key="long", steps=600, step_s=0.1)
    following = submit(queue, tmp_path, key="next")
    with Supervisor(queue.folders.root, queue.settings) as supervisor:
        wait_for(queue, long, lambda job: job.stage_done > 0)
        before = supervisor.worker_pids
        assert queue.cancel(long).state is JobState.CANCELLED
        assert ended(queue, following).state is JobState.DONE
        assert supervisor.worker_pids == before
    assert queue.job(long).state is JobState.CANCELLED
    assert sorted(path.name for path in queue.folders.job(long).iterdir()) == ["input"]


def test_worker_that_does_not_notice_that_its_job_was_cancelled_is_replaced(queue: JobQueue, tmp_path: Path) -> None:
    deaf = submit(queue, tmp_path, key="deaf", ending="hang")
    following = submit(queue, tmp_path, key="next")
    with Supervisor(queue.folders.root, queue.settings) as supervisor:
        wait_for(queue, deaf, lambda job: job.stage_done > 0)  # after its only step it tells nothing, and hangs
        before = supervisor.worker_pids
        queue.cancel(deaf)
        assert ended(queue, following).state is JobState.DONE
        assert supervisor.worker_pids != before
    assert queue.job(deaf).state is JobState.CANCELLED
    assert starts(tmp_path / "starts.log") == ["deaf", "next"]


def test_study_that_takes_too_long_fails(queue: JobQueue, tmp_path: Path) -> None:
    settings = dataclasses.replace(queue.settings, time_limit_s=1.0, lease_s=2.0)
    hung = submit(queue, tmp_path, key="hung", ending="hang")
    following = submit(queue, tmp_path, key="next")
    with Supervisor(queue.folders.root, settings):
        found = ended(queue, hung)
        assert ended(queue, following).state is JobState.DONE
    assert (found.state, found.reason) == (JobState.FAILED, "took longer than 1 s, the limit for one study")


def test_frozen_worker_is_killed_and_its_job_done_by_another(queue: JobQueue, tmp_path: Path) -> None:
    settings = dataclasses.replace(queue.settings, lease_s=3.0)
    job = submit(queue, tmp_path, key="study", steps=10, step_s=0.1)
    with Supervisor(queue.folders.root, settings) as supervisor:
        wait_for(queue, job, lambda job: job.stage_done > 0)
        (frozen,) = supervisor.worker_pids
        os.kill(frozen, signal.SIGSTOP)
        found = ended(queue, job)
        assert supervisor.worker_pids != (frozen,)
    assert found.state is JobState.DONE
    assert found.interruptions >= 1
    assert is_whole(queue, job, "study")


def test_stopping_gives_the_job_back_and_counts_nothing(queue: JobQueue, tmp_path: Path) -> None:
    job = submit(queue, tmp_path, key="study", steps=600, step_s=0.1)
    with Supervisor(queue.folders.root, queue.settings):
        wait_for(queue, job, lambda job: job.stage_done > 0)
        stopped = time.monotonic()
    assert time.monotonic() - stopped < 5
    found = queue.job(job)
    assert (found.state, found.attempts, found.interruptions, found.stage) == (JobState.QUEUED, 0, 0, None)


def test_two_supervisors_share_the_jobs(queue: JobQueue, tmp_path: Path) -> None:
    settings = dataclasses.replace(queue.settings, workers=2)
    keys = [f"study-{k}" for k in range(30)]
    jobs = [submit(queue, tmp_path, key=key, step_s=0.03) for key in keys]
    with Supervisor(queue.folders.root, settings), Supervisor(queue.folders.root, settings):
        states = [ended(queue, job).state for job in jobs]
    assert states == [JobState.DONE] * 30
    assert sorted(starts(tmp_path / "starts.log")) == sorted(keys)


def test_worker_that_cannot_begin_says_why_and_costs_no_job(tmp_path: Path) -> None:
    settings = quick(tmp_path, task_settings={"log": str(tmp_path / "log"), "broken": "classifier.onnx is missing"})
    with JobQueue(tmp_path / "store", settings) as queue:
        job = submit(queue, tmp_path)
        with Supervisor(queue.folders.root, settings) as supervisor:
            deadline = time.monotonic() + 30
            while supervisor.problem is None:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert supervisor.problem == "classifier.onnx is missing"
        assert queue.job(job).state is JobState.QUEUED


def test_unknown_task_is_told(tmp_path: Path) -> None:
    with Supervisor(tmp_path / "store", quick(tmp_path, task="tests.jobs.stand_in:nothing")) as supervisor:
        deadline = time.monotonic() + 30
        while supervisor.problem is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert "expected module:function of a task" in supervisor.problem
