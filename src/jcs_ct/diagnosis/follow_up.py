"""Change between two studies of a patient, by zone: arithmetic on their measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jcs_ct.diagnosis.measured import Measures, RegionMeasures
from jcs_ct.errors import UsageError
from jcs_ct.notices import Notice, notice

BREATH = 0.15
"""Lung volumes that differ by more than this share are noted: opacities thin out as the lung fills with air."""
BOTH_LUNGS = "both lungs"


@dataclass(frozen=True)
class RegionChange:
    """One region, then and now. A change is None if either value is unknown."""

    name: str
    earlier: RegionMeasures
    later: RegionMeasures
    change_ml: float | None
    """Of opacities, later minus earlier."""
    change_percent: float | None
    """The same as a percentage of the earlier volume; None if that was 0."""
    change_points: float | None
    """Share of the region with opacities in percent, later minus earlier."""


@dataclass(frozen=True)
class FollowUp:
    """Change from an earlier study to a later one."""

    total: RegionChange
    lungs: tuple[RegionChange, ...]
    zones: tuple[RegionChange, ...]
    lobes: tuple[RegionChange, ...]
    """Empty unless both studies have lobes."""
    severity_earlier: int | None
    severity_later: int | None
    severity_change: int | None
    """None if the scores rest on different regions, or one is unknown."""
    notices: tuple[Notice, ...]
    """What limits the comparison."""


def compare(earlier: Measures, later: Measures) -> FollowUp:
    """Compare the measures of two studies.

    Raises:
        UsageError: a study has no measures by zone, or one tells left from right and the other does not.
    """
    for measures, which in ((earlier, "earlier"), (later, "later")):
        if not measures.zones:
            raise UsageError(
                f"the {which} result has no measures by zone, expected those of a study whose lungs were found, "
                "written by this version: diagnose it again"
            )
    names = [[zone.name for zone in measures.zones] for measures in (earlier, later)]
    if names[0] != names[1]:
        raise UsageError(
            f"the zones of the two results differ ({names[0][0]}... and {names[1][0]}...), as one input tells left "
            "from right and the other does not: compare studies of one kind"
        )
    scores = (earlier.severity, later.severity)
    totals = [None if score is None else score.total for score in scores]
    same_basis = all(score is not None for score in scores) and len({s.basis for s in scores if s is not None}) == 1
    change = totals[1] - totals[0] if same_basis and totals[0] is not None and totals[1] is not None else None
    return FollowUp(
        total=_change(_whole(earlier), _whole(later)),
        lungs=_changes(earlier.lungs, later.lungs),
        zones=_changes(earlier.zones, later.zones),
        lobes=_changes(earlier.lobes, later.lobes) if earlier.lobes and later.lobes else (),
        severity_earlier=totals[0],
        severity_later=totals[1],
        severity_change=change,
        notices=_notices(earlier, later, same_basis),
    )


def _whole(measures: Measures) -> RegionMeasures:
    return RegionMeasures(
        BOTH_LUNGS,
        measures.lung_volume_ml,
        measures.lesion_volume_ml,
        measures.lesion_share_of_lung,
        measures.lesion_count,
        measures.consolidation_share,
    )


def _changes(earlier: Sequence[RegionMeasures], later: Sequence[RegionMeasures]) -> tuple[RegionChange, ...]:
    return tuple(_change(a, b) for a, b in zip(earlier, later, strict=True))


def _change(earlier: RegionMeasures, later: RegionMeasures) -> RegionChange:
    ml = percent = points = None
    if earlier.lesion_volume_ml is not None and later.lesion_volume_ml is not None:
        ml = later.lesion_volume_ml - earlier.lesion_volume_ml
        percent = 100 * ml / earlier.lesion_volume_ml if earlier.lesion_volume_ml else None
    if earlier.lesion_share is not None and later.lesion_share is not None:
        points = 100 * (later.lesion_share - earlier.lesion_share)
    return RegionChange(earlier.name, earlier, later, ml, percent, points)


def _notices(earlier: Measures, later: Measures, same_basis: bool) -> tuple[Notice, ...]:
    found = [] if same_basis else [notice("scores-not-comparable")]
    a, b = earlier.lung_volume_ml, later.lung_volume_ml
    if a and b and abs(b - a) > BREATH * max(a, b):
        found.append(notice("lung-volumes-differ", earlier_ml=a, later_ml=b))
    return tuple(found)
