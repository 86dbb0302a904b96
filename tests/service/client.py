"""A service that runs, on a port of its own, and what tests ask of it: nothing of HTTP is replaced."""

from __future__ import annotations

import io
import json
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from jcs_ct.jobs.settings import QueueSettings
from jcs_ct.service.app import API
from jcs_ct.service.server import open_server
from jcs_ct.service.settings import ServiceSettings
from tests.jobs.finished import write_study
from tests.jobs.stand_in import Orders

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Service:
    """What a test talks to."""

    address: str
    store: Path
    opened: ExitStack
    http: httpx.Client

    def client(self, **options: Any) -> httpx.Client:
        """Another browser, closed with the service."""
        return self.opened.enter_context(client_of(self.address, **options))

    def submit(self, *files: tuple[str, bytes], http: httpx.Client | None = None, **fields: str) -> Json:
        """Upload a study; the job."""
        parts = [("files", (name, content)) for name, content in files]
        answer = (http or self.http).post("/jobs", files=parts, data=fields)
        assert answer.status_code == 202, answer.text
        job: Json = answer.json()
        return job

    def ended(self, job_id: str, http: httpx.Client | None = None, limit_s: float = 120.0) -> Json:
        """A job, as soon as it has ended."""
        return self.waited(job_id, lambda job: job["state"] not in ("queued", "running"), http, limit_s)

    def waited(
        self,
        job_id: str,
        condition: Callable[[Json], bool],
        http: httpx.Client | None = None,
        limit_s: float = 120.0,
    ) -> Json:
        """A job, as soon as it is as it should be."""
        deadline = time.monotonic() + limit_s
        while True:
            answer = (http or self.http).get(f"/jobs/{job_id}")
            assert answer.status_code == 200, answer.text
            job: Json = answer.json()
            if condition(job):
                return job
            assert time.monotonic() < deadline, f"still {job}"
            time.sleep(0.05)


class Running:
    """A service in a thread, for as long as the context lasts.

    Args:
        folder: For its store.
        queue: Settings of the queue.
        changes: To the settings of the service.
    """

    def __init__(self, folder: Path, queue: QueueSettings, **changes: Any) -> None:
        chosen: dict[str, Any] = {"store": folder / "store", "port": 0, "poll_s": 0.05, **changes}
        self._settings = ServiceSettings(**chosen)
        self._queue = queue
        self._address = ""
        self._open = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with open_server(self._settings, self._queue, self._opened) as server:
            self._server = server
            server.run()
        self._open.set()

    def _opened(self, address: str) -> None:
        self._address = address.rstrip("/")
        self._open.set()

    def __enter__(self) -> Service:
        self._thread.start()
        assert self._open.wait(60)
        assert self._address, "the service did not start"
        self._opened_clients = ExitStack()
        http = self._opened_clients.enter_context(client_of(self._address))
        return Service(self._address, self._settings.store, self._opened_clients, http)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened_clients.close()
        self._server.stop()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the service did not stop"


def client_of(address: str, **options: Any) -> httpx.Client:
    """A browser that has its own cookies."""
    return httpx.Client(base_url=address + API, timeout=60.0, trust_env=False, **options)


def orders(**chosen: Any) -> bytes:
    """A study for the stand-in."""
    return json.dumps(asdict(Orders(**chosen))).encode()


def handed_in(service: Service, kind: str, folder: Path, http: httpx.Client | None = None) -> Json:
    """The phantom as a zip archive of DICOM files, a NIfTI file or pictures; the finished job."""
    source = write_study(kind, folder / "study")
    files = {path.name: path.read_bytes() for path in source.iterdir()}
    if kind == "dicom":
        files = {"ct.zip": zipped(files)}
    job = service.ended(service.submit(*files.items(), http=http)["id"], http)
    assert job["state"] == "done", job
    return job


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()
