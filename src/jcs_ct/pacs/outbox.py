"""Results on their way to peers, each object until the peer has said that it has it.

What is to be sent is in the node's records as soon as a job has ended, and is struck off object by object, so a restart
goes on where it stopped. Between a peer's answer and our note of it lies a moment; after a kill within it the object is
sent once more, as the same SOP Instance, which an archive keeps once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from pydicom import dcmread

from jcs_ct.errors import NoSuchJobError, PeerError, QueueError, UsageError
from jcs_ct.jobs.job import JobState
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.revisions import reports_of
from jcs_ct.pacs.audit import Audit
from jcs_ct.pacs.commitment import ask_for_commitment
from jcs_ct.pacs.library import log
from jcs_ct.pacs.records import Delivery, Records
from jcs_ct.pacs.senders import send_objects
from jcs_ct.pacs.settings import PacsSettings
from jcs_ct.pacs.submission import OWNER
from jcs_ct.reports.dicom_report import FOLDER
from jcs_ct.study.quiet import quiet_libraries


class Outbox:
    """What is to be sent by one node."""

    def __init__(self, settings: PacsSettings, queue: JobQueue, records: Records, audit: Audit) -> None:
        self._settings = settings
        self._queue = queue
        self._records = records
        self._audit = audit

    def settle_ended(self) -> int:
        """Look for jobs that have ended, and note what is to be sent.

        Returns:
            How many have.
        """
        ended = 0
        for each in self._records.unsettled():
            try:
                state = self._queue.job(each.job_id, OWNER).state
            except NoSuchJobError:
                self._records.forget(each.job_id)
                continue
            if not state.ended:
                continue
            objects = objects_of(self._queue, each.job_id) if state.has_result else ()
            peers = self._settings.destinations
            self._records.settle(each.job_id, objects, peers)
            self._audit.note("job_ended", job=each.job_id, state=str(state), objects=len(objects), peers=list(peers))
            if state is JobState.FAILED:
                log.error("job %s failed: nothing is sent; jcs serve shows why", each.job_id)
            ended += 1
        return ended

    def send_due(self, peer: str | None = None) -> int:
        """Send what is due, to one peer or all; returns how many objects arrived."""
        arrived = 0
        down: dict[str, str] = {}
        for (name, job_id), group in groupby(self._records.due(peer=peer), lambda each: (each.peer, each.job_id)):
            deliveries = tuple(group)
            if name in down:  # calling it once a round is enough: it may take long to learn that it is not there
                self._put_off(deliveries, down[name])
                continue
            try:
                arrived += self._send(name, job_id, deliveries)
            except PeerError as error:
                down[name] = str(error)
        return arrived

    def _send(self, name: str, job_id: str, deliveries: Sequence[Delivery]) -> int:
        """Send objects of one job to one peer; what did not arrive is put off, also where the peer is down."""
        arrived, answered = 0, 0
        try:
            peer = self._settings.peer(name)
            self._queue.job(job_id)
            folder = self._queue.folders.job(job_id)
            objects = [(each.sop_class, folder / each.path) for each in deliveries]
            for each, failure in zip(deliveries, send_objects(self._settings, peer, objects), strict=True):
                answered += 1
                if failure is None:
                    self._records.change([each.number], state="sent", reason=None, attempts=each.attempts + 1)
                    self._audit.note("object_sent", job=job_id, peer=name, object=Path(each.path).name)
                    arrived += 1
                else:
                    self._put_off([each], failure)
        except NoSuchJobError:
            self._records.forget(job_id)
        except (PeerError, QueueError, UsageError, OSError) as error:
            self._put_off(deliveries[answered:], getattr(error, "strerror", None) or str(error))
            if isinstance(error, PeerError):
                raise
        if arrived:
            log.info("job %s: %d objects sent to %s", job_id, arrived, name)
        return arrived

    def _put_off(self, deliveries: Sequence[Delivery], reason: str) -> None:
        """Once more later, the later the longer it has failed."""
        settings = self._settings.results
        for each in deliveries:
            delay = settings.pause_s(each.attempts + 1)
            over = time.time() + delay - each.since > settings.give_up_s
            self._records.change(
                [each.number],
                state="given_up" if over else "waiting",
                attempts=each.attempts + 1,
                not_before=time.time() + delay,
                reason=reason,
            )
            if over:
                self._audit.note("object_given_up", job=each.job_id, peer=each.peer, object=each.path, reason=reason)
        if deliveries:
            log.warning("job %s: not sent to %s: %s", deliveries[0].job_id, deliveries[0].peer, reason)

    def ask_due(self) -> None:
        """Ask peers to confirm what they were sent, and once more where they did not answer."""
        results = self._settings.results
        wanted = {peer.name: peer for peer in self._settings.peers if peer.commitment}
        due = [*self._records.due("sent"), *self._records.due("asked")]
        due = [each for each in due if each.peer in wanted]
        for (name, job_id), group in groupby(sorted(due, key=_place), lambda each: (each.peer, each.job_id)):
            deliveries = tuple(group)
            if any(each.state == "waiting" for each in self._records.deliveries_of(job_id) if each.peer == name):
                continue  # the rest comes first, so that one transaction is about all
            again = time.time() + results.commitment_s
            try:
                ask_for_commitment(self._settings, wanted[name], deliveries, self._records, self._audit, again)
            except PeerError as error:  # it is asked again when its answer is overdue
                log.warning("job %s: storage commitment could not be asked for: %s", job_id, error)


def _place(each: Delivery) -> tuple[str, str, int]:
    return each.peer, each.job_id, each.number


def objects_of(queue: JobQueue, job_id: str) -> tuple[tuple[str, str, str], ...]:
    """The DICOM objects among the latest reports of a job: SOP class, SOP Instance UID, file below the job's folder.

    Raises:
        QueueError: The job has no reports.
    """
    reports = reports_of(queue, job_id)
    found = []
    for path in sorted((reports / FOLDER).glob("*.dcm")):
        with quiet_libraries():
            header = dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"], stop_before_pixels=True)
        place = path.relative_to(queue.folders.job(job_id)).as_posix()
        found.append((str(header.SOPClassUID), str(header.SOPInstanceUID), place))
    return tuple(found)


def send_job(settings: PacsSettings, queue: JobQueue, records: Records, audit: Audit, job_id: str, name: str) -> int:
    """Note that the results of a job are to go to a peer, whether it has them or not.

    Returns:
        How many objects that is.

    Raises:
        JcsError: There is no such job or peer, or nothing to send.
    """
    peer = settings.peer(name)
    if not peer.takes_results:
        raise UsageError(f"peer {name}: it is not known where it listens; give [peers.{name}] a host or dicomweb")
    objects = objects_of(queue, job_id)
    if not objects:
        raise UsageError(f"job {job_id} has no DICOM objects among its reports; expected some: its input was no DICOM")
    records.send_again(job_id, objects, name)
    audit.note("send_requested", job=job_id, peer=name, objects=len(objects))
    return len(objects)
