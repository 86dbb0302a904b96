"""Parallel work returns the results of serial work, and never exceeds the allowed number of cores."""

from __future__ import annotations

import threading
import time

import pytest

from jcs_ct import cores


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_at_first(item: int) -> int:
        time.sleep(0.002 if item < 5 else 0)
        return item * item

    for limit in (1, 2, 3, None):
        with cores.at_most(limit):
            assert cores.parallel_map(slow_at_first, range(23)) == [item * item for item in range(23)]
    assert cores.parallel_map(slow_at_first, []) == []


@pytest.mark.parametrize("limit", [1, 2])
def test_no_more_cores_are_used_than_allowed(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_free", lambda: 8)
    lock, running, most = threading.Lock(), 0, 0

    def work(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1

    with cores.at_most(limit):
        cores.parallel_map(work, range(12))
    assert most == limit


def test_nested_parallel_work_stays_on_its_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_free", lambda: 8)
    with cores.at_most(2):
        assert cores.parallel_map(lambda _: cores.cores(), range(4)) == [1] * 4
        assert cores.cores() == 2
    assert cores.cores() == 8


def test_the_first_failure_is_raised() -> None:
    def fail(item: int) -> None:
        raise ValueError(str(item))

    with pytest.raises(ValueError, match=r"^0$"), cores.at_most(2):
        cores.parallel_map(fail, range(20))
