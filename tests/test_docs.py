"""The documents against the code: links and anchors, commands and options, snippets, layers, length."""

from __future__ import annotations

import inspect
import re
import shlex
import tomllib
import typing
from collections import Counter
from enum import StrEnum
from functools import cache
from pathlib import Path

import pytest
import typer

from jcs_ct.cli import app

ROOT = Path(__file__).resolve().parents[1]
GENERATED_OR_FOREIGN = {"runs", "build", "dist", "vendor", "axe", "node_modules"}
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob("*.md")
    if not {part for part in path.relative_to(ROOT).parts if part in GENERATED_OR_FOREIGN or part.startswith(".")}
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
SOURCES = ("src", "experiments", "benchmarks", "configs", "deploy", "scripts", "tests")
MENTION = re.compile(r"\bdocs/[\w./-]+\.(?:md|json)\b")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def anchors_of(text: str) -> set[str]:
    """Anchors that GitHub makes of a page's headings."""
    seen: Counter[str] = Counter()
    anchors = set()
    for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", text), flags=re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).strip().replace(" ", "-")
        anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return anchors


def broken_links(page: str, text: str) -> list[str]:
    """Links to files that are missing and to headings that no page has."""
    broken = []
    for link in LINK.findall(FENCE.sub("", text)):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        path = (ROOT / page).parent / target if target else ROOT / page
        if not path.exists() or (
            anchor and path.suffix == ".md" and anchor not in anchors_of(path.read_text(encoding="utf-8"))
        ):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES)
def test_links_and_anchors_lead_somewhere(page: str) -> None:
    assert broken_links(page, text_of(page)) == []


def test_broken_links_are_found() -> None:
    page = "[a](docs/none.md) [b](docs/usage.md#no-such) [c](docs/usage.md#python) [d](#two-commands)\n"
    assert broken_links("README.md", page) == ["docs/none.md", "docs/usage.md#no-such"]


def test_pages_that_the_code_mentions_exist() -> None:
    missing = {
        (path.relative_to(ROOT).as_posix(), mention)
        for folder in SOURCES
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".yaml", ".toml", ".sh", ".md"} and "vendor" not in path.parts
        for mention in MENTION.findall(path.read_text(encoding="utf-8"))
        if not (ROOT / mention).exists() and path.name != Path(__file__).name
    }
    assert missing == set()


FILES = re.compile(r"`((?:src/jcs_ct|[\w-]+)/[\w/.-]+\.(?:py|yaml|json|sh))`")


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_files_that_pages_mention_exist(page: str) -> None:
    """A path is given from the root, from the package, or from tests/, as in `diagnosis/pipeline.py`."""
    roots = (ROOT, ROOT / "src" / "jcs_ct", ROOT / "src", ROOT / "tests")
    mentioned = {path for path in FILES.findall(text_of(page)) if not path.startswith("openvino/")}
    assert {path for path in mentioned if not any((root / path).exists() for root in roots)} == set()


def test_every_page_is_linked_from_the_readme_or_from_a_page_that_is() -> None:
    reached, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for link in LINK.findall(text_of(page)):
            path = ((ROOT / page).parent / link.partition("#")[0]).resolve()
            if path.suffix == ".md" and path.exists():
                waiting.append(path.relative_to(ROOT).as_posix())
    assert {page for page in PAGES if page.startswith("docs/")} - reached == set()


# -------------------------------------------------------------------------------------------------- the command line


@cache
def commands() -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """Of each command, such as `pacs serve`: its options, and the words that its first argument may be."""
    found = {}
    groups = [("", app), *((f"{group.name} ", group.typer_instance) for group in app.registered_groups)]
    for prefix, group in groups:
        assert group is not None
        for command in group.registered_commands:
            assert command.callback is not None
            name = prefix + (command.name or command.callback.__name__)
            hints = typing.get_type_hints(inspect.unwrap(command.callback))
            first = next(iter(hints.values()), None)
            words = {str(word) for word in first} if isinstance(first, type) and issubclass(first, StrEnum) else set()
            found[name] = (frozenset(_options(name)), frozenset(words))
    return found


def _options(name: str) -> set[str]:
    node: typing.Any = typer.main.get_command(app)
    for word in name.split():
        node = node.commands[word]
    return {option for parameter in node.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}


def faults_of(line: str) -> list[str]:
    """What is wrong with a line such as `jcs evaluate segmentation --data DIR  # comment`."""
    words = shlex.split(line, comments=True)[1:]
    name = next((" ".join(words[:count]) for count in (2, 1) if " ".join(words[:count]) in commands()), None)
    if name is None:
        return [f"no command {' '.join(words[:2])}"]
    options, choices = commands()[name]
    rest = words[len(name.split()) :]
    faults = [f"no option {word}" for word in rest if re.match(r"--?[a-z]", word) and word not in options]
    if choices and rest and not rest[0].startswith("-") and not rest[0].isupper() and rest[0] not in choices:
        faults.append(f"no {name} {rest[0]}")
    return faults


def lines_of(text: str) -> list[str]:
    """Every command that a page shows, in blocks and in sentences."""
    blocks = "\n".join(block for language, block in FENCE.findall(text) if language in {"sh", "console"})
    joined = blocks.replace("\\\n", " ")
    shown = [line.removeprefix("$ ") for line in joined.splitlines() if re.match(r"(\$ )?jcs ", line)]
    spoken = [" ".join(code.split()) for code in re.findall(r"`(jcs\s[a-z][^`]*)`", FENCE.sub("", text))]
    groups = {group.name for group in app.registered_groups}
    return shown + [line for line in spoken if line.split()[1:] not in [[group] for group in groups]]


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_exist(page: str) -> None:
    assert {line: faults for line in lines_of(text_of(page)) if (faults := faults_of(line))} == {}


def test_commands_that_do_not_exist_are_found() -> None:
    assert faults_of("jcs diagnose STUDY -o results --pretty") == ["no option --pretty"]
    assert faults_of("jcs evaluate makeup --data DIR  # --nonsense") == ["no evaluate makeup"]
    assert faults_of("jcs judge STUDY") == ["no command judge STUDY"]
    assert lines_of("see `jcs\nevaluate TRIAL`\n\n```sh\njcs info \\\n  A\n```\n") == [
        "jcs info    A",
        "jcs evaluate TRIAL",
    ]


def test_every_command_is_shown_on_some_page() -> None:
    lines = [line for page in PAGES if page != "CHANGELOG.md" for line in lines_of(text_of(page))]
    shown = {name for name in commands() for line in lines if line.startswith((f"jcs {name} ", f"jcs {name}"))}
    assert shown == set(commands())


# ------------------------------------------------------------------------------------------------------ other content


@pytest.mark.parametrize("page", ["README.md", "docs/usage.md"])
def test_snippets_of_python_run(page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    (snippet,) = (block for language, block in FENCE.findall(text_of(page)) if language == "python")
    exec(compile(snippet, page, "exec"), {})
    said = capsys.readouterr().out
    assert "positive" in said or "negative" in said


def test_contributing_lists_the_layers_as_import_linter_has_them() -> None:
    settings = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]
    (layers,) = (contract["layers"] for contract in settings["contracts"] if contract["id"] == "layers")
    listed = [
        block.strip().splitlines() for language, block in FENCE.findall(text_of("CONTRIBUTING.md")) if not language
    ]
    assert layers in listed


def test_architecture_has_a_row_for_every_layer() -> None:
    settings = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]
    (layers,) = (contract["layers"] for contract in settings["contracts"] if contract["id"] == "layers")
    rows = [
        set(re.findall(r"`(\w+)`", row))
        for row in re.findall(r"^\| (`[^|]+) \|", text_of("docs/architecture.md"), flags=re.MULTILINE)
    ]
    assert rows == [set(layer.split(" | ")) for layer in layers]


@pytest.mark.parametrize(("page", "words"), [("README.md", 900), ("docs/architecture.md", 1500)])
def test_pages_stay_short(page: str, words: int) -> None:
    assert len(text_of(page).split()) <= words


def test_decisions_are_numbered_listed_and_say_what_follows() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    assert [path.name[:3] for path in records] == [f"{number:03}" for number in range(1, len(records) + 1)]
    index = (folder / "README.md").read_text(encoding="utf-8")
    for path in records:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {path.name[:3]}: ")
        assert all(f"**{part}.**" in text for part in ("Context", "Decision", "Consequences")), path.name
        title = text.splitlines()[0].partition(": ")[2]
        assert f"| [{path.name[:3]}]({path.name}) | {title} |" in index
