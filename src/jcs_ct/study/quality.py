"""Whether a study is fit to be diagnosed at all, judged without looking for lungs."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

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


def objections(study: Study) -> tuple[str, ...]:
    """Reasons why `study` must not be judged; none if it is fit.

    Each says what was found and what is needed. Whether there are lungs is for a later layer to say.
    """
    reasons = [
        *study.objections,
        *_modality_objections(study),
        *plane_objections(study.plane),
        *_matrix_objections(study),
        *_value_objections(study),
        *_spacing_objections(study.geometry),
    ]
    return tuple(dict.fromkeys(reasons))


def cautions(study: Study) -> tuple[str, ...]:
    """What is worth knowing about a result on `study`, but does not forbid it; shown as warnings."""
    return (*_thickness_cautions(study.geometry), *_acquisition_cautions(study))


def _thickness_cautions(geometry: Geometry | None) -> list[str]:
    if geometry is None or len(geometry.positions) < 2:
        return []
    usual, thickness = float(np.median(geometry.slice_distances)), geometry.slice_thickness
    if thickness is not None and usual > MAX_SKIPPED * thickness:
        return [
            f"slices of {thickness:g} mm lie {usual:.3g} mm apart: {100 * (1 - thickness / usual):.0f} % of the "
            "lung between the first and the last slice was not scanned, and volumes stand in for it"
        ]
    coarse = max(usual, thickness or 0.0)
    if coarse > THICK_MM:
        return [f"the slices are {coarse:g} mm thick: small and faint opacities are averaged away in them"]
    return []


def _acquisition_cautions(study: Study) -> list[str]:
    found = []
    kernel = study.attributes.get("ConvolutionKernel", "")
    if kernel_kind(kernel) == "bone":
        found.append(f"kernel {kernel} enhances edges: noise may look like texture, and densities overshoot at edges")
    if agent := study.attributes.get("ContrastBolusAgent"):
        found.append(f"a contrast agent was given ({agent[:40]}): vessels and what takes it up are denser than without")
    if study.attributes.get("PatientPosition", "").upper() in ("HFP", "FFP"):
        found.append("the patient lay prone: opacities that follow gravity lie in front, not at the back")
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


def plane_objections(plane: str | None) -> tuple[str, ...]:
    """The objection to slices that are known not to be axial."""
    if plane in (None, "axial"):
        return ()
    return (f"the series is {plane}, axial slices are needed",)


def _modality_objections(study: Study) -> tuple[str, ...]:
    modality = study.attributes.get("Modality", "CT")
    return () if modality == "CT" else (f"the modality is {modality}, CT is needed",)


def _matrix_objections(study: Study) -> tuple[str, ...]:
    windows = [study.own_pixels(index) for index in range(len(study))] if study.extents is not None else []
    sides = [min(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in windows]
    smallest = int(np.median(sides)) if sides else min(study.voxels.shape[1:])
    if smallest >= MIN_MATRIX:
        return ()
    return (f"the slices are {smallest} pixels wide, at least {MIN_MATRIX} are needed",)


def _value_objections(study: Study) -> tuple[str, ...]:
    sample = study.voxels[:, ::_SAMPLE_STEP, ::_SAMPLE_STEP]
    low, high = int(sample.min()), int(sample.max())
    if low == high:
        return (f"all values are {low}, an image of a chest is needed",)
    if study.intensity is IntensityKind.HU:
        return _hu_objections(sample, low, high)
    if high - low < _MIN_GREY_SPAN:
        return (f"the grey levels span {low} to {high} only, a picture with contrast is needed",)
    return ()


def _hu_objections(sample: NDArray[np.generic], low: int, high: int) -> tuple[str, ...]:
    values = np.asarray(sample, dtype=np.int16)
    air = float(np.count_nonzero(values < _AIR_BELOW_HU)) / values.size
    tissue = float(np.count_nonzero((values > _TISSUE_HU[0]) & (values < _TISSUE_HU[1]))) / values.size
    reasons = []
    if air < _MIN_SHARE:
        reasons.append(f"there is no air: values span {low} to {high} HU, a chest holds values near -850 HU")
    if tissue < _MIN_SHARE:
        reasons.append(f"there is no tissue: values span {low} to {high} HU, a chest holds values near 40 HU")
    return tuple(reasons)


def _spacing_objections(geometry: Geometry | None) -> tuple[str, ...]:
    if geometry is None:
        return ()
    reasons = []
    small, large = min(geometry.pixel_spacing), max(geometry.pixel_spacing)
    if small < PIXEL_SPACING_MM[0] or large > PIXEL_SPACING_MM[1]:
        reasons.append(
            f"the pixel spacing is {small:g} x {large:g} mm, "
            f"{PIXEL_SPACING_MM[0]:g} to {PIXEL_SPACING_MM[1]:g} mm is plausible for CT"
        )
    elif large > MAX_PIXEL_ASPECT * small:
        reasons.append(f"the pixels measure {small:g} x {large:g} mm, square ones are needed")
    if len(geometry.positions) > 1:
        usual = float(np.median(geometry.slice_distances))
        if not SLICE_DISTANCE_MM[0] <= usual <= SLICE_DISTANCE_MM[1]:
            reasons.append(
                f"the slices are {usual:g} mm apart, "
                f"{SLICE_DISTANCE_MM[0]:g} to {SLICE_DISTANCE_MM[1]:g} mm is plausible for CT"
            )
    return tuple(reasons)
