"""How objects get to a peer: C-STORE or STOW-RS, one object at a time, so that each is known to have arrived or not."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from dicomweb_client import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.association import Association

from jcs_ct.errors import PeerError
from jcs_ct.pacs import library as _library  # noqa: F401  (sets pynetdicom up)
from jcs_ct.pacs.bounded_session import BoundedSession
from jcs_ct.pacs.settings import PacsSettings, Peer, Transport
from jcs_ct.pacs.sop_classes import SENT_SYNTAXES
from jcs_ct.pacs.tls import client_context
from jcs_ct.study.quiet import quiet_libraries

_CONNECT_S = 15.0
_ANSWER_S = 120.0


@contextmanager
def association(
    settings: PacsSettings,
    peer: Peer,
    classes: Sequence[UID | str],
    roles: Sequence[Any] = (),
    handlers: Any = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Association]:
    """An association with a peer, for these SOP classes; released at the end, aborted on errors.

    Args:
        settings: Of the node.
        peer: Who is called.
        classes: SOP classes to offer.
        roles: Role selection.
        handlers: Of events within the association.
        tls: In place of the settings'.

    Raises:
        PeerError: There is none to be had.
    """
    if not peer.host:
        raise PeerError(f"peer {peer.name}: it is not known where it listens; give [peers.{peer.name}] a host")
    entity = _caller(settings, classes)
    if tls is None and peer.tls and settings.tls is not None:
        tls = client_context(settings.tls)
    found = entity.associate(
        peer.host, peer.port, ae_title=peer.ae_title, ext_neg=list(roles), evt_handlers=handlers,
        tls_args=None if tls is None else (tls, peer.tls_name or peer.host),
    )  # fmt: skip
    if not found.is_established:
        raise PeerError(_why_not(found, peer))
    try:
        yield found
    except BaseException:
        found.abort()
        raise
    if found.is_established:
        found.release()


def _caller(settings: PacsSettings, classes: Sequence[UID | str]) -> AE:
    entity = AE(settings.node.ae_title)
    entity.maximum_pdu_size = settings.node.max_pdu_bytes
    entity.connection_timeout, entity.acse_timeout = _CONNECT_S, _CONNECT_S
    entity.dimse_timeout = entity.network_timeout = _ANSWER_S
    for sop_class in dict.fromkeys(classes):
        entity.add_requested_context(sop_class, [*SENT_SYNTAXES])
    return entity


def _why_not(found: Association, peer: Peer) -> str:
    if found.is_rejected:
        return f"peer {peer.name} refuses the association; expected our AE title and address to be known there"
    if found.acceptor.primitive is not None:
        return f"peer {peer.name} takes none of the SOP classes that it was offered; allow them there"
    return f"peer {peer.name} cannot be reached at its host and port; expected it to listen there: is it up?"


def send_objects(settings: PacsSettings, peer: Peer, objects: Sequence[tuple[str, Path]]) -> Iterator[str | None]:
    """Send objects (SOP class, file) one after the other.

    Yields:
        For each, None once the peer has it, else why not.

    Raises:
        PeerError: The peer cannot be reached; what was not yielded was not sent.
    """
    if peer.send_by is Transport.STOW_RS:
        yield from _send_by_stow(settings, peer, objects)
    else:
        yield from _send_by_c_store(settings, peer, objects)


def _send_by_c_store(settings: PacsSettings, peer: Peer, objects: Sequence[tuple[str, Path]]) -> Iterator[str | None]:
    with association(settings, peer, [sop_class for sop_class, _ in objects]) as open_association:
        for number, (_, path) in enumerate(objects, start=1):
            if not open_association.is_established:
                raise PeerError(f"peer {peer.name} ended the association")
            yield _store(open_association, path, number)


def _store(open_association: Association, path: Path, number: int) -> str | None:
    try:
        with quiet_libraries():
            status = open_association.send_c_store(path, msg_id=number % 65535 or 1).get("Status")
    except ValueError:  # no context of the class was accepted
        return "the peer does not take this SOP class"
    if status is None:
        return "the peer did not answer"
    # Warnings (PS3.4 B.2.3): stored, though something was coerced or discarded.
    stored = status == 0 or 0xB000 <= status <= 0xBFFF
    return None if stored else f"the peer answered with status {status:04X}H"


def web_client(settings: PacsSettings, peer: Peer) -> DICOMwebClient:
    """A client for the DICOMweb service of a peer; it shows our certificate where there is one."""
    session = BoundedSession(settings.node.max_study_bytes)
    if peer.password_file is not None:
        session.auth = (peer.user, peer.password_file.read_text(encoding="utf-8").strip())
    if settings.tls is not None:
        session.cert = (str(settings.tls.certificate), str(settings.tls.key))
        if settings.tls.authorities is not None:
            session.verify = str(settings.tls.authorities)
    client = DICOMwebClient(peer.dicomweb, session=session, timeout=(_CONNECT_S, _ANSWER_S), permissive_uid=True)
    client.set_http_retry_params(retry=False)  # the outbox does that, and remembers it
    return client


def _send_by_stow(settings: PacsSettings, peer: Peer, objects: Sequence[tuple[str, Path]]) -> Iterator[str | None]:
    client = web_client(settings, peer)
    for _, path in objects:
        with quiet_libraries():
            dataset = dcmread(path)
            try:
                answer = client.store_instances([dataset])
            except requests.HTTPError as error:
                status = error.response.status_code if error.response is not None else 0
                if status in (401, 403, 404, 408, 429) or status >= 500:
                    raise PeerError(f"peer {peer.name}: its DICOMweb service answered with HTTP {status}") from error
                yield f"the peer answered with HTTP {status}"
                continue
            except (requests.RequestException, OSError, ValueError) as error:
                raise PeerError(
                    f"peer {peer.name}: its DICOMweb service gives no answer ({type(error).__name__}); is it up?"
                ) from error
        yield _stow_failure(answer, str(dataset.SOPInstanceUID))


def _stow_failure(answer: Dataset, sop_uid: str) -> str | None:
    for item in answer.get("FailedSOPSequence") or ():
        if str(item.get("ReferencedSOPInstanceUID", sop_uid)) == sop_uid:
            return f"the peer answered with failure reason {int(item.get('FailureReason', 0)):04X}H"
    stored = [str(item.get("ReferencedSOPInstanceUID", "")) for item in answer.get("ReferencedSOPSequence") or ()]
    return None if sop_uid in stored else "the peer did not say that it stored it"
