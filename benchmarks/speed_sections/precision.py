"""Accuracy lost by 8 bits and a single view: the shipped pipeline compared with fp32 and mirrored views."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.speed_sections.plan import Figures, Plan

from jcs_ct import Diagnoser, read_study
from jcs_ct.benchmarks import BenchmarkResult, classification, segmentation
from jcs_ct.diagnosis.diagnoser_settings import DiagnoserSettings, Precision
from jcs_ct.errors import InputError

EXACT = DiagnoserSettings(precision=Precision.FP32, mirrored=True)
SOURCES = {"segmentation": ("covid-19-ct100", "sars-cov-2-ct"), "classification": ("sars-cov-2-ct", "ucsd-covid-ct")}


def precision(plan: Plan) -> Figures:
    """Dice, AUC and false marks on test slices, and the verdict on every study, by both."""
    pair = {"ours": Diagnoser(), "exact": Diagnoser(settings=EXACT)}
    compared = []
    for evaluate, what in ((segmentation, "segmentation"), (classification, "classification")):
        for source in SOURCES[what][:1] if plan.quick else SOURCES[what]:
            found = {name: evaluate(one, plan.data / source, "test", lambda _: None) for name, one in pair.items()}
            for ours, exact in zip(found["ours"], found["exact"], strict=True):
                compared += _compared(ours, exact)
    verdicts = [_verdicts(plan.data, path, pair) for path in _studies(plan)]
    return {
        "figures": compared,
        "verdicts": [row for row in verdicts if row is not None],
        "verdicts_changed": sum(row["ours"] != row["exact"] for row in verdicts if row is not None),
    }


def _compared(ours: BenchmarkResult, exact: BenchmarkResult) -> list[Figures]:
    names = ("dice_per_image", "dice_pooled", "falsely_marked", "slice_auc", "group_auc")
    rows = []
    for name in names:
        one, two = ours.figures.get(name), exact.figures.get(name)
        if one is not None and two is not None:
            rows.append({"source": ours.source, "protocol": ours.protocol, "figure": name, "ours": one, "exact": two,
                         "given_up": two - one if name != "falsely_marked" else one - two})  # fmt: skip
    return rows


def _studies(plan: Plan) -> Iterator[Path]:
    """Whole studies below the data; `_verdicts` leaves out what cannot be read."""
    if plan.quick:
        yield plan.data / "dicom" / "lung-pet-ct-dx-A0002"
        return
    for kind in ("dicom", "coronacases"):
        yield from (path for path in sorted((plan.data / kind).iterdir()) if path.is_dir())


def _verdicts(data: Path, path: Path, pair: dict[str, Diagnoser]) -> Figures | None:
    try:
        study = read_study(path)
    except InputError:  # refused before any network runs
        return None
    found = {name: diagnoser.run(study) for name, diagnoser in pair.items()}
    return {
        "study": str(path.relative_to(data)),
        **{name: str(one.verdict) for name, one in found.items()},
        **{f"{name}_infected": sum(s.infected is True for s in one.slices) for name, one in found.items()},
        **{f"{name}_lesion_share": one.measures.lesion_share_of_lung for name, one in found.items()},
    }
