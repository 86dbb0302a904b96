"""Nodes, their peers and their certificates, for tests: Orthanc, programs of dcmtk, and what to send."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset

from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.settings import QueueSettings
from jcs_ct.jobs.task import load_task
from jcs_ct.jobs.worker import Worker
from jcs_ct.pacs.node import Node
from jcs_ct.pacs.settings import NodeSettings, PacsSettings, Peer, ResultSettings, TlsSettings
from tests.jobs.stores import REPOSITORY, quick
from tests.pacs.quick_task import TASK
from tests.phantoms import ChestPhantom, write_dicom_series
from tests.reports.dicom_tools import tool
from tests.reports.test_archive import Archive, free_port, wait_for

PHANTOM = ChestPhantom.infected(shape=(12, 64, 64), spacing=(14.0, 5.2, 5.2))
SENDER = Peer("sender", "STORESCU", addresses=("127.0.0.1",))


def eventually(condition: Callable[[], Any], what: str, limit_s: float = 60.0) -> Any:
    """The condition's value as soon as it is true."""
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        time.sleep(0.02)
    return value


def queue_settings(folder: Path) -> QueueSettings:
    """Without patience, and with the quick task."""
    return quick(folder, task=TASK, task_settings={"log": str(folder / "starts.log")}, lease_s=60.0)


def pacs_settings(
    folder: Path,
    *peers: Peer,
    tls: TlsSettings | None = None,
    results: dict[str, Any] | None = None,
    **node: Any,
) -> PacsSettings:
    """A node that listens at a free port of this machine, without patience."""
    chosen = {"port": 0, "quiet_s": 0.4, "poll_s": 0.05, "min_free_bytes": 0, "peer_share": 1.0, **node}
    sent = {"send_to": (), "retry_s": 0.1, "longest_retry_s": 0.5, **(results or {})}
    return PacsSettings(folder / "store", NodeSettings(**chosen), ResultSettings(**sent), peers or (SENDER,), tls)


@contextmanager
def running(folder: Path, settings: PacsSettings, **parts: bool) -> Iterator[Node]:
    """A node in this process."""
    node = Node(settings, queue_settings(folder))
    try:
        with node.running(**parts):
            yield node
    finally:
        node.close()


def work_off(queue: JobQueue) -> int:
    """Do all jobs that are queued, in this process; how many there were."""
    count, task = 0, load_task(queue.settings)
    while (claim := queue.ledger.claim("worker")) is not None:
        Worker(queue, "worker", task).work_off(claim)
        count += 1
    return count


def read_lengths(folder: Path) -> list[int]:
    """Slices of each study that was read, in order: a second reading shows."""
    log = folder / "starts.log"
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def jobs_of(node: Node, count: int = 1) -> list[str]:
    """Ids of the node's jobs, the first first, once there are so many."""
    jobs = eventually(lambda: len(found := node.queue.jobs("pacs")) >= count and found, f"{count} jobs")
    assert len(jobs) == count
    return [job.id for job in jobs][::-1]


def phantom_series(folder: Path, **options: Any) -> list[Path]:
    """A small series of CT Image Storage."""
    return write_dicom_series(folder, PHANTOM.hu, spacing=(5.2, 5.2), positions=PHANTOM.positions, **options)


def storescu(port: int, *files: Path, options: tuple[str, ...] = (), called: str = "JCS", check: bool = True) -> str:
    """Send with dcmtk; what it says."""
    command = [tool("storescu", "dcmtk"), "-v", *options, "-aec", called, "127.0.0.1", str(port), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if check:
        assert done.returncode == 0, done.stderr
    return f"{done.stdout}{done.stderr}\nexit {done.returncode}"


@contextmanager
def orthanc(folder: Path, node_port: int, **more: Any) -> Iterator[Archive]:
    """An archive of our own, empty at first unless `folder` holds its storage, that knows the node as "jcs"."""
    folder.mkdir(exist_ok=True)
    own = Archive(more.pop("HttpPort", 0) or free_port(), more.pop("DicomPort", 0) or free_port())
    settings = {
        "Name": "Archive", "StorageDirectory": str(folder / "storage"), "IndexDirectory": str(folder / "storage"),
        "HttpPort": own.http, "DicomPort": own.dicom, "DicomAet": "ARCHIVE", "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False, "DicomCheckCalledAet": False, "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True, "DicomAlwaysAllowMove": True,
        "UnknownSopClassAccepted": True, "Plugins": ["/usr/share/orthanc/plugins"],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}, "ConcurrentJobs": 1, "DicomScuTimeout": 20,
        "DicomModalities": {"jcs": {"AET": "JCS", "Host": "127.0.0.1", "Port": node_port}},
        **more,
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings), encoding="utf-8")
    program = tool("Orthanc", "orthanc orthanc-dicomweb")
    with (folder / "orthanc.log").open("ab") as log:
        process = subprocess.Popen([program, "--verbose", str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            wait_for(own, process, folder / "orthanc.log")
            yield own
        finally:
            process.terminate()
            process.wait(30)


def archive_peer(archive: Archive, **changes: Any) -> Peer:
    """The archive as the node knows it."""
    chosen = {"host": "127.0.0.1", "port": archive.dicom, "dicomweb": f"http://127.0.0.1:{archive.http}/dicom-web"}
    return Peer("archive", "ARCHIVE", **{**chosen, **changes})


def instances(archive: Archive) -> list[dict[str, Any]]:
    """What the archive holds: SOP Instance UID and modality of each object, with its series' description."""
    found = json.loads(archive.get("instances?expand"))
    return [
        {"id": one["ID"], "uid": one["MainDicomTags"]["SOPInstanceUID"], "series": one["ParentSeries"]} for one in found
    ]


def object_of(archive: Archive, instance: str) -> Dataset:
    """An object as the archive gives it back."""
    return dcmread(io.BytesIO(archive.get(f"instances/{instance}/file")))


def objects_by_modality(archive: Archive, modality: str) -> list[Dataset]:
    """All objects of a modality."""
    series = json.loads(archive.get("series?expand"))
    wanted = [one for one in series if one["MainDicomTags"].get("Modality") == modality]
    return [object_of(archive, instance) for one in wanted for instance in one["Instances"]]


def upload(archive: Archive, files: list[Path]) -> str:
    """Put images into the archive; its id of their study."""
    for path in files:
        answer = json.loads(archive.get("instances", path.read_bytes()))
    return str(answer["ParentStudy"])


def delete(archive: Archive, path: str) -> None:
    """Have the archive forget something."""
    request = urllib.request.Request(f"http://127.0.0.1:{archive.http}/{path}", method="DELETE")
    with urllib.request.urlopen(request, timeout=20):
        pass


def send_study(archive: Archive, study: str, **options: Any) -> None:
    """Have the archive send a study to the node by C-STORE."""
    archive.get("modalities/jcs/store", json.dumps({"Resources": [study], "Synchronous": True, **options}).encode())


@dataclass
class ServedNode:
    """`jcs pacs serve` as a process of its own."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")


@contextmanager
def served(folder: Path, config: Path, port: int, *options: str) -> Iterator[ServedNode]:
    """Run `jcs pacs serve` until the end of the context; it listens once this returns."""
    command = [sys.executable, "-P", "-m", "jcs_ct.cli", "pacs", "serve", "--config", str(config), *options]
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}", "OMP_NUM_THREADS": "1"}
    log = folder / "node.log"
    started = log.stat().st_size if log.exists() else 0
    with log.open("ab") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment, cwd=folder)
        try:

            def listens() -> bool:
                assert process.poll() is None, log.read_text()
                return b"listening" in log.read_bytes()[started:]

            eventually(listens, "the node listens", limit_s=180.0)
            yield ServedNode(process, log, port)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(30)


def certificates(folder: Path) -> dict[str, Path]:
    """An authority, and a certificate by it for the node and for a caller, as PEM files."""
    folder.mkdir()
    openssl = tool("openssl", "openssl")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], check=True, capture_output=True, cwd=folder)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test authority", "-days", "2")
    for name in ("node", "caller"):
        (folder / f"{name}.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        run("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", "2", "-extfile", f"{name}.ext")  # fmt: skip
    return {path.name: path for path in folder.iterdir()}
