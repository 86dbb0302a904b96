"""Segmentations are read back by highdicom and compared with the truth, voxel by voxel, on the source as stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from highdicom.seg import segread
from pydicom import dcmread
from pydicom.dataset import Dataset

from jcs_ct.cropped_volume import CroppedVolume
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.reports.dicom_report import write_dicom
from jcs_ct.reports.formats import ReportFormat
from tests.diagnosis_variants import altered
from tests.reports.real_studies import diagnose_series
from tests.reports.series import AXIAL, Series, axial_series, enhanced_series, sagittal_series

ORIENTATIONS = {
    "as usual": AXIAL,
    "prone": (-1, 0, 0, 0, -1, 0),
    "feet first": (-1, 0, 0, 0, 1, 0),
    "transposed": (0, 1, 0, 1, 0, 0),
    "transposed and reversed": (0, -1, 0, 1, 0, 0),
}


def write_segs(diagnosis: Diagnosis, folder: Path) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    lesions, lungs = write_dicom(diagnosis, folder, {ReportFormat.SEG})
    return lesions, lungs


def assert_on_source(path: Path, series: Series, truth: np.ndarray) -> None:
    """The union of all segments is `truth`, in the rows and columns of the files and at their very places."""
    seg = segread(path)
    found = seg.get_pixels_by_source_instance(series.uids, combine_segments=True, assert_missing_frames_are_empty=True)
    assert np.array_equal(found > 0, truth)
    sources = {str(one.SOPInstanceUID): one for one in map(dcmread, series.paths)}
    for group in seg.PerFrameFunctionalGroupsSequence:
        source = sources[group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        assert group.PlanePositionSequence[0].ImagePositionPatient == source.ImagePositionPatient
    shared = seg.SharedFunctionalGroupsSequence[0]
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == source.ImageOrientationPatient
    assert shared.PixelMeasuresSequence[0].PixelSpacing == source.PixelSpacing
    assert seg.FrameOfReferenceUID == source.FrameOfReferenceUID


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("name", ORIENTATIONS)
def test_masks_lie_on_the_voxels_of_the_source(name: str, descending: bool, tmp_path: Path) -> None:
    series = axial_series(tmp_path / "in", ORIENTATIONS[name], descending)
    lesions, lungs = write_segs(series.diagnosis, tmp_path / "out")
    assert_on_source(lesions, series, series.lesions)
    assert_on_source(lungs, series, series.lungs | series.lesions)


def test_masks_lie_on_sagittal_slices(tmp_path: Path) -> None:
    series = sagittal_series(tmp_path / "in")
    lesions, lungs = write_segs(series.diagnosis, tmp_path / "out")
    assert_on_source(lesions, series, series.lesions)
    assert_on_source(lungs, series, series.lungs)
    assert [one.SegmentLabel for one in segread(lungs).SegmentSequence] == ["Lungs"]


def test_masks_lie_on_the_frames_of_an_enhanced_image(tmp_path: Path) -> None:
    series = enhanced_series(tmp_path / "in")
    lesions, _ = write_segs(series.diagnosis, tmp_path / "out")
    seg = segread(lesions)
    source = dcmread(series.paths[0])
    pixels = seg.pixel_array
    found = np.zeros(series.lesions.shape, bool)
    for frame, group in zip(pixels, seg.PerFrameFunctionalGroupsSequence, strict=True):
        (reference,) = group.DerivationImageSequence[0].SourceImageSequence
        assert (reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID) == (
            source.SOPClassUID, source.SOPInstanceUID,
        )  # fmt: skip
        place = source.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1].PlanePositionSequence[0]
        assert group.PlanePositionSequence[0].ImagePositionPatient == place.ImagePositionPatient
        found[reference.ReferencedFrameNumber - 1] |= frame > 0
    assert np.array_equal(found, series.lesions)
    (referenced,) = seg.ReferencedSeriesSequence
    assert len(referenced.ReferencedInstanceSequence) == 1


def test_masks_lie_on_a_real_series(shared_data: Path, tmp_path: Path) -> None:
    diagnosis = diagnose_series(shared_data, "lung-pet-ct-dx-A0002")
    assert diagnosis.lesion_labels is not None
    assert diagnosis.lung_sides is not None
    paths = [shared_data / "dicom" / "lung-pet-ct-dx-A0002" / name for name in diagnosis.study.sources]
    series = Series(paths, diagnosis, np.asarray(diagnosis.lesion_labels) > 0, np.asarray(diagnosis.lung_sides) > 0)
    lesions, lungs = write_segs(diagnosis, tmp_path / "out")
    assert_on_source(lesions, series, series.lesions)
    assert_on_source(lungs, series, series.lungs)


def test_segments_are_the_lesions_and_the_lungs(tmp_path: Path) -> None:
    series = axial_series(tmp_path / "in")
    lesions, lungs = map(segread, write_segs(series.diagnosis, tmp_path / "out"))
    labels = lesions.get_pixels_by_source_instance(
        [one.sop_uid for one in series.diagnosis.study.dicom.slices],  # type: ignore[union-attr]
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )
    assert series.diagnosis.lesion_labels is not None
    assert np.array_equal(labels, series.diagnosis.lesion_labels)
    assert [one.SegmentLabel for one in lesions.SegmentSequence] == ["Opacity 1", "Opacity 2"]
    regions = [one.AnatomicRegionSequence[0] for one in lesions.SegmentSequence]
    assert [one.AnatomicRegionModifierSequence[0].CodeMeaning for one in regions] == ["Left", "Right"]
    kinds = [one.SegmentedPropertyTypeCodeSequence[0] for one in lungs.SegmentSequence]
    assert [one.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning for one in kinds] == ["Right", "Left"]
    algorithm = lesions.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("JCS", "0.0.0")
    assert "12" * 32 in algorithm.AlgorithmParameters


def test_patient_study_and_place_are_carried_over_and_series_are_new(tmp_path: Path) -> None:
    def edit(dataset: Dataset, index: int) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 100"
        dataset.PatientName = "Müller^Jörg"
        dataset.PatientSex = "U"

    series = axial_series(tmp_path / "in", edit=edit)
    source = dcmread(series.paths[0])
    written = [dcmread(path) for path in write_segs(series.diagnosis, tmp_path / "out")]
    for one in written:
        for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "StudyDate", "StudyDescription",
                        "AccessionNumber", "FrameOfReferenceUID", "BodyPartExamined"):  # fmt: skip
            assert one[keyword].value == source[keyword].value, keyword
        assert one.PatientSex == "", "a value that the standard lacks must not be repeated"
        assert one.Manufacturer == "jcs-ct"
        assert one.SoftwareVersions == "0.0.0"
    assert len({source.SeriesInstanceUID, *(one.SeriesInstanceUID for one in written)}) == 3
    assert [one.SeriesNumber for one in written] == [101, 102]


def test_source_header_is_left_as_it_was(tmp_path: Path) -> None:
    series = axial_series(tmp_path / "in")
    assert series.diagnosis.study.dicom is not None
    before = series.diagnosis.study.dicom.header.to_json()
    write_segs(series.diagnosis, tmp_path / "out")
    assert series.diagnosis.study.dicom.header.to_json() == before


def test_no_opacities_make_no_segmentation_of_them(tmp_path: Path) -> None:
    series = axial_series(tmp_path / "in")
    labels = series.diagnosis.lesion_labels
    assert labels is not None
    healthy = altered(series.diagnosis, lesions=(), labels=CroppedVolume(labels.shape, np.uint16))
    (tmp_path / "out").mkdir()
    assert [path.name for path in write_dicom(healthy, tmp_path / "out", {ReportFormat.SEG})] == ["lungs.seg.dcm"]
