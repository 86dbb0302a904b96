"""Own pictures and studies in the one form: what is trained on is what a diagnosis looks at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from jcs_ct.datasets.normalized import NormalizedSlice, normalized
from jcs_ct.datasets.own import read_own
from jcs_ct.datasets.prepared import EMPTY_MASK, READER_MASK, prepare
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.diagnosis.slices import find_lung_slices
from jcs_ct.errors import DataError
from jcs_ct.preprocessing import crop_resize
from jcs_ct.study import read_study
from tests import own_data
from tests.own_data import Row
from tests.phantoms import write_nifti, write_png_slices

SIZE = (64, 80)


def slices_of(folder: Path, *rows: Row) -> list[tuple[SliceRecord, NormalizedSlice]]:
    own_data.write_table(folder, rows)
    return list(normalized(read_own(folder, "mine").records, SIZE))


def test_a_study_gives_the_slices_that_a_diagnosis_looks_at(tmp_path: Path) -> None:
    sick, well = own_data.write_studies(tmp_path)[:2]
    for row in (sick, well):
        found = slices_of(tmp_path, row)
        diagnosed = find_lung_slices(read_study(tmp_path / row.path), SIZE)
        assert diagnosed is not None
        assert [record.index for record, _ in found] == diagnosed.indices.tolist()
        for (record, one), crop in zip(found, diagnosed.crops, strict=True):
            np.testing.assert_array_equal(crop_resize(one.image, one.box, SIZE), crop)
            assert record.infected == (row is sick)
    _, truth = own_data.patient(50, True)
    for record, one in slices_of(tmp_path, sick):
        assert one.mask is not None
        assert record.index is not None
        np.testing.assert_array_equal(one.mask, truth[record.index])


def test_a_study_of_pictures_on_their_side_is_turned_with_its_mask(tmp_path: Path) -> None:
    hu, truth = own_data.patient(3, True)
    upright = slices_of_pictures(tmp_path / "upright", hu, truth)
    turned = slices_of_pictures(tmp_path / "turned", np.rot90(hu, -1, (1, 2)), np.rot90(truth, -1, (1, 2)))
    assert len(upright) == len(turned) > 3
    for one, other in zip(upright, turned, strict=True):
        assert one.mask is not None
        assert other.mask is not None
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.mask, other.mask)


def slices_of_pictures(folder: Path, hu: NDArray[np.int16], truth: NDArray[np.bool_]) -> list[NormalizedSlice]:
    write_png_slices(folder / "study", hu)
    write_nifti(folder / "mask.nii.gz", truth.astype(np.uint8), stated=False)
    return [one for _, one in slices_of(folder, Row("study", "p", "train", "1", "mask.nii.gz"))]


def test_slices_of_a_study_without_an_outline_have_empty_masks(tmp_path: Path) -> None:
    own_data.write_table(tmp_path, own_data.write_studies(tmp_path)[:1])
    prepared = prepare(["own"], tmp_path, SIZE)
    _, truth = own_data.patient(50, True)
    for record, kind in zip(prepared.records, prepared.mask_kinds, strict=True):
        assert record.index is not None
        assert kind == (READER_MASK if truth[record.index].any() else EMPTY_MASK)
    assert {READER_MASK, EMPTY_MASK} == set(prepared.mask_kinds.tolist())


def test_an_edited_mask_is_prepared_anew(tmp_path: Path) -> None:
    row = own_data.picture(tmp_path, 0, True, "train")
    own_data.write_table(tmp_path, [row])
    cache = tmp_path / "cache"
    before = prepare(["own"], tmp_path, SIZE, cache)
    with Image.open(tmp_path / row.mask) as stored:
        mask = np.array(stored)
    mask[: mask.shape[0] // 2] = 0
    own_data.save(tmp_path / row.mask, mask)
    after = prepare(["own"], tmp_path, SIZE, cache)
    assert after.masks.sum() < before.masks.sum()
    np.testing.assert_array_equal(after.images, before.images)


def test_what_a_diagnosis_would_refuse_is_refused_with_its_row(tmp_path: Path) -> None:
    rows = own_data.write_studies(tmp_path)
    write_nifti(tmp_path / "elsewhere.nii.gz", np.zeros((16, 60, 60), np.uint8), spacing=own_data.SPACING)
    rows[0].mask = "elsewhere.nii.gz"
    with pytest.raises(DataError, match=r"mine, line 2: ct0\.nii\.gz: .*elsewhere\.nii\.gz"):
        slices_of(tmp_path, rows[0])
    write_nifti(tmp_path / "empty.nii.gz", np.full((16, 60, 60), 40, np.int16))
    with pytest.raises(DataError, match=r"mine, line 2: empty\.nii\.gz: "):
        slices_of(tmp_path, Row("empty.nii.gz", "p", "train", "1"))


def test_a_mask_that_jpeg_has_blurred_is_refused(tmp_path: Path) -> None:
    row = own_data.picture(tmp_path, 0, True, "train")
    with Image.open(tmp_path / row.mask) as mask:
        mask.save(tmp_path / "mask.jpg", quality=60)
    row.mask = "mask.jpg"
    with pytest.raises(DataError, match=r"line 2: p0-0\.png: the mask mask\.jpg holds \d+ grey levels, .* as PNG"):
        slices_of(tmp_path, row)


def test_a_picture_damaged_behind_its_header_is_refused_with_its_row(tmp_path: Path) -> None:
    row = own_data.picture(tmp_path, 0, False, "train")
    path = tmp_path / row.path
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DataError, match=r"mine, line 2: p0-0\.png: "):
        slices_of(tmp_path, row)
