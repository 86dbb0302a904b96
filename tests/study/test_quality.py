from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct.study import Geometry, InputKind, IntensityKind, Study, cautions, objections
from tests.phantoms import ChestPhantom, to_grey

PHANTOM = ChestPhantom.infected(shape=(12, 96, 96), spacing=(16.0, 3.0, 3.0))


def geometry(spacing: tuple[float, float] = (0.7, 0.7), distance: float = 5.0, count: int = 12) -> Geometry:
    positions = np.array([[0.0, 0.0, distance * index] for index in range(count)])
    return Geometry(positions, np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]), spacing)


def study(voxels: NDArray[np.generic], kind: IntensityKind = IntensityKind.HU) -> Study:
    sources = tuple(str(index) for index in range(len(voxels)))
    return Study(voxels, kind, InputKind.DICOM, sources, "", geometry=geometry(count=len(voxels)), plane="axial")


FIT = study(PHANTOM.hu)


def test_chest_is_fit() -> None:
    assert objections(FIT) == ()
    assert objections(study(to_grey(PHANTOM.hu), IntensityKind.GRAY8)) == ()
    assert objections(replace(FIT, plane=None, geometry=None)) == ()


def test_reasons_of_the_reader_come_first_and_once() -> None:
    spoilt = replace(FIT, plane="coronal", objections=("odd", "the series is coronal, axial slices are needed"))
    assert objections(spoilt) == ("odd", "the series is coronal, axial slices are needed")


def test_other_modality_is_objected_to() -> None:
    assert objections(replace(FIT, attributes={"Modality": "CT"})) == ()
    assert objections(replace(FIT, attributes={"Modality": "PT"})) == ("the modality is PT, CT is needed",)


def test_small_matrix_is_objected_to() -> None:
    assert objections(study(PHANTOM.hu[:, :, :64])) == ()
    assert "63 pixels" in objections(study(PHANTOM.hu[:, :, 16:79]))[0]


def test_matrix_is_judged_without_its_padding() -> None:
    extents = np.tile(np.array([20, 70, 20, 80]), (12, 1))
    assert "50 pixels" in objections(replace(FIT, extents=extents))[0]


@pytest.mark.parametrize(
    ("voxels", "kind", "reason"),
    [
        (np.full((3, 64, 64), 7, np.int16), IntensityKind.HU, "all values are 7"),
        (np.full((3, 64, 64), 7, np.uint8), IntensityKind.GRAY8, "all values are 7"),
        (PHANTOM.hu + np.int16(1024), IntensityKind.HU, "there is no air"),
        (np.minimum(PHANTOM.hu, -300), IntensityKind.HU, "there is no tissue"),
        ((to_grey(PHANTOM.hu) // 32).astype(np.uint8), IntensityKind.GRAY8, "grey levels span"),
    ],
)
def test_values_of_no_chest_are_objected_to(voxels: NDArray[np.generic], kind: IntensityKind, reason: str) -> None:
    assert any(reason in found for found in objections(study(voxels, kind)))


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (geometry(spacing=(0.01, 0.01)), "pixel spacing is 0.01"),
        (geometry(spacing=(5.0, 5.0)), "pixel spacing is 5"),
        (geometry(spacing=(0.7, 1.4)), "pixels measure 0.7 x 1.4"),
        (geometry(distance=30.0), "30 mm apart"),
        (geometry(distance=0.01), "0.01 mm apart"),
    ],
)
def test_absurd_spacing_is_objected_to(spoilt: Geometry, reason: str) -> None:
    found = objections(replace(FIT, geometry=spoilt))
    assert len(found) == 1
    assert reason in found[0]


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"ConvolutionKernel": "B70f"}, "kernel B70f enhances edges"),
        ({"ContrastBolusAgent": "ISOVUE300/100"}, r"contrast agent was given \(ISOVUE300/100\)"),
        ({"PatientPosition": "HFP"}, "prone"),
        ({"PatientPosition": "FFP"}, "prone"),
    ],
)
def test_what_is_worth_knowing_does_not_forbid_a_verdict(attributes: dict[str, str], words: str) -> None:
    spoilt = replace(FIT, attributes=attributes)
    assert objections(spoilt) == ()
    (caution,) = cautions(spoilt)
    assert re.search(words, caution)


@pytest.mark.parametrize(
    ("distance", "thickness", "words"),
    [(10.0, 1.0, "90 % of the lung .* was not scanned"), (10.0, 10.0, "10 mm thick"), (5.0, 9.0, "9 mm thick")],
)
def test_thick_and_distant_slices_are_cautioned_about(distance: float, thickness: float, words: str) -> None:
    where = replace(geometry(distance=distance), slice_thickness=thickness)
    (caution,) = cautions(replace(FIT, geometry=where))
    assert re.search(words, caution)


@pytest.mark.parametrize(("distance", "thickness"), [(1.0, 1.25), (5.0, 5.0), (8.0, 8.0), (1.0, 1.0), (5.0, None)])
def test_ordinary_studies_need_no_caution(distance: float, thickness: float | None) -> None:
    where = replace(geometry(distance=distance), slice_thickness=thickness)
    stated = {"ConvolutionKernel": "B40f", "PatientPosition": "FFS", "BodyPartExamined": "CHEST"}
    assert cautions(replace(FIT, geometry=where, attributes=stated)) == ()
    assert cautions(replace(FIT, geometry=None)) == ()
