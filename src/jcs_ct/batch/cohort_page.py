"""`cohort.html`: a cohort at a glance. One file that loads nothing but the pictures beside it."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from urllib.parse import quote

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from jcs_ct._version import __version__
from jcs_ct.batch.records import Records
from jcs_ct.batch.result_file import Row

MOST_ROWS = 5000
"""In the page's table; a browser gets slow with more, and all rows are in cohort.csv."""
MOST_PICTURES = 300
_THRESHOLDS = range(5, 101, 5)
_BINS = 20
_COLUMNS = (
    ("study", "Study", False), ("state", "State", False), ("verdict", "Verdict", False),
    ("borderline", "Borderline", False), ("probability", "Probability", True),
    ("infected_slices", "Infected slices", True), ("threshold", "Threshold", True),
    ("lesion_ml", "Opacities, mL", True), ("lesion_percent", "% of the lung", True),
    ("consolidation_percent", "Consolidation, %", True), ("severity", "Severity", True), ("slices", "Slices", True),
    ("slice_distance_mm", "Distance, mm", True), ("kernel", "Kernel", False), ("patient_id", "Patient", False),
    ("study_date", "Date", False), ("notices", "Notices", False),
    ("seconds", "Seconds", True), ("why", "Failure", False),
)  # fmt: skip


@dataclass(frozen=True)
class Bar:
    """One bar of a chart."""

    label: str
    count: int
    height: float
    """Percent of the highest."""


@dataclass(frozen=True)
class Chart:
    """Counts of studies by a figure."""

    title: str
    bars: tuple[Bar, ...]
    note: str


def render_page(rows: Sequence[Row], pairs: Sequence[Row], records: Records | None) -> str:
    """The page as HTML.

    Args:
        rows: of the cohort.
        pairs: follow-ups.
        records: where pictures and reports lie that the page shows and links to; None without such.
    """
    by_extent = sorted(rows, key=lambda row: (-(row["lesion_percent"] or 0.0), row["study"]))
    script = _script()
    verdicts = Counter(row["verdict"] for row in rows if row["verdict"])
    return _environment().get_template("cohort.html.j2").render(
        version=__version__,
        columns=_COLUMNS,
        rows=by_extent[:MOST_ROWS],
        total=len(rows),
        verdicts=verdicts,
        borderline=sum(row["borderline"] is True for row in rows),
        failures=Counter(row["why"] or row["state"] for row in rows if row["state"] != "done").most_common(),
        failed=[row for row in rows if row["state"] != "done"][:MOST_ROWS],
        charts=_charts(rows),
        pictures=_pictures(by_extent, records),
        links=_links(by_extent[:MOST_ROWS], records),
        pairs=pairs[:MOST_ROWS],
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )  # fmt: skip


def _charts(rows: Sequence[Row]) -> list[Chart]:
    judged = [row for row in rows if row["positive_up_to"] is not None]
    at = {t: sum(t <= row["positive_up_to"] for row in judged) for t in _THRESHOLDS}
    bars = [(f"{count} of {len(judged)} positive at a threshold of {t}", count) for t, count in at.items()]
    charts = [
        Chart("Positive studies by threshold", _bars(bars), "Infected slices on a scan like the paper's: 5 to 100")
    ]
    for column, title, unit in (
        ("probability", "Probability of infection", ""),
        ("lesion_percent", "Lung with opacities", " %"),
        ("lesion_ml", "Volume of opacities", " mL"),
        ("severity", "CT severity score", ""),
    ):
        values = [float(row[column]) for row in rows if row[column] is not None]
        if values:
            charts.append(_histogram(title, values, unit))
    return charts


def _histogram(title: str, values: Sequence[float], unit: str) -> Chart:
    low, high = min(0.0, min(values)), max(values)
    step = (high - low) / _BINS or 1.0
    counts = Counter(min(int((value - low) / step), _BINS - 1) for value in values)
    bars = [
        (f"{low + k * step:.3g} to {low + (k + 1) * step:.3g}{unit}: {counts[k]} studies", counts[k])
        for k in range(_BINS)
    ]
    median = sorted(values)[len(values) // 2]
    return Chart(title, _bars(bars), f"{low:.3g} to {high:.3g}{unit}, median {median:.3g}{unit}; {len(values)} studies")


def _bars(counted: Sequence[tuple[str, int]]) -> tuple[Bar, ...]:
    most = max((count for _, count in counted), default=0) or 1
    return tuple(Bar(label, count, 100 * count / most) for label, count in counted)


def _pictures(rows: Sequence[Row], records: Records | None) -> list[tuple[Row, str]]:
    if records is None:
        return []
    shown = [row for row in rows if row["state"] == "done" and records.picture(row["study"]).exists()]
    return [(row, f"pictures/{quote(row['study'])}.jpg") for row in shown[:MOST_PICTURES]]


def _links(rows: Sequence[Row], records: Records | None) -> dict[str, str]:
    """The file to open, by study."""
    links = {}
    for row in rows if records is not None else ():
        folder = f"studies/{quote(row['study'])}"
        for name in ("report.html", "report.pdf", "result.json"):
            if records is not None and (records.result(row["study"]) / name).exists():
                links[row["study"]] = f"{folder}/{name}"
                break
    return links


def _script() -> str:
    return resources.files("jcs_ct.batch").joinpath("templates/cohort.js").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    made = Environment(
        loader=ChoiceLoader([PackageLoader("jcs_ct.batch"), PackageLoader("jcs_ct.reports")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["cell"] = _cell
    return made


def _cell(value: object) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace("_", " ")
