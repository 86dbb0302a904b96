"""C-ECHO to a peer, or to the node itself: for health checks, and for who sets a connection up."""

from __future__ import annotations

import ssl

from jcs_ct.errors import PeerError
from jcs_ct.pacs.senders import association
from jcs_ct.pacs.settings import PacsSettings, Peer
from jcs_ct.pacs.sop_classes import VERIFICATION
from jcs_ct.pacs.tls import own_context


def echo(settings: PacsSettings, peer: Peer | None) -> None:
    """Ask for a sign of life.

    Args:
        settings: Of the node.
        peer: None for the node of these settings, on this machine.

    Raises:
        PeerError: There is none.
    """
    if peer is not None:
        _ask(settings, peer)
        return
    node = settings.node
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(node.host, node.host)
    tls = None if settings.tls is None else own_context(settings.tls)
    _ask(settings, Peer("itself", node.ae_title, host, node.port), tls)


def _ask(settings: PacsSettings, peer: Peer, tls: ssl.SSLContext | None = None) -> None:
    with association(settings, peer, [VERIFICATION], tls=tls) as opened:
        status = opened.send_c_echo()
    if status.get("Status") != 0:
        raise PeerError(f"peer {peer.name} did not answer to C-ECHO with success")
