"""Studies of one patient at different dates, and what changed from each to the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from itertools import pairwise

from jcs_ct.batch.records import Records
from jcs_ct.batch.result_file import Row
from jcs_ct.errors import UsageError

FOLLOW_UP_COLUMNS = (
    "patient_id", "earlier", "later", "earlier_date", "later_date", "days", "change_ml", "change_percent",
    "change_points", "severity_change", "notices",
)  # fmt: skip


def find_follow_ups(records: Records, rows: Sequence[Row]) -> list[Row]:
    """Pairs of studies that follow each other, compared as `jcs compare` does.

    Patients are told by Patient ID, the order by Study Date; a study without both is in no pair.
    """
    by_patient: dict[str, list[tuple[date, Row]]] = defaultdict(list)
    for row in rows:
        day = _day(row["study_date"])
        if row["state"] == "done" and row["patient_id"] and day is not None:
            by_patient[row["patient_id"]].append((day, row))
    pairs = []
    for patient, studies in sorted(by_patient.items()):
        studies.sort(key=lambda study: (study[0], study[1]["study"]))
        for (day, earlier), (later_day, later) in pairwise(studies):
            if day < later_day:
                pair = {
                    "patient_id": patient,
                    "earlier": earlier["study"],
                    "later": later["study"],
                    "earlier_date": earlier["study_date"],
                    "later_date": later["study_date"],
                    "days": (later_day - day).days,
                }
                pairs.append(pair | _change(records, earlier["study"], later["study"]))
    return pairs


def _day(stated: str | None) -> date | None:
    """A DICOM date (DA)."""
    try:
        return date.fromisoformat(stated or "")
    except ValueError:
        return None


def _change(records: Records, earlier: str, later: str) -> Row:
    # Here and not at the top: they take a second to load, and few cohorts have follow-ups.
    from jcs_ct.diagnosis.follow_up import compare
    from jcs_ct.notices import texts
    from jcs_ct.reports.stored_result import read_result

    try:
        before, after = (read_result(records.result(name)).measures for name in (earlier, later))
        change = compare(before, after)
    except UsageError as error:
        nothing = dict.fromkeys(("change_ml", "change_percent", "change_points", "severity_change"))
        return {**nothing, "notices": str(error)}
    return {
        "change_ml": change.total.change_ml,
        "change_percent": change.total.change_percent,
        "change_points": change.total.change_points,
        "severity_change": change.severity_change,
        "notices": "; ".join(texts(change.notices)) or None,
    }
