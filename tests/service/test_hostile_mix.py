"""Hostile actions of one user and one peer, in a seeded mix, while ten honest ones work undisturbed.

A test run does some. All of them, with the figures of docs/hostile.json:

    JCS_HOSTILE_ACTIONS=1000 JCS_HOSTILE_FIGURES=docs/hostile.json python -m pytest tests/service/test_hostile_mix.py
"""

from __future__ import annotations

import json
import os
import random
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from jcs_ct.service.access import CSRF_HEADER
from jcs_ct.service.users import add_user
from tests.jobs.stand_in import contents
from tests.jobs.stores import quick
from tests.pacs.peers import phantom_series, served
from tests.pacs.test_node import send_dataset
from tests.reports.test_archive import free_port
from tests.service.client import client_of, orders
from tests.service.hostile import Attacker
from tests.service.processes import descendants, open_files, proportional_bytes, started

SEED = 20261201
ACTIONS = int(os.environ.get("JCS_HOSTILE_ACTIONS", "200"))
FIGURES = os.environ.get("JCS_HOSTILE_FIGURES")
ATTACKERS = 4
USERS = [f"honest {number}" for number in range(1, 9)]
PEERS = ["SCANNER1", "SCANNER2"]
PASSWORD = "sunny marble kite"
GIB = 1024**3

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def node_file(folder: Path, port: int) -> Path:
    peers = "".join(
        f'[peers.{title.lower()}]\nae_title = "{title}"\naddresses = ["127.0.0.0/8"]\n' for title in (*PEERS, "EVIL")
    )
    path = folder / "node.toml"
    path.write_text(
        f'store = "store"\n[node]\nport = {port}\nquiet_s = 1.0\npoll_s = 0.1\nmin_free_bytes = 0\n'
        f"[results]\nsend_to = []\n{peers}"
    )
    return path


def logged_in(address: str, user: str, **options: Any) -> httpx.Client:
    browser = client_of(address, **options)
    answer = browser.post("/session", json={"user": user, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    browser.headers[CSRF_HEADER] = answer.json()["csrf"]
    return browser


class Honest:
    """Ten who work, and how long each thing that they do takes."""

    def __init__(self, address: str, port: int, images: list[Path]) -> None:
        self._address = address
        self._port = port
        self._images = images
        self._browsers = {user: logged_in(address, user) for user in USERS}
        self.took: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.studies: dict[str, dict[str, str]] = {user: {} for user in USERS}
        """Of each user: keys by id."""
        self.sent: list[str] = []

    def timed(self, when: str, what: str, act: Callable[[], Any]) -> Any:
        began = time.monotonic()
        result = act()
        self.took[when][what].append(time.monotonic() - began)
        return result

    def use(self, user: str, when: str, over: Callable[[int], bool]) -> None:
        browser, rounds = self._browsers[user], 0
        while not over(rounds):
            answer = self.timed(when, "worklist", lambda: browser.get("/jobs"))
            assert answer.status_code == 200, answer.text
            if rounds % 5 == 0:
                key = f"{user}-{when}-{rounds}".replace(" ", "-")  # the stand-in's log has words
                files = {"files": ("scan.json", orders(key=key))}
                answer = self.timed(when, "submission", partial(browser.post, "/jobs", files=files))
                assert answer.status_code == 202, answer.text
                self.studies[user][answer.json()["id"]] = key
            rounds += 1
            time.sleep(0.3)

    def scan(self, title: str, when: str, over: Callable[[int], bool]) -> None:
        rounds = 0
        while not over(rounds):
            image = dcmread(self._images[rounds % len(self._images)])
            image.StudyInstanceUID = f"{image.StudyInstanceUID}.{PEERS.index(title)}"
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            assert self.timed(when, "image", partial(send_dataset, self._port, image, title)) == 0
            self.sent.append(str(image.SOPInstanceUID))
            rounds += 1
            time.sleep(0.5)

    def work(self, when: str, over: Callable[[int], bool]) -> list[Callable[[], None]]:
        users = [partial(self.use, user, when, over) for user in USERS]
        return [*users, *[partial(self.scan, title, when, over) for title in PEERS]]

    def lost(self) -> list[str]:
        """Studies that are not there, not done, or not whole."""
        found = []
        for user, studies in self.studies.items():
            for job, key in studies.items():
                deadline = time.monotonic() + 120
                while (state := self._browsers[user].get(f"/jobs/{job}").json().get("state")) in ("queued", "running"):
                    assert time.monotonic() < deadline, "the queue does not move"
                    time.sleep(0.1)
                name, content = next(iter(contents(key).items()))
                same = state == "done" and self._browsers[user].get(f"/jobs/{job}/files/{name}").content == content
                found += [] if same else [f"{user}: {job} is {state}"]
        return found


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_honest_ones_do_not_notice_hostile_actions(tmp_path: Path) -> None:
    users, port = tmp_path / "users.json", free_port()
    for user in (*USERS, "mallory"):
        add_user(users, user, PASSWORD)
    images = phantom_series(tmp_path / "series")
    queue = quick(tmp_path, owner_share=0.5, memory_bytes=GIB, retention_count=1000)
    service = {"users": str(users), "logins_per_minute": 60.0}
    arguments = ["-m", "tests.service.serve", str(tmp_path / "store"), queue.as_json(), json.dumps(service)]
    with (
        started(arguments, tmp_path / "log") as (process, address),
        served(tmp_path, node_file(tmp_path, port), port, "--no-workers") as node,
    ):
        honest = Honest(address, port, images)
        run(honest.work("before", lambda rounds: rounds >= 12))
        victims = [job for studies in honest.studies.values() for job in studies]
        began = time.monotonic()
        with ThreadPoolExecutor(1) as watching:
            over = threading.Event()
            most = watching.submit(most_taken, [process.pid, node.process.pid], over)
            done = attack(honest, Attacker(address, port, hostile_browser(address), victims, images[0]))
            over.set()
        seconds = time.monotonic() - began
        ended = [name for name, one in (("service", process), ("node", node.process)) if one.poll() is not None]
        lost = [] if ended else honest.lost()
        kept = {path.name for path in (tmp_path / "store").rglob("*.dcm")}
    figures = figures_of(honest, done, seconds, most.result(), ended, lost, len(honest.sent) - len(kept))
    if FIGURES:
        Path(FIGURES).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    assert done == ACTIONS
    assert ended == []
    assert lost == []
    assert len(kept) >= len(honest.sent)
    assert most.result().memory <= 2 * GIB
    for what, each in figures["honest_ms"].items():
        assert each["during"]["median"] - each["before"]["median"] <= 1000, f"{what} takes longer: {each}"


@dataclass
class Taken:
    """The most that processes, and what they have started, took at a time."""

    memory: int = 0
    """Bytes; those shared count once."""
    processes: int = 0
    files: int = 0
    """Open ones."""


def figures_of(
    honest: Honest, done: int, seconds: float, most: Taken, ended: list[str], lost: list[str], images_lost: int
) -> dict[str, Any]:
    """What is told of a run."""

    def told(times: list[float]) -> dict[str, int]:
        ordered = sorted(times)
        slow = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
        return {
            "median": round(1000 * statistics.median(ordered)),
            "95_percent": round(1000 * slow),
            "slowest": round(1000 * ordered[-1]),
            "times": len(ordered),
        }

    kinds = sorted(honest.took["during"])
    return {
        "seed": SEED,
        "hostile_actions": done,
        "seconds": round(seconds),
        "honest_users": len(USERS),
        "honest_scanners": len(PEERS),
        "honest_ms": {what: {when: told(honest.took[when][what]) for when in ("before", "during")} for what in kinds},
        "studies": sum(len(each) for each in honest.studies.values()),
        "studies_lost": len(lost),
        "images": len(honest.sent),
        "images_lost": max(0, images_lost),
        "processes_ended": len(ended),
        "most_memory_mib": round(most.memory / 1024**2),
        "most_processes": most.processes,
        "most_open_files": most.files,
        "cores": os.cpu_count(),
    }


def hostile_browser(address: str) -> httpx.Client:
    transport = httpx.HTTPTransport(local_address="127.0.0.66", retries=1)
    return logged_in(address, "mallory", transport=transport)


def run(work: list[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(len(work)) as threads:
        for each in [threads.submit(one) for one in work]:
            each.result()


def attack(honest: Honest, attacker: Attacker) -> int:
    """All actions, by some threads, while the honest ones work; how many were done."""
    chance, over = random.Random(SEED), threading.Event()
    kinds = sorted(attacker.actions)
    plan = [(chance.choice(kinds), chance.randrange(2**32)) for _ in range(ACTIONS)]
    assert {kind for kind, _ in plan} == set(kinds)

    def part(number: int) -> int:
        for kind, seed in plan[number::ATTACKERS]:
            attacker.act(kind, seed)
        return len(plan[number::ATTACKERS])

    with ThreadPoolExecutor(ATTACKERS + 10) as threads:
        working = [threads.submit(one) for one in honest.work("during", lambda rounds: over.is_set())]
        attacking = [threads.submit(part, number) for number in range(ATTACKERS)]
        try:
            done = sum(each.result() for each in attacking)
        finally:
            over.set()
            attacker.close()
        for each in working:
            each.result()
    return done


def most_taken(roots: list[int], over: threading.Event) -> Taken:
    """Looks once a second until it is over."""
    most = Taken()
    while not over.wait(1.0):
        found = [one for root in roots for one in (root, *descendants(root))]
        most.memory = max(most.memory, sum(proportional_bytes(one) for one in found))
        most.processes = max(most.processes, len(found))
        most.files = max(most.files, sum(open_files(one) for one in found))
    return most
