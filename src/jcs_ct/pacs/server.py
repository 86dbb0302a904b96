"""pynetdicom's server, made fit for strangers: who waits or promises too much costs one thread for a limited time.

As it comes, a TLS handshake is done between two calls of accept, so that one silent caller keeps all others out;
sockets have no time limit; and a PDU is read to whatever length its header states.
"""

from __future__ import annotations

import socket
import socketserver
import ssl
from functools import partial
from typing import Any

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from jcs_ct.pacs.access import AccessList
from jcs_ct.pacs.library import log

_HEADROOM = 1024
"""Of a PDU around its data; an association request with all its contexts is smaller than the least PDU allowed."""
_LONGEST_REQUEST = 512 * 1024


class _Handler(RequestHandler):
    """Sets up an association whose reads are bounded."""

    server: PatientServer

    def _create_association(self) -> Association:
        association = super()._create_association()
        reader: Any = association.dul.socket
        reader.recv = partial(_bounded, reader.recv, self.server.longest_pdu)
        return association


def _bounded(read: Any, longest: int, count: int) -> bytearray:
    if count > longest:
        raise ConnectionError(f"a PDU of {count} bytes, expected at most {longest}")
    received: bytearray = read(count)
    return received


class PatientServer(ThreadedAssociationServer):
    """Takes calls from addresses that may call, no more at once than it can bear.

    Args:
        entity: With its title, its limits and what it supports.
        address: To listen at.
        tls: None for none.
        handlers: What is answered.
        access: Whose calls are taken.
        timeout_s: A caller that is silent for so long while something is expected is hung up on.
        most: Connections at once, associations or not.
        longest_pdu: Bytes.
    """

    daemon_threads = True

    def __init__(
        self,
        entity: AE,
        address: tuple[str, int],
        tls: ssl.SSLContext | None,
        handlers: list[Any],
        *,
        access: AccessList,
        timeout_s: float,
        most: int,
        longest_pdu: int,
    ) -> None:
        self._access = access
        self._timeout_s = timeout_s
        self._most = most
        self.longest_pdu = max(longest_pdu + _HEADROOM, _LONGEST_REQUEST)
        super().__init__(entity, address, entity.ae_title, entity.supported_contexts, tls, handlers, _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a call; the handshake, if there is one, is left to its own thread."""
        caller, address = self.socket.accept()  # type: ignore[union-attr]
        caller.settimeout(self._timeout_s)
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self.ssl_context is not None:
            try:
                caller = self.ssl_context.wrap_socket(caller, server_side=True, do_handshake_on_connect=False)
            except (ssl.SSLError, ValueError) as error:  # gone again already
                caller.close()
                raise ConnectionError("the caller hung up") from error
        return caller, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether to talk to a caller at all."""
        del request
        address = str(client_address[0])
        if not self._access.admits_address(address):
            log.warning("a call from %s is refused: no peer is known to call from there", address)
            return False
        if len(self.active_associations) >= self._most:
            log.warning("a call from %s is refused: %d connections are open, expected fewer", address, self._most)
            return False
        return True

    def stop(self) -> None:
        """Hang up on everybody, and stop listening."""
        for association in self.active_associations:
            connection = association.dul.socket.socket if association.dul.socket is not None else None
            if association.is_established:
                association.abort()
            elif connection is not None:  # being turned away, or silent: it knows no A-ABORT yet
                self.shutdown_request(connection)
        socketserver.BaseServer.shutdown(self)
        self.server_close()
