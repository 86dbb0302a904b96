"""The tables: each function gives rows for the page, from runs that are made where they are missing."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.diagnose_case import write_case
from experiments.reproduction.plan import ABLATION, COMPARED, JCS, JOINT, System
from experiments.reproduction.runs import HeldOutSlice, Place, predictions
from experiments.reproduction.scores import FIGURES, Scores, cost, scores
from numpy.typing import NDArray
from tqdm import tqdm

from jcs_ct.datasets.sources import read_source
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.evaluation.metrics import bootstrap_interval, sensitivity_specificity
from jcs_ct.study import read_study
from jcs_ct.trials import slice_probabilities

PERCENT = {"dice", "iou", "e_measure", "s_measure"}


@dataclass(frozen=True)
class Table:
    """A table of the page."""

    name: str
    title: str
    protocol: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    remark: str = ""


class Evaluated:
    """Scores of systems, each computed once."""

    def __init__(self, place: Place, slices: list[HeldOutSlice]) -> None:
        self.place, self.slices = place, slices
        self.kept: dict[str, list[Scores]] = {}

    def __call__(self, system: System) -> list[Scores]:
        """One `Scores` for each seed."""
        if system.key not in self.kept:
            seeds = self.place.preset.seeds
            self.kept[system.key] = [
                scores(predictions(system, seed, self.place, self.slices), self.slices) for seed in seeds
            ]
        return self.kept[system.key]

    def all(self, systems: Iterable[System]) -> None:
        """Train and evaluate many, seed by seed, with a progress bar: what is there early is a whole table."""
        systems = list(systems)
        runs = [(system, seed) for seed in self.place.preset.seeds for system in systems]
        for system, seed in tqdm(runs, desc="runs", disable=not sys.stderr.isatty()):
            predictions(system, seed, self.place, self.slices)
        for system in systems:
            self(system)


def _shown(name: str, of_seeds: list[Scores]) -> str:
    """Mean over slices and seeds, and the spread of the seeds' means."""
    means = np.array([getattr(one, name).mean() for one in of_seeds])
    factor, digits = (100, 1) if name in PERCENT else (1, 3)
    spread = f" ± {factor * means.std(ddof=1):.{digits}f}" if len(means) > 1 else ""
    return f"{factor * means.mean():.{digits}f}{spread}"


def _interval(of_seeds: list[Scores]) -> str:
    """95 % bootstrap interval over slices of the Dice, averaged over seeds first."""
    dice = np.mean([one.dice for one in of_seeds], axis=0)
    low, high = bootstrap_interval(lambda chosen: float(dice[chosen].mean()), np.arange(len(dice)))
    return f"{100 * low:.1f} to {100 * high:.1f}"


def _paper(system: System) -> tuple[str, str, str]:
    return ("–", "–", "–") if system.paper is None else tuple(f"{value:.1f}" for value in system.paper)  # type: ignore[return-value]


def _protocol(evaluated: Evaluated) -> str:
    preset = evaluated.place.preset
    return (
        f"Ours: trained on the 50 training slices of the 50/48 split of covid-19-ct100 (8 of them choose the "
        f"checkpoint), {preset.settings['steps']} steps of 4 slices at {preset.input_size[0]} × "
        f"{preset.input_size[1]}, size `{preset.size}`; {len(evaluated.slices)} test slices, mean per image at "
        f"threshold 0.5, E-measure as the mean over 256 thresholds; mean over seeds "
        f"{', '.join(map(str, preset.seeds))} ± their standard deviation. Paper: its own data, which are not public."
    )


def _segmentation(name: str, title: str, systems: Iterable[System], evaluated: Evaluated) -> Table:
    systems = tuple(systems)
    evaluated.all(systems)
    rows = []
    for system in systems:
        found = evaluated(system)
        rows.append(
            (system.label, *_paper(system), *(_shown(f, found) for f in ("dice", "iou", "e_measure")), _interval(found))
        )
    head = ("system", "paper Dice", "paper IoU", "paper Eφ", "Dice", "IoU", "Eφ", "Dice, 95 % interval")
    return Table(name, title, _protocol(evaluated), head, rows)


def table_5(evaluated: Evaluated) -> Table:
    """The ablation of EFM and AFF."""
    return _segmentation("table5", "Table V: what EFM and AFF give", ABLATION, evaluated)


def table_6(evaluated: Evaluated) -> Table:
    """The segmenter without and with the classifier's features."""
    return _segmentation("table6", "Table VI: what the classifier's features give", (JCS, JOINT), evaluated)


def table_7(evaluated: Evaluated) -> Table:
    """All systems under one protocol, with what they cost."""
    evaluated.all(COMPARED)
    rows = []
    for system in COMPARED:
        found, price = evaluated(system), cost(system, evaluated.place.preset)
        rows.append(
            (
                system.label,
                *_paper(system),
                *(_shown(figure, found) for figure in FIGURES),
                _interval(found),
                f"{price.parameters / 1e6:.2f}",
                f"{price.flops / 1e9:.1f}",
                f"{1000 * price.seconds:.0f}",
            )
        )
    head = (
        "system", "paper Dice", "paper IoU", "paper Eφ", "Dice", "IoU", "Eφ", "Sα", "MAE", "Dice, 95 % interval",
        "parameters (M)", "GFLOP a slice", "ms a slice",
    )  # fmt: skip
    return Table(
        "table7", "Table VII: all systems under one protocol", _protocol(evaluated), head, rows, _ranking(evaluated)
    )


def _ranking(evaluated: Evaluated) -> str:
    """By how much JCS is ahead of each peer, or is not."""
    own = np.mean([one.dice for one in evaluated(JCS)], axis=0)
    ahead: list[str] = []
    behind: list[str] = []
    for system in COMPARED:
        if system.key in (JCS.key, JOINT.key):
            continue
        gain = 100 * float((own - np.mean([one.dice for one in evaluated(system)], axis=0)).mean())
        (ahead if gain > 0 else behind).append(f"{system.label} ({gain:+.1f})")
    text = f"Mean Dice per image of JCS (segmentation alone) is ahead of: {', '.join(ahead) or 'none'}."
    return text + (f" It is not ahead of: {', '.join(behind)}." if behind else "")


def table_2(place: Place) -> Table:
    """Time of a diagnosis, from files to reports."""
    slices = place.preset.case_slices
    rows = []
    cases = (("infected", "ricord-001012", "22.0"), ("uninfected", "lung-pet-ct-dx-A0002", "1"))
    for label, name, paper in cases:
        with tempfile.TemporaryDirectory() as folder:
            case = Path(folder, "case")
            write_case(place.data / "dicom" / name, case, slices)
            start = time.perf_counter()
            command = [sys.executable, "-m", "jcs_ct.cli", "diagnose", str(case), "-o", str(Path(folder, "out"))]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            seconds = time.perf_counter() - start
            found = json.loads(Path(folder, "out", "result.json").read_text(encoding="utf-8"))
        rows.append((label, name, paper, f"{seconds:.1f}", found["verdict"].replace("_", " ")))
    protocol = (
        f"Ours: {slices} slices of 512 × 512 as DICOM files, from the command's start to all reports, two CPU cores. "
        "Paper: about 300 slices, networks only, on an RTX 2080 Ti."
    )
    return Table(
        "table2", "Table II: time of a case", protocol, ("case", "data", "paper (s)", "ours (s)", "verdict"), rows
    )


PAPER_TABLE_4 = {15: (96.0, 91.5), 20: (95.0, 92.0), 25: (95.0, 93.0), 30: (94.5, 93.5)}
PAPER_SLICES = 325
"""The middle of the 250 to 400 slices a case that the paper's thresholds count in."""


def patients(place: Place, diagnoser: Diagnoser) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Share of infected slices of every test patient, and whether the patient is infected.

    Patients are the groups of the test split of sars-cov-2-ct, the coronacases series and the two DICOM studies.
    """
    threshold = diagnoser.settings.rule.slice_probability
    records = [record for record in read_source("sars-cov-2-ct", place.data) if record.split == "test"]
    if place.preset.slices is not None:
        records = records[:: max(1, len(records) // (4 * place.preset.slices))]
    called = slice_probabilities(diagnoser, records, lambda _: None, diagnoser.calibration) > threshold
    groups = np.array([record.group for record in records])
    infected = np.array([record.infected is True for record in records])
    shares = [float(called[groups == group].mean()) for group in np.unique(groups)]
    truth = [bool(infected[groups == group].any()) for group in np.unique(groups)]
    studies = [("dicom/lung-pet-ct-dx-A0002", False), ("dicom/ricord-001012", True)]
    series = sorted(p for p in (place.data / "coronacases").iterdir() if p.is_dir())
    studies += [(f"coronacases/{p.name}", True) for p in series]
    for name, positive in studies if place.preset.slices is None else studies[:1]:
        rule = diagnoser.run(read_study(place.data / name)).rule
        if rule is not None:
            shares.append(rule.infected_slices / rule.assessed_slices)
            truth.append(positive)
    return np.array(shares), np.array(truth)


def table_4(place: Place) -> Table:
    """Sensitivity and specificity over the patient threshold."""
    shares, infected = patients(place, Diagnoser())
    rows = []
    for threshold, (sensitivity, specificity) in PAPER_TABLE_4.items():
        share = threshold / PAPER_SLICES
        rows.append((str(threshold), f"{100 * share:.1f}", f"{sensitivity:.1f}", f"{specificity:.1f}",
                     *_rates(shares, infected, share)))  # fmt: skip
    for share in (0.15, 0.25, 0.5):
        rows.append(("–", f"{100 * share:.1f}", "–", "–", *_rates(shares, infected, share)))
    protocol = (
        f"Ours: {len(shares)} patients that nothing was trained on ({int(infected.sum())} infected): test groups of "
        "sars-cov-2-ct, which hold a few slices each, coronacases and two DICOM studies; a patient is positive above a "
        "share of infected slices, as most have far fewer slices than the paper's 250 to 400. 95 % bootstrap intervals "
        "by patient. Paper: 400 infected and 350 uninfected cases of its own."
    )
    head = ("slices (paper)", "share (%)", "paper sensitivity", "paper specificity", "sensitivity", "specificity")
    return Table("table4", "Table IV: the patient threshold", protocol, head, rows)


def _rates(shares: NDArray[np.float64], infected: NDArray[np.bool_], share: float) -> tuple[str, str]:
    called = shares > share
    shown = []
    for index in (0, 1):
        value = sensitivity_specificity(infected, called)[index]

        def figure(chosen: NDArray[np.int64], index: int = index) -> float | None:
            found = sensitivity_specificity(infected[chosen], called[chosen])[index]
            return None if np.isnan(found) else found

        low, high = bootstrap_interval(figure, np.arange(len(shares)))
        shown.append(f"{100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f})")
    return shown[0], shown[1]
