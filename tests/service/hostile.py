"""What one hostile user and one hostile peer do, a thing at a time; all of it on loopback, and each of it small."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from pydicom import dcmread

from jcs_ct.service.app import API
from tests.pacs.test_hostile_peers import KINDS, associated, hostile_messages, send
from tests.pacs.test_node import send_dataset
from tests.service.client import orders

_KEPT = 60
"""Connections that are left open at a time."""


class Attacker:
    """Who acts; what fails of it is what should.

    Args:
        web: Address of the service.
        node: Port of the DICOM node.
        browser: Logged in as the hostile user.
        victims: Ids of studies of others.
        image: An image that others have sent.
    """

    def __init__(self, web: str, node: int, browser: httpx.Client, victims: list[str], image: Path) -> None:
        self._web = int(web.rsplit(":", 1)[1])
        self._node = node
        self._browser = browser
        self._victims = victims
        self._image = image
        self._open: list[socket.socket] = []
        self._numbers = itertools.count()
        self.actions: dict[str, Callable[[random.Random], object]] = {
            "half request": self.half_request,
            "half body": self.half_body,
            "one byte": self.one_byte,
            "many names": self.many_names,
            "cut off form": self.cut_off_form,
            "announced upload": self.announced_upload,
            "stream": self.stream,
            "download": self.download,
            "guess": self.guess,
            "long head": self.long_head,
            "cookies": self.cookies,
            "others": self.others,
            "study": self.study,
            "silent caller": self.silent_caller,
            "half association": self.half_association,
            "hostile message": self.hostile_message,
            "forged slice": self.forged_slice,
            "cut off image": self.cut_off_image,
        }

    def act(self, kind: str, seed: int) -> None:
        """Do one thing."""
        with contextlib.suppress(OSError, httpx.HTTPError, AssertionError, ValueError, RuntimeError):
            self.actions[kind](random.Random(seed))

    def close(self) -> None:
        """Let go of what was left open."""
        for one in self._open:
            one.close()

    def _connect(self, port: int, data: bytes = b"") -> socket.socket:
        one = socket.socket()
        one.settimeout(2.0)
        one.bind(("127.0.0.66", 0))
        one.connect(("127.0.0.1", port))
        self._open.append(one)
        if len(self._open) > _KEPT:
            self._open.pop(0).close()
        one.sendall(data)
        return one

    def _head(self, method: str, path: str, *lines: str) -> bytes:
        cookie = f"Cookie: jcs-session={self._browser.cookies['jcs-session']}"
        csrf = f"X-CSRF-Token: {self._browser.headers['X-CSRF-Token']}"
        head = [f"{method} {API}{path} HTTP/1.1", "Host: localhost", cookie, csrf, *lines, "", ""]
        return "\r\n".join(head).encode()

    def half_request(self, chance: random.Random) -> None:
        self._connect(self._web, b"GET /api/v1/health HTTP/1.1\r\nX: " + b"x" * chance.randrange(1000))

    def half_body(self, chance: random.Random) -> None:
        del chance
        self._connect(self._web, self._head("POST", "/session", "Content-Length: 100") + b"{")

    def one_byte(self, chance: random.Random) -> None:
        self._browser.post("/jobs", files={"files": (chance.choice(["x", "x.dcm", "x.zip"]), b"x")})

    def many_names(self, chance: random.Random) -> None:
        parts = [("files", ("IM0", b"x")) for _ in range(chance.randrange(1, 200))]
        self._browser.post("/jobs", files=parts)

    def cut_off_form(self, chance: random.Random) -> None:
        head = self._head(
            "POST", "/jobs", "Content-Type: multipart/form-data; boundary=b", "Transfer-Encoding: chunked"
        )
        part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\n' + b"x" * 65536
        one = self._connect(self._web, head)
        for _ in range(chance.randrange(1, 20)):
            one.sendall(b"%x\r\n%s\r\n" % (len(part), part))

    def announced_upload(self, chance: random.Random) -> None:
        length = chance.choice([1, 2**20, 2**32])
        self._browser.post("/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": str(length)})

    def stream(self, chance: random.Random) -> None:
        del chance
        self._connect(self._web, self._head("GET", "/events", "Last-Event-ID: 0"))

    def download(self, chance: random.Random) -> None:
        job = chance.choice(self._victims)
        self._connect(self._web, self._head("GET", f"/jobs/{job}/archive.zip"))

    def guess(self, chance: random.Random) -> None:
        body = b'{"user": "honest 1", "password": "guess %d"}' % chance.randrange(10**9)
        lines = ("Content-Type: application/json", f"Content-Length: {len(body)}")
        self._connect(self._web, self._head("POST", "/session", *lines) + body)

    def long_head(self, chance: random.Random) -> None:
        self._browser.get("/jobs", headers={"X-Long": "x" * chance.randrange(10_000, 60_000)})

    def cookies(self, chance: random.Random) -> None:
        self._connect(self._web, self._head("GET", "/jobs", 'Cookie: a="' + "\\0" * chance.randrange(1000, 7000) + '"'))

    def others(self, chance: random.Random) -> None:
        job = chance.choice(self._victims)
        method, path = chance.choice([("DELETE", ""), ("POST", "/cancel"), ("GET", "/result"), ("POST", "/restore")])
        answer = self._browser.request(method, f"/jobs/{job}{path}")
        if answer.status_code not in (404, 429):
            raise SystemExit(f"{method} {path} of another's study: {answer.status_code}")

    def study(self, chance: random.Random) -> None:
        order = orders(key=f"evil-{next(self._numbers)}", ending=chance.choice(["done", "unreadable", "bug"]))
        self._browser.post("/jobs", files={"files": ("x.json", order)})

    def silent_caller(self, chance: random.Random) -> None:
        del chance
        self._connect(self._node)

    def half_association(self, chance: random.Random) -> None:
        self._connect(self._node, b"\x01\x00\x00\x00" + b"\x00" * chance.randrange(1, 100))

    def hostile_message(self, chance: random.Random) -> None:
        with associated(self._node) as association:
            for context, control, data in hostile_messages(association)[chance.choice(KINDS)][:20]:
                send(association, context, control, data)
            time.sleep(0.05)

    def forged_slice(self, chance: random.Random) -> None:
        forged: Any = dcmread(self._image)
        forged.PatientID, forged.PixelData = str(chance.randrange(3)), bytes(len(forged.PixelData))
        send_dataset(self._node, forged, "EVIL")

    def cut_off_image(self, chance: random.Random) -> None:
        with associated(self._node) as association:
            context, control, data = hostile_messages(association)["context changes"][0]
            send(association, context, control, data)
            for _ in range(chance.randrange(10)):
                send(association, context, 0, bytes(10_000))
            time.sleep(0.02)
