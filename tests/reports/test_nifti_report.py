"""Volumes are read back with nibabel; a lesion's centre computed from the file is the centre that was reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.notices import text
from jcs_ct.reports.nifti_report import nifti_affine, nifti_warnings, write_niftis
from jcs_ct.study.volume import Geometry, InputKind, SourceGrid
from tests.noticed import codes


def load(path: Path) -> tuple[NDArray[np.generic], nibabel.Nifti1Image]:
    image = nibabel.load(path)
    assert isinstance(image, nibabel.Nifti1Image)
    return np.asarray(image.dataobj), image


@pytest.mark.parametrize("name", ["diagnosis", "nifti_diagnosis"])
def test_world_coordinates_of_lesions_survive(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    diagnosis: Diagnosis = request.getfixturevalue(name)
    write_niftis(diagnosis, tmp_path)
    labels, image = load(tmp_path / "lesions.nii.gz")
    assert labels.dtype == np.uint16
    assert len(diagnosis.lesions) == 2
    for lesion in diagnosis.lesions:
        ras = nibabel.affines.apply_affine(image.affine, np.argwhere(labels == lesion.id)).mean(axis=0)
        assert lesion.centroid_mm == pytest.approx((-ras[0], -ras[1], ras[2]), abs=0.01)


def test_nifti_input_gets_its_own_grid_back(nifti_diagnosis: Diagnosis, tmp_path: Path) -> None:
    write_niftis(nifti_diagnosis, tmp_path)
    study = nifti_diagnosis.study
    for name, array in (
        ("lesions", nifti_diagnosis.lesion_labels),
        ("activation", nifti_diagnosis.activation),
        ("lungs", nifti_diagnosis.lung_mask),
    ):
        assert array is not None
        stored, image = load(tmp_path / f"{name}.nii.gz")
        assert stored.shape == (128, 40, 128)
        assert study.grid.affine is not None
        assert np.allclose(image.affine, study.grid.affine, atol=1e-4)
        assert nibabel.aff2axcodes(image.affine) == ("A", "I", "L")
        assert np.array_equal(study.grid.to_canonical(stored), array)


def test_tilted_stack_leans_in_every_transform_that_the_file_states(diagnosis: Diagnosis, tmp_path: Path) -> None:
    geometry = diagnosis.study.geometry
    assert geometry is not None
    lean = geometry.positions + 0.3 * (geometry.positions[:, 2:] - geometry.positions[0, 2]) * [0, 1, 0]
    tilted = replace(diagnosis, study=replace(diagnosis.study, geometry=replace(geometry, positions=lean)))
    write_niftis(tilted, tmp_path)
    _, image = load(tmp_path / "lungs.nii.gz")
    assert int(image.header["sform_code"]) == 1
    assert int(image.header["qform_code"]) == 0
    assert nibabel.affines.apply_affine(image.affine, [0, 0, 39]) == pytest.approx(lean[39] * [-1, -1, 1], abs=1e-3)


def test_dicom_is_written_in_lps_order(diagnosis: Diagnosis, tmp_path: Path) -> None:
    paths = write_niftis(diagnosis, tmp_path)
    assert [path.name for path in paths] == ["lesions.nii.gz", "activation.nii.gz", "lungs.nii.gz"]
    lungs, image = load(tmp_path / "lungs.nii.gz")
    assert diagnosis.lung_mask is not None
    assert lungs.dtype == np.uint8
    assert np.array_equal(lungs, np.asarray(diagnosis.lung_mask).transpose(2, 1, 0))
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    assert image.header.get_zooms() == pytest.approx((2.6, 2.6, 5.0))
    assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 1


def test_tilted_gantry_keeps_every_voxel_in_place(diagnosis: Diagnosis) -> None:
    tilt = np.deg2rad(15)
    positions = np.arange(40)[:, None] * np.array([0.0, 0.0, 5.0]) - 100
    geometry = Geometry(positions, np.array([1.0, 0, 0]), np.array([0, np.cos(tilt), -np.sin(tilt)]), (0.7, 0.9))
    affine = nifti_affine(replace(diagnosis.study, geometry=geometry))
    assert affine is not None
    indices = np.array([[0.0, 0, 0], [39, 0, 0], [20, 100, 50]])
    ras = nibabel.affines.apply_affine(affine, indices[:, ::-1])
    assert ras * [-1, -1, 1] == pytest.approx(geometry.to_patient(indices))


def test_uneven_slices_are_written_with_the_median_distance_and_a_word(diagnosis: Diagnosis, tmp_path: Path) -> None:
    assert diagnosis.study.geometry is not None
    positions = diagnosis.study.geometry.positions.copy()
    positions[25:, 2] += 20
    geometry = replace(diagnosis.study.geometry, positions=positions)
    study = replace(diagnosis.study, geometry=geometry)
    (warning,) = nifti_warnings(study)
    assert "5 to 25 mm" in text(warning)
    write_niftis(replace(diagnosis, study=study), tmp_path)
    _, image = load(tmp_path / "lesions.nii.gz")
    assert image.header.get_zooms()[2] == pytest.approx(5.0)
    assert b"uneven" in image.header["descrip"].tobytes()


def test_positions_rounded_by_the_scanner_are_even(diagnosis: Diagnosis) -> None:
    assert diagnosis.study.geometry is not None
    positions = diagnosis.study.geometry.positions * [1, 1, 0.125]
    positions[:, 2] = np.round(positions[:, 2], 2)
    study = replace(diagnosis.study, geometry=replace(diagnosis.study.geometry, positions=positions))
    assert nifti_warnings(study) == ()


def test_single_slice_of_unknown_thickness_says_so(diagnosis: Diagnosis) -> None:
    assert diagnosis.study.geometry is not None
    where = replace(diagnosis.study.geometry, positions=np.zeros((1, 3)), slice_thickness=None)
    study = replace(diagnosis.study, voxels=diagnosis.study.voxels[:1], sources=("a",), geometry=where)
    assert codes(nifti_warnings(study)) == ["nifti-thickness-unknown"]
    affine = nifti_affine(study)
    assert affine is not None
    assert np.linalg.norm(affine[:3, 2]) == pytest.approx(1.0)


def test_nifti_input_without_affine_states_none(nifti_diagnosis: Diagnosis, tmp_path: Path) -> None:
    grid = SourceGrid(axes=(2, 1, 0), flips=(False, True, False))
    study = replace(nifti_diagnosis.study, kind=InputKind.NIFTI, geometry=None, grid=grid)
    write_niftis(replace(nifti_diagnosis, study=study), tmp_path)
    stored, image = load(tmp_path / "lesions.nii.gz")
    assert nifti_diagnosis.lesion_labels is not None
    assert np.array_equal(grid.to_canonical(stored), nifti_diagnosis.lesion_labels)
    assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 0
