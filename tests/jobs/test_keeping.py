"""Nobody's studies are removed by what somebody else does, nor by a clock that jumps, nor for good at once."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jcs_ct.errors import NoSuchJobError
from jcs_ct.jobs import clock
from jcs_ct.jobs.housekeeping import sweep
from jcs_ct.jobs.job import JobState, Outcome
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.revisions import correct, sign_off
from jcs_ct.jobs.schema import queue_schema
from tests.jobs.finished import Case, quickly
from tests.jobs.stores import quick

DAY = 24 * 3600.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobQueue]:
    settings = quick(tmp_path, retention_count=3, undelete_s=7 * DAY, max_waiting=10_000, max_waiting_per_owner=10_000)
    with JobQueue(tmp_path / "store", settings) as queue:
        yield queue


def done(queue: JobQueue, owner: str, sender: str = "", state: JobState = JobState.DONE) -> str:
    """A job that has ended; of a study of one byte."""
    upload = queue.folders.root / "upload"
    upload.write_bytes(b"x")
    job = queue.submit(upload, owner, move=True, sender=sender)
    claim = queue.ledger.claim("worker")
    assert claim is not None
    if state is JobState.FAILED:
        queue.ledger.fail(claim.token, "no study")
        return job
    attempt = queue.folders.attempt(claim.job.id, claim.token)
    (attempt / "reports").mkdir(parents=True)
    (attempt / "outcome.json").write_text(Outcome(state).as_json())
    assert queue.ledger.finish(claim.token)
    return job


def audited(queue: JobQueue) -> list[dict[str, Any]]:
    path = queue.folders.audit
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("other", [("bert", ""), ("pacs", "SCANNER"), ("pacs", "EVIL")])
@pytest.mark.parametrize("state", [JobState.FAILED, JobState.DONE])
def test_what_one_owner_submits_pushes_nobody_elses_results_out(
    store: JobQueue, other: tuple[str, str], state: JobState
) -> None:
    kept = [done(store, "anna"), done(store, "pacs", "ARCHIVE")]
    for _ in range(8):
        done(store, *other, state=state)
    sweep(store)
    assert {job.id for job in store.jobs()} >= set(kept)
    assert len(store.jobs()) == 2 + 3, "the other one's own limit holds"


def test_failures_do_not_count_against_results(store: JobQueue) -> None:
    result = done(store, "anna")
    for _ in range(8):
        done(store, "anna", state=JobState.FAILED)
    sweep(store)
    assert store.job(result).state is JobState.DONE


@quickly
@pytest.mark.parametrize("after", ["signed", "signed and then corrected", "held"])
def test_signed_and_held_studies_are_never_removed_by_age_or_number(case: Case, after: str) -> None:
    queue = case.queue
    if after == "held":
        queue.hold(case.job)
    else:
        sign_off(queue, case.job, "accepted", "anna", "", 0)
    if "corrected" in after:
        correct(queue, case.job, case.labels == 1, "anna", 1)
    with case.with_settings(retention_count=0, retention_age_s=1e-9) as forgetful:
        sweep(forgetful)
        assert queue.job(case.job).state is JobState.DONE
        if after == "held":
            queue.hold(case.job, held=False)
            sweep(forgetful)
            with pytest.raises(NoSuchJobError):
                queue.job(case.job)


@pytest.mark.parametrize("jump", [31 * DAY, 3650 * DAY])
def test_clock_that_jumps_removes_nothing(store: JobQueue, monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    ended, removed = done(store, "anna"), done(store, "anna")
    store.remove(removed)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    for _ in range(3):
        sweep(store)
    assert store.job(ended).state is JobState.DONE
    assert [job.id for job in store.removed(["anna"])] == [removed]
    monkeypatch.undo()  # and back again
    sweep(store)
    assert store.job(ended).state is JobState.DONE


def test_old_jobs_go_when_the_store_has_lived_long_enough(store: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = done(store, "anna")
    now, passed = time.time, 0.0
    monkeypatch.setattr(time, "time", lambda: now() + passed)
    for _ in range(31 * 24):
        passed += 3600.0
        with store.database.transaction() as db:
            clock.tick(db)
    sweep(store)
    assert store.jobs() == ()
    assert [job.id for job in store.removed(["anna"])] == [ended]


def test_removed_job_can_be_restored_by_its_owner_until_it_is_purged(store: JobQueue) -> None:
    job = done(store, "anna")
    store.remove(job, "anna")
    for look in (store.job, store.study_path, store.reports_path, store.remove, store.cancel):
        with pytest.raises(NoSuchJobError):
            look(job)
    assert store.jobs() == ()
    assert store.listing(["anna"]) == ((), 0)
    assert sum(store.counts().values()) == 0
    sweep(store)
    with pytest.raises(NoSuchJobError):
        store.restore(job, "bert")
    assert store.restore(job, "anna").state is JobState.DONE
    assert store.reports_path(job).is_dir()
    store.remove(job)
    with JobQueue(store.folders.root, replace(store.settings, undelete_s=0.0)) as impatient:
        sweep(impatient)
    assert not store.folders.job(job).exists()
    with pytest.raises(NoSuchJobError):
        store.restore(job)


def test_removed_jobs_make_room_on_a_full_disk(store: JobQueue) -> None:
    job = done(store, "anna")
    store.remove(job)
    with JobQueue(store.folders.root, replace(store.settings, min_free_bytes=2**62)) as full:
        sweep(full)
    assert not store.folders.job(job).exists()


def test_every_removal_by_a_limit_is_audited(store: JobQueue) -> None:
    jobs = [done(store, "anna") for _ in range(5)]
    sweep(store)
    with JobQueue(store.folders.root, replace(store.settings, undelete_s=0.0)) as impatient:
        sweep(impatient)
    told = [(line["what"], line["job"], line["owner"]) for line in audited(store)]
    for job in jobs[:2]:
        assert ("retention: removed", job, "anna") in told
        assert ("retention: purged", job, "anna") in told
    assert len(told) == 4


def test_same_study_can_be_submitted_again_after_its_removal(store: JobQueue, tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.write_bytes(b"x")
    first = store.submit(study, "anna", key="1.2.3")
    store.cancel(first)
    store.remove(first)
    assert store.submit(study, "anna", key="1.2.3") != first


def test_queue_of_the_version_before_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    new = queue_schema().tables
    added = ("source TEXT NOT NULL DEFAULT ''", "signed INTEGER NOT NULL DEFAULT 0", "held INTEGER NOT NULL DEFAULT 0")
    for column in (*added, "kept_since REAL", "removed_at REAL", "upload TEXT NOT NULL DEFAULT ''"):
        new = new.replace(f"    {column},\n", "", 1)
    new = new.replace(",\n    owner TEXT NOT NULL DEFAULT '',\n    source TEXT NOT NULL DEFAULT ''\n", "\n")
    old = "".join(f"{each};\n" for each in new.split(";\n") if "TABLE turns" not in each and "clock" not in each)
    with sqlite3.connect(path) as db:
        db.executescript(old)
        db.execute(f"PRAGMA application_id = {0x4A435351}")
        db.execute("PRAGMA user_version = 1")
        question = (
            "INSERT INTO jobs (id, owner, name, study, options, state, submitted_at, finished_at, summary, "
            "input_bytes) VALUES (?, 'anna', 'ct', '', '{\"series_uid\": null, \"formats\": []}', 'done', 1.0, ?, ?, 1)"
        )
        long = json.dumps({"verdict": "negative", "description": "x" * 10**6})
        db.execute(question, ("long", time.time(), long))
        db.execute(question, ("signed", 2.0, json.dumps({"verdict": "positive", "revision": 1})))
        db.execute(question, ("old", 2.0, "{}"))
    db.close()
    with JobQueue(tmp_path, quick(tmp_path)) as queue:
        assert dict(queue.job("long").summary) == {"verdict": "negative", "signed": None, "revision": 0}
        for name in ("long", "signed", "old"):
            queue.folders.job(name).mkdir()
        sweep(queue)
        assert {job.id for job in queue.jobs()} == {"long", "signed"}
