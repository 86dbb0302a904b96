"""One CT study in memory: voxels, what their values mean, and where they lie.

Canonical form, the only one that later layers see: `voxels[z, row, column]` with z running from the feet to the head,
rows from anterior to posterior and columns from the patient's right to left, that is LPS+ axes in the order (z, y, x).
What the input cannot tell (spacing, positions, orientation) is None and stays None.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jcs_ct.notices import Notice

if TYPE_CHECKING:
    from jcs_ct.study.dicom_source import DicomSource

AIR_HU = -1024
"""What lies outside of the scan circle reads as, and the lowest HU that a volume holds: nothing is thinner than air."""


class IntensityKind(StrEnum):
    """What a voxel's value means."""

    HU = "HU"
    """Hounsfield units."""
    GRAY8 = "GRAY8"
    """Grey levels 0..255 under an unknown window."""


class InputKind(StrEnum):
    """Where a study came from."""

    DICOM = "dicom"
    NIFTI = "nifti"
    IMAGES = "images"


@dataclass(frozen=True)
class Geometry:
    """Where the slices lie, in the patient's coordinate system (LPS, mm; DICOM PS3.3 C.7.6.2.1.1).

    Slices are parallel; their distances need not be even.
    """

    positions: NDArray[np.float64]
    """(Z, 3): centre of each slice's first voxel [z, 0, 0]."""
    column_direction: NDArray[np.float64]
    """(3,): unit vector along which the column index grows (towards the patient's left)."""
    row_direction: NDArray[np.float64]
    """(3,): unit vector along which the row index grows (towards the patient's back)."""
    pixel_spacing: tuple[float, float]
    """Distance between rows, distance between columns, in mm (order of DICOM Pixel Spacing)."""
    slice_thickness: float | None = None
    """Nominal thickness in mm as the input states it; extents come from positions, not from this."""

    def __post_init__(self) -> None:
        if self.positions.ndim != 2 or self.positions.shape[1] != 3:
            raise ValueError(f"positions must be (Z, 3), found {self.positions.shape}")
        if min(self.pixel_spacing) <= 0:
            raise ValueError(f"pixel spacing must be positive, found {self.pixel_spacing}")

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,): unit normal of the slices, pointing to the head."""
        normal = np.cross(self.column_direction, self.row_direction)
        return np.asarray(normal / np.linalg.norm(normal))

    @property
    def slice_positions(self) -> NDArray[np.float64]:
        """(Z,): position of each slice along the normal, in mm, ascending."""
        return np.asarray(self.positions @ self.normal)

    @property
    def slice_distances(self) -> NDArray[np.float64]:
        """(Z-1,): distances between neighbours in mm."""
        return np.diff(self.slice_positions)

    @property
    def slice_extents(self) -> NDArray[np.float64]:
        """(Z,): mm along the normal that each slice stands for.

        Half the way to each neighbour, but never further than half of 1.5 times the usual distance: what lies in a
        gap was not scanned and is not counted. Outwards, the first and the last slice reach as far as inwards, but no
        further than half of the usual distance. A single slice stands for its stated thickness (NaN without one).
        """
        count = len(self.positions)
        if count == 1:
            return np.array([self.slice_thickness if self.slice_thickness else np.nan])
        distances = self.slice_distances
        usual = float(np.median(distances))
        half = np.minimum(distances, 1.5 * usual) / 2
        below = np.concatenate([[min(half[0], usual / 2)], half])
        above = np.concatenate([half, [min(half[-1], usual / 2)]])
        return np.asarray(below + above)

    @property
    def pixel_area(self) -> float:
        """Area of one pixel in mm²."""
        return self.pixel_spacing[0] * self.pixel_spacing[1]

    def to_patient(self, indices: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 3) voxel indices (z, row, column; fractions allowed) to (N, 3) LPS coordinates in mm."""
        z = np.arange(len(self.positions), dtype=np.float64)
        origin = np.stack([np.interp(indices[:, 0], z, self.positions[:, k]) for k in range(3)], axis=1)
        return np.asarray(
            origin
            + indices[:, 1:2] * self.pixel_spacing[0] * self.row_direction
            + indices[:, 2:3] * self.pixel_spacing[1] * self.column_direction
        )


@dataclass(frozen=True)
class SourceGrid:
    """How the canonical array was made from the array as stored, and so the way back.

    canonical = flip(transpose(stored, axes), flipped axes)
    """

    axes: tuple[int, int, int] = (0, 1, 2)
    """Stored axis that became canonical axis z, row, column."""
    flips: tuple[bool, bool, bool] = (False, False, False)
    """Whether canonical axis z, row, column was reversed after the transposition."""
    affine: NDArray[np.float64] | None = None
    """(4, 4): stored voxel indices to RAS+ mm, as a NIfTI file states it; None for other inputs."""
    other_affine: NDArray[np.float64] | None = None
    """(4, 4): what the qform of a NIfTI file states instead, where it contradicts the sform; else None."""

    def to_canonical(self, stored: NDArray[np.generic]) -> NDArray[np.generic]:
        """Bring a (3-D) array from stored to canonical form (a view)."""
        return np.flip(stored.transpose(self.axes), [k for k in range(3) if self.flips[k]])

    def to_stored(self, canonical: NDArray[np.generic]) -> NDArray[np.generic]:
        """Bring a (3-D) array from canonical to stored form (a view)."""
        return np.flip(canonical, [k for k in range(3) if self.flips[k]]).transpose(np.argsort(self.axes))


@dataclass(frozen=True)
class Study:
    """One CT series, ready to be diagnosed. Immutable; made by `read_study`."""

    voxels: NDArray[np.generic]
    """(Z, H, W) in canonical form: int16 for HU, uint8 for GRAY8."""
    intensity: IntensityKind
    kind: InputKind
    sources: tuple[str, ...]
    """(Z): name of the file that each slice came from, relative to the input; one NIfTI file is repeated."""
    digest: str
    """SHA-256 over the voxels, geometry and intensity kind: the same content gives the same digest."""
    geometry: Geometry | None = None
    """None where the input has no positions or no spacing."""
    grid: SourceGrid = field(default_factory=SourceGrid)
    plane: str | None = None
    """"axial", "coronal" or "sagittal" as acquired; None where the input does not say."""
    extents: NDArray[np.int64] | None = None
    """(Z, 4): row start, row stop, column start, column stop of each slice's own pixels where slices of several sizes
    were padded to one; None where every slice fills the array."""
    series_uid: str | None = None
    sop_uids: tuple[str, ...] | None = None
    """(Z): SOP Instance UID of each slice, for DICOM."""
    dicom: DicomSource | None = field(default=None, repr=False)
    """The images that the slices came from, as DICOM results refer to them; None for other inputs."""
    attributes: dict[str, str] = field(default_factory=dict)
    """Further facts that the input states (modality, manufacturer, kernel, body part, study and patient identity)."""
    notices: tuple[Notice, ...] = ()
    """What the reader noticed and did about it. A REFUSAL says why the study must not be assessed."""

    def __post_init__(self) -> None:
        if self.voxels.ndim != 3 or 0 in self.voxels.shape:
            raise ValueError(f"voxels must be a filled (Z, H, W) array, found shape {self.voxels.shape}")
        if len(self.sources) != len(self.voxels):
            raise ValueError(f"{len(self.voxels)} slices but {len(self.sources)} sources")
        if self.geometry is not None and len(self.geometry.positions) != len(self.voxels):
            raise ValueError(f"{len(self.voxels)} slices but {len(self.geometry.positions)} positions")
        if self.dicom is not None and len(self.dicom.slices) != len(self.voxels):
            raise ValueError(f"{len(self.voxels)} slices but {len(self.dicom.slices)} DICOM images")

    def __len__(self) -> int:
        return len(self.voxels)

    def own_pixels(self, index: int) -> tuple[slice, slice]:
        """Rows and columns of slice `index` that came from the input (the rest is padding)."""
        if self.extents is None:
            return slice(0, self.voxels.shape[1]), slice(0, self.voxels.shape[2])
        top, bottom, left, right = (int(v) for v in self.extents[index])
        return slice(top, bottom), slice(left, right)


def usual_spacing(geometry: Geometry | None) -> float | None:
    """Median distance between slices in mm, or the stated thickness of a single one, or None."""
    if geometry is None:
        return None
    distances: Sequence[float] = list(geometry.slice_distances)
    return float(np.median(distances)) if distances else geometry.slice_thickness


def content_digest(voxels: NDArray[np.generic], intensity: IntensityKind, geometry: Geometry | None) -> str:
    """SHA-256 (hex) over what a diagnosis depends on: not over file names, identities or encodings."""
    digest = hashlib.sha256(f"{intensity} {voxels.dtype.str} {voxels.shape}".encode())
    for plane in voxels:
        digest.update(np.ascontiguousarray(plane).data)
    if geometry is not None:
        numbers = (geometry.positions, geometry.column_direction, geometry.row_direction, geometry.pixel_spacing)
        for values in numbers:
            digest.update(np.ascontiguousarray(values, dtype="<f8").data)
    return digest.hexdigest()
