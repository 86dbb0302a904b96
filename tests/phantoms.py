"""CT studies of known truth, for the tests of every layer.

A `ChestPhantom` is a body with lungs, trachea, spine, couch and lesions, each an ellipsoid or a cylinder whose volume
is known without counting voxels. The writers store any HU volume as a DICOM series, a NIfTI file or PNG slices, in the
ways that real archives do it, good and bad. Nothing here is random: the same call gives the same bytes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

AIR, BODY, LUNG, SPINE, COUCH = -1000, 40, -860, 400, 120
GROUND_GLASS, CONSOLIDATION = -550, 0
UID_ROOT = "1.2.826.0.1.3680043.10.1511."

Hu = NDArray[np.int16]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Lesion:
    """An ellipsoidal opacity; keep it inside of a lung, so that its volume is the ellipsoid's."""

    centre_mm: tuple[float, float, float]
    """(z, y, x) from the centre of the volume; z to the head, y to the back, x to the patient's left."""
    radii_mm: tuple[float, float, float]
    hu: int = GROUND_GLASS

    @property
    def volume_ml(self) -> float:
        """4/3 pi abc."""
        return float(4 / 3 * np.pi * np.prod(self.radii_mm) / 1000)


GROUND_GLASS_LEFT = Lesion((0.0, 5.0, 62.0), (22.0, 20.0, 20.0))
CONSOLIDATION_RIGHT = Lesion((-25.0, 15.0, -62.0), (15.0, 16.0, 16.0), CONSOLIDATION)


@dataclass(frozen=True)
class ChestPhantom:
    """A chest in canonical form (feet to head, front to back, right to left), in HU, with its truth."""

    shape: tuple[int, int, int] = (40, 128, 128)
    spacing: tuple[float, float, float] = (5.0, 2.6, 2.6)
    """mm between slices, rows and columns."""
    lesions: tuple[Lesion, ...] = ()
    noise: float = 0.0
    """Standard deviation in HU of a fixed noise pattern."""
    lung_radii_mm: tuple[float, float, float] = field(default=(85.0, 70.0, 48.0))

    @classmethod
    def healthy(cls, **options: object) -> ChestPhantom:
        """No lesions."""
        return cls(**options)  # type: ignore[arg-type]

    @classmethod
    def infected(cls, **options: object) -> ChestPhantom:
        """One ground-glass opacity in the left lung, one consolidation in the right one."""
        return cls(lesions=(GROUND_GLASS_LEFT, CONSOLIDATION_RIGHT), **options)  # type: ignore[arg-type]

    @cached_property
    def lung_mask(self) -> Mask:
        """(Z, H, W): both lungs with their lesions."""
        return self._ellipsoid((0, 0, -62), self.lung_radii_mm) | self._ellipsoid((0, 0, 62), self.lung_radii_mm)

    @cached_property
    def lesion_mask(self) -> Mask:
        """(Z, H, W): all lesions."""
        masks = [self._ellipsoid(lesion.centre_mm, lesion.radii_mm) for lesion in self.lesions]
        return np.logical_or.reduce(masks) if masks else np.zeros(self.shape, dtype=bool)

    @property
    def lesion_ml(self) -> float:
        """Volume of all lesions, which must not overlap, by the formula for ellipsoids."""
        return sum(lesion.volume_ml for lesion in self.lesions)

    @property
    def lung_ml(self) -> float:
        """Volume of both lungs with their lesions, by the formula for ellipsoids (the volume holds them whole)."""
        return float(2 * 4 / 3 * np.pi * np.prod(self.lung_radii_mm) / 1000)

    @cached_property
    def hu(self) -> Hu:
        """(Z, H, W)."""
        volume = self.hu_at(*self._grid())
        if self.noise:
            pattern = np.random.default_rng(0).normal(0, self.noise, self.shape)
            volume = np.clip(volume + pattern, -1024, 3071).astype(np.int16)
        return volume

    def hu_at(self, z: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]) -> Hu:
        """HU at any points, without noise: arrays that broadcast, in mm from the centre of the volume."""
        volume = np.full(np.broadcast_shapes(z.shape, y.shape, x.shape), AIR, dtype=np.int16)

        def fill(where: Mask, hu: int) -> None:
            volume[np.broadcast_to(where, volume.shape)] = hu

        fill((x / 155) ** 2 + (y / 105) ** 2 <= 1, BODY)
        fill((np.abs(x) < 120) & (y > 120) & (y < 128), COUCH)
        fill(x**2 + (y - 70) ** 2 <= 16**2, SPINE)
        for side in (-62, 62):
            fill(_within((z, y, x), (0, 0, side), self.lung_radii_mm), LUNG)
        fill((x**2 + (y + 10) ** 2 <= 9**2) & (z > 0), AIR)
        for lesion in self.lesions:
            fill(_within((z, y, x), lesion.centre_mm, lesion.radii_mm), lesion.hu)
        return volume

    def lesion_at(self, z: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]) -> Mask:
        """Whether points lie in a lesion; as `hu_at`."""
        masks = [_within((z, y, x), lesion.centre_mm, lesion.radii_mm) for lesion in self.lesions]
        return np.asarray(np.logical_or.reduce(masks))

    @property
    def positions(self) -> list[float]:
        """Position of each slice along z in mm, feet first."""
        return [float(z) for z in self._grid()[0].ravel()]

    def _grid(self) -> tuple[NDArray[np.float64], ...]:
        axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(self.shape, self.spacing, strict=True)]
        return np.meshgrid(*axes, indexing="ij", sparse=True)

    def _ellipsoid(self, centre: Sequence[float], radii: Sequence[float]) -> Mask:
        return _within(self._grid(), centre, radii)


def _within(points: Sequence[NDArray[np.float64]], centre: Sequence[float], radii: Sequence[float]) -> Mask:
    terms = [((a - c) / r) ** 2 for a, c, r in zip(points, centre, radii, strict=True)]
    return np.asarray(sum(terms) <= 1)


def write_dicom_series(
    folder: Path,
    volume: NDArray[np.integer],
    *,
    spacing: tuple[float, float] = (2.6, 2.6),
    positions: Sequence[float] | None = None,
    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    step: Sequence[float] | None = None,
    slope: float = 1.0,
    intercept: float = -1024.0,
    signed: bool = False,
    padding: int | None = None,
    transfer_syntax: UID = ExplicitVRLittleEndian,
    series: int = 1,
    shuffled: bool = True,
    suffix: str = ".dcm",
    edit: Callable[[Dataset, int], None] | None = None,
) -> list[Path]:
    """Write `volume` (Z, H, W; HU) as CT Image Storage, one file a slice.

    Args:
        folder: Where to; it is made if need be.
        volume: Slices in the order of `positions`; rows and columns as `orientation` says.
        spacing: Pixel Spacing.
        positions: mm along the normal of the slices; 5 mm apart by default.
        orientation: Image Orientation (Patient).
        origin: LPS mm of the first pixel of a slice at position 0.
        step: Direction in which `positions` count; the normal by default, another one for a tilted gantry.
        slope: Rescale Slope; stored values are (HU - intercept) / slope, rounded.
        intercept: Rescale Intercept.
        signed: Pixel Representation.
        padding: Pixel Padding Value, stored in the corners of each slice, outside of the inscribed circle.
        transfer_syntax: Explicit VR Little Endian, RLE Lossless, or another one that pydicom can encode.
        series: Number that tells series apart; each has its own UIDs.
        shuffled: Give the files names and instance numbers in an order that has nothing to do with position.
        suffix: Extension of the file names.
        edit: Called with each data set and its index in `volume` before it is written, to spoil it.

    Returns:
        The files in the order of `volume`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places = list(positions) if positions is not None else [5.0 * z for z in range(len(volume))]
    direction = np.cross(orientation[:3], orientation[3:]) if step is None else np.asarray(step, dtype=float)
    numbers = list(range(1, len(volume) + 1))
    if shuffled:
        random.Random(0).shuffle(numbers)
    paths = []
    for index, (hu, place, number) in enumerate(zip(volume, places, numbers, strict=True)):
        dataset = _ct_dataset(series, number, hu.shape)
        dataset.ImageOrientationPatient = [float(v) for v in orientation]
        dataset.ImagePositionPatient = [round(float(v), 6) for v in np.asarray(origin) + place * direction]
        dataset.PixelSpacing = list(spacing)
        dataset.SliceThickness = 5.0
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = slope, intercept, "HU"
        _set_pixels(dataset, _stored(hu, slope, intercept, signed, padding), transfer_syntax)
        if padding is not None:
            dataset.add_new("PixelPaddingValue", "SS" if signed else "US", padding)
        if edit is not None:
            edit(dataset, index)
        paths.append(folder / f"{number:04d}{suffix}")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return paths


def write_enhanced_dicom(
    path: Path, volume: NDArray[np.integer], positions: Sequence[float], spacing: float = 2.6
) -> Path:
    """Write `volume` (Z, H, W; HU) as one Enhanced CT Image, its axial frames in the order given."""
    dataset = _ct_dataset(1, 1, volume.shape[1:], EnhancedCTImageStorage)
    shared, measures, orientation, rescale = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [spacing, spacing], 5.0
    orientation.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 1.0, -1024.0, "HU"
    shared.PixelMeasuresSequence = DicomSequence([measures])
    shared.PlaneOrientationSequence = DicomSequence([orientation])
    shared.PixelValueTransformationSequence = DicomSequence([rescale])
    dataset.SharedFunctionalGroupsSequence = DicomSequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = DicomSequence([_plane_position(place) for place in positions])
    dataset.NumberOfFrames = len(volume)
    _set_pixels(dataset, _stored(volume, 1.0, -1024.0, False, None), ExplicitVRLittleEndian)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_nifti(
    path: Path,
    canonical: NDArray[np.generic],
    *,
    spacing: Sequence[float] = (5.0, 2.6, 2.6),
    axcodes: Sequence[str] = ("R", "A", "S"),
    stated: bool = True,
) -> NDArray[np.float64]:
    """Write a canonical (z, row, column) volume with the file's axes running as `axcodes` says.

    Returns:
        (4, 4): the affine of the file. LPS (0, 0, 0) mm is the first canonical voxel.
    """
    # Canonical axes in reverse are (column, row, z), which run to L, P and S.
    lps = nib.Nifti1Image(canonical.transpose(2, 1, 0), np.diag([-spacing[2], -spacing[1], spacing[0], 1.0]))
    start = nib.orientations.io_orientation(lps.affine)
    turn = nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(tuple(axcodes)))
    turned = lps.as_reoriented(turn)
    if not stated:
        turned.set_sform(None, code=0)
        turned.set_qform(None, code=0)
    nib.save(turned, path)
    return np.asarray(turned.affine)


def write_png_slices(
    folder: Path, volume: NDArray[np.integer], *, window: tuple[float, float] = (-600.0, 1500.0), name: str = "slice"
) -> list[Path]:
    """Write each slice of `volume` (Z, H, W; HU) as an 8-bit PNG under a window (level, width in HU)."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}{index + 1}.png" for index in range(len(volume))]
    for path, grey in zip(paths, to_grey(volume, window), strict=True):
        Image.fromarray(grey).save(path)
    return paths


def to_grey(volume: NDArray[np.integer], window: tuple[float, float] = (-600.0, 1500.0)) -> NDArray[np.uint8]:
    """HU to 0..255 under a window (level, width in HU)."""
    level, width = window
    grey = np.rint((volume - (level - width / 2)) / width * 255)
    return np.asarray(np.clip(grey, 0, 255), dtype=np.uint8)


def _ct_dataset(series: int, number: int, shape: Sequence[int], sop_class: UID = CTImageStorage) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, f"{UID_ROOT}1.{series}.{number}"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{UID_ROOT}1", f"{UID_ROOT}1.{series}"
    dataset.FrameOfReferenceUID = f"{UID_ROOT}2"
    dataset.PatientName, dataset.PatientID, dataset.PatientSex = "Phantom^Chest", "PHANTOM-1", "O"
    dataset.PatientBirthDate, dataset.ReferringPhysicianName, dataset.AccessionNumber = "", "", "ACC1"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20200401", "120000", "1"
    dataset.StudyDescription, dataset.SeriesDescription = "Chest phantom", f"Series {series}"
    dataset.Modality, dataset.Manufacturer, dataset.BodyPartExamined = "CT", "Phantom", "CHEST"
    dataset.PatientPosition, dataset.PositionReferenceIndicator = "HFS", ""
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.KVP, dataset.ConvolutionKernel = "120", "LUNG"
    dataset.SeriesNumber, dataset.AcquisitionNumber, dataset.InstanceNumber = series, 1, number
    dataset.Rows, dataset.Columns = shape[0], shape[1]
    return dataset


def _plane_position(place: float) -> Dataset:
    group, item = Dataset(), Dataset()
    item.ImagePositionPatient = [0.0, 0.0, float(place)]
    group.PlanePositionSequence = DicomSequence([item])
    return group


def _stored(
    hu: NDArray[np.integer], slope: float, intercept: float, signed: bool, padding: int | None
) -> NDArray[np.int16] | NDArray[np.uint16]:
    stored = np.rint((hu.astype(np.float64) - intercept) / slope)
    if padding is not None:
        rows, columns = hu.shape[-2:]
        y, x = np.ogrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
        stored[..., x**2 + y**2 > 1] = padding
    return stored.astype(np.int16) if signed else stored.astype(np.uint16)


def _set_pixels(dataset: Dataset, stored: NDArray[np.integer], transfer_syntax: UID) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(stored.dtype == np.int16)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
    if transfer_syntax.is_compressed:
        dataset.compress(transfer_syntax, generate_instance_uid=False)
        return
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    if not transfer_syntax.is_little_endian:
        dataset.PixelData = stored.byteswap().tobytes()
