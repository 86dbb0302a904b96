from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from jcs_ct.cropped_volume import CroppedVolume
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.reports.images import slice_as_stored, write_pngs
from jcs_ct.study.volume import SourceGrid
from tests.diagnosis_variants import altered


def test_masks_have_each_pictures_own_size_and_pixels(picture_diagnosis: Diagnosis, tmp_path: Path) -> None:
    paths = write_pngs(picture_diagnosis, tmp_path)
    assert len(paths) == 80
    labels = picture_diagnosis.lesion_labels
    activation = picture_diagnosis.activation
    assert labels is not None
    assert activation is not None
    for index in range(40):
        rows, columns = picture_diagnosis.study.own_pixels(index)
        mask = np.asarray(Image.open(tmp_path / "lesions" / f"{index:03d}.png"))
        assert mask.shape == ((128, 128) if index % 2 == 0 else (100, 110))
        assert np.array_equal(mask, 255 * (labels[index][rows, columns] > 0))
        heat = np.asarray(Image.open(tmp_path / "activation" / f"{index:03d}.png"))
        assert np.array_equal(heat, activation[index][rows, columns])


def test_names_sort_as_slices_do_beyond_a_thousand(picture_diagnosis: Diagnosis, tmp_path: Path) -> None:
    study = picture_diagnosis.study
    many = altered(
        picture_diagnosis,
        study=replace(study, voxels=np.zeros((1001, 4, 4), np.uint8), sources=("a",) * 1001, extents=None),
        labels=CroppedVolume((1001, 4, 4), np.uint16),
        activation=None,
    )
    names = [path.name for path in write_pngs(many, tmp_path)]
    assert names[0] == "0000.png"
    assert names == sorted(names)


def test_slices_go_back_to_the_orientation_of_their_files(picture_diagnosis: Diagnosis) -> None:
    stored = np.arange(4 * 3 * 2).reshape(4, 3, 2)  # stored axes: row, slice, column
    grid = SourceGrid(axes=(1, 0, 2), flips=(False, True, False))
    canonical = grid.to_canonical(stored)
    study = replace(
        picture_diagnosis.study, voxels=canonical.astype(np.uint8), sources=("a", "b", "c"), grid=grid, extents=None
    )
    for index in range(3):
        assert np.array_equal(slice_as_stored(canonical, study, index), stored[:, index])


def test_nothing_is_written_of_what_was_not_made(not_assessable: Diagnosis, tmp_path: Path) -> None:
    assert write_pngs(not_assessable, tmp_path) == []
    assert list(tmp_path.iterdir()) == []
