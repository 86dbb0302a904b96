"""What the checks need to know of a computer and of what is installed on it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distributions, requires
from pathlib import Path

from jcs_ct.cores import cores

_MAC_QUESTION = ("sysctl", "-n", "machdep.cpu.features", "machdep.cpu.leaf7_features")


@dataclass(frozen=True)
class Facts:
    """A computer and what is installed on it."""

    python: tuple[int, int, int]
    system: str
    processor: str
    """Kind, such as x86_64."""
    cores: int
    """That this process may use."""
    memory_bytes: int | None
    instructions: frozenset[str] | None
    """Sets of instructions by their names in /proc/cpuinfo; None where the system does not tell."""
    packages: Mapping[str, str]
    """Versions of what is installed, by normalised name."""
    requirements: tuple[str, ...]
    """Of JCS and of its extras, as its metadata state them."""


def facts_of_this_computer() -> Facts:
    """Look."""
    return Facts(
        python=(sys.version_info.major, sys.version_info.minor, sys.version_info.micro),
        system=f"{platform.system()} {platform.release()}",
        processor=platform.machine(),
        cores=cores(),
        memory_bytes=_memory_bytes(),
        instructions=_instructions(),
        packages={
            normal_name(each.metadata["Name"]): each.version for each in distributions() if each.metadata["Name"]
        },
        requirements=_requirements(),
    )


def normal_name(name: str) -> str:
    """Name of a package as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def instructions_in(cpuinfo: str) -> frozenset[str] | None:
    """Sets of instructions that all processors of a /proc/cpuinfo have; None where it does not tell."""
    found = re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, flags=re.MULTILINE)
    return frozenset.intersection(*(frozenset(line.split()) for line in found)) if found else None


def _instructions() -> frozenset[str] | None:
    try:
        if sys.platform == "darwin":
            said = subprocess.run(_MAC_QUESTION, capture_output=True, text=True, check=False, timeout=10).stdout
            return frozenset(said.lower().replace(".", "_").split()) or None
        return instructions_in(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except (OSError, subprocess.SubprocessError):
        return None


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _requirements() -> tuple[str, ...]:
    try:
        return tuple(requires("jcs-ct") or ())
    except PackageNotFoundError:  # run from its source
        return ()
