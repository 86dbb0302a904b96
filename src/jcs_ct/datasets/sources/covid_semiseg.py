"""The slices of `covid-19-ct100` as Inf-Net publishes them: cropped to the lungs and turned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources.covid_19_ct100 import VALIDATION
from jcs_ct.datasets.sources.source import Source, if_there, images_in
from jcs_ct.errors import DataError


def read(folder: Path) -> list[SliceRecord]:
    """Slices with lesion masks, and masks of both kinds of opacity where they exist."""
    records = []
    for split in ("train", "test"):
        for path in images_in(folder / split / "images"):
            masks = sorted((folder / split / "masks").glob(f"{path.stem}.*"))
            if not masks:
                raise DataError(f"no mask for {path}; expected one of the same name in {folder / split / 'masks'}")
            own = "val" if split == "train" and path.stem in VALIDATION else split
            kinds = if_there(folder / split / "masks_ggo_consolidation" / f"{path.stem}.png")
            record = SliceRecord(folder.name, path, own, True, path.stem, masks[0], quarter_turns=1)
            records.append(replace(record, composition=kinds))
    return records


SOURCE = Source(
    "covid-semiseg", read, licence="CC0", reader="MedSeg", patients="covid-19-ct100", form_of="covid-19-ct100"
)
