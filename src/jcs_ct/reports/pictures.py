"""Slices as pictures for the HTML report: which ones to show, cropped, windowed, outlined and overlaid."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage.measure import find_contours

from jcs_ct.diagnosis.cross_check import MARKED_SHARE
from jcs_ct.diagnosis.decision import Verdict
from jcs_ct.diagnosis.result import Diagnosis, SliceFinding
from jcs_ct.study.volume import IntensityKind, Study

LUNG_WINDOW = (-600.0, 1500.0)
"""Centre and width in HU, as radiologists look at lungs."""
OUTLINE_COLOUR = (0, 229, 255)
"""Cyan: neither in a CT nor in the heat map."""

_PANEL_WIDTH = 520  # px: 200 dpi at the third of an A4 page that a panel gets
_TALLEST = 1.25  # height over width beyond which a picture is narrowed to leave room for others
_OUTLINE_SCALE = 3  # lines are drawn this much larger and scaled down, which smooths them
_HEAT_OPACITY = 0.65
_HEAT_FLOOR, _HEAT_FULL = 0.12, 0.40  # activation at which the overlay starts to show, and is fully there
_JPEG_QUALITY = 85
_WORTH_SHOWING = 0.4  # share of the best slice's score that another one needs

# Sixteen steps of "inferno" (matplotlib, CC0): perceptually uniform, readable without red or green.
_INFERNO = np.array(
    [
        (0, 0, 4), (12, 8, 38), (36, 12, 79), (66, 10, 104), (93, 18, 110), (120, 28, 109), (147, 38, 103),
        (174, 48, 92), (199, 62, 76), (221, 81, 58), (237, 105, 37), (248, 133, 15), (252, 165, 10), (250, 198, 45),
        (242, 230, 97), (252, 255, 164),
    ],
    np.float64,
)  # fmt: skip


@dataclass(frozen=True)
class LesionMark:
    """The number of a lesion, to be set beside it."""

    id: int
    left: float
    """Percent of the panel's width."""
    top: float
    """Percent of the panel's height."""


@dataclass(frozen=True)
class Pictures:
    """One slice drawn, all pictures of one size; None where there is nothing to show."""

    plain: Image.Image
    outlined: Image.Image | None
    heat: Image.Image | None
    lesion_count: int
    marks: tuple[LesionMark, ...]


@dataclass(frozen=True)
class Panels:
    """One slice, ready for the page; pictures are data URIs, None where there is nothing to show."""

    finding: SliceFinding
    plain: str
    outlined: str | None
    heat: str | None
    lesion_count: int
    marks: tuple[LesionMark, ...]
    width: int
    """In px, as is `height`."""
    height: int
    filling: float
    """Percent of the column's width that the picture takes."""


def telling_slices(diagnosis: Diagnosis, most: int = 6) -> list[int]:
    """Indices of the slices worth showing, spread along the patient, from head to feet (pictures: in their order).

    Those of the highest probability and the largest lesion share; without either, slices evenly spread. A negative
    result shows fewer, but where the segmenter disagrees with it, what is marked.
    """
    scores = _scores(diagnosis)
    marked = _marked_against_the_verdict(diagnosis)
    if not scores:
        count = min(3, len(diagnosis.study))
        chosen = {round((k + 0.5) * len(diagnosis.study) / count - 0.5) for k in range(count)}
    elif marked:
        chosen = _spread({k: scores[k] for k in marked}, most)
    else:
        telling = diagnosis.verdict is Verdict.POSITIVE or diagnosis.provenance.outlines is not None
        most = most if telling else min(most, 3)
        enough = _WORTH_SHOWING * max(scores.values())
        chosen = _spread({k: score for k, score in scores.items() if score >= enough}, most)
    return sorted(chosen, reverse=diagnosis.study.geometry is not None)


def _marked_against_the_verdict(diagnosis: Diagnosis) -> list[int]:
    """Slices with opacities of a study that is called negative in spite of them."""
    check = diagnosis.cross_check
    if diagnosis.verdict is not Verdict.NEGATIVE or check is None or check.segmenter_agrees:
        return []
    return [f.index for f in diagnosis.slices if (f.lesion_share or 0.0) > MARKED_SHARE]


def _scores(diagnosis: Diagnosis) -> dict[int, float]:
    """How telling each slice is that was assessed or outlined, 0..2."""
    shown = [f for f in diagnosis.slices if f.probability is not None or f.lesion_share]
    worst = max((f.lesion_share or 0.0 for f in shown), default=0.0) or 1.0
    return {f.index: (f.probability or 0.0) + (f.lesion_share or 0.0) / worst for f in shown}


def _spread(scores: dict[int, float], most: int) -> set[int]:
    """The best slices that keep a distance, which shrinks until enough are found."""
    distance = max(1, (max(scores) - min(scores) + 1) // (most + 2))
    chosen: set[int] = set()
    ranked = sorted(scores, key=lambda k: -scores[k])
    while len(chosen) < min(most, len(scores)):
        for index in ranked:
            if len(chosen) < most and all(abs(index - other) >= distance for other in chosen):
                chosen.add(index)
        distance = max(1, distance // 2)
    return chosen


def render(diagnosis: Diagnosis, index: int) -> Panels:
    """Make the three panels of slice `index`: as it is, with lesion outlines, with the activation mapping."""
    drawn = draw(diagnosis, index)
    finding = next((f for f in diagnosis.slices if f.index == index), None)
    width, height = drawn.plain.size
    return Panels(
        finding=finding or SliceFinding(index, diagnosis.study.sources[index], None, assessed=False),
        plain=_data_uri(drawn.plain),
        outlined=None if drawn.outlined is None else _data_uri(drawn.outlined),
        heat=None if drawn.heat is None else _data_uri(drawn.heat),
        lesion_count=drawn.lesion_count,
        marks=drawn.marks,
        width=width,
        height=height,
        filling=100 * width / _PANEL_WIDTH,
    )


def draw(diagnosis: Diagnosis, index: int) -> Pictures:
    """Draw slice `index`, cropped to the lungs: as it is, with lesion outlines, with the activation mapping."""
    study = diagnosis.study
    rows, columns = _crop(diagnosis, index)
    size = _panel_size(study, rows.stop - rows.start, columns.stop - columns.start)
    grey = Image.fromarray(grey_levels(study, index)[rows, columns]).resize(size, Image.Resampling.BICUBIC)
    labels = None if diagnosis.lesion_labels is None else diagnosis.lesion_labels[index][rows, columns]
    activation = None if diagnosis.activation is None else diagnosis.activation[index][rows, columns]
    ids = np.unique(labels[labels > 0]) if labels is not None else np.zeros(0, np.uint16)
    return Pictures(
        plain=grey,
        outlined=None if labels is None else _with_outlines(grey, labels > 0),
        heat=None if activation is None else _with_heat(grey, activation),
        lesion_count=len(ids),
        marks=() if labels is None else _marks(labels, ids),
    )


def grey_levels(study: Study, index: int) -> NDArray[np.uint8]:
    """Slice `index` as (H, W) bytes: HU in the lung window, grey pictures as they are."""
    plane: NDArray[Any] = study.voxels[index]
    if study.intensity is not IntensityKind.HU:
        return np.asarray(plane, np.uint8)
    centre, width = LUNG_WINDOW
    scaled = (plane.astype(np.float32) - (centre - width / 2)) * (255 / width)
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def heat_gradient() -> list[str]:
    """CSS colours of the heat map's legend, from no activation to the strongest."""
    return [f"#{int(r):02x}{int(g):02x}{int(b):02x}" for r, g, b in _INFERNO]


def _crop(diagnosis: Diagnosis, index: int) -> tuple[slice, slice]:
    """Rows and columns around the lungs, of the whole study where its slices share one scale, else of this slice."""
    study = diagnosis.study
    own = study.own_pixels(index)
    mask = diagnosis.lung_mask
    if mask is None:
        return own
    seen = mask.shadow() if study.geometry is not None else mask[index]
    if diagnosis.lesion_labels is not None:
        seen = seen | (diagnosis.lesion_labels[index] > 0)
    return _around(np.asarray(seen.any(axis=1)), own[0]), _around(np.asarray(seen.any(axis=0)), own[1])


def _around(seen: NDArray[np.bool_], own: slice) -> slice:
    """From the first to the last True with a margin, within `own`; all of `own` where too little is seen."""
    hits = np.flatnonzero(seen)
    if len(hits) < 16:
        return own
    margin = max(4, int(0.05 * (hits[-1] - hits[0])))
    return slice(max(own.start, int(hits[0]) - margin), min(own.stop, int(hits[-1]) + 1 + margin))


def _panel_size(study: Study, rows: int, columns: int) -> tuple[int, int]:
    """Width and height in px, with the patient's proportions where the spacing is known."""
    down, across = (1.0, 1.0) if study.geometry is None else study.geometry.pixel_spacing
    ratio = (rows * down) / (columns * across)
    width = _PANEL_WIDTH * min(1.0, _TALLEST / ratio)
    return max(round(width), 1), max(round(width * ratio), 1)


def _with_outlines(grey: Image.Image, mask: NDArray[np.bool_]) -> Image.Image:
    """Draw the borders of `mask` (H, W) over `grey`, bright on a dark rim so that they show on any background."""
    width, height = grey.size
    down, across = height / mask.shape[0], width / mask.shape[1]
    line = Image.new("L", (width * _OUTLINE_SCALE, height * _OUTLINE_SCALE))
    rim = line.copy()
    contours = find_contours(np.pad(mask, 1).astype(np.float32), 0.5)  # type: ignore[no-untyped-call]
    for contour in contours:
        # padded by one, and pixel k spans k..k+1 in the picture
        points = [((c - 0.5) * across * _OUTLINE_SCALE, (r - 0.5) * down * _OUTLINE_SCALE) for r, c in contour]
        ImageDraw.Draw(rim).line(points, fill=110, width=5 * _OUTLINE_SCALE, joint="curve")
        ImageDraw.Draw(line).line(points, fill=255, width=3 * _OUTLINE_SCALE, joint="curve")
    picture = grey.convert("RGB")
    for layer, colour in ((rim, (0, 0, 0)), (line, OUTLINE_COLOUR)):
        picture.paste(colour, mask=layer.resize(grey.size, Image.Resampling.BOX))
    return picture


def _with_heat(grey: Image.Image, activation: NDArray[np.uint8]) -> Image.Image:
    """Lay the activation (H, W) over `grey` in colour; weak activation stays transparent."""
    smooth = Image.fromarray(activation).resize(grey.size, Image.Resampling.BILINEAR)
    strength = np.asarray(smooth, np.float64) / 255
    steps = np.linspace(0, 1, len(_INFERNO))
    colour = np.stack([np.interp(strength, steps, _INFERNO[:, k]) for k in range(3)], axis=-1)
    opacity = _HEAT_OPACITY * np.clip((strength - _HEAT_FLOOR) / (_HEAT_FULL - _HEAT_FLOOR), 0, 1)[..., None]
    base = np.asarray(grey, np.float64)[..., None]
    return Image.fromarray(np.rint(base * (1 - opacity) + colour * opacity).astype(np.uint8))


def _marks(labels: NDArray[np.uint16], ids: NDArray[np.uint16], most: int = 4) -> tuple[LesionMark, ...]:
    """Where to write the numbers of the largest lesions on a slice: right above each."""
    areas = np.bincount(labels.ravel())
    largest = sorted((int(k) for k in ids), key=lambda k: -int(areas[k]))[:most]
    marks = []
    for k in largest:
        rows, columns = np.nonzero(labels == k)
        top, left = float(rows.min()), float(columns[rows == rows.min()].mean())
        marks.append(LesionMark(k, 100 * (left + 0.5) / labels.shape[1], 100 * top / labels.shape[0]))
    return tuple(marks)


def _data_uri(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
