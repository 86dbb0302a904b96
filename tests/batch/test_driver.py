"""A batch over stand-ins: each study once, whatever happens to workers, drivers and inputs."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from jcs_ct.batch.items import Item
from jcs_ct.batch.records import Records, State, Why
from jcs_ct.errors import JcsError, UsageError
from tests.batch.calls import Seen, call, start, states
from tests.batch.stand_in import UNFIT_TASK, items_in, runs, write_study


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    for number in range(6):
        write_study(tmp_path / "in" / f"case{number}")
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_every_study_is_done_once(studies: Path, out: Path) -> None:
    totals = call(studies, out, workers=2)
    assert (totals.done, totals.failed, totals.unchanged) == (6, 0, 0)
    assert sorted(runs(out)) == [f"case{number}" for number in range(6)]
    assert set(states(out).values()) == {"done"}
    again = call(studies, out)
    assert (again.done, again.unchanged) == (6, 6)
    assert len(runs(out)) == 6


def test_second_call_does_what_changed(studies: Path, out: Path) -> None:
    call(studies, out)
    write_study(studies / "case1", "fine indeed")
    write_study(studies / "case9")
    assert call(studies, out).unchanged == 5
    assert runs(out)[6:] == ["case1", "case9"]
    call(studies, out, recipe="r2")
    assert len(runs(out)) == 8 + 7
    call(studies, out, recipe="r2", redo=True)
    assert len(runs(out)) == 8 + 14


def test_lost_record_is_made_again_from_the_result(studies: Path, out: Path) -> None:
    call(studies, out)
    before = Records(out).read("case2")
    (out / "records" / "case2.json").unlink()
    assert call(studies, out).unchanged == 6
    assert len(runs(out)) == 6
    after = Records(out).read("case2")
    assert before is not None
    assert after == replace(before, seconds=None)


def test_damaged_results_are_made_again_and_damaged_records_count_for_nothing(studies: Path, out: Path) -> None:
    call(studies, out)
    for number, damage in enumerate(("", "{", '{"schema": "other/1"}')):
        (out / "studies" / f"case{number}" / "result.json").write_text(damage)
    for number, damage in enumerate(("", "[]", '{"schema": "jcs-batch-record/0"}'), 3):
        (out / "records" / f"case{number}.json").write_text(damage)
    assert call(studies, out).unchanged == 3
    assert runs(out)[6:] == ["case0", "case1", "case2"]


POISONS = {
    "crash": (Why.CRASH, "SIGSEGV"),
    "killed": (Why.CRASH, "SIGKILL"),
    "memory": (Why.MEMORY, "more than 0.5 GiB"),
}


def test_poison_is_quarantined_and_the_others_are_done(studies: Path, out: Path) -> None:
    for word in POISONS:
        write_study(studies / word, word)
    write_study(studies / "unreadable", "unreadable")
    write_study(studies / "fault", "fault")
    totals = call(studies, out, workers=2, memory_bytes=1024**3 // 2)
    assert (totals.done, totals.failed) == (6, 5)
    records = Records(out)
    for word, (why, reason) in POISONS.items():
        record = records.read(word)
        assert record is not None
        assert (record.state, record.why, record.attempts) == (State.QUARANTINED, why, 2), record
        assert reason in record.reason
    unreadable, fault = records.read("unreadable"), records.read("fault")
    assert unreadable is not None
    assert fault is not None
    assert (unreadable.state, unreadable.reason) == (State.FAILED, "a.dcm is damaged: copy it again")
    assert fault.why is Why.INTERNAL
    assert "ZeroDivisionError: by zero" in (out / "records" / "fault.txt").read_text()
    assert sorted(runs(out)) == sorted(
        [f"case{number}" for number in range(6)] + ["unreadable", "fault"] + 2 * list(POISONS)
    )


def test_hanging_native_code_is_killed_and_the_others_are_done(tmp_path: Path, out: Path) -> None:
    write_study(tmp_path / "in" / "a", "hang")
    write_study(tmp_path / "in" / "b")
    call(tmp_path / "in", out, timeout_s=1.0)
    hung = Records(out).read("a")
    assert hung is not None
    assert (hung.state, hung.why, hung.reason) == (State.QUARANTINED, Why.TIME, "more than 1 s")
    assert states(out)["b"] == "done"


def test_quarantined_study_is_tried_again_only_if_asked_or_changed(tmp_path: Path, out: Path) -> None:
    write_study(tmp_path / "in" / "bad", "crash")
    call(tmp_path / "in", out)
    assert call(tmp_path / "in", out).failed == 1
    assert len(runs(out)) == 2
    assert call(tmp_path / "in", out, retry=True).failed == 1
    assert len(runs(out)) == 4
    write_study(tmp_path / "in" / "bad", "fine now")
    assert call(tmp_path / "in", out).done == 1
    assert states(out) == {"bad": "done"}


def test_failed_study_is_tried_again(tmp_path: Path, out: Path) -> None:
    write_study(tmp_path / "in" / "bad", "unreadable")
    for _ in range(2):
        assert call(tmp_path / "in", out).failed == 1
    assert len(runs(out)) == 2


def test_input_that_is_gone_fails(tmp_path: Path, out: Path) -> None:
    items = [Item("gone", str(tmp_path / "gone")), Item("loop", str(tmp_path / "loop"))]
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert call(items, out).failed == 2
    records = [Records(out).read(name) for name in ("gone", "loop")]
    assert [record.why for record in records if record is not None] == [Why.UNREADABLE] * 2


def test_full_disk_ends_the_batch_and_blames_no_study(tmp_path: Path, out: Path) -> None:
    write_study(tmp_path / "in" / "a", "full")
    write_study(tmp_path / "in" / "b")
    with pytest.raises(UsageError, match=r"disk of .* is full"):
        call(tmp_path / "in", out)
    assert states(out)["a"] == "running"


def test_workers_that_cannot_begin_end_the_batch(studies: Path, out: Path) -> None:
    with pytest.raises(JcsError, match="no worker can begin"):
        call(studies, out, task=UNFIT_TASK)


def test_study_in_other_hands_is_waited_for_and_not_done_twice(studies: Path, out: Path) -> None:
    records = Records(out)
    lock = FileLock(records.claim("case0"))
    lock.acquire()
    seen = Seen()
    thread = threading.Thread(target=call, args=(studies, out), kwargs={"seen": seen})
    thread.start()
    deadline = time.monotonic() + 60
    while len(seen.ends) < 5 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "case0" not in runs(out)
    assert thread.is_alive()
    lock.release()
    thread.join(60)
    assert not thread.is_alive()
    assert runs(out).count("case0") == 1


def test_two_calls_at_once_share_the_work(tmp_path: Path, out: Path) -> None:
    for number in range(12):
        write_study(tmp_path / "in" / f"case{number:02d}", "sleep 0.1")
    out.mkdir()
    processes = [start(tmp_path / "in", out) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert sorted(runs(out)) == [f"case{number:02d}" for number in range(12)]
    assert set(states(out).values()) == {"done"}


def test_stopped_batch_lets_running_studies_end(tmp_path: Path, out: Path) -> None:
    for number in range(4):
        write_study(tmp_path / "in" / f"case{number}", "sleep 0.5")
    totals = call(tmp_path / "in", out, seen=Seen(stop_after=1))
    assert totals.studies == 4
    assert totals.ended < 4
    assert set(states(out).values()) == {"done"}
    assert call(tmp_path / "in", out).done == 4
    assert sorted(runs(out)) == [f"case{number}" for number in range(4)]


def test_stopped_batch_drops_what_outlasts_its_grace(tmp_path: Path, out: Path) -> None:
    write_study(tmp_path / "in" / "a")
    write_study(tmp_path / "in" / "b", "sleep 60")
    start_s = time.monotonic()
    call(tmp_path / "in", out, seen=Seen(stop_after=1), grace_s=1.0)
    assert time.monotonic() - start_s < 30
    assert states(out)["a"] == "done"
    record = Records(out).read("b")
    assert record is None or (record.state, record.attempts) == (State.RUNNING, 0)


def test_interrupted_studies_come_last(studies: Path, out: Path) -> None:
    records = Records(out)
    call(items_in(studies)[:1], out)
    done = records.read("case0")
    assert done is not None
    records.write(replace(done, name="case1", state=State.RUNNING, path=str(studies / "case1")))
    call(studies, out)
    assert runs(out)[-1] == "case1"


def test_name_of_another_study_is_refused(studies: Path, tmp_path: Path, out: Path) -> None:
    call(studies, out)
    write_study(tmp_path / "other" / "case1", "another patient")
    with pytest.raises(UsageError, match="under the name case1"):
        call(tmp_path / "other", out)


def test_moved_archive_is_not_done_again(studies: Path, tmp_path: Path, out: Path) -> None:
    call(studies, out)
    studies.rename(tmp_path / "moved")
    assert call(tmp_path / "moved", out).unchanged == 6


def test_leftovers_of_killed_workers_are_removed(studies: Path, out: Path) -> None:
    left = Records(out).studies / ".case0.1234abcd.partial"
    left.mkdir()
    (left / "report.html").write_text("half")
    call(studies, out)
    assert not left.exists()


def test_worker_ends_with_its_driver(tmp_path: Path, out: Path) -> None:
    write_study(tmp_path / "in" / "a", "sleep 300")
    out.mkdir()
    process = start(tmp_path / "in", out)
    deadline = time.monotonic() + 60
    while not runs(out) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.kill()
    process.wait()
    with FileLock(Records(out).claim("a"), timeout=10):
        pass  # nobody holds it any more


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing_and_repeat_nothing(tmp_path: Path, out: Path) -> None:
    for number in range(30):
        write_study(tmp_path / "in" / f"case{number:02d}", "sleep 0.05", patient=f"P{number}")
    call(tmp_path / "in", tmp_path / "whole")
    chance = random.Random(0)
    out.mkdir()
    kills = 0
    while kills < 20:
        process = start(tmp_path / "in", out)
        begun = time.monotonic()
        before = len(runs(out))
        while len(runs(out)) == before and process.poll() is None and time.monotonic() - begun < 60:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.1))
        if process.poll() is not None:
            write_study(tmp_path / "in" / f"more{kills:02d}", "sleep 0.05")
            call(tmp_path / "in", tmp_path / "whole")
            continue
        if kills % 2:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        kills += 1
    totals = call(tmp_path / "in", out)
    assert totals.failed == 0
    rows = [{record.name: record.row for record in Records(place).all()} for place in (out, tmp_path / "whole")]
    assert rows[0] == rows[1]
    # A kill costs the one study that was running.
    assert len(runs(out)) <= len(rows[0]) + kills
