"""Whether a study is fit to be diagnosed at all, judged without looking for lungs."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from jcs_ct.notices import Notice, Severity, notice
from jcs_ct.study.volume import Geometry, IntensityKind, Study

MIN_MATRIX = 64
"""Pixels a side; below, an opacity of 1 cm is under two pixels wide in a chest of 35 cm."""
PIXEL_SPACING_MM = (0.1, 3.0)
SLICE_DISTANCE_MM = (0.05, 20.0)
MAX_PIXEL_ASPECT = 1.5
MAX_SKIPPED = 1.5
"""Slices further apart than this times their thickness leave lung unseen between them (high-resolution CT)."""
THICK_MM = 8.0
"""The thickest slices that are in the public data that the networks were tried on."""

FOREIGN_UNITS = frozenset({"OD", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT"})
"""Terms of Rescale Type that are defined, and are not Hounsfield units (PS3.3 C.11.1.1.2)."""

# Convolution Kernel is a word of the vendor's own (PS3.3 C.8.2.1): the ones in common use. First match counts.
_KERNELS = (
    ("bone", re.compile(r"BONE|EDGE|SHARP|^FC[38]|^Y?D$|^E$")),
    ("lung", re.compile(r"LUNG|CHEST|^BL|^FC5|^L$|^Y[ABC]$")),
    ("standard", re.compile(r"STANDARD|STD|DETAIL|^FC[012]|^[BC]$")),
    ("soft", re.compile(r"SOFT|SMOOTH|^A$")),
)
_SIEMENS = re.compile(r"^[A-Z][A-Z]?([0-9]{2})")  # B40f, Br44: the number is the sharpness

_AIR_BELOW_HU = -500
_TISSUE_HU = (-200, 1500)
_MIN_SHARE = 0.005
"""A slice of the chest holds far more of both air and tissue than this share of its pixels."""
_MIN_GREY_SPAN = 16
_SAMPLE_STEP = 4
"""Every fourth row and column is looked at: shares need no more."""


def refusals(study: Study) -> tuple[Notice, ...]:
    """Why `study` must not be assessed: what its reader found, and what its values and sizes tell. Empty if it is fit.

    Whether there are lungs is for a later layer to say.
    """
    reasons = [
        *(found for found in study.notices if found.severity is Severity.REFUSAL),
        *_modality_refusals(study),
        *plane_refusals(study.plane),
        *_matrix_refusals(study),
        *_value_refusals(study),
        *_spacing_refusals(study.geometry),
    ]
    return tuple(dict.fromkeys(reasons))


def warnings(study: Study) -> tuple[Notice, ...]:
    """What a reader of a result on `study` should know: all notices that are no refusals, of the reader and of its own.

    `study.notices` are among them; do not add these again.
    """
    return (
        *(found for found in study.notices if found.severity is not Severity.REFUSAL),
        *_thickness_warnings(study.geometry),
        *_acquisition_warnings(study),
    )


def _thickness_warnings(geometry: Geometry | None) -> list[Notice]:
    if geometry is None or len(geometry.positions) < 2:
        return []
    usual, thickness = float(np.median(geometry.slice_distances)), geometry.slice_thickness
    if thickness is not None and usual > MAX_SKIPPED * thickness:
        percent = 100 * (1 - thickness / usual)
        return [notice("lung-skipped", thickness_mm=thickness, distance_mm=usual, percent=percent)]
    coarse = max(usual, thickness or 0.0)
    return [notice("thick-slices", thickness_mm=coarse)] if coarse > THICK_MM else []


def _acquisition_warnings(study: Study) -> list[Notice]:
    found = []
    kernel = study.attributes.get("ConvolutionKernel", "")
    if kernel_kind(kernel) == "bone":
        found.append(notice("edge-enhancing-kernel", kernel=kernel))
    if agent := study.attributes.get("ContrastBolusAgent"):
        found.append(notice("contrast-agent", agent=agent[:40]))
    if study.attributes.get("PatientPosition", "").upper() in ("HFP", "FFP"):
        found.append(notice("prone"))
    return found


def kernel_kind(kernel: str) -> str | None:
    """What a Convolution Kernel is made for: "standard", "lung", "soft", "bone", or None for a word not known."""
    word = kernel.split("\\")[0].strip().upper()
    for kind, pattern in _KERNELS:
        if pattern.search(word):
            return kind
    if match := _SIEMENS.match(word):
        sharpness = int(match.group(1))
        return "soft" if sharpness < 36 else "standard" if sharpness < 50 else "lung" if sharpness < 66 else "bone"
    return None


def plane_refusals(plane: str | None) -> tuple[Notice, ...]:
    """The refusal of slices that are known not to be axial."""
    return () if plane in (None, "axial") else (notice("not-axial", plane=plane),)


def unit_refusals(units: Iterable[str]) -> tuple[Notice, ...]:
    """The refusal of values that are known not to be HU, told by their Rescale Types."""
    foreign = sorted(FOREIGN_UNITS.intersection(units))
    return (notice("not-hounsfield", unit=foreign[0]),) if foreign else ()


def modality_refusals(modality: str) -> tuple[Notice, ...]:
    """The refusal of images of another modality than CT."""
    return () if modality == "CT" else (notice("not-ct", modality=modality),)


def _modality_refusals(study: Study) -> tuple[Notice, ...]:
    return modality_refusals(study.attributes.get("Modality", "CT"))


def _matrix_refusals(study: Study) -> tuple[Notice, ...]:
    windows = [study.own_pixels(index) for index in range(len(study))] if study.extents is not None else []
    sides = [min(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in windows]
    smallest = int(np.median(sides)) if sides else min(study.voxels.shape[1:])
    return () if smallest >= MIN_MATRIX else (notice("matrix-too-small", width=smallest, least=MIN_MATRIX),)


def _value_refusals(study: Study) -> tuple[Notice, ...]:
    sample = study.voxels[:, ::_SAMPLE_STEP, ::_SAMPLE_STEP]
    low, high = int(sample.min()), int(sample.max())
    if low == high:
        return (notice("one-value-everywhere", value=low),)
    if study.intensity is IntensityKind.HU:
        return _hu_refusals(sample, low, high)
    return (notice("no-contrast", low=low, high=high),) if high - low < _MIN_GREY_SPAN else ()


def _hu_refusals(sample: NDArray[np.generic], low: int, high: int) -> tuple[Notice, ...]:
    values = np.asarray(sample, dtype=np.int16)
    air = float(np.count_nonzero(values < _AIR_BELOW_HU)) / values.size
    tissue = float(np.count_nonzero((values > _TISSUE_HU[0]) & (values < _TISSUE_HU[1]))) / values.size
    missing = [code for code, share in (("no-air", air), ("no-tissue", tissue)) if share < _MIN_SHARE]
    return tuple(notice(code, low=low, high=high) for code in missing)


def _spacing_refusals(geometry: Geometry | None) -> tuple[Notice, ...]:
    if geometry is None:
        return ()
    reasons = []
    small, large = min(geometry.pixel_spacing), max(geometry.pixel_spacing)
    least, most = PIXEL_SPACING_MM
    if small < least or large > most:
        reasons.append(
            notice("pixel-spacing-implausible", small_mm=small, large_mm=large, least_mm=least, most_mm=most)
        )
    elif large > MAX_PIXEL_ASPECT * small:
        reasons.append(notice("pixels-not-square", small_mm=small, large_mm=large))
    if len(geometry.positions) > 1:
        usual, (least, most) = float(np.median(geometry.slice_distances)), SLICE_DISTANCE_MM
        if not least <= usual <= most:
            reasons.append(notice("slice-distance-implausible", distance_mm=usual, least_mm=least, most_mm=most))
    return tuple(reasons)
