"""Which of the series found is the one to diagnose, and why not the others.

The rules, in their order; a later one decides only where all before it are even:

1. A series is fit if it is a CT image series in HU, no localizer and no projection, of axial slices of one kind, at
   least five of them. Among series that are not, the one with the fewest faults comes first.
2. It covers the patient: a series much shorter than the longest fit one (bolus tracking, a detail) comes after it.
3. Images as acquired come before derived ones (Image Type, PS3.3 C.7.6.1.1.2).
4. Slice thickness: 0.5 to 3 mm, as the networks' training data, then up to 5 mm, then thinner, then thicker ones.
5. Kernel: standard, then lung, unknown, soft, and bone last: edge enhancement overshoots, its noise looks like texture.
6. More slices; the lower series UID, so that the same input gives the same choice.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jcs_ct.errors import UsageError
from jcs_ct.notices import Notice, notice, text
from jcs_ct.study.dicom_frames import ForeignObject, Frame
from jcs_ct.study.dicom_series import Selection, select_slices, slice_places
from jcs_ct.study.dicom_stacks import COVERS, KERNEL_RANK, stack_rank, thickness_rank
from jcs_ct.study.dicom_studies import FoundStudy, found_studies, several_studies
from jcs_ct.study.files import listing
from jcs_ct.study.headers import valid_uid
from jcs_ct.study.quality import kernel_kind, modality_refusals, plane_refusals, unit_refusals

FEW_AXIAL = 5
"""An axial series shorter than this is a monitoring scan rather than a scan of the chest."""
PROJECTIONS = frozenset({"MIP", "MINIP", "MAX_IP", "MIN_IP", "PROJECTION IMAGE", "VRT", "SSD"})
"""Values of Image Type, or words of it, that are not cross-sections."""


@dataclass(frozen=True)
class SeriesSummary:
    """One series found in an input, as `jcs info` shows it; what the files do not state is None or empty."""

    series_uid: str
    study_uid: str
    patient_id: str
    number: str
    description: str
    modality: str
    image_type: str
    images: int
    plane: str | None = None
    matrix: tuple[int, int] | None = None
    """Rows, columns."""
    pixel_spacing_mm: tuple[float, float] | None = None
    slices: int = 0
    """Positions of the slices that would be read."""
    slice_thickness_mm: float | None = None
    slice_distance_mm: float | None = None
    extent_mm: float | None = None
    """From the first slice to the last, with half a distance outwards each."""
    kernel: str = ""
    contrast_agent: str = ""
    chosen: bool = False
    why_not: tuple[Notice, ...] = ()
    """Why the series was not chosen; of the chosen one, what is wrong with it all the same."""

    @property
    def title(self) -> str:
        """What to call the series in a message."""
        return f'"{self.description}"' if self.description else f"series {self.number or 'without a number'}"


@dataclass(frozen=True)
class Candidate:
    """A CT series and the slices that would be read of it."""

    uid: str
    frames: list[Frame]
    selection: Selection
    faults: tuple[Notice, ...]
    """Why the series is not fit to be diagnosed."""

    @property
    def thickness(self) -> float | None:
        """Slice Thickness in mm, or the usual distance where it is not stated."""
        first = self.selection.frames[0]
        return first.thickness or self.distance

    @property
    def distance(self) -> float | None:
        """Usual distance between slices in mm."""
        places = slice_places(self.selection.frames)
        return float(np.median(np.diff(places))) if places is not None and len(places) > 1 else None

    @property
    def extent(self) -> float:
        """Mm along the normal that the series covers; 0 where the files do not tell."""
        places = slice_places(self.selection.frames)
        return 0.0 if places is None or self.distance is None else float(places[-1] - places[0]) + self.distance

    @property
    def original(self) -> bool:
        """Whether the images are as acquired."""
        return self.selection.frames[0].image_type[:1] != ("DERIVED",)

    @property
    def kernel(self) -> str:
        """Convolution Kernel as stated."""
        return self.selection.frames[0].attributes.get("ConvolutionKernel", "")


@dataclass(frozen=True)
class Choice:
    """The slices to read, and all series that there were."""

    selection: Selection
    series: tuple[SeriesSummary, ...]
    """The chosen one first, then in the order in which they would be chosen, then those that are not CT images."""
    notices: tuple[Notice, ...]
    studies: tuple[FoundStudy, ...]
    """All studies that the series belong to."""


def choose_series(frames: list[Frame], foreign: Sequence[ForeignObject], wanted: str | None = None) -> Choice:
    """Choose the series that is fit for diagnosis by the rules above, or the wanted one.

    Args:
        frames: At least one frame, of any number of series.
        foreign: DICOM objects beside them that are not CT images.
        wanted: Series Instance UID that overrules the rules.

    Raises:
        UsageError: There is no such series of CT images.
    """
    by_uid: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_uid[frame.series_uid].append(frame)
    candidates = [_candidate(uid, series) for uid, series in sorted(by_uid.items())]
    longest = max((candidate.extent for candidate in candidates if not candidate.faults), default=0.0)
    ranked = sorted(candidates, key=lambda candidate: _rank(candidate, longest))
    if wanted is not None:
        ranked = _wanted_first(ranked, foreign, wanted)
    chosen = ranked[0]
    whys = [chosen.faults] + [_why_not(other, chosen, longest, wanted) for other in ranked[1:]]
    summaries = [
        _summary(candidate, why, candidate is chosen) for candidate, why in zip(ranked, whys, strict=True)
    ] + _foreign_summaries(foreign)
    studies = found_studies([candidate.frames for candidate in candidates])
    notices = [*_notices(summaries, len(ranked), wanted), *several_studies(studies, wanted is not None)]
    return Choice(chosen.selection, tuple(summaries), tuple(notices), studies)


def projection_of(image_type: tuple[str, ...]) -> str | None:
    """The word of an Image Type that says that the image is a projection, or None."""
    words = {word for value in image_type for word in (value, *re.split(r"[^A-Z]+", value))}
    return next(iter(sorted(words & PROJECTIONS)), None)


def _candidate(uid: str, series: list[Frame]) -> Candidate:
    selection = select_slices(series)
    return Candidate(uid, series, selection, tuple(_faults(selection)))


def _faults(selection: Selection) -> list[Notice]:
    frames, first = selection.frames, selection.frames[0]
    faults = [
        *modality_refusals(first.attributes.get("Modality", "CT")),
        *image_refusals(first),
        *unit_refusals(frame.rescale_type for frame in frames),
        *plane_refusals(first.plane),
        *selection.refusals,
    ]
    if len(frames) < FEW_AXIAL:
        faults.append(notice("few-slices", found=len(frames), least=FEW_AXIAL))
    return faults


def image_refusals(frame: Frame) -> tuple[Notice, ...]:
    """The refusal of images that are no cross-sections: overviews and projections."""
    if frame.localizer:
        return (notice("localizers-only"),)
    projection = projection_of(frame.image_type)
    return (notice("projections-only", word=projection),) if projection else ()


def _rank(candidate: Candidate, longest: float) -> tuple[object, ...]:
    """Smaller is better."""
    return (len(candidate.faults), *stack_rank(candidate.selection.frames, candidate.extent, longest), candidate.uid)


def _covers(candidate: Candidate, longest: float) -> bool:
    return candidate.extent >= COVERS * longest


def _why_not(other: Candidate, chosen: Candidate, longest: float, wanted: str | None) -> tuple[Notice, ...]:
    if wanted is not None:
        return (notice("series-not-requested"), *other.faults)
    if other.faults and len(other.faults) > len(chosen.faults):
        return other.faults
    return (*other.faults, _difference(other, chosen, longest))


def _difference(other: Candidate, chosen: Candidate, longest: float) -> Notice:
    """The first rule that puts `chosen` before `other`."""
    if not _covers(other, longest) and _covers(chosen, longest):
        return notice("series-shorter", extent_mm=other.extent, read_mm=chosen.extent)
    if chosen.original and not other.original:
        return notice("series-derived")
    if thickness_rank(other.thickness) != thickness_rank(chosen.thickness):
        return notice("series-thickness-less-suitable", thickness=_mm(other.thickness), read=_mm(chosen.thickness))
    kind, read_kind = kernel_kind(other.kernel), kernel_kind(chosen.kernel)
    if KERNEL_RANK[kind] != KERNEL_RANK[read_kind]:
        kernel = other.kernel or "(not stated)"
        return notice(
            "series-kernel-less-suitable", kernel=kernel, kind=kind or "unknown", read_kind=read_kind or "unknown"
        )
    slices, read = len(other.selection.frames), len(chosen.selection.frames)
    return notice("series-fewer-slices", slices=slices, read=read) if slices != read else notice("series-tie")


def _mm(value: float | None) -> str:
    return "an unknown number of mm" if value is None else f"{value:g} mm"


def _wanted_first(ranked: list[Candidate], foreign: Sequence[ForeignObject], wanted: str) -> list[Candidate]:
    wanted_uid = valid_uid(wanted)  # of a UID that was replaced, either may be given
    first = [candidate for candidate in ranked if candidate.uid == wanted_uid]
    if first:
        return first + [candidate for candidate in ranked if candidate.uid != wanted_uid]
    other = next((item for item in foreign if item.series_uid == wanted_uid), None)
    if other is not None:
        raise UsageError(f"the series {wanted} holds {other.sop_class}, expected CT images: list them with jcs info")
    uids = [candidate.uid for candidate in ranked]
    raise UsageError(f"found no series {wanted[:64]}, expected one of {listing(uids)}: list them with jcs info")


def _summary(candidate: Candidate, why_not: tuple[Notice, ...], chosen: bool) -> SeriesSummary:
    first = candidate.selection.frames[0]
    attributes = first.attributes
    return SeriesSummary(
        series_uid=candidate.uid,
        study_uid=attributes.get("StudyInstanceUID", ""),
        patient_id=attributes.get("PatientID", ""),
        number=attributes.get("SeriesNumber", ""),
        description=attributes.get("SeriesDescription", ""),
        modality=attributes.get("Modality", "CT"),
        image_type="\\".join(first.image_type),
        images=len(candidate.frames),
        plane=first.plane,
        matrix=first.shape,
        pixel_spacing_mm=first.spacing,
        slices=len(candidate.selection.frames),
        slice_thickness_mm=first.thickness,
        slice_distance_mm=None if candidate.distance is None else round(candidate.distance, 3),
        extent_mm=round(candidate.extent, 1) or None,
        kernel=candidate.kernel,
        contrast_agent=attributes.get("ContrastBolusAgent", ""),
        chosen=chosen,
        why_not=why_not,
    )


def _foreign_summaries(foreign: Sequence[ForeignObject]) -> list[SeriesSummary]:
    by_uid: dict[tuple[str, str], list[ForeignObject]] = defaultdict(list)
    for item in foreign:
        by_uid[item.series_uid, item.sop_class].append(item)
    return [
        SeriesSummary(
            series_uid=uid,
            study_uid=items[0].study_uid,
            patient_id=items[0].patient_id,
            number=items[0].number,
            description=items[0].description,
            modality=items[0].modality,
            image_type="",
            images=len(items),
            why_not=(notice("series-not-ct", sop_class=sop_class),),
        )
        for (uid, sop_class), items in sorted(by_uid.items())
    ]


def _notices(summaries: list[SeriesSummary], count: int, wanted: str | None) -> list[Notice]:
    """What to tell about the `count` series of CT images, which come first."""
    notices = []
    chosen, others = summaries[0], summaries[1:count]
    if others:
        notices.append(
            notice(
                "several-series" if wanted is None else "series-as-requested",
                count=count,
                read=chosen.title,
                images=chosen.images,
                others=tuple(
                    f"{other.title} with {other.images} images ({text(other.why_not[0])})" for other in others
                ),
            )
        )
    return notices
