"""The folder `dicom`: all objects asked for, made together, because they refer to each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from pydicom.dataset import Dataset

from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.reports.dicom_objects import Derivation
from jcs_ct.reports.formats import ReportFormat, load
from jcs_ct.study.own_results import DICOM_FOLDER
from jcs_ct.study.quiet import quiet_libraries

FOLDER = DICOM_FOLDER


def write_dicom(diagnosis: Diagnosis, folder: Path, formats: Collection[ReportFormat]) -> list[Path]:
    """Write `dicom/*.dcm` into `folder`: the objects of `formats` that the diagnosis has content for.

    Objects are new with each call: they get new UIDs in new series.
    """
    if diagnosis.study.dicom is None:
        return []
    derivation = Derivation(diagnosis, diagnosis.study.dicom)
    written = []
    with quiet_libraries():
        for name, dataset in _objects(derivation, formats):
            path = folder / FOLDER / f"{name}.dcm"
            path.parent.mkdir(exist_ok=True)
            dataset.save_as(path, enforce_file_format=True)
            written.append(path)
    return written


def _objects(derivation: Derivation, formats: Collection[ReportFormat]) -> Iterator[tuple[str, Dataset]]:
    """File names and objects, one at a time: a parametric map of many slices is large. Each name comes once."""
    written = set[str]()
    for each in ReportFormat:
        if each in formats and each.objects:
            for name, dataset in load(each.objects)(derivation):
                if name not in written:
                    written.add(name)
                    yield name, dataset
