"""pynetdicom's server, made fit for strangers: who waits or promises too much costs little, and for a limited time.

As it comes, a TLS handshake is done between two calls of accept, so that one silent caller keeps all others out.
Sockets have no time limit, silent callers count as associations, and a PDU is read to whatever length it states.
"""

from __future__ import annotations

import socket
import socketserver
import ssl
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.transport import ThreadedAssociationServer

from jcs_ct.pacs.access import AccessList
from jcs_ct.pacs.library import log
from jcs_ct.pacs.lobby import Lobby

_HEADROOM = 1024
"""Of a PDU around its data; an association request with all its contexts is smaller than the least PDU allowed."""
_LONGEST_REQUEST = 512 * 1024
_SILENT_PER_ADDRESS = 8
_SILENT = 64
_LINGERING = 3
"""Times as many threads as associations are allowed: those that were hung up on take seconds to end."""


class PatientServer(ThreadedAssociationServer):
    """Takes calls from addresses that may call, no more at once than it can bear.

    Args:
        entity: With its title, its limits and what it supports.
        address: To listen at.
        tls: None for none.
        handlers: What is answered.
        access: Whose calls are taken.
        timeout_s: A caller that is silent for so long while something is expected is hung up on.
        most: Callers at once that have said something and are in no association.
        longest_pdu: Bytes.
        limited: Called with the kind of limit and the address, where a limit was met.
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
        limited: Callable[[str, str], None],
    ) -> None:
        self._access = access
        self._timeout_s = timeout_s
        self._most = most
        self._limited = limited
        self._longest_pdu = max(longest_pdu + _HEADROOM, _LONGEST_REQUEST)
        bound = [(evt.EVT_CONN_OPEN, self._on_open), *handlers]
        self._lobby = Lobby(_SILENT, _SILENT_PER_ADDRESS, timeout_s, self._serve)
        try:
            super().__init__(entity, address, entity.ae_title, entity.supported_contexts, tls, bound)
        except BaseException:
            self._lobby.close()
            raise

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
            self._limited("call from an address of no peer", address)
            return False
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        """Have a caller wait until it says something."""
        self._lobby.add(request, client_address)

    def _serve(self, request: Any, client_address: Any) -> None:
        """A caller has said something: from now on it has threads."""
        address, silent = str(client_address[0]), self._in_no_association()
        per_address = max(2, self._most // 2)
        if silent[address] >= per_address or sum(silent.values()) >= _LINGERING * self._most:
            log.warning("a call from %s is refused: others from there have begun and not gone on", address)
            self._limited("calls that do not go on", address)
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def _in_no_association(self) -> Counter[str]:
        open_ones = [each for each in self.active_associations if not each.is_established]
        return Counter(str(each.requestor.address) for each in open_ones)

    def _on_open(self, event: evt.Event) -> None:
        """A connection is open: its reads are bounded."""
        reader: Any = event.assoc.dul.socket
        reader.recv = partial(_bounded, reader.recv, self._longest_pdu)

    def stop(self) -> None:
        """Hang up on everybody, and stop listening."""
        socketserver.BaseServer.shutdown(self)
        self._lobby.close()
        for association in self.active_associations:
            self._hang_up(association)
        self.server_close()

    def _hang_up(self, association: Association) -> None:
        connection = association.dul.socket.socket if association.dul.socket is not None else None
        if association.is_established:
            association.abort()
        elif connection is not None:  # being turned away, or silent: it knows no A-ABORT yet
            self.shutdown_request(connection)


def _bounded(read: Any, longest: int, count: int) -> bytearray:
    if count > longest:
        raise ConnectionError(f"a PDU of {count} bytes, expected at most {longest}")
    received: bytearray = read(count)
    return received
