"""The task of a queue that diagnoses: one Diagnoser for all jobs of a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jcs_ct.diagnosis.decide import PatientRule
from jcs_ct.diagnosis.pipeline import Diagnoser, DiagnoserSettings, Reporter
from jcs_ct.diagnosis.result import Diagnosis, Verdict
from jcs_ct.jobs.job import JobOptions, JobState, Outcome
from jcs_ct.jobs.task import Task
from jcs_ct.reports.formats import check_formats
from jcs_ct.reports.writer import write_reports
from jcs_ct.study.reader import read_study


def prepare(threads: int | None, weights: str | None = None, threshold: int = 25) -> Task:
    """Load the networks.

    Args:
        threads: Cores to use; all if None.
        weights: Folder of weights in place of those that ship.
        threshold: Of the patient rule, as for `jcs diagnose`.

    Raises:
        WeightsError: Weights are missing or differ from their checksum.
    """
    settings = DiagnoserSettings(rule=PatientRule(paper_threshold=threshold))
    diagnoser = Diagnoser(None if weights is None else Path(weights), settings, threads)

    def diagnose(study: Path, reports: Path, options: JobOptions, reporter: Reporter) -> Outcome:
        reporter.stage("reading", 0)
        read = read_study(study, options.series_uid)
        if options.formats:
            check_formats(options.formats, read)  # before minutes are spent
        diagnosis = diagnoser.run(read, reporter)
        reporter.stage("writing", 0)
        write_reports(diagnosis, reports, options.formats or None)
        return _outcome(diagnosis)

    return diagnose


def _outcome(diagnosis: Diagnosis) -> Outcome:
    measures, severity = diagnosis.measures, diagnosis.measures.severity
    summary: dict[str, Any] = {
        "verdict": str(diagnosis.verdict),
        "probability": diagnosis.probability,
        "lesion_volume_ml": measures.lesion_volume_ml,
        "lesion_share_of_lung": measures.lesion_share_of_lung,
        "severity": None if severity is None else severity.total,
    }
    if diagnosis.verdict is Verdict.NOT_ASSESSABLE:
        return Outcome(JobState.NOT_ASSESSABLE, summary, "; ".join(diagnosis.reasons))
    return Outcome(JobState.DONE, summary)
