"""`follow_up.json` and `follow_up.html`: the change between two results, for machines and for people."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from jcs_ct._version import __version__
from jcs_ct.diagnosis.decision import Verdict
from jcs_ct.diagnosis.follow_up import FollowUp, RegionChange
from jcs_ct.errors import UsageError
from jcs_ct.notices import Notice, as_document, notice, texts
from jcs_ct.reports import regions
from jcs_ct.reports.html_report import environment, number
from jcs_ct.reports.json_report import plain, shipped_schema
from jcs_ct.reports.stored_result import StoredResult

FOLLOW_UP_SCHEMA = "jcs-follow-up/2"
"""Name and version of the format. The number grows when readers of the old one would break."""

_FAMILY = "jcs-follow-up/"
_JSON, _HTML = "follow_up.json", "follow_up.html"


def write_follow_up(follow_up: FollowUp, earlier: StoredResult, later: StoredResult, folder: Path) -> list[Path]:
    """Write both files into `folder`, which is made where missing; those of an earlier comparison are replaced.

    Raises:
        UsageError: the folder cannot be written to, or holds files of these names that are no comparison.
    """
    texts = {
        _HTML: render_follow_up(follow_up, earlier, later),
        _JSON: json.dumps(follow_up_document(follow_up, earlier, later), indent=2, ensure_ascii=False, allow_nan=False)
        + "\n",
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(folder)
        partial = {name: folder / f".{name}.partial" for name in texts}
        try:
            for name, text in texts.items():
                partial[name].write_text(text, encoding="utf-8")
            for name in texts:  # JSON last: where it lies, the page belongs to it
                partial[name].replace(folder / name)
        finally:
            for path in partial.values():
                path.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write the comparison to {folder}: {error}; give a folder to write to") from error
    return [folder / name for name in sorted(texts)]


def _refuse_foreign(folder: Path) -> None:
    present = [name for name in (_JSON, _HTML) if (folder / name).exists()]
    if not present:
        return
    try:
        ours = json.loads((folder / _JSON).read_text(encoding="utf-8"))["schema"].startswith(_FAMILY)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        ours = False
    if not ours:
        raise UsageError(f"{folder} holds {', '.join(present)}, which is no comparison of ours; give another folder")


def follow_up_document(follow_up: FollowUp, earlier: StoredResult, later: StoredResult) -> dict[str, Any]:
    """Everything that `follow_up.json` holds, as plain data; null where a study does not tell."""
    return {
        "schema": FOLLOW_UP_SCHEMA,
        "version": __version__,
        "earlier": _study(earlier),
        "later": _study(later),
        "interval_days": _interval(earlier, later),
        **plain(follow_up),
        "notices": [as_document(each) for each in (*study_notices(earlier, later), *follow_up.notices)],
    }


def follow_up_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of `follow_up.json`."""
    return shipped_schema("follow_up.schema.json")


def _study(result: StoredResult) -> dict[str, Any]:
    day = result.study_date
    return {
        "verdict": result.verdict.value,
        "digest": result.digest,
        "study_date": None if day is None else day.isoformat(),
        "patient_id": result.attributes.get("PatientID"),
    }


def _interval(earlier: StoredResult, later: StoredResult) -> int | None:
    a, b = earlier.study_date, later.study_date
    return None if a is None or b is None else (b - a).days


def study_notices(earlier: StoredResult, later: StoredResult) -> tuple[Notice, ...]:
    """What limits a comparison of two studies, whatever their measures are."""
    return (*_identity_notices(earlier, later), *_outline_notices(earlier, later))


def _identity_notices(earlier: StoredResult, later: StoredResult) -> Iterator[Notice]:
    ids = [result.attributes.get("PatientID") for result in (earlier, later)]
    if not all(ids):
        yield notice("patient-not-named")
    elif ids[0] != ids[1]:
        yield notice("different-patients", earlier=ids[0], later=ids[1])
    if earlier.digest == later.digest:
        yield notice("same-study-twice")
    days = _interval(earlier, later)
    if days is not None and days < 0:
        yield notice("studies-in-reverse", days=-days)


def _outline_notices(earlier: StoredResult, later: StoredResult) -> Iterator[Notice]:
    given = [name for name, result in (("earlier", earlier), ("later", later)) if result.outlines_given]
    if given:
        yield notice("outlines-by-hand", which=" and the ".join(given))
    elif earlier.verdict != later.verdict or earlier.verdict is not Verdict.POSITIVE:
        yield notice("outlined-unequally", earlier=_words(earlier.verdict), later=_words(later.verdict))
    if earlier.given_masks != later.given_masks:
        yield notice("masks-given-once")


def render_follow_up(follow_up: FollowUp, earlier: StoredResult, later: StoredResult) -> str:
    """The whole page as text."""
    page = environment().get_template("follow_up.html.j2")
    attributes = later.attributes or earlier.attributes
    keywords = (("Patient", "PatientName"), ("ID", "PatientID"))
    return page.render(
        f=follow_up,
        version=__version__,
        title=_title(follow_up.total),
        patient=[(label, attributes[key]) for label, key in keywords if attributes.get(key)],
        studies=[("Earlier", earlier, _day(earlier.study_date)), ("Later", later, _day(later.study_date))],
        interval=_interval(earlier, later),
        notices=texts((*study_notices(earlier, later), *follow_up.notices)),
        maps=[regions.zone_map(result.measures) for result in (earlier, later)],
        rows=_rows(follow_up, later),
        signed=signed,
        words=_words,
        has_sides=not follow_up.lungs[0].name.startswith("picture"),
    )


def _rows(follow_up: FollowUp, later: StoredResult) -> list[tuple[str, bool, RegionChange]]:
    """Label, whether a part of the lung above, and change."""
    by_name = {change.name: change for change in (*follow_up.lungs, *follow_up.zones, *follow_up.lobes)}
    rows = [(row.label, row.part, by_name.get(row.measures.name)) for row in regions.region_rows(later.measures)]
    return [("Both lungs", False, follow_up.total), *((a, b, change) for a, b, change in rows if change is not None)]


def _title(total: RegionChange) -> str:
    """What happened, in words; by mL where known, else by share."""
    change = total.change_ml if total.change_ml is not None else total.change_points
    unit = "mL" if total.change_ml is not None else "percentage points"
    if change is None:
        return "Change not known"
    if change == 0:
        return "No change"
    return f"{'More' if change > 0 else 'Less'} opacity: {signed(change)}\u00a0{unit}"


def signed(value: float | None) -> str:
    """A change with its sign; a dash where it is not known."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"+{number(value)}" if value > 0 else number(value)


def _words(verdict: Verdict) -> str:
    return verdict.value.replace("_", " ")


def _day(day: date | None) -> str:
    return "date not known" if day is None else day.isoformat()
