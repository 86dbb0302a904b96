"""The page on speed shows measured, unmeasured and missed goals."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.speed_sections import goals, plan
from benchmarks.speed_sections.page import write_page
from benchmarks.speed_sections.plan import Figures, Plan


def start(seconds: float) -> Figures:
    return {"seconds": {"python alone": 0.02, "import jcs_ct": 0.1, "jcs --help": seconds}}


def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    page = write_page({}, tmp_path / "speed").read_text(encoding="utf-8")
    assert page.count("not measured") == len(goals.GOALS)


@pytest.mark.parametrize(("seconds", "answer"), [(0.2, "yes"), (0.4, "**no**")])
def test_a_goal_is_reached_or_not(seconds: float, answer: str) -> None:
    found = {row[0]: row for row in goals.rows({"start": start(seconds)})}
    assert found["`jcs --help`"][2:] == (f"{seconds:g} s", answer)


def test_goals_that_ask_for_much_are_missed_by_less() -> None:
    goal = goals.Goal("much", 40, lambda _: 39.0, "×", at_least=True)
    assert not goal.reached(39.0)
    assert goal.reached(40.0)


def test_figures_come_back_and_quick_ones_are_marked(tmp_path: Path) -> None:
    folder = tmp_path / "speed"
    plan.save(folder, "start", Plan(tmp_path, quick=True), plan.machine(), start(0.2))
    assert [path.name for path in folder.iterdir()] == ["start.json"]
    page = write_page(plan.load(folder), folder).read_text(encoding="utf-8")
    assert "no figure of these counts: start" in page
    assert "| `jcs --help` | 0.20 |" in page


def test_works_are_done_by_turns() -> None:
    done: list[str] = []
    taken = plan.interleaved({"a": lambda: done.append("a"), "b": lambda: done.append("b")}, rounds=2)
    assert done == ["a", "b"] * 3
    assert set(taken) == {"a", "b"}
