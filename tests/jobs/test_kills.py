"""SIGKILL, at random moments and at every line: each job ends once, whole, and is not repeated after that."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jcs_ct.jobs.housekeeping import sweep
from jcs_ct.jobs.job import JobState
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.settings import QueueSettings
from tests.jobs.stand_in import timed_starts
from tests.jobs.stores import REPOSITORY, ended, is_whole, quick, submit

pytestmark = pytest.mark.usefixtures("_workers_find_the_stand_in")

KILLS = 20


class Service:
    """A supervisor in a process group of its own, which is started again whenever it was killed."""

    def __init__(self, root: Path, settings: QueueSettings) -> None:
        self._command = [sys.executable, "-m", "tests.jobs.serve", str(root), settings.as_json()]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, cwd=REPOSITORY, start_new_session=True)

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def kill(self, whom: str) -> bool:
        """Kill the worker, the supervisor or both; False where there is no worker at the moment."""
        if whom == "worker":
            workers = self.workers()
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            return bool(workers)
        if whom == "group":
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait()
        self.start()
        return True


@contextmanager
def serving(root: Path, settings: QueueSettings) -> Iterator[Service]:
    service = Service(root, settings)
    try:
        yield service
    finally:
        service.process.kill()
        service.process.wait()


@pytest.mark.slow
def test_every_study_ends_once_whatever_is_killed_and_when(tmp_path: Path) -> None:
    # By chance one job may meet many of the kills; that it is not given up for it is not what is tested here.
    settings = quick(tmp_path, max_attempts=50, max_interruptions=50, lease_s=3.0)
    dice = random.Random(20)
    whom = ["worker"] * 8 + ["supervisor"] * 6 + ["group"] * 6
    dice.shuffle(whom)
    with JobQueue(tmp_path / "store", settings) as queue:
        jobs: dict[str, str] = {}
        with serving(queue.folders.root, settings) as service:
            kills = 0
            while kills < KILLS:
                # How many studies end between two kills is a matter of the machine: there is always one to work off.
                while len(jobs) < 10 + len(queue.jobs(state=JobState.DONE)):
                    key = f"study-{len(jobs)}"
                    jobs[key] = submit(queue, tmp_path, key=key, steps=10, step_s=0.1)
                time.sleep(dice.uniform(0.1, 2.5))
                kills += service.kill(whom[kills])
            found = [ended(queue, job, limit_s=180) for job in jobs.values()]
        sweep(queue)
        assert [job.state for job in found] == [JobState.DONE] * len(jobs)
        assert all(is_whole(queue, job, key) for key, job in jobs.items())
        events = [event.job_id for event in queue.events(limit=10_000) if event.state is JobState.DONE]
        assert sorted(events) == sorted(jobs.values())
        finished = {key: queue.job(job).finished_at or 0.0 for key, job in jobs.items()}
        late = [key for key, at in timed_starts(tmp_path / "starts.log") if at > finished[key]]
        assert late == [], "repeated after they were finished"
        for job in jobs.values():
            assert {path.name for path in queue.folders.job(job).iterdir()} == {"input", "result"}
        assert sum(job.interruptions for job in found) > 0
        assert sum(job.attempts for job in found) > len(jobs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "kills"),
    [("work", 150), ("part", 150), ("submit", 120), ("remove", 50), ("sign_off", 150), ("correct", 70)],
)
def test_kill_at_every_line_loses_repeats_and_leaves_nothing(tmp_path: Path, act: str, kills: int) -> None:
    command = [sys.executable, "-m", "tests.jobs.kill_everywhere", act, str(tmp_path)]
    output = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    found = json.loads(output)
    assert found["problems"] == []
    assert found["kills"] >= kills
    assert found["between"] > 0, "no kill fell between the renaming and the commit, or the commit and the answer"


def test_poison_that_takes_everything_down_is_given_up(tmp_path: Path) -> None:
    settings = quick(tmp_path, max_interruptions=2, lease_s=0.5)
    with JobQueue(tmp_path / "store", settings) as queue:
        job = submit(queue, tmp_path)
        for _ in range(2):
            assert queue.ledger.claim("worker") is not None
            time.sleep(0.6)
            queue.ledger.recover()
        found = queue.job(job)
    reason = "the worker gave no more sign of life; given up after 2 attempts"
    assert (found.state, found.attempts, found.reason) == (JobState.FAILED, 0, reason)
