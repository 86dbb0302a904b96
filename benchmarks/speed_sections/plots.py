"""The plots of the page, as SVG."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from benchmarks.speed_sections.plan import Figures
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

mpl.use("Agg")  # needs no screen
mpl.rcParams["svg.hashsalt"] = "speed"  # the same figures give the same file
BLUE, RED = "#1f77b4", "#d62728"


def plots(sections: dict[str, Figures], folder: Path) -> list[tuple[str, str]]:
    """Draw what was measured.

    Returns:
        Name of the file in the folder, and what it shows.
    """
    drawn = []
    if "cases" in sections:
        drawn.append(_save(_stages(sections["cases"]["runs"]), folder, "stages", "Where the seconds of a case go."))
    if "scaling" in sections:
        caption = "An infected case by its number of slices, the share of infected ones, and the cores it may use."
        drawn.append(_save(_scaling(sections["scaling"]), folder, "scaling", caption))
    if "engines" in sections:
        drawn.append(
            _save(_engines(sections["engines"]["networks"]), folder, "engines", "Our networks on each engine.")
        )
    return drawn


def _save(figure: Figure, folder: Path, name: str, caption: str) -> tuple[str, str]:
    figure.tight_layout()
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return f"{name}.svg", caption


def _bare(axes: Axes, **names: str) -> None:
    axes.set(**names)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(bottom=0)


def _stages(runs: Figures) -> Figure:
    figure, axes = plt.subplots(figsize=(8, 2.6))
    names = list(dict.fromkeys(name for run in runs.values() for name in run["stages_s"]))
    left = [0.0] * len(runs)
    for name in names:
        widths = [run["stages_s"].get(name, 0.0) for run in runs.values()]
        axes.barh(list(runs), widths, left=left, label=name)
        left = [one + width for one, width in zip(left, widths, strict=True)]
    axes.set_xlabel("seconds")
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _scaling(found: Figures) -> Figure:
    figure, ((time, memory), (share, threads)) = plt.subplots(2, 2, figsize=(8, 5.6))
    counts = [run["slices"] for run in found["by_slices"]]
    time.plot(counts, [1000 * run["seconds"] / run["slices"] for run in found["by_slices"]], "o-", color=BLUE)
    _bare(time, xlabel="slices", ylabel="ms a slice")
    memory.plot(counts, [run["peak_gb"] for run in found["by_slices"]], "o-", color=BLUE)
    _bare(memory, xlabel="slices", ylabel="peak memory, GB")
    shares = [100 * run["infected_slices"] / run["slices"] for run in found["by_share"]]
    share.plot(shares, [run["seconds"] for run in found["by_share"]], "o-", color=BLUE)
    _bare(share, xlabel="infected slices, %", ylabel="seconds")
    used = [run["threads"] for run in found["by_threads"]]
    threads.plot(used, [run["seconds"] for run in found["by_threads"]], "o-", color=BLUE)
    _bare(threads, xlabel="cores", ylabel="seconds")
    threads.set_xticks(used)
    return figure


def _engines(networks: Figures) -> Figure:
    figure, both = plt.subplots(1, len(networks), figsize=(8, 2.8), squeeze=False)
    for axes, (name, network) in zip(both[0], networks.items(), strict=True):
        rows = [row for row in network["rows"] if "absent" not in row]
        colours = [RED if row["engine"] == "OpenVINO int8" else BLUE for row in rows]
        axes.barh([row["engine"] for row in rows], [row["ms_a_slice"] for row in rows], color=colours)
        axes.invert_yaxis()
        axes.set(title=name, xlabel="ms a slice")
        axes.spines[["top", "right"]].set_visible(False)
    return figure
