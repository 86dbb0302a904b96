"""Peers that send what no peer sends: the node goes on, and what others sent is as it was."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dsutils import encode
from pynetdicom.pdu_primitives import P_DATA

from jcs_ct.errors import QuotaError
from jcs_ct.pacs.access import AccessList
from jcs_ct.pacs.arrivals import IMAGES
from jcs_ct.pacs.bounded_session import BoundedSession
from jcs_ct.pacs.image_file import read_image_file
from jcs_ct.pacs.node import Node
from jcs_ct.pacs.records import CONFIRMATIONS
from jcs_ct.pacs.settings import PacsSettings, Peer, TlsSettings
from jcs_ct.pacs.sop_classes import CT_STORAGE, STORAGE_COMMITMENT, VERIFICATION
from tests.pacs.peers import certificates, eventually, jobs_of, pacs_settings, phantom_series, running, storescu
from tests.pacs.test_node import send_dataset

# The attackers' own threads end as they send on after they were cut off.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

EVIL = Peer("evil", "EVIL", "127.0.0.1", 11199, addresses=("127.0.0.0/8",))
GOOD = Peer("sender", "STORESCU", addresses=("127.0.0.0/8",))
CT = CT_STORAGE[0]
C_STORE_RQ, N_ACTION_RQ, N_EVENT_REPORT_RQ = 0x0001, 0x0130, 0x0100


def settings(folder: Path, **node: Any) -> PacsSettings:
    return pacs_settings(folder, GOOD, EVIL, **node)


@contextmanager
def associated(port: int, title: str = "EVIL") -> Iterator[Association]:
    entity = AE(title)
    for sop_class in (VERIFICATION, CT, STORAGE_COMMITMENT):
        entity.add_requested_context(sop_class, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", port, ae_title="JCS")
    assert association.is_established
    try:
        yield association
    finally:
        association.abort()


def context_of(association: Association, sop_class: str) -> int:
    (found,) = (each for each in association.accepted_contexts if each.abstract_syntax == sop_class)
    return int(found.context_id or 0)


def command(kind: int, with_data: bool = True, **elements: Any) -> bytes:
    dataset = Dataset()
    dataset.CommandField, dataset.MessageID = kind, 1
    dataset.CommandDataSetType = 0x0001 if with_data else 0x0101
    for name, value in elements.items():
        setattr(dataset, name, value)
    encoded = encode(dataset, True, True)
    assert encoded is not None
    return encoded


def send(association: Association, context: int, control: int, data: bytes) -> None:
    part = P_DATA()
    parts: Any = [[context, bytes([control]) + data]]
    part.presentation_data_value_list = parts
    association.dul.send_pdu(part)


def is_cut_off(association: Association, within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while association.is_established and time.monotonic() < deadline:
        time.sleep(0.02)
    return not association.is_established


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def echoes(node: Node, title: str = "STORESCU") -> bool:
    with associated(node.port, title) as association:
        return int(association.send_c_echo().Status) == 0


def hostile_messages(association: Association) -> dict[str, list[tuple[int, int, bytes]]]:
    store, verify = context_of(association, CT), context_of(association, VERIFICATION)
    commit = context_of(association, STORAGE_COMMITMENT)
    whole: dict[str, Any] = {"AffectedSOPClassUID": CT, "AffectedSOPInstanceUID": UID("1.2.3"), "Priority": 2}
    nameless: dict[str, Any] = {"AffectedSOPClassUID": CT, "Priority": 2}
    wrong: dict[str, Any] = {**whole, "AffectedSOPClassUID": VERIFICATION}
    action: dict[str, Any] = {
        "RequestedSOPClassUID": STORAGE_COMMITMENT,
        "RequestedSOPInstanceUID": UID("1.2"),
        "ActionTypeID": 1,
    }
    return {
        "no instance": [(store, 3, command(C_STORE_RQ, **nameless)), (store, 2, b"x" * 64)],
        "no class": [(store, 3, command(C_STORE_RQ)), (store, 2, b"x")],
        "unknown context": [(251, 3, command(C_STORE_RQ, **whole)), (251, 2, b"x")],
        "context changes": [(store, 3, command(C_STORE_RQ, **whole)), (253, 0, b"x")],
        "no command": [(verify, 3, b"\xff" * 40)],
        "unknown command": [(verify, 3, command(0x7777, with_data=False))],
        "endless command": [(verify, 1, b"\0" * 60_000)] * 30,
        "endless action": [(commit, 3, command(N_ACTION_RQ, **action)), *[(commit, 0, b"\0" * 60_000)] * 30],
        "nothing": [(store, 3, b"")],
        "images of another class": [
            part for _ in range(30) for part in ((store, 3, command(C_STORE_RQ, **wrong)), (store, 2, b"x"))
        ],
    }


KINDS = (
    "no instance", "no class", "unknown context", "context changes", "no command", "unknown command",
    "endless command", "endless action", "nothing", "images of another class",
)  # fmt: skip


def test_hostile_messages_end_their_association_and_leave_nothing(tmp_path: Path) -> None:
    with running(tmp_path, settings(tmp_path), submit=False) as node:
        assert echoes(node)
        before = open_files()
        for kind in KINDS:
            for _ in range(3):
                with associated(node.port) as association:
                    for context, control, data in hostile_messages(association)[kind]:
                        send(association, context, control, data)
                    assert is_cut_off(association), kind
        assert echoes(node)
        eventually(lambda: not list(node.folders.receiving.iterdir()), "no file is left")
        eventually(lambda: open_files() <= before + 4, "no file stays open")
        lines = [json.loads(line) for line in node.folders.audit.read_text().splitlines()]
        assert "association_aborted" in {line["event"] for line in lines}


def test_images_that_are_cut_off_leave_nothing(tmp_path: Path) -> None:
    whole: dict[str, Any] = {"AffectedSOPClassUID": CT, "AffectedSOPInstanceUID": UID("1.2.3"), "Priority": 2}
    with running(tmp_path, settings(tmp_path), submit=False) as node:
        for _ in range(5):
            with associated(node.port) as association:
                send(association, context_of(association, CT), 3, command(C_STORE_RQ, **whole))
                eventually(lambda: list(node.folders.receiving.iterdir()), "it has begun")
            eventually(lambda: not list(node.folders.receiving.iterdir()), "nothing is left of it")


def test_reports_without_end_are_cut_off(tmp_path: Path) -> None:
    report: dict[str, Any] = {
        "AffectedSOPClassUID": STORAGE_COMMITMENT,
        "AffectedSOPInstanceUID": UID("1.2"),
        "EventTypeID": 9,
    }
    with running(tmp_path, settings(tmp_path), submit=False) as node:
        most = 0
        with associated(node.port) as association:
            before = threading.active_count()
            for _ in range(300):
                part = command(N_EVENT_REPORT_RQ, with_data=False, **report)
                send(association, context_of(association, STORAGE_COMMITMENT), 3, part)
                most = max(most, threading.active_count() - before)
        assert most < 40
        assert echoes(node)


def test_values_without_end_are_refused(tmp_path: Path) -> None:
    image = dcmread(phantom_series(tmp_path / "series")[0])
    image["StudyDescription"]._value = "Thorax nativ" * 20  # longer than DICOM allows, as some scanners write it
    with running(tmp_path, settings(tmp_path), submit=False) as node:
        assert send_dataset(node.port, image, "EVIL") == 0
        image["StudyDescription"]._value = "x" * 60_000
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
        assert send_dataset(node.port, image, "EVIL") == 0xC000
        assert len(list(node.folders.arrivals.glob("*/*.dcm"))) == 1


# Limits for each peer


def test_silent_callers_keep_no_scanner_out(tmp_path: Path) -> None:
    image = dcmread(phantom_series(tmp_path / "series")[0])
    with running(tmp_path, settings(tmp_path, max_associations=3), submit=False) as node, ExitStack() as stack:
        threads = threading.active_count()
        for number in range(100):
            one = stack.enter_context(socket.socket())
            one.bind((f"127.0.0.{2 + number % 50}", 0))
            one.connect(("127.0.0.1", node.port))
        for _ in range(3):
            assert send_dataset(node.port, image) == 0
        assert threading.active_count() - threads < 20


def test_callers_that_begin_and_do_not_go_on_keep_no_scanner_out(tmp_path: Path) -> None:
    image = dcmread(phantom_series(tmp_path / "series")[0])
    with running(tmp_path, settings(tmp_path, max_associations=4), submit=False) as node, ExitStack() as stack:
        for _ in range(40):
            one = stack.enter_context(socket.socket())
            one.bind(("127.0.0.2", 0))
            one.connect(("127.0.0.1", node.port))
            one.sendall(b"\x01\x00")
        time.sleep(0.3)
        assert send_dataset(node.port, image) == 0


def test_one_peer_does_not_take_all_associations(tmp_path: Path) -> None:
    limits = {"max_associations": 4, "max_associations_per_peer": 2}
    with running(tmp_path, settings(tmp_path, **limits), submit=False) as node, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(associated(node.port))
        entity = AE("EVIL")
        entity.add_requested_context(VERIFICATION)
        third = entity.associate("127.0.0.1", node.port, ae_title="JCS")
        assert third.is_rejected
        assert echoes(node)


def test_one_peer_does_not_fill_the_disk(tmp_path: Path) -> None:
    files = phantom_series(tmp_path / "series")
    with running(tmp_path, settings(tmp_path, peer_share=1e-12), submit=False) as node:
        assert send_dataset(node.port, dcmread(files[0]), "EVIL") == 0xA700


def test_confirmations_that_one_peer_waits_for_are_limited(tmp_path: Path) -> None:
    node = Node(settings(tmp_path))
    try:
        for number in range(CONFIRMATIONS):
            node.records.add_confirmation(f"1.{number}", "evil", [("1", "2")])
        with pytest.raises(QuotaError):
            node.records.add_confirmation("1.9999", "evil", [("1", "2")])
        node.records.add_confirmation("1.2.3", "sender", [("1", "2")])
        assert "sender" in {each.peer for each in node.records.due_confirmations()}, "peers take turns"
    finally:
        node.close()


# One peer and another


def of_another_patient(image: Dataset) -> Dataset:
    image.PatientID, image.PatientName = "4711", "Other^Patient"
    image.PixelData = bytes(len(image.PixelData))
    return image


@pytest.mark.parametrize("when", ["while the study comes", "after it was closed"])
@pytest.mark.parametrize("patient", ["another", "the same"])
def test_no_peer_replaces_what_another_has_sent(tmp_path: Path, when: str, patient: str) -> None:
    files = phantom_series(tmp_path / "series")
    quiet = 0.4 if when == "after it was closed" else 3.0
    with running(tmp_path, settings(tmp_path, quiet_s=quiet)) as node:
        for path in files:
            assert send_dataset(node.port, dcmread(path)) == 0
        if when == "after it was closed":
            jobs_of(node)
        forged = of_another_patient(dcmread(files[3]))
        if patient == "the same":
            forged.PatientID, forged.PatientName = dcmread(files[3]).PatientID, dcmread(files[3]).PatientName
        assert send_dataset(node.port, forged, "EVIL") == 0
        jobs = jobs_of(node, 2)
        sent = {dcmread(path).SOPInstanceUID: dcmread(path).PixelData for path in files}
        studies = [[dcmread(path) for path in node.queue.study_path(job).iterdir()] for job in jobs]
        whole, apart = sorted(studies, key=len, reverse=True)
        assert {each.SOPInstanceUID: each.PixelData for each in whole} == sent
        assert [each.PixelData for each in apart] == [forged.PixelData]
        names = {node.queue.job(job).name: node.queue.job(job).source for job in jobs}
        assert sorted(names.values()) == ["EVIL", "STORESCU"]
        (told,) = (name for name, source in names.items() if source == "EVIL")
        assert "contradicts an earlier study" in told or when == "while the study comes"


def test_same_image_from_two_senders_is_one(tmp_path: Path) -> None:
    files = phantom_series(tmp_path / "series")
    with running(tmp_path, settings(tmp_path, quiet_s=2.0)) as node:
        for title in ("STORESCU", "EVIL"):
            for path in files:
                assert send_dataset(node.port, dcmread(path), title) == 0
        (job,) = jobs_of(node)
        assert len(list(node.queue.study_path(job).iterdir())) == len(files)
        handed = eventually(
            lambda: [line for line in node.folders.audit.read_text().splitlines() if "study_handed_in" in line], "told"
        )
        assert json.loads(handed[0])["who"] == "STORESCU, EVIL", "both senders are named"


def test_commitment_tells_nothing_of_what_others_sent(tmp_path: Path) -> None:
    files = phantom_series(tmp_path / "series")
    with running(tmp_path, settings(tmp_path, quiet_s=60.0, longest_s=60.0)) as node:
        storescu(node.port, *files)
        uids = [str(dcmread(path).SOPInstanceUID) for path in files]
        assert sorted(node.desk.kept(uids, "STORESCU")) == sorted(uids)
        assert node.desk.kept(uids, "EVIL") == {}
        (folder,) = node.folders.arrivals.iterdir()
        node.arrivals.close(folder.name)
        (closed,) = node.folders.closed.iterdir()
        assert read_image_file(next((closed / IMAGES).glob("*.dcm"))).study_uid
        node.desk.submit(closed)
        assert sorted(node.desk.kept(uids, "STORESCU")) == sorted(uids)
        assert node.desk.kept(uids, "EVIL") == {}


def certificate(*names: str) -> dict[str, Any]:
    return {"subject": ((("commonName", names[0]),),), "subjectAltName": tuple(("DNS", name) for name in names)}


def test_certificate_speaks_for_one_title_only(tmp_path: Path) -> None:
    files = certificates(tmp_path / "files")
    tls = TlsSettings(files["node.pem"], files["node.key"], files["ca.pem"])
    one = Peer("one", "ONE", addresses=("127.0.0.1",))
    other = Peer("other", "OTHER", addresses=("127.0.0.1",))
    access = AccessList(pacs_settings(tmp_path, one, other, tls=tls))
    assert access.certificate_fits("ONE", "127.0.0.1", certificate("one"))
    assert not access.certificate_fits("OTHER", "127.0.0.1", certificate("one"))
    assert not access.certificate_fits("ONE", "127.0.0.1", None)
    alone = AccessList(pacs_settings(tmp_path, one, tls=tls))
    assert alone.certificate_fits("ONE", "127.0.0.1", certificate("anything")), "nobody else calls from there"
    pinned = AccessList(pacs_settings(tmp_path, replace(one, certificate_names=("scanner.example",)), tls=tls))
    assert pinned.certificate_fits("ONE", "127.0.0.1", certificate("Scanner.example"))
    assert not pinned.certificate_fits("ONE", "127.0.0.1", certificate("one"))


def test_caller_with_the_certificate_of_another_title_is_turned_away(tmp_path: Path) -> None:
    files = certificates(tmp_path / "files")
    tls = TlsSettings(files["node.pem"], files["node.key"], files["ca.pem"])
    series = phantom_series(tmp_path / "series")
    caller = ("+tls", str(files["caller.key"]), str(files["caller.pem"]), "+cf", str(files["ca.pem"]))
    own = Peer("own", "STORESCU", addresses=("127.0.0.1",), certificate_names=("caller",))
    other = Peer("other", "OTHER", addresses=("127.0.0.1",))
    with running(tmp_path, pacs_settings(tmp_path, own, other, tls=tls), submit=False) as node:
        storescu(node.port, series[0], options=caller)
        said = storescu(node.port, series[1], options=(*caller, "-aet", "OTHER"), check=False)
        assert said.rstrip().splitlines()[-1] != "exit 0"
        assert len(list(node.folders.arrivals.glob("*/*.dcm"))) == 1


# Pulling


class _Evil(BaseHTTPRequestHandler):
    """A DICOMweb service that leads elsewhere, or does not end."""

    def do_GET(self) -> None:
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/secret")  # type: ignore[attr-defined]
            self.end_headers()
            return
        self.server.reached.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(10_000):
                self.wfile.write(bytes(64 * 1024))
        except OSError:
            return

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def evil_service() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), _Evil)
    server.reached = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_peer_cannot_lead_elsewhere_nor_answer_without_end() -> None:
    with evil_service() as server, BoundedSession(1024**2) as session:
        address = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(requests.TooManyRedirects):
            session.get(f"{address}/redirect")
        assert server.reached == []  # type: ignore[attr-defined]
        for stream in (False, True):
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                for _ in session.get(f"{address}/endless", stream=stream).iter_content(65536):
                    pass
