"""A result on one line, as the command line prints it."""

from __future__ import annotations

from pathlib import Path

from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.notices import texts


def one_line_summary(diagnosis: Diagnosis, folder: Path) -> str:
    """Verdict, reasons, the main measures, and which file of the results folder to open."""
    words = [f"{diagnosis.verdict}: {'; '.join(texts(diagnosis.reasons))}"]
    if diagnosis.probability is not None:
        words.append(f"probability {diagnosis.probability:.2f}")
    if diagnosis.measures.lesion_volume_ml is not None:
        words.append(f"opacities {diagnosis.measures.lesion_volume_ml:.0f} mL")
    if diagnosis.measures.lesion_share_of_lung is not None:
        words.append(f"{100 * diagnosis.measures.lesion_share_of_lung:.1f} % of the lung")
    if diagnosis.borderline:
        words.append("borderline, see the warnings")
    if diagnosis.networks_disagree:
        words.append("the networks disagree, see the warnings")
    report = next((path for path in ("report.html", "report.pdf") if (folder / path).exists()), "result.json")
    return " | ".join([*words, f"report: {folder / report}"])
