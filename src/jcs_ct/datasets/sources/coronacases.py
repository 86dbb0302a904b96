"""15 infected series of COVID-19-CT-Seg, cropped to the lungs and turned, without masks."""

from __future__ import annotations

from pathlib import Path

from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources.covid_19_ct_seg import PATIENTS, orientation, patient_of, split_of
from jcs_ct.datasets.sources.source import Source, folders_in, images_in


def read(folder: Path) -> list[SliceRecord]:
    """Every slice of every series, under the study's label."""
    return [
        SliceRecord(
            folder.name,
            path,
            split_of(case.name),
            True,
            patient_of(case.name),
            quarter_turns=orientation(case.name)[0],
            mirrored=orientation(case.name)[1],
        )
        for case in folders_in(folder)
        for path in images_in(case)
    ]


SOURCE = Source("coronacases", read, licence="CC BY-NC-SA", noisy_labels=True, patients=PATIENTS)
