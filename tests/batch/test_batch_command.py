"""`jcs batch` and `jcs cohort` as a user types them, over stand-ins."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jcs_ct.batch.settings import WorkSettings
from jcs_ct.cli import batching
from tests.batch.calls import ROOT
from tests.batch.stand_in import TASK, runs, write_study
from tests.command_line import CommandLine


@pytest.fixture(autouse=True)
def _stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., WorkSettings] = batching._settings
    monkeypatch.setattr(batching, "_settings", lambda *given: replace(real(*given), task=TASK))


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    for number in range(4):
        write_study(tmp_path / "in" / f"case{number}", "fine", f"P{number // 2}", f"2020040{number + 1}")
    return tmp_path / "in"


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "cohort.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_batch_diagnoses_all_and_writes_the_cohort(jcs: CommandLine, studies: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = jcs("batch", studies, "-o", out, "--workers", "1")
    assert done.code == 0, done
    assert "4 of 4 done" in done.out
    assert f"cohort: {out / 'cohort.html'}" in done.out
    assert [row["study"] for row in rows(out)] == ["case0", "case1", "case2", "case3"]
    assert "begins: 4 studies" in (out / "batch.log").read_text()
    again = jcs("batch", studies, "-o", out, "--workers", "1")
    assert (again.code, "4 of 4 done (4 before)" in again.out) == (0, True)
    assert len(runs(out)) == 4


def test_events_are_one_object_a_line_and_failures_have_their_status(
    jcs: CommandLine, studies: Path, tmp_path: Path
) -> None:
    write_study(studies / "bad", "unreadable")
    done = jcs("batch", studies, "-o", tmp_path / "out", "--workers", "1", "--json")
    assert done.code == batching.SOME_FAILED
    events = [json.loads(line) for line in done.out.splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["start", "end"]
    ended = {event["study"]: event for event in events if event["event"] == "study"}
    assert len(ended) == 5
    assert (ended["bad"]["state"], ended["bad"]["why"]) == ("failed", "unreadable input")
    assert (events[-1]["done"], events[-1]["failed"], events[-1]["status"]) == (4, 1, 4)
    assert "bad: failed, unreadable input: a.dcm is damaged" in (tmp_path / "out" / "batch.log").read_text()


def test_parts_together_do_all_and_cohort_joins_them(jcs: CommandLine, studies: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for part in range(2):
        done = jcs("batch", studies, "-o", out, "--workers", "1", "--part", str(part), "--of", "2")
        assert done.code == 0
        assert f"part {part} of 2: all parts must run, then: jcs cohort {out}" in done.out
    assert not (out / "cohort.csv").exists()
    joined = jcs("cohort", out, "--threshold", "3", "--threshold", "30")
    assert joined.code == 0
    assert "4 studies | 0 positive | 4 negative | 4 positive at 3 | 0 positive at 30" in joined.out
    assert [row["verdict_at_3"] for row in rows(out)] == ["positive"] * 4
    assert sorted(path.name for path in out.glob("*.log")) == [
        "batch-part-0-of-2.log", "batch-part-1-of-2.log", "runs.log",
    ]  # fmt: skip


def test_part_of_a_scheduler(jcs: CommandLine, studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "1")
    done = jcs("batch", studies, "-o", tmp_path / "out", "--workers", "1", "--part", "auto")
    assert "part 0 of 1" in done.out


def test_plan_is_a_table_to_start_from(jcs: CommandLine, studies: Path, tmp_path: Path) -> None:
    assert "4 studies" in jcs("batch", studies, "--plan", tmp_path / "plan.csv").out
    done = jcs("batch", tmp_path / "plan.csv", "-o", tmp_path / "out", "--workers", "1")
    assert "4 of 4 done" in done.out


def test_deidentified_batch_has_names_of_its_key(jcs: CommandLine, studies: Path, tmp_path: Path) -> None:
    (tmp_path / "uid.key").write_text("x" * 32)
    options = ("--workers", "1", "--deidentify", "--uid-key", tmp_path / "uid.key")
    assert jcs("batch", studies, "-o", tmp_path / "out", *options).code == 0
    assert [row["study"][:4] for row in rows(tmp_path / "out")] == ["JCS-"] * 4
    assert {row["input"] for row in rows(tmp_path / "out")} == {""}
    assert "case" not in (tmp_path / "out" / "batch.log").read_text()
    again = jcs("batch", studies, "-o", tmp_path / "out", *options)
    assert "(4 before)" in again.out


REFUSED: list[tuple[list[Any], str]] = [
    (["batch", "in"], "give -o"),
    (["batch", "-o", "out"], "expected either INPUT"),
    (["batch", "in", "--from", "http://x", "-o", "out"], "expected either INPUT"),
    (["batch", "in", "--query", "a=b", "-o", "out"], "--query is for the service"),
    (["batch", "--from", "http://127.0.0.1:9/x", "--query", "nonsense", "-o", "out"], "expected KEYWORD=VALUE"),
    (["batch", "--from", "peer", "-o", "out"], "expected a URL, or a peer"),
    (["batch", "--from", "http://127.0.0.1:9/x", "-o", "out"], "gives no proper answer"),
    (["batch", "gone", "-o", "out"], "does not exist"),
    (["batch", "in", "-o", "out", "--threshold", "0"], "--threshold: found 0"),
    (["batch", "in", "-o", "out", "--timeout", "0"], "--timeout: found 0"),
    (["batch", "in", "-o", "out", "--memory", "0.1"], "--memory: found 0.1"),
    (["batch", "in", "-o", "out", "--threads", "0"], "--threads: found 0"),
    (["batch", "in", "-o", "out", "--workers", "0"], "--workers: found 0"),
    (["batch", "in", "-o", "out", "--part", "3"], "belong together"),
    (["batch", "in", "-o", "out", "--deidentify"], "--uid-key belong together"),
    (["batch", "in", "-o", "out", "--weights", "gone"], "no readable manifest.json"),
    (["batch", "in", "-o", "in/case0/study.txt"], "cannot make the folder"),
    (["cohort", "in"], "holds no results of a batch"),
    (["cohort", "in", "--threshold", "0"], "holds no results of a batch"),
]


@pytest.mark.parametrize(("words", "why"), REFUSED)
def test_wrong_calls_are_refused(
    jcs: CommandLine, studies: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], why: str
) -> None:
    monkeypatch.chdir(studies.parent)
    assert why in jcs(*words).refusal()


def test_sigterm_ends_in_good_order_and_the_same_call_goes_on(tmp_path: Path) -> None:
    for number in range(6):
        write_study(tmp_path / "in" / f"case{number}", "sleep 0.5")
    out = tmp_path / "out"
    script = tmp_path / "jcs.py"
    script.write_text(
        "from dataclasses import replace\n"
        "from jcs_ct.cli import batching, main\n"
        "real = batching._settings\n"
        f"batching._settings = lambda *given: replace(real(*given), task={TASK!r})\n"
        "if __name__ == '__main__':\n"
        "    main()\n"
    )
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PATH": os.environ["PATH"]}
    words = [sys.executable, str(script), "batch", str(tmp_path / "in"), "-o", str(out), "--workers", "1"]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    while len(runs(out)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)  # as schedulers do: to all processes at once
    said, _ = process.communicate(timeout=120)
    assert process.returncode == batching.STOPPED
    assert "stopped early: the same call goes on" in said
    done = {row["study"]: row["state"] for row in rows(out)}
    assert set(done.values()) == {"done"}
    assert 1 <= len(done) < 6
    rest = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert rest.returncode == 0, rest.stderr
    assert sorted(runs(out)) == [f"case{number}" for number in range(6)]
