"""What a protocol returns, and where its configs are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "generalisation"
Figures = dict[str, float | int | str | list[float]]


@dataclass(frozen=True)
class Result:
    """Figures of one protocol on one source."""

    source: str
    protocol: str
    figures: Figures
