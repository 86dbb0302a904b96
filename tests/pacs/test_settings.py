"""Settings are read as they are meant, or refused with what was found and what to do."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from jcs_ct.errors import UsageError
from jcs_ct.pacs.settings import (
    Callers,
    NodeSettings,
    OtherObjects,
    PacsSettings,
    Peer,
    ResultSettings,
    TlsSettings,
    Transport,
    load_settings,
)
from jcs_ct.reports.formats import ReportFormat
from tests.jobs.stores import REPOSITORY

PEER = '[peers.archive]\nae_title = "ARCHIVE"\nhost = "127.0.0.1"\n'
OTHER = '[peers.other]\nae_title = "OTHER"\nhost = "127.0.0.1"\n'


def load(folder: Path, text: str, **node: object) -> PacsSettings:
    path = folder / "node.toml"
    path.write_text(text)
    return load_settings(path, folder / "store", **node)


def test_everything_is_read(tmp_path: Path) -> None:
    for name in ("c.pem", "k.pem", "a.pem", "password"):
        (tmp_path / name).write_text("x")
    settings = load(
        tmp_path,
        """
        [node]
        ae_title = "NODE 1"
        port = 4100
        callers = "anyone"
        other_objects = "drop"
        quiet_s = 12
        [results]
        send_to = ["archive"]
        formats = ["seg", "sr"]
        [tls]
        certificate = "c.pem"
        key = "k.pem"
        authorities = "a.pem"
        [peers.archive]
        ae_title = "ARCHIVE"
        host = "pacs.example"
        addresses = ["10.0.0.0/8", "192.0.2.7"]
        tls = true
        send_by = "stow-rs"
        dicomweb = "https://pacs.example/dicom-web"
        user = "jcs"
        password_file = "password"
        """,
    )
    assert settings.node.ae_title == "NODE 1"
    assert (settings.node.callers, settings.node.other_objects) == (Callers.ANYONE, OtherObjects.DROP)
    assert settings.node.quiet_s == 12.0
    assert settings.destinations == ("archive",)
    assert settings.results.formats == (ReportFormat.SEG, ReportFormat.SR)
    assert settings.tls is not None
    assert settings.tls.certificate == tmp_path / "c.pem", "paths are relative to the file"
    (peer,) = settings.peers
    assert peer.send_by is Transport.STOW_RS
    assert peer.addresses == ("10.0.0.0/8", "192.0.2.7")
    assert settings.caller("ARCHIVE") is peer


def test_command_line_overrules_the_file(tmp_path: Path) -> None:
    settings = load(tmp_path, 'store = "elsewhere"\n[node]\nport = 1\n' + PEER, port=104, host=None)
    assert (settings.node.port, settings.node.host) == (104, "127.0.0.1")
    assert settings.store == tmp_path / "store"
    assert load_settings(tmp_path / "node.toml").store == tmp_path / "elsewhere"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ("archive",)), ("[results]\nsend_to = []\n", ()), (OTHER + '[results]\nsend_to = ["other"]\n', ("other",))],
    ids=["the one there is", "none", "the one that is named"],
)
def test_results_go_where_the_settings_say(tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    assert load(tmp_path, PEER + text).destinations == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[node]\nquiet = 3\n" + PEER, r"\[node\]: found 'quiet', expected one of ae_title, callers"),
        ("[nodes]\n" + PEER, "the top level: found 'nodes', expected one of node, peers"),
        ('[node]\nport = "104"\n' + PEER, r"\[node\] port: found '104', expected a whole number"),
        ("[node]\nport = true\n" + PEER, r"\[node\] port: found True, expected a whole number"),
        ('[node]\nae_title = "MUCH TOO LONG A TITLE"\n' + PEER, "expected 1 to 16 ASCII characters"),
        ('[node]\nae_title = "A\\\\B"\n' + PEER, "without backslash"),
        ('[node]\ncallers = "some"\n' + PEER, "found 'some', expected one of peers, anyone"),
        ("[node]\nquiet_s = 0\n" + PEER, r"\[node\] quiet_s: found 0, expected a number above 0"),
        ("[node]\nquiet_s = 60\nlongest_s = 30\n" + PEER, "longest_s: found 30, expected at least quiet_s, 60"),
        ("[node]\nmax_pdu_bytes = 100\n" + PEER, "max_pdu_bytes: found 100, expected 4096 to"),
        ("", r"\[peers\]: found none, expected at least one"),
        ("[peers.a]\nport = 1\n", r"\[peers.a\]: found no ae_title, expected it there"),
        ('[peers.a]\nae_title = "A"\naddresses = ["10.0.0.1/8"]\n', "expected addresses or networks such as"),
        (PEER + '[peers.b]\nae_title = "ARCHIVE"\n', "found two peers with the AE title ARCHIVE"),
        (PEER + OTHER, r"\[results\] send_to: found none with 2 peers"),
        (PEER + '[results]\nsend_to = ["nobody"]\n', "found no peer 'nobody'; the file of settings knows: archive"),
        ('[peers.a]\nae_title = "A"\n[results]\nsend_to = ["a"]\n', "it is not known where it listens"),
        (PEER + 'send_by = "stow-rs"\n', "send_by: found stow-rs, but no dicomweb"),
        (PEER + 'dicomweb = "pacs.example"\n', "dicomweb: found 'pacs.example', expected a URL"),
        (PEER + 'user = "jcs"\n', "expected user and password_file together"),
        (PEER + "tls = true\n", r"found tls = true, but no table \[tls\]"),
        (PEER + '[tls]\ncertificate = "none.pem"\nkey = "none.pem"\n', r"\[tls\] certificate: found no file"),
        (PEER + '[results]\nformats = ["docx"]\n', "found 'docx', expected one of html"),
        (PEER + "[results]\nretry_s = -1\n", r"\[results\] retry_s: found -1"),
        ("port 104", "node.toml is no TOML"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        load(tmp_path, text)
    assert str(refused.value).startswith(str(tmp_path / "node.toml"))


def test_tls_needs_somebody_to_sign_for_callers(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("x")
    with pytest.raises(UsageError, match=r"\[tls\] authorities: found none"):
        TlsSettings(tmp_path / "c.pem", tmp_path / "c.pem")


def test_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_settings(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="store: found none, expected the folder of the queue: give --store DIR"):
        load_settings(None, callers=Callers.ANYONE)


@pytest.mark.parametrize("kind", [NodeSettings, ResultSettings, Peer, TlsSettings])
def test_every_setting_is_documented(kind: type) -> None:
    text = (REPOSITORY / "docs" / "deploy.md").read_text()
    missing = [each.name for each in fields(kind) if each.name != "name" and f"`{each.name}`" not in text]
    assert missing == []


def test_defaults_in_the_documentation_are_true() -> None:
    text = (REPOSITORY / "docs" / "deploy.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", text, flags=re.MULTILINE))
    known = {each.name: each.default for kind in (NodeSettings, ResultSettings) for each in fields(kind)}
    assert len(rows) >= 15
    for name, stated in rows.items():
        default = known[name]
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert float(stated) == float(default), name
        else:
            assert stated.strip('"') == str(default), name
