"""The `jcs` command: options in, exit codes out; all work is done elsewhere.

Exit codes: 0 a result was written, 2 bad input or usage, 3 the study is not assessable (the result is written all the
same, with the reasons).
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from jcs_ct._version import __version__
from jcs_ct.errors import JcsError, UsageError
from jcs_ct.reports.formats import ReportFormat, check_formats

if TYPE_CHECKING:
    from jcs_ct.diagnosis.result import Diagnosis
    from jcs_ct.reports.deidentify import UidMap
    from jcs_ct.study.volume import Study

app = typer.Typer(
    help="Explainable diagnosis of COVID-19 on chest CT. Research use only, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
_state = {"debug": False}


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"jcs {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Explainable diagnosis of COVID-19 on chest CT. Research use only, not a medical device."""
    del version
    _state["debug"] = debug


class TrainTask(StrEnum):
    """What can be trained; `encoder` and `backbone` make the warm starts."""

    CLASSIFIER = "classifier"
    SEGMENTER = "segmenter"
    JOINT = "joint"
    ENCODER = "encoder"
    BACKBONE = "backbone"


class Device(StrEnum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@app.command()
def train(
    task: Annotated[TrainTask, typer.Argument(help="What to train.")],
    data: Annotated[Path, typer.Option(help="Folder that holds the data sources, or own data with slices.csv.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for weights, logs and checkpoints.")],
    config: Annotated[
        Path | None, typer.Option(help="YAML with the settings of the run (see configs/); for own data not needed.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder to keep prepared slices in.")] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.AUTO,
    devices: Annotated[int, typer.Option(help="Number of GPUs; above one, DDP.")] = 1,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps in place of the config's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed in place of the config's.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the output.")] = False,
    allow_similar: Annotated[
        bool, typer.Option("--allow-similar", help="Go on though own slices in different splits look the same.")
    ] = False,
) -> None:
    """Train a network; needs the `train` extra."""
    training = _training()
    chosen = config or training.own_config(str(task))
    settings = training.load_config(chosen, task=str(task), steps=steps, seed=seed)
    paths = training.RunPaths(data, output, cache)
    weights = training.train(settings, paths, str(device), resume, devices, allow_similar)
    typer.echo(f"weights: {weights}")


def _training() -> ModuleType:
    # Here and not at the top: torch takes seconds to import and is not installed where one only diagnoses.
    try:
        from jcs_ct.training import api
    except ModuleNotFoundError as error:
        raise UsageError(f"{error}; training needs the extra: pip install 'jcs-ct[train]'") from error
    return api


@app.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="Weights folder to write (manifest.json is kept up).")],
    classifier: Annotated[Path | None, typer.Option(help="Output folder of a classifier's training.")] = None,
    segmenter: Annotated[Path | None, typer.Option(help="Output folder of a segmenter's training.")] = None,
) -> None:
    """Export trained networks to ONNX, with checksums; needs the `train` extra."""
    runs = {name: run for name, run in (("classifier", classifier), ("segmenter", segmenter)) if run is not None}
    if not runs:
        raise UsageError("nothing to export; give --classifier or --segmenter with the folder of a training run")
    typer.echo(f"manifest: {_training().ship(runs, output)}")


# What the commands that write results share.
StudyInput = Annotated[Path, typer.Argument(metavar="INPUT", help="DICOM folder, zip, NIfTI, or picture(s).")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")]
Lungs = Annotated[
    Path | None, typer.Option(help="Lung mask (NIfTI or DICOM SEG) to measure against, not what is found.")
]
Lobes = Annotated[Path | None, typer.Option(help="Lobes (NIfTI): 1 LU, 2 LL, 3 RU, 4 RM, 5 RL.")]
SeriesUid = Annotated[
    str | None, typer.Option(help="Series Instance UID to read in place of the best one (see jcs info).")
]
Formats = Annotated[
    list[ReportFormat] | None,
    typer.Option(
        "--format",
        help="What to write, once for each; json is always written. By default html and masks (nifti, or png "
        "without geometry), for DICOM also seg and sr.",
    ),
]
Deidentify = Annotated[
    bool, typer.Option("--deidentify", help="Leave out of all results who the patient is (DICOM PS3.15 Annex E).")
]
UidKey = Annotated[
    Path | None,
    typer.Option(help="File with the secret key for --deidentify: the same key replaces UIDs by the same ones."),
]


@app.command()
def diagnose(
    study: StudyInput,
    output: Output,
    weights: Annotated[Path | None, typer.Option(help="Weights folder in place of the one that ships.")] = None,
    threshold: Annotated[int, typer.Option(help="Patient rule: infected slices of a scan like the paper's.")] = 25,
    threads: Annotated[int | None, typer.Option(help="Cores to use; all if not given.")] = None,
    lungs: Lungs = None,
    lobes: Lobes = None,
    series_uid: SeriesUid = None,
    formats: Formats = None,
    deidentify: Deidentify = False,
    uid_key: UidKey = None,
) -> None:
    """Diagnose one study: verdict, reasons, lesions and their measures.

    Exit status: 0 result written, 2 bad input or usage, 3 not assessable (result written, with the reasons).
    """
    # Here and not at the top: the help and the other commands need none of it, and it takes a second.
    from jcs_ct.diagnosis.decide import PatientRule
    from jcs_ct.diagnosis.pipeline import Diagnoser, DiagnoserSettings
    from jcs_ct.diagnosis.whole_lungs import GivenMasks
    from jcs_ct.study.outlines import read_given_masks

    if threshold < 1:
        raise UsageError(f"--threshold: found {threshold}, expected at least 1 infected slice")
    settings = DiagnoserSettings(rule=PatientRule(paper_threshold=threshold))
    uids = _uid_map(deidentify, uid_key)
    with _Progress() as progress:
        read = _read(study, series_uid, formats, progress)
        given = GivenMasks(*read_given_masks(read, lungs, lobes))
        diagnosis = Diagnoser(weights, settings, threads).run(read, progress, given)
        summary = _write(diagnosis, output, formats, uids, progress)
    _end(diagnosis, summary)


@app.command()
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
    """Measure opacities that were outlined by hand or edited; no network runs.

    Lungs are those of --lungs, else those in the file of outlines, else found. Exit status as for diagnose.
    """
    # Here and not at the top, as in `diagnose`.
    from jcs_ct.diagnosis.remeasure import measure_outlines
    from jcs_ct.reports.stored_result import read_decision
    from jcs_ct.study.outlines import read_given_masks, read_outlines

    uids = _uid_map(deidentify, uid_key)
    earlier = None if result is None else read_decision(result)
    with _Progress() as progress:
        read = _read(study, series_uid, formats, progress)
        drawn = read_outlines(outlines, read, segments or ())
        lung_mask, lobe_mask = read_given_masks(read, lungs, lobes)
        if lung_mask is None and lobe_mask is None:
            lung_mask = drawn.lungs
        progress.stage("measuring", 0)
        measured = measure_outlines(read, drawn.opacities, lung_mask, lobe_mask, earlier, drawn.source)
        measured = replace(measured, warnings=(*measured.warnings, *drawn.remarks))
        summary = _write(measured, output, formats, uids, progress)
    _end(measured, summary)


def _uid_map(deidentify: bool, uid_key: Path | None) -> UidMap | None:
    """Replacements for UIDs where the results are to be de-identified."""
    # Here and not at the top, as in `diagnose`.
    from jcs_ct.reports.deidentify import UidMap

    if uid_key is not None and not deidentify:
        raise UsageError("--uid-key is the key of --deidentify: give both, or neither")
    if not deidentify:
        return None
    return UidMap() if uid_key is None else UidMap.from_file(uid_key)


def _read(study: Path, series_uid: str | None, formats: list[ReportFormat] | None, progress: _Progress) -> Study:
    """Read a study and check, before minutes are spent, that it allows the formats."""
    # Here and not at the top, as in `diagnose`.
    from jcs_ct.study.reader import read_study

    progress.stage("reading", 0)
    read = read_study(study, series_uid)
    if formats:
        check_formats(formats, read)
    return read


def _write(
    diagnosis: Diagnosis, output: Path, formats: list[ReportFormat] | None, uids: UidMap | None, progress: _Progress
) -> str:
    """Write the reports; the line that a caller reads."""
    # Here and not at the top, as in `diagnose`.
    from jcs_ct.reports.deidentify import deidentified
    from jcs_ct.reports.summary import one_line_summary
    from jcs_ct.reports.writer import write_reports

    progress.stage("writing", 0)
    if uids is not None:
        diagnosis = deidentified(diagnosis, uids)
    write_reports(diagnosis, output, formats or None)
    return one_line_summary(diagnosis, output)


def _end(diagnosis: Diagnosis, summary: str) -> None:
    typer.echo(summary)
    if diagnosis.verdict == "not_assessable":
        raise typer.Exit(3)


class _Progress:
    """A bar on a terminal, nothing in a pipe."""

    def __enter__(self) -> Self:
        self._bar: Any = None
        self._task: Any = None
        if sys.stderr.isatty():
            # Here and not at the top: most calls come from a pipe and draw nothing.
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` slices begins; 0 where their number is not known."""
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(name, total=total or None)

    def advance(self, count: int) -> None:
        """So many slices of the stage are done."""
        if self._bar is not None:
            self._bar.advance(self._task, count)


@app.command()
def compare(
    earlier: Annotated[Path, typer.Argument(help="Results folder of the earlier study.")],
    later: Annotated[Path, typer.Argument(help="Results folder of the later study.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the comparison.")],
) -> None:
    """Compare two results of one patient: change by zone in mL and %, as a page and as JSON."""
    # Here and not at the top, as in `diagnose`.
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


@app.command()
def calibrate(
    weights: Annotated[Path, typer.Option(help="Weights folder whose manifest the calibration goes into.")],
    data: Annotated[Path, typer.Option(help="Folder that holds the data sources.")],
) -> None:
    """Fit the classifier's calibration on validation slices and keep it in the manifest."""
    # Here and not at the top, as in `diagnose`.
    from jcs_ct import trials
    from jcs_ct.diagnosis.pipeline import Diagnoser
    from jcs_ct.weights import write_calibration

    with _Progress() as progress:
        progress.stage("calibrating", 0)
        scaling, fitted_on = trials.calibrate(Diagnoser(weights), data, progress.advance)
    write_calibration(weights, "classifier", asdict(scaling), fitted_on)
    typer.echo(f"scale {scaling.scale:g}, bias {scaling.bias:g}, fitted on {fitted_on}")


@app.command()
def info(
    study: StudyInput,
    series_uid: SeriesUid = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what an input holds, what of it would be read, and why not the rest."""
    # Here and not at the top, as in `diagnose`.
    from jcs_ct.study.info import as_document, as_lines
    from jcs_ct.study.reader import list_contents

    contents = list_contents(study, series_uid)
    lines = [json.dumps(as_document(contents), indent=2)] if as_json else as_lines(contents)
    typer.echo("\n".join(lines))


class Trial(StrEnum):
    """What can be evaluated."""

    SEGMENTATION = "segmentation"
    CLASSIFICATION = "classification"
    STATISTICS = "statistics"


@app.command()
def evaluate(
    trial: Annotated[Trial, typer.Argument(help="What to evaluate.")],
    data: Annotated[Path, typer.Option(help="Folder that holds the data sources, or one of them, or own data.")],
    split: Annotated[str | None, typer.Option(help="train, val or test; test, or all for statistics.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights folder in place of the one that ships.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the figures of statistics, or similar slices.")
    ] = None,
    allow_similar: Annotated[
        bool, typer.Option("--allow-similar", help="Go on though own slices in different splits look the same.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Put the weights to the test on public data or one's own, or tell what the data hold (see docs/data.md)."""
    # Here and not at the top, as in `diagnose`.
    from jcs_ct import trials
    from jcs_ct.diagnosis.pipeline import Diagnoser

    if trial is Trial.STATISTICS:
        _statistics(data, split, output, as_json)
        return
    run = {Trial.SEGMENTATION: trials.segmentation, Trial.CLASSIFICATION: trials.classification}[trial]
    with _Progress() as progress:
        progress.stage("comparing splits", 0)
        trials.check_own_data(data, None if output is None else output / "similar.png", allow_similar)
        progress.stage(f"evaluating {trial}", 0)
        results = run(Diagnoser(weights), data, split or "test", progress.advance)
    if as_json:
        typer.echo(json.dumps([result.as_dict() for result in results], indent=2))
        return
    for result in results:
        typer.echo(f"{result.source} ({result.protocol})")
        for name, value in result.figures.items():
            interval = result.intervals.get(name)
            shown = "not defined" if value is None else f"{value:.4g}"
            between = "" if interval is None else f"  [{interval[0]:.3f}, {interval[1]:.3f}]"
            typer.echo(f"  {name:<20} {shown}{between}")


def _statistics(data: Path, split: str | None, output: Path | None, as_json: bool) -> None:
    # Here and not at the top, as in `diagnose`.
    from jcs_ct.datasets.statistics import as_lines, statistics, write_figures

    with _Progress() as progress:
        progress.stage("reading masks", 0)
        found = statistics(data, split, progress.advance)
    if output is not None:
        try:
            write_figures(found, output)
        except ModuleNotFoundError as error:
            raise UsageError(f"{error}; figures need the extra: pip install 'jcs-ct[evaluate]'") from error
    documents = [one.as_dict() for one in found]
    typer.echo(json.dumps(documents, indent=2) if as_json else "\n".join(as_lines(documents)))


def main() -> None:
    """Entry point of the console script."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        app()
    except JcsError as error:
        if _state["debug"]:
            raise
        typer.echo(f"jcs: {error}", err=True)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
