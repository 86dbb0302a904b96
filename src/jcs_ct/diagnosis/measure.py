"""From a lesion mask to lesions and their measures.

Volumes are sums over slices of area times the extent that the slice stands for, so that gaps and uneven distances count
for what they are. What the input cannot tell (millimetres without spacing, HU of a grey picture) stays None.

Everything runs slice by slice over integer labels, which are held where there are any: of the study's size are only its
voxels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from jcs_ct.cores import parallel_map
from jcs_ct.cropped_volume import CroppedVolume, Volume, marked_pixels, shown_slices
from jcs_ct.diagnosis.components import connected_components
from jcs_ct.diagnosis.lesion_shape import axial_diameters, pleural_distances
from jcs_ct.diagnosis.lung_measures import add_places, measure_regions
from jcs_ct.diagnosis.lung_regions import lung_sides, sides_are_known
from jcs_ct.diagnosis.measured import HuBands, Lesion, Measured, Measures, SliceBurden
from jcs_ct.study.volume import Geometry, IntensityKind, Study

_MAX_LESIONS = int(np.iinfo(np.uint16).max)  # labels are uint16, in memory and in every report
_MM3_PER_ML = 1000.0
_BAND_EDGES = np.array([-900, -500, -100, 101])
"""HU at which the next of `HuBands` begins."""


@dataclass(frozen=True)
class MeasureSettings:
    """What counts as a lesion of its own."""

    minimum_volume_ml: float = 0.05
    """Smaller components are dropped from labels and totals: noise of the segmenter, a sphere of 4.6 mm across."""
    minimum_voxels: int = 20
    """The same where the input has no volumes in mL."""
    gap_factor: float = 1.5
    """Slices further apart than this times the usual distance are not neighbours: no lesion spans such a gap."""

    def __post_init__(self) -> None:
        if self.minimum_volume_ml < 0 or self.minimum_voxels < 0:
            raise ValueError("the smallest lesion cannot have a negative size")
        if self.gap_factor < 1:
            raise ValueError(f"gap_factor must be at least 1, found {self.gap_factor}")


_DEFAULTS = MeasureSettings()


def find_lesions(
    mask: Volume[np.bool_], study: Study, settings: MeasureSettings = _DEFAULTS
) -> CroppedVolume[np.uint16]:
    """The connected opacities of a mask; none reaches across a gap between slices.

    Args:
        mask: (Z, H, W) lesion voxels, canonical.
        study: the study that the mask belongs to.
        settings: what counts as a lesion.

    Returns:
        (Z, H, W): 0 or the id of a lesion, 1 for the largest.
    """
    if mask.shape != study.voxels.shape:
        raise ValueError(f"the mask {mask.shape} does not fit voxels {study.voxels.shape}")
    components = connected_components(mask, contiguous_blocks(len(mask), study.geometry, settings.gap_factor))
    extents = known_extents(study.geometry)
    sizes = components.sizes(np.ones(len(mask)) if extents is None else extents)
    return components.numbered(_kept(sizes, None if extents is None else study.geometry, settings))


def measure_lesions(
    labels: CroppedVolume[np.uint16],
    probability: Volume[np.floating] | Volume[np.uint8] | None,
    lung_mask: Volume[np.bool_],
    study: Study,
    lobes: NDArray[np.uint8] | None = None,
    consolidation: Volume[np.bool_] | None = None,
    segmented: NDArray[np.bool_] | None = None,
) -> Measured:
    """Measure opacities.

    Args:
        labels: (Z, H, W) as `find_lesions` gives them.
        probability: (Z, H, W) of the segmenter, floats 0..1 or bytes 0..255, or None.
        lung_mask: (Z, H, W) lung voxels, canonical; may leave out consolidated parts.
        study: the study that the masks belong to.
        lobes: (Z, H, W) labels 1..5 (`lung_regions.LOBES`), 0 elsewhere, or None where they are not known.
        consolidation: (Z, H, W), counted within opacities; None if it is not told from ground glass.
        segmented: (Z,), False on slices where nothing was looked for; True everywhere if None.
    """
    if not labels.shape == lung_mask.shape == study.voxels.shape:
        raise ValueError(f"masks {labels.shape} and {lung_mask.shape} do not fit voxels {study.voxels.shape}")
    extents, count = known_extents(study.geometry), _highest(labels)
    lungs = _with_lesions(lung_mask, labels)
    sides = lung_sides(lungs, lobes)
    sums = _sum_over_slices(labels, count, probability, study, extents, consolidation)
    lesions = _describe(count, probability is not None, sums, study, extents)
    lesions = _with_shapes(lesions, labels, lungs, study.geometry)
    totals = _totals(labels, lungs, lesions, study.geometry, extents)
    totals = replace(totals, hu_bands=_bands(sums.bands.sum(0), study.intensity))
    if sums.dense is not None and count:
        totals = replace(totals, consolidation_share=float(sums.dense.sum() / sums.weight.sum()))
    weights = np.ones(len(labels)) if extents is None else extents
    ml = ml_per_mm(study.geometry, extents)
    places = measure_regions(labels, count, sides, lobes, study.geometry, weights, ml, consolidation)
    lesions, totals = add_places(lesions, totals, places)
    stated = sides if sides_are_known(study) else None
    return Measured(labels, lesions, totals, lungs, stated, slice_burden(labels, lungs, study, segmented))


def _highest(labels: Volume[np.uint16]) -> int:
    return max((int(labels[z].max()) for z in shown_slices(labels)), default=0)


def _with_lesions(lungs: Volume[np.bool_], labels: Volume[np.uint16]) -> CroppedVolume[np.bool_]:
    """A lesion is lung even where the lung mask left it out; the mask itself where it left out none."""
    shown = shown_slices(labels)
    if isinstance(lungs, CroppedVolume) and not any(
        parallel_map(lambda z: bool(((labels[z] > 0) & ~lungs[z]).any()), shown)
    ):
        return lungs
    return CroppedVolume.made(lungs.shape, np.bool_, lambda z: lungs[z] | (labels[z] > 0))


def slice_burden(
    labels: Volume[np.uint16], lungs: Volume[np.bool_], study: Study, segmented: NDArray[np.bool_] | None = None
) -> tuple[SliceBurden, ...]:
    """Opacities on each slice.

    Args:
        labels: (Z, H, W), 0 or an opacity.
        lungs: (Z, H, W), the opacities included.
        study: the study that both belong to.
        segmented: (Z,), False on slices where nothing was looked for; True everywhere if None.
    """
    lesion, lung, geometry = marked_pixels(labels), marked_pixels(lungs), study.geometry
    return tuple(
        SliceBurden(
            None if geometry is None else float(opaque * geometry.pixel_area),
            float(opaque / whole) if whole else None,
        )
        if segmented is None or segmented[z]
        else SliceBurden()
        for z, (opaque, whole) in enumerate(zip(lesion, lung, strict=True))
    )


def known_extents(geometry: Geometry | None) -> NDArray[np.float64] | None:
    """(Z,) mm that each slice stands for, or None where that is not known."""
    if geometry is None:
        return None
    extents = geometry.slice_extents
    return extents if np.isfinite(extents).all() else None


def ml_per_mm(geometry: Geometry | None, extents: NDArray[np.float64] | None) -> float | None:
    """Volume of a voxel for each mm that its slice stands for; None where there are no volumes in mL."""
    return None if geometry is None or extents is None else geometry.pixel_area / _MM3_PER_ML


def contiguous_blocks(count: int, geometry: Geometry | None, gap_factor: float) -> list[tuple[int, int]]:
    """Ranges of slices (start, stop) without a gap inside."""
    if geometry is None or count < 2:
        return [(0, count)]
    distances = geometry.slice_distances
    cuts = [int(k) + 1 for k in np.flatnonzero(distances > gap_factor * np.median(distances))]
    return list(zip([0, *cuts], [*cuts, count], strict=True))


def _kept(sizes: NDArray[np.float64], geometry: Geometry | None, settings: MeasureSettings) -> NDArray[np.uint16]:
    """(N,): number of the lesion that each component becomes, the largest 1; 0 for those that are too small.

    Args:
        sizes: (N,) sums of pixels times the extents of their slices; of 0, the background, without meaning.
        geometry: None where extents are not known, and pixels just count.
        settings: what counts as a lesion.
    """
    if geometry is None:
        minimum = float(settings.minimum_voxels)
    else:
        minimum = settings.minimum_volume_ml * _MM3_PER_ML / geometry.pixel_area
    size = sizes.copy()
    size[0] = -1.0  # the background never wins
    # a hair below the minimum is still the minimum: the products in sizes round
    order = np.argsort(-size, kind="stable")
    kept = order[(size[order] >= minimum * (1 - 1e-9)) & (size[order] > 0)][:_MAX_LESIONS]
    lookup = np.zeros(len(size), np.uint16)
    lookup[kept] = np.arange(1, len(kept) + 1, dtype=np.uint16)
    return lookup


def _describe(
    count: int,
    with_probability: bool,
    sums: _Sums,
    study: Study,
    extents: NDArray[np.float64] | None,
) -> tuple[Lesion, ...]:
    """Measure every lesion; averages weigh each voxel with the extent of its slice where that is known."""
    geometry, ml = study.geometry, ml_per_mm(study.geometry, extents)
    volumes = None if ml is None else sums.weight * ml
    lesions = []
    for k in range(1, count + 1):
        (z0, r0, c0), (z1, r1, c1) = (tuple(int(v) for v in ends[k]) for ends in (sums.first, sums.last))
        lesions.append(
            Lesion(
                id=k,
                voxels=int(sums.voxels[k]),
                volume_ml=None if volumes is None else float(volumes[k]),
                area_mm2=None if geometry is None else float(sums.largest[k] * geometry.pixel_area),
                slices=(z0, z1),
                centroid_mm=_centroid(sums, k),
                bbox=(z0, r0, c0, z1, r1, c1),
                mean_hu=float(sums.value[k] / sums.weight[k]) if study.intensity is IntensityKind.HU else None,
                mean_probability=float(sums.probability[k] / sums.weight[k]) if with_probability else None,
                hu_bands=_bands(sums.bands[k], study.intensity),
                consolidation_share=None if sums.dense is None else float(sums.dense[k] / sums.weight[k]),
            )
        )
    return tuple(lesions)


def _bands(sizes: NDArray[np.float64], intensity: IntensityKind) -> HuBands | None:
    """Sizes (5,) by aeration as shares; None without HU or without any lesion."""
    if intensity is not IntensityKind.HU or not sizes.sum():
        return None
    return HuBands(*(float(share) for share in sizes / sizes.sum()))


def _with_shapes(
    lesions: tuple[Lesion, ...], labels: Volume[np.uint16], lungs: CroppedVolume[np.bool_], geometry: Geometry | None
) -> tuple[Lesion, ...]:
    """Lesions with diameters and pleural distances, as far as the input has millimetres."""
    if geometry is None:
        return lesions
    diameters = axial_diameters(labels, len(lesions), geometry.pixel_spacing)
    distances = pleural_distances(labels, len(lesions), lungs, geometry.pixel_spacing)
    return tuple(
        replace(
            lesion,
            long_axis_mm=diameters[lesion.id].long_axis_mm,
            perpendicular_mm=diameters[lesion.id].perpendicular_mm,
            diameter_slice=diameters[lesion.id].index,
            pleural_distance_mm=float(distances[lesion.id]) if np.isfinite(distances[lesion.id]) else None,
        )
        for lesion in lesions
    )


@dataclass(frozen=True)
class _Sums:
    """Sums by label (count + 1,), each voxel weighted with its slice's extent where not said otherwise."""

    voxels: NDArray[np.int64]
    """Not weighted."""
    largest: NDArray[np.int64]
    """Most voxels on one slice."""
    first: NDArray[np.int64]
    """(count + 1, 3): lowest slice, row and column."""
    last: NDArray[np.int64]
    """(count + 1, 3): highest slice, row and column."""
    weight: NDArray[np.float64]
    value: NDArray[np.float64]
    probability: NDArray[np.float64]
    bands: NDArray[np.float64]
    """(count + 1, 5): by `HuBands`; without meaning where values are not HU."""
    position: NDArray[np.float64] | None
    """(count + 1, 3): patient coordinates, or None without geometry."""
    dense: NDArray[np.float64] | None
    """Consolidated voxels, or None where nothing tells."""


def _centroid(sums: _Sums, k: int) -> tuple[float, float, float] | None:
    if sums.position is None:
        return None
    x, y, z = sums.position[k] / sums.weight[k]
    return float(x), float(y), float(z)


def _sum_over_slices(
    labels: Volume[np.uint16],
    count: int,
    probability: Volume[np.floating] | Volume[np.uint8] | None,
    study: Study,
    extents: NDArray[np.float64] | None,
    consolidation: Volume[np.bool_] | None,
) -> _Sums:
    size, geometry = count + 1, study.geometry
    sums = _Sums(
        voxels=np.zeros(size, np.int64),
        largest=np.zeros(size, np.int64),
        first=np.full((size, 3), np.iinfo(np.int64).max),
        last=np.zeros((size, 3), np.int64),
        weight=np.zeros(size),
        value=np.zeros(size),
        probability=np.zeros(size),
        bands=np.zeros((size, len(_BAND_EDGES) + 1)),
        position=None if geometry is None else np.zeros((size, 3)),
        dense=None if consolidation is None else np.zeros(size),
    )
    scale = 1 / 255 if probability is not None and probability.dtype == np.uint8 else 1.0
    for z in shown_slices(labels):
        weight = 1.0 if extents is None else float(extents[z])
        plane = labels[z]
        rows, columns = np.nonzero(plane)
        ids = plane[rows, columns]
        counts = np.bincount(ids, minlength=size)
        sums.voxels[:] += counts
        np.maximum(sums.largest, counts, out=sums.largest)
        for axis, places in enumerate((np.full(len(ids), z), rows, columns)):
            np.minimum.at(sums.first[:, axis], ids, places)
            np.maximum.at(sums.last[:, axis], ids, places)
        sums.weight[:] += counts * weight
        values = study.voxels[z, rows, columns]
        sums.value[:] += np.bincount(ids, values, size) * weight
        bands = ids.astype(np.int64) * sums.bands.shape[1] + np.digitize(values, _BAND_EDGES)
        sums.bands[:] += np.bincount(bands, minlength=sums.bands.size).reshape(sums.bands.shape) * weight
        if probability is not None:
            sums.probability[:] += np.bincount(ids, probability[z][rows, columns], size) * (weight * scale)
        if consolidation is not None and sums.dense is not None:
            sums.dense[:] += np.bincount(ids, consolidation[z][rows, columns], size) * weight
        if geometry is not None and sums.position is not None:
            down = np.bincount(ids, rows, size)[:, None] * (geometry.pixel_spacing[0] * geometry.row_direction)
            across = np.bincount(ids, columns, size)[:, None] * (geometry.pixel_spacing[1] * geometry.column_direction)
            sums.position[:] += (counts[:, None] * geometry.positions[z] + down + across) * weight
    return sums


def _totals(
    labels: Volume[np.uint16],
    lungs: CroppedVolume[np.bool_],
    lesions: tuple[Lesion, ...],
    geometry: Geometry | None,
    extents: NDArray[np.float64] | None,
) -> Measures:
    lesion, lung = marked_pixels(labels), marked_pixels(lungs)
    weights = np.ones(len(labels)) if extents is None else extents
    lesion_size, lung_size = float(lesion @ weights), float(lung @ weights)
    ml = ml_per_mm(geometry, extents)
    return Measures(
        lesion_volume_ml=None if ml is None else lesion_size * ml,
        lung_volume_ml=None if ml is None else lung_size * ml,
        lesion_share_of_lung=lesion_size / lung_size if lung_size else None,
        lesion_count=len(lesions),
    )
