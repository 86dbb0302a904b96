from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from jcs_ct.study.volume import Geometry, InputKind, IntensityKind, SourceGrid, Study, content_digest, usual_spacing

AXES = (np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]))


def geometry_at(places: list[float], thickness: float | None = None) -> Geometry:
    positions = np.array([[0.0, 0.0, place] for place in places])
    return Geometry(positions, *AXES, pixel_spacing=(0.7, 0.8), slice_thickness=thickness)


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("flips", list(product([False, True], repeat=3)))
def test_canonical_form_leads_back_to_stored_form(axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> None:
    stored = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    grid = SourceGrid(axes, flips)
    canonical = grid.to_canonical(stored)
    assert canonical.shape == tuple(stored.shape[axis] for axis in axes)
    np.testing.assert_array_equal(grid.to_stored(canonical), stored)


def test_extents_of_even_slices_are_their_distance() -> None:
    np.testing.assert_allclose(geometry_at([0, 5, 10, 15]).slice_extents, 5.0)


def test_extents_of_uneven_slices_meet_half_way() -> None:
    np.testing.assert_allclose(geometry_at([0, 4, 10, 15, 20]).slice_extents, [4.0, 5.0, 5.5, 5.0, 5.0])


def test_gap_is_not_counted_as_scanned() -> None:
    extents = geometry_at([0, 5, 10, 60, 65, 70]).slice_extents
    np.testing.assert_allclose(extents, [5, 5, 6.25, 6.25, 5, 5])


def test_single_slice_stands_for_its_stated_thickness_only() -> None:
    assert geometry_at([3.0], thickness=8.0).slice_extents.tolist() == [8.0]
    assert np.isnan(geometry_at([3.0]).slice_extents).all()
    assert usual_spacing(geometry_at([3.0])) is None
    assert usual_spacing(None) is None


def test_voxel_indices_lead_to_patient_coordinates() -> None:
    points = geometry_at([10, 15, 25]).to_patient(np.array([[1.5, 2.0, 4.0]]))
    np.testing.assert_allclose(points, [[3.2, 1.4, 20.0]])


def test_digest_depends_on_content_alone() -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    digest = content_digest(voxels, IntensityKind.HU, geometry_at([0, 5]))
    assert len(digest) == 64
    assert content_digest(voxels[:, ::-1][:, ::-1], IntensityKind.HU, geometry_at([0, 5])) == digest
    assert content_digest(voxels + np.int16(1), IntensityKind.HU, geometry_at([0, 5])) != digest
    assert content_digest(voxels.reshape(2, 4, 3), IntensityKind.HU, geometry_at([0, 5])) != digest
    assert content_digest(voxels, IntensityKind.GRAY8, geometry_at([0, 5])) != digest
    assert content_digest(voxels, IntensityKind.HU, geometry_at([0, 6])) != digest
    assert content_digest(voxels, IntensityKind.HU, None) != digest


@pytest.mark.parametrize(
    ("shape", "sources", "places"),
    [((0, 4, 4), 0, None), ((2, 4), 2, None), ((2, 4, 4), 3, None), ((2, 4, 4), 2, [0.0, 1.0, 2.0])],
)
def test_study_that_contradicts_itself_is_refused(
    shape: tuple[int, ...], sources: int, places: list[float] | None
) -> None:
    with pytest.raises(ValueError, match=r"found|slices"):
        Study(
            voxels=np.zeros(shape, dtype=np.uint8),
            intensity=IntensityKind.GRAY8,
            kind=InputKind.IMAGES,
            sources=("a",) * sources,
            digest="",
            geometry=geometry_at(places) if places else None,
        )
