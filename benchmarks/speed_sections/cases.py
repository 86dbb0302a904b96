"""Whole cases from DICOM files to all reports, compared with the paper's networks in torch on the same machine."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.speed_sections.backends import parameters_and_flops, product_gflops
from benchmarks.speed_sections.paper_size import paper_size, paper_size_avx2
from benchmarks.speed_sections.plan import AVX2, Figures, Plan
from benchmarks.speed_sections.process import made, median_run

from jcs_ct.engine import Network
from jcs_ct.models import registry
from jcs_ct.weights import load_manifest


def cases(plan: Plan) -> Figures:
    """An infected case, an uninfected one, an infected one on AVX2; then the paper's networks, slice by slice."""
    with tempfile.TemporaryDirectory() as folder:
        infected = made(plan.data, Case.INFECTED, Path(folder), plan.case_slices)
        uninfected = made(plan.data, Case.UNINFECTED, Path(folder), plan.case_slices)
        runs = {
            "infected": median_run(infected, plan.runs),
            "uninfected": median_run(uninfected, plan.runs),
            "infected, AVX2": median_run(infected, plan.runs, environment=AVX2),
        }
    paper, paper_avx2 = paper_size(plan), paper_size_avx2(plan)
    product = product_gflops(plan.rounds)
    for run in runs.values():
        run["network_gflops"] = network_gflops(run)
    return {
        "runs": runs,
        "paper_size": paper,
        "paper_size_avx2": paper_avx2,
        "product_gflops": product,
        "original": against(runs["infected"], paper),
        "original_avx2": against(runs["infected, AVX2"], paper_avx2),
        "stages_at_paper_size_s": stages_at_paper_size(runs["infected"], paper),
    }


def network_gflops(run: Figures) -> dict[str, float]:
    """GFLOPS of the two stages in which networks run, by the stages' clocks."""
    counts = {"classify": ("classifier", "assessed_slices"), "segment": ("segmenter", "segmented_slices")}
    found, files = {}, load_manifest()
    for stage, (name, count) in counts.items():
        flops = parameters_and_flops(registry.build(name), Network(files[name].exact.path).input_size)[1]
        if run[count] and run["stages_s"].get(stage):
            found[stage] = flops * run[count] / run["stages_s"][stage] / 1e9
    return found


def stages_at_paper_size(run: Figures, paper: Figures) -> dict[str, float]:
    """Seconds by stage of our diagnosis if its networks were of the paper's size, in OpenVINO: extrapolated."""
    seconds = paper["seconds_a_slice"]
    stages: dict[str, float] = dict(run["stages_s"])
    stages["classify"] = seconds["classifier, OpenVINO fp32"] * run["assessed_slices"]
    stages["segment"] = seconds["segmenter, OpenVINO fp32"] * run["segmented_slices"]
    return stages


def against(run: Figures, paper: Figures) -> Figures:
    """Seconds of the paper's two networks over a case of so many slices, each slice as long as the few measured.

    Networks only: reading, lungs, measures and reports, which are in our seconds, are not added to theirs.

    Returns:
        By engine and by what is segmented: seconds, and how often our whole diagnosis fits into them.
    """
    found: Figures = {}
    for engine in ("torch eager", "OpenVINO fp32"):
        classifier = paper["seconds_a_slice"][f"classifier, {engine}"] * run["slices"]
        segmenter = paper["seconds_a_slice"][f"segmenter, {engine}"]
        for what, count in (
            ("every slice segmented", run["slices"]),
            ("only what we segment", run["segmented_slices"]),
        ):
            seconds = classifier + segmenter * count
            found[f"{engine}, {what}"] = {"seconds": seconds, "times_ours": seconds / run["seconds"]}
    return found
