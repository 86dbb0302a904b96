from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from jcs_ct.errors import UnreadableFileError, UnsupportedInputError
from jcs_ct.notices import notice
from jcs_ct.study import InputKind, IntensityKind, Study, read_study, refusals
from tests.noticed import codes, values_of
from tests.phantoms import UID_ROOT, ChestPhantom, write_dicom_series, write_enhanced_dicom

PHANTOM = ChestPhantom.infected(shape=(12, 64, 80), spacing=(16.0, 5.2, 4.2))
HU = PHANTOM.hu
LOSSLESS = ["CT1_J2KR", "CT1_JLSL", "CT1_JPLL", "CT1_RLE"]


def rotated(orientation: str, canonical: np.ndarray) -> np.ndarray:
    """Canonical slices as stored under an Image Orientation (Patient), given as its key in IN_PLANE."""
    stored = canonical.transpose(0, 2, 1) if orientation.startswith("transposed") else canonical
    rows, columns = IN_PLANE[orientation][1]
    return np.flip(stored, [axis for axis, flip in ((1, rows), (2, columns)) if flip])


# Image Orientation (Patient), and whether stored rows and columns run against the canonical ones.
IN_PLANE: dict[str, tuple[tuple[int, ...], tuple[bool, bool]]] = {
    "as is": ((1, 0, 0, 0, 1, 0), (False, False)),
    "upside down": ((1, 0, 0, 0, -1, 0), (True, False)),
    "mirrored": ((-1, 0, 0, 0, 1, 0), (False, True)),
    "prone": ((-1, 0, 0, 0, -1, 0), (True, True)),
    "transposed": ((0, 1, 0, 1, 0, 0), (False, False)),
    "transposed, rows reversed": ((0, 1, 0, -1, 0, 0), (True, False)),
    "transposed, columns reversed": ((0, -1, 0, 1, 0, 0), (False, True)),
    "transposed, both reversed": ((0, -1, 0, -1, 0, 0), (True, True)),
}


def spoil(indices: list[int], **values: object) -> Callable[[Dataset, int], None]:
    """An `edit` for write_dicom_series: set elements of some slices, or delete them (None)."""

    def edit(dataset: Dataset, index: int) -> None:
        if index not in indices:
            return
        for keyword, value in values.items():
            if value is None:
                del dataset[keyword]
            else:
                setattr(dataset, keyword, value)

    return edit


EVERY = list(range(len(HU)))


def read_spoilt(folder: Path, indices: list[int], **values: object) -> Study:
    write_dicom_series(folder, HU, edit=spoil(indices, **values))
    return read_study(folder)


def test_slices_are_ordered_by_position_not_by_name(tmp_path: Path) -> None:
    paths = write_dicom_series(tmp_path, HU, positions=PHANTOM.positions)
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.voxels, HU)
    assert study.sources == tuple(path.name for path in paths)
    assert study.sources != tuple(sorted(study.sources))
    assert study.sop_uids is not None
    assert study.sop_uids[0] == dcmread(paths[0]).SOPInstanceUID
    assert (study.kind, study.intensity, study.plane) == (InputKind.DICOM, IntensityKind.HU, "axial")
    assert study.voxels.dtype == np.int16
    assert (study.notices, refusals(study)) == ((), ())


def test_head_comes_last_however_the_slices_are_listed(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, HU[::-1], positions=PHANTOM.positions[::-1], shuffled=False)
    np.testing.assert_array_equal(read_study(tmp_path).voxels, HU)


@pytest.mark.parametrize("suffix", ["", ".txt", ".jpg"])
def test_extension_and_depth_do_not_matter(tmp_path: Path, suffix: str) -> None:
    for index, path in enumerate(write_dicom_series(tmp_path, HU, suffix=suffix)):
        target = tmp_path / f"disc{index % 3}" / "A" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    np.testing.assert_array_equal(read_study(tmp_path).voxels, HU)


@pytest.mark.parametrize("orientation", IN_PLANE)
def test_axial_slices_come_in_canonical_form_and_lead_back(tmp_path: Path, orientation: str) -> None:
    stored = rotated(orientation, HU)
    cosines, _ = IN_PLANE[orientation]
    # The canonical corner lies at (100, 200) mm, so the stored one lies where its axes start.
    spacing = {"x": 4.2, "y": 5.2}
    start = {"x": 100.0, "y": 200.0}
    for axis, size in (("x", 80), ("y", 64)):
        if -1 in (cosines[0 if axis == "x" else 1], cosines[3 if axis == "x" else 4]):
            start[axis] += spacing[axis] * (size - 1)
    transposed = orientation.startswith("transposed")
    write_dicom_series(
        tmp_path,
        stored,
        positions=PHANTOM.positions,
        orientation=cosines,
        origin=(start["x"], start["y"], 0.0),
        step=(0, 0, 1),
        spacing=(4.2, 5.2) if transposed else (5.2, 4.2),
    )
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.voxels, HU)
    np.testing.assert_array_equal(study.grid.to_stored(study.voxels), stored)
    assert study.geometry is not None
    np.testing.assert_allclose(study.geometry.positions[0], [100, 200, PHANTOM.positions[0]], atol=1e-4)
    np.testing.assert_allclose(study.geometry.normal, [0, 0, 1], atol=1e-9)
    assert study.geometry.pixel_spacing == (5.2, 4.2)


@pytest.mark.parametrize(
    ("signed", "slope", "intercept"),
    [
        (False, 1.0, -1024.0),
        (True, 1.0, -1024.0),
        (True, 1.0, 0.0),
        (True, 1.0, -1000.5),
        (False, 2.0, -1024.0),
        (True, 0.5, -1024.0),
        (False, 1.0, -40000.0),
    ],
)
def test_stored_values_become_hu(tmp_path: Path, signed: bool, slope: float, intercept: float) -> None:
    write_dicom_series(tmp_path, HU, slope=slope, intercept=intercept, signed=signed)
    assert np.abs(read_study(tmp_path).voxels - HU.astype(int)).max() <= slope / 2


def test_slices_may_have_slopes_of_their_own(tmp_path: Path) -> None:
    def halve(dataset: Dataset, index: int) -> None:
        if index % 2:
            stored = np.frombuffer(dataset.PixelData, dtype=np.uint16) // 2
            dataset.PixelData, dataset.RescaleSlope = stored.tobytes(), 2.0

    write_dicom_series(tmp_path, HU, edit=halve)
    assert np.abs(read_study(tmp_path).voxels - HU.astype(int)).max() <= 1


@pytest.mark.parametrize(("signed", "padding"), [(True, -2000), (False, 63536), (False, 0)])
def test_padding_becomes_air(tmp_path: Path, signed: bool, padding: int) -> None:
    write_dicom_series(tmp_path, HU, signed=signed, padding=padding)
    voxels = read_study(tmp_path).voxels
    assert (voxels[:, 0, 0] == -1024).all()
    np.testing.assert_array_equal(voxels[:, 32, 5:-5], HU[:, 32, 5:-5])


def test_padding_may_be_given_in_the_other_signedness(tmp_path: Path) -> None:
    def as_unsigned(dataset: Dataset, index: int) -> None:
        del dataset["PixelPaddingValue"]
        dataset.add_new("PixelPaddingValue", "US", 0x8000)  # -32768

    write_dicom_series(tmp_path, HU, signed=True, padding=-32768, intercept=-1024.0, slope=1.0, edit=as_unsigned)
    assert (read_study(tmp_path).voxels[:, 0, 0] == -1024).all()


def test_range_of_padding_values_becomes_air(tmp_path: Path) -> None:
    def widen(dataset: Dataset, index: int) -> None:
        dataset.add_new("PixelPaddingRangeLimit", "US", 60000)

    write_dicom_series(tmp_path, HU, padding=63536, edit=widen)
    assert read_study(tmp_path).voxels.max() == HU.max()


def test_no_value_is_thinner_than_air(tmp_path: Path) -> None:
    volume = HU.copy()
    volume[:, 0, 0] = -3024
    write_dicom_series(tmp_path, volume, signed=True)
    assert read_study(tmp_path).voxels.min() == -1024


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
        JPEG2000Lossless,
    ],
)
def test_written_transfer_syntaxes_are_read_back(tmp_path: Path, syntax: UID) -> None:
    write_dicom_series(tmp_path, HU, transfer_syntax=syntax)
    np.testing.assert_array_equal(read_study(tmp_path).voxels, HU)


def test_file_without_preamble_is_read(tmp_path: Path) -> None:
    path = write_dicom_series(tmp_path, HU[6:7], transfer_syntax=ImplicitVRLittleEndian)[0]
    dataset = dcmread(path)
    bare = Dataset({element.tag: element for element in dataset})
    bare.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert path.read_bytes()[128:132] != b"DICM"
    np.testing.assert_array_equal(read_study(path).voxels, HU[6:7])


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_transfer_syntax_gives_the_uncompressed_values(shared_data: Path, name: str) -> None:
    folder = shared_data / "dicom" / "transfer-syntaxes"
    reference = dcmread(folder / "CT1_UNC.dcm")
    stored = np.frombuffer(reference.PixelData, dtype="<i2").reshape(512, 512)
    expected = np.where(stored == -2000, -1024, np.maximum(stored.astype(int) - 1024, -1024))
    np.testing.assert_array_equal(read_study(folder / "CT1_UNC.dcm").voxels[0], expected)
    np.testing.assert_array_equal(read_study(folder / f"{name}.dcm").voxels[0], expected)


@pytest.mark.parametrize(("name", "error"), [("CT1_JLSN", 10), ("CT1_J2KI", 120)])
def test_lossy_transfer_syntax_comes_close_and_is_reported(shared_data: Path, name: str, error: int) -> None:
    folder = shared_data / "dicom" / "transfer-syntaxes"
    reference = read_study(folder / "CT1_UNC.dcm").voxels[0].astype(int)
    study = read_study(folder / f"{name}.dcm")
    inside = reference > -1024
    assert np.abs(study.voxels[0] - reference)[inside].mean() < error
    assert "lossy-compression" in codes(study.notices)


def test_gap_in_series_is_reported(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, HU, positions=[5.0 * z + (35.0 if z > 6 else 0.0) for z in EVERY])
    study = read_study(tmp_path)
    (gap,) = study.notices
    assert gap == notice("gaps", count=1, usual_mm=5.0, where=("40.0 mm between 30.0 and 70.0 mm",))


def test_uneven_spacing_is_reported_and_measured(tmp_path: Path) -> None:
    places = [5.0 * z + (0.5 if z % 2 else 0.0) for z in EVERY]
    write_dicom_series(tmp_path, HU, positions=places)
    study = read_study(tmp_path)
    assert codes(study.notices) == ["uneven-slices"]
    assert values_of(study.notices, "uneven-slices") == pytest.approx({"least_mm": 4.5, "most_mm": 5.5})
    assert study.geometry is not None
    np.testing.assert_allclose(study.geometry.slice_positions, places, atol=1e-6)
    np.testing.assert_allclose(study.geometry.slice_extents[1:-1], 5.0)


def test_twin_slices_are_dropped_with_a_notice(tmp_path: Path) -> None:
    places = [5.0 * z for z in EVERY]
    places[4] = places[5]
    paths = write_dicom_series(tmp_path, HU, positions=places, shuffled=False)
    study = read_study(tmp_path)
    assert len(study) == len(HU) - 1
    assert paths[4].name in study.sources
    assert paths[5].name not in study.sources
    assert values_of(study.notices, "places-taken-twice") == {"count": 1, "files": (paths[5].name,)}


def test_tilted_gantry_is_measured_along_the_normal(tmp_path: Path) -> None:
    angle = np.radians(20)
    write_dicom_series(
        tmp_path,
        HU,
        orientation=(1, 0, 0, 0, np.cos(angle), np.sin(angle)),
        step=(0, 0, 1),
        positions=PHANTOM.positions,
    )
    study = read_study(tmp_path)
    assert study.plane == "axial"
    np.testing.assert_array_equal(study.voxels, HU)
    assert study.geometry is not None
    np.testing.assert_allclose(study.geometry.slice_distances, 16 * np.cos(angle), rtol=1e-5)
    assert values_of(study.notices, "gantry-tilt")["degrees"] == pytest.approx(20, abs=0.5)


@pytest.mark.parametrize(
    ("orientation", "plane"), [((0, 1, 0, 0, 0, -1), "sagittal"), ((1, 0, 0, 0, 0, -1), "coronal")]
)
def test_other_planes_are_read_and_refused(tmp_path: Path, orientation: tuple[int, ...], plane: str) -> None:
    write_dicom_series(tmp_path, HU, orientation=orientation)
    study = read_study(tmp_path)
    assert study.plane == plane
    np.testing.assert_array_equal(study.voxels, HU)
    assert refusals(study) == (notice("not-axial", plane=plane),)


def test_best_of_several_series_is_read(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "c", np.concatenate([HU, HU]), series=3, orientation=(0, 1, 0, 0, 0, -1))
    write_dicom_series(tmp_path / "b", HU, series=2)
    write_dicom_series(tmp_path / "a", HU[:6], series=1)
    study = read_study(tmp_path)
    assert study.series_uid == f"{UID_ROOT}1.2"
    np.testing.assert_array_equal(study.voxels, HU)
    told = values_of(study.notices, "several-series")
    assert (told["count"], told["read"], told["images"]) == (3, '"Series 2"', 12)
    assert refusals(study) == ()


def test_images_of_several_patients_are_refused(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "a", HU)
    write_dicom_series(tmp_path / "b", HU[:6], series=2, edit=spoil(EVERY, PatientID="OTHER"))
    with pytest.raises(UnsupportedInputError, match="found 2 studies of 2 patients"):
        read_study(tmp_path)


def test_localizer_is_left_out(tmp_path: Path) -> None:
    localizer = spoil(EVERY, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_dicom_series(tmp_path / "a", HU[:2], orientation=(1, 0, 0, 0, 0, -1), edit=localizer)
    write_dicom_series(tmp_path / "b", HU)
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.voxels, HU)
    assert study.notices == (notice("localizers-left-out", count=2),)


def test_a_few_reformatted_images_do_not_spoil_an_axial_series(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, HU, edit=spoil([3], ImageOrientationPatient=[0, 1, 0, 0, 0, -1]))
    study = read_study(tmp_path)
    assert len(study) == len(HU) - 1
    assert refusals(study) == ()
    assert values_of(study.notices, "orientations-left-out")["count"] == 2
    assert "gaps" in codes(study.notices)


def test_slices_of_another_matrix_are_left_out(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, HU, edit=spoil([3], Rows=32, Columns=160))
    study = read_study(tmp_path)
    assert len(study) == len(HU) - 1
    assert values_of(study.notices, "matrices-left-out") == {"count": 1, "total": len(HU)}


def test_enhanced_multi_frame_is_read_like_a_series(tmp_path: Path) -> None:
    order = [3, 0, 2, 1, *range(4, len(HU))]
    places = [PHANTOM.positions[index] for index in order]
    study = read_study(write_enhanced_dicom(tmp_path / "ct", HU[order], places))
    np.testing.assert_array_equal(study.voxels, HU)
    assert study.geometry is not None
    np.testing.assert_allclose(study.geometry.slice_positions, PHANTOM.positions)
    assert study.sources == ("ct",) * len(HU)
    assert refusals(study) == ()


def test_enhanced_multi_frame_of_another_quantity_is_refused(shared_data: Path) -> None:
    study = read_study(shared_data / "dicom" / "transfer-syntaxes" / "eCT_Supplemental.dcm")
    assert study.voxels.shape == (2, 512, 512)
    assert study.geometry is not None
    np.testing.assert_allclose(study.geometry.slice_positions, [-159, -149])
    np.testing.assert_allclose(study.geometry.column_direction, [1, 0, 0])
    assert notice("not-hounsfield", unit="US") in refusals(study)


def test_missing_rescale_is_reported(tmp_path: Path) -> None:
    study = read_spoilt(tmp_path, EVERY, RescaleSlope=None, RescaleIntercept=None)
    assert "rescale-missing" in codes(study.notices)
    assert "no-air" in codes(refusals(study))


def test_inverted_display_does_not_invert_hu(tmp_path: Path) -> None:
    study = read_spoilt(tmp_path, EVERY, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(study.voxels, HU)


@pytest.mark.parametrize("units", ["US", "MGML", "HU_MOD"])
def test_other_quantities_than_hu_are_refused(tmp_path: Path, units: str) -> None:
    study = read_spoilt(tmp_path, EVERY, RescaleType=units)
    assert notice("not-hounsfield", unit=units) in refusals(study)


def test_slices_that_are_shifted_sideways_are_reported(tmp_path: Path) -> None:
    def shift(dataset: Dataset, index: int) -> None:
        dataset.ImagePositionPatient = [10.0 if index > 5 else 0.0, 0.0, 5.0 * index]

    write_dicom_series(tmp_path, HU, edit=shift)
    study = read_study(tmp_path)
    assert values_of(study.notices, "shifted-slices")["off_mm"] == pytest.approx(10)
    assert study.geometry is not None
    np.testing.assert_allclose(study.geometry.positions[:, 0], [0.0] * 6 + [10.0] * 6)


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_geometry_is_not_made_up(tmp_path: Path, keyword: str) -> None:
    study = read_spoilt(tmp_path, EVERY, **{keyword: None})
    assert study.geometry is None
    assert len(study) == len(HU)
    if keyword != "PixelSpacing":
        assert values_of(study.notices, "positions-missing") == {"sorted_by": "instance number"}


def test_attributes_that_reports_need_are_kept(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, HU)
    attributes = read_study(tmp_path).attributes
    expected = {"Modality": "CT", "PatientID": "PHANTOM-1", "PatientName": "Phantom^Chest", "AccessionNumber": "ACC1"}
    assert {key: attributes[key] for key in expected} == expected
    assert attributes["ImageType"] == "ORIGINAL\\PRIMARY\\AXIAL"
    assert "PatientBirthDate" not in attributes  # present, but empty


def test_other_dicom_objects_beside_the_slices_are_passed_over(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "ct", HU)
    other = spoil(EVERY, SOPClassUID=SecondaryCaptureImageStorage)
    write_dicom_series(tmp_path / "report", HU[:1], series=2, edit=other)
    study = read_study(tmp_path)
    assert len(study) == len(HU)
    assert study.notices == (notice("not-ct-images", count=1, files=("report/0001.dcm",)),)


def test_other_modality_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedInputError, match="MR Image Storage"):
        read_spoilt(tmp_path, EVERY, SOPClassUID=MRImageStorage, Modality="MR")


def test_colour_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="colour pixels"):
        read_spoilt(tmp_path, EVERY, SamplesPerPixel=3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"Rows": None}, "Rows is missing"),
        ({"Rows": 60000}, "60000 x 80"),
        ({"PixelData": b"\0" * 100}, "cannot be decoded"),
        ({"PixelData": None}, "cannot be decoded"),
        ({"SeriesInstanceUID": None}, "SeriesInstanceUID is missing"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "right angle"),
        ({"ImagePositionPatient": [1, 0]}, "expected 3 numbers"),
        ({"PixelSpacing": [0, 0.7]}, "pixel spacing of 0"),
        ({"PhotometricInterpretation": "RGB"}, "PhotometricInterpretation is 'RGB'"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_damaged_slice_is_left_out_and_a_damaged_series_refused(
    tmp_path: Path, values: dict[str, object], message: str
) -> None:
    study = read_spoilt(tmp_path / "one", [3], **values)
    assert len(study) == len(HU) - 1
    assert "gaps" in codes(study.notices)
    left_out = values_of(study.notices, "dicom-files-unreadable")
    assert left_out["count"] == 1
    assert message in str(left_out["reason"])
    with pytest.raises(UnreadableFileError, match=message):
        read_spoilt(tmp_path / "all", EVERY, **values)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 0.95])
def test_truncated_slice_is_named_and_its_gap_reported(tmp_path: Path, share: float) -> None:
    paths = write_dicom_series(tmp_path, HU)
    paths[5].write_bytes(paths[5].read_bytes()[: int(paths[5].stat().st_size * share)])
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.voxels, np.delete(HU, 5, axis=0))
    told = next(one for one in study.notices if one.code in ("dicom-files-unreadable", "files-damaged"))
    assert told.values["files"] == (paths[5].name,)
    assert "gaps" in codes(study.notices)


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_mostly_truncated_series_is_refused(tmp_path: Path, share: float) -> None:
    for path in write_dicom_series(tmp_path, HU)[:7]:
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UnreadableFileError, match="7 of 12 slices"):
        read_study(tmp_path)


def test_slice_next_to_nothing_is_still_a_study(tmp_path: Path) -> None:
    path = write_dicom_series(tmp_path, HU[6:7], positions=[-20.0])[0]
    study = read_study(path)
    assert study.geometry is not None
    assert study.geometry.slice_extents.tolist() == [5.0]


def test_sagittal_series_is_read_and_refused(shared_data: Path) -> None:
    study = read_study(shared_data / "dicom" / "ricord-000906-sagittal")
    assert len(study) == 7
    assert study.plane == "sagittal"
    assert set(refusals(study)) == {
        notice("not-axial", plane="sagittal"),
        notice("orientations-mixed", count=2, found=("7 sagittal", "1 coronal")),
    }


def test_real_series_with_padding_is_read(shared_data: Path) -> None:
    folder = shared_data / "dicom" / "ricord-001012"
    study = read_study(folder)
    assert study.voxels.shape == (248, 512, 512)
    assert study.voxels.min() == -1024
    assert (study.voxels[:, 0, 0] == -1024).all()
    assert study.geometry is not None
    np.testing.assert_allclose(study.geometry.slice_distances, 1.25, atol=1e-6)
    assert (study.notices, refusals(study)) == ((), ())


def test_real_series_of_thick_slices_is_read(shared_data: Path) -> None:
    study = read_study(shared_data / "dicom" / "lung-pet-ct-dx-A0002")
    assert study.voxels.shape == (30, 512, 512)
    assert study.geometry is not None
    np.testing.assert_allclose(study.geometry.slice_extents, 8.0)
    assert (study.notices, refusals(study)) == ((), ())


def test_texts_without_end_are_cut_where_they_enter(tmp_path: Path) -> None:
    phantom = ChestPhantom(shape=(8, 64, 64), spacing=(20.0, 5.2, 5.2))
    paths = write_dicom_series(tmp_path / "series", phantom.hu, spacing=(5.2, 5.2), positions=phantom.positions)
    for path in paths:
        dataset = dcmread(path)
        dataset["StudyDescription"]._value = "x" * 60_000
        dataset.save_as(path)
    assert read_study(tmp_path / "series").attributes["StudyDescription"] == "x" * 324
