"""The mask comes out where the lesion was put, however the study is stored, or the study is refused.

Truth and mask are compared in patient coordinates on the grid as stored. Those coordinates are worked out here from the
files alone, not by the code under test: Image Position and Orientation (PS3.3 C.7.6.2.1.1) or the NIfTI affine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from jcs_ct.diagnosis.decision import Verdict
from jcs_ct.diagnosis.diagnoser_settings import DiagnoserSettings
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.study import read_study
from jcs_ct.study.volume import InputKind
from tests.noticed import codes, values_of
from tests.opacity_networks import write_weights
from tests.phantoms import ChestPhantom, Lesion, write_dicom_series, write_enhanced_dicom

Points = NDArray[np.float64]

pytestmark = pytest.mark.slow

# Between lung and this density, the networks' threshold lies half way, so that a lesion is as wide as it is.
GLASS = -480
LESIONS = (Lesion((4.0, 5.0, 62.0), (34.0, 28.0, 30.0), GLASS), Lesion((-30.0, 0.0, -60.0), (26.0, 26.0, 24.0), GLASS))
PHANTOM = ChestPhantom(shape=(64, 192, 192), spacing=(3.0, 1.7, 1.7), lesions=LESIONS)
CENTRE = np.array([12.0, -30.0, -410.0])
"""LPS mm of the phantom's centre: not the origin, so that a forgotten offset shows."""
SIDE = 192
STEP = 1.7
PLACES = PHANTOM.positions


@pytest.fixture(scope="module")
def diagnoser(tmp_path_factory: pytest.TempPathFactory) -> Diagnoser:
    weights = write_weights(tmp_path_factory.mktemp("weights"), suspicious_share=0.0005, input_size=(288, 368))
    return Diagnoser(weights, DiagnoserSettings(suspect_probability=0.0), threads=1)


@dataclass(frozen=True)
class Layout:
    """How a DICOM series stores the phantom."""

    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0)
    places: Sequence[float] = tuple(PLACES)
    """mm from the phantom's centre to the head, in the order of storing."""
    tilt: float = 0.0
    """Degrees."""
    edit: Callable[[Dataset, int], None] | None = None


def store(folder: Path, layout: Layout, series: int = 1) -> list[Path]:
    """Sample the phantom where the pixels of the layout lie, and write what is found there."""
    along_row, along_column = np.array(layout.orientation[:3], float), np.array(layout.orientation[3:], float)
    if layout.tilt:
        angle = np.radians(layout.tilt)
        along_column = np.array([0, np.cos(angle), np.sin(angle)]) * along_column[1]
    middle = (SIDE - 1) / 2 * STEP
    corner = CENTRE - middle * along_row - middle * along_column
    volume = []
    for place in layout.places:
        points = pixel_points(corner + np.array([0, 0, place]), along_row, along_column, STEP, (SIDE, SIDE)) - CENTRE
        volume.append(PHANTOM.hu_at(points[..., 2], points[..., 1], points[..., 0]))
    return write_dicom_series(
        folder,
        np.array(volume),
        spacing=(STEP, STEP),
        positions=layout.places,
        orientation=(*along_row, *along_column),
        origin=corner.tolist(),
        step=(0, 0, 1),
        series=series,
        edit=layout.edit,
    )


def pixel_points(corner: Points, along_row: Points, along_column: Points, step: float, shape: Sequence[int]) -> Points:
    """(rows, columns, 3): LPS mm of the pixels of a slice."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.asarray(corner + step * (columns[..., None] * along_row + rows[..., None] * along_column))


def stored_points(folder: Path, diagnosis: Diagnosis) -> Points:
    """(Z, rows, columns, 3): LPS mm of the voxels of the mask as stored, from the headers of the files named."""
    points = []
    for name in diagnosis.study.sources:
        header = dcmread(folder / name, stop_before_pixels=True)
        directions = np.array(header.ImageOrientationPatient, dtype=float).reshape(2, 3)
        corner = np.array(header.ImagePositionPatient, dtype=float)
        points.append(
            pixel_points(
                corner, directions[0], directions[1], float(header.PixelSpacing[0]), (header.Rows, header.Columns)
            )
        )
    return np.array(points)


def assert_found(diagnosis: Diagnosis, points: Points, expected_ml: float = PHANTOM.lesion_ml) -> None:
    """The mask lies where the lesions are, and has their volume."""
    assert diagnosis.verdict is Verdict.POSITIVE, diagnosis.reasons
    assert diagnosis.lesion_labels is not None
    marked = np.asarray(diagnosis.study.grid.to_stored(np.asarray(diagnosis.lesion_labels))) > 0
    z, y, x = (points[..., axis] - CENTRE[axis] for axis in (2, 1, 0))
    truth = PHANTOM.lesion_at(z, y, x)
    assert 2 * (marked & truth).sum() / (marked.sum() + truth.sum()) > 0.96
    assert diagnosis.measures.lesion_count == len(LESIONS)
    assert diagnosis.measures.lesion_volume_ml == pytest.approx(expected_ml, rel=0.02)


def assert_centred(diagnosis: Diagnosis) -> None:
    """Each lesion is reported at the place where it was put; for scans that show the lesions whole."""
    for lesion, put in zip(diagnosis.lesions, LESIONS, strict=True):
        z, y, x = put.centre_mm
        assert lesion.centroid_mm == pytest.approx(CENTRE + np.array([x, y, z]), abs=1.0)
        assert lesion.volume_ml == pytest.approx(put.volume_ml, rel=0.03)


UNEVEN = tuple(place + 0.5 * np.sin(2.0 * index) for index, place in enumerate(PLACES))
LAYOUTS = {
    "as is": Layout(),
    "head first in the files": Layout(places=PLACES[::-1]),
    "feet first, supine": Layout((-1, 0, 0, 0, 1, 0)),
    "feet first, prone": Layout((1, 0, 0, 0, -1, 0)),
    "prone": Layout((-1, 0, 0, 0, -1, 0)),
    "transposed": Layout((0, 1, 0, 1, 0, 0)),
    "tilted": Layout(tilt=18.0),
    "tilted the other way, prone": Layout((-1, 0, 0, 0, -1, 0), tilt=-12.0),
    "uneven": Layout(places=UNEVEN),
    "gap beyond the lesions": Layout(places=PLACES[:50] + PLACES[54:]),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_lesions_come_out_where_they_were_put(tmp_path: Path, diagnoser: Diagnoser, name: str) -> None:
    store(tmp_path, LAYOUTS[name])
    diagnosis = diagnoser.run(read_study(tmp_path))
    assert_found(diagnosis, stored_points(tmp_path, diagnosis))
    assert_centred(diagnosis)


def test_gap_through_a_lesion_is_reported_and_not_measured(tmp_path: Path, diagnoser: Diagnoser) -> None:
    places = PLACES[:34] + PLACES[40:]
    store(tmp_path, Layout(places=places))
    diagnosis = diagnoser.run(read_study(tmp_path))
    points = stored_points(tmp_path, diagnosis)
    # What was scanned: each slice stands for 3 mm, those at the gap for half of 1.5 times that on its side.
    extents = np.full(len(places), 3.0)
    extents[[33, 34]] = 1.5 + 2.25
    z, y, x = (points[..., axis] - CENTRE[axis] for axis in (2, 1, 0))
    scanned = float(PHANTOM.lesion_at(z, y, x).sum((1, 2)) @ extents) * STEP**2 / 1000
    assert scanned < 0.9 * PHANTOM.lesion_ml
    assert diagnosis.measures.lesion_volume_ml == pytest.approx(scanned, rel=0.02)
    assert "gaps" in codes(diagnosis.warnings)


def test_repeated_slices_count_once(tmp_path: Path, diagnoser: Diagnoser) -> None:
    def again(dataset: Dataset, index: int) -> None:
        dataset.AcquisitionNumber, dataset.SOPInstanceUID = 2, f"{dataset.SOPInstanceUID}.2"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID

    paths = store(tmp_path / "first", Layout())
    for path in paths[::2]:
        path.with_suffix(".copy").write_bytes(path.read_bytes())
    store(tmp_path / "second", Layout(edit=again))
    diagnosis = diagnoser.run(read_study(tmp_path))
    assert len(diagnosis.study) == len(PLACES)
    assert all(name.startswith("first/") for name in diagnosis.study.sources)
    assert_found(diagnosis, stored_points(tmp_path, diagnosis))
    assert_centred(diagnosis)
    assert values_of(diagnosis.notices, "copies-left-out")["count"] == 32
    assert "repeated-acquisitions" in codes(diagnosis.notices)


def test_frames_of_an_enhanced_image_in_any_order(tmp_path: Path, diagnoser: Diagnoser) -> None:
    order = np.random.default_rng(0).permutation(len(PLACES))
    points = pixel_points(np.zeros(3), np.eye(3)[0], np.eye(3)[1], STEP, (SIDE, SIDE))
    middle = (SIDE - 1) / 2 * STEP
    frames = [
        PHANTOM.hu_at(np.array(PLACES[index]), points[..., 1] - middle, points[..., 0] - middle) for index in order
    ]
    path = write_enhanced_dicom(tmp_path / "ct", np.array(frames), [PLACES[index] for index in order], STEP)
    diagnosis = diagnoser.run(read_study(path))
    corner = CENTRE - [middle, middle, 0]
    stored = np.array([points + corner + [0, 0, place] for place in PLACES])
    assert_found(diagnosis, stored)
    assert diagnosis.study.plane == "axial"


@pytest.mark.parametrize("shear", [0.0, 0.3])
def test_nifti_stored_sagittally(tmp_path: Path, diagnoser: Diagnoser, shear: float) -> None:
    """Axes front to back, feet to head, right to left; sheared as a tilted stack is after conversion."""
    middle = (SIDE - 1) / 2 * STEP
    # Stored (i, j, k) to LPS: i runs back to front, j to the head, k to the left.
    lps = np.array(
        [[0, 0, STEP, -middle], [-STEP, 3.0 * shear, 0, middle], [0, 3.0, 0, PLACES[0]], [0, 0, 0, 1]], dtype=float
    )
    indices = np.stack([*np.mgrid[:SIDE, : len(PLACES), :SIDE], np.ones((SIDE, len(PLACES), SIDE))], axis=-1)
    points = (indices @ lps.T)[..., :3]
    hu = PHANTOM.hu_at(points[..., 2], points[..., 1], points[..., 0])
    lps[:3, 3] += CENTRE
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps
    image = nib.Nifti1Image(hu, affine)
    image.header.set_dim_info(slice=1)
    nib.save(image, tmp_path / "ct.nii.gz")
    diagnosis = diagnoser.run(read_study(tmp_path / "ct.nii.gz"))
    assert diagnosis.study.kind is InputKind.NIFTI
    assert_found(diagnosis, points + CENTRE)
    assert_centred(diagnosis)


@pytest.mark.parametrize(
    ("orientation", "plane"), [((0, 1, 0, 0, 0, -1), "sagittal"), ((1, 0, 0, 0, 0, -1), "coronal")]
)
def test_other_planes_are_not_assessable_with_the_reason(
    tmp_path: Path, diagnoser: Diagnoser, orientation: tuple[int, ...], plane: str
) -> None:
    write_dicom_series(tmp_path, PHANTOM.hu, orientation=orientation)
    diagnosis = diagnoser.run(read_study(tmp_path))
    assert diagnosis.verdict is Verdict.NOT_ASSESSABLE
    assert values_of(diagnosis.reasons, "not-axial")["plane"] == plane
