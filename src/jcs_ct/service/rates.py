"""How often somebody may do something: a bucket for each, out of which each time takes a token."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_KEPT = 10_000
"""Buckets; beyond, those are forgotten that were not used for longest."""


@dataclass
class _Bucket:
    tokens: float
    at: float


class Rates:
    """Buckets that fill up by themselves.

    Args:
        per_s: Tokens that come back a second.
        burst: Tokens of a full bucket.
        clock: Seconds.
    """

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, who: str) -> float:
        """Take a token.

        Returns:
            0, or where there is none, the seconds until there is; then none was taken.
        """
        bucket = self._filled(who)
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self._per_s
        bucket.tokens -= 1
        return 0.0

    def give_back(self, who: str) -> None:
        """Put a token back that was taken for nothing."""
        bucket = self._filled(who)
        bucket.tokens = min(self._burst, bucket.tokens + 1)

    def _filled(self, who: str) -> _Bucket:
        now = self._clock()
        if who not in self._buckets and len(self._buckets) >= _KEPT:
            self._buckets.popitem(last=False)  # one each time: no request pays for all of them
        bucket = self._buckets.setdefault(who, _Bucket(self._burst, now))
        self._buckets.move_to_end(who)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._per_s)
        bucket.at = now
        return bucket
