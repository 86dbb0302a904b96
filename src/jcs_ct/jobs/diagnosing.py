"""The task of a queue that diagnoses: one Diagnoser for all jobs of a worker."""

from __future__ import annotations

from pathlib import Path

from jcs_ct.cores import at_most
from jcs_ct.diagnosis.decide import PatientRule
from jcs_ct.diagnosis.decision import Verdict
from jcs_ct.diagnosis.diagnoser_settings import DecideBy, DiagnoserSettings
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.reporter import Reporter
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.errors import SeveralStudiesError
from jcs_ct.jobs.job import JobOptions, JobState, Outcome
from jcs_ct.jobs.masks import keep_masks
from jcs_ct.jobs.summary import summary_of
from jcs_ct.jobs.task import SeveralStudiesFound, Task
from jcs_ct.notices import texts
from jcs_ct.reports.formats import check_formats
from jcs_ct.reports.writer import write_reports
from jcs_ct.study.reader import read_study, split_studies
from jcs_ct.study.volume import Study


def prepare(threads: int | None, weights: str | None = None, threshold: int = 25, decide_by: str | None = None) -> Task:
    """Load the networks.

    Args:
        threads: Cores to use; all if None.
        weights: Folder of weights in place of those that ship.
        threshold: Of the patient rule, as for `jcs diagnose`.
        decide_by: What decides on a slice, as for `jcs diagnose`.

    Raises:
        WeightsError: Weights are missing or differ from their checksum.
        UsageError: The weights hold no slice evidence, and it was asked for.
    """
    chosen = None if decide_by is None else DecideBy(decide_by)
    settings = DiagnoserSettings(rule=PatientRule(paper_threshold=threshold), decide_by=chosen)
    diagnoser = Diagnoser(None if weights is None else Path(weights), settings, threads)

    def diagnose(study: Path, reports: Path, options: JobOptions, reporter: Reporter) -> Outcome:
        with at_most(threads):
            reporter.stage("reading", 0)
            read = read_submitted(study, reports, options)
            if options.formats:
                check_formats(options.formats, read)  # before minutes are spent
            diagnosis = diagnoser.run(read, reporter)
            reporter.stage("writing", 0)
            return write_result(diagnosis, read, reports, options)

    return diagnose


def read_submitted(study: Path, reports: Path, options: JobOptions) -> Study:
    """Read the study of a job.

    Raises:
        SeveralStudiesFound: It is several; they are laid out beside the folder of the reports.
        JcsError: As `read_study`.
    """
    try:
        return read_study(study, options.series_uid)
    except SeveralStudiesError as error:
        raise SeveralStudiesFound(error, split_studies(study, reports.parent / "studies")) from error


def write_result(diagnosis: Diagnosis, study: Study, reports: Path, options: JobOptions) -> Outcome:
    """Write the reports that a job asked for, and beside them the masks, on the voxels of `study` as it was read."""
    write_reports(diagnosis, reports, options.formats or None)
    keep_masks(diagnosis, study, reports.parent)
    summary = summary_of(diagnosis)
    if diagnosis.verdict is Verdict.NOT_ASSESSABLE:
        return Outcome(JobState.NOT_ASSESSABLE, summary, "; ".join(texts(diagnosis.reasons)))
    return Outcome(JobState.DONE, summary)
