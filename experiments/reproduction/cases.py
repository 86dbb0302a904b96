"""Tables II and IV: whole cases, diagnosed with the default weights."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from benchmarks.cases import SOURCES, Case, write_case
from experiments.reproduction.parts import Figure, Table, save
from experiments.reproduction.runs import Reproduction
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from jcs_ct.benchmarks import slice_probabilities
from jcs_ct.datasets.sources import read_source
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.evaluation.metrics import bootstrap_interval, sensitivity_specificity
from jcs_ct.study import read_study


def table_2(reproduction: Reproduction) -> Table:
    """Time of a diagnosis, from files to reports."""
    slices = reproduction.preset.case_slices
    rows = []
    for kind, paper in ((Case.INFECTED, "22.0"), (Case.UNINFECTED, "1")):
        with tempfile.TemporaryDirectory() as folder:
            case = Path(folder, "case")
            write_case(reproduction.data, kind, case, slices)
            start = time.perf_counter()
            command = [sys.executable, "-m", "jcs_ct.cli", "diagnose", str(case), "-o", str(Path(folder, "out"))]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            seconds = time.perf_counter() - start
            found = json.loads(Path(folder, "out", "result.json").read_text(encoding="utf-8"))
        rows.append((kind.value, SOURCES[kind], paper, f"{seconds:.1f}", found["verdict"].replace("_", " ")))
    protocol = (
        f"Ours: {slices} slices of 512 × 512 as DICOM files, from the command's start to all reports, two CPU cores. "
        "The uninfected case is made of those slices of the patient that are called uninfected. "
        "Paper: about 300 slices, networks only, on an RTX 2080 Ti."
    )
    return Table(
        "table2", "Table II: time of a case", protocol, ("case", "data", "paper (s)", "ours (s)", "verdict"), rows
    )


PAPER_TABLE_4 = {15: (96.0, 91.5), 20: (95.0, 92.0), 25: (95.0, 93.0), 30: (94.5, 93.5)}
PAPER_SLICES = 325
"""Middle of the 250 to 400 slices per case that the paper's thresholds refer to."""


def patients(reproduction: Reproduction, diagnoser: Diagnoser) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Share of infected slices of every test patient, and whether the patient is infected.

    Patients are the groups of the test split of sars-cov-2-ct, the coronacases series and the two DICOM studies.
    """
    threshold = diagnoser.settings.rule.slice_probability
    records = [record for record in read_source("sars-cov-2-ct", reproduction.data) if record.split == "test"]
    if reproduction.preset.slices is not None:
        records = records[:: max(1, len(records) // (4 * reproduction.preset.slices))]
    called = slice_probabilities(diagnoser, records, lambda _: None) > threshold
    groups = np.array([record.group for record in records])
    infected = np.array([record.infected is True for record in records])
    shares = [float(called[groups == group].mean()) for group in np.unique(groups)]
    truth = [bool(infected[groups == group].any()) for group in np.unique(groups)]
    studies = [("dicom/lung-pet-ct-dx-A0002", False), ("dicom/ricord-001012", True)]
    series = sorted(p for p in (reproduction.data / "coronacases").iterdir() if p.is_dir())
    studies += [(f"coronacases/{p.name}", True) for p in series]
    for name, positive in studies if reproduction.preset.slices is None else studies[:1]:
        rule = diagnoser.run(read_study(reproduction.data / name)).rule
        if rule is not None:
            shares.append(rule.infected_slices / rule.assessed_slices)
            truth.append(positive)
    return np.array(shares), np.array(truth)


def table_4(reproduction: Reproduction, folder: Path) -> tuple[Table, Figure]:
    """Sensitivity and specificity over the patient threshold, as rows and as curves."""
    shares, infected = patients(reproduction, Diagnoser())
    rows = []
    for threshold, (sensitivity, specificity) in PAPER_TABLE_4.items():
        share = threshold / PAPER_SLICES
        rows.append((str(threshold), f"{100 * share:.1f}", f"{sensitivity:.1f}", f"{specificity:.1f}",
                     *_shown_rates(shares, infected, share)))  # fmt: skip
    for share in (0.15, 0.25, 0.5):
        rows.append(("–", f"{100 * share:.1f}", "–", "–", *_shown_rates(shares, infected, share)))
    protocol = (
        f"Ours: {len(shares)} patients that nothing was trained on ({int(infected.sum())} infected): test groups of "
        "sars-cov-2-ct, which hold a few slices each, coronacases and two DICOM studies; a patient is positive above a "
        "share of infected slices, as most have far fewer slices than the paper's 250 to 400. 95 % bootstrap intervals "
        "by patient. Paper: 400 infected and 350 uninfected cases of its own."
    )
    head = ("slices (paper)", "share (%)", "paper sensitivity", "paper specificity", "sensitivity", "specificity")
    table = Table("table4", "Table IV: the patient threshold", protocol, head, rows)
    return table, _curves(shares, infected, folder)


def _curves(shares: NDArray[np.float64], infected: NDArray[np.bool_], folder: Path) -> Figure:
    at = np.linspace(0, 0.8, 81)
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    for index, (name, colour) in enumerate((("sensitivity", "#d62728"), ("specificity", "#1f77b4"))):
        found = np.array([_rates(shares, infected, share)[index] for share in at])
        axes.plot(100 * at, 100 * found[:, 0], color=colour, label=name)
        axes.fill_between(100 * at, 100 * found[:, 1], 100 * found[:, 2], color=colour, alpha=0.15, linewidth=0)
        places = [100 * threshold / PAPER_SLICES for threshold in PAPER_TABLE_4]
        paper = [rates[index] for rates in PAPER_TABLE_4.values()]
        axes.scatter(places, paper, s=16, color=colour, marker="x", label=f"{name}, paper")
    axes.set(xlabel="positive above this share of infected slices, %", ylabel="%", ylim=(0, 103))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    caption = f"The same {len(shares)} patients as in Table IV; bands are 95 % bootstrap intervals by patient."
    return save(figure, folder, "table4", "Table IV as curves", caption)


def _rates(
    shares: NDArray[np.float64], infected: NDArray[np.bool_], share: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Sensitivity and specificity, each with its interval, where patients above a share are called positive."""
    called = shares > share
    out = []
    for index in (0, 1):

        def figure(chosen: NDArray[np.int64], index: int = index) -> float | None:
            found = sensitivity_specificity(infected[chosen], called[chosen])[index]
            return None if np.isnan(found) else found

        value = sensitivity_specificity(infected, called)[index]
        out.append((value, *bootstrap_interval(figure, np.arange(len(shares)))))
    return out[0], out[1]


def _shown_rates(shares: NDArray[np.float64], infected: NDArray[np.bool_], share: float) -> tuple[str, str]:
    first, second = (
        f"{100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f})"
        for value, low, high in _rates(shares, infected, share)
    )
    return first, second
