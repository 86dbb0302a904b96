"""Change between measures, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jcs_ct.diagnosis.follow_up import compare
from jcs_ct.diagnosis.measured import Measures, RegionMeasures, SeverityScore
from jcs_ct.errors import UsageError
from jcs_ct.notices import texts
from tests.diagnosis.test_lung_regions import LEFT, RIGHT, ROWS, boxes, measured
from tests.diagnosis.test_measure import geometry
from tests.noticed import codes

EVEN = geometry(np.arange(30) * 2.0, (1.0, 1.0))


def study(right_lower: int, left_upper: int, spaced: bool = True) -> Measures:
    """So many whole slices opaque in the right lower and the left upper zone: 0.8 mL of 8 mL each."""
    lesions = np.zeros((30, 40, 64), bool)
    lesions[:right_lower, ROWS, RIGHT] = True
    lesions[30 - left_upper :, ROWS, LEFT] = True
    return measured(lesions, boxes(), EVEN if spaced else None)[1]


def test_the_change_of_each_zone_is_later_minus_earlier() -> None:
    change = compare(study(right_lower=4, left_upper=0), study(right_lower=1, left_upper=5))
    zones = {zone.name: zone for zone in change.zones}
    lower = zones["right lower"]
    assert lower.change_ml == pytest.approx(-2.4)
    assert lower.change_percent == pytest.approx(-75)
    assert lower.change_points == pytest.approx(-30)
    upper = zones["left upper"]
    assert upper.change_ml == pytest.approx(4.0)
    assert upper.change_percent is None, "there was nothing to be a percentage of"
    assert upper.change_points == pytest.approx(50)
    assert zones["left middle"].change_ml == 0
    assert change.total.change_ml == pytest.approx(1.6)
    assert change.total.change_percent == pytest.approx(50)
    assert change.total.change_points == pytest.approx(100 * 1.6 / 48)
    assert [lung.change_ml for lung in change.lungs] == pytest.approx([-2.4, 4.0])
    # right lower third 40 %: 3, then 10 %: 2; left upper half none, then a third: 3
    assert (change.severity_earlier, change.severity_later, change.severity_change) == (3, 5, 2)
    assert change.notices == ()


def test_a_study_against_itself_has_not_changed() -> None:
    change = compare(study(4, 2), study(4, 2))
    assert {c.change_ml for c in (change.total, *change.lungs, *change.zones)} == {0.0}
    assert {c.change_points for c in (change.total, *change.lungs, *change.zones)} == {0.0}
    assert change.severity_change == 0


def test_pictures_change_in_share_only() -> None:
    change = compare(study(4, 0, spaced=False), study(1, 0, spaced=False))
    assert change.zones[0].name == "picture left, first third"
    assert (change.zones[0].change_ml, change.zones[0].change_percent) == (None, None)
    assert change.zones[0].change_points == pytest.approx(-30)


def test_another_breath_is_told() -> None:
    deep = replace(study(4, 0), lung_volume_ml=60.0)
    assert texts(compare(study(4, 0), deep).notices)[0].startswith("the lung volumes differ (48 and 60 mL)")


def test_scores_of_different_regions_are_not_compared() -> None:
    lobar = replace(study(4, 0), severity=SeverityScore(7, (), "lobes"))
    change = compare(study(4, 0), lobar)
    assert change.severity_change is None
    assert codes(change.notices) == ["scores-not-comparable"]
    open_score = replace(study(4, 0), severity=SeverityScore(None, (), "zonal approximation"))
    assert compare(study(4, 0), open_score).severity_change is None


def test_lobes_are_compared_where_both_studies_have_them() -> None:
    lobes = (RegionMeasures("left upper lobe", 10.0, 1.0, 0.1, 1),)
    now = (RegionMeasures("left upper lobe", 10.0, 3.0, 0.3, 1),)
    change = compare(replace(study(4, 0), lobes=lobes), replace(study(4, 0), lobes=now))
    assert change.lobes[0].change_ml == pytest.approx(2.0)
    assert change.lobes[0].change_percent == pytest.approx(200)
    assert compare(study(4, 0), replace(study(4, 0), lobes=now)).lobes == ()


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(UsageError, match="the later result has no measures by zone"):
        compare(study(1, 1), Measures(None, None, None, 0))
    with pytest.raises(UsageError, match="compare studies of one kind"):
        compare(study(1, 1), study(1, 1, spaced=False))
