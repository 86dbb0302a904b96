"""A node and dcmtk's programs: what is taken, what is turned away, and what is said of it."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom import AE

from jcs_ct.jobs.job import JobState
from jcs_ct.pacs.image_file import read_image_file
from jcs_ct.pacs.node import Node
from jcs_ct.pacs.settings import Callers, OtherObjects, Peer
from tests.pacs.peers import (
    PHANTOM,
    SENDER,
    eventually,
    jobs_of,
    pacs_settings,
    phantom_series,
    read_lengths,
    running,
    storescu,
    work_off,
)
from tests.phantoms import write_enhanced_dicom
from tests.reports.dicom_tools import tool


def echoscu(port: int, calling: str = "STORESCU", called: str = "JCS") -> subprocess.CompletedProcess[str]:
    command = [tool("echoscu", "dcmtk"), "-v", "-aet", calling, "-aec", called, "127.0.0.1", str(port)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def trail(node: Node) -> list[dict[str, Any]]:
    return [json.loads(line) for line in node.folders.audit.read_text().splitlines()]


def send_dataset(port: int, dataset: Any, calling: str = "STORESCU", **changes: str) -> int | None:
    """C-STORE of a data set whose request says something else where `changes` do; the status."""
    entity = AE(calling)
    entity.add_requested_context(dataset.SOPClassUID, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", port, ae_title="JCS")
    assert association.is_established
    if changes:
        original = association.dimse.send_msg

        def changed(message: Any, context: int) -> None:
            for name, value in changes.items():
                setattr(message, name, value)
            original(message, context)

        association.dimse.send_msg = changed  # type: ignore[method-assign, assignment]
    status = association.send_c_store(dataset)
    if association.is_established:
        association.release()
    return int(status.Status) if status else None


def test_echoscu_is_answered(tmp_path: Path) -> None:
    with running(tmp_path, pacs_settings(tmp_path)) as node:
        done = echoscu(node.port)
    assert done.returncode == 0, done.stderr


def test_study_becomes_one_job_with_all_its_images(tmp_path: Path) -> None:
    files = phantom_series(tmp_path / "series")
    with running(tmp_path, pacs_settings(tmp_path)) as node:
        storescu(node.port, *files)
        (job,) = jobs_of(node)
        study = node.queue.study_path(job)
        assert len(list(study.iterdir())) == len(files)
        sent = {dcmread(path).SOPInstanceUID: dcmread(path) for path in files}
        for path in study.iterdir():
            got = dcmread(path)
            assert got == sent[got.SOPInstanceUID]
        assert work_off(node.queue) == 1
        assert node.queue.job(job).state is JobState.DONE
        assert node.queue.job(job).owner == "pacs"
    assert read_lengths(tmp_path) == [len(files)]


def test_study_with_letters_in_its_uids_is_taken_and_done(tmp_path: Path) -> None:
    def lettered(dataset: Dataset, index: int) -> None:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            setattr(dataset, keyword, f"{dataset[keyword].value}.A1")

    with disable_value_validation():
        files = phantom_series(tmp_path / "series", edit=lettered)
    with running(tmp_path, pacs_settings(tmp_path)) as node:
        storescu(node.port, *files)
        (job,) = jobs_of(node)
        assert work_off(node.queue) == 1
        assert node.queue.job(job).state is JobState.DONE
    assert read_lengths(tmp_path) == [len(files)]


@pytest.mark.parametrize(
    "name",
    ["CT1_J2KI", "CT1_J2KR", "CT1_JLSL", "CT1_JLSN", "CT1_JPLL", "CT1_RLE", "CT1_UNC", "eCT_Supplemental"],
)
def test_transfer_syntaxes_arrive_bit_for_bit(tmp_path: Path, shared_data: Path, name: str) -> None:
    path = shared_data / "dicom" / "transfer-syntaxes" / f"{name}.dcm"
    sent = dcmread(path)
    with running(tmp_path, pacs_settings(tmp_path), submit=False) as node:
        entity = AE("STORESCU")
        entity.add_requested_context(sent.SOPClassUID, sent.file_meta.TransferSyntaxUID)
        association = entity.associate("127.0.0.1", node.port, ae_title="JCS")
        assert [context.transfer_syntax for context in association.accepted_contexts] == [
            [sent.file_meta.TransferSyntaxUID]
        ]
        assert association.send_c_store(path).Status == 0
        association.release()
        (kept,) = node.folders.arrivals.glob("*/*.dcm")
    got = dcmread(kept)
    assert got.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
    assert got.PixelData == sent.PixelData


@pytest.mark.parametrize("options", [("-xd",), ("-xb",), ("-xi",)], ids=["deflated", "big endian", "implicit"])
def test_uncompressed_syntaxes_are_taken(tmp_path: Path, options: tuple[str, ...]) -> None:
    files = phantom_series(tmp_path / "series")
    with running(tmp_path, pacs_settings(tmp_path)) as node:
        storescu(node.port, *files, options=options)
        jobs_of(node)
        work_off(node.queue)
    assert read_lengths(tmp_path) == [len(files)]


def test_enhanced_ct_is_taken(tmp_path: Path) -> None:
    path = write_enhanced_dicom(tmp_path / "enhanced.dcm", PHANTOM.hu, PHANTOM.positions, spacing=5.2)
    with running(tmp_path, pacs_settings(tmp_path)) as node:
        storescu(node.port, path, options=("-R",))
        jobs_of(node)
        work_off(node.queue)
    assert read_lengths(tmp_path) == [len(PHANTOM.positions)]


def test_study_stays_open_while_its_sender_goes_on(tmp_path: Path) -> None:
    image = dcmread(phantom_series(tmp_path / "series")[0])
    with running(tmp_path, pacs_settings(tmp_path, quiet_s=0.5)) as node:
        entity = AE("STORESCU")
        for sop_class in ("1.2.840.10008.1.1", image.SOPClassUID):
            entity.add_requested_context(sop_class, ExplicitVRLittleEndian)
        association = entity.associate("127.0.0.1", node.port, ae_title="JCS")
        assert association.send_c_store(image).Status == 0
        begun = time.monotonic()
        while time.monotonic() - begun < 1.5:
            assert association.send_c_echo().Status == 0
            assert len(list(node.folders.arrivals.iterdir())) == 1
            time.sleep(0.05)
        association.release()
        jobs_of(node)


# Who may call


@pytest.mark.parametrize(
    ("calling", "called"), [("STRANGER", "JCS"), ("STORESCU", "OTHER")], ids=["calling AE", "called AE"]
)
def test_strangers_are_turned_away(tmp_path: Path, calling: str, called: str) -> None:
    with running(tmp_path, pacs_settings(tmp_path)) as node:
        done = echoscu(node.port, calling, called)
        assert done.returncode != 0
        assert "Rejected" in done.stderr
        refused = eventually(
            lambda: [line for line in trail(node) if line["event"] == "association_refused"], "a line in the trail"
        )
    assert [(line["who"], line["address"]) for line in refused] == [(calling, "127.0.0.1")]


def test_peer_that_calls_from_another_address_is_turned_away(tmp_path: Path) -> None:
    elsewhere = Peer("sender", "STORESCU", addresses=("192.0.2.0/24",))
    with running(tmp_path, pacs_settings(tmp_path, elsewhere)) as node:
        assert echoscu(node.port).returncode != 0
        here = Peer("sender", "STORESCU", addresses=("127.0.0.0/8",))
    with running(tmp_path, pacs_settings(tmp_path, here)) as node:
        assert echoscu(node.port).returncode == 0


def test_anyone_is_admitted_where_the_settings_say_so(tmp_path: Path) -> None:
    with running(tmp_path, pacs_settings(tmp_path, callers=Callers.ANYONE)) as node:
        assert echoscu(node.port, "STRANGER").returncode == 0


def test_node_takes_no_images_from_its_own_title(tmp_path: Path) -> None:
    image = dcmread(phantom_series(tmp_path / "series")[0])
    with running(tmp_path, pacs_settings(tmp_path)) as node:
        assert echoscu(node.port, "JCS").returncode == 0
        assert send_dataset(node.port, image, "JCS") == 0x0124
        assert not list(node.folders.arrivals.iterdir())


def test_more_associations_than_allowed_are_turned_away(tmp_path: Path) -> None:
    with running(tmp_path, pacs_settings(tmp_path, max_associations=2)) as node:
        entity = AE("STORESCU")
        entity.add_requested_context("1.2.840.10008.1.1")
        opened = [entity.associate("127.0.0.1", node.port, ae_title="JCS") for _ in range(3)]
        assert [each.is_established for each in opened] == [True, True, False]
        for each in opened[:2]:
            each.release()
        eventually(lambda: echoscu(node.port).returncode == 0, "room again")


# What is taken


def secondary_capture(folder: Path) -> Path:
    dataset = dcmread(phantom_series(folder)[0])
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4.5")
    dataset.Modality = "OT"
    dataset.save_as(folder / "sc.dcm")
    return folder / "sc.dcm"


def test_other_objects_are_not_negotiated(tmp_path: Path) -> None:
    with running(tmp_path, pacs_settings(tmp_path)) as node:
        said = storescu(node.port, secondary_capture(tmp_path / "sc"), check=False)
        assert "No presentation context" in said
        assert not list(node.folders.arrivals.iterdir())


def test_other_objects_are_dropped_where_the_settings_say_so(tmp_path: Path) -> None:
    image = phantom_series(tmp_path / "series")[0]
    with running(tmp_path, pacs_settings(tmp_path, other_objects=OtherObjects.DROP), submit=False) as node:
        storescu(node.port, secondary_capture(tmp_path / "sc"), image)
        assert len(list(node.folders.arrivals.glob("*/*.dcm"))) == 1


def test_images_that_are_not_what_was_announced_are_refused(tmp_path: Path) -> None:
    image = dcmread(phantom_series(tmp_path / "series")[0])
    with running(tmp_path, pacs_settings(tmp_path)) as node:
        assert send_dataset(node.port, image, AffectedSOPInstanceUID="1.2.3.4") == 0xA900
        assert not list(node.folders.arrivals.iterdir())


def test_images_without_a_study_are_refused(tmp_path: Path) -> None:
    image = dcmread(phantom_series(tmp_path / "series")[0])
    del image.StudyInstanceUID
    with running(tmp_path, pacs_settings(tmp_path)) as node:
        assert send_dataset(node.port, image) == 0xC000


def test_uids_that_are_paths_stay_within_the_folder(tmp_path: Path) -> None:
    image = dcmread(phantom_series(tmp_path / "series")[0])
    with running(tmp_path, pacs_settings(tmp_path), submit=False) as node:
        image["StudyInstanceUID"]._value = "../../../../tmp/evil"
        assert send_dataset(node.port, image) == 0
        (kept,) = node.folders.root.rglob("*.dcm")
        assert kept.parent.parent == node.folders.arrivals


# Limits


def test_full_disk_is_out_of_resources(tmp_path: Path) -> None:
    image = dcmread(phantom_series(tmp_path / "series")[0])
    with running(tmp_path, pacs_settings(tmp_path, min_free_bytes=10**18)) as node:
        assert send_dataset(node.port, image) == 0xA700


def test_study_of_too_many_images_is_out_of_resources(tmp_path: Path) -> None:
    files = phantom_series(tmp_path / "series")
    with running(tmp_path, pacs_settings(tmp_path, max_study_files=3), submit=False) as node:
        assert [send_dataset(node.port, dcmread(path)) for path in files[:4]] == [0, 0, 0, 0xA700]
        assert send_dataset(node.port, dcmread(files[0])) == 0, "an image that is there already takes no more room"


def test_endless_image_is_broken_off_and_leaves_nothing(tmp_path: Path) -> None:
    files = phantom_series(tmp_path / "series")
    size = files[0].stat().st_size
    settings = pacs_settings(tmp_path, max_instance_bytes=size + 4096)
    big = dcmread(files[0])
    big.PixelData = big.PixelData * 500
    with running(tmp_path, settings) as node:
        assert send_dataset(node.port, big) is None
        assert send_dataset(node.port, dcmread(files[0])) == 0
        eventually(lambda: not list(node.folders.receiving.iterdir()), "nothing is left of it")


def test_pdu_of_absurd_length_is_not_read(tmp_path: Path) -> None:
    with running(tmp_path, pacs_settings(tmp_path)) as node:
        with socket.create_connection(("127.0.0.1", node.port), timeout=30) as caller:
            caller.sendall(b"\x01\x00\xff\xff\xff\xff" + b"\x00" * 1000)
            assert caller.recv(100) in (b"", b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00")
        assert echoscu(node.port).returncode == 0


# What is said of it


def test_trail_tells_who_sent_what(tmp_path: Path) -> None:
    files = phantom_series(tmp_path / "series")
    with running(tmp_path, pacs_settings(tmp_path)) as node:
        storescu(node.port, *files)
        (job,) = jobs_of(node)
        received = eventually(lambda: [x for x in trail(node) if x["event"] == "images_received"], "received")[0]
        handed_in = eventually(lambda: [x for x in trail(node) if x["event"] == "study_handed_in"], "handed in")[0]
    assert (received["who"], received["address"], received["images"]) == (SENDER.ae_title, "127.0.0.1", len(files))
    assert received["studies"] == [handed_in["study"]]
    assert (handed_in["job"], handed_in["images"], handed_in["who"]) == (job, len(files), SENDER.ae_title)


def test_deflated_bomb_costs_no_memory(tmp_path: Path) -> None:
    """A deflated data set whose start is an image's and whose rest unfolds to gigabytes is kept, and not unfolded."""
    image = dcmread(phantom_series(tmp_path / "series")[0])
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    image.PixelData = bytes(256 * 1024**2)
    image.save_as(tmp_path / "bomb.dcm")
    size = (tmp_path / "bomb.dcm").stat().st_size
    assert size < 1024**2
    tracemalloc.start()
    try:
        assert read_image_file(tmp_path / "bomb.dcm").study_uid == image.StudyInstanceUID
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024**2
    finally:
        tracemalloc.stop()


def test_object_that_fills_the_disk_is_broken_off(tmp_path: Path) -> None:
    image = dcmread(phantom_series(tmp_path / "series")[0])
    image.PixelData = bytes(40 * 1024**2)
    with running(tmp_path, pacs_settings(tmp_path, min_free_bytes=10**18)) as node:
        assert send_dataset(node.port, image) is None
        eventually(lambda: not list(node.folders.receiving.iterdir()), "nothing is left of it")


def test_removed_jobs_are_forgotten(tmp_path: Path) -> None:
    files = phantom_series(tmp_path / "series")
    with running(tmp_path, pacs_settings(tmp_path)) as node:
        storescu(node.port, *files)
        (job,) = jobs_of(node)
        uid = str(dcmread(files[0]).SOPInstanceUID)
        eventually(lambda: list(node.desk.kept([uid, "1.2.3"])) == [uid], "the node knows of the job")
        node.queue.cancel(job)
        node.queue.remove(job)
        node.desk.forget_removed()
        assert node.desk.kept([uid]) == {}
        assert node.records.all_submits() == ()
