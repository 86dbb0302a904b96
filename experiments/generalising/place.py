"""Where the protocols read and write, and what each of them gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs" / "generalisation"
Figures = dict[str, float | int | str | list[float]]


@dataclass(frozen=True)
class Place:
    """Where it reads and writes."""

    data: Path
    output: Path
    imagenet: Path
    workers: int = 1
    """Trainings side by side."""
    settings: dict[str, Any] = field(default_factory=dict)
    """In place of the configs'."""

    @property
    def cache(self) -> Path:
        """Of prepared slices."""
        return self.output / "cache"


@dataclass(frozen=True)
class Result:
    """Figures of one protocol on one source."""

    source: str
    protocol: str
    figures: Figures
