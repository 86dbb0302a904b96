"""Patients of COVID-19-CT-Seg, whose scans lie in three folders: who they are, and which of them are held back."""

from __future__ import annotations

PATIENTS = "covid-19-ct-seg"
HELD_BACK = {
    "coronacases_001": "test",
    "coronacases_006": "test",
    "radiopaedia_4": "test",
    "radiopaedia_10": "test",
    "coronacases_003": "val",
    "radiopaedia_14": "val",
}
"""Both origins are on every side. The other patients train."""


def patient_of(series: str) -> str:
    """The patient of a series: `radiopaedia_29_86490_1` and `radiopaedia_29_86491_1` are one."""
    return "_".join(series.split("_")[:2])


def split_of(series: str) -> str:
    """The split of a series' patient, the same in every folder."""
    return HELD_BACK.get(patient_of(series), "train")


def orientation(series: str) -> tuple[int, bool]:
    """Quarter turns, and whether to mirror then, that set a cropped picture of `coronacases` upright.

    Found by correlation with the full views of `medseg-radiopaedia`, and by heart and aorta.
    """
    return (-1, True) if series.startswith("radiopaedia") else (1, False)
