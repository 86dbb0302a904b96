from __future__ import annotations

import pickle
import string

import pytest

from jcs_ct.notices import CATALOG, Notice, Severity, notice, text
from jcs_ct.notices.notice import Value


def filled(code: str) -> Notice:
    """A notice of this code with some value for each name that its text needs."""
    given: dict[str, Value] = {}
    for _, name, spec, _ in string.Formatter().parse(CATALOG[code].text):
        if name:
            number = any(part in (spec or "") for part in ("|", "f", "g"))
            given[name] = 2 if number else given.get(name, f"<{name}>")
    return notice(code, **given)


@pytest.mark.parametrize("code", sorted(CATALOG))
def test_every_entry_reads_as_one_line_and_without_its_private_values(code: str) -> None:
    entry, said = CATALOG[code], filled(code)
    shown, hidden = text(said), text(said.deidentified())
    for line in (shown, hidden, entry.meaning):
        assert line
        assert line.isprintable()
        assert "{" not in line
    for name in entry.private:
        assert name in entry.names
        assert f"<{name}>" in shown
        assert f"<{name}>" not in hidden
    assert code == code.lower()
    assert pickle.loads(pickle.dumps(said)) == said


def test_noun_agrees_with_its_number_and_long_lists_are_counted() -> None:
    assert text(notice("localizers-left-out", count=1)) == "1 localizer image left out"
    assert text(notice("localizers-left-out", count=2)) == "2 localizer images left out"
    said = notice("not-ct-images", count=5, files=("a", "b", "c", "d", "e"))
    assert text(said).endswith("left out: a, b, c and 2 more")
    assert text(said.deidentified()).endswith("left out: names removed")
    assert said.values["files"] == ("a", "b", "c", "d", "e")


def test_unknown_codes_and_missing_values_are_refused() -> None:
    with pytest.raises(ValueError, match="no-such-code"):
        notice("no-such-code")
    with pytest.raises(ValueError, match="count"):
        notice("localizers-left-out")


def test_severity_may_differ_from_the_one_in_the_catalog() -> None:
    said = notice("several-series", Severity.REFUSAL, count=2, read="a", images=1, others=())
    assert (said.severity, said.code) == (Severity.REFUSAL, "several-series")
    assert said.with_severity(Severity.INFO).severity is Severity.INFO
