"""What one client or user may take of the service, and that the others do not notice."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from jcs_ct.jobs.folders import Folders
from jcs_ct.service.access import CSRF_HEADER
from jcs_ct.service.arrivals import Received
from jcs_ct.service.connections import Listening, site_of
from jcs_ct.service.guard import Guard, Limits
from jcs_ct.service.users import add_user
from tests.jobs.stores import quick
from tests.service.client import Running, Service, client_of, orders

MIB = 1024**2
PASSWORDS = {"anna": "correct horse", "mallory": "battery staple"}


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("users") / "users.json"
    for name, password in PASSWORDS.items():
        add_user(path, name, password)
    return path


def from_address(service: Service, address: str) -> httpx.Client:
    return service.opened.enter_context(
        httpx.Client(base_url=service.http.base_url, transport=httpx.HTTPTransport(local_address=address), timeout=30.0)
    )


def log_in(browser: httpx.Client, user: str) -> httpx.Client:
    answer = browser.post("/session", json={"user": user, "password": PASSWORDS[user]})
    assert answer.status_code == 200, answer.text
    browser.headers[CSRF_HEADER] = answer.json()["csrf"]
    return browser


def audited(service: Service) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (service.store / "audit.jsonl").read_text().splitlines()]


def port_of(service: Service) -> int:
    return int(service.address.rsplit(":", 1)[1])


@contextmanager
def half_requests(service: Service, count: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port_of(service)), timeout=10))
            one.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            opened.append(one)
        yield opened


def is_closed(one: socket.socket, within_s: float) -> bool:
    one.settimeout(within_s)
    try:
        while one.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


# Connections


def test_half_requests_keep_nobody_out_and_are_given_up(tmp_path: Path) -> None:
    limits = {"max_connections": 24, "max_connections_per_address": 12, "head_s": 2.0}
    with Running(tmp_path, quick(tmp_path), **limits) as service, half_requests(service, 60) as opened:
        began = time.monotonic()
        for _ in range(5):
            with client_of(service.address) as another:
                assert another.get("/health").status_code == 200
        assert time.monotonic() - began < 5
        assert all(is_closed(one, 0.5) for one in opened[:40]), "the oldest make room"
        assert all(is_closed(one, 5.0) for one in opened), "and all are given up"
        assert {"limit: closed an idle connection"} <= {line["what"] for line in audited(service)}


def test_idle_connections_go_before_busy_ones(tmp_path: Path) -> None:
    limits = {"max_connections": 12, "max_connections_per_address": 6}
    with (
        Running(tmp_path, quick(tmp_path), **limits) as service,
        service.client().stream("GET", "/events") as stream,
    ):
        lines = stream.iter_lines()
        next(lines)
        with half_requests(service, 30):
            service.submit(("scan.json", orders()), http=service.client())
            assert next(line for line in lines if line.startswith("data"))


def test_body_that_does_not_come_is_given_up(tmp_path: Path) -> None:
    with Running(tmp_path, quick(tmp_path), body_s=1.0) as service:
        connection = http.client.HTTPConnection("127.0.0.1", port_of(service), timeout=10)
        connection.putrequest("POST", "/api/v1/session")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "50")
        connection.endheaders(b"{")
        began = time.monotonic()
        assert connection.getresponse().status == 408
        assert time.monotonic() - began < 5
        connection.close()


def test_upload_that_trickles_is_given_up(tmp_path: Path) -> None:
    limits = {"idle_s": 1.0, "least_bytes_per_s": 100.0}
    with Running(tmp_path, quick(tmp_path), **limits) as service:

        def trickle() -> Iterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\n'
            for _ in range(100):
                time.sleep(0.1)
                yield b"x"

        began = time.monotonic()
        try:
            answer = service.http.post(
                "/jobs", content=trickle(), headers={"Content-Type": "multipart/form-data; boundary=b"}
            )
            assert answer.status_code == 408
        except httpx.TransportError:  # hung up on while it still sent
            pass
        assert time.monotonic() - began < 8


def test_client_that_does_not_read_is_hung_up_on(tmp_path: Path) -> None:
    with Running(tmp_path, quick(tmp_path), stall_s=1.0) as service:
        job = service.submit(("scan.json", orders(key="k")))["id"]
        service.ended(job)
        big = service.store / "jobs" / job / "result" / "reports" / "big.bin"
        big.write_bytes(bytes(64 * MIB))
        with socket.create_connection(("127.0.0.1", port_of(service)), timeout=10) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.sendall(f"GET /api/v1/jobs/{job}/files/big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            time.sleep(4)
            got = 0
            try:
                while data := one.recv(MIB):
                    got += len(data)
            except OSError:
                pass
        assert got < 64 * MIB


@pytest.mark.parametrize("header", ["X-Long", "Cookie"])
def test_long_heads_are_refused(service: Service, header: str) -> None:
    answer = service.http.get("/jobs", headers={header: "a=" + "x" * 20_000})
    assert answer.status_code in (400, 431)
    assert service.http.get("/jobs", headers={header: "a=" + "x" * 8000}).status_code == 200


def test_only_our_cookie_is_read(tmp_path: Path, users: Path) -> None:
    with Running(tmp_path, quick(tmp_path), users=users) as service:
        own = log_in(service.client(), "anna").cookies["jcs-session"]
        for right in (f"a=b; jcs-session={own}", f"jcs-session={own};x=y", f'c="\\073"; jcs-session={own}'):
            assert service.client().get("/jobs", headers={"Cookie": right}).status_code == 200
        for wrong in (f'jcs-session="{own}"', f"JCS-SESSION={own}", f"jcs-session={own}x", f"xjcs-session={own}"):
            assert service.client().get("/jobs", headers={"Cookie": wrong}).status_code == 401


def test_cookies_of_others_reach_no_parser() -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        seen.append([value for name, value in scope["headers"] if name == b"cookie"])

    limits = Limits(frozenset({"localhost"}), "jcs-session", 2**16, 2**16, 1.0)
    guard = Guard(app, limits, transport=None, api="/api", audit=lambda: pytest.fail("there is nothing to write down"))
    for cookie in (b'a="' + b"\\0" * 10_000 + b'"; jcs-session=abc', b'jcs-session="abc"', b"x=y"):
        headers = [(b"host", b"localhost"), (b"cookie", cookie)]
        scope = {"type": "http", "method": "GET", "path": "/x", "query_string": b"", "headers": headers}

        async def send(message: Message) -> None:
            del message

        async def receive() -> Message:
            return {"type": "http.request"}

        asyncio.run(guard(scope, receive, send))
    assert seen == [[b"jcs-session=abc"], [], []]


def test_answers_are_sent_at_once() -> None:
    """Without TCP_NODELAY, the second packet of an answer waits 40 ms. asyncio sets it where the protocol is named."""

    async def nodelay() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            del reader
            accepted = writer.get_extra_info("socket")
            found.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with Listening(socket.AF_INET, 8, 8) as listening:
            listening.bind(("127.0.0.1", 0))
            async with await asyncio.start_server(came, sock=listening):
                _, writer = await asyncio.open_connection(*listening.getsockname())
                try:
                    return await asyncio.wait_for(found, 30)
                finally:
                    writer.close()

    assert asyncio.run(nodelay()) != 0


# Logins


def test_guessing_elsewhere_locks_nobody_out(tmp_path: Path, users: Path) -> None:
    with Running(tmp_path, quick(tmp_path), users=users, logins_per_minute=3.0) as service:
        attacker = from_address(service, "127.0.0.2")
        tries = [attacker.post("/session", json={"user": "anna", "password": f"guess {n}"}) for n in range(6)]
        assert [answer.status_code for answer in tries] == [401] * 3 + [429] * 3
        log_in(service.client(), "anna")
        named = [line for line in audited(service) if line.get("named") == "anna" and line["status"] == 401]
        assert [line["from"] for line in named] == ["127.0.0.2"] * 3
        assert any(line["what"] == "limit: POST /session 429" for line in audited(service))


def test_addresses_of_one_network_are_one() -> None:
    assert site_of("2001:db8::1") == site_of("2001:db8::ffff:2") != site_of("2001:db8:0:1::1")
    assert site_of("::ffff:192.0.2.1") == site_of("192.0.2.1") != site_of("192.0.2.2")


def test_only_a_named_proxy_says_who_the_client_is(tmp_path: Path, users: Path) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9"}
    wrong = {"user": "anna", "password": "a wrong one"}
    with Running(tmp_path, quick(tmp_path), users=users, proxies=("127.0.0.3",)) as service:
        assert service.http.post("/session", json=wrong, headers=forged).status_code == 401
        assert from_address(service, "127.0.0.3").post("/session", json=wrong, headers=forged).status_code == 401
        told = [line["from"] for line in audited(service) if line["what"] == "POST /session"]
    assert told == ["127.0.0.1", "203.0.113.9"]


# Shares


def test_streams_of_events_are_limited_for_each_user_and_written_down(tmp_path: Path, users: Path) -> None:
    with Running(tmp_path, quick(tmp_path), users=users, max_streams=2) as service:
        mallory, anna = log_in(service.client(), "mallory"), log_in(service.client(), "anna")
        with ExitStack() as stack:
            for _ in range(2):
                assert stack.enter_context(mallory.stream("GET", "/events")).status_code == 200
            assert mallory.get("/events").status_code == 429
            stream = stack.enter_context(anna.stream("GET", "/events"))
            lines = stream.iter_lines()
            next(lines)
            job = service.submit(("scan.json", orders()), http=log_in(service.client(), "anna"))["id"]
            next(line for line in lines if line.startswith("data"))
        told = [(line["who"], line["what"], line["job"]) for line in audited(service)]
        assert ("anna", "GET /events", None) in told
        assert told.count(("anna", "event", job)) == 1
        assert ("mallory", "event", job) not in told
        deadline = time.monotonic() + 10
        while mallory.get("/jobs").status_code != 200 or "streams left":
            with mallory.stream("GET", "/events") as again:
                if again.status_code == 200:
                    break
            assert time.monotonic() < deadline, "closed streams make room again"


def test_one_byte_studies_of_one_user_refuse_nobody_else(tmp_path: Path, users: Path) -> None:
    queue = quick(tmp_path, max_waiting_per_owner=20, owner_share=0.5, workers=1)
    with Running(tmp_path, queue, users=users, requests_per_s=1e6) as service:
        mallory, anna = log_in(service.client(), "mallory"), log_in(service.client(), "anna")
        slow = orders(steps=100, step_s=1.0)
        statuses = [mallory.post("/jobs", files={"files": ("x.json", slow)}).status_code for _ in range(30)]
        assert statuses == [202] * 20 + [429] * 10
        mine = service.submit(("scan.json", orders()), http=anna)
        assert mine["position"] <= 1
        assert any(line["what"] == "limit: POST /jobs 429" for line in audited(service))


def test_form_of_unknown_length_stops_at_the_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve, room = 100 * MIB, 16 * MIB

    def free(folders: Folders) -> int:
        return reserve + room - sum(path.stat().st_size for path in folders.root.rglob("uploads/forms/*/x"))

    monkeypatch.setattr(Folders, "free_bytes", free)
    most = [0]
    over = threading.Event()
    with Running(tmp_path, quick(tmp_path, min_free_bytes=reserve)) as service:

        def look() -> None:
            while not over.wait(0.005):
                sizes = [path.stat().st_size for path in service.store.rglob("uploads/forms/*/x") if path.exists()]
                most[0] = max(most[0], sum(sizes))

        def body() -> Iterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\n'
            for _ in range(64):
                yield bytes(MIB)

        looking = threading.Thread(target=look)
        looking.start()
        try:
            answer = service.http.post(
                "/jobs", content=body(), headers={"Content-Type": "multipart/form-data; boundary=b"}
            )
            assert answer.status_code == 507
        except httpx.TransportError:
            pass
        finally:
            over.set()
            looking.join()
    assert 0 < most[0] <= room + 10 * MIB


def test_file_names_that_are_alike_cost_no_more_than_others(tmp_path: Path) -> None:
    def took(count: int) -> float:
        received = Received(tmp_path / str(count), 20_000, 10**9)
        (tmp_path / str(count)).mkdir()
        began = time.process_time()
        for _ in range(count):
            received.add_file("IM0")
        assert len(set(received.names)) == count
        return time.process_time() - began

    took(100)
    assert took(4000) < 10 * took(800) + 0.2


def test_uploads_that_are_complete_and_refused_count(tmp_path: Path) -> None:
    queue = quick(tmp_path, max_waiting=1)
    with Running(tmp_path, queue, max_open_uploads=3) as service:
        service.submit(("scan.json", orders(steps=100, step_s=1.0)))
        tus = {"Tus-Resumable": "1.0.0"}
        statuses = []
        for _ in range(5):
            begun = service.http.post("/uploads", headers={**tus, "Upload-Length": "1"})
            statuses.append(begun.status_code)
            if begun.status_code == 201:
                headers = {**tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
                sent = service.http.patch(service.address + begun.headers["Location"], content=b"x", headers=headers)
                assert sent.status_code == 503
    assert statuses == [201] * 3 + [429] * 2


def test_archives_of_one_user_do_not_slow_the_worklist_of_another(tmp_path: Path, users: Path) -> None:
    with Running(tmp_path, quick(tmp_path), users=users, requests_per_s=1e6) as service:
        mallory, anna = log_in(service.client(), "mallory"), log_in(service.client(), "anna")
        job = service.submit(("scan.json", orders(key="k")), http=mallory)["id"]
        service.ended(job, mallory)
        for number in range(4):
            big = service.store / "jobs" / job / "result" / "reports" / f"big-{number}.bin"
            big.write_bytes(bytes(range(256)) * 4096 * 4)
        cookie = {"Cookie": f"jcs-session={mallory.cookies['jcs-session']}"}

        def download() -> int:
            with client_of(service.address, headers=cookie) as browser:
                return browser.get(f"/jobs/{job}/archive.zip").status_code

        times: list[float] = []
        with ThreadPoolExecutor(60) as threads:
            downloads = [threads.submit(download) for _ in range(60)]
            while not all(each.done() for each in downloads) and len(times) < 200:
                began = time.monotonic()
                assert anna.get("/jobs").status_code == 200
                times.append(time.monotonic() - began)
                time.sleep(0.02)
            assert {each.result() for each in downloads} == {200}
    assert len(times) > 5
    assert statistics.median(times) < 1.0, times
