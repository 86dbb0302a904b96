"""What a study remembers of the images that it was read from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from jcs_ct.study import read_study
from jcs_ct.study.dicom_source import carried_header
from tests.phantoms import ChestPhantom, write_dicom_series, write_enhanced_dicom

PHANTOM = ChestPhantom.infected(shape=(12, 64, 80), spacing=(16.0, 5.2, 4.2))
PLACES = [16.0 * z for z in range(12)]


def test_slices_know_their_images_in_the_order_of_the_study(tmp_path: Path) -> None:
    paths = write_dicom_series(tmp_path, PHANTOM.hu, positions=PLACES, origin=(-10.0, 5.0, 2.0))
    source = read_study(tmp_path).dicom
    assert source is not None
    for path, one in zip(paths, source.slices, strict=True):
        image = dcmread(path)
        assert (one.sop_class_uid, one.sop_uid, one.frame_number) == (image.SOPClassUID, image.SOPInstanceUID, None)
        assert one.position == tuple(image.ImagePositionPatient)
    assert source.shape == (64, 80)
    assert source.placed


def test_frames_of_an_enhanced_image_are_counted_from_one(tmp_path: Path) -> None:
    order = np.arange(12)[::-1]
    write_enhanced_dicom(tmp_path / "e.dcm", PHANTOM.hu[order], [PLACES[k] for k in order])
    source = read_study(tmp_path).dicom
    assert source is not None
    assert [one.frame_number for one in source.slices] == list(range(12, 0, -1))


def test_header_is_carried_without_pixels_and_private_elements() -> None:
    dataset = Dataset()
    dataset.PatientName, dataset.PatientID, dataset.Rows = "A^B", "P1", 4
    dataset.PixelData = b"\0" * 32
    dataset["PixelData"].VR = "OW"
    dataset.add_new(0x00091001, "LO", "private")
    dataset.StrainDescription = "x" * 20_000
    header = carried_header(dataset)
    assert sorted(element.keyword for element in header) == ["PatientID", "PatientName", "Rows"]


def test_names_in_other_scripts_survive(tmp_path: Path) -> None:
    def edit(dataset: Dataset, index: int) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 144"
        dataset.PatientName = "Люкceмбypг"

    write_dicom_series(tmp_path, PHANTOM.hu, positions=PLACES, edit=edit)
    source = read_study(tmp_path).dicom
    assert source is not None
    source.header.save_as(tmp_path / "copy", implicit_vr=False, little_endian=True)
    assert dcmread(tmp_path / "copy", force=True).PatientName == "Люкceмбypг"


def test_series_without_positions_has_no_place(tmp_path: Path) -> None:
    def edit(dataset: Dataset, index: int) -> None:
        del dataset.ImagePositionPatient

    write_dicom_series(tmp_path, PHANTOM.hu, edit=edit)
    source = read_study(tmp_path).dicom
    assert source is not None
    assert not source.placed
