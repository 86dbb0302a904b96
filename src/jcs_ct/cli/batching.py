"""`jcs batch` and `jcs cohort`: many studies, and the table of what was found."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jcs_ct.cli.options import Deidentify, UidKey
from jcs_ct.cores import cores
from jcs_ct.errors import UsageError
from jcs_ct.reports.formats import ReportFormat

if TYPE_CHECKING:
    from jcs_ct.batch.driver import Totals
    from jcs_ct.batch.engine import Engine
    from jcs_ct.batch.items import Item, Part
    from jcs_ct.batch.settings import WorkSettings

SOME_FAILED = 4
"""Exit status: the batch came to its end, but some studies have no result."""
STOPPED = 5
"""Exit status: the batch was stopped before its end; the same call goes on."""

EngineName = Literal["local", "ray"]


@dataclass(frozen=True)
class _Source:
    """Where the studies come from."""

    inputs: Sequence[Path]
    service: str | None
    query: Sequence[str]
    config: Path | None


def batch(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[INPUT]...", help="Folders of studies, studies, or tables (CSV or Parquet) of them."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for all results; a second call goes on in it.")
    ] = None,
    formats: Annotated[
        list[ReportFormat] | None,
        typer.Option("--format", help="What to write beside json for each study, once for each."),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights folder in place of the one that ships.")] = None,
    threshold: Annotated[int, typer.Option(help="Patient rule: infected slices of a scan like the paper's.")] = 25,
    deidentify: Deidentify = False,
    uid_key: UidKey = None,
    engine: Annotated[EngineName, typer.Option(help="Where the workers run; ray needs the extra cluster.")] = "local",
    address: Annotated[str, typer.Option(help="Ray cluster to join: auto, local (start one), or HOST:PORT.")] = "auto",
    workers: Annotated[
        int | None, typer.Option(help="Processes; all cores if not given (Ray: of the cluster).")
    ] = None,
    threads: Annotated[int, typer.Option(help="Cores of each worker; one does most for the money.")] = 1,
    timeout: Annotated[float, typer.Option(help="Most seconds for one study.")] = 1800.0,
    memory: Annotated[float, typer.Option(help="Most GiB for a worker.")] = 4.0,
    redo: Annotated[bool, typer.Option("--redo", help="Do again what is done.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what is quarantined.")] = False,
    part: Annotated[str | None, typer.Option(help="Which part of the studies this call does, from 0, or auto.")] = None,
    of: Annotated[str | None, typer.Option(help="Number of parts; all must run, jcs cohort joins them.")] = None,
    service: Annotated[
        str | None, typer.Option("--from", help="DICOMweb service to take studies from: a URL or a peer's name.")
    ] = None,
    query: Annotated[
        list[str] | None, typer.Option(help="What to ask the service for, KEYWORD=VALUE, once for each.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings with the peer (docs/deploy.md).")] = None,
    plan: Annotated[
        Path | None, typer.Option(help="Only write a table of the studies found, to be given as INPUT.")
    ] = None,
    grace: Annotated[float, typer.Option(help="Seconds that running studies have to end on SIGTERM or Ctrl-C.")] = 20.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print progress as one JSON object a line.")] = False,
) -> None:
    """Diagnose many studies, each once, and make a table of them.

    Exit status: 0 every study has a result, 2 bad input or usage, 4 some studies have none (see cohort.csv), 5 stopped
    early: the same call goes on.
    """
    from jcs_ct.batch.items import chosen_part

    if plan is None and output is None:
        raise UsageError("expected a folder for the results: give -o")
    chosen = chosen_part(part, of)
    items = _find(_Source(inputs or [], service, query or [], config))
    if plan is not None:
        _write_plan(items, plan)
        return
    assert output is not None
    key = _key(deidentify, uid_key)
    settings = _settings(output, formats, weights, threshold, key, config)
    settings = replace(
        settings, threads=threads, timeout_s=timeout, memory_bytes=int(memory * 1024**3), redo=redo, retry=retry
    )
    items = _prepared(items, key, chosen)
    totals = _run(
        items, settings, lambda: _engine(engine, settings, workers, address), _log(output, chosen), grace, as_json
    )
    _end(totals, output, chosen, as_json)


def _find(source: _Source) -> list[Item]:
    if (source.service is None) == (not source.inputs):
        raise UsageError("expected either INPUT (folders, studies, tables) or --from with a DICOMweb service")
    if source.service is None:
        if source.query:
            raise UsageError("--query is for the service of --from: give both, or neither")
        from jcs_ct.batch.discovery import discover

        return discover(source.inputs)
    try:
        from jcs_ct.batch.dicomweb import find_studies
    except ImportError as error:
        raise UsageError('a DICOMweb service needs more than diagnosing: pip install "jcs-ct[pacs]"') from error
    from jcs_ct.batch.items import named

    query = {}
    for each in source.query:
        keyword, equals, value = each.partition("=")
        if not equals or not keyword.isalnum():
            raise UsageError(f"--query: found {each!r}, expected KEYWORD=VALUE such as StudyDate=20200301-20200630")
        query[keyword] = value
    config = None if source.config is None else str(source.config.resolve())
    return named(find_studies(source.service, query, config))


def _write_plan(items: Sequence[Item], plan: Path) -> None:
    from jcs_ct.batch.table import write_table

    try:
        write_table(items, plan)
    except OSError as error:
        raise UsageError(f"cannot write the table {plan}: {error.strerror}") from error
    typer.echo(f"{len(items)} studies | table: {plan}")


def _key(deidentify: bool, uid_key: Path | None) -> bytes | None:
    if not deidentify and uid_key is None:
        return None
    if not deidentify or uid_key is None:
        raise UsageError(
            "--deidentify and --uid-key belong together here: without one key a second call could not tell what is "
            "done; make one with: openssl rand -hex 32 > uid.key"
        )
    from jcs_ct.reports.deidentify import UidMap

    return UidMap.from_file(uid_key).key


def _settings(
    output: Path,
    formats: Sequence[ReportFormat] | None,
    weights: Path | None,
    threshold: int,
    key: bytes | None,
    config: Path | None,
) -> WorkSettings:
    from jcs_ct.batch.fingerprint import recipe
    from jcs_ct.batch.settings import WorkSettings

    names = tuple(sorted({"json", *(str(each.value) for each in formats or ())}))
    settings = WorkSettings(
        str(output.resolve()),
        weights=None if weights is None else str(weights.resolve()),
        threshold=threshold,
        formats=names,
        key=key,
        config=None if config is None else str(config.resolve()),
    )
    return replace(settings, recipe=recipe(settings))


def _prepared(items: Sequence[Item], key: bytes | None, part: Part | None) -> list[Item]:
    """The studies of this part, under names that tell nothing where the results must not."""
    from jcs_ct.batch.items import keyed_name

    if key is not None:
        items = [replace(item, name=keyed_name(item.name, key)) for item in items]
    return [item for item in items if part is None or part.has(item)]


def _log(output: Path, part: Part | None) -> Path:
    """A log for each part: parts run at once, on machines that may not see each other's appended lines."""
    return output / ("batch.log" if part is None else f"batch-part-{part.index}-of-{part.of}.log")


def _engine(name: EngineName, settings: WorkSettings, workers: int | None, address: str) -> Engine:
    if workers is not None and workers < 1:
        raise UsageError(f"--workers: found {workers}, expected at least 1")
    try:
        if name == "local":
            from jcs_ct.batch.local import LocalEngine

            return LocalEngine(settings, workers or max(1, cores() // settings.threads))
        from jcs_ct.batch.cluster import RayEngine
    except ImportError as error:
        extra = "batch" if name == "local" else "cluster"
        raise UsageError(f'the engine {name} needs more than diagnosing: pip install "jcs-ct[{extra}]"') from error
    return RayEngine(settings, workers, address)


def _run(
    items: Sequence[Item],
    settings: WorkSettings,
    engine: Callable[[], Engine],
    log: Path,
    grace: float,
    as_json: bool,
) -> Totals:
    from jcs_ct.batch.driver import Call, run_batch
    from jcs_ct.batch.records import Records
    from jcs_ct.cli.batch_progress import watching

    records = Records(settings.folder)
    stop = threading.Event()
    with _stopped_by_signals(stop), watching(log, as_json) as watcher:
        return run_batch(items, Call(records, settings, engine(), watcher, stop, grace))


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the batch in good order; a second one ends it at once."""

    def end(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(totals: Totals, output: Path, part: Part | None, as_json: bool) -> None:
    """Write the cohort, say how it went, and end with the status that says so as well."""
    from jcs_ct.batch.cohort import CohortOptions, write_cohort
    from jcs_ct.batch.records import Records
    from jcs_ct.cli.batch_progress import in_words, tell

    words = [in_words(totals)]
    stopped = totals.ended < totals.studies
    if stopped:
        words.append("stopped early: the same call goes on")
    if part is not None:
        words.append(f"part {part.index} of {part.of}: all parts must run, then: jcs cohort {output}")
    elif totals.ended:
        write_cohort(Records(output), output, CohortOptions(), anew=False)
        words.append(f"cohort: {output / 'cohort.html'}")
    status = STOPPED if stopped else SOME_FAILED if totals.failed else 0
    if as_json:
        tell(
            "end",
            status=status,
            done=totals.done,
            unchanged=totals.unchanged,
            failed=totals.failed,
            studies=totals.studies,
        )
    else:
        typer.echo(" | ".join(words))
    raise typer.Exit(status)


def cohort(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a batch.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the files; that of the batch if not given.")
    ] = None,
    thresholds: Annotated[
        list[int] | None,
        typer.Option("--threshold", help="Add the verdicts at this threshold of the patient rule, once for each."),
    ] = None,
    deidentify: Deidentify = False,
    uid_key: UidKey = None,
) -> None:
    """Make the table of a batch anew from its results: cohort.csv, cohort.parquet, cohort.html, follow_ups.csv.

    No study is diagnosed again.
    """
    from jcs_ct.batch.cohort import CohortOptions, write_cohort
    from jcs_ct.batch.records import Records

    if not (folder / "records").is_dir():
        raise UsageError(f"{folder} holds no results of a batch; expected the folder of jcs batch -o")
    options = CohortOptions(tuple(sorted(set(thresholds or ()))), _key(deidentify, uid_key))
    target = output or folder
    written = write_cohort(Records(folder), target, options)
    counts = [sum(row["verdict"] == verdict for row in written.rows) for verdict in ("positive", "negative")]
    words = [f"{len(written.rows)} studies", f"{counts[0]} positive", f"{counts[1]} negative"]
    for threshold in options.thresholds:
        positive = sum(row[f"verdict_at_{threshold}"] == "positive" for row in written.rows)
        words.append(f"{positive} positive at {threshold}")
    typer.echo(" | ".join([*words, f"cohort: {os.fspath(target / 'cohort.html')}"]))
