"""Layers of a view: one grid for all, whatever the study came as."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.jobs.finished import PHANTOM, SPACING
from tests.service.client import Service, handed_in


def loaded(service: Service, address: str) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """(Z, H, W) of a layer, and its affine."""
    answer = service.http.get(f"{service.address}{address}")
    assert answer.status_code == 200, answer.text
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    return np.asarray(image.dataobj).transpose(2, 1, 0), np.asarray(image.affine)


@pytest.mark.parametrize("kind", ["dicom", "nifti", "pictures"])
def test_all_layers_are_on_the_grid_of_the_study(phantoms: Service, tmp_path: Path, kind: str) -> None:
    job = handed_in(phantoms, kind, tmp_path)
    view = phantoms.http.get(f"/jobs/{job['id']}/view").json()
    assert (view["revision"], view["shape"]) == (0, list(PHANTOM.hu.shape))
    layers = {name: loaded(phantoms, address) for name, address in view["layers"].items() if address}
    volume, affine = layers["volume"]
    assert all(np.array_equal(other, affine) for _, other in layers.values())
    np.testing.assert_array_equal(layers["lesions"][0] > 0, PHANTOM.lesion_mask)
    np.testing.assert_array_equal(layers["lungs"][0] > 0, PHANTOM.lung_mask)
    ids = {lesion["id"] for lesion in phantoms.http.get(f"/jobs/{job['id']}/result").json()["lesions"]}
    assert set(np.unique(layers["lesions"][0])) == ids | {0}
    if kind == "pictures":
        assert (view["spacing_mm"], view["voxel_ml"], view["intensity"]) == (None, None, "GRAY8")
        assert np.abs(np.diag(affine)).tolist() == [1.0, 1.0, 1.0, 1.0]
        assert volume.dtype == np.uint8
    else:
        assert view["spacing_mm"] == pytest.approx(SPACING)
        assert view["voxel_ml"] == pytest.approx(np.prod(SPACING) / 1000)
        np.testing.assert_array_equal(volume, PHANTOM.hu)
        assert np.sqrt((affine[:3, :3] ** 2).sum(axis=0)) == pytest.approx(SPACING[::-1])


def test_layers_are_made_once_counted_and_sent_in_ranges(phantoms: Service, tmp_path: Path) -> None:
    job = handed_in(phantoms, "nifti", tmp_path)
    address = phantoms.http.get(f"/jobs/{job['id']}/view").json()["layers"]["volume"]
    kept = phantoms.store / "jobs" / job["id"] / "view"
    made = {path: path.stat().st_mtime_ns for path in kept.rglob("*")}
    whole = phantoms.http.get(phantoms.address + address)
    assert whole.headers["Cache-Control"].startswith("private")
    part = phantoms.http.get(phantoms.address + address, headers={"Range": "bytes=10-29"})
    assert (part.status_code, part.content) == (206, whole.content[10:30])
    same = phantoms.http.get(phantoms.address + address, headers={"If-None-Match": whole.headers["ETag"]})
    assert same.status_code == 304
    assert {path: path.stat().st_mtime_ns for path in kept.rglob("*")} == made
    phantoms.http.delete(f"/jobs/{job['id']}")
    assert not kept.exists()


def test_a_layer_that_is_not_there_is_not_found(phantoms: Service, tmp_path: Path) -> None:
    job = handed_in(phantoms, "nifti", tmp_path)
    for address, status in (("view?revision=7", 404), ("view/bones.nii.gz", 422), ("view?revision=-1", 422)):
        assert phantoms.http.get(f"/jobs/{job['id']}/{address}").status_code == status
