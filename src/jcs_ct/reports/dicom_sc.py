"""DICOM Secondary Capture: the key slices as pictures, for viewers that show neither segmentations nor reports."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from highdicom.sc import SCImage
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from jcs_ct.reports.dicom_objects import Derivation
from jcs_ct.reports.key_slices import KeySlice, key_slices

_WORKSTATION = "WSD"  # Conversion Type (PS3.3 C.8.6.1)


def key_slice_captures(derivation: Derivation) -> Iterator[tuple[str, SCImage]]:
    """The key slices by file name."""
    for number, capture in enumerate(secondary_captures(derivation), start=1):
        yield f"key-{number:02d}.sc", capture


def secondary_captures(derivation: Derivation) -> list[SCImage]:
    """One image for each key slice, numbered from 1 in the order of the HTML report."""
    return [_capture(derivation, one, number) for number, one in enumerate(key_slices(derivation.diagnosis), start=1)]


def _capture(derivation: Derivation, one: KeySlice, number: int) -> SCImage:
    capture = SCImage.from_ref_dataset(
        derivation.images[one.index],
        pixel_array=np.asarray(one.montage()),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        # Rows run to the back and columns to the left, as pictures are made of canonical slices.
        patient_orientation=("L", "P") if derivation.diagnosis.study.geometry is not None else ("", ""),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **derivation.instance("key slices", number),
    )
    capture.copy_patient_and_study_information(derivation.images[one.index])
    capture.ConversionType = _WORKSTATION
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.BurnedInAnnotation = "NO"  # the captions name no patient
    capture.ImageComments = one.caption[:10240]
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = derivation.reference(one.index)
    capture.SourceImageSequence = [source]
    derivation.finish(capture)
    return capture
