"""When a study is complete, and what is left of it by restarts and limits."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from jcs_ct.errors import QueueFullError
from jcs_ct.pacs.arrivals import IMAGES, Arrivals
from jcs_ct.pacs.folders import NodeFolders, digest, image_name
from jcs_ct.pacs.image_file import ImageFile
from jcs_ct.pacs.settings import NodeSettings


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folders(tmp_path: Path) -> NodeFolders:
    return NodeFolders(tmp_path / "store")


def arrivals_in(folders: NodeFolders, clock: Clock, **changes: float) -> Arrivals:
    chosen = {"quiet_s": 10.0, "longest_s": 60.0, "min_free_bytes": 0, "peer_share": 1.0, **changes}
    return Arrivals(folders, NodeSettings(**chosen), clock)  # type: ignore[arg-type]


def arrive(arrivals: Arrivals, folders: NodeFolders, sop_uid: str, study: str = "1.2", content: bytes = b"x") -> str:
    path = folders.receiving / f"tmp-{sop_uid}"
    path.write_bytes(content)
    return arrivals.keep(ImageFile(path, "1.2.840", sop_uid, study, "patient", "name"), "PEER").study


def test_quiet_period_begins_anew_with_each_image(folders: NodeFolders, clock: Clock) -> None:
    arrivals = arrivals_in(folders, clock)
    study = arrive(arrivals, folders, "1.1")
    clock.now += 9.9
    assert arrivals.due() == ()
    arrive(arrivals, folders, "1.2")
    clock.now += 9.9
    assert arrivals.due() == ()
    clock.now += 0.2
    assert arrivals.due() == (study,)


def test_study_under_which_something_is_being_sent_is_not_quiet(folders: NodeFolders, clock: Clock) -> None:
    arrivals = arrivals_in(folders, clock)
    study = arrive(arrivals, folders, "1.1")
    clock.now += 9
    arrivals.touch([study, "unknown"])
    clock.now += 9
    assert arrivals.due() == ()


def test_study_that_never_becomes_quiet_is_complete_after_the_longest_time(folders: NodeFolders, clock: Clock) -> None:
    arrivals = arrivals_in(folders, clock)
    for number in range(12):
        study = arrive(arrivals, folders, f"1.{number}")
        assert arrivals.due() == ()
        clock.now += 5
    assert arrivals.due() == (study,)


def test_studies_are_told_apart(folders: NodeFolders, clock: Clock) -> None:
    arrivals = arrivals_in(folders, clock)
    first = arrive(arrivals, folders, "1.1", "1.2")
    clock.now += 6
    second = arrive(arrivals, folders, "1.1", "1.3")
    clock.now += 6
    assert arrivals.due() == (first,)
    closed = arrivals.close(first)
    assert closed is not None
    assert [path.name for path in closed.joinpath(IMAGES).glob("*.dcm")] == [image_name("1.1")]
    clock.now += 6
    assert arrivals.due() == (second,)


def test_images_after_the_close_begin_a_study_anew(folders: NodeFolders, clock: Clock) -> None:
    arrivals = arrivals_in(folders, clock)
    study = arrive(arrivals, folders, "1.1")
    assert arrivals.close(study) is not None
    assert arrivals.close(study) is None
    arrive(arrivals, folders, "1.2")
    clock.now += 11
    assert arrivals.due() == (study,)
    assert arrivals.files_of(study) == 1


def test_later_copy_of_an_image_counts(folders: NodeFolders, clock: Clock) -> None:
    arrivals = arrivals_in(folders, clock)
    study = arrive(arrivals, folders, "1.1", content=b"old")
    arrive(arrivals, folders, "1.1", content=b"new")
    assert (folders.arrivals / study / image_name("1.1")).read_bytes() == b"new"
    assert arrivals.files_of(study) == 1


def test_restart_counts_what_lies_there_and_waits_again(folders: NodeFolders, clock: Clock) -> None:
    study = arrive(arrivals_in(folders, clock), folders, "1.1")
    (folders.receiving / "half").write_bytes(b"half an image")
    (folders.arrivals / digest("empty")).mkdir()
    arrivals = arrivals_in(folders, clock)
    arrivals.recover()
    assert arrivals.due() == (), "its sender may have been cut off by the restart"
    assert arrivals.files_of(study) == 1
    clock.now += 11
    assert arrivals.due() == (study,)
    assert list(folders.receiving.iterdir()) == []
    assert [path.name for path in folders.arrivals.iterdir()] == [study]


def test_longest_time_goes_on_over_restarts(folders: NodeFolders, clock: Clock) -> None:
    study = arrive(arrivals_in(folders, clock), folders, "1.1")
    long_ago = time.time() - 61
    os.utime(folders.arrivals / study / image_name("1.1"), (long_ago, long_ago))
    arrivals = arrivals_in(folders, clock)
    arrivals.recover()
    assert arrivals.due() == (study,)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_study_files": 2}, "more than 2 images"),
        ({"max_study_bytes": 5}, "GiB"),
        ({"min_free_bytes": 10**18}, "disk"),
    ],
)
def test_limits_refuse_an_image_and_leave_the_study(
    folders: NodeFolders, clock: Clock, limits: dict[str, int], message: str
) -> None:
    study = arrive(arrivals_in(folders, clock), folders, "1.1", content=b"xx")
    arrive(arrivals_in(folders, clock), folders, "1.2", content=b"xx")
    arrivals = arrivals_in(folders, clock, **limits)
    arrivals.recover()
    with pytest.raises(QueueFullError, match=message):
        arrive(arrivals, folders, "1.3", content=b"xx")
    assert len(list((folders.arrivals / study).glob("*.dcm"))) == 2


def test_only_what_no_longer_grows_is_dropped(folders: NodeFolders, clock: Clock) -> None:
    arrivals = arrivals_in(folders, clock, network_timeout_s=30.0)
    for name in ("growing", "abandoned"):
        (folders.receiving / name).write_bytes(b"x")
        os.utime(folders.receiving / name, (1.0, 1.0))  # whatever the computer's clock says
    arrivals.drop_abandoned()
    assert len(list(folders.receiving.iterdir())) == 2
    clock.now += 61
    (folders.receiving / "growing").write_bytes(b"xx")
    arrivals.drop_abandoned()
    assert [path.name for path in folders.receiving.iterdir()] == ["growing"]
