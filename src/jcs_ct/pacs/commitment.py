"""Storage commitment, push model (PS3.4 Annex J), both ways.

Peers ask whether the images that they sent are kept: they are, as long as the node is still waiting for more of the
study, and then as long as the queue keeps the job. The answer is an N-EVENT-REPORT in an association of our own. Of
peers we ask the same for results, where the settings say so; their answer comes within the association that asked, or
later in one of theirs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import build_role, evt

from jcs_ct.errors import JcsError, PeerError, UnreadableFileError
from jcs_ct.pacs.audit import Audit
from jcs_ct.pacs.handlers import ALL_COMMITTED, REQUEST_COMMITMENT, SOME_FAILED, SUCCESS, take_report
from jcs_ct.pacs.image_file import read_image_file
from jcs_ct.pacs.library import log
from jcs_ct.pacs.records import Confirmation, Delivery, Records
from jcs_ct.pacs.senders import association
from jcs_ct.pacs.settings import PacsSettings, Peer
from jcs_ct.pacs.sop_classes import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
from jcs_ct.pacs.submission import SubmissionDesk

NO_SUCH_OBJECT = 0x0112
CLASS_CONFLICT = 0x0119
_SAME_ASSOCIATION_S = 2.0
"""How long a peer is given to report within the association that asked."""


def confirm_due(settings: PacsSettings, desk: SubmissionDesk, records: Records, audit: Audit) -> None:
    """Tell peers what they asked to have confirmed."""
    for each in records.due_confirmations():
        try:
            failed = _report(settings, settings.peer(each.peer), each, desk)
        except JcsError as error:
            _put_off(settings, each, records, audit, str(error))
            continue
        records.end_confirmation(each.number)
        audit.note("commitment_answered", peer=each.peer, objects=len(each.objects), failed=failed)


def _put_off(settings: PacsSettings, each: Confirmation, records: Records, audit: Audit, reason: str) -> None:
    results = settings.results
    delay = results.pause_s(each.attempts + 1)
    log.warning("storage commitment: %s could not be told: %s", each.peer, reason)
    if time.time() + delay - each.since > results.give_up_s:
        records.end_confirmation(each.number)
        audit.note("commitment_given_up", peer=each.peer, objects=len(each.objects), reason=reason)
    else:
        records.postpone_confirmation(each.number, time.time() + delay)


def _report(settings: PacsSettings, peer: Peer, asked: Confirmation, desk: SubmissionDesk) -> int:
    failed: list[Dataset] = []
    kept: list[Dataset] = []
    told = Dataset()
    told.TransactionUID = asked.transaction_uid
    held = desk.kept((sop_uid for _, sop_uid in asked.objects), peer.ae_title)
    for sop_class, sop_uid in asked.objects:
        reason = _why_not_kept(held.get(sop_uid), sop_class)
        (kept if reason is None else failed).append(_reference(sop_class, sop_uid, reason))
    if kept:
        told.ReferencedSOPSequence = kept
    if failed:
        told.FailedSOPSequence = failed
    role = build_role(STORAGE_COMMITMENT, scp_role=True)
    with association(settings, peer, [STORAGE_COMMITMENT], [role]) as opened:
        status, _ = opened.send_n_event_report(
            told,
            SOME_FAILED if failed else ALL_COMMITTED,
            STORAGE_COMMITMENT,
            STORAGE_COMMITMENT_INSTANCE,
        )
    if status.get("Status") != SUCCESS:
        raise PeerError(f"peer {peer.name} did not take the report of storage commitment")
    return len(failed)


def _why_not_kept(path: Path | None, sop_class: str) -> int | None:
    if path is None:
        return NO_SUCH_OBJECT
    try:
        return None if read_image_file(path).sop_class == sop_class else CLASS_CONFLICT
    except UnreadableFileError:
        return NO_SUCH_OBJECT


def _reference(sop_class: str, sop_uid: str, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_uid
    if reason is not None:
        item.FailureReason = reason
    return item


def ask_for_commitment(
    settings: PacsSettings, peer: Peer, deliveries: Sequence[Delivery], records: Records, audit: Audit, again: float
) -> None:
    """Ask a peer to confirm that it keeps what it was sent.

    Args:
        settings: Of the node.
        peer: Who has the objects.
        deliveries: The objects, all of one job.
        records: Where the transaction is noted before the peer learns of it.
        audit: Where it is written down.
        again: When to ask once more without an answer, in seconds since 1970.

    Raises:
        PeerError: It cannot be asked.
    """
    asked = Dataset()
    asked.TransactionUID = generate_uid(prefix=None)
    asked.ReferencedSOPSequence = [_reference(each.sop_class, each.sop_uid) for each in deliveries]
    numbers = [each.number for each in deliveries]
    records.change(numbers, state="asked", transaction_uid=str(asked.TransactionUID), not_before=again)
    told = threading.Event()
    report = partial(_reported, settings, peer.name, records, audit, told)
    with association(settings, peer, [STORAGE_COMMITMENT], handlers=[(evt.EVT_N_EVENT_REPORT, report)]) as opened:
        status, _ = opened.send_n_action(asked, REQUEST_COMMITMENT, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE)
        if status.get("Status") != SUCCESS:
            raise PeerError(f"peer {peer.name} refuses storage commitment; set commitment = false for it")
        audit.note("commitment_asked", job=deliveries[0].job_id, peer=peer.name, objects=len(deliveries))
        told.wait(_SAME_ASSOCIATION_S)


def _reported(
    settings: PacsSettings, peer: str, records: Records, audit: Audit, told: threading.Event, event: evt.Event
) -> tuple[int, None]:
    status = take_report(event, peer, settings.results, records, audit)
    told.set()
    return status, None
