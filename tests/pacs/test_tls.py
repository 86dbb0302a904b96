"""TLS: dcmtk as caller and as peer, with certificates and without, and callers who say nothing."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jcs_ct.errors import PeerError, UsageError
from jcs_ct.pacs.echo import echo
from jcs_ct.pacs.node import Node
from jcs_ct.pacs.settings import PacsSettings, Peer, TlsSettings
from jcs_ct.pacs.tls import server_context
from tests.pacs.peers import certificates, eventually, jobs_of, pacs_settings, phantom_series, running, storescu
from tests.reports.dicom_tools import tool
from tests.reports.test_archive import free_port

Files = dict[str, Path]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return certificates(tmp_path_factory.mktemp("tls") / "files")


@pytest.fixture
def tls(files: Files) -> TlsSettings:
    return TlsSettings(files["node.pem"], files["node.key"], files["ca.pem"])


@pytest.fixture
def node(tmp_path: Path, tls: TlsSettings) -> Iterator[Node]:
    with running(tmp_path, pacs_settings(tmp_path, tls=tls, network_timeout_s=20.0)) as started:
        yield started


def as_caller(files: Files) -> tuple[str, ...]:
    return ("+tls", str(files["caller.key"]), str(files["caller.pem"]), "+cf", str(files["ca.pem"]))


def test_storescu_sends_over_tls_with_its_certificate(tmp_path: Path, node: Node, files: Files) -> None:
    series = phantom_series(tmp_path / "series")
    storescu(node.port, *series, options=as_caller(files))
    (job,) = jobs_of(node)
    assert len(list(node.queue.study_path(job).iterdir())) == len(series)


@pytest.mark.parametrize("anonymous", [True, False], ids=["no certificate", "no TLS"])
def test_callers_without_a_certificate_are_turned_away(
    tmp_path: Path, node: Node, files: Files, anonymous: bool
) -> None:
    image = phantom_series(tmp_path / "series")[0]
    options = ("+tla", "+cf", str(files["ca.pem"])) if anonymous else ()
    assert storescu(node.port, image, options=options, check=False).rstrip().splitlines()[-1] != "exit 0"
    assert not list(node.folders.arrivals.iterdir())


def test_callers_without_a_certificate_may_be_admitted(tmp_path: Path, tls: TlsSettings, files: Files) -> None:
    image = phantom_series(tmp_path / "series")[0]
    with running(tmp_path, pacs_settings(tmp_path, tls=replace(tls, client_certificates=False))) as node:
        storescu(node.port, image, options=("+tla", "+cf", str(files["ca.pem"])))


def test_silent_callers_keep_nobody_out(tmp_path: Path, node: Node, files: Files) -> None:
    image = phantom_series(tmp_path / "series")[0]
    silent = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(3)]
    begun = time.monotonic()
    try:
        storescu(node.port, image, options=as_caller(files))
        assert time.monotonic() - begun < 15.0
    finally:
        for one in silent:
            one.close()


def test_node_answers_itself_whatever_its_certificate_is_called(node: Node) -> None:
    settings = node.settings
    echo(replace(settings, node=replace(settings.node, port=node.port)), None)


@pytest.fixture
def storescp(tmp_path: Path, files: Files) -> Iterator[int]:
    """dcmtk's storescp behind TLS; it wants a certificate, too."""
    port = free_port()
    command = [tool("storescp", "dcmtk"), "-aet", "PEER", "-od", str(tmp_path), "+tls", str(files["node.key"])]
    command += [str(files["node.pem"]), "+cf", str(files["ca.pem"]), "-rc", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        eventually(listens, "storescp listens")
        yield port
    finally:
        process.terminate()
        process.wait(10)


def calling(tmp_path: Path, port: int, tls: TlsSettings, **peer: str) -> tuple[PacsSettings, Peer]:
    called = Peer("peer", "PEER", "127.0.0.1", port, tls=True, **peer)  # type: ignore[arg-type]
    return pacs_settings(tmp_path, called, tls=tls), called


def test_peer_is_called_over_tls(tmp_path: Path, storescp: int, tls: TlsSettings) -> None:
    echo(*calling(tmp_path, storescp, tls))


def test_peer_of_another_name_or_authority_is_not_trusted(
    tmp_path: Path, storescp: int, tls: TlsSettings, files: Files
) -> None:
    with pytest.raises(PeerError, match="cannot be reached"):
        echo(*calling(tmp_path, storescp, tls, tls_name="elsewhere.example"))
    others = certificates(tmp_path / "others")
    with pytest.raises(PeerError, match="cannot be reached"):
        echo(*calling(tmp_path, storescp, replace(tls, authorities=others["ca.pem"])))


def test_certificates_that_do_not_load_are_told(tls: TlsSettings, files: Files) -> None:
    with pytest.raises(UsageError, match=r"\[tls\] certificate, key: found .*, which do not load"):
        server_context(replace(tls, key=files["caller.key"]))
    with pytest.raises(UsageError, match=r"\[tls\] authorities: .* does not load"):
        server_context(replace(tls, authorities=files["node.key"]))
