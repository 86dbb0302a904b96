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


def test_full_buckets_are_forgotten() -> None:
    clock = Clock()
    found = Rates(per_s=1.0, burst=5, clock=clock)
    for number in range(rates._KEPT):
        found.take(f"192.0.2.{number}")
    clock.now = 4
    found.take("late")
    clock.now = 6
    found.take("new")
    assert set(found._buckets) == {"late", "new"}
