"""Generate `docs/speed.md` from the figures of all sections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.speed_sections import goals
from benchmarks.speed_sections.plan import Figures
from benchmarks.speed_sections.plots import plots

INTRO = (
    "Measured by `python benchmarks/speed.py --data DIR`, which writes this page. Seconds are medians of several "
    "runs; each run is a separate process, timed from before its start. Figures that are compared with each other "
    "were measured alternately in one process. GFLOP are counted by `torch.utils.flop_counter`; the matrix product "
    "for comparison is fp32, also for networks in 8 bits. `AVX2` means that the environment restricted kernels to "
    "it (`ONEDNN_MAX_CPU_ISA`), on the same machine."
)


def write_page(documents: dict[str, Figures], folder: Path) -> Path:
    """Write the page beside the folder of figures, its plots into it.

    Args:
        documents: of all sections, as `plan.load` gives them.
        folder: of the figures.
    """
    sections = {name: document["figures"] for name, document in documents.items()}
    counted = {name: sections[name] for name, document in documents.items() if not document["quick"]}
    parts = ["# Speed", "", INTRO, ""]
    if quick := [name for name, document in documents.items() if document["quick"]]:
        parts += [
            f"**Measured with `--quick`, to see that it works; no figure of these counts: {', '.join(quick)}.**",
            "",
        ]
    parts += ["## Goals", "", *_table(("goal", "bound", "found", "reached"), goals.rows(counted)), ""]
    parts += ["## Machine", "", *_machines(documents), ""]
    for name, render in RENDERED.items():
        if name in sections:
            parts += [*render(sections[name]), ""]
    for file, caption in plots(sections, folder):
        parts += [f"![{caption}]({folder.name}/{file})", "", caption, ""]
    page = folder.parent / f"{folder.name}.md"
    part = page.with_suffix(".partial")
    part.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
    part.replace(page)
    return page


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [list(head), ["---"] * len(head), *(list(row) for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _machines(documents: dict[str, Figures]) -> list[str]:
    rows = []
    for name, document in documents.items():
        found = document["machine"]
        libraries = ", ".join(f"{key} {found[key] or 'absent'}" for key in ("openvino", "torch", "onnxruntime"))
        sets = ", ".join(found["instruction_sets"])
        rows.append((name, found["cpu"], str(found["cores"]), sets, str(found["load_before"]), libraries))
    return _table(("section", "processor", "cores", "instruction sets", "load before", "libraries"), rows)


def _start(found: Figures) -> list[str]:
    rows = [(f"`{name}`", _number(seconds, 2)) for name, seconds in found["seconds"].items()]
    return ["## Start", "", *_table(("command", "s"), rows)]


def _cases(found: Figures) -> list[str]:
    head = ("case", "slices", "segmented", "s", "all runs, s", "first result, s", "peak, GB", "verdict")
    rows = [
        (name, str(run["slices"]), str(run["segmented_slices"]), _number(run["seconds"]),
         ", ".join(_number(one) for one in run["all_seconds"]), _number(run["first_result_s"], 2),
         _number(run["peak_gb"], 2), run["verdict"])
        for name, run in found["runs"].items()
    ]  # fmt: skip
    stages = list(dict.fromkeys(stage for run in found["runs"].values() for stage in run["stages_s"]))
    by_stage = [
        (name, *(_number(run["stages_s"].get(stage), 2) for stage in stages)) for name, run in found["runs"].items()
    ]
    shown = [_number(found["stages_at_paper_size_s"].get(stage), 2) for stage in stages]
    by_stage.append(("infected, networks of the paper's size, fp32 (extrapolated)", *shown))
    paper = found["paper_size"]
    avx2 = found["paper_size_avx2"]["seconds_a_slice"]
    a_slice = [
        (name, _number(1000 * value, 0), _number(1000 * avx2[name], 0))
        for name, value in paper["seconds_a_slice"].items()
    ]
    whole = [
        (name + suffix, _number(one["seconds"], 0), _number(one["times_ours"]))
        for original, suffix in (("original", ""), ("original_avx2", ", AVX2"))
        for name, one in found[original].items()
    ]
    return [
        "## Cases", "", *_table(head, rows), "", "Seconds by stage:", "", *_table(("case", *stages), by_stage), "",
        "The paper's networks (random weights; classifier 224 × 224, all else 512 × 512), median of a few slices:", "",
        *_table(("network and engine", "ms a slice", "AVX2"), a_slice), "",
        "The same over the infected case, **extrapolated** from those slices: networks only; ours, a whole diagnosis:",
        "", *_table(("what runs", "s", "times ours"), whole),
    ]  # fmt: skip


def _engines(found: Figures) -> list[str]:
    lines = [f"## Engines, instruction sets: {found['instruction_sets']}", ""]
    measure = {"segmenter": "Dice per image, covid-19-ct100", "classifier": "slice AUC, a third of sars-cov-2-ct"}
    for name, network in found["networks"].items():
        height, width = network["input_size"]
        product = f"{_number(network['product_gflops'], 0)} GFLOPS"
        lines += [
            f"The {name} at {height} × {width}, {network['gflop_a_slice']:.2f} GFLOP a slice; the matrix product: "
            f"{product}:",
            "",
        ]
        eager = next(row["ms_a_slice"] for row in network["rows"] if row["engine"] == "torch eager")
        lines += _table(
            (
                "engine",
                "ms a slice",
                "times as fast as torch eager",
                "GFLOPS",
                "of the product",
                "memory, GB",
                measure[name],
            ),
            [_engine_row(row, eager) for row in network["rows"]],
        )
        lines.append("")
    return lines[:-1]


def _engine_row(row: Figures, eager: float) -> tuple[str, ...]:
    if "absent" in row:
        return row["engine"], f"not here: {row['absent']}", *["–"] * 5
    return (
        row["engine"], _number(row["ms_a_slice"]), _number(eager / row["ms_a_slice"], 2), _number(row["gflops"], 0),
        f"{100 * row['of_product']:.0f} %", _number(row["memory_gb"], 2), _number(row["accuracy"], 4),
    )  # fmt: skip


def _systems(found: Figures) -> list[str]:
    head = ("network", "size", "input", "parameters (M)", "GFLOP a slice", "torch eager, ms", "OpenVINO fp32, ms",
            "times our segmenter, eager")  # fmt: skip
    rows = [
        (row["network"], row["size"], " × ".join(map(str, row["input_size"])), _number(row["parameters"] / 1e6, 2),
         _number(row["gflop_a_slice"]), _number(row["ms_a_slice"]["torch eager"]),
         _number(row["ms_a_slice"].get("OpenVINO fp32")), _number(row["times_our_segmenter"], 2))
        for row in found["rows"]
    ]  # fmt: skip
    note = (
        "Random weights: time does not depend on them. Their accuracy is in Table VII of the "
        "[reproduction](reproduction/README.md)."
    )
    return ["## Systems", "", *_table(head, rows), "", note]


def _scaling(found: Figures) -> list[str]:
    def rows(runs: list[Figures], key: str, shown: Callable[[Figures], str]) -> list[str]:
        return _table(
            (key, "slices", "infected", "segmented", "s", "ms a slice", "peak, GB"),
            [
                (shown(run), str(run["slices"]), str(run["infected_slices"]), str(run["segmented_slices"]),
                 _number(run["seconds"]), _number(1000 * run["seconds"] / run["slices"], 0), _number(run["peak_gb"], 2))
                for run in runs
            ],
        )  # fmt: skip

    return [
        "## Scaling", "", *rows(found["by_slices"], "number of slices", lambda run: str(run["slices"])), "",
        f"Each slice more takes {1000 * found['each_further_slice_s']:.0f} ms.", "",
        *rows(found["by_share"], "made from infected slices", lambda run: f"{100 * run['share']:.0f} %"), "",
        *rows(found["by_threads"], "cores", lambda run: str(run["threads"])),
    ]  # fmt: skip


def _precision(found: Figures) -> list[str]:
    figures = [
        (row["source"], row["protocol"], row["figure"].replace("_", " "), _number(row["ours"], 4),
         _number(row["exact"], 4), f"{row['given_up']:+.4f}")
        for row in found["figures"]
    ]  # fmt: skip
    shares = ("ours_lesion_share", "exact_lesion_share")
    verdicts = [
        (row["study"], row["ours"], row["exact"], str(row["ours_infected"]), str(row["exact_infected"]),
         *(_number(None if row[key] is None else 100 * row[key], 2) for key in shares))
        for row in found["verdicts"]
    ]  # fmt: skip
    return [
        "## Accuracy given up", "",
        "Ours (8 bits, each slice seen once) compared with fp32 and mirrored views; negative means better.", "",
        *_table(("source", "protocol", "figure", "ours", "fp32, seen twice", "given up"), figures), "",
        f"Verdicts changed: {found['verdicts_changed']} of {len(verdicts)}.", "",
        *_table(("study", "ours", "fp32, seen twice", "infected slices", "same", "opacities, % of lung", "same"),
                verdicts),
    ]  # fmt: skip


def _gpu(found: Figures) -> list[str]:
    if "absent" in found:
        return ["## GPU", "", f"Not measured: {found['absent']}."]
    rows = [
        (name, *(_number(value, 2) for value in one["ms_a_slice"].values()), f"{one['largest_difference']:.2g}")
        for name, one in found["networks"].items()
    ]
    return ["## GPU", "", *_table(("network", "CPU, ms a slice", "CUDA, ms a slice", "largest difference"), rows)]


RENDERED: dict[str, Callable[[Figures], list[str]]] = {
    "cases": _cases,
    "start": _start,
    "scaling": _scaling,
    "engines": _engines,
    "engines-avx2": _engines,
    "systems": _systems,
    "precision": _precision,
    "gpu": _gpu,
}
"""Sections in the order of the page."""
