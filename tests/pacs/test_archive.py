"""A real archive (Orthanc) and the node: studies come, results go back, both confirm what they keep."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, SecondaryCaptureImageStorage
from pynetdicom import AE, build_role, evt
from pynetdicom.presentation import AllStoragePresentationContexts

from jcs_ct.errors import PeerError
from jcs_ct.jobs.job import JobState
from jcs_ct.jobs.revisions import sign_off
from jcs_ct.jobs.settings import QueueSettings
from jcs_ct.jobs.supervisor import Supervisor
from jcs_ct.pacs.node import Node
from jcs_ct.pacs.outbox import send_job
from jcs_ct.pacs.pull import Pulled, Wanted, pull
from jcs_ct.pacs.settings import PacsSettings, Peer, Transport
from jcs_ct.pacs.sop_classes import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
from tests.jobs.stores import ended
from tests.pacs.peers import (
    SENDER,
    archive_peer,
    delete,
    eventually,
    instances,
    jobs_of,
    object_of,
    objects_by_modality,
    orthanc,
    pacs_settings,
    phantom_series,
    queue_settings,
    read_lengths,
    running,
    send_study,
    storescu,
    upload,
    work_off,
)
from tests.reports.dicom_tools import validation_errors
from tests.reports.test_archive import Archive, free_port

pytestmark = pytest.mark.slow
RESULTS = {"send_to": ("archive",)}


@pytest.fixture(scope="module")
def port() -> int:
    """Where the archive looks for the node."""
    return free_port()


@pytest.fixture(scope="module")
def _archive(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Archive]:
    with orthanc(tmp_path_factory.mktemp("orthanc"), port) as started:
        yield started


@pytest.fixture
def archive(_archive: Archive) -> Archive:
    """An empty one: it takes seconds to stop, so all tests have the same."""
    for patient in json.loads(_archive.get("patients")):
        delete(_archive, f"patients/{patient}")
    return _archive


def settings_for(folder: Path, archive: Archive, port: int, **peer: object) -> PacsSettings:
    return pacs_settings(folder, archive_peer(archive, **peer), port=port, results=RESULTS)


def states(node: Node, job: str) -> set[str]:
    return {each.state for each in node.records.deliveries_of(job)}


def wait_until(node: Node, job: str, state: str) -> None:
    eventually(lambda: states(node, job) == {state}, f"all deliveries are {state}, not {states(node, job)}")


@pytest.mark.parametrize("transport", list(Transport))
def test_study_goes_in_and_seg_and_sr_come_back(
    tmp_path: Path, archive: Archive, port: int, transport: Transport
) -> None:
    files = phantom_series(tmp_path / "series")
    study = upload(archive, files)
    with running(tmp_path, settings_for(tmp_path, archive, port, send_by=transport)) as node:
        send_study(archive, study)
        (job,) = jobs_of(node)
        work_off(node.queue)
        wait_until(node, job, "sent")
        made = sorted((node.queue.reports_path(job) / "dicom").glob("*.dcm"))
        sent = [dcmread(path) for path in made]
    assert [path.name for path in made] == ["lesions.seg.dcm", "lungs.seg.dcm", "report.sr.dcm"]
    back = {str(one.SOPInstanceUID): one for name in ("SEG", "SR") for one in objects_by_modality(archive, name)}
    assert len(instances(archive)) == len(files) + len(sent)
    for one in sent:
        assert back[str(one.SOPInstanceUID)] == one
    assert {str(one.StudyInstanceUID) for one in back.values()} == {str(dcmread(files[0]).StudyInstanceUID)}


def test_study_that_is_sent_twice_is_read_and_answered_once(tmp_path: Path, archive: Archive, port: int) -> None:
    files = phantom_series(tmp_path / "series")
    study = upload(archive, files)
    with running(tmp_path, settings_for(tmp_path, archive, port)) as node:
        for _ in range(2):
            send_study(archive, study)
            eventually(lambda: not list(node.folders.arrivals.iterdir()), "the study is closed")
            eventually(lambda: not node.desk.waiting(), "the study is handed in")
            work_off(node.queue)
        (job,) = jobs_of(node)
        wait_until(node, job, "sent")
    assert read_lengths(tmp_path) == [len(files)]
    assert len(instances(archive)) == len(files) + 3


def test_peer_that_is_down_gets_the_results_when_it_comes_up(tmp_path: Path) -> None:
    http, dicom = free_port(), free_port()
    port, files = free_port(), phantom_series(tmp_path / "series")
    ports = {"HttpPort": http, "DicomPort": dicom}
    with orthanc(tmp_path / "orthanc", port, **ports) as archive:
        settings = settings_for(tmp_path, archive, port)
        study = upload(archive, files)
        with running(tmp_path, settings, send=False) as node:
            send_study(archive, study)
            (job,) = jobs_of(node)
            work_off(node.queue)
    with running(tmp_path, settings) as node:
        eventually(lambda: any(each.attempts >= 2 for each in node.records.deliveries_of(job)), "attempts in vain")
        (reason,) = {each.reason for each in node.records.deliveries_of(job)}
        assert reason == "peer archive cannot be reached at its host and port; expected it to listen there: is it up?"
    # Another process goes on, and the archive is there again.
    with orthanc(tmp_path / "orthanc", port, **ports) as archive, running(tmp_path, settings) as node:
        wait_until(node, job, "sent")
        assert len(instances(archive)) == len(files) + 3


def test_result_is_sent_again_as_the_same_objects(tmp_path: Path, archive: Archive, port: int) -> None:
    files = phantom_series(tmp_path / "series")
    study = upload(archive, files)
    settings = settings_for(tmp_path, archive, port)
    with running(tmp_path, settings) as node:
        send_study(archive, study)
        (job,) = jobs_of(node)
        work_off(node.queue)
        wait_until(node, job, "sent")
        # As after a kill between the archive's answer and our note of it.
        first = node.records.deliveries_of(job)[0]
        node.records.change([first.number], state="waiting")
        wait_until(node, job, "sent")
        assert send_job(settings, node.queue, node.records, node.audit, job, "archive") == 3
        wait_until(node, job, "sent")
    assert len(instances(archive)) == len(files) + 3


def test_signed_result_is_sent_on_request(tmp_path: Path, archive: Archive, port: int) -> None:
    study = upload(archive, phantom_series(tmp_path / "series"))
    settings = settings_for(tmp_path, archive, port)
    with running(tmp_path, settings) as node:
        send_study(archive, study)
        (job,) = jobs_of(node)
        work_off(node.queue)
        wait_until(node, job, "sent")
        sign_off(node.queue, job, "accepted", "anna", "seen", 0)
        send_job(settings, node.queue, node.records, node.audit, job, "archive")
        wait_until(node, job, "sent")
    flags = sorted(one.VerificationFlag for one in objects_by_modality(archive, "SR"))
    assert flags == ["UNVERIFIED", "VERIFIED"]


def test_object_that_is_given_up_stays_so_until_it_is_sent_anew(tmp_path: Path, archive: Archive, port: int) -> None:
    study = upload(archive, phantom_series(tmp_path / "series"))
    hopeless = pacs_settings(
        tmp_path, archive_peer(archive, port=free_port()), port=port, results={**RESULTS, "give_up_s": 0.5}
    )
    with running(tmp_path, hopeless) as node:
        send_study(archive, study)
        (job,) = jobs_of(node)
        work_off(node.queue)
        wait_until(node, job, "given_up")
    settings = settings_for(tmp_path, archive, port)
    with running(tmp_path, settings) as node:
        assert node.outbox.send_due() == 0
        send_job(settings, node.queue, node.records, node.audit, job, "archive")
        wait_until(node, job, "sent")


# Storage commitment


def test_archive_gets_told_what_the_node_keeps(tmp_path: Path, archive: Archive, port: int) -> None:
    files = phantom_series(tmp_path / "series")
    study = upload(archive, files)
    with running(tmp_path, settings_for(tmp_path, archive, port)) as node:
        send_study(archive, study)
        jobs_of(node)
        kept = [("1.2.840.10008.5.1.4.1.1.2", str(dcmread(path).SOPInstanceUID)) for path in files]
        cases = {"Success": kept, "Failure": [*kept, ("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5")]}
        for expected, objects in cases.items():
            question = json.dumps({"DicomInstances": objects, "Timeout": 20}).encode()
            (asked,) = [json.loads(archive.get("modalities/jcs/storage-commitment", question))["ID"]]

            def report(asked: str = asked) -> dict[str, Any]:
                found: dict[str, Any] = json.loads(archive.get(f"storage-commitment/{asked}"))
                return found if found["Status"] != "Pending" else {}

            told = eventually(report, "a report")
            assert told["Status"] == expected
            failures = {one["SOPInstanceUID"]: one["FailureReason"] for one in told.get("Failures", [])}
            assert failures == ({} if expected == "Success" else {"1.2.3.4.5": 0x0112})
            assert len(told["Success"]) == len(kept)


def test_archive_confirms_the_results_that_it_keeps(tmp_path: Path, archive: Archive, port: int) -> None:
    study = upload(archive, phantom_series(tmp_path / "series"))
    with running(tmp_path, settings_for(tmp_path, archive, port, commitment=True)) as node:
        send_study(archive, study)
        (job,) = jobs_of(node)
        work_off(node.queue)
        wait_until(node, job, "committed")


def test_results_that_the_archive_lost_are_sent_once_more(tmp_path: Path, archive: Archive, port: int) -> None:
    files = phantom_series(tmp_path / "series")
    study = upload(archive, files)
    with running(tmp_path, settings_for(tmp_path, archive, port)) as node:
        send_study(archive, study)
        (job,) = jobs_of(node)
        work_off(node.queue)
        wait_until(node, job, "sent")
    (report,) = objects_by_modality(archive, "SR")
    lost = next(one["id"] for one in instances(archive) if one["uid"] == report.SOPInstanceUID)
    delete(archive, f"instances/{lost}")
    with running(tmp_path, settings_for(tmp_path, archive, port, commitment=True)) as node:
        wait_until(node, job, "committed")
    assert len(objects_by_modality(archive, "SR")) == 1


def test_peer_that_never_keeps_what_it_takes_is_given_up(tmp_path: Path) -> None:
    """A peer that takes objects and reports all of them as not kept: no endless sending."""
    port, reports = free_port(), list[int]()

    def on_store(event: evt.Event) -> int:
        return 0

    def on_action(event: evt.Event) -> tuple[int, None]:
        asked, told = event.action_information, Dataset()
        told.TransactionUID, told.FailedSOPSequence = asked.TransactionUID, asked.ReferencedSOPSequence
        for one in told.FailedSOPSequence:
            one.FailureReason = 0x0112

        def report() -> None:
            role = build_role(STORAGE_COMMITMENT, scp_role=True)
            entity = AE("ARCHIVE")
            entity.add_requested_context(STORAGE_COMMITMENT)
            called = entity.associate("127.0.0.1", port, ae_title="JCS", ext_neg=[role])
            status, _ = called.send_n_event_report(told, 2, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE)
            reports.append(int(status.Status))
            called.release()

        threading.Thread(target=report, daemon=True).start()
        return 0, None

    entity = AE("ARCHIVE")
    entity.supported_contexts = AllStoragePresentationContexts
    entity.add_supported_context(STORAGE_COMMITMENT, scu_role=True, scp_role=True)
    handlers: list[Any] = [(evt.EVT_C_STORE, on_store), (evt.EVT_N_ACTION, on_action)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    assert server is not None
    peer = Peer("archive", "ARCHIVE", "127.0.0.1", server.server_address[1], commitment=True)
    settings = pacs_settings(tmp_path, peer, SENDER, port=port, results={**RESULTS, "give_up_s": 4.0})
    try:
        with running(tmp_path, settings) as node:
            storescu(port, *phantom_series(tmp_path / "series"))
            (job,) = jobs_of(node)
            work_off(node.queue)
            wait_until(node, job, "given_up")
            (reason,) = {each.reason for each in node.records.deliveries_of(job)}
    finally:
        server.shutdown()
    assert reason == "not committed, failure reason 0112H"
    assert len(reports) >= 2
    assert set(reports) == {0}


# Pulling


def pull_all(node: Node, wanted: Wanted, by_web: bool) -> list[Pulled]:
    return list(pull(node, node.settings.peer("archive"), wanted, by_web))


@pytest.mark.parametrize("by_web", [False, True], ids=["c-move", "dicomweb"])
@pytest.mark.parametrize("by_accession", [True, False], ids=["accession", "study uid"])
def test_study_is_pulled(tmp_path: Path, archive: Archive, port: int, by_web: bool, by_accession: bool) -> None:
    files = phantom_series(tmp_path / "series")
    upload(archive, files)
    header = dcmread(files[0])
    wanted = Wanted(str(header.AccessionNumber)) if by_accession else Wanted(study_uid=str(header.StudyInstanceUID))
    node = Node(settings_for(tmp_path, archive, port), queue_settings(tmp_path))
    try:
        (pulled,) = pull_all(node, wanted, by_web)
        assert pulled.images == len(files)
        assert pulled.handed_in is not None
        assert pulled.handed_in.new
        (again,) = pull_all(node, wanted, not by_web)
        assert again.handed_in is not None
        assert not again.handed_in.new, "the same images by the other way"
        work_off(node.queue)
        assert node.queue.job(pulled.handed_in.job_id).state is JobState.DONE
    finally:
        node.close()
    assert read_lengths(tmp_path) == [len(files)]


def test_node_that_runs_receives_what_is_pulled(tmp_path: Path, archive: Archive, port: int) -> None:
    files = phantom_series(tmp_path / "series")
    upload(archive, files)
    with running(tmp_path, settings_for(tmp_path, archive, port)) as node:
        other = Node(settings_for(tmp_path, archive, port), queue_settings(tmp_path))
        (pulled,) = pull_all(other, Wanted("ACC1"), by_web=False)
        other.close()
        assert (pulled.images, pulled.handed_in) == (len(files), None)
        jobs_of(node)


@pytest.mark.parametrize("by_web", [False, True], ids=["c-move", "dicomweb"])
def test_only_ct_series_are_pulled(tmp_path: Path, archive: Archive, port: int, by_web: bool) -> None:
    files = phantom_series(tmp_path / "series")
    other = dcmread(files[0])
    other.SeriesInstanceUID, other.SOPInstanceUID = "1.2.3", "1.2.3.4"
    other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    other.file_meta.MediaStorageSOPInstanceUID, other.Modality = UID("1.2.3.4"), "OT"
    other.save_as(tmp_path / "sc.dcm")
    upload(archive, [tmp_path / "sc.dcm", *files])
    node = Node(settings_for(tmp_path, archive, port), queue_settings(tmp_path))
    (pulled,) = pull_all(node, Wanted("ACC1"), by_web)
    node.close()
    assert pulled.images == len(files)


@pytest.mark.parametrize("by_web", [False, True], ids=["c-move", "dicomweb"])
def test_study_that_the_peer_has_not_is_told(tmp_path: Path, archive: Archive, port: int, by_web: bool) -> None:
    node = Node(settings_for(tmp_path, archive, port), queue_settings(tmp_path))
    with pytest.raises(PeerError, match="peer archive has no study of this AccessionNumber"):
        pull_all(node, Wanted("NONE"), by_web)
    node.close()


def test_archive_that_does_not_know_the_node_is_told(tmp_path: Path, archive: Archive, port: int) -> None:
    upload(archive, phantom_series(tmp_path / "series"))
    settings = settings_for(tmp_path, archive, port)
    node = Node(replace(settings, node=replace(settings.node, ae_title="UNKNOWN")), queue_settings(tmp_path))
    with pytest.raises(PeerError, match="peer archive"):
        pull_all(node, Wanted("ACC1"), by_web=False)
    node.close()


# The whole way


def test_real_study_is_diagnosed_and_the_archive_gets_seg_and_sr(
    tmp_path: Path, archive: Archive, port: int, shared_data: Path
) -> None:
    files = sorted((shared_data / "dicom" / "ricord-001012").glob("*.dcm"))[::4]  # enough for a verdict
    study = upload(archive, files)
    settings = settings_for(tmp_path, archive, port, commitment=True)
    real = QueueSettings(threads=1, min_free_bytes=0, lease_s=60.0)
    node = Node(settings, real)
    try:
        with node.running(), Supervisor(settings.store, real):
            send_study(archive, study)
            (job,) = jobs_of(node)
            assert ended(node.queue, job, limit_s=900).state is JobState.DONE
            wait_until(node, job, "committed")
            summary = node.queue.job(job).summary
    finally:
        node.close()
    assert summary["verdict"] == "positive"
    segmentations, (report,) = objects_by_modality(archive, "SEG"), objects_by_modality(archive, "SR")
    source = {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in files}
    for segmentation in segmentations:
        series = segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        assert {str(one.ReferencedSOPInstanceUID) for one in series} <= source
    assert sorted(one.SeriesDescription for one in segmentations) == ["JCS lungs", "JCS opacities"]
    report.save_as(tmp_path / "report.dcm")
    assert validation_errors(tmp_path / "report.dcm") == []
    assert object_of(archive, instances(archive)[0]["id"])
