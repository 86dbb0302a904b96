"""The CT severity score against its table (Pan et al., Radiology 2020)."""

from __future__ import annotations

import pytest

from jcs_ct.diagnosis.measured import RegionMeasures
from jcs_ct.diagnosis.severity import ZONAL, region_score, severity_score


@pytest.mark.parametrize(
    ("percent", "score"),
    [
        (0, 0), (0.01, 1), (4.99, 1), (5, 2), (25, 2), (25.5, 3), (26, 3), (49, 3), (49.9, 3), (50, 4), (75, 4),
        (75.1, 5), (100, 5),
    ],
)  # fmt: skip
def test_every_step_of_the_table(percent: float, score: int) -> None:
    assert region_score(percent / 100) == score


def region(share: float | None) -> RegionMeasures:
    return RegionMeasures("r", None, None, share, 0)


@pytest.mark.parametrize(
    ("shares", "total"),
    [([0.0] * 5, 0), ([1.0] * 5, 25), ([0.01, 0.1, 0.3, 0.6, 0.9], 15), ([0.1, 0.1, 0.1, 0.1, None], None)],
)
def test_the_total_is_the_sum_of_five_or_open(shares: list[float | None], total: int | None) -> None:
    score = severity_score([region(share) for share in shares], ZONAL)
    assert score.total == total
    assert score.mirrored_total is None
    assert len(score.regions) == 5
