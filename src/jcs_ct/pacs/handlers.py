"""What the node answers to each request of a peer; all are bound in `Handlers.bound`."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association

from jcs_ct.errors import QueueFullError, UnreadableFileError
from jcs_ct.pacs.access import AccessList
from jcs_ct.pacs.arrivals import Arrivals
from jcs_ct.pacs.audit import Audit
from jcs_ct.pacs.dimse import GuardedDimse
from jcs_ct.pacs.image_file import ImageFile, read_image_file
from jcs_ct.pacs.library import log
from jcs_ct.pacs.records import Records
from jcs_ct.pacs.settings import PacsSettings, ResultSettings
from jcs_ct.pacs.sop_classes import CT_STORAGE

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
INVALID_ARGUMENT = 0x0115
NO_SUCH_ACTION = 0x0123
NO_SUCH_EVENT = 0x0113
NOT_AUTHORISED = 0x0124
RESOURCE_LIMITATION = 0x0213
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000
REJECTED_PERMANENT, BY_SERVICE_USER, CALLING_AE_TITLE = 0x01, 0x01, 0x03
REJECTED_TRANSIENT, BY_PRESENTATION, LOCAL_LIMIT = 0x02, 0x03, 0x02
REQUEST_COMMITMENT = 1
ALL_COMMITTED, SOME_FAILED = 1, 2
_LOOK_EVERY = 16 * 1024**2
_UID_LENGTH = 64
_OBJECTS = 10_000
"""Of one request for storage commitment."""


@dataclass
class _Conversation:
    """What goes on within one association."""

    unanswered_bytes: int = 0
    """Received since the last answer."""
    next_look: int = _LOOK_EVERY
    """At the disk, when so much was received."""
    images: int = 0
    refused: int = 0
    studies: set[str] = field(default_factory=set)


class Handlers:
    """The node's answers.

    Args:
        settings: Of the node.
        arrivals: Where images go.
        records: Where requests for confirmation go.
        audit: Where it is written down.
    """

    def __init__(self, settings: PacsSettings, arrivals: Arrivals, records: Records, audit: Audit) -> None:
        self._settings = settings
        self._access = AccessList(settings)
        self._arrivals = arrivals
        self._records = records
        self._audit = audit
        self._lock = threading.Lock()
        self._conversations: dict[Association, _Conversation] = {}
        self._admitted: dict[Association, str] = {}
        """Associations that were admitted, with the AE title of who called."""

    @property
    def bound(self) -> list[Any]:
        """Every event that the node listens to."""
        return [
            (evt.EVT_CONN_OPEN, self.on_open),
            (evt.EVT_REQUESTED, self.on_requested),
            (evt.EVT_REJECTED, self.on_rejected),
            (evt.EVT_PDU_RECV, self.on_pdu),
            (evt.EVT_CONN_CLOSE, self.on_close),
            (evt.EVT_DIMSE_RECV, self.on_message),
            (evt.EVT_C_ECHO, self.on_echo),
            (evt.EVT_C_STORE, self.on_store),
            (evt.EVT_N_ACTION, self.on_action),
            (evt.EVT_N_EVENT_REPORT, self.on_event_report),
        ]

    # Associations

    def on_open(self, event: evt.Event) -> None:
        """A connection: what it will bring is kept within limits."""
        association = event.assoc

        def tell(reason: str) -> None:
            log.error("an association is aborted, as of a message: %s", reason)
            self._audit.note_limited("association_aborted", str(association.requestor.address), reason=reason)

        association.dimse = GuardedDimse(association, self._settings.node.max_pdu_bytes, tell)

    def on_message(self, event: evt.Event) -> None:
        """A message that came whole."""
        if isinstance(event.assoc.dimse, GuardedDimse):
            event.assoc.dimse.count_report(event.message)

    def on_requested(self, event: evt.Event) -> None:
        """A-ASSOCIATE-RQ: turn callers away that are not on the list; pynetdicom looks at the called AE title."""
        title, address = _caller(event)
        if not self._access.admits(title, address):
            reason = "no peer with its AE title is known to call from there"
            self._reject(event, reason, REJECTED_PERMANENT, BY_SERVICE_USER, CALLING_AE_TITLE)
        elif not self._access.certificate_fits(title, address, _certificate(event.assoc)):
            reason = "its certificate does not speak for its AE title"
            self._reject(event, reason, REJECTED_PERMANENT, BY_SERVICE_USER, CALLING_AE_TITLE)
        elif not self._has_room(event.assoc, title):
            self._reject(event, "there are too many", REJECTED_TRANSIENT, BY_PRESENTATION, LOCAL_LIMIT)

    def _has_room(self, association: Association, title: str) -> bool:
        node = self._settings.node
        with self._lock:
            # Those that ended without a word are found here.
            self._admitted = {each: who for each, who in self._admitted.items() if each.is_alive()}
            own = sum(who == title for who in self._admitted.values())
            if len(self._admitted) >= node.max_associations or own >= node.max_associations_per_peer:
                return False
            self._admitted[association] = title
            return True

    def _reject(self, event: evt.Event, reason: str, result: int, source: int, diagnostic: int) -> None:
        title, address = _caller(event)
        log.warning("an association from %s is refused: %s", address, reason)
        self._audit.note_limited("association_refused", address, who=title, reason=reason)
        event.assoc.acse.send_reject(result, source, diagnostic)
        event.assoc.kill()  # returns when the caller has been told

    def on_rejected(self, event: evt.Event) -> None:
        """Turned away by pynetdicom: another AE title was called."""
        title, address = _caller(event)
        log.warning("an association from %s is refused: it called another AE title", address)
        self._audit.note_limited("association_refused", address, who=title, reason="it called another AE title")

    def on_pdu(self, event: evt.Event) -> None:
        """Any PDU: what comes for a study keeps it open, and no object may be endless."""
        conversation = self._conversation(event.assoc)
        conversation.unanswered_bytes += len(event.pdu)
        if conversation.unanswered_bytes > self._settings.node.max_instance_bytes:
            log.error("an association is aborted: an object is larger than [node] max_instance_bytes")
            event.assoc.abort()
        elif conversation.unanswered_bytes > conversation.next_look:
            conversation.next_look = conversation.unanswered_bytes + _LOOK_EVERY
            if self._arrivals.disk_is_full():
                log.error("an association is aborted: the disk fills up")
                event.assoc.abort()
        self._arrivals.touch(tuple(conversation.studies))

    def on_close(self, event: evt.Event) -> None:
        """The connection is gone, in the middle of an image perhaps."""
        if isinstance(event.assoc.dimse, GuardedDimse):
            event.assoc.dimse.close()
        with self._lock:
            self._admitted.pop(event.assoc, None)
            conversation = self._conversations.pop(event.assoc, None)
        if conversation is not None and (conversation.images or conversation.refused):
            title, address = _caller(event)
            self._audit.note(
                "images_received",
                who=title,
                address=address,
                studies=sorted(conversation.studies),
                images=conversation.images,
                refused=conversation.refused,
            )

    def _conversation(self, association: Association) -> _Conversation:
        with self._lock:
            return self._conversations.setdefault(association, _Conversation())

    # Requests

    def on_echo(self, event: evt.Event) -> int:
        """C-ECHO."""
        self._conversation(event.assoc).unanswered_bytes = 0
        return SUCCESS

    def on_store(self, event: evt.Event) -> int:
        """C-STORE: success means that the image is on the disk under its own name."""
        conversation = self._conversation(event.assoc)
        conversation.unanswered_bytes, conversation.next_look = 0, _LOOK_EVERY
        status = self._store(event, conversation)
        conversation.images += status == SUCCESS
        conversation.refused += status != SUCCESS
        return status

    def _store(self, event: evt.Event, conversation: _Conversation) -> int:
        request: Any = event.request
        asked = (str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        if self._access.is_own(_caller(event)[0]):
            return NOT_AUTHORISED
        if asked[0] not in CT_STORAGE:  # taken only to be dropped: see `OtherObjects`
            return SUCCESS
        try:
            image: ImageFile = read_image_file(event.dataset_path)
            if (image.sop_class, image.sop_uid) != asked:
                log.error("an image is refused: its UIDs are not those of the request")
                return DOES_NOT_MATCH
            title, address = _caller(event)
            kept = self._arrivals.keep(image, title)
            conversation.studies.add(kept.study)
            if kept.apart:
                log.warning(
                    "an image from %s contradicts what another sender or patient has there: kept apart", address
                )
                self._audit.note_limited("study_contradicted", address, who=title, study=kept.study)
        except UnreadableFileError as error:
            log.error("an image is refused: %s", error)
            return CANNOT_UNDERSTAND
        except (QueueFullError, OSError) as error:
            log.error("an image is refused, out of resources: %s", getattr(error, "strerror", None) or error)
            return OUT_OF_RESOURCES
        except Exception as error:  # its message may quote the image
            log.error("an image is refused: unexpected %s; please report it", type(error).__name__)
            return PROCESSING_FAILURE
        return SUCCESS

    def on_action(self, event: evt.Event) -> tuple[int, None]:
        """N-ACTION of storage commitment: written down, and answered by N-EVENT-REPORT in an association of our own."""
        self._conversation(event.assoc).unanswered_bytes = 0
        title, address = _caller(event)
        peer = self._settings.caller(title)
        if event.action_type != REQUEST_COMMITMENT:
            return NO_SUCH_ACTION, None
        if peer is None or not peer.host:
            log.error("storage commitment is refused: it is not known where the caller listens; give its peer a host")
            return PROCESSING_FAILURE, None
        try:
            asked: Dataset = event.action_information
            transaction = str(asked.TransactionUID)
            objects = [
                (str(one.ReferencedSOPClassUID), str(one.ReferencedSOPInstanceUID))
                for one in asked.ReferencedSOPSequence
            ]
            if not 0 < len(transaction) <= _UID_LENGTH or not 0 < len(objects) <= _OBJECTS:
                return INVALID_ARGUMENT, None
        except Exception:  # whatever the peer has sent
            return INVALID_ARGUMENT, None
        try:
            self._records.add_confirmation(transaction, peer.name, objects)
        except QueueFullError as error:
            log.error("storage commitment is refused: %s", error)
            return RESOURCE_LIMITATION, None
        self._audit.note("commitment_requested", who=title, address=address, objects=len(objects))
        return SUCCESS, None

    def on_event_report(self, event: evt.Event) -> tuple[int, None]:
        """N-EVENT-REPORT of storage commitment: what a peer says of the results that it was sent."""
        self._conversation(event.assoc).unanswered_bytes = 0
        peer = self._settings.caller(_caller(event)[0])
        name = "" if peer is None else peer.name
        try:
            return take_report(event, name, self._settings.results, self._records, self._audit), None
        finally:
            if isinstance(event.assoc.dimse, GuardedDimse):
                event.assoc.dimse.reports -= 1


def take_report(event: evt.Event, peer: str, results: ResultSettings, records: Records, audit: Audit) -> int:
    """Note what a peer reports; also for reports that come within the association that asked for them."""
    if event.event_type not in (ALL_COMMITTED, SOME_FAILED):
        return NO_SUCH_EVENT
    try:
        told: Dataset = event.event_information
        failed = {
            str(one.ReferencedSOPInstanceUID): f"not committed, failure reason {int(one.FailureReason):04X}H"
            for one in told.get("FailedSOPSequence") or ()
        }
        transaction = str(told.TransactionUID)
    except Exception:  # whatever the peer has sent
        return INVALID_ARGUMENT
    known = records.answered(transaction, peer, failed, results)
    audit.note("commitment_reported", peer=peer, objects=known, failed=len(failed))
    if not known:
        log.warning("a report of storage commitment is about a transaction that is not known, or was answered before")
    return SUCCESS


def _certificate(association: Association) -> Mapping[str, Any] | None:
    """What the caller has shown; None where there is no TLS."""
    connection = association.dul.socket.socket if association.dul.socket is not None else None
    return connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None


def _caller(event: evt.Event) -> tuple[str, str]:
    """AE title and address of who called; of an association of our own, of the peer that was called."""
    requestor = event.assoc.requestor
    title = requestor.primitive.calling_ae_title if requestor.primitive is not None else requestor.ae_title
    return str(title).strip(), str(requestor.address)
