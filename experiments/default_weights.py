"""Put the default weights to every test that needs no training, and write the figures into docs/ and the README.

    python experiments/default_weights.py --data ../shared/data

Writes docs/results.json, docs/results.md and the part of README.md between its two markers. Nothing there is typed by
hand. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.segment import segment
from jcs_ct.diagnosis.slices import find_lung_slices
from jcs_ct.study import read_study
from jcs_ct.trials import FALSELY_MARKED_SHARE, classification, segmentation

ROOT = Path(__file__).resolve().parents[1]
STUDIES = {
    "dicom/ricord-001012": "positive",
    "dicom/lung-pet-ct-dx-A0002": "negative",
    "dicom/ricord-000906-sagittal": "not_assessable",
}
"""Expected verdicts of the DICOM studies; the coronacases are all positive."""
START, END = "<!-- results -->", "<!-- /results -->"


def verdicts(diagnoser: Diagnoser, data: Path) -> list[dict[str, Any]]:
    """Whole-study verdicts. None of these studies was trained on in any way."""
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
                "infected_slices": diagnosis.rule.infected_slices if diagnosis.rule else None,
                "assessed_slices": diagnosis.rule.assessed_slices if diagnosis.rule else None,
                "threshold": diagnosis.rule.threshold if diagnosis.rule else None,
                "reasons": list(diagnosis.reasons),
                "seconds": diagnosis.timing_s["total"],
            }
        )
        print(rows[-1]["study"], rows[-1]["verdict"], file=sys.stderr)
    return rows


def marks_on_uninfected_study(diagnoser: Diagnoser, folder: Path) -> dict[str, Any]:
    """Segment every lung slice of a patient without COVID-19, whatever the classifier says."""
    slices = find_lung_slices(read_study(folder), diagnoser.segmenter.input_size)
    if slices is None:
        raise SystemExit(f"no lungs found in {folder}")
    marked = segment(diagnoser.segmenter, slices.crops, slices.regions) > diagnoser.settings.lesion_probability
    shares = []
    for mask, index in zip(marked, slices.indices, strict=True):
        lesion = slices.to_grid(mask.astype(np.float32)) > 0.5
        shares.append(lesion.sum() / (slices.lung_mask[index] | lesion).sum())
    return {"slices": len(shares), "falsely_marked": float(np.mean(np.array(shares) > FALSELY_MARKED_SHARE))}


def as_markdown(results: dict[str, Any]) -> str:
    """The figures as tables."""
    lines = ["| source | protocol | figure | value | 95 % interval |", "|---|---|---|---|---|"]
    for trial in results["trials"]:
        for name, value in trial["figures"].items():
            interval = trial["intervals_95"].get(name)
            between = "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
            shown = "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
            lines.append(
                f"| `{trial['source']}` | {trial['protocol']} | {name.replace('_', ' ')} | {shown} | {between} |"
            )
    false = results["uninfected_study"]
    lines.append(
        f"| `lung-pet-ct-dx-A0002` | all {false['slices']} lung slices of an uninfected patient | falsely marked | "
        f"{false['falsely_marked']:.3f} | |"
    )
    lines += [
        "",
        "| study | expected | verdict | probability | infected / assessed slices | threshold | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results["verdicts"]:
        cells = [
            "–" if row[k] is None else f"{row[k]:g}" for k in ("probability", "infected_slices", "assessed_slices")
        ]
        threshold = "–" if row["threshold"] is None else f"{row['threshold']:.3g}"
        mark = "" if row["verdict"] == row["expected"] else " ✗"
        lines.append(
            f"| `{row['study']}` | {row['expected']} | {row['verdict']}{mark} | {cells[0]} | {cells[1]} / {cells[2]} | "
            f"{threshold} | {row['seconds']:.1f} |"
        )
    right = sum(r["verdict"] == r["expected"] for r in results["verdicts"] if r["study"].startswith("coronacases"))
    total = sum(r["study"].startswith("coronacases") for r in results["verdicts"])
    lines += ["", f"{right} of {total} coronacases series are called positive; none of them was trained on."]
    return "\n".join(lines)


def main() -> None:
    """Run everything and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sources")
    parser.add_argument("--weights", type=Path, default=None)
    data, weights = (lambda a: (a.data, a.weights))(parser.parse_args())
    diagnoser = Diagnoser(weights)

    def step(count: int) -> None:
        del count

    trials = [*segmentation(diagnoser, data, "test", step), *classification(diagnoser, data, "test", step)]
    results = {
        "weights": diagnoser.weights,
        "trials": [trial.as_dict() for trial in trials],
        "uninfected_study": marks_on_uninfected_study(diagnoser, data / "dicom/lung-pet-ct-dx-A0002"),
        "verdicts": verdicts(diagnoser, data),
    }
    probe = ROOT / "docs" / "probe.json"
    if probe.exists():
        results["probe"] = json.loads(probe.read_text(encoding="utf-8"))
    (ROOT / "docs/results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    table = as_markdown(results)
    intro = "Made by `python experiments/default_weights.py --data DIR`; raw figures in `docs/results.json`."
    (ROOT / "docs/results.md").write_text(f"# Results of the default weights\n\n{intro}\n\n{table}\n", encoding="utf-8")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(START, 1)
    after = rest.split(END, 1)[1] if END in rest else rest
    readme.write_text(f"{before}{START}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
