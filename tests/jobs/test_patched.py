"""Which releases of Python are told to be out of date."""

from __future__ import annotations

import pytest

from jcs_ct.jobs.patched import missing_patches


@pytest.mark.parametrize(
    ("version", "old"),
    [((3, 11, 7), True), ((3, 11, 8), False), ((3, 12, 1), True), ((3, 12, 2), False), ((3, 13, 0), False)],
)
def test_releases_without_fixes_are_told(version: tuple[int, int, int], old: bool) -> None:
    told = missing_patches(version)
    assert (told is not None) == old
    assert told is None or "or later, which has security fixes" in told
