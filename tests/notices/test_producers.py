"""Code and catalog agree: every code that is produced is in the table with its values, and every row is produced."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import jcs_ct
from jcs_ct.notices import CATALOG
from jcs_ct.notices.page import page

SOURCE = Path(jcs_ct.__file__).parent
REPOSITORY = Path(__file__).resolve().parents[2]


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls of `notice`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "notice":
            yield node


def producers() -> dict[Path, ast.Module]:
    """The modules that make notices."""
    paths = [path for path in sorted(SOURCE.rglob("*.py")) if path.parent.name != "notices"]
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    return {path: tree for path, tree in trees.items() if next(calls(tree), None) is not None}


PRODUCERS = producers()


@pytest.mark.parametrize("path", PRODUCERS, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_notice_that_is_made_is_in_the_catalog_and_has_its_values(path: Path) -> None:
    for call in calls(PRODUCERS[path]):
        code = call.args[0]
        if not isinstance(code, ast.Constant):
            continue  # a variable; what it holds is looked for below
        assert isinstance(code.value, str)
        assert code.value in CATALOG, f"line {call.lineno}: {code.value}"
        given = {keyword.arg for keyword in call.keywords}
        if None not in given:
            assert given >= CATALOG[code.value].names, f"line {call.lineno}: {code.value}"


def test_every_code_of_the_catalog_is_produced() -> None:
    words = {
        node.value
        for tree in PRODUCERS.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(CATALOG) - words == set()


def test_the_page_of_all_codes_is_current() -> None:
    written = (REPOSITORY / "docs" / "notices.md").read_text(encoding="utf-8")
    assert written == page(), "run make docs"
    for code in CATALOG:
        assert f"| `{code}` |" in written
