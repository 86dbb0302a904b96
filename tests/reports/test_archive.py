"""All objects are sent to a real archive (Orthanc) by C-STORE and by DICOMweb, and come back as they were."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from jcs_ct.reports.dicom_report import write_dicom
from jcs_ct.reports.formats import ReportFormat
from tests.reports.dicom_tools import tool
from tests.reports.series import axial_series

pytestmark = pytest.mark.slow
_BOUNDARY = "----jcs-objects"


@dataclass(frozen=True)
class Archive:
    """An Orthanc of our own, empty at first."""

    http: int
    dicom: int

    def get(self, path: str, body: bytes | None = None, **headers: str) -> bytes:
        url = f"http://127.0.0.1:{self.http}/{path}"
        request = urllib.request.Request(url, body, {k.replace("_", "-"): v for k, v in headers.items()})
        with urllib.request.urlopen(request, timeout=60) as answer:
            content: bytes = answer.read()
        return content

    def fetch(self, sop_uid: str) -> Dataset:
        """The object with this UID, as the archive gives it back."""
        (found,) = json.loads(self.get("tools/lookup", sop_uid.encode()))
        return dcmread(io.BytesIO(self.get(f"instances/{found['ID']}/file")))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    program = tool("Orthanc", "orthanc orthanc-dicomweb")
    own = Archive(free_port(), free_port())
    settings = {
        "Name": "JCS test", "StorageDirectory": str(tmp_path / "storage"), "IndexDirectory": str(tmp_path / "storage"),
        "HttpPort": own.http, "DicomPort": own.dicom, "DicomAet": "ARCHIVE", "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False, "DicomCheckCalledAet": False, "DicomAlwaysAllowStore": True,
        "UnknownSopClassAccepted": True, "Plugins": ["/usr/share/orthanc/plugins"],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }  # fmt: skip
    (tmp_path / "orthanc.json").write_text(json.dumps(settings), encoding="utf-8")
    with (tmp_path / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([program, str(tmp_path / "orthanc.json")], stdout=log, stderr=log)
        try:
            wait_for(own, process, tmp_path / "orthanc.log")
            yield own
        finally:
            process.terminate()
            process.wait(30)


def wait_for(archive: Archive, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")
        try:
            archive.get("system")
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError("Orthanc did not start within 30 s")


@pytest.fixture
def objects(tmp_path: Path) -> list[Path]:
    """One of each kind, and several captures."""
    (tmp_path / "out").mkdir()
    diagnosis = axial_series(tmp_path / "in").diagnosis
    return write_dicom(diagnosis, tmp_path / "out", frozenset(ReportFormat))


def test_objects_are_intact_after_c_store(archive: Archive, objects: list[Path]) -> None:
    command = [
        tool("storescu", "dcmtk"),
        "--required",
        "-aec",
        "ARCHIVE",
        "127.0.0.1",
        str(archive.dicom),
        *map(str, objects),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(archive.get("instances"))) == len(objects)
    for path in objects:
        sent = dcmread(path)
        assert archive.fetch(str(sent.SOPInstanceUID)) == sent, path.name


def test_objects_are_intact_after_dicomweb(archive: Archive, objects: list[Path]) -> None:
    head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join(head + path.read_bytes() + b"\r\n" for path in objects) + f"--{_BOUNDARY}--\r\n".encode()
    kind = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'
    answer = json.loads(archive.get("dicom-web/studies", body, Content_Type=kind, Accept="application/dicom+json"))
    assert answer.get("00081198", {}).get("Value", []) == [], "Failed SOP Sequence"
    assert len(answer["00081199"]["Value"]) == len(objects)
    for path in objects:
        sent = dcmread(path)
        place = f"studies/{sent.StudyInstanceUID}/series/{sent.SeriesInstanceUID}/instances/{sent.SOPInstanceUID}"
        wanted = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        fetched = archive.get(f"dicom-web/{place}", Accept=wanted)
        _, _, part = fetched.partition(b"\r\n\r\n")
        assert dcmread(io.BytesIO(part[: part.rindex(b"\r\n--")])) == sent, path.name
