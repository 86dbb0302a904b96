from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct.notices import Notice, notice
from jcs_ct.study import Geometry, InputKind, IntensityKind, Study, refusals, warnings
from tests.noticed import codes
from tests.phantoms import ChestPhantom, to_grey

PHANTOM = ChestPhantom.infected(shape=(12, 96, 96), spacing=(16.0, 3.0, 3.0))


def geometry(spacing: tuple[float, float] = (0.7, 0.7), distance: float = 5.0, count: int = 12) -> Geometry:
    positions = np.array([[0.0, 0.0, distance * index] for index in range(count)])
    return Geometry(positions, np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]), spacing)


def study(voxels: NDArray[np.generic], kind: IntensityKind = IntensityKind.HU) -> Study:
    sources = tuple(str(index) for index in range(len(voxels)))
    return Study(voxels, kind, InputKind.DICOM, sources, "", geometry=geometry(count=len(voxels)), plane="axial")


def implausible_pixels(spacing: float) -> Notice:
    return notice("pixel-spacing-implausible", small_mm=spacing, large_mm=spacing, least_mm=0.1, most_mm=3.0)


FIT = study(PHANTOM.hu)


def test_chest_is_fit() -> None:
    assert refusals(FIT) == ()
    assert refusals(study(to_grey(PHANTOM.hu), IntensityKind.GRAY8)) == ()
    assert refusals(replace(FIT, plane=None, geometry=None)) == ()


def test_reasons_of_the_reader_come_first_and_once() -> None:
    own = notice("slices-inconsistent", element="Rescale Slope", count=1, total=2), notice("not-axial", plane="coronal")
    spoilt = replace(FIT, plane="coronal", notices=(notice("prone"), *own))
    assert refusals(spoilt) == own
    assert warnings(spoilt) == (notice("prone"),)


def test_other_modality_is_refused() -> None:
    assert refusals(replace(FIT, attributes={"Modality": "CT"})) == ()
    assert refusals(replace(FIT, attributes={"Modality": "PT"})) == (notice("not-ct", modality="PT"),)


def test_small_matrix_is_refused() -> None:
    assert refusals(study(PHANTOM.hu[:, :, :64])) == ()
    assert refusals(study(PHANTOM.hu[:, :, 16:79])) == (notice("matrix-too-small", width=63, least=64),)


def test_matrix_is_judged_without_its_padding() -> None:
    extents = np.tile(np.array([20, 70, 20, 80]), (12, 1))
    assert refusals(replace(FIT, extents=extents)) == (notice("matrix-too-small", width=50, least=64),)


@pytest.mark.parametrize(
    ("voxels", "kind", "code"),
    [
        (np.full((3, 64, 64), 7, np.int16), IntensityKind.HU, "one-value-everywhere"),
        (np.full((3, 64, 64), 7, np.uint8), IntensityKind.GRAY8, "one-value-everywhere"),
        (PHANTOM.hu + np.int16(1024), IntensityKind.HU, "no-air"),
        (np.minimum(PHANTOM.hu, -300), IntensityKind.HU, "no-tissue"),
        ((to_grey(PHANTOM.hu) // 32).astype(np.uint8), IntensityKind.GRAY8, "no-contrast"),
    ],
)
def test_values_of_no_chest_are_refused(voxels: NDArray[np.generic], kind: IntensityKind, code: str) -> None:
    assert code in codes(refusals(study(voxels, kind)))


@pytest.mark.parametrize(
    ("spoilt", "expected"),
    [
        (
            geometry(spacing=(0.01, 0.01)),
            implausible_pixels(0.01),
        ),
        (
            geometry(spacing=(5.0, 5.0)),
            implausible_pixels(5.0),
        ),
        (geometry(spacing=(0.7, 1.4)), notice("pixels-not-square", small_mm=0.7, large_mm=1.4)),
        (geometry(distance=30.0), notice("slice-distance-implausible", distance_mm=30.0, least_mm=0.05, most_mm=20.0)),
        (
            geometry(distance=0.01),
            notice("slice-distance-implausible", distance_mm=0.01, least_mm=0.05, most_mm=20.0),
        ),
    ],
)
def test_absurd_spacing_is_refused(spoilt: Geometry, expected: Notice) -> None:
    (found,) = refusals(replace(FIT, geometry=spoilt))
    assert found.code == expected.code
    assert found.values == pytest.approx(dict(expected.values))


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"ConvolutionKernel": "B70f"}, notice("edge-enhancing-kernel", kernel="B70f")),
        ({"ContrastBolusAgent": "ISOVUE300/100"}, notice("contrast-agent", agent="ISOVUE300/100")),
        ({"PatientPosition": "HFP"}, notice("prone")),
        ({"PatientPosition": "FFP"}, notice("prone")),
    ],
)
def test_what_is_worth_knowing_does_not_forbid_a_verdict(attributes: dict[str, str], expected: Notice) -> None:
    spoilt = replace(FIT, attributes=attributes)
    assert refusals(spoilt) == ()
    assert warnings(spoilt) == (expected,)


@pytest.mark.parametrize(
    ("distance", "thickness", "expected"),
    [
        (10.0, 1.0, notice("lung-skipped", thickness_mm=1.0, distance_mm=10.0, percent=90.0)),
        (10.0, 10.0, notice("thick-slices", thickness_mm=10.0)),
        (5.0, 9.0, notice("thick-slices", thickness_mm=9.0)),
    ],
)
def test_thick_and_distant_slices_are_warned_about(distance: float, thickness: float, expected: Notice) -> None:
    where = replace(geometry(distance=distance), slice_thickness=thickness)
    assert warnings(replace(FIT, geometry=where)) == (expected,)


@pytest.mark.parametrize(("distance", "thickness"), [(1.0, 1.25), (5.0, 5.0), (8.0, 8.0), (1.0, 1.0), (5.0, None)])
def test_ordinary_studies_need_no_caution(distance: float, thickness: float | None) -> None:
    where = replace(geometry(distance=distance), slice_thickness=thickness)
    stated = {"ConvolutionKernel": "B40f", "PatientPosition": "FFS", "BodyPartExamined": "CHEST"}
    assert warnings(replace(FIT, geometry=where, attributes=stated)) == ()
    assert warnings(replace(FIT, geometry=None)) == ()
