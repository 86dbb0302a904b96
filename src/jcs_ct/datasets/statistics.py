"""What a data set holds: patients, labels, and the opacities that readers have outlined (paper, Figures 6 to 8)."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from jcs_ct.datasets.normalized import picture_mask, read_mask, read_record
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources import SOURCES, read_source, sources_in
from jcs_ct.errors import DataError
from jcs_ct.evaluation.opacities import Opacity, opacities, spread
from jcs_ct.study import Study

_AGE = re.compile(r"0*(\d+)Y")  # Age String of DICOM in years (PS3.5 6.2); babies' weeks and months are left out


@dataclass(frozen=True)
class OutlinedSlice:
    """A slice that a reader has outlined opacities on."""

    record: SliceRecord
    """With the number of the slice, where it is of a study."""
    opacities: tuple[Opacity, ...]
    pixel_area: float | None
    """mm²; None where the input has no spacing."""


@dataclass(frozen=True)
class StudyFacts:
    """What a study's header says; None where it does not."""

    patient: str
    thickness_mm: float | None
    age: float | None
    sex: str | None


@dataclass(frozen=True)
class Statistics:
    """Of one source, all splits or one."""

    source: str
    records: tuple[SliceRecord, ...]
    """Pictures and whole studies."""
    slices: tuple[OutlinedSlice, ...]
    """Those with opacities."""
    empty_slices: int
    """Slices whose mask marks nothing."""
    studies: tuple[StudyFacts, ...]

    @property
    def opacities(self) -> list[Opacity]:
        """All of them."""
        return [one for each in self.slices for one in each.opacities]

    @property
    def counts(self) -> list[int]:
        """Opacities of each slice that has some."""
        return [len(each.opacities) for each in self.slices]

    @property
    def facts_of_patients(self) -> list[StudyFacts]:
        """The first study of each patient."""
        return list({facts.patient: facts for facts in reversed(self.studies)}.values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON: counts, and the spread of every attribute; null where there is nothing to tell."""
        found = self.opacities
        labels = Counter({True: "infected", False: "uninfected", None: "unknown"}[r.infected] for r in self.records)
        per_patient = Counter(each.record.group for each in self.slices for _ in each.opacities)
        slices_of = Counter(each.record.group for each in self.slices)
        areas = [each.pixel_area * one.area for each in self.slices if each.pixel_area for one in each.opacities]
        return {
            "source": self.source,
            "patients": len({record.group for record in self.records}),
            "pictures": sum(not record.study for record in self.records),
            "studies": sum(record.study for record in self.records),
            "labels": {name: labels[name] for name in ("infected", "uninfected", "unknown")},
            "splits": dict(Counter(record.split for record in self.records)),
            "outlined_slices": len(self.slices),
            "empty_masks": self.empty_slices,
            "opacities": len(found),
            "opacities_per_slice": spread(self.counts),
            "opacities_per_patient": spread(list(per_patient.values())),
            "outlined_slices_per_patient": spread(list(slices_of.values())),
            "area_px": spread([one.area for one in found]),
            "area_mm2": spread(areas),
            "width_px": spread([one.width for one in found]),
            "height_px": spread([one.height for one in found]),
            "centre_x": spread([one.x for one in found]),
            "centre_y": spread([one.y for one in found]),
            "slice_thickness_mm": spread([s.thickness_mm for s in self.studies if s.thickness_mm is not None]),
            "age": spread([s.age for s in self.facts_of_patients if s.age is not None]),
            "sex": dict(Counter(s.sex for s in self.facts_of_patients if s.sex is not None)),
        }


def statistics(data: Path, split: str | None = None, step: Callable[[int], None] | None = None) -> list[Statistics]:
    """Statistics of every source in a folder.

    Args:
        data: folder that holds data sources, or one of them.
        split: `train`, `val` or `test`; all if None.
        step: told of every picture and study that is done.

    Raises:
        DataError: no source, no slices of that split, or a file that cannot be read.
    """
    names = sources_in(data)
    if not names:
        raise DataError(f"{data}: found no data source, expected {', '.join(SOURCES)}, or own data with slices.csv")
    return [_statistics(name, data, split, step or (lambda _: None)) for name in names]


def _statistics(source: str, data: Path, split: str | None, step: Callable[[int], None]) -> Statistics:
    records = [record for record in read_source(source, data) if split in (None, record.split)]
    if not records:
        raise DataError(f"{source} has no slices in the split {split!r}")
    slices: list[OutlinedSlice] = []
    studies: list[StudyFacts] = []
    empty = 0
    for record in records:
        study = read_record(record) if record.study else None
        if study is not None:
            studies.append(_facts(record, study))
        if record.mask is not None:
            masks = picture_mask(record)[None] if study is None else read_mask(record, study)
            found = [(index, opacities(mask)) for index, mask in enumerate(masks)]
            empty += sum(not own for _, own in found)
            area = None if study is None or study.geometry is None else study.geometry.pixel_area
            slices += [OutlinedSlice(_of_slice(record, index), own, area) for index, own in found if own]
        step(1)
    return Statistics(source, tuple(records), tuple(slices), empty, tuple(studies))


def _of_slice(record: SliceRecord, index: int) -> SliceRecord:
    return replace(record, index=index) if record.study else record


def _facts(record: SliceRecord, study: Study) -> StudyFacts:
    age = _AGE.fullmatch(study.attributes.get("PatientAge", ""))
    thickness = None if study.geometry is None else study.geometry.slice_thickness
    sex = study.attributes.get("PatientSex")
    return StudyFacts(record.group, thickness, None if age is None else float(age.group(1)), sex)


def write_opacities(found: Statistics, path: Path) -> Path:
    """Write one row an opacity, as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ["area", "x", "y", "width", "height"]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "slice", "patient", "split", *(f"{n}_px" if n not in "xy" else n for n in names)])
        for each in found.slices:
            record = each.record
            place = "" if record.index is None else record.index + 1
            for one in each.opacities:
                values = asdict(one)
                writer.writerow(
                    [record.path.name, place, record.group, record.split, *(f"{values[n]:.6g}" for n in names)]
                )
    return path


def write_figures(found: Sequence[Statistics], folder: Path) -> None:
    """Write `statistics.json`, and for each source its opacities as a table and Figures 6 to 8 as far as they apply.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    # Here and not at the top: matplotlib is of an extra, and only the figures need it.
    from jcs_ct.evaluation.plots import plot_attributes, plot_patients, plot_segmentation_set

    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps([one.as_dict() for one in found], indent=2) + "\n"
    (folder / "statistics.json").write_text(document, encoding="utf-8")
    for one in found:
        if one.slices:
            write_opacities(one, folder / f"{one.source}-opacities.csv")
            plot_attributes(one.opacities, folder / f"{one.source}-figure6.png")
            plot_segmentation_set(one.counts, one.opacities, folder / f"{one.source}-figure8.png")
        if one.studies:
            patients = one.facts_of_patients
            ages = [facts.age for facts in patients if facts.age is not None]
            sexes = [facts.sex for facts in patients if facts.sex is not None]
            thickness = [facts.thickness_mm for facts in one.studies if facts.thickness_mm is not None]
            if ages or sexes or thickness:
                plot_patients(ages, sexes, thickness, folder / f"{one.source}-figure7.png")


def as_lines(documents: Sequence[dict[str, Any]]) -> list[str]:
    """What `Statistics.as_dict` gives, as a table to read."""
    lines = []
    for document in documents:
        lines.append(f"{document['source']}:")
        for name, value in document.items():
            if name == "source" or value in (None, {}):
                continue
            if isinstance(value, dict):
                shown = ", ".join(f"{key} {number:.4g}" for key, number in value.items())
            else:
                shown = str(value)
            lines.append(f"  {name:<28} {shown}")
    return lines
