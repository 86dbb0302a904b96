"""Owners and peers take turns, have limits of their own, and write no text without end into what others read."""

from __future__ import annotations

import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from jcs_ct.errors import QueueError, QuotaError
from jcs_ct.jobs.database import Database
from jcs_ct.jobs.job import JobState, Outcome
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.schema import queue_schema


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study"
    path.write_bytes(b"x")
    return path


def claimed(queue: JobQueue) -> str:
    claim = queue.ledger.claim("worker")
    assert claim is not None
    queue.ledger.fail(claim.token, "")
    return claim.job.id


def test_owners_and_peers_take_turns(queue: JobQueue, study: Path) -> None:
    many = [queue.submit(study, "mallory") for _ in range(5)]
    peer = [queue.submit(study, "pacs", sender="EVIL") for _ in range(5)]
    late = [queue.submit(study, "anna"), queue.submit(study, "pacs", sender="SCANNER")]
    ahead = {job: queue.ahead(job) for job in (*many, *peer, *late)}
    order = [claimed(queue) for _ in range(12)]
    assert ahead == {job: place for place, job in enumerate(order)}
    assert max(order.index(job) for job in late) <= 3
    for jobs in (many, peer):
        assert sorted(jobs, key=order.index) == jobs, "each one's jobs go in order"


def test_one_owner_cannot_fill_the_queue(queue: JobQueue, study: Path) -> None:
    with JobQueue(queue.folders.root, replace(queue.settings, max_waiting_per_owner=2, max_waiting=5)) as limited:
        for _ in range(2):
            limited.submit(study, "mallory")
            limited.submit(study, "pacs", sender="EVIL")
        for owner, sender in (("mallory", ""), ("pacs", "EVIL")):
            with pytest.raises(QuotaError, match="2 of your studies wait, expected fewer than 2"):
                limited.submit(study, owner, sender=sender)
        assert limited.submit(study, "anna")


def test_one_owner_cannot_fill_the_store(queue: JobQueue, study: Path) -> None:
    study.write_bytes(bytes(1000))
    settings = replace(queue.settings, max_store_bytes=10_000, result_reserve_bytes=0, owner_share=0.5)
    with JobQueue(queue.folders.root, settings) as limited:
        for _ in range(5):
            limited.submit(study, "mallory")
        with pytest.raises(QuotaError, match="your share of the store"):
            limited.submit(study, "mallory")
        assert limited.submit(study, "anna")


def test_small_studies_set_little_aside(queue: JobQueue, study: Path) -> None:
    settings = replace(queue.settings, result_reserve_bytes=2**27, max_store_bytes=2**30)
    with JobQueue(queue.folders.root, settings) as limited:
        for number in range(100):  # at an eighth of a GiB each, eight would do
            limited.submit(study, f"user {number}")


LONG = "\u202eDoe" + "x" * 10**6


def test_texts_of_a_study_are_cut_before_others_read_them(queue: JobQueue, study: Path) -> None:
    job = queue.submit(study, "anna", name=LONG)
    claim = queue.ledger.claim("worker")
    assert claim is not None
    queue.ledger.progress(claim.token, LONG, 0, 0)
    assert len(queue.job(job).stage or "") <= 200
    attempt = queue.folders.attempt(job, claim.token)
    (attempt / "reports").mkdir(parents=True)
    summary = {
        "verdict": "positive",
        "description": LONG,
        "patient": {"name": LONG, "id": LONG},
        "doubts": [LONG] * 1000,
        LONG: {"deep": {"deeper": {"deepest": [[[[LONG]]]]}}},
    }
    (attempt / "outcome.json").write_text(Outcome(JobState.DONE, summary, LONG).as_json())
    assert queue.ledger.finish(claim.token)
    found = queue.job(job)
    assert found.summary["verdict"] == "positive"
    assert len(str(found.summary)) + len(found.name) + len(found.reason or "") < 24 * 1024
    assert all(not {"\u202e", "\n"} & set(text) for text in (str(found.summary), found.name, found.reason or ""))
    assert sum(len(str(event)) for event in queue.events()) < 10_000


def test_name_with_a_description_of_usual_length_is_kept(queue: JobQueue, study: Path) -> None:
    job = queue.submit(study, "anna")
    told = {"patient": {"name": "Dr. Çelik^Ayşe", "id": "4711"}, "description": "Thorax nativ " * 4, "severity": 7}
    with queue.database.transaction() as db:
        queue.ledger.record(db, job, told)
    assert dict(queue.job(job).summary) == {**told, "description": ("Thorax nativ " * 4).strip()}


def test_writer_that_waits_holds_up_no_read(tmp_path: Path) -> None:
    database = Database(tmp_path / "queue.sqlite", queue_schema(), busy_s=1.0)
    other = sqlite3.connect(tmp_path / "queue.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begun, refused = threading.Event(), []

    def write() -> None:
        begun.set()
        try:
            with database.transaction():
                pass
        except QueueError as error:
            refused.append(str(error))

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    begun.wait()
    time.sleep(0.1)
    began = time.monotonic()
    for _ in range(20):
        with database.reading() as db:
            db.execute("SELECT count(*) FROM jobs").fetchone()
    assert time.monotonic() - began < 0.5
    for writer in writers:
        writer.join(10)
    assert len(refused) == 3, "none waits for ever, nor one after the other"
    other.execute("ROLLBACK")
    other.close()
    database.close()


def test_transaction_sees_what_it_wrote(tmp_path: Path) -> None:
    database = Database(tmp_path / "queue.sqlite", queue_schema())
    with database.transaction() as db:
        db.execute("INSERT INTO arrivals (id, bytes) VALUES ('a', 1)")
        with database.reading() as same:
            assert same.execute("SELECT count(*) FROM arrivals").fetchone()[0] == 1
    database.close()
