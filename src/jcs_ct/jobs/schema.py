"""The tables of the queue.

Version 2 tells the peers of a DICOM node apart (`source`), remembers what must not be removed (`signed`, `held`), and
keeps removed jobs for a while (`removed_at`). Version 3 remembers which jobs were handed in as one (`upload`).
"""

from __future__ import annotations

import time

from jcs_ct.jobs.database import Schema

_JOBS = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    study TEXT NOT NULL,
    options TEXT NOT NULL,
    key TEXT,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'not_assessable', 'failed', 'cancelled')),
    submitted_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    not_before REAL NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    interruptions INTEGER NOT NULL DEFAULT 0,
    claim TEXT,
    worker TEXT,
    lease_until REAL,
    stage TEXT,
    stage_done INTEGER NOT NULL DEFAULT 0,
    stage_total INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    summary TEXT NOT NULL DEFAULT '{}',
    input_bytes INTEGER NOT NULL,
    result_bytes INTEGER NOT NULL DEFAULT 0,
    source TEXT NOT NULL DEFAULT '',
    signed INTEGER NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0,
    kept_since REAL,
    removed_at REAL,
    upload TEXT NOT NULL DEFAULT '',
    CHECK ((state = 'running') = (claim IS NOT NULL))
);
CREATE INDEX jobs_by_state ON jobs (state, number);
CREATE UNIQUE INDEX jobs_by_key ON jobs (owner, key) WHERE key IS NOT NULL;
CREATE INDEX jobs_by_owner ON jobs (owner, number);
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    at REAL NOT NULL,
    state TEXT,
    stage TEXT,
    stage_done INTEGER NOT NULL,
    stage_total INTEGER NOT NULL,
    reason TEXT
);
CREATE INDEX events_by_job ON events (job_id);
CREATE TABLE arrivals (
    id TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL,
    owner TEXT NOT NULL DEFAULT '',
    source TEXT NOT NULL DEFAULT ''
);
CREATE TABLE turns (owner TEXT NOT NULL, source TEXT NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (owner, source));
"""
_CLOCK = "CREATE TABLE clock (seen REAL NOT NULL, lived REAL NOT NULL)"


def _clock() -> str:
    now = time.time()
    return f"{_CLOCK};\nINSERT INTO clock (seen, lived) VALUES ({now!r}, {now!r})"


# Texts without end, which version 1 took, would be read again with every worklist.
_FROM_1 = """
ALTER TABLE jobs ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN signed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN kept_since REAL;
ALTER TABLE jobs ADD COLUMN removed_at REAL;
ALTER TABLE arrivals ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE arrivals ADD COLUMN source TEXT NOT NULL DEFAULT '';
CREATE TABLE turns (owner TEXT NOT NULL, source TEXT NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (owner, source));
UPDATE jobs SET kept_since = finished_at;
UPDATE jobs SET signed = 1 WHERE length(summary) < 65536 AND json_extract(summary, '$.revision') > 0;
UPDATE jobs SET summary = json_object(
    'verdict', json_extract(summary, '$.verdict'), 'signed', json_extract(summary, '$.signed'),
    'revision', coalesce(json_extract(summary, '$.revision'), 0)
) WHERE length(summary) >= 65536;
UPDATE jobs SET reason = substr(reason, 1, 2000);
UPDATE events SET reason = substr(reason, 1, 2000);
"""
_FROM_2 = "ALTER TABLE jobs ADD COLUMN upload TEXT NOT NULL DEFAULT ''"


def queue_schema() -> Schema:
    """Of a queue that is made or brought up to date now."""
    return Schema(
        holds="a queue",
        version=3,
        tables=_JOBS + _clock(),
        application_id=0x4A435351,  # "JCSQ"
        migrations={1: _FROM_1 + _clock(), 2: _FROM_2},
    )
