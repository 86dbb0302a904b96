"""Reproduce the paper's tables and figures: train what is missing, evaluate, and write one page.

    python experiments/reproduce.py all --preset cpu --data ../shared/data --imagenet vgg16_imagenet.safetensors

Makes what is named: `table2`, `table4` to `table7`, `figure6`, `figure8` (one gives both), `figure9` to `figure11`,
`worst`, `folds` (five folds, beyond the paper), or `all`. Runs are kept below `runs/reproduce/PRESET` and resume
where they stopped; nothing is trained twice. The page is written into `--page` (by default beside the runs).
Presets: `smoke` (a test of the machinery), `cpu` (the results that are kept; hours on two cores), `paper` (as
published; needs a GPU: `--device cuda --precision bf16-mixed --devices 2`).
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # as a script, only its own folder is on the path

from experiments.reproduction import cases, data, figures, folds, maps, tables  # noqa: E402
from experiments.reproduction.evaluated import Evaluated  # noqa: E402
from experiments.reproduction.page import write_page  # noqa: E402
from experiments.reproduction.plan import PRESETS  # noqa: E402
from experiments.reproduction.runs import Reproduction, held_out_slices  # noqa: E402

from jcs_ct.errors import JcsError  # noqa: E402

TRAINED = ("table5", "table6", "table7", "figure9", "figure10", "figure11", "worst")
NAMES = ("table2", "table4", "folds", "figure6", "figure8", *TRAINED)
"""In the order of the page."""


def reproduce(reproduction: Reproduction, wanted: tuple[str, ...], page: Path) -> list[Path]:
    """Make the wanted tables and figures and their page.

    Args:
        reproduction: data, runs and preset.
        wanted: of `NAMES`.
        page: folder of the page.
    """
    made_tables, made_figures = [], []
    if "table2" in wanted:
        made_tables.append(cases.table_2(reproduction))
    if "table4" in wanted:
        table, figure = cases.table_4(reproduction, page)
        made_tables.append(table)
        made_figures.append(figure)
    if {"figure6", "figure8"} & set(wanted):
        made_figures += data.figures_6_and_8(reproduction, page)
    if set(wanted) & set(TRAINED):
        evaluated = Evaluated(reproduction, held_out_slices(reproduction))
        made_tables += [table(evaluated) for name, table in tables.TABLES.items() if name in wanted]
        if "figure9" in wanted:
            table, figure = maps.figure_9(reproduction, evaluated.slices, page)
            made_tables.append(table)
            made_figures.append(figure)
        made_figures += [figure(evaluated, page) for name, figure in figures.FIGURES.items() if name in wanted]
    if "folds" in wanted:
        made_tables.append(folds.folds(reproduction))
    return write_page(
        made_tables, made_figures, page, f"--preset {reproduction.preset.name} --precision {reproduction.precision}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Parse, reproduce, print the paths of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=[*NAMES, "all"])
    parser.add_argument("--preset", choices=sorted(PRESETS), default="cpu")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sources")
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "reproduce")
    parser.add_argument("--page", type=Path, default=None, help="folder of the page")
    parser.add_argument("--imagenet", type=Path, default=None, help="torchvision-shaped ImageNet VGG-16 weights")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="cpu")
    parser.add_argument("--devices", type=int, default=1, help="GPUs, trained on with DDP")
    parser.add_argument("--precision", default="32-true", help="Lightning's; bf16-mixed on a GPU")
    parser.add_argument("--workers", type=int, default=1, help="trainings in parallel, on a CPU with as many cores")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    reproduction = Reproduction(
        given.data, given.output, given.imagenet, given.workers, given.device, given.devices,
        preset=PRESETS[given.preset], precision=given.precision,
    )  # fmt: skip
    wanted = NAMES if "all" in given.what else tuple(given.what)
    page = given.page or reproduction.folder / "page"
    try:
        for path in reproduce(reproduction, wanted, page):
            print(path)
    except JcsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
