"""Evaluate the default weights in every way that needs no training, and write the figures into docs/ and the README.

    python experiments/default_weights.py --data ../shared/data

Writes docs/results.json, docs/results.md, plots in docs/calibration, and the part of README.md between its two markers.
All of it is generated. About fifteen minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jcs_ct.benchmarks import (
    agreement,
    classification,
    composition,
    coverage,
    localisation,
    segmentation,
    shortcut,
    typicality,
)
from jcs_ct.benchmarks.typicality import required_usual
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.slices import find_lung_slices
from jcs_ct.evaluation.metrics import FALSELY_MARKED_SHARE
from jcs_ct.normalization import normal_study
from jcs_ct.notices import texts
from jcs_ct.preprocessing import crop_resize
from jcs_ct.study import read_study

ROOT = Path(__file__).resolve().parents[1]
STUDIES = {
    "dicom/ricord-001012": "positive",
    "dicom/lung-pet-ct-dx-A0002": "negative",
    "dicom/ricord-000906-sagittal": "not_assessable",
}
"""Expected verdicts of the DICOM studies; the coronacases are all positive."""
WHOLE = ("dicom/ricord-001012", "dicom/lung-pet-ct-dx-A0002")
"""Studies that show more than the lungs."""
PLOTS = ROOT / "docs" / "calibration"
START, END = "<!-- results -->", "<!-- /results -->"


def verdicts(diagnoser: Diagnoser, data: Path) -> list[dict[str, Any]]:
    """Verdicts on whole studies, none of which was used for training."""
    expected = dict(STUDIES)
    expected |= {f"coronacases/{p.name}": "positive" for p in sorted((data / "coronacases").iterdir()) if p.is_dir()}
    rows = []
    for name, wanted in expected.items():
        diagnosis = diagnoser.run(read_study(data / name))
        rows.append(
            {
                "study": name,
                "expected": wanted,
                "verdict": str(diagnosis.verdict),
                "probability": None if diagnosis.probability is None else round(diagnosis.probability, 3),
                "atypicality": None if diagnosis.typicality is None else round(diagnosis.typicality.median, 3),
                "slices_beyond": None if diagnosis.typicality is None else diagnosis.typicality.slices_beyond,
                "infected_slices": diagnosis.rule.infected_slices if diagnosis.rule else None,
                "assessed_slices": diagnosis.rule.assessed_slices if diagnosis.rule else None,
                "threshold": diagnosis.rule.threshold if diagnosis.rule else None,
                "looked_at": diagnosis.cross_check.slices if diagnosis.cross_check else None,
                "marked": diagnosis.cross_check.marked if diagnosis.cross_check else None,
                "networks_agree": diagnosis.cross_check.agrees if diagnosis.cross_check else None,
                "reasons": list(texts(diagnosis.reasons)),
                "seconds": diagnosis.timing_s["total"],
            }
        )
        print(rows[-1]["study"], rows[-1]["verdict"], file=sys.stderr)
    return rows


def marks_on_uninfected_study(diagnoser: Diagnoser, folder: Path) -> dict[str, Any]:
    """False marks on a patient without COVID-19: by the segmenter alone on every lung slice, and in a diagnosis."""
    study = read_study(folder)
    slices = find_lung_slices(study, diagnoser.segmenter.input_size)
    if slices is None:
        raise SystemExit(f"no lungs found in {folder}")
    marked = diagnoser.segment(slices.crops, slices.regions) > diagnoser.settings.lesion_probability
    shares = []
    for mask, index in zip(marked, slices.indices, strict=True):
        lesion = slices.to_grid(mask.astype(np.float32)) > 0.5
        shares.append(lesion.sum() / (slices.lung_mask[index] | lesion).sum())
    assessed = [finding for finding in diagnoser.run(study).slices if finding.assessed]
    in_diagnosis = [(finding.lesion_share or 0.0) > FALSELY_MARKED_SHARE for finding in assessed]
    return {
        "slices": len(shares),
        "falsely_marked": float(np.mean(np.array(shares) > FALSELY_MARKED_SHARE)),
        "falsely_marked_in_diagnosis": float(np.mean(in_diagnosis)),
    }


def beside_the_lungs(diagnoser: Diagnoser, folder: Path) -> dict[str, Any]:
    """Atypicality of slices of neck and abdomen, which a diagnosis leaves out, cropped as it would crop them."""
    usual, study = required_usual(diagnoser), read_study(folder)
    normal, size = normal_study(study), diagnoser.classifier.input_size
    box = normal.box(size)
    if box is None:
        raise SystemExit(f"no lungs found in {folder}")
    crops = np.stack([crop_resize(normal.images[k], box, size) for k in np.flatnonzero(~normal.shown)])
    far = diagnoser.classify(crops).atypicality
    if far is None:
        raise SystemExit("this classifier does not tell its features")
    return {"study": folder.name, "slices": len(far), "beyond": float((far > usual.levels.limit).mean())}


def called_positive(results: dict[str, Any]) -> str:
    """Number of infected series that are called positive."""
    series = [row for row in results["verdicts"] if row["study"].startswith("coronacases")]
    return f"{sum(row['verdict'] == row['expected'] for row in series)} of {len(series)}"


def as_markdown(results: dict[str, Any]) -> str:
    """The figures as tables."""
    lines = ["| source | protocol | figure | value | 95 % interval |", "|---|---|---|---|---|"]
    for trial in results["benchmarks"]:
        for name, value in trial["figures"].items():
            if name.startswith("beyond_"):  # one for each kind of corruption: shown in one row below
                continue
            interval = trial["intervals_95"].get(name)
            between = "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
            shown = "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
            lines.append(
                f"| `{trial['source']}` | {trial['protocol']} | {name.replace('_', ' ')} | {shown} | {between} |"
            )
        kinds = {name: value for name, value in trial["figures"].items() if name.startswith("beyond_")}
        if kinds:
            told = ", ".join(f"{name[7:].replace('_', ' ')} {value:.2f}" for name, value in kinds.items())
            lines.append(f"| `{trial['source']}` | {trial['protocol']} | beyond the limit | {told} | |")
    false = results["uninfected_study"]
    lines.append(
        f"| `lung-pet-ct-dx-A0002` | all {false['slices']} lung slices of an uninfected patient | falsely marked | "
        f"{false['falsely_marked']:.3f} | |"
    )
    lines.append(
        "| `lung-pet-ct-dx-A0002` | the same in a diagnosis | "
        f"falsely marked | {false['falsely_marked_in_diagnosis']:.3f} | |"
    )
    lines += [
        f"| `{row['study']}` | {row['slices']} slices that show neck or abdomen | beyond | {row['beyond']:.3f} | |"
        for row in results["beside_the_lungs"]
    ]
    lines += [
        "",
        "| study | expected | verdict | probability | infected / assessed slices | threshold | atypicality, median | "
        "slices beyond the limit | marked / looked-at slices | networks | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results["verdicts"]:
        columns = ("probability", "infected_slices", "assessed_slices", "marked", "looked_at")
        cells = ["–" if row[k] is None else f"{row[k]:g}" for k in columns]
        agree = {True: "agree", False: "**disagree**", None: "–"}[row["networks_agree"]]
        threshold = "–" if row["threshold"] is None else f"{row['threshold']:.3g}"
        atypicality = "–" if row["atypicality"] is None else f"{row['atypicality']:.2f}"
        beyond = "–" if row["slices_beyond"] is None else str(row["slices_beyond"])
        mark = "" if row["verdict"] == row["expected"] else " ✗"
        lines.append(
            f"| `{row['study']}` | {row['expected']} | {row['verdict']}{mark} | {cells[0]} | {cells[1]} / {cells[2]} | "
            f"{threshold} | {atypicality} | {beyond} | {cells[3]} / {cells[4]} | {agree} | {row['seconds']:.1f} |"
        )
    lines += ["", f"{called_positive(results)} coronacases series are called positive; none of them was trained on."]
    return "\n".join(lines)


def _warned(results: dict[str, Any]) -> str:
    """Number of missed infected series that carry the warning that the networks disagree."""
    missed = [row for row in results["verdicts"] if row["expected"] == "positive" != row["verdict"]]
    return f"{sum(row['networks_agree'] is False for row in missed)} of {len(missed)}"


def _figure(results: dict[str, Any], source: str, name: str) -> str:
    """A figure of a benchmark with its interval."""
    for trial in results["benchmarks"]:
        if trial["source"] == source and name in trial["figures"]:
            interval = trial["intervals_95"].get(name)
            between = "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
            return f"{trial['figures'][name]:.3f}{between}"
    return "–"


README_INTRO = """\
Default weights on data that no training step used; 95 % bootstrap intervals by patient. The whole studies were seen
while the lung search was built, and the test slices with masks after each training round of the segmenter. All figures:
[docs/results.md](docs/results.md), made by `python experiments/default_weights.py --data DIR`.
"""
README_FIGURES = (
    (
        "Dice per image, 48 test slices of the 50/48 split of `covid-19-ct100`",
        "covid-19-ct100",
        "dice_per_image",
    ),
    ("Dice over all pixels, same slices", "covid-19-ct100", "dice_pooled"),
    ("Dice per image, same slices as in `covid-semiseg`", "covid-semiseg", "dice_per_image"),
    ("ground glass Dice, slices that show it", "covid-semiseg", "ground_glass_dice"),
    ("consolidation Dice, slices that show it", "covid-semiseg", "consolidation_dice"),
    (
        "uninfected slices with over 1 % of the lung marked, `sars-cov-2-ct` test split",
        "sars-cov-2-ct",
        "falsely_marked",
    ),
    ("slice AUC, `sars-cov-2-ct` test split by patient", "sars-cov-2-ct", "slice_auc"),
    ("slice AUC, `ucsd-covid-ct`, authors' test split", "ucsd-covid-ct", "slice_auc"),
)


def summary(results: dict[str, Any]) -> str:
    """The few figures that the README shows."""
    rows = [(words, _figure(results, source, name)) for words, source, name in README_FIGURES]
    false = results["uninfected_study"]
    marks = [("the same, uninfected patient with a tumour (`lung-pet-ct-dx-A0002`)", f"{false['falsely_marked']:.3f}")]
    in_diagnosis = f"{false['falsely_marked_in_diagnosis']:.3f}"
    marks.append(("the same in that patient's diagnosis", in_diagnosis))
    rows[6:6] = marks  # below the row that "the same" refers to
    rows.append(("infected `coronacases` series called positive", called_positive(results)))
    rows.append(("of the others, warned that the networks disagree", _warned(results)))
    for row in results["verdicts"]:
        if not row["study"].startswith("coronacases"):
            expected, verdict = (row[key].replace("_", " ") for key in ("expected", "verdict"))
            rows.append((f"`{row['study']}`, expected {expected}", verdict))
    table = ["| what | figure |", "|---|---|", *(f"| {words} | {figure} |" for words, figure in rows)]
    return "\n".join([README_INTRO, *table])


def write(results: dict[str, Any]) -> None:
    """Write the figures into docs/ and the README."""
    (ROOT / "docs/results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    intro = "Made by `python experiments/default_weights.py --data DIR`; raw figures in `docs/results.json`."
    page = ROOT / "docs/results.md"
    plots = " ".join(f"![{path.stem}](calibration/{path.name})" for path in sorted(PLOTS.glob("*.png")))
    page.write_text(
        f"# Results of the default weights\n\n{intro}\n\n{as_markdown(results)}\n\n{plots}\n", encoding="utf-8"
    )
    readme = ROOT / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(START, 1)
    after = rest.split(END, 1)[1]
    readme.write_text(f"{before}{START}\n{summary(results)}\n{END}{after}", encoding="utf-8")


def measured(data: Path, diagnoser: Diagnoser) -> dict[str, Any]:
    """All figures of the weights."""

    def step(count: int) -> None:
        del count

    every = (
        segmentation,
        composition,
        partial(classification, plots=PLOTS),
        partial(coverage, plots=PLOTS),
        agreement,
        typicality,
        localisation,
        shortcut,
    )
    found = [result for run in every for result in run(diagnoser, data, "test", step)]
    return {
        "weights": diagnoser.weights,
        "benchmarks": [result.as_dict() for result in found],
        "uninfected_study": marks_on_uninfected_study(diagnoser, data / "dicom/lung-pet-ct-dx-A0002"),
        "beside_the_lungs": [beside_the_lungs(diagnoser, data / name) for name in WHOLE],
        "verdicts": verdicts(diagnoser, data),
    }


def main() -> None:
    """Evaluate everything and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="folder that holds the data sources; without it, figures at hand are written anew"
    )
    parser.add_argument("--weights", type=Path, default=None, help="weights folder in place of the one that ships")
    arguments = parser.parse_args()
    if arguments.data is None:
        results = json.loads((ROOT / "docs/results.json").read_text(encoding="utf-8"))
    else:
        results = measured(arguments.data, Diagnoser(arguments.weights))
    write(results)


if __name__ == "__main__":
    main()
