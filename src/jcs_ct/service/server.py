"""The process behind `jcs serve`: uvicorn around the app, stopped in good order by SIGTERM and Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from jcs_ct.errors import UsageError
from jcs_ct.jobs.patched import missing_patches
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.settings import QueueSettings
from jcs_ct.service.access import Access
from jcs_ct.service.app import create_app
from jcs_ct.service.connections import Listening, protocol_with_deadlines
from jcs_ct.service.settings import ServiceSettings

log = logging.getLogger("jcs_ct.service")

_GRACE_S = 10
"""That requests have to end in when the service stops."""


class Server:
    """An app on an open port.

    Args:
        app: Made by `create_app`.
        settings: Of the service.
        listening: The open port.
        ready: Called with the address as soon as it is served.
    """

    def __init__(
        self, app: FastAPI, settings: ServiceSettings, listening: Listening, ready: Callable[[str], None]
    ) -> None:
        self._listening = listening
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{'https' if settings.certificate else 'http'}://{host}:{listening.getsockname()[1]}/"
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="on",
            timeout_graceful_shutdown=_GRACE_S,
            h11_max_incomplete_event_size=settings.max_header_bytes,
            loop="asyncio",  # others accept connections by themselves
            http=protocol_with_deadlines(listening, settings.head_s, settings.stall_s),
            ws="none",
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.key,
        )
        # Its lines hold addresses, and those hold whatever somebody typed; the guard logs routes.
        logging.getLogger("uvicorn.access").disabled = True
        self._uvicorn = _Uvicorn(config, app, lambda: ready(address))

    def run(self) -> None:
        """Serve until a signal, or `stop`, says otherwise; signals are heard in the main thread only."""
        self._uvicorn.run([self._listening])

    def stop(self) -> None:
        """Have it end, from another thread."""
        self._uvicorn.end()


class _Uvicorn(uvicorn.Server):
    """Says when it is ready, and ends streams of events when it is to stop: it would wait for them."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._app = app
        self._ready = ready
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open, and say so."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen to signals, and do not let them kill the process once it has stopped in good order."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On a signal."""
        super().handle_exit(sig, frame)  # the second Ctrl-C does not wait for requests
        self.end()

    def end(self) -> None:
        """Stop in good order."""
        self.should_exit = True
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._app.state.services.follower.stop(), self._loop)


@contextmanager
def open_server(settings: ServiceSettings, queue: QueueSettings, ready: Callable[[str], None]) -> Iterator[Server]:
    """A server whose port is open as long as the context lasts.

    Raises:
        UsageError: The address cannot be listened on, or the users or the certificate cannot be read.
        QueueError: The store cannot be used.
    """
    _check(settings, queue)
    if (advice := missing_patches()) is not None:
        log.warning("%s", advice)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    most, per_address = settings.max_connections, settings.max_connections_per_address
    with Listening(family, most, per_address, settings.proxies) as listening:
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((settings.host, settings.port))
        except OSError as error:
            raise UsageError(
                f"cannot listen on {settings.host} port {settings.port} ({error.strerror}): give another --port or "
                "--host"
            ) from error
        app = create_app(settings, queue)
        listening.tell = lambda kind, address: app.state.services.audit.limit(kind, None, address)
        yield Server(app, settings, listening, ready)


def _check(settings: ServiceSettings, queue: QueueSettings) -> None:
    """Find out before the start what would keep the service from starting."""
    Access(settings)
    JobQueue(settings.store, queue).close()
    if settings.certificate is not None:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(settings.certificate, settings.key)
        except OSError as error:  # SSLError is one
            raise UsageError(
                f"the certificate {settings.certificate} and its key cannot be used ({error.strerror or error}); "
                "expected two PEM files that belong together"
            ) from error
