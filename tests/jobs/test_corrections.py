"""Corrections and sign-offs of real results of phantoms: what they measure, and what the reports then say."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from jcs_ct.errors import (
    InputError,
    UsageError,
)
from jcs_ct.jobs.job import JobState
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.revisions import correct, masks_of, reports_of, revisions, sign_off, study_of
from jcs_ct.reports.formats import ReportFormat
from tests.command_line import CommandLine
from tests.jobs.finished import FORMATS, PHANTOM, Case, finished, of_all_kinds, on_its_side, quickly
from tests.jobs.stores import REPOSITORY
from tests.phantoms import write_nifti
from tests.reports.dicom_tools import printed_report, validation_errors
from tests.reports.test_html_report import Page
from tests.reports.test_pdf_report import text_of
from tests.reports.test_writer import tree


@of_all_kinds
def test_masks_are_kept_on_the_voxels_of_the_study_as_it_is_read(case: Case, request: pytest.FixtureRequest) -> None:
    study, masks = study_of(case.queue, case.job), masks_of(case.queue, case.job)
    expected = (PHANTOM.lesion_mask, PHANTOM.lung_mask)
    if "turned" in request.node.name:
        expected = (on_its_side(expected[0]), on_its_side(expected[1]))
    assert masks.lesion_labels is not None
    assert masks.lung_mask is not None
    assert masks.activation is not None
    assert study.voxels.shape == expected[0].shape
    assert np.array_equal(masks.lesion_labels > 0, expected[0])
    assert np.array_equal(masks.lung_mask & expected[1], expected[1])
    assert np.array_equal(masks.activation > 100, expected[0])
    kinds = [str(mask.dtype) for mask in (masks.lesion_labels, masks.lung_mask, masks.activation)]
    assert kinds == ["uint16", "bool", "uint8"]


def test_worklist_knows_the_patient(case: Case) -> None:
    summary = case.queue.job(case.job).summary
    assert summary["patient"] == {"name": "Phantom^Chest", "id": "PHANTOM-1"}
    assert summary["study_date"] == "2020-04-01"
    assert summary["description"] == "Chest phantom"


@of_all_kinds
def test_sign_off_is_a_revision_that_leaves_the_result_as_it_was(case: Case) -> None:
    queue, job = case.queue, case.job
    before, seen = tree(queue.reports_path(job)), queue.last_event()
    result = case.result
    made = sign_off(queue, job, "accepted", "anna", "agreed", 0)
    assert revisions(queue, job)[1:] == (made,)
    assert (made.number, made.parent, made.kind, made.by, made.comment, made.judgement) == (
        1, 0, "sign_off", "anna", "agreed", "accepted",
    )  # fmt: skip
    assert tree(queue.reports_path(job)) == before
    assert tree(reports_of(queue, job)).keys() == before.keys()
    review = case.result.pop("review")
    assert (review["reviewer"], review["at"], review["judgement"]) == ("anna", made.at, "accepted")
    assert {**result, "review": review} == case.result
    assert np.array_equal(masks_of(queue, job).lesion_labels, masks_of(queue, job, 0).lesion_labels)  # type: ignore[arg-type]
    summary = dict(queue.job(job).summary)
    assert (summary.pop("revision"), summary.pop("signed")) == (1, "accepted")
    assert summary == revisions(queue, job)[0].summary == made.summary
    (event,) = queue.events(after=seen)
    assert (event.job_id, event.state) == (job, JobState.DONE)
    assert case.nothing_is_left()


def measured_by_command(jcs: CommandLine, case: Case, outlines: NDArray[np.bool_], folder: Path) -> dict[str, Any]:
    """What `jcs measure` says of outlines with the lungs and the decision of the diagnosis."""
    lungs = masks_of(case.queue, case.job, 0).lung_mask
    assert lungs is not None
    study = study_of(case.queue, case.job)
    for name, mask in (("outlines", outlines), ("lungs", lungs)):
        path = folder / f"{name}.nii.gz"
        stored = mask.astype(np.uint8)
        if study.kind == "images":
            nibabel.save(nibabel.Nifti1Image(stored.transpose(2, 1, 0), None), path)
        elif study.kind == "nifti":
            source: Any = nibabel.load(next(case.queue.study_path(case.job).iterdir()))
            nibabel.save(nibabel.Nifti1Image(study.grid.to_stored(stored), source.affine), path)
        else:
            written: Any = nibabel.load(case.queue.reports_path(case.job) / "lungs.nii.gz")
            nibabel.save(nibabel.Nifti1Image(stored.transpose(2, 1, 0), written.affine), path)
    ended = jcs(
        "measure", case.queue.study_path(case.job), "--seg", folder / "outlines.nii.gz", "--lungs",
        folder / "lungs.nii.gz", "--result", case.queue.reports_path(case.job), "--format", "json", "-o", folder / "m",
    )  # fmt: skip
    assert ended.code == 0, ended
    document: dict[str, Any] = json.loads((folder / "m" / "result.json").read_text("utf-8"))
    return document


@of_all_kinds
def test_correction_measures_what_the_command_does(case: Case, jcs: CommandLine, tmp_path: Path) -> None:
    queue, job = case.queue, case.job
    outlines = case.labels == 1  # without the other one
    outlines[10, 45:52, 40:50] = True  # and with one more
    made = correct(queue, job, outlines, "anna", 0, "one is a vessel")
    expected, found = measured_by_command(jcs, case, outlines, tmp_path), case.result
    for part in ("measures", "lesions", "slices", "verdict", "probability", "rule", "input"):
        assert found[part] == expected[part], part
    assert found["provenance"]["decision"] == expected["provenance"]["decision"]
    assert found["measures"]["lesion_count"] == 2
    assert (made.kind, made.number, made.parent, made.by, made.judgement) == ("correction", 1, 0, "anna", None)
    assert "outlines-corrected-because" in {one["code"] for one in found["notices"]}
    summary = queue.job(job).summary
    assert summary["lesion_share_of_lung"] == found["measures"]["lesion_share_of_lung"]
    assert summary["patient"] == revisions(queue, job)[0].summary["patient"]
    assert (summary["revision"], summary["signed"]) == (1, None)
    before, after = masks_of(queue, job, 0), masks_of(queue, job)
    assert np.array_equal(after.lesion_labels > 0, outlines)  # type: ignore[operator]
    assert np.array_equal(after.activation, before.activation)  # type: ignore[arg-type]
    assert tree(reports_of(queue, job)).keys() == tree(queue.reports_path(job)).keys()
    assert case.nothing_is_left()


def test_corrected_reports_hold_the_new_measures(case: Case, tmp_path: Path) -> None:
    queue, job = case.queue, case.job
    correct(queue, job, case.labels == 1, "anna", 0, "one is\na vessel")
    volume, reports = case.result["measures"]["lesion_volume_ml"], reports_of(queue, job)
    assert volume == pytest.approx(max(lesion.volume_ml for lesion in PHANTOM.lesions), rel=0.1)
    for path in (reports / "dicom").iterdir():
        assert validation_errors(path) == [], path.name
    printed = printed_report(reports / "dicom" / "report.sr.dcm")
    assert f'(lesion-volume,99JCS,"Volume of opacities")="{float(f"{volume:.6g}")}"' in printed
    assert '="Opacity 1"' in printed
    assert '="Opacity 2"' not in printed
    before, after = (dcmread(folder / "dicom" / "report.sr.dcm") for folder in (queue.reports_path(job), reports))
    named = after.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == before.SOPInstanceUID != after.SOPInstanceUID
    assert len(dcmread(reports / "dicom" / "lesions.seg.dcm").SegmentSequence) == 1
    for text in (Page((reports / "report.html").read_text("utf-8")).text, text_of((reports / "report.pdf").read_bytes(),
                                                                                  tmp_path)):  # fmt: skip
        assert "corrected by anna on" in text
        assert "one is a vessel" in text
        assert "Carried over from an earlier result" in text


def test_correction_drops_a_sign_off_and_says_so(case: Case, tmp_path: Path) -> None:
    queue, job = case.queue, case.job
    signed = sign_off(queue, job, "accepted", "bob", "", 0)
    correct(queue, job, case.opacities, "anna", 1)
    document, reports = case.result, reports_of(queue, job)
    assert "review" not in document
    when = f"{signed.at[:10]} {signed.at[11:16]} UTC"
    (void,) = [one for one in document["notices"] if one["code"] == "sign-off-void"]
    assert void["values"] == {"judgement": "accepted", "by": "bob", "at": when}
    dataset = dcmread(reports / "dicom" / "report.sr.dcm")
    assert (dataset.VerificationFlag, dataset.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert "sign-off" not in printed_report(reports / "dicom" / "report.sr.dcm")
    page = Page((reports / "report.html").read_text("utf-8")).text
    assert "Accepted by bob" not in page
    assert "must be signed off again" in page
    assert "Sign-off:" not in text_of((reports / "report.pdf").read_bytes(), tmp_path)
    assert queue.job(job).summary["signed"] is None
    # And signed again, it holds, while a later correction tells of the latest sign-off.
    sign_off(queue, job, "rejected", "carla", "still wrong", 2)
    assert case.result["review"]["reviewer"] == "carla"
    correct(queue, job, case.opacities, "anna", 3)
    assert any("was rejected by carla" in one["text"] for one in case.result["notices"])
    assert [one.kind for one in revisions(queue, job)] == [
        "diagnosis", "sign_off", "correction", "sign_off", "correction",
    ]  # fmt: skip


def test_signing_again_replaces_the_sign_off_and_names_the_last_report(case: Case, tmp_path: Path) -> None:
    queue, job = case.queue, case.job
    sign_off(queue, job, "rejected", "anna", "", 0)
    sign_off(queue, job, "accepted", "bob", "looked twice", 1)
    reports = [reports_of(queue, job, number) for number in range(3)]
    last = dcmread(reports[2] / "dicom" / "report.sr.dcm")
    named = last.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == dcmread(reports[1] / "dicom" / "report.sr.dcm").SOPInstanceUID
    assert printed_report(reports[2] / "dicom" / "report.sr.dcm").count("sign-off") == 1
    text = text_of((reports[2] / "report.pdf").read_bytes(), tmp_path)
    assert text.count("Sign-off:") == 1
    assert "looked twice" in text
    assert case.result["review"]["reviewer"] == "bob"


@of_all_kinds
def test_what_is_drawn_and_erased_again_leaves_no_trace(case: Case) -> None:
    queue, job, first = case.queue, case.job, case.result
    drawn = case.opacities.copy()
    drawn[4:9, 2:20, 2:20] = True  # outside of the lungs, so it counts as lung
    correct(queue, job, drawn, "anna", 0)
    assert case.result["measures"] != first["measures"]
    correct(queue, job, case.opacities, "anna", 1)
    assert case.result["measures"] == first["measures"]


@of_all_kinds
def test_all_can_be_erased(case: Case) -> None:
    correct(case.queue, case.job, np.zeros_like(case.opacities), "anna", 0)
    found = case.result
    assert (found["measures"]["lesion_count"], found["lesions"]) == (0, [])
    assert found["measures"]["lesion_share_of_lung"] == 0
    assert found["verdict"] == "positive", "that is the decision of the diagnosis"
    assert not masks_of(case.queue, case.job).lesion_labels.any()  # type: ignore[union-attr]


def test_study_that_must_not_be_judged_can_be_signed_but_not_measured(queue: JobQueue, tmp_path: Path) -> None:
    wide = tmp_path / "wide.nii.gz"
    write_nifti(wide, PHANTOM.hu, spacing=(8.0, 4.2, 3.8))
    job = finished(queue, wide, FORMATS["nifti"])
    with pytest.raises(UsageError, match="cannot be measured: the pixel spacing is"):
        correct(queue, job, PHANTOM.lesion_mask, "anna", 0)
    assert sign_off(queue, job, "rejected", "anna", "not a chest", 0).number == 1


def test_study_in_an_archive_is_unpacked_within_the_store(case: Case, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "study"), "zip", case.queue.study_path(case.job))
    job = finished(case.queue, Path(archive), [ReportFormat.CSV])
    sign_off(case.queue, job, "accepted", "anna", "", 0)
    correct(case.queue, job, Case(case.queue, job).labels == 2, "anna", 1)
    assert revisions(case.queue, job)[-1].summary["lesion_volume_ml"] is not None
    assert case.nothing_is_left()


@quickly
def test_study_that_is_gone_is_told_without_its_place(case: Case) -> None:
    shutil.rmtree(case.queue.study_path(case.job))
    with pytest.raises(InputError) as caught:
        correct(case.queue, case.job, case.opacities, "anna", 0)
    assert str(case.queue.folders.root) not in str(caught.value)
    assert case.nothing_is_left()


def test_correcting_loads_no_network(case: Case) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nimport numpy as np\nfrom jcs_ct.jobs.queue import JobQueue\n"
        "from jcs_ct.jobs.revisions import correct, masks_of\nfrom jcs_ct.jobs.settings import QueueSettings\n"
        "queue = JobQueue(Path(sys.argv[1]), QueueSettings.from_json(sys.argv[2]))\n"
        "correct(queue, sys.argv[3], masks_of(queue, sys.argv[3]).lesion_labels > 1, 'anna', 0)\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'openvino', 'onnxruntime', 'torch'}))\n"
    )
    arguments = [str(case.queue.folders.root), case.queue.settings.as_json(), case.job]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert len(revisions(case.queue, case.job)) == 2
