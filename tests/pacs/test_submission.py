"""A complete study becomes one job, whatever comes again, comes late, fails, or is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import dcmread

from jcs_ct.errors import QueueFullError
from jcs_ct.jobs.job import JobState
from tests.jobs.stores import REPOSITORY, quick
from tests.pacs.closed import close_study, desk_at
from tests.pacs.peers import phantom_series

Images = dict[str, Path]


@pytest.fixture
def images(tmp_path: Path) -> Images:
    """Four images by SOP Instance UID."""
    paths = phantom_series(tmp_path / "series")[:4]
    return {str(dcmread(path).SOPInstanceUID): path for path in paths}


def part(images: Images, *places: int) -> Images:
    return {uid: images[uid] for place, uid in enumerate(sorted(images)) if place in places}


def test_study_is_handed_in_without_the_nodes_own_notes(tmp_path: Path, images: Images) -> None:
    with desk_at(tmp_path) as (desk, queue, _):
        handed = desk.submit(close_study(tmp_path, images))
        assert handed is not None
        assert handed.new
        names = [path.name for path in queue.study_path(handed.job_id).iterdir()]
        assert len(names) == 4
        assert all(name.endswith(".dcm") for name in names)
        assert queue.job(handed.job_id).name == "Phantom Chest, 20200401, Chest phantom"
        assert desk.waiting() == ()


def test_what_was_read_before_is_not_read_again(tmp_path: Path, images: Images) -> None:
    with desk_at(tmp_path) as (desk, queue, _):
        first = desk.submit(close_study(tmp_path, images))
        assert first is not None
        for again in (images, part(images, 0, 2)):
            handed = desk.submit(close_study(tmp_path, again))
            assert handed is not None
            assert (handed.job_id, handed.new) == (first.job_id, False)
        assert len(queue.jobs()) == 1
        assert desk.waiting() == ()


def test_late_images_make_a_job_of_the_whole_study(tmp_path: Path, images: Images) -> None:
    with desk_at(tmp_path) as (desk, queue, _):
        early = desk.submit(close_study(tmp_path, part(images, 0, 1, 2)))
        late = desk.submit(close_study(tmp_path, part(images, 2, 3)))
        assert early is not None
        assert late is not None
        assert late.new
        assert late.job_id != early.job_id
        found = {str(dcmread(path).SOPInstanceUID) for path in queue.study_path(late.job_id).iterdir()}
        assert found == set(images)
        assert len(list(queue.study_path(early.job_id).iterdir())) == 3


def test_study_whose_job_was_lost_is_read_again(tmp_path: Path, images: Images) -> None:
    with desk_at(tmp_path) as (desk, queue, _):
        first = desk.submit(close_study(tmp_path, images))
        assert first is not None
        queue.cancel(first.job_id)
        second = desk.submit(close_study(tmp_path, images))
        third = desk.submit(close_study(tmp_path, images))
        assert second is not None
        assert second.new
        assert third is not None
        assert (third.job_id, third.new) == (second.job_id, False)
        assert queue.job(second.job_id).state is JobState.QUEUED


def test_study_whose_job_was_removed_is_read_again(tmp_path: Path, images: Images) -> None:
    with desk_at(tmp_path) as (desk, queue, _):
        first = desk.submit(close_study(tmp_path, images))
        assert first is not None
        queue.cancel(first.job_id)
        queue.remove(first.job_id)
        second = desk.submit(close_study(tmp_path, images))
        assert second is not None
        assert second.new


def test_full_queue_leaves_the_study_where_it_is(tmp_path: Path, images: Images) -> None:
    with desk_at(tmp_path, quick(tmp_path, max_waiting=1)) as (desk, queue, _):
        other = tmp_path / "other.json"
        other.write_text("{}")
        blocking = queue.submit(other, "anna")
        closed = close_study(tmp_path, images)
        with pytest.raises(QueueFullError):
            desk.submit(closed)
        assert desk.waiting() == (closed,)
        queue.cancel(blocking)
        handed = desk.submit(closed)
        assert handed is not None
        assert len(list(queue.study_path(handed.job_id).iterdir())) == 4


def test_study_that_the_queue_will_never_take_is_set_aside(tmp_path: Path, images: Images) -> None:
    with desk_at(tmp_path, quick(tmp_path, max_files=2)) as (desk, queue, _):
        closed = close_study(tmp_path, images)
        assert desk.submit(closed) is None
        assert desk.waiting() == ()
        refused = tmp_path / "store" / "pacs" / "refused" / closed.name
        assert len(list(refused.rglob("*.dcm"))) == 4
        assert queue.jobs() == ()


@pytest.mark.slow
def test_kill_at_every_line_loses_nothing_and_reads_nothing_twice(tmp_path: Path, images: Images) -> None:
    (tmp_path / "kills").mkdir()
    series = tmp_path / "few"
    series.mkdir()
    for path in images.values():
        (series / path.name).write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "tests.pacs.kill_submission", str(tmp_path / "kills"), str(series)]
    done = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["problems"] == []
    assert found["kills"] >= 150
