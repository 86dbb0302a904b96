"""NIfTI files whose two forms contradict each other, or of which one is of no use; masks by the same reader."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct.errors import UnsupportedInputError
from jcs_ct.reports.nifti_report import nifti_affine
from jcs_ct.study import read_study
from jcs_ct.study.masks import read_labels
from jcs_ct.study.outlines import read_lungs
from tests.noticed import codes, values_of
from tests.phantoms import ChestPhantom, write_nifti

PHANTOM = ChestPhantom.infected(shape=(8, 64, 64), spacing=(20.0, 5.0, 5.0))
LUNGS = PHANTOM.lung_mask.astype(np.uint8)
ZEROS = np.diag([0.0, 0.0, 0.0, 1.0])


def write(
    path: Path,
    volume: NDArray[np.generic],
    sform: NDArray[np.float64] | None = None,
    qform: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Write a volume, then put other forms into its header; returns the affine that it was written with."""
    affine = write_nifti(path, volume, spacing=PHANTOM.spacing)
    image: Any = nib.load(path)
    if sform is not None:
        header = image.header
        header["srow_x"], header["srow_y"], header["srow_z"] = sform[:3]
        header["sform_code"] = 1
    if qform is not None:
        image.header.set_qform(qform, code=1)
    changed = nib.Nifti1Image(np.asanyarray(image.dataobj).copy(), None, image.header)
    nib.save(changed, path)
    return affine


def shifted(mm: float) -> NDArray[np.float64]:
    moved = np.eye(4)
    moved[:3, 3] = mm
    return moved


MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


@pytest.mark.parametrize("change", [MIRROR, shifted(100.0), shifted(4.0)], ids=["mirrored", "100 mm off", "4 mm off"])
def test_forms_that_differ_are_told_and_written_again(tmp_path: Path, change: NDArray[np.float64]) -> None:
    affine = write(tmp_path / "plain.nii", PHANTOM.hu)
    write(tmp_path / "ct.nii", PHANTOM.hu, affine, change @ affine)
    study, plain = read_study(tmp_path / "ct.nii"), read_study(tmp_path / "plain.nii")
    assert study.digest == plain.digest
    assert float(str(values_of(study.notices, "forms-contradict")["off_mm"])) > 3
    written = nifti_affine(study)
    assert written is not None
    np.testing.assert_allclose(written, affine)
    assert study.grid.other_affine is not None
    np.testing.assert_allclose(study.grid.other_affine, change @ affine, atol=1e-3)


def test_rounding_of_a_qform_is_no_contradiction(tmp_path: Path) -> None:
    affine = write(tmp_path / "plain.nii", PHANTOM.hu)
    write(tmp_path / "ct.nii", PHANTOM.hu, affine, shifted(0.01) @ affine)
    assert read_study(tmp_path / "ct.nii").notices == ()


@pytest.mark.parametrize("sform", [ZEROS, np.full((4, 4), np.nan), np.ones((4, 4))], ids=["zeros", "nan", "flat"])
def test_unusable_sform_gives_way_to_a_good_qform(tmp_path: Path, sform: NDArray[np.float64]) -> None:
    affine = write(tmp_path / "plain.nii", PHANTOM.hu)
    write(tmp_path / "ct.nii", PHANTOM.hu, sform, affine)
    study = read_study(tmp_path / "ct.nii")
    assert study.digest == read_study(tmp_path / "plain.nii").digest
    assert codes(study.notices) == ["sform-unusable"]
    write(tmp_path / "lungs.nii", LUNGS, sform, affine)
    np.testing.assert_array_equal(read_lungs(tmp_path / "lungs.nii", study), LUNGS > 0)


def test_mask_with_no_usable_form_is_refused_in_words(tmp_path: Path) -> None:
    write(tmp_path / "ct.nii", PHANTOM.hu)
    write_nifti(tmp_path / "lungs.nii", LUNGS, stated=False)
    with pytest.raises(UnsupportedInputError, match="states no place"):
        read_lungs(tmp_path / "lungs.nii", read_study(tmp_path / "ct.nii"))


def test_mask_is_laid_by_the_form_that_fits(tmp_path: Path) -> None:
    affine = write(tmp_path / "ct.nii", PHANTOM.hu)
    write(tmp_path / "lungs.nii", LUNGS, shifted(100.0) @ affine, affine)
    np.testing.assert_array_equal(read_lungs(tmp_path / "lungs.nii", read_study(tmp_path / "ct.nii")), LUNGS > 0)


@pytest.mark.parametrize(("pixels", "fits"), [(0.5, True), (1.0, False), (-1.0, False)])
def test_mask_of_half_a_pixel_off_is_taken_and_of_a_whole_one_is_not(tmp_path: Path, pixels: float, fits: bool) -> None:
    affine = write(tmp_path / "ct.nii", PHANTOM.hu)
    affine[0, 3] += pixels * 5.0
    nib.save(nib.Nifti1Image(np.transpose(LUNGS, (2, 1, 0)).copy(), affine), tmp_path / "lungs.nii")
    study = read_study(tmp_path / "ct.nii")
    if fits:
        assert read_lungs(tmp_path / "lungs.nii", study).any()
        return
    with pytest.raises(UnsupportedInputError, match=r"lies up to 5\.0 mm off"):
        read_lungs(tmp_path / "lungs.nii", study)


@pytest.mark.parametrize("name", ["lungs.nii.gz", "lungs", "lungs.dcm"])
@pytest.mark.parametrize("packed", [False, True])
def test_masks_are_told_by_their_content(tmp_path: Path, name: str, packed: bool) -> None:
    write(tmp_path / "ct.nii", PHANTOM.hu)
    write(tmp_path / "mask.nii", LUNGS)
    content = (tmp_path / "mask.nii").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
    np.testing.assert_array_equal(read_lungs(tmp_path / name, read_study(tmp_path / "ct.nii")), LUNGS > 0)


def test_mask_of_four_dimensions_with_one_frame(tmp_path: Path) -> None:
    affine = write(tmp_path / "ct.nii", PHANTOM.hu)
    write(tmp_path / "mask.nii", LUNGS)
    image: Any = nib.load(tmp_path / "mask.nii")
    values = np.asanyarray(image.dataobj)[..., None]
    nib.save(nib.Nifti1Image(values, affine), tmp_path / "four.nii")
    study = read_study(tmp_path / "ct.nii")
    np.testing.assert_array_equal(read_labels(tmp_path / "four.nii", study, 1), LUNGS)


@pytest.mark.parametrize("labels", [(1, 2), (255, 255), (3, 5), (1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_lungs_may_be_labelled_by_side_lobe_or_white(
    tmp_path: Path, labels: tuple[int, int], dtype: type[np.generic]
) -> None:
    write(tmp_path / "ct.nii", PHANTOM.hu)
    volume = np.where(np.arange(64) < 32, *labels)[None, None, :] * LUNGS.astype(np.int16)
    write(tmp_path / "lungs.nii", volume.astype(dtype))
    np.testing.assert_array_equal(read_lungs(tmp_path / "lungs.nii", read_study(tmp_path / "ct.nii")), LUNGS > 0)


@pytest.mark.parametrize("value", [6, 128])
def test_other_values_are_no_lungs(tmp_path: Path, value: int) -> None:
    write(tmp_path / "ct.nii", PHANTOM.hu)
    write(tmp_path / "lungs.nii", LUNGS * np.uint8(value))
    with pytest.raises(UnsupportedInputError, match=f"holds the value {value}, expected whole numbers from 0 to 5"):
        read_lungs(tmp_path / "lungs.nii", read_study(tmp_path / "ct.nii"))
