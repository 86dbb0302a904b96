"""Segmentations come back onto the voxels of their study however they were written; others are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from highdicom.uid import UID
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import RLELossless

from jcs_ct.errors import JcsError, UnreadableFileError, UnsupportedInputError, UsageError
from jcs_ct.notices import notice
from jcs_ct.study.outlines import read_lungs, read_outlines
from jcs_ct.study.reader import read_study
from jcs_ct.study.segment_codes import ABNORMAL_STRUCTURE, ANATOMICAL_STRUCTURE, LUNG
from jcs_ct.study.volume import Study
from tests import phantoms
from tests.reports.series import PHANTOM, PLACES, Series, axial_series, enhanced_series, sagittal_series
from tests.segmentations import TISSUE, Frames, drawn, edit, segment_of, written_segs

ORIENTATIONS = {
    "as usual": (1, 0, 0, 0, 1, 0),
    "prone": (-1, 0, 0, 0, -1, 0),
    "feet first": (-1, 0, 0, 0, 1, 0),
    "transposed and reversed": (0, -1, 0, 1, 0, 0),
}
TRUTH = PHANTOM.lesion_mask


@pytest.fixture
def series(tmp_path: Path) -> Series:
    return axial_series(tmp_path / "in")


@pytest.fixture
def seg(series: Series, tmp_path: Path) -> Path:
    """Our opacities."""
    return written_segs(series.diagnosis, tmp_path / "segs")[0]


def study_of(series: Series) -> Study:
    return series.diagnosis.study


def test_masks_on_sagittal_slices_come_back(tmp_path: Path) -> None:
    series = sagittal_series(tmp_path / "in")
    lesions, _ = written_segs(series.diagnosis, tmp_path / "segs")
    labels = series.diagnosis.lesion_labels
    assert labels is not None
    assert np.array_equal(read_outlines(lesions, study_of(series)).opacities, np.asarray(labels) > 0)


def test_frames_that_do_not_end_with_a_byte_come_back(tmp_path: Path) -> None:
    rows, columns = 81, 93
    assert rows * columns % 8
    hu, truth = PHANTOM.hu[:, :rows, :columns], TRUTH[:, :rows, :columns]
    assert truth.any()
    paths = phantoms.write_dicom_series(tmp_path / "in", hu, positions=PLACES, spacing=(4.2, 3.8))
    path = drawn(paths, truth, tmp_path / "drawn.dcm")
    read = read_outlines(path, read_study(tmp_path / "in"), [1])
    assert np.array_equal(read.opacities, truth)


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("name", ORIENTATIONS)
def test_our_own_masks_come_back_voxel_by_voxel(name: str, descending: bool, tmp_path: Path) -> None:
    series = axial_series(tmp_path / "in", ORIENTATIONS[name], descending)
    lesions, lungs = written_segs(series.diagnosis, tmp_path / "segs")
    read = read_outlines(lesions, study_of(series))
    assert np.array_equal(read.opacities, TRUTH)
    assert read.lungs is None
    assert read.source.segments == (1, 2)
    assert read.source.algorithm_type == "SEMIAUTOMATIC", "they began as an algorithm's"
    assert read.source.sop_uid == dcmread(lesions).SOPInstanceUID
    assert np.array_equal(read_lungs(lungs, study_of(series)), PHANTOM.lung_mask | TRUTH)


def test_masks_on_an_enhanced_image_come_back(tmp_path: Path) -> None:
    series = enhanced_series(tmp_path / "in")
    lesions, _ = written_segs(series.diagnosis, tmp_path / "segs")
    assert np.array_equal(read_outlines(lesions, study_of(series)).opacities, TRUTH)


def backwards(frames: Frames, dataset: Dataset) -> Frames:
    return frames[::-1]


def first_half_only(frames: Frames, dataset: Dataset) -> Frames:
    return [(frame, group) for frame, group in frames if position(group)[2] < 8.0 * 12]


def reversed_and_exchanged(frames: Frames, dataset: Dataset) -> Frames:
    """Rows and columns exchanged and running the other way."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    down, across = (float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing)
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [0, -1, 0, -1, 0, 0]
    shared.PixelMeasuresSequence[0].PixelSpacing = [across, down]
    for frame, group in frames:
        x, y, z = position(group)
        group.PlanePositionSequence[0].ImagePositionPatient = [
            x + across * (frame.shape[1] - 1), y + down * (frame.shape[0] - 1), z
        ]  # fmt: skip
    return [(np.ascontiguousarray(frame[::-1, ::-1].T), group) for frame, group in frames]


def position(group: Dataset) -> list[float]:
    return [float(value) for value in group.PlanePositionSequence[0].ImagePositionPatient]


@pytest.mark.parametrize("change", [backwards, reversed_and_exchanged])
def test_frames_may_come_in_any_order_and_direction(change: object, series: Series, seg: Path, tmp_path: Path) -> None:
    assert callable(change)
    edited = edit(seg, tmp_path / "edited.dcm", change)
    assert np.array_equal(read_outlines(edited, study_of(series)).opacities, TRUTH)


def test_missing_frames_are_empty_slices(series: Series, seg: Path, tmp_path: Path) -> None:
    edited = edit(seg, tmp_path / "edited.dcm", first_half_only)
    expected = TRUTH.copy()
    expected[12:] = False
    assert expected.any()
    assert np.array_equal(read_outlines(edited, study_of(series)).opacities, expected)


def test_run_length_encoding_is_read(series: Series, tmp_path: Path) -> None:
    labels = series.lesions.astype(np.uint8)
    path = drawn(series.paths, labels.astype(np.float32), tmp_path / "rle.dcm", "FRACTIONAL",
                 transfer_syntax_uid=RLELossless, omit_empty_frames=False)  # fmt: skip
    assert np.array_equal(read_outlines(path, study_of(series), [1]).opacities, TRUTH)


def test_fractions_count_from_a_half_on(series: Series, tmp_path: Path) -> None:
    values = np.where(series.lesions, 0.5, 0.49).astype(np.float32)
    path = drawn(series.paths, values, tmp_path / "f.dcm", "FRACTIONAL", max_fractional_value=100)
    assert np.array_equal(read_outlines(path, study_of(series), [1]).opacities, TRUTH)


def test_label_maps_are_read(series: Series, tmp_path: Path) -> None:
    labels = series.lesions * np.uint8(2) + (series.lungs & ~series.lesions) * np.uint8(1)
    path = drawn(series.paths, labels, tmp_path / "map.dcm", "LABELMAP", [IS_LUNG, IS_OPACITY])
    read = read_outlines(path, study_of(series))
    assert np.array_equal(read.opacities, TRUTH)
    assert read.lungs is not None
    assert np.array_equal(read.lungs, PHANTOM.lung_mask & ~TRUTH)
    assert read.source.algorithm_type == "MANUAL"


IS_LUNG = ("Right lung", ANATOMICAL_STRUCTURE, LUNG)
IS_OPACITY = ("Mine", ABNORMAL_STRUCTURE, Code("233604007", "SCT", "Pneumonia"))
IS_HEART = ("Heart", ANATOMICAL_STRUCTURE, Code("80891009", "SCT", "Heart"))


def three_segments(series: Series, tmp_path: Path, *names: tuple[str, Code, Code]) -> Path:
    """Segment 1 is opacities, 2 lungs, 3 a box."""
    box = np.zeros_like(series.lungs)
    box[10:12, 20:30, 30:40] = True
    masks = np.stack([series.lesions, series.lungs, box], axis=-1).astype(np.uint8)
    return drawn(series.paths, masks, tmp_path / "three.dcm", labels=names)


@pytest.mark.parametrize(
    "names",
    [
        (IS_OPACITY, IS_LUNG, IS_HEART),
        (("COVID lesions", TISSUE, TISSUE), ("Lungs", TISSUE, TISSUE), IS_HEART),
        (("Ground-glass", TISSUE, TISSUE), ("left_lung", TISSUE, TISSUE), IS_HEART),
    ],
)
def test_codes_tell_what_segments_are_and_labels_where_codes_do_not(
    names: tuple[tuple[str, Code, Code], ...], series: Series, tmp_path: Path
) -> None:
    read = read_outlines(three_segments(series, tmp_path, *names), study_of(series))
    assert read.source.segments == (1,)
    assert np.array_equal(read.opacities, TRUTH)
    assert read.lungs is not None
    assert np.array_equal(read.lungs, PHANTOM.lung_mask)
    assert read.notices == (notice("segments-left-out", count=1),)


def test_what_is_not_told_is_asked_for(series: Series, tmp_path: Path) -> None:
    unknown = ("Segment_3", TISSUE, TISSUE)
    path = three_segments(series, tmp_path, IS_OPACITY, IS_LUNG, unknown)
    with pytest.raises(UsageError, match=r"what 3 \(Segment_3\) is; say which segments are opacities"):
        read_outlines(path, study_of(series))
    read = read_outlines(path, study_of(series), [3])
    assert read.opacities.sum() == 2 * 10 * 10
    assert read.lungs is not None
    with pytest.raises(UsageError, match="has no segment 4; found 1"):
        read_outlines(path, study_of(series), [4])
    none = three_segments(series, tmp_path, IS_HEART, IS_LUNG, IS_HEART)
    with pytest.raises(UsageError, match="no segment that is an opacity"):
        read_outlines(none, study_of(series))


def test_segments_may_be_chosen_one_by_one(series: Series, seg: Path) -> None:
    labels = series.diagnosis.lesion_labels
    assert labels is not None
    assert np.array_equal(read_outlines(seg, study_of(series), [2]).opacities, np.asarray(labels) == 2)


def test_a_segmentation_without_lungs_is_no_lung_mask(series: Series, seg: Path) -> None:
    with pytest.raises(UnsupportedInputError, match="no segment that is a lung"):
        read_lungs(seg, study_of(series))


def other_place(frames: Frames, dataset: Dataset) -> Frames:
    dataset.FrameOfReferenceUID = str(UID())
    return frames


def elsewhere(frames: Frames, dataset: Dataset) -> Frames:
    """Of another frame of reference and other images."""
    dataset.FrameOfReferenceUID = str(UID())
    dataset.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"
    for item in dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence:
        item.ReferencedSOPInstanceUID = str(UID())
    for _, group in frames:
        del group.DerivationImageSequence
    return frames


def test_a_segmentation_of_another_study_is_refused(series: Series, seg: Path, tmp_path: Path) -> None:
    path = edit(seg, tmp_path / "other.dcm", elsewhere)
    with pytest.raises(UnsupportedInputError, match=r"belongs to another study: .* series 1\.2\.3, expected 1\.2\.826"):
        read_outlines(path, study_of(series))
    # The images that it was made from are as good as a frame of reference, which some programs make up.
    path = edit(seg, tmp_path / "same.dcm", other_place)
    assert np.array_equal(read_outlines(path, study_of(series)).opacities, TRUTH)


def beside(frames: Frames, dataset: Dataset) -> Frames:
    for _, group in frames:
        x, y, z = position(group)
        group.PlanePositionSequence[0].ImagePositionPatient = [x + 1.9, y, z]
    return frames


def between(frames: Frames, dataset: Dataset) -> Frames:
    for _, group in frames:
        x, y, z = position(group)
        group.PlanePositionSequence[0].ImagePositionPatient = [x, y, z + 4]
    return frames


def smaller(frames: Frames, dataset: Dataset) -> Frames:
    return [(np.ascontiguousarray(frame[:-4]), group) for frame, group in frames]


def coarser(frames: Frames, dataset: Dataset) -> Frames:
    dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [4.3, 3.8]
    return frames


def nowhere(frames: Frames, dataset: Dataset) -> Frames:
    del dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    return frames


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (beside, r"lies 1\.9 mm beside"),
        (between, "lies 4 mm above or below"),
        (smaller, "has 76 x 96 pixels, expected 80 x 96"),
        (coarser, "mm beside"),
        (nowhere, "states no position, orientation or spacing"),
    ],
)
def test_another_grid_is_refused(change: object, reason: str, series: Series, seg: Path, tmp_path: Path) -> None:
    assert callable(change)
    with pytest.raises(UnsupportedInputError, match=reason):
        read_outlines(edit(seg, tmp_path / "moved.dcm", change), study_of(series))


def test_damaged_and_other_files_are_refused(series: Series, seg: Path, tmp_path: Path) -> None:
    whole = seg.read_bytes()
    for share in (0.2, 0.6, 0.95):
        cut = tmp_path / "cut.dcm"
        cut.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(UnreadableFileError):
            read_outlines(cut, study_of(series))
    with pytest.raises(UnsupportedInputError, match="class CT Image Storage, expected Segmentation Storage"):
        read_outlines(series.paths[0], study_of(series))
    (tmp_path / "note.txt").write_text("no outlines")
    with pytest.raises(UnreadableFileError, match="neither a DICOM Segmentation nor a NIfTI file"):
        read_outlines(tmp_path / "note.txt", study_of(series))
    with pytest.raises(UnreadableFileError):
        read_outlines(tmp_path / "nowhere.dcm", study_of(series))


def test_damage_anywhere_ends_in_an_error_of_ours_or_a_mask(series: Series, seg: Path, tmp_path: Path) -> None:
    random, whole = np.random.default_rng(0), np.frombuffer(seg.read_bytes(), np.uint8)
    path = tmp_path / "damaged.dcm"
    for _ in range(60):
        damaged = whole.copy()
        damaged[random.integers(132, len(whole), 8)] = random.integers(0, 256, 8)
        path.write_bytes(damaged.tobytes())
        try:
            assert read_outlines(path, study_of(series)).opacities.shape == TRUTH.shape
        except JcsError:
            continue


def test_slices_without_a_place_take_no_segmentation(series: Series, seg: Path, tmp_path: Path) -> None:
    def unplaced(dataset: Dataset, index: int) -> None:
        del dataset.ImagePositionPatient

    other = axial_series(tmp_path / "unplaced", edit=unplaced)
    with pytest.raises(UnsupportedInputError, match="give the outlines as a NIfTI file"):
        read_outlines(seg, study_of(other))


def test_a_nifti_study_takes_a_segmentation_on_its_grid_with_a_remark(seg: Path, tmp_path: Path) -> None:
    phantoms.write_nifti(tmp_path / "ct.nii.gz", PHANTOM.hu, spacing=PHANTOM.spacing)
    read = read_outlines(seg, read_study(tmp_path / "ct.nii.gz"))
    assert np.array_equal(read.opacities, TRUTH)
    assert read.notices == (notice("outlines-without-reference"),)


def test_nifti_outlines_are_masks_or_labels(series: Series, tmp_path: Path) -> None:
    labels: NDArray[np.uint16] = TRUTH.astype(np.uint16) * 300
    labels[:, :, :48] = np.where(TRUTH[:, :, :48], 7, 0)
    phantoms.write_nifti(tmp_path / "labels.nii.gz", labels, spacing=PHANTOM.spacing, axcodes="LPS")
    read = read_outlines(tmp_path / "labels.nii.gz", study_of(series))
    assert np.array_equal(read.opacities, TRUTH)
    assert (read.source.file, read.source.sop_uid, read.source.algorithm_type) == ("labels.nii.gz", None, "MANUAL")
    one = read_outlines(tmp_path / "labels.nii.gz", study_of(series), [7])
    assert np.array_equal(one.opacities, labels == 7)
    assert read_outlines(tmp_path / "labels.nii.gz", study_of(series), [8]).opacities.sum() == 0
    with pytest.raises(UsageError, match="cannot have a label 0"):
        read_outlines(tmp_path / "labels.nii.gz", study_of(series), [0])


def test_an_erased_opacity_is_gone(series: Series, seg: Path, tmp_path: Path) -> None:
    def erase(frames: Frames, dataset: Dataset) -> Frames:
        return [(frame, group) for frame, group in frames if segment_of(group) != 1]

    labels = series.diagnosis.lesion_labels
    assert labels is not None
    edited = edit(seg, tmp_path / "edited.dcm", erase)
    assert np.array_equal(read_outlines(edited, study_of(series)).opacities, np.asarray(labels) == 2)
