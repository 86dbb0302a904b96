"""Whether this Python has the fixes that reading files of strangers needs."""

from __future__ import annotations

import sys

PATCHED = {(3, 11): 8, (3, 12): 2}
"""Since these releases, zipfile refuses entries that overlap (CVE-2024-0450). Later series have always done so."""


def missing_patches(version: tuple[int, int, int] | None = None) -> str | None:
    """What to do about this Python, or None where it is recent enough."""
    major, minor, micro = version or (sys.version_info.major, sys.version_info.minor, sys.version_info.micro)
    least = PATCHED.get((major, minor), 0)
    if micro >= least:
        return None
    return (
        f"found Python {major}.{minor}.{micro}, expected {major}.{minor}.{least} or later, which has security fixes: "
        "update it (SECURITY.md)"
    )
