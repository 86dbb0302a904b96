"""Masks that lie on the study's grid are taken however their axes run; others are refused with the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from jcs_ct.errors import JcsError, UnreadableFileError, UnsupportedInputError
from jcs_ct.study.masks import read_labels
from jcs_ct.study.reader import read_study
from jcs_ct.study.volume import Study
from tests import phantoms
from tests.phantoms import ChestPhantom

PHANTOM = ChestPhantom.healthy(shape=(12, 40, 48), spacing=(15.0, 7.0, 6.0))
LABELS = PHANTOM.lung_mask.astype(np.uint8)
LABELS[:, :, 24:] *= 2


@pytest.fixture
def study(tmp_path: Path) -> Study:
    phantoms.write_nifti(tmp_path / "ct.nii.gz", PHANTOM.hu, spacing=PHANTOM.spacing, axcodes="RAS")
    return read_study(tmp_path / "ct.nii.gz")


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "PIR", "SAL"])
def test_axes_may_run_in_any_direction(study: Study, tmp_path: Path, axcodes: str) -> None:
    phantoms.write_nifti(tmp_path / "lungs.nii.gz", LABELS, spacing=PHANTOM.spacing, axcodes=axcodes)
    assert np.array_equal(read_labels(tmp_path / "lungs.nii.gz", study, 2), LABELS)


def test_a_mask_for_a_dicom_series_turned_on_its_face(tmp_path: Path) -> None:
    places = [15.0 * k for k in range(12)]
    phantoms.write_dicom_series(
        tmp_path / "d", PHANTOM.hu[:, ::-1, ::-1], spacing=(7.0, 6.0), positions=places,
        orientation=(-1, 0, 0, 0, -1, 0), origin=(47 * 6.0, 39 * 7.0, 0),
    )  # fmt: skip
    phantoms.write_nifti(tmp_path / "lungs.nii.gz", LABELS, spacing=PHANTOM.spacing, axcodes="RAS")
    assert np.array_equal(read_labels(tmp_path / "lungs.nii.gz", read_study(tmp_path / "d"), 2), LABELS)


def test_without_geometry_the_arrays_own_order_counts(tmp_path: Path) -> None:
    phantoms.write_nifti(tmp_path / "ct.nii.gz", PHANTOM.hu, axcodes="RAS", stated=False)
    phantoms.write_nifti(tmp_path / "lungs.nii.gz", LABELS, axcodes="RAS", stated=False)
    assert np.array_equal(read_labels(tmp_path / "lungs.nii.gz", read_study(tmp_path / "ct.nii.gz"), 2), LABELS)
    phantoms.write_png_slices(tmp_path / "png", PHANTOM.hu)
    nib.save(nib.Nifti1Image(LABELS.transpose(2, 1, 0), np.eye(4)), tmp_path / "columns_first.nii")
    assert np.array_equal(read_labels(tmp_path / "columns_first.nii", read_study(tmp_path / "png"), 2), LABELS)


def test_an_uneven_series_takes_a_mask_on_the_even_grid_that_nifti_can_state(study: Study, tmp_path: Path) -> None:
    assert study.geometry is not None
    positions = study.geometry.positions.copy()
    positions[6:, 2] += 20
    uneven = replace(study, geometry=replace(study.geometry, positions=positions))
    phantoms.write_nifti(tmp_path / "lungs.nii.gz", LABELS, spacing=PHANTOM.spacing)
    assert np.array_equal(read_labels(tmp_path / "lungs.nii.gz", uneven, 2), LABELS)


def refused(path: Path, study: Study, highest: int = 2) -> str:
    with pytest.raises(JcsError) as caught:
        read_labels(path, study, highest)
    assert isinstance(caught.value, UnreadableFileError | UnsupportedInputError)
    return str(caught.value)


def test_another_grid_or_place_is_refused(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "lungs.nii.gz"
    phantoms.write_nifti(path, LABELS[:-1], spacing=PHANTOM.spacing)
    assert "expected one volume of 12 slices of 40 x 48 pixels" in refused(path, study)
    phantoms.write_nifti(path, LABELS, spacing=(15.0, 7.0, 6.5))
    assert "off the study" in refused(path, study)
    phantoms.write_nifti(path, LABELS, spacing=(14.0, 7.0, 6.0))
    assert "lies up to 11.0 mm off the study" in refused(path, study)
    phantoms.write_nifti(path, LABELS, spacing=PHANTOM.spacing, stated=False)
    assert "states no place" in refused(path, study)
    phantoms.write_nifti(path, LABELS.transpose(1, 0, 2), spacing=PHANTOM.spacing)
    assert "make it on the study's own grid" in refused(path, study)


def test_other_values_are_refused(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "lungs.nii.gz"
    phantoms.write_nifti(path, LABELS, spacing=PHANTOM.spacing)
    assert "holds the value 2, expected whole numbers from 0 to 1" in refused(path, study, highest=1)
    phantoms.write_nifti(path, LABELS.astype(np.float32) * 0.5, spacing=PHANTOM.spacing)
    assert "holds the value 0.5" in refused(path, study)


def test_damaged_and_missing_files_are_refused(study: Study, tmp_path: Path) -> None:
    assert "is no file; expected a NIfTI file" in refused(tmp_path / "nowhere.nii", study)
    (tmp_path / "text.nii.gz").write_text("no NIfTI")
    assert "cannot be read as a mask" in refused(tmp_path / "text.nii.gz", study)
    phantoms.write_nifti(tmp_path / "a.nii", LABELS, spacing=PHANTOM.spacing)
    (tmp_path / "cut.nii").write_bytes((tmp_path / "a.nii").read_bytes()[:2000])
    assert "cut.nii is damaged or truncated" in refused(tmp_path / "cut.nii", study)
