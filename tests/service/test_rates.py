"""Buckets of tokens, by a clock of ours."""

from __future__ import annotations

from jcs_ct.service import rates
from jcs_ct.service.rates import Rates


class Clock:
    """Seconds, as a test says."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_empties_and_fills_up_again() -> None:
    clock = Clock()
    found = Rates(per_s=2.0, burst=3, clock=clock)
    assert [found.take("anna") for _ in range(4)] == [0, 0, 0, 0.5]
    assert found.take("berta") == 0
    clock.now = 0.5
    assert [found.take("anna") for _ in range(2)] == [0, 0.5]
    found.give_back("anna")
    assert found.take("anna") == 0
    clock.now = 100
    assert [found.take("anna") for _ in range(4)] == [0, 0, 0, 0.5]


def test_buckets_that_were_not_used_for_longest_are_forgotten() -> None:
    found = Rates(per_s=1.0, burst=1, clock=Clock())
    for number in range(rates._KEPT):
        found.take(f"192.0.2.{number}")
    found.take("192.0.2.0")
    found.take("new")
    assert len(found._buckets) == rates._KEPT
    assert "192.0.2.0" in found._buckets
    assert "192.0.2.1" not in found._buckets
