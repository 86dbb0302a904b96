"""Six series of five patients in full view with lesion and lung masks by MedSeg; scans of `coronacases` too."""

from __future__ import annotations

from pathlib import Path

from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources.covid_19_ct_seg import PATIENTS, patient_of, split_of
from jcs_ct.datasets.sources.source import Source, if_there, rows_of


def read(folder: Path) -> list[SliceRecord]:
    """Every slice that is kept; those without a marked pixel are truly empty."""
    records = []
    for row in rows_of(folder / "index.csv"):
        case, stem = row["case"], row["slice"]
        path = folder / case / f"{stem}.jpg"
        if row["kept"] != "1" or not path.exists():
            continue
        infected = int(row["infected_px"]) > 0
        records.append(
            SliceRecord(
                folder.name,
                path,
                split_of(case),
                infected,
                patient_of(case),
                folder / case / f"{stem}_infection.png" if infected else None,
                lung_mask=if_there(folder / case / f"{stem}_lung.png"),
            )
        )
    return records


SOURCE = Source(
    "medseg-radiopaedia", read, licence="CC BY-NC-SA 3.0", reader="MedSeg", lung_masks=True, patients=PATIENTS
)
