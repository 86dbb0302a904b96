"""`jcs pacs`: the DICOM node and its helpers. Imports are inside the functions, as the help needs none of them."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jcs_ct.errors import PeerError, UsageError

if TYPE_CHECKING:
    from jcs_ct.jobs.settings import QueueSettings
    from jcs_ct.pacs.settings import PacsSettings

pacs = typer.Typer(help="DICOM node: take CT studies from peers, diagnose them, send the results back.")

Config = Annotated[Path | None, typer.Option(help="TOML file of settings (docs/deploy.md).")]
Store = Annotated[Path | None, typer.Option(help="Folder of the queue, in place of the file's.")]


@pacs.command()
def serve(
    config: Config = None,
    store: Store = None,
    ae_title: Annotated[str | None, typer.Option(help="Our AE title, in place of the file's.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen at, in place of the file's.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen at, in place of the file's.")] = None,
    workers: Annotated[bool, typer.Option(help="Diagnose here; not where jcs serve on the store does.")] = True,
    weights: Annotated[Path | None, typer.Option(help="Weights folder in place of the one that ships.")] = None,
    threads: Annotated[int | None, typer.Option(help="Cores to use; all if not given.")] = None,
) -> None:
    """Run the node until it is stopped (SIGTERM or Ctrl-C)."""
    settings = _settings(config, store, ae_title=ae_title, host=host, port=port)
    from contextlib import ExitStack

    from jcs_ct.jobs.supervisor import Supervisor
    from jcs_ct.pacs.node import Node
    from jcs_ct.study.quiet import quiet_libraries

    queue_settings = _queue_settings(weights, threads)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    node = Node(settings, queue_settings)
    with ExitStack() as stack:
        stack.enter_context(quiet_libraries())  # all the time: they quote what peers send
        stack.callback(node.close)
        stack.enter_context(node.running())
        if workers:
            stack.enter_context(Supervisor(settings.store, queue_settings))
        ended.wait()


@pacs.command()
def pull(
    peer: Annotated[str, typer.Option("--from", help="Name of the peer in the file of settings.")],
    config: Config = None,
    store: Store = None,
    accession: Annotated[str | None, typer.Option(help="Accession Number of the study.")] = None,
    study_uid: Annotated[str | None, typer.Option(help="Study Instance UID.")] = None,
    by: Annotated[Literal["c-move", "dicomweb"], typer.Option(help="How to ask and to fetch.")] = "c-move",
) -> None:
    """Fetch a study from a peer, and hand it in. The node (jcs pacs serve) or jcs serve diagnoses it."""
    settings = _settings(config, store)
    from jcs_ct.pacs.node import Node
    from jcs_ct.pacs.pull import Wanted
    from jcs_ct.pacs.pull import pull as fetch

    node = Node(settings)
    try:
        for got in fetch(node, settings.peer(peer), Wanted(accession, study_uid), by == "dicomweb"):
            if got.handed_in is None:
                typer.echo(f"{got.images} images | the node on this store hands them in")
            else:
                new = "" if got.handed_in.new else " (which has read them before)"
                typer.echo(f"{got.images} images | job {got.handed_in.job_id}{new}")
    finally:
        node.close()


@pacs.command()
def send(
    job: Annotated[str, typer.Argument(help="Id of a job that has ended with a result.")],
    peer: Annotated[str, typer.Option("--to", help="Name of the peer in the file of settings.")],
    config: Config = None,
    store: Store = None,
) -> None:
    """Send the DICOM objects of a job to a peer, again if it has them."""
    settings = _settings(config, store)
    from jcs_ct.pacs.node import Node
    from jcs_ct.pacs.outbox import send_job

    node = Node(settings)
    try:
        count = send_job(settings, node.queue, node.records, node.audit, job, peer)
        with node.folders.locked() as alone:
            if not alone:
                typer.echo(f"{count} objects | the node on this store sends them")
                return
            node.outbox.send_due(peer)
        waiting = [each for each in node.records.deliveries_of(job) if each.peer == peer and each.state == "waiting"]
        if waiting:
            raise PeerError(f"{waiting[0].reason}; {len(waiting)} of {count} objects wait, the next start sends them")
        typer.echo(f"{count} objects sent to {peer}")
    finally:
        node.close()


@pacs.command()
def echo(
    peer: Annotated[str | None, typer.Argument(help="Name of a peer; the node of these settings if none.")] = None,
    config: Config = None,
    store: Store = None,
    port: Annotated[int | None, typer.Option(help="Port of the node, in place of the file's.")] = None,
) -> None:
    """Ask a peer, or the node itself, for a sign of life (C-ECHO)."""
    settings = _settings(config, store, port=port)
    from jcs_ct.pacs.echo import echo as ask

    ask(settings, None if peer is None else settings.peer(peer))
    typer.echo(f"{peer or settings.node.ae_title} answers")


def _settings(config: Path | None, store: Path | None, **node: object) -> PacsSettings:
    try:
        import pynetdicom
    except ImportError as error:
        raise UsageError('the DICOM node needs more than diagnosing: pip install "jcs-ct[pacs]"') from error
    from jcs_ct.pacs.settings import load_settings

    del pynetdicom
    logging.getLogger("jcs_ct.pacs").setLevel(logging.INFO)
    return load_settings(config, store, **node)


def _queue_settings(weights: Path | None, threads: int | None) -> QueueSettings:
    from jcs_ct.jobs.settings import QueueSettings

    try:
        return QueueSettings(
            threads=threads, task_settings={} if weights is None else {"weights": str(weights.resolve())}
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
