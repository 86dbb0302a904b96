"""DICOM Segmentation: the opacities, each a segment, and the lungs, on the voxels of the source series."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentationTypeValues, SegmentDescription
from highdicom.sr import CodedConcept
from pydicom.sr.coding import Code

from jcs_ct.cropped_volume import CroppedVolume
from jcs_ct.diagnosis.lung_regions import SIDE_LABELS
from jcs_ct.diagnosis.measured import Side
from jcs_ct.reports import dicom_codes as codes
from jcs_ct.reports.dicom_objects import Derivation

LUNGS = "lungs"
LESIONS = "lesions"

# Neighbours in this list are easy to tell apart (Okabe and Ito's palette for all kinds of colour vision).
_LESION_COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")
_LUNG_COLOURS = ("#7FA8C9", "#9FC8A0")


def segmentations(derivation: Derivation) -> Iterator[tuple[str, Segmentation]]:
    """The segmentations that the diagnosis has content for, by file name."""
    for name, made in zip(("lesions.seg", "lungs.seg"), derivation.once("segmentations", _both), strict=True):
        if made is not None:
            yield name, made


def _both(derivation: Derivation) -> tuple[Segmentation | None, Segmentation | None]:
    return lesion_segmentation(derivation), lung_segmentation(derivation)


def lesion_segmentation(derivation: Derivation) -> Segmentation | None:
    """Segment k is the opacity with id k; None where there are none."""
    diagnosis = derivation.diagnosis
    if diagnosis.lesion_labels is None or not diagnosis.lesions:
        return None
    described = []
    for lesion in diagnosis.lesions:
        what = (codes.ABNORMAL_STRUCTURE, codes.ABNORMAL_OPACITY)
        segment = _segment(derivation, LESIONS, lesion.id, lesion_name(lesion.id), what)
        region = CodedConcept.from_code(codes.LUNG)
        if lesion.side is not None:
            region.AnatomicRegionModifierSequence = [CodedConcept.from_code(codes.SIDES[lesion.side])]
        segment.AnatomicRegionSequence = [region]
        described.append(_coloured(segment, _LESION_COLOURS))
    return _segmentation(derivation, LESIONS, diagnosis.lesion_labels, described, "Opacities of the lung")


def lung_segmentation(derivation: Derivation) -> Segmentation | None:
    """Right and left lung, or both as one where the input does not state which side is which; None without lungs."""
    diagnosis = derivation.diagnosis
    labels: CroppedVolume[Any]
    if diagnosis.lung_sides is not None:
        labels, sides = diagnosis.lung_sides, list(Side)
    elif diagnosis.lung_mask is not None:
        labels, sides = diagnosis.lung_mask, []
    else:
        return None
    if not labels.shown():
        return None
    described = []
    for number, name in [(SIDE_LABELS[side], lung_name(side)) for side in sides] or [(1, lung_name(None))]:
        segment = _segment(derivation, LUNGS, number, name, (codes.ANATOMICAL_STRUCTURE, codes.LUNG))
        if sides:
            laterality = CodedConcept.from_code(codes.SIDES[sides[number - 1]])
            segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [laterality]
        described.append(_coloured(segment, _LUNG_COLOURS))
    return _segmentation(derivation, LUNGS, labels, described, "Lungs, opacities included")


def lesion_name(number: int) -> str:
    """How an opacity is called in all DICOM objects."""
    return f"Opacity {number}"


def lung_name(side: Side | None) -> str:
    """How a lung is called in all DICOM objects."""
    return "Lungs" if side is None else f"{side.value.capitalize()} lung"


def _segment(derivation: Derivation, kind: str, number: int, name: str, what: tuple[Code, Code]) -> SegmentDescription:
    """Segment `number` of the lesions or the lungs, which is `what`: property category and type."""
    return SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=what[0],
        segmented_property_type=what[1],
        **derivation.making(kind),
        tracking_uid=derivation.uid(f"tracking {name}"),
        tracking_id=name,
    )


def _coloured(segment: SegmentDescription, palette: tuple[str, ...]) -> SegmentDescription:
    colour = CIELabColor.from_string(palette[(segment.SegmentNumber - 1) % len(palette)])
    segment.RecommendedDisplayCIELabValue = list(colour.value)
    return segment


def _segmentation(
    derivation: Derivation,
    kind: str,
    labels: CroppedVolume[Any],
    described: list[SegmentDescription],
    description: str,
) -> Segmentation:
    """One object of (Z, H, W) canonical labels; slices that no segment reaches are left out."""
    shown = labels.shown()
    # As small a type as holds the numbers: this is the only array of the study's size that reports make.
    pixels = np.empty((len(shown), *labels.shape[1:]), np.min_scalar_type(len(described)))
    for k, index in enumerate(shown):
        pixels[k] = labels[index]
    segmentation = Segmentation(
        source_images=[derivation.images[index] for index in shown],
        pixel_array=derivation.stored(pixels),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=described,
        content_label=kind.upper(),
        content_description=description,
        **derivation.instance(kind),
    )
    derivation.finish(segmentation)
    return segmentation
