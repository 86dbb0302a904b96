"""Kills a process at every line of the queue's code that an act reaches; a script, as it forks.

    python -m tests.jobs.kill_everywhere work|part|submit|remove|sign_off|correct FOLDER

After each kill another process goes on, as it would in earnest. What is then not as it should be is printed, as JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jcs_ct.jobs
from jcs_ct.errors import QueueError
from jcs_ct.jobs.housekeeping import sweep
from jcs_ct.jobs.job import JobState
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.revisions import correct, masks_of, reports_of, revisions, sign_off
from jcs_ct.jobs.settings import QueueSettings
from jcs_ct.jobs.worker import Worker
from jcs_ct.reports.formats import ReportFormat
from tests.jobs.finished import finished, write_study
from tests.jobs.stand_in import Orders, prepare, starts
from tests.jobs.stores import is_whole, quick, submit
from tests.killing import killed_at

_CODE = str(Path(jcs_ct.jobs.__file__).parent)
_KEY = "study"


def work_off(folder: Path, settings: QueueSettings, worker: str) -> None:
    """Claim the next job, if there is one, and work it off."""
    with JobQueue(folder / "store", settings) as queue:
        claim = queue.ledger.claim(worker)
        if claim is not None:
            Worker(queue, worker, prepare(None, str(folder / "starts.log"))).work_off(claim)


def kill_work(folder: Path, count: int) -> tuple[bool, dict[str, Any]]:
    """A kill while a study is worked off."""
    settings = quick(folder, lease_s=0.02, heartbeat_s=0.01)
    with JobQueue(folder / "store", settings) as queue:
        job = submit(queue, folder, key=_KEY)
    killed = killed_at(count, lambda: work_off(folder, settings, "first"), _CODE)
    log = folder / "starts.log"
    with JobQueue(folder / "store", settings) as queue:
        published, before = queue.folders.outcome(job).exists(), len(starts(log))
        said = queue.job(job).state is JobState.DONE
        time.sleep(0.03)  # the lease of who was killed
        queue.ledger.recover()
        work_off(folder, settings, "second")
        sweep(queue)
        checks = {
            "done": queue.job(job).state is JobState.DONE and is_whole(queue, job, _KEY),
            "said only what was there": published or not said,
            "not repeated after it was finished": not published or len(starts(log)) == before,
            "begun once more at most": len(starts(log)) <= before + 1,
            "nothing left over": {path.name for path in queue.folders.job(job).iterdir()} == {"input", "result"},
            "ended once": [event.state for event in queue.events()].count(JobState.DONE) == 1,
        }
    return killed, {"checks": checks, "published": published and not said}


def kill_part(folder: Path, count: int) -> tuple[bool, dict[str, Any]]:
    """A kill while a study that turned out to be three is made three jobs."""
    settings = quick(folder, lease_s=0.02, heartbeat_s=0.01)
    with JobQueue(folder / "store", settings) as queue:
        job = submit(queue, folder, key=_KEY, studies=3)
    killed = killed_at(count, lambda: work_off(folder, settings, "first"), _CODE)
    with JobQueue(folder / "store", settings) as queue:
        parted = len(queue.jobs())
        time.sleep(0.03)  # the lease of who was killed
        queue.ledger.recover()
        for lock in queue.folders.incoming.glob("*.lock"):
            os.utime(lock, (time.time() - 60,) * 2)
        for number in range(4):
            work_off(folder, settings, f"worker {number}")
        sweep(queue)
        made = sorted(queue.jobs(), key=lambda each: each.name)
        with queue.database.reading() as db:
            arrivals = db.execute("SELECT count(*) FROM arrivals").fetchone()[0]
        left = [*queue.folders.incoming.iterdir(), *queue.folders.trash.iterdir()]
        inputs = [[path.name for path in queue.study_path(each.id).iterdir()] for each in made]
        checks = {
            "all or none": parted in (1, 3),
            "one for each": len(made) == 3 and {each.upload for each in made} == {job} and made[0].id == job,
            "whole": all(is_whole(queue, each.id, f"{_KEY}-{n}") for n, each in enumerate(made, start=1)),
            "each done once": sorted(starts(folder / "starts.log")) == [f"{_KEY}-{n}" for n in (1, 2, 3)],
            "only its own input": inputs == [["orders.json"]] * 3,
            "nothing of the others": len(list((queue.folders.job(job) / "input").iterdir())) == 1,
            "nothing left over": not left and not arrivals,
            "no folder without a job": len(list(queue.folders.jobs.iterdir())) == 3,
        }
    return killed, {"checks": checks, "published": parted == 3 and killed}


def kill_submit(folder: Path, count: int) -> tuple[bool, dict[str, Any]]:
    """A kill while a study is handed in."""
    settings, upload = quick(folder), Orders(key=_KEY).write(folder / "upload.json")

    def submit() -> str:
        with JobQueue(folder / "store", settings) as queue:
            return queue.submit(upload, "anna", key="1.2.3", move=True)

    killed = killed_at(count, submit, _CODE)
    with JobQueue(folder / "store", settings) as queue:
        there = len(queue.jobs())
        for lock in queue.folders.incoming.glob("*.lock"):
            os.utime(lock, (time.time() - 60,) * 2)
        sweep(queue)
        left = [*queue.folders.incoming.iterdir(), *queue.folders.trash.iterdir()]
        checks = {"not lost": there == 1 or upload.exists()}
        # Whoever was killed does not know whether it arrived, and hands it in once more.
        if upload.exists():
            submit()
        (job,) = queue.jobs()
        with queue.database.reading() as db:
            arrivals = db.execute("SELECT count(*) FROM arrivals").fetchone()[0]
        checks |= {
            "whole": json.loads(queue.study_path(job.id).read_text())["key"] == _KEY,
            "nothing left over": not left and not arrivals and not upload.exists(),
            "no folder without a job": [path.name for path in queue.folders.jobs.iterdir()] == [job.id],
        }
    return killed, {"checks": checks, "published": there == 1 and killed}


def kill_remove(folder: Path, count: int) -> tuple[bool, dict[str, Any]]:
    """A kill while an ended job is removed."""
    settings = quick(folder)
    with JobQueue(folder / "store", settings) as queue:
        job = submit(queue, folder, key=_KEY)
    work_off(folder, settings, "worker")

    def remove() -> None:
        with JobQueue(folder / "store", settings) as queue:
            queue.remove(job)

    killed = killed_at(count, remove, _CODE)
    with JobQueue(folder / "store", settings) as queue:
        there = len(queue.jobs())
        checks = {"whole or gone": there == 0 or is_whole(queue, job, _KEY)}
        sweep(queue)
        checks["no folder without a job"] = len(list(queue.folders.jobs.iterdir())) == there
        checks["no rubbish"] = not list(queue.folders.trash.iterdir())
    return killed, {"checks": checks, "published": there == 0 and killed}


def revise(act: str, queue: JobQueue, job: str, parent: int) -> None:
    """Sign a result, or erase all of its opacities but one."""
    if act == "sign_off":
        sign_off(queue, job, "accepted", "anna", "agreed", parent)
    else:
        labels = masks_of(queue, job).lesion_labels
        assert labels is not None
        correct(queue, job, labels == 1, "anna", parent)


def kill_revise(act: str, folder: Path, count: int) -> tuple[bool, dict[str, Any]]:
    """A kill while a result is signed or corrected."""
    settings, template = quick(folder), folder.parent / "template"
    if not template.exists():
        with JobQueue(template, settings) as queue:
            finished(queue, write_study("nifti", folder / "in"), [ReportFormat.CSV])
    shutil.copytree(template, folder / "store")
    with JobQueue(folder / "store", settings) as queue:
        (job,) = (job.id for job in queue.jobs())

    def act_once() -> None:
        with JobQueue(folder / "store", settings) as queue:
            revise(act, queue, job, revisions(queue, job)[-1].number)

    killed = killed_at(count, act_once, _CODE)
    with JobQueue(folder / "store", settings) as queue:
        made = revisions(queue, job)
        told = queue.job(job).summary.get("revision", 0)
        checks = {
            "whole or not there": all(_is_whole_revision(queue, job, one.number) for one in made),
            "made once at most": len(made) <= 2,
            "said only what is there": told <= made[-1].number,
        }
        for lock in queue.folders.incoming.glob("*.lock"):
            os.utime(lock, (time.time() - 60,) * 2)
        sweep(queue)
        checks |= _in_order(queue, job)
        act_once()  # whoever was killed does not know whether it got there, looks, and does it again
        checks["goes on"] = len(revisions(queue, job)) == len(made) + 1
        checks |= {f"{name}, again": held for name, held in _in_order(queue, job).items()}
    return killed, {"checks": checks, "published": len(made) == 2 and told == 0}


def _is_whole_revision(queue: JobQueue, job: str, number: int) -> bool:
    reports = reports_of(queue, job, number)
    json.loads((reports / "result.json").read_text(encoding="utf-8"))
    names = {path.name for path in reports.iterdir()}
    masks = masks_of(queue, job, number)
    return names == {path.name for path in queue.reports_path(job).iterdir()} and masks.lung_mask is not None


def _in_order(queue: JobQueue, job: str) -> dict[str, bool]:
    """What holds whenever nobody is at work and the sweep has been there."""
    made, found, folders = revisions(queue, job), queue.job(job), queue.folders
    with queue.database.reading() as db:
        arrivals = db.execute("SELECT count(*) FROM arrivals").fetchone()[0]
    return {
        "worklist shows the latest": found.summary.get("revision", 0) == made[-1].number,
        "measures are those of the latest": found.summary["lesion_volume_ml"] == made[-1].summary["lesion_volume_ml"],
        "bytes are counted": found.result_bytes == folders.result_bytes(job),
        "nothing left over": not arrivals
        and not list(folders.incoming.iterdir())
        and not list(folders.trash.iterdir()),
    }


def main(act: str, folder: Path) -> None:
    """Kill at the first line, the second, and so on, each on a store of its own, until the act comes to its end."""
    acts: dict[str, Callable[[Path, int], tuple[bool, dict[str, Any]]]] = {
        "work": kill_work, "part": kill_part, "submit": kill_submit, "remove": kill_remove,
        "sign_off": partial(kill_revise, "sign_off"), "correct": partial(kill_revise, "correct"),
    }  # fmt: skip
    kill = acts[act]
    problems, between, kills = [], 0, 0
    # What corrections share with sign-offs is killed at every line there.
    for count in itertools.count(1, step=3 if act == "correct" else 1):
        own = folder / str(count)
        own.mkdir()
        try:
            killed, found = kill(own, count)
        except (QueueError, OSError, ValueError) as error:
            killed, found = True, {"checks": {f"no error: {error!r}": False}, "published": False}
        problems += [f"line {count}: {name}" for name, held in found["checks"].items() if not held]
        between += found["published"]
        if not killed:
            break
        kills += 1
    print(json.dumps({"kills": kills, "between": between, "problems": problems}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
