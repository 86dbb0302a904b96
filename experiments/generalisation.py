"""Evaluate the training recipes on patients and sources that were not trained on.

    python experiments/generalisation.py folds left-out --data ../shared/data --imagenet vgg16_imagenet.safetensors

`folds`: five folds by group on sars-cov-2-ct. `authors-split`: the published split of ucsd-covid-ct. `left-out`: each
labelled source in turn, evaluated by networks that were not trained on it. `outlines`: five folds by slice on
covid-19-ct100. Runs use the configs in configs/generalisation, are kept below `--output` and resume where they stopped.
Writes docs/generalisation.json and docs/generalisation.md; about three hours on two cores.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # as a script, only its own folder is on the path

from experiments.generalising.authors_split import authors_split  # noqa: E402
from experiments.generalising.folds import five_folds  # noqa: E402
from experiments.generalising.left_out import left_out  # noqa: E402
from experiments.generalising.outlines import outlines  # noqa: E402
from experiments.generalising.results import Result  # noqa: E402
from experiments.workspace import Workspace  # noqa: E402

from jcs_ct.errors import JcsError  # noqa: E402

PROTOCOLS = {
    "folds": five_folds,
    "authors-split": authors_split,
    "left-out": left_out,
    "outlines": outlines,
}


def as_markdown(results: Iterable[Result]) -> str:
    """The figures as a table."""
    lines = [
        "# Unseen patients and sources", "",
        "Made by `python experiments/generalisation.py folds authors-split left-out outlines --data DIR --imagenet",
        "FILE`; raw figures in `generalisation.json`. These figures are not those of the default weights: each row",
        "belongs to networks trained for it from ImageNet VGG-16, by the configs in `configs/generalisation`.",
        "Intervals: bootstrap by group.", "",
        "A slice is classified by what a segmenter marks on it (*lesion marks*), by logistic regression on frozen",
        "ImageNet VGG-16 features of the lungs (*lung features*), and by the sum of the two, each standardised on",
        "labelled slices (*both*). Four choices are made on the validation slices of the same source, or of the",
        "sources that are not left out: how marks become one number, the regularisation of the regression, the",
        "calibration, and how slice probabilities are aggregated per group.", "",
        "[research/evidence.md](research/evidence.md) discusses the figures.", "",
    ]  # fmt: skip
    results = list(results)
    lines += ["## At a glance", "", "| source | protocol | figure | value | 95 % interval |", "|---|---|---|---|---|"]
    for result in results:
        lines += _at_a_glance(result)
    lines += ["", "## All figures", "", "| source | protocol | figure | value |", "|---|---|---|---|"]
    for result in results:
        for name, value in result.figures.items():
            lines.append(f"| `{result.source}` | {result.protocol} | {name} | {_shown(value)} |")
    return "\n".join(lines) + "\n"


def _at_a_glance(result: Result) -> Iterator[str]:
    """Rows of the figures that have an interval, which are the main ones."""
    for name, value in result.figures.items():
        kind, by = name.split(" by ")[0], "".join(f" by {each}" for each in name.split(" by ")[1:])
        interval = result.figures.get(f"{kind}, 95 % interval{by}")
        if isinstance(interval, list):
            yield f"| `{result.source}` | {result.protocol} | {name} | {_shown(value)} | {_shown(interval)} |"


def _shown(value: float | str | Sequence[float]) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value) if isinstance(value, (int, str)) else ", ".join(f"{one:.3f}" for one in value)


def generalise(wanted: Iterable[str], workspace: Workspace, docs: Path) -> None:
    """Run the wanted protocols, keep the figures of the others, and write the two files."""
    made = {name: [vars(result) for result in PROTOCOLS[name](workspace)] for name in wanted}
    target = docs / "generalisation.json"
    # Read after the hours that this takes: another run may have written another protocol in the meantime.
    kept = (json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}) | made
    docs.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    results = [Result(**each) for name in PROTOCOLS for each in kept.get(name, [])]
    (docs / "generalisation.md").write_text(as_markdown(results), encoding="utf-8")


def main() -> int:
    """Parse, train, evaluate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=sorted(PROTOCOLS))
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sources")
    parser.add_argument("--imagenet", type=Path, required=True, help="torchvision-shaped ImageNet VGG-16 weights")
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "generalisation")
    parser.add_argument("--workers", type=int, default=1, help="trainings in parallel")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        generalise(given.what, Workspace(given.data, given.output, given.imagenet, given.workers), ROOT / "docs")
    except JcsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
