"""The data sources: where slices, labels, masks and splits are, in public sets and in a user's own folder (`own`).

A public set is one module here with its `SOURCE`, and one line in `PUBLIC`. Layouts and licences are described in
docs/data.md. A record's split is `train`, `val` or `test`; slices of one patient never lie in two, in whatever folder.
"""

from __future__ import annotations

import os
from pathlib import Path

from jcs_ct.datasets.own import OWN, TABLE, is_own, read_own
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources import (
    coronacases,
    coronacases_masks,
    covid_19_ct100,
    covid_ct_md,
    covid_semiseg,
    finding_lungs,
    medseg_radiopaedia,
    mosmed_masks,
    mosmed_slices,
    sars_cov_2_ct,
    tcga_lung_slices,
    ucsd_covid_ct,
)
from jcs_ct.datasets.sources.source import Source
from jcs_ct.errors import DataError

PUBLIC = (
    covid_19_ct100.SOURCE,
    covid_semiseg.SOURCE,
    sars_cov_2_ct.SOURCE,
    ucsd_covid_ct.SOURCE,
    mosmed_slices.SOURCE,
    mosmed_masks.SOURCE,
    coronacases.SOURCE,
    coronacases_masks.SOURCE,
    medseg_radiopaedia.SOURCE,
    finding_lungs.SOURCE,
    tcga_lung_slices.SOURCE,
    covid_ct_md.SOURCE,
)
SOURCES: dict[str, Source] = {source.name: source for source in PUBLIC}
FORMS = {source.name: source.form_of for source in PUBLIC if source.form_of is not None}
"""Sources that show the very slices of another one."""


def clean_when_uninfected(name: str) -> bool:
    """Whether the uninfected slices of a source, public or own, surely have an empty lesion mask."""
    return name not in SOURCES or SOURCES[name].clean_when_uninfected


def names_where(**roles: bool) -> tuple[str, ...]:
    """Public sources whose flags are as given, as in `names_where(lung_masks=True)`."""
    return tuple(s.name for s in PUBLIC if all(bool(getattr(s, role)) is value for role, value in roles.items()))


def name_of(folder: Path) -> str:
    """What a user calls a folder, `.` and `..` as well; a link bears its own name and not that of what it leads to."""
    return Path(os.path.abspath(folder)).name


def own_folder(name: str, data: Path) -> Path | None:
    """Where the source `name` lies if it is a user's own: `data` itself or a folder in it; None if it is not."""
    if name == OWN and is_own(data):
        return data
    folder = data if name_of(data) == name else data / name
    return folder if name not in SOURCES and is_own(folder) else None


def sources_in(data: Path) -> list[str]:
    """Names of all sources that lie in `data`, or of `data` itself, in a stable order."""
    own_name = name_of(data)
    if own_name in SOURCES or is_own(data):
        return [own_name]
    folders = sorted(path for path in data.iterdir() if path.is_dir()) if data.is_dir() else []
    own = [path.name for path in folders if path.name not in SOURCES and is_own(path)]
    return [*(name for name in SOURCES if (data / name).is_dir()), *own]


def read_source(name: str, data: Path) -> list[SliceRecord]:
    """Records of one source below the data folder `data` (or of `data` itself, if it bears the name).

    Args:
        name: of a public source, of a folder of one's own data, or `own` for `data` itself.
        data: the folder.

    Raises:
        DataError: unknown source, missing folder, or a folder that is not laid out as documented.
        OverlapError: own data with a patient or a file in two splits.
    """
    if (folder := own_folder(name, data)) is not None:
        return read_own(folder, name).records
    if name == OWN:
        raise DataError(f"found no {TABLE} in {data}, expected own data there, laid out as in docs/data.md")
    if name not in SOURCES:
        known = ", ".join(SOURCES)
        raise DataError(f"unknown source {name!r}; known are {known}, and folders of that name with a {TABLE}")
    folder = data if name_of(data) == name else data / name
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; expected the source {name} there (see docs/data.md)")
    return SOURCES[name].read(folder)
