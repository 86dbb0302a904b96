"""Goals and the figures that were reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.speed_sections.plan import Figures

Sections = dict[str, Figures]
"""Figures of each section that was measured, by name."""


@dataclass(frozen=True)
class Goal:
    """One figure and its bound."""

    text: str
    bound: float
    figure: Callable[[Sections], float | None]
    """Returns None or raises KeyError if the figure was not measured."""
    unit: str = "s"
    at_least: bool = False

    def found(self, sections: Sections) -> float | None:
        """The figure, if it was measured."""
        try:
            return self.figure(sections)
        except (KeyError, StopIteration, ValueError):
            return None

    def reached(self, value: float) -> bool:
        """Whether a figure is within the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


def _run(name: str, figure: str) -> Callable[[Sections], Any]:
    return lambda s: s["cases"]["runs"][name][figure]


def _times(what: str, original: str = "original") -> Callable[[Sections], Any]:
    return lambda s: s["cases"][original][f"torch eager, {what}"]["times_ours"]


def _peak(slices: int) -> Callable[[Sections], Any]:
    return lambda s: next(run["peak_gb"] for run in s["scaling"]["by_slices"] if run["slices"] == slices)


def _of_product(network: str, engine: str) -> Callable[[Sections], Any]:
    def figure(sections: Sections) -> float:
        rows = sections["engines"]["networks"][network]["rows"]
        return 100 * float(next(row["of_product"] for row in rows if row["engine"] == engine and "of_product" in row))

    return figure


def _stage_of_product(stage: str) -> Callable[[Sections], Any]:
    return lambda s: 100 * s["cases"]["runs"]["infected"]["network_gflops"][stage] / s["cases"]["product_gflops"]


def _given_up(figures: tuple[str, ...]) -> Callable[[Sections], Any]:
    return lambda s: max(row["given_up"] for row in s["precision"]["figures"] if row["figure"] in figures)


GOALS = (
    Goal("infected case of 300 slices, DICOM files to all reports", 22, _run("infected", "seconds")),
    Goal("the same with AVX2 and nothing newer", 22, _run("infected, AVX2", "seconds")),
    Goal("the paper's networks in torch eager, same case, every slice segmented as the original does: times ours",
         40, _times("every slice segmented"), "×", at_least=True),
    Goal("the same, only the slices that we segment: times ours", 40, _times("only what we segment"), "×", True),
    Goal("every slice segmented, all with AVX2 and nothing newer: times ours", 40,
         _times("every slice segmented", "original_avx2"), "×", True),
    Goal("the same, only the slices that we segment: times ours", 40,
         _times("only what we segment", "original_avx2"), "×", True),
    Goal("uninfected case of 300 slices", 8, _run("uninfected", "seconds")),
    Goal("first result told, infected case", 2, _run("infected", "first_result_s")),
    Goal("first result told, uninfected case", 2, _run("uninfected", "first_result_s")),
    Goal("`jcs --help`", 0.3, lambda s: s["start"]["seconds"]["jcs --help"]),
    Goal("`import jcs_ct`", 0.5, lambda s: s["start"]["seconds"]["import jcs_ct"]),
    Goal("peak memory, 300 slices", 1.0, _peak(300), "GB"),
    Goal("peak memory, 1,200 slices", 2.0, _peak(1200), "GB"),
    Goal("GFLOPS of the classifier's stage, of a fp32 matrix product", 60, _stage_of_product("classify"), "%", True),
    Goal("GFLOPS of the segmenter's stage, of the same", 60, _stage_of_product("segment"), "%", True),
    Goal("the classifier alone, 8 bits", 60, _of_product("classifier", "OpenVINO int8"), "%", True),
    Goal("the segmenter alone, 8 bits", 60, _of_product("segmenter", "OpenVINO int8"), "%", True),
    Goal("the classifier alone, fp32", 60, _of_product("classifier", "OpenVINO fp32"), "%", True),
    Goal("the segmenter alone, fp32", 60, _of_product("segmenter", "OpenVINO fp32"), "%", True),
    Goal("time a slice, 1,200 slices against 50", 1.1, lambda s: s["scaling"]["growth"], "×"),
    Goal("time a slice, any number against the best of fewer", 1.1, lambda s: s["scaling"]["largest_growth"], "×"),
    Goal("Dice per image given up, the most of any source", 0.005, _given_up(("dice_per_image",)), ""),
    Goal("slice AUC given up, the most of any source", 0.003, _given_up(("slice_auc",)), ""),
    Goal("verdicts changed", 0, lambda s: s["precision"]["verdicts_changed"], ""),
)  # fmt: skip


def rows(sections: Sections) -> Iterator[tuple[str, str, str, str]]:
    """Goal, bound, figure and whether it was reached, as text."""
    for goal in GOALS:
        sign = "≥" if goal.at_least else "≤"
        value = goal.found(sections)
        shown = "not measured" if value is None else f"{value:.3g} {goal.unit}".strip()
        answer = "" if value is None else "yes" if goal.reached(value) else "**no**"
        yield goal.text, f"{sign} {goal.bound:g} {goal.unit}".strip(), shown, answer
