"""Where callers wait until they say something: who is silent costs a socket, and no thread, nor anybody's place."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jcs_ct.pacs.library import log

_LOOK_S = 0.5


@dataclass(frozen=True)
class _Caller:
    socket: socket.socket
    address: Any
    since: float


class Lobby:
    """Silent callers, no more of them than there is room for: the one that waited longest goes for a new one.

    Args:
        most: Callers at a time.
        per_address: Of these, from one address.
        patience_s: After so long a caller is hung up on.
        serve: Called with the socket and the address of a caller who has said something.
    """

    def __init__(
        self, most: int, per_address: int, patience_s: float, serve: Callable[[socket.socket, Any], None]
    ) -> None:
        self._most = most
        self._per_address = per_address
        self._patience_s = patience_s
        self._serve = serve
        self._lock = threading.Lock()
        self._callers: dict[int, _Caller] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._wake, False)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="dicom-lobby", daemon=True)
        self._thread.start()

    def add(self, caller: socket.socket, address: Any) -> None:
        """Have a caller wait."""
        with self._lock:
            same = [handle for handle, each in self._callers.items() if each.address[0] == address[0]]
            if len(same) >= self._per_address:
                self._drop(same[0])
            elif len(self._callers) >= self._most:
                self._drop(next(iter(self._callers)))
            self._callers[caller.fileno()] = _Caller(caller, address, time.monotonic())
            self._selector.register(caller, selectors.EVENT_READ)
        os.write(self._woken, b"x")

    def close(self) -> None:
        """Hang up on all."""
        self._stopping = True
        os.write(self._woken, b"x")
        self._thread.join()
        with self._lock:
            for handle in [*self._callers]:
                self._drop(handle)
        self._selector.close()
        os.close(self._wake)
        os.close(self._woken)

    def _run(self) -> None:
        while not self._stopping:
            ready = self._selector.select(_LOOK_S)
            for key, _ in ready:
                if key.fd == self._wake:
                    os.read(self._wake, 4096)
                    continue
                with self._lock:
                    caller = self._take(key.fd)
                if caller is not None and not _is_gone(caller.socket):
                    self._call(caller)
            with self._lock:
                late = time.monotonic() - self._patience_s
                for handle in [handle for handle, each in self._callers.items() if each.since < late]:
                    self._drop(handle)

    def _call(self, caller: _Caller) -> None:
        try:
            self._serve(caller.socket, caller.address)
        except Exception as error:  # no thread to be had, mostly; the others still wait here
            log.error("a call cannot be served: %s", type(error).__name__)
            caller.socket.close()

    def _take(self, handle: int) -> _Caller | None:
        caller = self._callers.pop(handle, None)
        if caller is not None:
            self._selector.unregister(caller.socket)
        return caller

    def _drop(self, handle: int) -> None:
        caller = self._take(handle)
        if caller is not None:
            with contextlib.suppress(OSError):
                caller.socket.close()


def _is_gone(caller: socket.socket) -> bool:
    """Whether a caller that can be read has hung up; then its socket is closed."""
    try:
        # That of the base class: below TLS there is something to see before the handshake.
        if socket.socket.recv(caller, 1, socket.MSG_PEEK):
            return False
    except OSError:
        pass
    caller.close()
    return True
