from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct.errors import JcsError, UnreadableFileError, UnsupportedInputError
from jcs_ct.study import IntensityKind, read_study
from tests.noticed import codes
from tests.phantoms import ChestPhantom, to_grey, write_nifti

PHANTOM = ChestPhantom.infected(shape=(20, 64, 48), spacing=(10.0, 5.0, 6.5))
ORIENTATIONS = ["".join(code) for order in permutations(("RL", "AP", "SI")) for code in product(*order)]


def save(path: Path, values: NDArray[np.generic], affine: NDArray[np.float64] | None = None) -> Path:
    nib.save(nib.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_comes_in_canonical_form_and_leads_back(tmp_path: Path, orientation: str) -> None:
    path = tmp_path / "ct.nii"
    affine = write_nifti(path, PHANTOM.hu, spacing=PHANTOM.spacing, axcodes=orientation)
    study = read_study(path)
    np.testing.assert_array_equal(study.voxels, PHANTOM.hu)
    stored = np.asarray(nib.Nifti1Image.from_filename(path).dataobj)
    np.testing.assert_array_equal(study.grid.to_stored(study.voxels), stored)
    assert study.grid.affine is not None
    np.testing.assert_allclose(study.grid.affine, affine, atol=1e-4)
    assert study.geometry is not None
    np.testing.assert_allclose(study.geometry.positions[3], [0, 0, 30], atol=1e-3)
    np.testing.assert_allclose(study.geometry.to_patient(np.array([[3.0, 2.0, 1.0]])), [[6.5, 10.0, 30.0]], atol=1e-3)
    assert study.geometry.pixel_spacing == pytest.approx((5.0, 6.5))
    assert study.notices == ()


def test_all_48_orientations_are_tried() -> None:
    assert len(set(ORIENTATIONS)) == 48


def test_digest_does_not_depend_on_how_the_volume_is_stored(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", PHANTOM.hu, spacing=PHANTOM.spacing)
    write_nifti(tmp_path / "b.nii.gz", PHANTOM.hu.astype(np.float32), spacing=PHANTOM.spacing)
    assert read_study(tmp_path / "a.nii").digest == read_study(tmp_path / "b.nii.gz").digest


def test_oblique_affine_keeps_its_directions(tmp_path: Path) -> None:
    angle = np.radians(20)
    affine = np.eye(4)
    affine[:3, :3] = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    affine[:3, :3] *= [3.0, 3.0, 5.0]
    geometry = read_study(save(tmp_path / "ct.nii", PHANTOM.hu.transpose(2, 1, 0), affine)).geometry
    assert geometry is not None
    assert abs(float(geometry.column_direction @ geometry.row_direction)) < 1e-6
    np.testing.assert_allclose(geometry.column_direction, [np.cos(angle), np.sin(angle), 0], atol=1e-6)
    np.testing.assert_allclose(geometry.slice_distances, 5.0, rtol=1e-6)


def test_sheared_affine_measures_slices_along_their_normal(tmp_path: Path) -> None:
    affine = np.diag([3.0, 3.0, 5.0, 1.0])
    affine[1, 2] = 2.0  # each slice is shifted to the front, as under a tilted gantry
    geometry = read_study(save(tmp_path / "ct.nii", PHANTOM.hu.transpose(2, 1, 0), affine)).geometry
    assert geometry is not None
    np.testing.assert_allclose(geometry.slice_distances, 5.0, rtol=1e-6)


def test_slope_and_intercept_of_the_header_are_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image((PHANTOM.hu.transpose(2, 1, 0) + 1024) // 2, np.diag([-6.5, -5.0, 10.0, 1.0]))
    image.header.set_slope_inter(2.0, -1024.0)
    nib.save(image, tmp_path / "ct.nii")
    values: Any = nib.Nifti1Image.from_filename(tmp_path / "ct.nii").dataobj
    assert (values.slope, values.inter) == (2.0, -1024.0)
    np.testing.assert_array_equal(read_study(tmp_path / "ct.nii").voxels, np.asarray(values).transpose(2, 1, 0))


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_every_type_of_number_gives_int16_hu(tmp_path: Path, dtype: type[np.generic]) -> None:
    write_nifti(tmp_path / "ct.nii.gz", PHANTOM.hu.astype(dtype))
    study = read_study(tmp_path / "ct.nii.gz")
    assert study.intensity is IntensityKind.HU
    assert study.voxels.dtype == np.int16
    assert study.voxels.flags.c_contiguous
    np.testing.assert_array_equal(study.voxels, PHANTOM.hu)


def test_values_below_air_become_air(tmp_path: Path) -> None:
    volume = PHANTOM.hu.copy()
    volume[:, :4] = -3024
    write_nifti(tmp_path / "ct.nii", volume)
    voxels = read_study(tmp_path / "ct.nii").voxels
    assert (voxels[:, :4] == -1024).all()
    np.testing.assert_array_equal(voxels[:, 4:], PHANTOM.hu[:, 4:])


def test_grey_levels_stay_grey_levels(tmp_path: Path) -> None:
    write_nifti(tmp_path / "ct.nii", to_grey(PHANTOM.hu))
    study = read_study(tmp_path / "ct.nii")
    assert study.intensity is IntensityKind.GRAY8
    np.testing.assert_array_equal(study.voxels, to_grey(PHANTOM.hu))


def test_nifti2_is_read(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(PHANTOM.hu.transpose(2, 1, 0), np.diag([-1.0, -1.0, 1.0, 1.0])), tmp_path / "ct.nii")
    np.testing.assert_array_equal(read_study(tmp_path / "ct.nii").voxels, PHANTOM.hu)


def test_extension_does_not_matter(tmp_path: Path) -> None:
    write_nifti(tmp_path / "ct.nii.gz", PHANTOM.hu)
    (tmp_path / "ct.nii.gz").rename(tmp_path / "scan")
    assert read_study(tmp_path / "scan").sources == ("scan",) * 20


def test_fourth_axis_of_one_is_dropped(tmp_path: Path) -> None:
    study = read_study(save(tmp_path / "ct.nii", PHANTOM.hu.transpose(2, 1, 0)[..., np.newaxis]))
    assert study.voxels.shape == PHANTOM.hu.shape


def test_unstated_orientation_gives_no_geometry_and_a_remark(tmp_path: Path) -> None:
    write_nifti(tmp_path / "ct.nii", PHANTOM.hu, stated=False)
    study = read_study(tmp_path / "ct.nii")
    assert study.geometry is None
    assert study.grid.affine is None
    assert codes(study.notices) == ["orientation-not-stated"]


def test_affine_that_spans_no_volume_counts_as_unstated(tmp_path: Path) -> None:
    image = nib.Nifti1Image(PHANTOM.hu.transpose(2, 1, 0), np.eye(4))
    image.header.set_sform(np.diag([1.0, 0.0, 1.0, 1.0]), code=1)
    content = bytearray(image.to_bytes())
    content[280:328] = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]], dtype="<f4").tobytes()
    content[252:256] = np.array([0, 1], dtype="<i2").tobytes()
    (tmp_path / "ct.nii").write_bytes(content)
    study = read_study(tmp_path / "ct.nii")
    assert study.geometry is None
    assert codes(study.notices) == ["orientation-not-stated"]


@pytest.mark.parametrize(("orientation", "plane"), [("ASR", "sagittal"), ("RSA", "coronal"), ("RAS", "axial")])
def test_thick_slices_tell_the_plane(tmp_path: Path, orientation: str, plane: str) -> None:
    thick = {"sagittal": (2.0, 2.0, 5.0), "coronal": (2.0, 5.0, 2.0), "axial": (5.0, 2.0, 2.0)}[plane]
    write_nifti(tmp_path / "ct.nii", PHANTOM.hu, spacing=thick, axcodes=orientation)
    study = read_study(tmp_path / "ct.nii")
    assert study.plane == plane
    assert codes(study.notices) == ([] if plane == "axial" else ["not-axial"])


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 20, 2), (64, 64, 20, 1, 3)])
def test_other_ranks_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedInputError, match=f"{len(shape)} dimensions.*expected one 3-D volume"):
        read_study(save(tmp_path / "ct.nii", np.zeros(shape, dtype=np.int16)))


@pytest.mark.parametrize(
    ("low", "high"), [(0, 4095), (0, 1), (-1, 1), (-150, 300), (-100000, 3000), (-1000, 90000), (7, 7), (-1000, -950)]
)
def test_unknown_scale_is_refused_with_the_range_found(tmp_path: Path, low: int, high: int) -> None:
    values = np.full((64, 64, 5), low, dtype=np.int32)
    values[:32] = high
    if low == high == 7:
        values[:] = -7
    with pytest.raises(UnsupportedInputError, match=r"neither HU .* nor grey levels"):
        read_study(save(tmp_path / "ct.nii", values))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_numbers_are_refused(tmp_path: Path, bad: float) -> None:
    values = PHANTOM.hu.astype(np.float32)
    values[3, 4, 5] = bad
    write_nifti(tmp_path / "ct.nii.gz", values)
    with pytest.raises(UnreadableFileError, match="not numbers"):
        read_study(tmp_path / "ct.nii.gz")


def test_colours_are_refused(tmp_path: Path) -> None:
    rgb = np.zeros((8, 8, 8), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(UnsupportedInputError, match="plain numbers"):
        read_study(save(tmp_path / "ct.nii", rgb))


def test_half_of_a_pair_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(PHANTOM.hu, np.eye(4)), tmp_path / "ct.hdr")
    with pytest.raises(UnsupportedInputError, match="pair"):
        read_study(tmp_path / "ct.hdr")


def test_header_that_promises_too_much_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    image = nib.Nifti1Image(PHANTOM.hu, np.eye(4))
    content = bytearray(image.to_bytes())
    content[42:48] = np.array([30000, 30000, 30000], dtype="<i2").tobytes()
    (tmp_path / "ct.nii").write_bytes(content)
    with pytest.raises(UnsupportedInputError, match="GiB"):
        read_study(tmp_path / "ct.nii")


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_truncated_file_is_reported(tmp_path: Path, name: str, share: float) -> None:
    noisy = ChestPhantom(shape=PHANTOM.shape, spacing=PHANTOM.spacing, noise=20.0)
    write_nifti(tmp_path / name, noisy.hu)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UnreadableFileError) as caught:
        read_study(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_corrupt_gzip_stream_is_reported(tmp_path: Path) -> None:
    write_nifti(tmp_path / "ct.nii.gz", PHANTOM.hu)
    content = bytearray((tmp_path / "ct.nii.gz").read_bytes())
    content[-2000:-1000] = bytes(1000)
    (tmp_path / "ct.nii.gz").write_bytes(content)
    with pytest.raises(JcsError):
        read_study(tmp_path / "ct.nii.gz")
