"""What goes into a revision: the heavy half of `revisions`, which loads what measuring and reporting need."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from jcs_ct.cropped_volume import CroppedVolume
from jcs_ct.diagnosis.remeasure import measure_outlines
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.diagnosis.review import Judgement, Review, check_comment, check_name, in_iso, now
from jcs_ct.errors import InputError, UsageError
from jcs_ct.jobs.drafts import Draft, Revision, RevisionKind
from jcs_ct.jobs.folders import temporary_files_in
from jcs_ct.jobs.job import Job
from jcs_ct.jobs.masks import FILE, keep_masks, kept_masks, on_grid
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.summary import summary_of
from jcs_ct.notices import Notice, Value, notice, texts
from jcs_ct.reports.sign_off import link_or_copy, sign_reports, succeed_report
from jcs_ct.reports.stored_result import read_decision
from jcs_ct.reports.writer import write_reports
from jcs_ct.study.reader import read_study
from jcs_ct.study.volume import Study

_READING = threading.Lock()


def write_correction(draft: Draft, outlines: NDArray[np.bool_], by: str, comment: str) -> Revision:
    """Measure outlines on the job's study, and write the reports that the job asked for."""
    check_name(by)
    check_comment(comment)
    study, at = _read(draft), now()
    first, parent = draft.history[0], draft.place(draft.parent)
    kept = kept_masks(draft.place(first))
    earlier = read_decision(parent / "reports")
    measured = measure_outlines(study, np.asarray(outlines, bool), kept.lung_mask, earlier=earlier)
    if measured.lesion_labels is None:
        raise UsageError(f"outlines of this study cannot be measured: {'; '.join(texts(measured.reasons))}")
    activation = None if kept.activation is None else _as_measured(kept.activation, study, measured)
    measured = replace(
        measured,
        decision=replace(measured.decision, activation=activation),
        notices=(*measured.notices, *_changes(draft, by, in_iso(at), comment)),
    )
    write_reports(measured, draft.folder / "reports", draft.job.options.formats or None)
    succeed_report(draft.folder / "reports", parent / "reports")
    keep_masks(measured, study, draft.folder)
    return draft.next(RevisionKind.CORRECTION, by, at, comment, summary=summary_of(measured))


def write_sign_off(draft: Draft, judgement: str, by: str, comment: str) -> Revision:
    """Sign the reports of the latest measures."""
    if judgement not in set(Judgement):
        raise UsageError(f"found the judgement {judgement!r}, expected one of {', '.join(Judgement)}")
    review = Review(by, now(), Judgement(judgement), comment)
    measured, parent = draft.place(draft.measured), draft.place(draft.parent)
    sign_reports(measured / "reports", draft.folder / "reports", review, parent / "reports")
    if (measured / FILE).exists():
        link_or_copy(measured / FILE, draft.folder / FILE)
    return draft.next(
        RevisionKind.SIGN_OFF, by, review.at, comment, judgement=str(review.judgement), summary=draft.measured.summary
    )


def read_again(queue: JobQueue, job: Job) -> Study:
    """A job's study, as its worker read it.

    Raises:
        InputError: It cannot be read any more.
    """
    path = queue.study_path(job.id)
    try:
        return read_study(path, job.options.series_uid)
    except InputError as error:
        raise type(error)(queue.folders.without_places(error, path)) from error


def _read(draft: Draft) -> Study:
    """The study, unpacked within the draft where it is an archive, so that what a kill leaves of it is found."""
    place = draft.folder / "tmp"
    place.mkdir()
    # The folder for temporary files is one for the whole process.
    with _READING:
        try:
            with temporary_files_in(place):
                return read_again(draft.queue, draft.job)
        finally:
            shutil.rmtree(place)


def _as_measured(kept: NDArray[np.uint8], study: Study, measured: Diagnosis) -> CroppedVolume[np.uint8]:
    """On the voxels of what was measured, which may have been turned upright."""
    return CroppedVolume.of(np.asarray(on_grid(kept, study.grid, measured.study.grid), np.uint8))


def _changes(draft: Draft, by: str, at: str, comment: str) -> tuple[Notice, ...]:
    """Who corrected the outlines, and whether a sign-off became void."""
    values: dict[str, Value] = {"by": by, "at": _in_words(at)}
    because = " ".join(comment.split())
    corrected = (
        notice("outlines-corrected-because", **values, comment=because)
        if because
        else notice("outlines-corrected", **values)
    )
    if draft.signed is None:
        return (corrected,)
    signed, when = draft.signed, _in_words(draft.signed.at)
    return corrected, notice("sign-off-void", judgement=str(signed.judgement), by=signed.by, at=when)


def _in_words(iso: str) -> str:
    """2026-11-24T03:05:09Z as 2026-11-24 03:05 UTC."""
    return f"{iso[:10]} {iso[11:16]} UTC"
