"""The node: takes images, makes jobs of complete studies, sends the results of ended jobs.

    with Node(settings).running() as node:
        ...

Three kinds of threads do it: pynetdicom's (an association each), one that hands in, and one that sends. All that they
must not forget is on the disk, so the process may be killed at any time.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pynetdicom import AE
from pynetdicom.presentation import AllStoragePresentationContexts

from jcs_ct.errors import QueueError, UsageError
from jcs_ct.jobs.folders import temporary_files_in
from jcs_ct.jobs.job import JobOptions
from jcs_ct.jobs.patched import missing_patches
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.settings import QueueSettings
from jcs_ct.pacs.access import AccessList
from jcs_ct.pacs.arrivals import Arrivals
from jcs_ct.pacs.audit import Audit
from jcs_ct.pacs.commitment import confirm_due
from jcs_ct.pacs.folders import NodeFolders
from jcs_ct.pacs.handlers import Handlers
from jcs_ct.pacs.library import log
from jcs_ct.pacs.outbox import Outbox
from jcs_ct.pacs.records import Records
from jcs_ct.pacs.server import PatientServer
from jcs_ct.pacs.settings import OtherObjects, PacsSettings
from jcs_ct.pacs.sop_classes import CT_STORAGE, SENT_SYNTAXES, STORAGE_COMMITMENT, TAKEN_SYNTAXES, VERIFICATION
from jcs_ct.pacs.submission import SubmissionDesk, Submitted
from jcs_ct.pacs.tls import client_context, server_context

_HAND_IN_AGAIN_S = 5.0
_SWEEP_S = 60.0
_MORE_THAN_EVER = 10_000


class Node:
    """A DICOM node on the store of a queue.

    Args:
        settings: Of the node.
        queue_settings: Of the queue; its limits are asked when a study is handed in.

    Raises:
        UsageError: The store cannot be written, or certificates do not load.
        QueueError: The queue or the node's records cannot be opened.
    """

    def __init__(self, settings: PacsSettings, queue_settings: QueueSettings | None = None) -> None:
        self.settings = settings
        self.folders = NodeFolders(settings.store)
        self._tls = None if settings.tls is None else server_context(settings.tls)
        if settings.tls is not None:
            client_context(settings.tls)
        self.audit = Audit(self.folders.audit)
        self.queue = JobQueue(settings.store, queue_settings)
        self.records = Records(self.folders.database)
        self.arrivals = Arrivals(self.folders, settings.node)
        options = JobOptions(formats=settings.results.formats)
        self.desk = SubmissionDesk(self.folders, self.queue, self.records, self.audit, options)
        self.outbox = Outbox(settings, self.queue, self.records, self.audit)
        self._stopping = threading.Event()
        self._port: int | None = None
        self._not_before: dict[str, float] = {}
        self._next_sweep = 0.0

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._port is None:
            raise ValueError("the node does not listen")
        return self._port

    def close(self) -> None:
        """Let go of the files."""
        self.records.close()
        self.queue.close()

    @contextmanager
    def running(self, submit: bool = True, send: bool = True) -> Iterator[Node]:
        """Receive, and, if wanted, hand in what is complete and send results, until the end of the context.

        Raises:
            UsageError: Another process is the node of this store, or the port is taken.
        """
        with ExitStack() as stack:
            if not stack.enter_context(self.folders.locked()):
                raise UsageError(f"{self.settings.store} has a node that runs already; expected one: stop the other")
            # pynetdicom writes what arrives into temporary files: there, so that keeping one is a rename.
            stack.enter_context(temporary_files_in(self.folders.receiving))
            stack.enter_context(self._receiving())
            for wanted, work, name in ((submit, self.submit_due, "hand-in"), (send, self._send, "sender")):
                if wanted:
                    stack.enter_context(self._thread(name, work))
            stack.callback(self._stopping.set)
            yield self

    @contextmanager
    def _receiving(self) -> Iterator[None]:
        self.arrivals.recover()
        node = self.settings.node
        handlers = Handlers(self.settings, self.arrivals, self.records, self.audit)
        entity = self._entity()
        try:
            server = PatientServer(
                entity,
                (node.host, node.port),
                self._tls,
                handlers.bound,
                access=AccessList(self.settings),
                timeout_s=node.network_timeout_s,
                most=node.max_associations,
                longest_pdu=node.max_pdu_bytes,
                limited=lambda kind, address: self.audit.note_limited("limit", address, kind=kind),
            )
        except OSError as error:
            raise UsageError(
                f"[node] host, port: cannot listen at {node.host} {node.port} ({error.strerror}); choose others"
            ) from error
        self._port = int(server.server_address[1])
        if (advice := missing_patches()) is not None:
            log.warning("%s", advice)
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="dicom-server", daemon=True)
        thread.start()
        log.info("listening as %s at %s, port %d%s", node.ae_title, node.host, self._port, ", TLS" if self._tls else "")
        self.audit.note("started", port=self._port, tls=self._tls is not None)
        try:
            yield
        finally:
            server.stop()
            thread.join()
            self.audit.note("stopped")

    def _entity(self) -> AE:
        node = self.settings.node
        entity = AE(node.ae_title)
        entity.maximum_pdu_size = node.max_pdu_bytes
        # pynetdicom counts callers that are not in yet, too; the handlers count those that are.
        entity.maximum_associations = _MORE_THAN_EVER
        entity.network_timeout = entity.dimse_timeout = node.network_timeout_s
        entity.acse_timeout = min(10.0, node.network_timeout_s)
        entity.require_called_aet = True
        entity.add_supported_context(VERIFICATION, [*SENT_SYNTAXES])
        entity.add_supported_context(STORAGE_COMMITMENT, [*SENT_SYNTAXES], scu_role=True, scp_role=True)
        if node.other_objects is OtherObjects.DROP:
            for context in AllStoragePresentationContexts:
                entity.add_supported_context(str(context.abstract_syntax), [*TAKEN_SYNTAXES])
        for sop_class in CT_STORAGE:
            entity.add_supported_context(sop_class, [*TAKEN_SYNTAXES])
        return entity

    @contextmanager
    def _thread(self, name: str, work: Callable[[], None]) -> Iterator[None]:
        def repeat() -> None:
            while not self._stopping.is_set():
                try:
                    work()
                except (QueueError, OSError) as error:  # a full disk, mostly: it is tried again
                    log.error("%s: %s", name, getattr(error, "strerror", None) or error)
                except Exception as error:  # the node must go on, and messages of others may name the patient
                    place = traceback.extract_tb(error.__traceback__)[-1]
                    what = f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"
                    log.error("%s: unexpected %s; please report it", name, what)
                self._stopping.wait(self.settings.node.poll_s)

        thread = threading.Thread(target=repeat, name=name, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()

    def submit_due(self) -> None:
        """Close the studies that are complete, and make jobs of all that are closed."""
        for study in self.arrivals.due():
            self.arrivals.close(study)
        now = time.monotonic()
        for folder in self.desk.waiting():
            if now >= self._not_before.get(folder.name, 0.0):
                self._submit(folder.name)
        if now >= self._next_sweep:
            self._next_sweep = now + _SWEEP_S
            self.arrivals.drop_abandoned()
            self.desk.forget_removed()

    def _submit(self, name: str) -> Submitted | None:
        try:
            handed = self.desk.submit(self.folders.closed / name)
        except QueueError as error:
            log.warning("a study waits for the queue: %s", error)
            self._not_before[name] = time.monotonic() + _HAND_IN_AGAIN_S
            return None
        self._not_before.pop(name, None)
        return handed

    def _send(self) -> None:
        self.outbox.settle_ended()
        self.outbox.send_due()
        self.outbox.ask_due()
        confirm_due(self.settings, self.desk, self.records, self.audit)
