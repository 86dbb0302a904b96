"""Commands that put weights to the test: evaluate, calibrate.

Imports are inside the functions: the help and the other commands need none of them, and they take a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jcs_ct.cli.progress import Progress
from jcs_ct.errors import UsageError

if TYPE_CHECKING:
    from jcs_ct.diagnosis.pipeline import Diagnoser
    from jcs_ct.weights import Fitted as Fit


class Benchmark(StrEnum):
    """What can be evaluated."""

    SEGMENTATION = "segmentation"
    CLASSIFICATION = "classification"
    COVERAGE = "coverage"
    AGREEMENT = "agreement"
    TYPICALITY = "typicality"
    LOCALISATION = "localisation"
    SHORTCUT = "shortcut"
    COMPOSITION = "composition"
    STATISTICS = "statistics"


class Fitted(StrEnum):
    """What `calibrate` fits."""

    TYPICALITY = "typicality"
    PROBABILITY = "probability"
    COMPOSITION = "composition"
    INTERVALS = "intervals"
    EVIDENCE = "evidence"


def evaluate(
    benchmark: Annotated[Benchmark, typer.Argument(help="What to evaluate.")],
    data: Annotated[Path, typer.Option(help="Folder that holds the data sources, or one of them, or own data.")],
    split: Annotated[str | None, typer.Option(help="train, val or test; test, or all for statistics.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights folder in place of the one that ships.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for plots, or similar slices.")] = None,
    allow_similar: Annotated[
        bool, typer.Option("--allow-similar", help="Go on though own slices in different splits look the same.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Put the weights to the test on public data or one's own, or tell what the data hold (see docs/data.md)."""
    from jcs_ct import benchmarks
    from jcs_ct.diagnosis.pipeline import Diagnoser

    if benchmark is Benchmark.STATISTICS:
        _statistics(data, split, output, as_json)
        return
    runs: dict[Benchmark, Callable[..., list[benchmarks.BenchmarkResult]]] = {
        Benchmark.SEGMENTATION: benchmarks.segmentation,
        Benchmark.CLASSIFICATION: partial(benchmarks.classification, plots=output),
        Benchmark.COVERAGE: partial(benchmarks.coverage, plots=output),
        Benchmark.AGREEMENT: benchmarks.agreement,
        Benchmark.TYPICALITY: benchmarks.typicality,
        Benchmark.LOCALISATION: benchmarks.localisation,
        Benchmark.SHORTCUT: benchmarks.shortcut,
        Benchmark.COMPOSITION: benchmarks.composition,
    }
    with Progress() as progress:
        progress.stage("comparing splits", 0)
        benchmarks.check_own_data(data, None if output is None else output / "similar.png", allow_similar)
        progress.stage(f"evaluating {benchmark}", 0)
        try:
            results = runs[benchmark](Diagnoser(weights), data, split or "test", progress.advance)
        except ModuleNotFoundError as error:
            raise UsageError(f"{error}; plots need the extra: pip install 'jcs-ct[evaluate]'") from error
    if as_json:
        typer.echo(json.dumps([result.as_dict() for result in results], indent=2))
        return
    for result in results:
        typer.echo(f"{result.source} ({result.protocol})")
        for name, value in result.figures.items():
            interval = result.intervals.get(name)
            shown = "not defined" if value is None else f"{value:.4g}"
            between = "" if interval is None else f"  [{interval[0]:.3f}, {interval[1]:.3f}]"
            typer.echo(f"  {name:<24} {shown}{between}")


def _statistics(data: Path, split: str | None, output: Path | None, as_json: bool) -> None:
    from jcs_ct.datasets.statistics import as_lines, statistics, write_figures

    with Progress() as progress:
        progress.stage("reading masks", 0)
        found = statistics(data, split, progress.advance)
    if output is not None:
        try:
            write_figures(found, output)
        except ModuleNotFoundError as error:
            raise UsageError(f"{error}; figures need the extra: pip install 'jcs-ct[evaluate]'") from error
    documents = [one.as_dict() for one in found]
    typer.echo(json.dumps(documents, indent=2) if as_json else "\n".join(as_lines(documents)))


def calibrate(
    weights: Annotated[Path, typer.Option(help="Weights folder whose manifest the calibration goes into.")],
    data: Annotated[Path, typer.Option(help="Folder that holds the data sources.")],
    only: Annotated[Fitted | None, typer.Option(help="One of them; without it all but intervals.")] = None,
    between: Annotated[
        tuple[float, float] | None,
        typer.Option(help="With --only intervals: thresholds to take, of weights that know the validation slices."),
    ] = None,
) -> None:
    """Fit what turns the networks' answers into results, and keep it in the manifest.

    What slices are usual to the classifier; its probabilities, on all patients that are not for testing; the density
    above which an opacity is consolidation; how both networks together tell an infected slice, on validation patients;
    and, if asked for, the thresholds that intervals of volumes are made with, on validation slices that were not
    trained on.
    """
    if between is not None and only is not Fitted.INTERVALS:
        raise UsageError("found --between, expected it with --only intervals alone")
    from jcs_ct.benchmarks import fit_slice_evidence
    from jcs_ct.diagnosis.pipeline import Diagnoser
    from jcs_ct.weights import write_evidence, write_fitted

    fits: dict[Fitted, Callable[[Diagnoser, Path, Callable[[int], None]], _Fit]] = {
        Fitted.TYPICALITY: partial(_fit_typicality, weights),
        Fitted.PROBABILITY: _fit_probability,
        Fitted.COMPOSITION: _fit_composition,
        Fitted.INTERVALS: partial(_fit_intervals, between),
    }
    wanted = [what for what in Fitted if what is not Fitted.INTERVALS] if only is None else [only]
    diagnoser, lines = Diagnoser(weights), []
    with Progress() as progress:
        progress.stage("calibrating", 0)
        for what in wanted:
            if what is Fitted.EVIDENCE:
                evidence, fitted_on = fit_slice_evidence(diagnoser, data, progress.advance)
                write_evidence(weights, asdict(evidence), fitted_on)
                lines.append(f"evidence {asdict(evidence)}; fitted on {fitted_on}")
                continue
            network, name, value, fitted_on, told = fits[what](diagnoser, data, progress.advance)
            write_fitted(weights, network, name, value, fitted_on)
            lines.append(f"{told}; fitted on {fitted_on}")
    typer.echo("\n".join(lines))


_Fit = tuple[str, str, "Fit", str, str]
"""Of which network, by what name in its manifest entry, the value, what it was fitted on, and all that in words."""


def _fit_probability(diagnoser: Diagnoser, data: Path, step: Callable[[int], None]) -> _Fit:
    from jcs_ct import benchmarks

    fit = benchmarks.calibrate(diagnoser, data, step)
    told = (
        f"scale {fit.scaling.scale:g}, bias {fit.scaling.bias:g}; cross-fitted ECE {fit.ece:.3f}, of the slices that "
        f"were not trained on {fit.ece_val:.3f}"
    )
    return "classifier", "calibration", asdict(fit.scaling), fit.fitted_on, told


def _fit_typicality(weights: Path, diagnoser: Diagnoser, data: Path, step: Callable[[int], None]) -> _Fit:
    from jcs_ct import benchmarks
    from jcs_ct.weights import file_sha256

    typicality, levels, fitted_on = benchmarks.fit_usual(diagnoser, data, step)
    path = weights / "classifier.typicality.npz"
    typicality.save(path)
    kept = {"file": path.name, "sha256": file_sha256(path), **asdict(levels)}
    told = f"slices are unusual above {levels.unusual:g}, beyond judging above {levels.limit:g}"
    return "classifier", "typicality", kept, fitted_on, told


def _fit_intervals(
    between: tuple[float, float] | None, diagnoser: Diagnoser, data: Path, step: Callable[[int], None]
) -> _Fit:
    from jcs_ct import benchmarks

    found, fitted_on = benchmarks.fit_intervals(diagnoser, data, step, between)
    wanted = "" if found.coverage is None else f" for {found.coverage:.0%} of slices"
    tested = "" if found.measured is None else f", found {found.measured:.0%} on test slices"
    told = f"thresholds {found.lower:g} and {found.upper:g}{wanted}{tested}"
    return "segmenter", "area_thresholds", asdict(found), fitted_on, told


def _fit_composition(diagnoser: Diagnoser, data: Path, step: Callable[[int], None]) -> _Fit:
    from jcs_ct import benchmarks

    fit = benchmarks.fit_composition(diagnoser, data, step)
    told = (
        f"consolidation above {fit.level_hu:g} HU; cross-validated Dice: ground glass {fit.ground_glass_dice:.3f}, "
        f"consolidation {fit.consolidation_dice:.3f}"
    )
    return "segmenter", "consolidation_hu", fit.level_hu, fit.fitted_on, told
