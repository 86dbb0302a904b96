"""265 slices of 265 patients of LIDC-IDRI with lung masks, before COVID-19: nodules, emphysema, fibrosis among them."""

from __future__ import annotations

from pathlib import Path

from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources.source import Source, if_there, images_in, split_by_name


def read(folder: Path) -> list[SliceRecord]:
    """Every slice; a name begins with its patient's number."""
    return [
        SliceRecord(
            folder.name,
            path,
            split_by_name(path.stem),
            False,
            path.stem,
            lung_mask=if_there(folder / "lung-masks" / f"{path.stem}.png"),
        )
        for path in images_in(folder / "images")
    ]


SOURCE = Source("finding-lungs", read, licence="CC BY 3.0", lung_masks=True)
