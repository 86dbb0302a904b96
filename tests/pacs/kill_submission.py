"""Kills a process at every line that handing a study in reaches; a script, as it forks: `… FOLDER SERIES`.

The study has a late image, so that an earlier job is completed. What is then not as it should be is printed, as JSON.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

from pydicom import dcmread

import jcs_ct
from jcs_ct.errors import QueueError
from tests.killing import killed_at
from tests.pacs.closed import close_study, desk_at

# The way into the queue; its ledger has tests of this kind itself.
_MODULES = ("pacs/submission", "pacs/folders", "pacs/records", "jobs/intake")
_CODE = tuple(str(Path(jcs_ct.__file__).parent / name) for name in _MODULES)


def kill_once(folder: Path, images: dict[str, Path], count: int) -> tuple[bool, dict[str, bool]]:
    """One kill, and what is found after another process has gone on."""
    uids = sorted(images)
    with desk_at(folder) as (desk, _, _):
        desk.submit(close_study(folder, {uid: images[uid] for uid in uids[:3]}))
    closed = close_study(folder, {uids[3]: images[uids[3]]})

    def submit() -> None:
        with desk_at(folder) as (desk, _, _):
            desk.submit(closed)

    killed = killed_at(count, submit, _CODE)
    with desk_at(folder) as (desk, queue, records):
        for waiting in desk.waiting():
            desk.submit(waiting)
        jobs = queue.jobs("pacs")
        sizes = sorted(len(list(queue.study_path(job.id).iterdir())) for job in jobs)
        checks = {
            f"one job of the first three images and one of all four: {sizes}": sizes == [3, 4],
            "nothing is left": not list(desk.waiting()),
            "both are known": {each.job_id for each in records.all_submits()} == {job.id for job in jobs},
        }
    return killed, checks


def main(folder: Path, series: Path) -> None:
    """Kill at the first line, the second, and so on, each on a store of its own."""
    images = {str(dcmread(path).SOPInstanceUID): path for path in series.iterdir()}
    problems = []
    for count in itertools.count(1):
        own = folder / str(count)
        own.mkdir()
        try:
            killed, checks = kill_once(own, images, count)
        except (QueueError, OSError, ValueError) as error:
            killed, checks = True, {f"no error: {error!r}": False}
        problems += [f"line {count}: {name}" for name, held in checks.items() if not held]
        if not killed:
            break
    print(json.dumps({"kills": count - 1, "problems": problems}))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
