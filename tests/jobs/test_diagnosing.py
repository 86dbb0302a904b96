"""The queue with the real Diagnoser, on phantoms and networks that mark ground glass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jcs_ct.jobs.job import JobOptions, JobState
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.revisions import correct, masks_of
from jcs_ct.jobs.supervisor import Supervisor
from jcs_ct.jobs.task import load_task
from jcs_ct.jobs.worker import Worker
from jcs_ct.reports.formats import ReportFormat
from tests.jobs.stores import ended, quick
from tests.opacity_networks import write_weights
from tests.phantoms import ChestPhantom, Lesion, write_dicom_series, write_nifti

SICK = ChestPhantom(lesions=(Lesion((0.0, 5.0, 62.0), (30.0, 26.0, 26.0)),))


@pytest.mark.slow
@pytest.mark.usefixtures("_workers_find_the_stand_in")
def test_studies_go_in_and_results_come_out(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "weights")
    settings = quick(
        tmp_path,
        task="jcs_ct.jobs.diagnosing:prepare",
        task_settings={"weights": str(weights)},
        threads=1,
        # A loaded machine takes long to import all libraries.
        lease_s=60.0,
    )
    series = tmp_path / "series"
    write_dicom_series(series, SICK.hu, positions=SICK.positions)
    write_nifti(tmp_path / "healthy.nii.gz", ChestPhantom.healthy().hu)
    write_nifti(tmp_path / "thin.nii.gz", ChestPhantom.healthy().hu[:2])
    (tmp_path / "notes.txt").write_text("not a study")
    with JobQueue(tmp_path / "store", settings) as queue, Supervisor(tmp_path / "store", settings):
        sick = queue.submit(series, "anna", move=True)
        healthy = queue.submit(
            tmp_path / "healthy.nii.gz", "anna", options=JobOptions(formats=(ReportFormat.CSV,)), move=True
        )
        thin = queue.submit(tmp_path / "thin.nii.gz", "anna")
        notes = queue.submit(tmp_path / "notes.txt", "anna")
        found = {job: ended(queue, job, limit_s=300) for job in (sick, healthy, thin, notes)}
        results = {
            job: json.loads((queue.reports_path(job) / "result.json").read_text()) for job in (sick, healthy, thin)
        }
        assert (queue.reports_path(healthy) / "measures.csv").exists()
        assert not (queue.reports_path(healthy) / "report.html").exists()
        assert (queue.reports_path(sick) / "dicom" / "report.sr.dcm").exists()
        labels, corrected = masks_of(queue, sick).lesion_labels, correct(queue, sick, SICK.lesion_mask, "anna", 0)
        stages = [event.stage for event in queue.events(job_id=sick) if event.state is JobState.RUNNING]
    assert [job.state for job in found.values()] == ["done", "done", "not_assessable", "failed"]
    assert found[sick].summary["verdict"] == results[sick]["verdict"] == "positive"
    assert found[sick].summary["lesion_volume_ml"] == pytest.approx(SICK.lesion_ml, rel=0.2)
    assert found[sick].summary["patient"] == {"name": "Phantom^Chest", "id": "PHANTOM-1"}
    assert found[healthy].summary["patient"] == {"name": None, "id": None}
    assert labels is not None
    assert len(set(labels.flat)) == 1 + len(results[sick]["lesions"])
    assert corrected.summary["verdict"] == "positive"
    assert corrected.summary["lesion_volume_ml"] == pytest.approx(SICK.lesion_ml, rel=0.02)
    assert found[healthy].summary["verdict"] == results[healthy]["verdict"] == "negative"
    assert found[thin].reason == "; ".join(one["text"] for one in results[thin]["notices"] if one["reason"])
    assert (found[notes].reason or "").startswith("study is of an unknown kind, or damaged at its start; expected")
    assert found[notes].attempts == 1
    assert stages == [None, "reading", "finding the lungs", "classifying", "segmenting", "writing"]


def test_traces_of_the_store_do_not_get_into_reasons(tmp_path: Path) -> None:
    # What reasons may hold is tested without the Diagnoser in test_supervisor; this is the message of the reader.
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "readme.txt").write_text("nothing")
    weights = write_weights(tmp_path / "weights")
    settings = quick(tmp_path, task="jcs_ct.jobs.diagnosing:prepare", task_settings={"weights": str(weights)})
    with JobQueue(tmp_path / "store", settings) as queue:
        job = queue.submit(tmp_path / "empty", "anna")
        claim = queue.ledger.claim("worker")
        assert claim is not None
        Worker(queue, "worker", load_task(settings)).work_off(claim)
        reason = queue.job(job).reason or ""
    assert reason.startswith("the study holds only files of other kinds (readme.txt); expected")
    assert str(tmp_path) not in reason
