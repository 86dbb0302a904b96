"""Held-out patients of other hospitals: what the default weights outline, call infected, and take for lung.

    python experiments/other_hospitals.py --data DIR [--weights DIR] [--output docs/weights.json]

Lesions and false marks on every source with masks, slice evidence on whole studies, lungs against readers' masks.
Everything at the networks' own size, from the cache of a training where there is one. Writes the figures as JSON, and
as tables between the two markers of docs/weights.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jcs_ct.benchmarks.evidence import EvidencePredictions, predict_evidence
from jcs_ct.datasets.prepared import EMPTY_MASK, READER_MASK, PreparedSlices, prepare, prepare_records
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources import read_source
from jcs_ct.datasets.whole_slices import prepare_whole
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.engine import Network
from jcs_ct.evaluation import orientation
from jcs_ct.evaluation.evidence import SliceEvidence
from jcs_ct.evaluation.metrics import FALSELY_MARKED_SHARE, dice_per_image, roc_auc
from jcs_ct.weights import SHIPPED, load_evidence, load_manifest

ROOT = Path(__file__).resolve().parents[1]
START, END = "<!-- figures -->", "<!-- /figures -->"
SEGMENTED = (
    "covid-19-ct100",
    "coronacases-masks",
    "medseg-radiopaedia",
    "mosmed-masks",
    "finding-lungs",
    "tcga-lung-slices",
    "sars-cov-2-ct",
)
_HALF = 127
LUNG_SOURCES = ("coronacases-masks", "medseg-radiopaedia", "finding-lungs")
DICOM = (("lung-pet-ct-dx-A0002", False), ("ricord-001012", True))


@dataclass(frozen=True)
class WholeStudy:
    """A study, and what is said of its slices."""

    name: str
    infected: bool
    found: EvidencePredictions
    probability: NDArray[np.float32]


def _silent(count: int) -> None:
    del count


def judged(
    diagnoser: Diagnoser, slices: PreparedSlices, evidence: SliceEvidence
) -> tuple[EvidencePredictions, NDArray[np.float32]]:
    """What both networks say of slices, and the probability that follows."""
    found = predict_evidence(diagnoser, slices, _silent)
    return found, evidence.apply(found.margins, found.shares)


def studies(diagnoser: Diagnoser, data: Path, evidence: SliceEvidence, cache: Path | None) -> list[WholeStudy]:
    """Whole studies for testing that lie in `data`."""
    size = diagnoser.classifier.input_size
    parts: dict[str, PreparedSlices] = {}
    labelled = prepare(["covid-ct-md"], data, size, cache).split("test")
    for name in sorted({record.group for record in labelled.records}):
        parts[name] = labelled.subset(np.array([record.group == name for record in labelled.records], bool))
    for name, infected in DICOM:
        record = SliceRecord("dicom", data / "dicom" / name, "test", infected, name, study=True)
        parts[name] = prepare_records([record], size)
    series: dict[str, list[SliceRecord]] = {}
    for record in read_source("coronacases", data):
        if record.split == "test":
            series.setdefault(record.path.parent.name, []).append(record)
    parts |= {name: prepare_records(records, size) for name, records in series.items()}
    out = []
    for name, slices in parts.items():
        found, probability = judged(diagnoser, slices, evidence)
        infected = name.startswith(("P0", "ricord", "coronacases", "radiopaedia"))
        out.append(WholeStudy(name, infected, found, probability))
        print(study_row(out[-1]), flush=True)
    return out


def source_row(diagnoser: Diagnoser, source: str, slices: PreparedSlices, evidence: SliceEvidence) -> dict[str, Any]:
    """Dice where a reader outlined opacities, false marks and calls where there are surely none."""
    found, probability = judged(diagnoser, slices, evidence)
    outlined, empty = slices.mask_kinds == READER_MASK, slices.mask_kinds == EMPTY_MASK
    truth = slices.masks[outlined] > _HALF
    row: dict[str, Any] = {"source": source, "outlined": int(outlined.sum()), "empty": int(empty.sum())}
    if outlined.any():
        marked = found.marked[outlined]
        row["dice_per_image"] = float(dice_per_image(marked, truth).mean())
        row["dice_pooled"] = float(2 * (marked & truth).sum() / (marked.sum() + truth.sum()))
    if empty.any():
        row["falsely_marked"] = float((found.shares[empty] > FALSELY_MARKED_SHARE).mean())
        row["called_infected"] = float((probability[empty] > 0.5).mean())
        row["called_by_classifier"] = float((found.margins[empty] > 0).mean())
    row["slice_auc"] = roc_auc(found.infected, probability)
    print(row, flush=True)
    return row


def outside_auc(found: list[WholeStudy]) -> dict[str, float | None]:
    """AUC of infected slices of labelled studies against all slices of uninfected ones, by each figure."""
    labelled = [one for one in found if one.found.records[0].slice_labels is not None]
    negative = [one for one in found if not one.infected]

    def auc(figure: Callable[[WholeStudy], NDArray[Any]]) -> float | None:
        scores = [figure(one)[one.found.infected] for one in labelled] + [figure(one) for one in negative]
        positive = [np.ones(int(one.found.infected.sum()), bool) for one in labelled]
        positive += [np.zeros(len(one.found.records), bool) for one in negative]
        return roc_auc(np.concatenate(positive), np.concatenate(scores))

    return {
        "margin": auc(lambda one: one.found.margins),
        "share": auc(lambda one: one.found.shares),
        "evidence": auc(lambda one: one.probability),
    }


def study_row(one: WholeStudy) -> dict[str, Any]:
    """Counts of one study."""
    marked = one.found.shares
    return {
        "study": one.name,
        "infected": one.infected,
        "slices": len(one.probability),
        "called_infected": int((one.probability > 0.5).sum()),
        "by_classifier_alone": int((one.found.margins > 0).sum()),
        "falsely_marked" if not one.infected else "marked": int((marked > FALSELY_MARKED_SHARE).sum()),
        "mean_share": float(marked.mean()),
    }


def lung_figures(weights: Path, data: Path, cache: Path | None) -> dict[str, dict[str, float]]:
    """Lung Dice per slice and pooled, sides told rightly, orientations told rightly, on held-out patients."""
    file = load_manifest(weights).get("lungs")
    if file is None:
        return {}
    network = Network(file.exact.path)
    out = {}
    test = prepare_whole(LUNG_SOURCES, data, network.input_size[0], cache).split("test")
    for source in LUNG_SOURCES:
        slices = test.subset(np.array([record.source == source for record in test.records], bool))
        outputs = [np.concatenate(parts) for parts in zip(*network.run(slices.images), strict=True)]
        marked, truth = outputs[0] > 0, np.stack([slices.lungs == 1, slices.lungs == 2], 1)
        shown = np.asarray(truth.any((1, 2, 3)), bool)
        whole, both = np.asarray(marked.any(1), bool), np.asarray(truth.any(1), bool)
        dice = dice_per_image(whole[shown], both[shown])
        patients = np.array([record.group for record in slices.records])[shown]
        out[source] = {
            "slices": int(shown.sum()),
            "dice_per_image": float(dice.mean()),
            "dice_pooled": float(2 * (whole & both).sum() / (whole.sum() + both.sum())),
            "sides": float(np.mean(dice_per_image(marked[shown].reshape(-1, *marked.shape[2:]),
                                                   truth[shown].reshape(-1, *truth.shape[2:])))),
            "orientation": orientation_told(network, slices.images[shown], patients),
        }  # fmt: skip
    return out


def orientation_told(network: Network, images: NDArray[np.uint8], patients: NDArray[Any]) -> float:
    """Share of patients, each in one of the eight orientations, of which the vote of up to eight slices tells it."""
    told = []
    for place, name in enumerate(np.unique(patients)):
        own = images[patients == name]
        true = place % orientation.COUNT
        few = orientation.oriented(own[np.linspace(0, len(own) - 1, min(8, len(own))).astype(int)], true)
        views = np.concatenate([orientation.upright(few, taken) for taken in range(orientation.COUNT)])
        logits = np.concatenate([parts[1] for parts in network.run(views)])
        found = orientation.vote(logits.reshape(orientation.COUNT, len(few), orientation.COUNT))
        told.append(int(found.argmax()) == true)
    return float(np.mean(told))


def as_markdown(results: dict[str, Any]) -> str:
    """The figures as tables."""
    columns = ("dice_per_image", "dice_pooled", "falsely_marked", "called_infected", "called_by_classifier")
    lines = [
        "| test patients of | outlined slices | Dice per image | pooled | slices without opacity | falsely marked | "
        "called infected | by the classifier alone |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results["sources"]:
        told = [f"{row[name]:.3f}" if name in row else "–" for name in columns]
        lines.append(f"| `{row['source']}` | {row['outlined']} | {' | '.join(told[:2])} | {row['empty']} | ")
        lines[-1] += f"{' | '.join(told[2:])} |"
    lines += ["", "| whole study | infected | slices | called infected | by the classifier alone | mean share marked |"]
    lines.append("|---|---|---|---|---|---|")
    lines += [
        f"| `{row['study']}` | {'yes' if row['infected'] else 'no'} | {row['slices']} | {row['called_infected']} | "
        f"{row['by_classifier_alone']} | {100 * row['mean_share']:.2f} % |"
        for row in results["studies"]
    ]
    aucs = ", ".join(f"{name} {value:.3f}" for name, value in results["outside_auc"].items() if value is not None)
    lines += ["", f"Slice AUC, infected slices of `covid-ct-md` against slices of uninfected studies: {aucs}.", ""]
    lines += ["| lungs of held-out patients | slices | Dice per slice | pooled | by side | orientation |"]
    lines.append("|---|---|---|---|---|---|")
    lines += [
        f"| `{name}` | {row['slices']} | {row['dice_per_image']:.4f} | {row['dice_pooled']:.4f} | {row['sides']:.4f} | "
        f"{row['orientation']:.3f} |"
        for name, row in results["lungs"].items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=SHIPPED)
    parser.add_argument("--cache", type=Path, help="folder to keep prepared slices in")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/weights.json")
    arguments = parser.parse_args()
    diagnoser = Diagnoser(arguments.weights)
    results: dict[str, Any] = {"lungs": lung_figures(arguments.weights, arguments.data, arguments.cache)}
    print(results["lungs"], flush=True)
    evidence = SliceEvidence(**(load_evidence(arguments.weights) or {"margin": 1, "share": 0, "bias": 0}))
    found = studies(diagnoser, arguments.data, evidence, arguments.cache)
    results |= {"studies": [study_row(one) for one in found], "outside_auc": outside_auc(found)}
    print(results["outside_auc"], flush=True)
    size = diagnoser.segmenter.input_size
    results["sources"] = [
        source_row(diagnoser, source, prepare([source], arguments.data, size, arguments.cache).split("test"), evidence)
        for source in SEGMENTED
    ]
    arguments.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(as_markdown(results))
    page = ROOT / "docs/weights.md"
    if arguments.output == ROOT / "docs/weights.json":
        before, rest = page.read_text(encoding="utf-8").split(START, 1)
        page.write_text(f"{before}{START}\n{as_markdown(results)}\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
