"""Connections: how many there may be, and how long a client may take over what it sends and reads.

uvicorn waits for the head of a request, and for a client that does not read, as long as it takes. Whoever opens a
thousand connections and sends half a request on each then keeps everybody out. Here a new connection takes the place of
the oldest one without a complete request, of the same address first, so connections that only wait cost nobody else
anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import resource
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_SPARE_FILES = 256
"""File descriptors for everything but connections."""
_NETWORK_V6 = 64
"""Bits of an IPv6 address that name a site: the rest is the client's to choose."""


@dataclass
class _Connection:
    """A connection that was accepted."""

    socket: socket.socket
    address: str
    busy: bool = False
    """Whether a complete request is being served."""


class Listening(socket.socket):
    """A listening socket that bounds the connections it accepts.

    Args:
        family: Of the addresses.
        most: Connections at once.
        per_address: Of these, from one address.
        proxies: Networks of proxies, which have no limit of their own.
        tell: Called with the kind of limit and the address, where a limit was met.
    """

    def __init__(
        self,
        family: socket.AddressFamily,
        most: int,
        per_address: int,
        proxies: Sequence[str] = (),
        tell: Callable[[str, str], None] = lambda kind, address: None,
    ) -> None:
        # With the protocol named: asyncio sets TCP_NODELAY only where it is, and answers wait 40 ms otherwise.
        super().__init__(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self.tell = tell
        self._most = min(most, _open_files() - _SPARE_FILES)
        self._per_address = per_address
        self._proxies = [ipaddress.ip_network(each) for each in proxies]
        self._connections: dict[int, _Connection] = {}

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection, at the cost of an idle one where there are too many.

        Raises:
            ConnectionAbortedError: All are busy: asyncio goes on.
        """
        accepted, address = super().accept()
        site = site_of(str(address[0]))
        self._forget_closed()
        if not self._make_room(site, str(address[0])):
            self.tell("refused a connection", site)
            accepted.close()
            raise ConnectionAbortedError
        self._connections[accepted.fileno()] = _Connection(accepted, site)
        return accepted, address

    def set_busy(self, handle: int, busy: bool) -> None:
        """A request of a connection begins, or has ended; idle connections may be closed."""
        connection = self._connections.get(handle)
        if connection is None or connection.busy == busy:
            return
        connection.busy = busy
        # Those that became idle last are closed last.
        self._connections[handle] = self._connections.pop(handle)

    def _make_room(self, site: str, address: str) -> bool:
        same = [handle for handle, each in self._connections.items() if each.address == site]
        if len(same) >= self._per_address and not self._is_proxy(address):
            return self._close_idle(same, site)
        if len(self._connections) < self._most:
            return True
        return self._close_idle(self._of_busiest_site(), site) or self._close_idle([*self._connections], site)

    def _close_idle(self, handles: Sequence[int], site: str) -> bool:
        for handle in handles:
            connection = self._connections[handle]
            if not connection.busy:
                self.tell("closed an idle connection", site)
                del self._connections[handle]
                with contextlib.suppress(OSError):
                    connection.socket.shutdown(socket.SHUT_RDWR)  # asyncio sees its end and closes it
                return True
        return False

    def _of_busiest_site(self) -> list[int]:
        by_site: dict[str, list[int]] = {}
        for handle, each in self._connections.items():
            by_site.setdefault(each.address, []).append(handle)
        return max(by_site.values(), key=len, default=[])

    def _forget_closed(self) -> None:
        for handle in [handle for handle, each in self._connections.items() if each.socket.fileno() < 0]:
            del self._connections[handle]

    def _is_proxy(self, address: str) -> bool:
        found = ipaddress.ip_address(address.partition("%")[0])
        return any(found in network for network in self._proxies)


def site_of(address: str) -> str:
    """What an address counts as: itself, or the network of an IPv6 address, as clients have as many as they like."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, _NETWORK_V6), strict=False))
    return address


def _open_files() -> int:
    """Have as many file descriptors as the system allows; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return 2**20 if soft == resource.RLIM_INFINITY else max(soft, 2 * _SPARE_FILES)


class _Deadlines(H11Protocol):
    """A connection that is closed where its client takes too long."""

    listening: Listening
    head_s: float
    stall_s: float

    _head: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _handle = -1

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._handle = transport.get_extra_info("socket").fileno()
        self._look()

    def data_received(self, data: bytes) -> None:
        self._look()
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.listening.set_busy(self._handle, self._serving())

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(self.stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stall = self._cancel(self._stall)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head, self._stall = self._cancel(self._head), self._cancel(self._stall)
        super().connection_lost(exc)

    def _serving(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    @staticmethod
    def _cancel(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
        """Cancel a timer; what takes its place."""
        if timer is not None:
            timer.cancel()
        return None

    def _look(self) -> None:
        """Have the head of a request come in time; what its body may take, the routes know."""
        serving = self._serving()
        self.listening.set_busy(self._handle, serving)
        if serving:
            self._head = self._cancel(self._head)
        elif self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(self.head_s, self.transport.abort)


def protocol_with_deadlines(listening: Listening, head_s: float, stall_s: float) -> type[H11Protocol]:
    """A protocol like uvicorn's, with an end to its patience.

    Args:
        listening: Is told which connections are busy.
        head_s: In which the head of a request must have come.
        stall_s: After so long without reading, a client is hung up on.
    """
    limits = {"listening": listening, "head_s": head_s, "stall_s": stall_s}
    return type("Deadlines", (_Deadlines,), limits)
