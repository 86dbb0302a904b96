"""`jcs pacs` as processes: killed while it receives, stopped, misused, and read for what it says."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pynetdicom import AE

from jcs_ct.jobs.job import JobState
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.pacs.outbox import objects_of
from jcs_ct.pacs.records import Records
from jcs_ct.study.quiet import quiet_libraries
from tests.command_line import CommandLine
from tests.jobs.stores import quick
from tests.pacs.peers import (
    PHANTOM,
    archive_peer,
    eventually,
    instances,
    orthanc,
    pacs_settings,
    phantom_series,
    queue_settings,
    running,
    served,
    storescu,
    upload,
    work_off,
)
from tests.phantoms import write_dicom_series
from tests.reports.test_archive import free_port

CONFIG = """
store = "store"
[node]
port = {port}
quiet_s = {quiet}
poll_s = 0.05
min_free_bytes = 0
[peers.sender]
ae_title = "STORESCU"
addresses = ["127.0.0.1"]
"""


def write_config(folder: Path, quiet: float = 0.5, more: str = "") -> tuple[Path, int]:
    port = free_port()
    path = folder / "node.toml"
    path.write_text(CONFIG.format(port=port, quiet=quiet) + more)
    return path, port


def jobs_in(folder: Path) -> list[Any]:
    with JobQueue(folder / "store", quick(folder)) as queue:
        return list(queue.jobs("pacs"))


class StubbornSender:
    """Sends images until each was answered with success, as an archive does, and none of them again."""

    def __init__(self, port: int, paths: list[Path]) -> None:
        self._port = port
        self.left = [dcmread(path) for path in paths]

    def send_some(self, most: int) -> int:
        """Send at most so many, until the node is gone; how many were answered with success."""
        entity, before = AE("STORESCU"), len(self.left)
        entity.dimse_timeout = entity.network_timeout = 2.0  # pynetdicom does not see that the node is gone
        entity.add_requested_context("1.2.840.10008.5.1.4.1.1.2")
        association = entity.associate("127.0.0.1", self._port, ae_title="JCS")
        for _ in range(most):
            if not association.is_established or not self.left:
                break
            status = association.send_c_store(self.left[0])
            if status and status.Status == 0:
                self.left.pop(0)
        if association.is_established:
            association.release()
        return before - len(self.left)


@pytest.mark.slow
def test_kills_while_receiving_lose_nothing_that_was_answered(tmp_path: Path) -> None:
    volume = PHANTOM.hu.repeat(10, axis=0)
    paths = write_dicom_series(
        tmp_path / "series", volume, positions=[1.4 * k for k in range(len(volume))], spacing=(5.2, 5.2)
    )
    config, port = write_config(tmp_path, quiet=3.0)
    sender, chance, cut_off = StubbornSender(port, paths), random.Random(7), 0
    for _ in range(6):
        with served(tmp_path, config, port, "--no-workers") as node:
            killer = threading.Timer(chance.uniform(0.05, 0.3), node.process.kill)
            killer.start()
            cut_off += sender.send_some(20) < 20
            node.process.wait(30)
            killer.join()
    assert sender.left, "too few images for so many kills"
    assert cut_off >= 3, "the kills came too late to matter"
    with served(tmp_path, config, port, "--no-workers"):
        sender.send_some(len(paths))
        assert sender.left == []
        (job,) = eventually(lambda: jobs_in(tmp_path), "a job")
        time.sleep(1.0)  # for a second job, which must not come
    assert [one.id for one in jobs_in(tmp_path)] == [job.id]
    with JobQueue(tmp_path / "store", quick(tmp_path)) as queue:
        found = {str(dcmread(path).SOPInstanceUID) for path in queue.study_path(job.id).iterdir()}
    assert found == {str(dcmread(path).SOPInstanceUID) for path in paths}
    assert list((tmp_path / "store" / "pacs" / "receiving").iterdir()) == []


@pytest.mark.slow
def test_kills_while_sending_lose_and_double_nothing(tmp_path: Path) -> None:
    files = phantom_series(tmp_path / "series")
    config, port = write_config(tmp_path)
    with running(tmp_path, pacs_settings(tmp_path)) as node:
        storescu(node.port, *files)
        eventually(lambda: node.records.unsettled(), "a hand-in")
        work_off(node.queue)
        job = node.queue.jobs("pacs")[0].id
        eventually(lambda: not node.records.unsettled(), "nothing is to be sent yet")
    with orthanc(tmp_path / "orthanc", port) as archive:
        peer = archive_peer(archive)
        more = f'[peers.archive]\nae_title = "ARCHIVE"\nhost = "127.0.0.1"\nport = {peer.port}\n'
        config.write_text(config.read_text() + more + "[results]\nsend_to = []\nretry_s = 0.1\n")
        objects = objects_in(tmp_path, job)
        chance, states = random.Random(3), set[str]()
        for _ in range(4):
            with open_records(tmp_path) as records:
                records.send_again(job, objects, "archive")
            with served(tmp_path, config, port, "--no-workers") as served_node:
                time.sleep(chance.uniform(0.0, 0.15))
                served_node.process.kill()
                served_node.process.wait(30)
            with open_records(tmp_path) as records:
                states |= {each.state for each in records.deliveries_of(job)}
        with served(tmp_path, config, port, "--no-workers"), open_records(tmp_path) as records:
            eventually(lambda: {each.state for each in records.deliveries_of(job)} == {"sent"}, "all are sent")
        assert "waiting" in states, "the kills came too late to matter"
        assert sorted(one["uid"] for one in instances(archive)) == sorted(uid for _, uid, _ in objects)


@contextmanager
def open_records(folder: Path) -> Iterator[Records]:
    records = Records(folder / "store" / "pacs" / "node.sqlite")
    try:
        yield records
    finally:
        records.close()


def objects_in(folder: Path, job: str) -> tuple[tuple[str, str, str], ...]:
    with JobQueue(folder / "store", quick(folder)) as queue:
        return objects_of(queue, job)


@pytest.mark.slow
def test_node_works_stops_in_good_order_and_names_no_patient(tmp_path: Path) -> None:
    def spoil(dataset: Any, index: int) -> None:
        dataset.PatientName, dataset.PatientID = "Zebra^Confidential", "SECRET-77"
        if index == 0:
            dataset.PatientBirthDate = "Zebra-like"  # what pydicom warns of, and quotes

    with quiet_libraries():
        files = phantom_series(tmp_path / "series", edit=spoil)
        uid = str(dcmread(files[0]).StudyInstanceUID)
    (tmp_path / "broken").write_bytes(files[0].read_bytes()[:1000])
    config, port = write_config(tmp_path)
    with served(tmp_path, config, port, "--no-workers") as node:
        storescu(port, *files)
        storescu(port, tmp_path / "broken", check=False)
        storescu(port, *files, called="OTHER", check=False)
        (job,) = eventually(lambda: jobs_in(tmp_path), "a job")
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(30) == 0
        said = node.said() + (tmp_path / "store" / "pacs" / "audit.jsonl").read_text()
    assert "Zebra" in job.name, "a worklist may name the patient"
    assert job.id in said
    assert [word for word in ("Zebra", "SECRET", uid, "20200401") if word in said] == []
    assert "Traceback" not in said
    events = [json.loads(line)["event"] for line in said.splitlines() if line.startswith("{")]
    assert events[0] == "started"
    assert events[-1] == "stopped"
    assert {"images_received", "study_handed_in", "association_refused"} <= set(events)


@pytest.mark.slow
def test_second_node_on_a_store_is_refused(tmp_path: Path, jcs: CommandLine) -> None:
    config, port = write_config(tmp_path)
    with served(tmp_path, config, port, "--no-workers"):
        refused = jcs("pacs", "serve", "--config", str(config), "--no-workers", "--port", str(free_port())).refusal()
        assert refused.endswith("has a node that runs already; expected one: stop the other")
        assert jcs("pacs", "echo", "--config", str(config)).out == "JCS answers\n"
    assert "peer itself cannot be reached" in jcs("pacs", "echo", "--config", str(config)).refusal()


def test_port_that_is_taken_is_told(tmp_path: Path, jcs: CommandLine) -> None:
    settings = pacs_settings(tmp_path)
    (tmp_path / "other").mkdir()
    config, _ = write_config(tmp_path / "other")
    with running(tmp_path, settings) as node:
        refused = jcs("pacs", "serve", "--config", str(config), "--no-workers", "--port", str(node.port)).refusal()
    assert re.match(r"\[node\] host, port: cannot listen at 127.0.0.1 \d+ \(Address already in use\)", refused)


@pytest.mark.slow
def test_pull_and_send_from_the_command_line(tmp_path: Path, jcs: CommandLine) -> None:
    config, port = write_config(tmp_path)
    with orthanc(tmp_path / "orthanc", port) as archive:
        peer = archive_peer(archive)
        config.write_text(
            config.read_text()
            + f'[peers.archive]\nae_title = "ARCHIVE"\nhost = "127.0.0.1"\nport = {peer.port}\n'
            + f'dicomweb = "{peer.dicomweb}"\n[results]\nsend_to = []\nformats = ["seg", "sr"]\n'
        )
        files = phantom_series(tmp_path / "series")
        upload(archive, files)
        assert jcs("pacs", "echo", "archive", "--config", str(config)).out == "archive answers\n"
        pulled = jcs("pacs", "pull", "--from", "archive", "--accession", "ACC1", "--config", str(config))
        assert pulled.code == 0, pulled
        job = re.fullmatch(rf"{len(files)} images \| job (\w+)\n", pulled.out)
        assert job is not None, pulled.out
        again = jcs(
            "pacs", "pull", "--from", "archive", "--accession", "ACC1", "--by", "dicomweb", "--config", str(config)
        )
        assert again.out == f"{len(files)} images | job {job[1]} (which has read them before)\n"
        with JobQueue(tmp_path / "store", queue_settings(tmp_path)) as queue:
            work_off(queue)
            assert queue.job(job[1]).state is JobState.DONE
        sent = jcs("pacs", "send", job[1], "--to", "archive", "--config", str(config))
        assert (sent.code, sent.out) == (0, "3 objects sent to archive\n")
        assert len(instances(archive)) == len(files) + 3
    down = jcs("pacs", "send", job[1], "--to", "archive", "--config", str(config)).refusal()
    assert down.startswith("peer archive cannot be reached")
    assert down.endswith("3 of 3 objects wait, the next start sends them")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["pull", "--from", "nobody", "--accession", "1"],
            "found no peer 'nobody'; the file of settings knows: sender",
        ),
        (["pull", "--from", "sender"], "expected one of --accession and --study-uid"),
        (["pull", "--from", "sender", "--accession", "A*"], "--accession: expected 1 to 16 characters, none of"),
        (["pull", "--from", "sender", "--study-uid", "1.2\\3"], "--study-uid: found"),
        (["pull", "--from", "sender", "--accession", "A"], "peer sender: it is not known where it listens"),
        (["pull", "--from", "sender", "--accession", "A", "--by", "dicomweb"], "expected the URL of its DICOMweb"),
        (["send", "0123", "--to", "sender"], "peer sender: it is not known where it listens"),
        (["serve", "--port", "70000"], "[node] port: found 70000, expected 0 to 65535"),
        (["serve", "--threads", "0"], "expected threads of at least 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_misuse_is_refused(tmp_path: Path, jcs: CommandLine, arguments: list[str], message: str) -> None:
    config, _ = write_config(tmp_path)
    assert message in jcs("pacs", *arguments, "--config", str(config)).refusal()


def test_help_needs_none_of_the_libraries() -> None:
    code = (
        "import sys\nfrom jcs_ct.cli import main\nsys.argv = ['jcs', 'pacs', 'serve', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'pynetdicom', 'dicomweb_client', 'numpy'} & {name.split('.')[0] for name in sys.modules}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, env=os.environ)
