"""Parts of the page: tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.figure import Figure as Canvas

mpl.use("Agg")  # needs no screen


@dataclass(frozen=True)
class Table:
    """A table of the page."""

    name: str
    title: str
    protocol: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    remark: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture of the page."""

    name: str
    title: str
    caption: str
    file: str


def save(figure: Canvas, folder: Path, name: str, title: str, caption: str) -> Figure:
    """Write a picture into the page's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})
    plt.close(figure)
    return Figure(name, title, caption, f"{name}.png")
