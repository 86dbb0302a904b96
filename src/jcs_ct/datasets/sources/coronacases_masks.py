"""Lesion and lung masks by Ma et al. for the slices of `coronacases`, which lies beside it."""

from __future__ import annotations

from pathlib import Path

from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources.covid_19_ct_seg import PATIENTS, orientation, patient_of, split_of
from jcs_ct.datasets.sources.source import Source, if_there, rows_of


def read(folder: Path) -> list[SliceRecord]:
    """The slices whose masks are known; `empty` ones show no opacity."""
    records = []
    for row in rows_of(folder / "index.csv"):
        case, name = row["case"], row["image"]
        if row["status"] == "unknown":
            continue
        masked = row["status"] == "masked"
        records.append(
            SliceRecord(
                folder.name,
                folder.parent / "coronacases" / case / f"{name}.jpg",
                split_of(case),
                masked,
                patient_of(case),
                folder / case / f"{name}_infection.png" if masked else None,
                quarter_turns=orientation(case)[0],
                mirrored=orientation(case)[1],
                lung_mask=if_there(folder / case / f"{name}_lung.png"),
            )
        )
    return records


SOURCE = Source(
    "coronacases-masks", read, licence="CC BY-NC-SA", reader="Ma et al.", lung_masks=True, patients=PATIENTS
)
