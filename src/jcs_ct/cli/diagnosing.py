"""Commands on studies and their results: diagnose, measure, compare, info.

Imports are inside the functions: the help and the other commands need none of them, and they take a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jcs_ct.cli.options import Deidentify, Formats, Lobes, Lungs, Output, SeriesUid, StudyInput, UidKey
from jcs_ct.cli.process import say
from jcs_ct.cli.progress import Progress, Stream
from jcs_ct.cores import at_most
from jcs_ct.errors import UsageError
from jcs_ct.reports.formats import ReportFormat, check_formats

if TYPE_CHECKING:
    from jcs_ct.diagnosis.given_masks import GivenMasks
    from jcs_ct.diagnosis.pipeline import Diagnoser
    from jcs_ct.diagnosis.result import Diagnosis
    from jcs_ct.reports.deidentify import UidMap
    from jcs_ct.study.volume import Study

DeviceName = Literal["cpu", "cuda"]
"""Of `engine.Device`, which the help must not load."""
DecideByName = Literal["joint", "classifier"]
"""Of `diagnoser_settings.DecideBy`."""


def diagnose(
    study: StudyInput,
    output: Output,
    weights: Annotated[Path | None, typer.Option(help="Weights folder in place of the one that ships.")] = None,
    threshold: Annotated[int, typer.Option(help="Patient rule: infected slices of a scan like the paper's.")] = 25,
    threads: Annotated[int | None, typer.Option(help="Cores to use; all if not given.")] = None,
    device: Annotated[
        DeviceName, typer.Option(help="Where the networks compute; cuda needs an NVIDIA GPU and jcs-ct[cuda].")
    ] = "cpu",
    decide_by: Annotated[
        DecideByName | None,
        typer.Option(
            help="What decides on a slice: both tasks together, or the classifier alone as in the paper. By default "
            "both, if the weights allow it."
        ),
    ] = None,
    lungs: Lungs = None,
    lobes: Lobes = None,
    series_uid: SeriesUid = None,
    formats: Formats = None,
    deidentify: Deidentify = False,
    uid_key: UidKey = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print what is known as soon as it is, one JSON object a line.")
    ] = False,
) -> None:
    """Diagnose one study: verdict, reasons, lesions and their measures.

    Exit status: 0 result written, 2 bad input or usage, 3 not assessable (result written, with the reasons).
    """
    if threshold < 1:
        raise UsageError(f"--threshold: found {threshold}, expected at least 1 infected slice")
    if threads is not None and threads < 1:
        raise UsageError(f"--threads: found {threads}, expected at least 1 core")
    uids = _uid_map(deidentify, uid_key)
    _check_output(output)
    diagnoser = partial(_diagnoser, weights, threshold, decide_by, threads, device)
    with Stream() if stream else Progress() as progress, at_most(threads):
        diagnosis = _read_and_diagnose(study, diagnoser, series_uid, lungs, lobes, formats, progress)
        summary = _write(diagnosis, output, formats, uids, progress)
    _end(diagnosis, progress.result(diagnosis, summary))


def _read_and_diagnose(
    study: Path,
    diagnoser: Callable[[], Diagnoser],
    series_uid: str | None,
    lungs: Path | None,
    lobes: Path | None,
    formats: list[ReportFormat] | None,
    progress: Progress | Stream,
) -> Diagnosis:
    """The diagnosis of a study. Networks live no longer than this, as reports need the memory."""
    with ThreadPoolExecutor(1) as ahead:
        # Networks are made ready while files are read: one is Python's work, the other is not.
        ready = ahead.submit(diagnoser)

        def look(few: Study) -> None:
            progress.first_look(ready.result().first_look(few))

        read = _read(study, series_uid, formats, progress, look if progress.watched else None)
        given = _given_masks(read, lungs, lobes)
        return ready.result().run(read, progress, given)


def _diagnoser(
    weights: Path | None, threshold: int, decide_by: DecideByName | None, threads: int | None, device: DeviceName
) -> Diagnoser:
    from jcs_ct.diagnosis.decide import PatientRule
    from jcs_ct.diagnosis.diagnoser_settings import DecideBy, DiagnoserSettings
    from jcs_ct.diagnosis.pipeline import Diagnoser
    from jcs_ct.engine import Device

    chosen = None if decide_by is None else DecideBy(decide_by)
    settings = DiagnoserSettings(rule=PatientRule(paper_threshold=threshold), decide_by=chosen)
    return Diagnoser(weights, settings, threads, Device(device))


def _given_masks(study: Study, lungs: Path | None, lobes: Path | None) -> GivenMasks:
    """The masks that measures are made against; read by libraries that nobody waits for who gives none."""
    from jcs_ct.diagnosis.given_masks import GivenMasks

    if lungs is None and lobes is None:
        return GivenMasks()
    from jcs_ct.study.outlines import read_given_masks

    return GivenMasks(*read_given_masks(study, lungs, lobes))


def measure(
    study: StudyInput,
    outlines: Annotated[
        Path, typer.Option("--seg", help="Outlined opacities: DICOM SEG, or NIfTI mask or labels, on the study's grid.")
    ],
    output: Output,
    result: Annotated[
        Path | None,
        typer.Option(help="Results folder of an earlier diagnosis of the study, whose decision is carried over."),
    ] = None,
    segments: Annotated[
        list[int] | None,
        typer.Option(
            "--segment",
            help="Number of a segment or label that is an opacity, once for each; by default codes and labels tell.",
        ),
    ] = None,
    lungs: Lungs = None,
    lobes: Lobes = None,
    series_uid: SeriesUid = None,
    formats: Formats = None,
    deidentify: Deidentify = False,
    uid_key: UidKey = None,
) -> None:
    """Measure opacities that were outlined by hand or edited; no network judges them.

    Lungs are those of --lungs, else those in the file of outlines, else found. Exit status as for diagnose.
    """
    from jcs_ct.diagnosis.remeasure import measure_outlines
    from jcs_ct.reports.stored_result import read_decision
    from jcs_ct.study.outlines import read_given_masks, read_outlines

    uids = _uid_map(deidentify, uid_key)
    _check_output(output)
    earlier = None if result is None else read_decision(result)
    with Progress() as progress:
        read = _read(study, series_uid, formats, progress)
        drawn = read_outlines(outlines, read, segments or ())
        lung_mask, lobe_mask = read_given_masks(read, lungs, lobes)
        if lung_mask is None and lobe_mask is None:
            lung_mask = drawn.lungs
        progress.stage("measuring", 0)
        measured = measure_outlines(read, drawn.opacities, lung_mask, lobe_mask, earlier, drawn.source)
        measured = replace(measured, notices=(*measured.notices, *drawn.notices))
        summary = _write(measured, output, formats, uids, progress)
    _end(measured, summary)


def _check_output(output: Path) -> None:
    """Refuse a folder that cannot be written to before minutes are spent on what would go there."""
    from jcs_ct.reports.writer import check_output

    check_output(output)


def _uid_map(deidentify: bool, uid_key: Path | None) -> UidMap | None:
    """Replacements for UIDs where the results are to be de-identified."""
    from jcs_ct.reports.deidentify import UidMap

    if uid_key is not None and not deidentify:
        raise UsageError("--uid-key is the key of --deidentify: give both, or neither")
    if not deidentify:
        return None
    return UidMap() if uid_key is None else UidMap.from_file(uid_key)


def _read(
    study: Path,
    series_uid: str | None,
    formats: list[ReportFormat] | None,
    progress: Progress | Stream,
    look: Callable[[Study], None] | None = None,
) -> Study:
    """Read a study and check, before minutes are spent, that it allows the formats."""
    from jcs_ct.study.reader import read_study

    progress.stage("reading", 0)
    read = read_study(study, series_uid, look)
    if formats:
        check_formats(formats, read)
    return read


def _write(
    diagnosis: Diagnosis,
    output: Path,
    formats: list[ReportFormat] | None,
    uids: UidMap | None,
    progress: Progress | Stream,
) -> str:
    """Write the reports; the line that a caller reads."""
    from jcs_ct.reports.deidentify import deidentified
    from jcs_ct.reports.summary import one_line_summary
    from jcs_ct.reports.writer import write_reports

    progress.stage("writing", 0)
    if uids is not None:
        diagnosis = deidentified(diagnosis, uids)
    write_reports(diagnosis, output, formats or None)
    return one_line_summary(diagnosis, output)


def _end(diagnosis: Diagnosis, summary: str) -> None:
    say(summary)
    if diagnosis.verdict == "not_assessable":
        raise typer.Exit(3)


def compare(
    earlier: Annotated[Path, typer.Argument(help="Results folder of the earlier study.")],
    later: Annotated[Path, typer.Argument(help="Results folder of the later study.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the comparison.")],
) -> None:
    """Compare two results of one patient: change by zone in mL and %, as a page and as JSON."""
    from jcs_ct.diagnosis import follow_up
    from jcs_ct.reports.follow_up_report import signed, write_follow_up
    from jcs_ct.reports.stored_result import read_result

    then, now = read_result(earlier), read_result(later)
    change = follow_up.compare(then.measures, now.measures)
    write_follow_up(change, then, now, output)
    words = [f"{signed(change.total.change_points)} percentage points of the lung"]
    if change.total.change_ml is not None:
        words.insert(0, f"opacities {signed(change.total.change_ml)} mL")
    if change.severity_change is not None:
        words.append(f"severity score {change.severity_earlier} to {change.severity_later}")
    typer.echo(" | ".join([*words, f"report: {output / 'follow_up.html'}"]))


def info(
    study: StudyInput,
    series_uid: SeriesUid = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what an input holds, what of it would be read, and why not the rest."""
    from jcs_ct.study.info import as_document, as_lines
    from jcs_ct.study.reader import list_contents

    contents = list_contents(study, series_uid)
    lines = [json.dumps(as_document(contents), indent=2)] if as_json else as_lines(contents)
    say("\n".join(lines), needed=True)
