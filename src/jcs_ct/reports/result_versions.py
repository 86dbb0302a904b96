"""Documents of earlier versions of `result.json`, brought to the present one.

Version 1 had `reasons` and `warnings`, arrays of sentences without codes, and the rule's explanation as a sentence.
Version 2 has `notices`. Sentences of version 1 become notices of the code `earlier-wording`. Those that programs act on
get the code that they have now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jcs_ct.notices import Severity, as_document, notice
from jcs_ct.reports.json_report import RESULT_SCHEMA

_Document = dict[str, Any]

_KNOWN_WORDINGS = {"turned by 90°": "quarter-turn", "carried over from an earlier result": "carried-over"}
"""Parts of sentences, and the codes of the notices that took their place."""


def upgraded(document: _Document) -> _Document:
    """A document of any readable version, brought to the present version; the argument stays as it is.

    Raises:
        KeyError: the version is not readable, or a field is missing that it requires.
    """
    while document["schema"] != RESULT_SCHEMA:
        document = _STEPS[document["schema"]](document)
    return document


def _from_1(document: _Document) -> _Document:
    rest = {name: value for name, value in document.items() if name not in ("reasons", "warnings", "second_look")}
    refused = document["verdict"] == "not_assessable"
    reasons = [_notice(words, Severity.REFUSAL if refused else Severity.INFO) for words in document["reasons"]]
    warnings = [_notice(words, Severity.WARNING) for words in document["warnings"]]
    rule = document["rule"]
    return {
        **rest,
        "schema": "jcs-result/2",
        "notices": [
            *({**each, "reason": True} for each in reasons),
            *({**each, "reason": False} for each in warnings),
        ],
        "rule": None if rule is None else {**rule, "explanation": _notice(rule["explanation"], Severity.INFO)},
        # Its first name, before any release.
        "cross_check": document.get("cross_check", document.get("second_look")),
    }


def _notice(words: str, severity: Severity) -> _Document:
    code = next((code for part, code in _KNOWN_WORDINGS.items() if part in words), None)
    return as_document(notice("earlier-wording", severity, wording=words) if code is None else notice(code))


_STEPS: dict[str, Callable[[_Document], _Document]] = {"jcs-result/1": _from_1}
"""By version: brings a document to the next one."""
READABLE = (*_STEPS, RESULT_SCHEMA)
