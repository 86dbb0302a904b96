"""Revisions of real results of phantoms: what they hold, who may make them, and what is left when one is refused."""

from __future__ import annotations

import errno
import json
import multiprocessing
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from jcs_ct.diagnosis.review import now
from jcs_ct.errors import (
    InputError,
    NoSuchJobError,
    QueueError,
    QueueFullError,
    RevisionConflictError,
    UsageError,
)
from jcs_ct.jobs.drafts import drafting
from jcs_ct.jobs.housekeeping import sweep
from jcs_ct.jobs.job import JobState
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.revisions import Revision, RevisionKind, correct, masks_of, reports_of, revisions, sign_off, study_of
from jcs_ct.reports.formats import ReportFormat
from jcs_ct.reports.json_report import result_schema
from tests.command_line import CommandLine
from tests.jobs.finished import KINDS, PHANTOM, finished, on_its_side, write_study
from tests.jobs.stores import REPOSITORY, hand_in, quick
from tests.phantoms import write_nifti
from tests.reports.dicom_tools import printed_report, validation_errors
from tests.reports.test_html_report import Page
from tests.reports.test_pdf_report import text_of
from tests.reports.test_writer import tree

FORMATS = {
    "dicom": (ReportFormat.SR, ReportFormat.SEG, ReportFormat.HTML, ReportFormat.PDF, ReportFormat.NIFTI),
    "nifti": (ReportFormat.NIFTI, ReportFormat.CSV),
    "pictures": (ReportFormat.PNG, ReportFormat.HTML),
    "turned": (ReportFormat.PNG,),
}


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, str]]:
    """Stores with one finished job each, by the kind of its study; not to be changed."""
    made: dict[str, tuple[Path, str]] = {}

    def store(kind: str) -> tuple[Path, str]:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            with JobQueue(folder / "store", quick(folder)) as queue:
                made[kind] = folder / "store", finished(queue, write_study(kind, folder / "in"), FORMATS[kind])
        return made[kind]

    return store


@dataclass(frozen=True)
class Case:
    """A queue with one finished job."""

    queue: JobQueue
    job: str

    @property
    def result(self) -> dict[str, Any]:
        """Of the latest revision, held to its schema."""
        document: dict[str, Any] = json.loads((reports_of(self.queue, self.job) / "result.json").read_text("utf-8"))
        jsonschema.validate(document, result_schema())
        return document

    @property
    def opacities(self) -> NDArray[np.bool_]:
        """Of the diagnosis."""
        return self.labels > 0

    @property
    def labels(self) -> NDArray[np.uint16]:
        labels = masks_of(self.queue, self.job, 0).lesion_labels
        assert labels is not None
        return labels

    def with_settings(self, **changes: Any) -> JobQueue:
        return JobQueue(self.queue.folders.root, replace(self.queue.settings, **changes))

    def nothing_is_left(self) -> bool:
        folders = self.queue.folders
        with self.queue.database.reading() as db:
            arrivals = db.execute("SELECT count(*) FROM arrivals").fetchone()[0]
        return not arrivals and not list(folders.incoming.iterdir()) and not list(folders.trash.iterdir())


@pytest.fixture
def case(request: pytest.FixtureRequest, stores: Callable[[str], tuple[Path, str]], tmp_path: Path) -> Iterator[Case]:
    """Of the kind that the test asks for; DICOM if it does not."""
    store, job = stores(getattr(request, "param", "dicom"))
    shutil.copytree(store, tmp_path / "store")
    with JobQueue(tmp_path / "store", quick(tmp_path)) as queue:
        yield Case(queue, job)


of_all_kinds = pytest.mark.parametrize("case", KINDS, indirect=True)
quickly = pytest.mark.parametrize("case", ["nifti"], indirect=True)


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


@quickly
def test_what_the_worker_made_is_number_0(case: Case) -> None:
    (first,) = revisions(case.queue, case.job)
    assert (first.number, first.parent, first.kind, first.by, first.judgement) == (0, None, "diagnosis", None, None)
    assert first.summary == case.queue.job(case.job).summary
    assert first.at.endswith("Z")
    assert reports_of(case.queue, case.job) == case.queue.reports_path(case.job)


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
    assert any(one.startswith("the outlines of opacities were corrected by anna on ") for one in found["warnings"])
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
    must = f"an earlier revision of this result was accepted by bob on {when}; that does not hold for the corrected"
    assert [one.startswith(must) for one in document["warnings"]].count(True) == 1
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
    assert any("was rejected by carla" in one for one in case.result["warnings"])
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


@quickly
def test_of_two_changes_of_one_parent_the_second_is_refused(case: Case) -> None:
    queue, job = case.queue, case.job
    sign_off(queue, job, "accepted", "anna", "", 0)
    changes: tuple[Callable[[], object], ...] = (
        lambda: sign_off(queue, job, "rejected", "bob", "", 0),
        lambda: correct(queue, job, case.opacities, "bob", 0),
        lambda: correct(queue, job, case.opacities, "bob", 2),
    )
    for change in changes:
        with pytest.raises(RevisionConflictError, match=r"is at revision 1, found a change of revision [02]:"):
            change()
    assert len(revisions(queue, job)) == 2
    assert case.nothing_is_left()


def overtaken(case: Case, meanwhile: Callable[[], object]) -> Revision:
    """Make a revision; something else happens while that computes."""
    with drafting(case.queue, case.job, None, 0) as draft:
        (draft.folder / "reports").mkdir()
        meanwhile()
        return draft.add(draft.next(RevisionKind.SIGN_OFF, "anna", now(), "", judgement="accepted"))


@quickly
def test_who_is_overtaken_while_measuring_is_refused(case: Case) -> None:
    queue, job = case.queue, case.job
    with pytest.raises(RevisionConflictError):
        overtaken(case, lambda: sign_off(queue, job, "accepted", "bob", "", 0))
    assert [one.by for one in revisions(queue, job)] == [None, "bob"]
    assert case.nothing_is_left()


def _sign(root: Path, settings: str, job: str, user: str, answers: Any) -> None:
    from jcs_ct.jobs.settings import QueueSettings

    with JobQueue(root, QueueSettings.from_json(settings)) as queue:
        try:
            sign_off(queue, job, "accepted", user, "", 0)
            answers.put("made")
        except RevisionConflictError:
            answers.put("refused")


@quickly
def test_of_many_processes_at_once_one_wins(case: Case) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    settings = case.queue.settings.as_json()
    users = [f"user-{k}" for k in range(6)]
    processes = [
        context.Process(target=_sign, args=(case.queue.folders.root, settings, case.job, user, answers))
        for user in users
    ]
    for process in processes:
        process.start()
    assert sorted(answers.get(timeout=60) for _ in users) == ["made"] + ["refused"] * 5
    for process in processes:
        process.join()
    (_, made) = revisions(case.queue, case.job)
    assert case.result["review"]["reviewer"] == made.by
    assert case.nothing_is_left()


@quickly
def test_threads_may_correct_at_once(case: Case, tmp_path: Path) -> None:
    second = finished(case.queue, write_study("nifti", tmp_path / "in"), FORMATS["nifti"])
    jobs, failures = (case.job, second), []

    def work(job: str) -> None:
        try:
            for parent in range(3):
                correct(case.queue, job, case.opacities, "anna", parent)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [len(revisions(case.queue, job)) for job in jobs] == [4, 4]
    assert case.nothing_is_left()


@quickly
def test_a_folder_will_do_for_a_queue(case: Case) -> None:
    root = case.queue.folders.root
    made = sign_off(root, case.job, "accepted", "anna", "", 0, owner="anna")
    assert revisions(root, case.job, "anna")[-1] == made
    assert reports_of(root, case.job, 1, "anna") == reports_of(case.queue, case.job)


@quickly
def test_others_do_not_learn_that_there_is_a_job(case: Case) -> None:
    queue, job = case.queue, case.job
    for look in (
        lambda: revisions(queue, job, "bob"),
        lambda: reports_of(queue, job, 0, "bob"),
        lambda: masks_of(queue, job, None, "bob"),
        lambda: study_of(queue, job, "bob"),
        lambda: sign_off(queue, job, "accepted", "bob", "", 0, owner="bob"),
        lambda: correct(queue, job, case.opacities, "bob", 0, owner="bob"),
        lambda: revisions(queue, "0" * 32),
    ):
        with pytest.raises(NoSuchJobError):
            look()
    assert len(revisions(queue, job)) == 1


@quickly
def test_what_cannot_be_is_refused_and_leaves_nothing(case: Case) -> None:
    queue, job, outlines = case.queue, case.job, case.opacities
    refusals: list[tuple[type[Exception], str, Callable[[], object]]] = [
        (UsageError, "found the judgement 'perhaps'", lambda: sign_off(queue, job, "perhaps", "anna", "", 0)),
        (UsageError, "found the user name ''", lambda: sign_off(queue, job, "accepted", "", "", 0)),
        (UsageError, "found the user name ''", lambda: correct(queue, job, outlines, "", 0)),
        (UsageError, "at most 4000", lambda: correct(queue, job, outlines, "anna", 0, "x" * 4001)),
        (UsageError, "the outlines have the shape", lambda: correct(queue, job, outlines[1:], "anna", 0)),
        (QueueError, "has no revision 1; expected one of 0 to 0", lambda: reports_of(queue, job, 1)),
        (QueueError, "has no revision -1", lambda: reports_of(queue, job, -1)),
    ]
    for kind, words, act in refusals:
        with pytest.raises(kind, match=words):
            act()
        assert case.nothing_is_left()
    assert len(revisions(queue, job)) == 1


def test_job_without_a_result_has_no_revisions(queue: JobQueue, tmp_path: Path) -> None:
    job = hand_in(queue, tmp_path)
    for look in (revisions, reports_of, masks_of):
        with pytest.raises(QueueError, match="is queued; expected one that is done or not_assessable"):
            look(queue, job)
    with pytest.raises(QueueError, match="is queued"):
        sign_off(queue, job, "accepted", "anna", "", 0)


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
def test_bytes_of_revisions_are_counted_once(case: Case) -> None:
    queue, job = case.queue, case.job
    before = queue.job(job).result_bytes
    sign_off(queue, job, "accepted", "anna", "", 0)
    signed = queue.job(job).result_bytes
    # What it shares with its parent is on the disk once.
    new = [path for path in queue.folders.revision(job, 1).rglob("*") if path.is_file() and path.stat().st_nlink == 1]
    assert {path.name for path in new} == {"result.json", "revision.json"}
    assert signed == before + sum(path.stat().st_size for path in new)
    correct(queue, job, case.opacities, "anna", 1)
    added = [path for path in queue.folders.revision(job, 2).rglob("*") if path.is_file()]
    assert queue.job(job).result_bytes == signed + sum(path.stat().st_size for path in added)
    (queue.folders.job(job) / "view").mkdir()
    (queue.folders.job(job) / "view" / "volume.nii.gz").write_bytes(bytes(1000))
    queue.ledger.recount(job)
    assert queue.job(job).result_bytes == signed + sum(path.stat().st_size for path in added) + 1000


@quickly
def test_revision_needs_room(case: Case, tmp_path: Path) -> None:
    job = case.queue.job(case.job)
    stored = job.input_bytes + job.result_bytes
    reserve = 10 * job.result_bytes
    with case.with_settings(max_store_bytes=stored + reserve - 1, result_reserve_bytes=reserve) as full:
        with pytest.raises(QueueFullError, match="with this revision it would hold up to"):
            sign_off(full, case.job, "accepted", "anna", "", 0)
        with pytest.raises(QueueFullError, match="with this revision it would hold up to"):
            correct(full, case.job, case.opacities, "anna", 0)
    with case.with_settings(min_free_bytes=2**60) as full, pytest.raises(QueueFullError, match="disk is nearly full"):
        sign_off(full, case.job, "accepted", "anna", "", 0)
    assert case.nothing_is_left()
    # What revisions take is missing for studies to come, until the job is removed.
    correct(case.queue, case.job, case.opacities, "anna", 0)
    limit = 2 * stored + reserve
    with case.with_settings(max_store_bytes=limit, result_reserve_bytes=reserve) as nearly_full:
        upload = case.queue.study_path(case.job)
        with pytest.raises(QueueFullError, match="with this study"):
            nearly_full.submit(upload, "anna")
        moved = shutil.copytree(upload, tmp_path / "again")
        nearly_full.remove(case.job)
        nearly_full.submit(moved, "anna")


@quickly
def test_waiting_studies_do_not_keep_a_result_from_being_signed(case: Case, tmp_path: Path) -> None:
    with case.with_settings(max_waiting=1) as busy:
        hand_in(busy, tmp_path)
        assert sign_off(busy, case.job, "accepted", "anna", "", 0).number == 1


@quickly
def test_removal_and_retention_take_revisions_along(case: Case, tmp_path: Path) -> None:
    queue, job = case.queue, case.job
    second = finished(queue, write_study("nifti", tmp_path / "in"), FORMATS["nifti"])
    for one in (job, second):
        sign_off(queue, one, "accepted", "anna", "", 0)
    queue.remove(job)
    assert not queue.folders.job(job).exists()
    with pytest.raises(NoSuchJobError):
        revisions(queue, job)
    with case.with_settings(retention_count=0, retention_age_s=None) as forgetful:
        sweep(forgetful)
    assert list(queue.folders.jobs.iterdir()) == []
    assert case.nothing_is_left()


@quickly
def test_job_that_is_removed_meanwhile_is_gone(case: Case) -> None:
    with pytest.raises(NoSuchJobError):
        overtaken(case, lambda: case.queue.remove(case.job))
    assert list(case.queue.folders.jobs.iterdir()) == []
    assert case.nothing_is_left()


@quickly
def test_job_whose_folder_is_about_to_go_takes_no_revision(case: Case) -> None:
    def forget() -> None:
        with case.queue.database.transaction() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (case.job,))

    with pytest.raises(NoSuchJobError):
        overtaken(case, forget)
    assert not case.queue.folders.revisions(case.job).exists()


@quickly
@pytest.mark.parametrize("wrapped", [False, True])
def test_full_disk_is_said_to_be_one(case: Case, wrapped: bool) -> None:
    def fill() -> None:
        full = OSError(errno.ENOSPC, "No space left on device")
        if not wrapped:
            raise full
        raise UsageError("cannot write results") from full

    with pytest.raises(QueueFullError, match="the queue's disk is full"):
        overtaken(case, fill)
    assert case.nothing_is_left()


@quickly
def test_what_fails_as_the_job_is_removed_meanwhile_says_so(case: Case) -> None:
    def miss() -> None:
        case.queue.remove(case.job)
        case.queue.folders.outcome(case.job).read_bytes()

    with pytest.raises(NoSuchJobError):
        overtaken(case, miss)
    assert case.nothing_is_left()


@quickly
def test_sweep_leaves_who_is_at_work_alone(case: Case) -> None:
    with drafting(case.queue, case.job, None, 0) as draft:
        sweep(case.queue)
        assert draft.folder.exists()


@quickly
def test_study_that_is_gone_is_told_without_its_place(case: Case) -> None:
    shutil.rmtree(case.queue.study_path(case.job))
    with pytest.raises(InputError) as caught:
        correct(case.queue, case.job, case.opacities, "anna", 0)
    assert str(case.queue.folders.root) not in str(caught.value)
    assert case.nothing_is_left()


def test_looking_at_revisions_loads_no_heavy_library() -> None:
    program = (
        "import sys\nimport jcs_ct.jobs.revisions\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}\n"
        "             & {'numpy', 'pydicom', 'highdicom', 'scipy', 'reportlab', 'pypdf', 'openvino', 'torch'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


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
