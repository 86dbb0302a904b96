"""CT severity score: five regions, each 0 to 5 by the share of it that is opaque, together 0 to 25.

Pan et al., "Time course of lung changes at chest CT during recovery from COVID-19", Radiology 2020;295:715, after Chang
et al., Radiology 2005;236:1067: 0 none, 1 below 5 %, 2 5 to 25 %, 3 26 to 49 %, 4 50 to 75 %, 5 above 75 %. The regions
are the lobes. Where these are not known, the right lung's thirds and the left lung's halves stand for them, by each
lung's own extent: a zonal approximation, as fissures lean and zones do not.
"""

from __future__ import annotations

from collections.abc import Sequence

from jcs_ct.diagnosis.measured import RegionMeasures, RegionScore, SeverityScore

ZONAL = "zonal approximation"
LOBAR = "lobes"


def region_score(share: float) -> int:
    """Score 0 to 5 of one region by its opaque share 0..1; what lies between 25 and 26 % counts as more than 25 %."""
    if share <= 0:
        return 0
    if share < 0.05:
        return 1
    if share <= 0.25:
        return 2
    if share < 0.50:
        return 3
    return 4 if share <= 0.75 else 5


def severity_score(
    regions: Sequence[RegionMeasures], basis: str, mirrored: Sequence[RegionMeasures] | None = None
) -> SeverityScore:
    """The score of a study.

    Args:
        regions: the five.
        basis: `ZONAL` or `LOBAR`.
        mirrored: the five as they would be with left and right exchanged, where the input does not tell.
    """
    scores = tuple(
        RegionScore(r.name, r.lesion_share, None if r.lesion_share is None else region_score(r.lesion_share))
        for r in regions
    )
    return SeverityScore(_total(regions), scores, basis, None if mirrored is None else _total(mirrored))


def _total(regions: Sequence[RegionMeasures]) -> int | None:
    shares = [r.lesion_share for r in regions if r.lesion_share is not None]
    return sum(region_score(share) for share in shares) if len(shares) == len(regions) else None
