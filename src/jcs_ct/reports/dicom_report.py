"""The folder `dicom`: all objects asked for, made together, as they refer to each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from pydicom.dataset import Dataset

from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.reports.dicom_objects import Derivation
from jcs_ct.reports.dicom_pdf import encapsulated_pdf
from jcs_ct.reports.dicom_pm import activation_map
from jcs_ct.reports.dicom_sc import secondary_captures
from jcs_ct.reports.dicom_seg import lesion_segmentation, lung_segmentation
from jcs_ct.reports.dicom_sr import structured_report
from jcs_ct.reports.formats import ReportFormat
from jcs_ct.study.own_results import DICOM_FOLDER
from jcs_ct.study.quiet import quiet_libraries

FOLDER = DICOM_FOLDER


def write_dicom(diagnosis: Diagnosis, folder: Path, formats: Collection[ReportFormat]) -> list[Path]:
    """Write `dicom/*.dcm` into `folder`: those of `formats` that are DICOM and that the diagnosis has content for.

    Objects are new with each call: they get UIDs of their own, in series of their own.
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
    """File names and objects, one at a time: a parametric map of many slices is large."""
    lesions = lungs = None
    # A report refers to segmentations, so it brings them where slices have a place for any.
    if ReportFormat.SEG in formats or (ReportFormat.SR in formats and derivation.source.placed):
        lesions, lungs = lesion_segmentation(derivation), lung_segmentation(derivation)
        if lesions is not None:
            yield "lesions.seg", lesions
        if lungs is not None:
            yield "lungs.seg", lungs
    if ReportFormat.SR in formats:
        yield "report.sr", structured_report(derivation, lesions, lungs)
    if ReportFormat.PM in formats:
        activation = activation_map(derivation)
        if activation is not None:
            yield "activation.pm", activation
    if ReportFormat.SC in formats:
        for number, capture in enumerate(secondary_captures(derivation), start=1):
            yield f"key-{number:02d}.sc", capture
    if ReportFormat.PDF in formats:
        yield "report.pdf", encapsulated_pdf(derivation)
