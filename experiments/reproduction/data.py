"""Figures 6 and 8: the reader's outlines. Figure 7 shows patients, about whom pictures say nothing."""

from __future__ import annotations

from pathlib import Path

from experiments.reproduction.parts import Figure
from experiments.reproduction.runs import SOURCE, Reproduction

from jcs_ct.datasets.statistics import statistics
from jcs_ct.evaluation.plots import plot_attributes, plot_segmentation_set


def figures_6_and_8(reproduction: Reproduction, folder: Path) -> list[Figure]:
    """Areas, positions, widths and heights of the opacities, and their number per slice."""
    (found,) = statistics(reproduction.data / SOURCE)
    told = found.as_dict()
    plot_attributes(found.opacities, folder / "figure6.png")
    plot_segmentation_set(found.counts, found.opacities, folder / "figure8.png")
    what = f"{told['opacities']} opacities outlined on {told['outlined_slices']} slices of {SOURCE}"
    return [
        Figure(
            "figure6", "Figure 6: attributes of the opacities",
            f"{what}, in pixels of 512 × 512: the pictures have no spacing.", "figure6.png",
        ),
        Figure(
            "figure8", "Figure 8: the segmentation set",
            f"{what}. Figure 7 of the paper, ages, sexes and slice thickness of its patients, cannot be drawn from "
            "these pictures; `jcs evaluate statistics` draws it for DICOM studies.", "figure8.png",
        ),
    ]  # fmt: skip
