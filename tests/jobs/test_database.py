"""Files that are damaged, of others, or cannot be written: told in words of ours."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from jcs_ct.errors import QueueError, QueueFullError
from jcs_ct.jobs.database import Database
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.schema import queue_schema
from jcs_ct.jobs.supervisor import Supervisor
from tests.jobs.stores import quick, submit


@pytest.mark.parametrize("damage", ["not a database", "pages overwritten"])
def test_damaged_database_is_named_and_left_alone(tmp_path: Path, damage: str) -> None:
    with JobQueue(tmp_path / "store", quick(tmp_path)) as queue:
        job = submit(queue, tmp_path)
        path, study = queue.folders.database, queue.study_path(job)
    content = path.read_bytes()
    # Of the schema's page the header is left as it was; all that follows is not.
    damaged = b"x" * len(content) if damage == "not a database" else content[:4096] + b"\xff" * (len(content) - 4096)
    path.write_bytes(damaged)
    for opening in (lambda: JobQueue(tmp_path / "store"), lambda: Supervisor(tmp_path / "store")):
        with pytest.raises(
            QueueError, match=r"queue.sqlite is damaged \(.+\); expected the database of a queue: put a"
        ):
            opening()
    assert path.read_bytes() == damaged
    assert study.exists()


def test_damage_that_comes_while_it_is_open_is_named(tmp_path: Path) -> None:
    with JobQueue(tmp_path / "store", quick(tmp_path)) as queue:
        for _ in range(3):
            submit(queue, tmp_path)
    with JobQueue(tmp_path / "store", quick(tmp_path)) as queue:
        path = queue.folders.database
        with queue.database.transaction() as db:
            db.execute("PRAGMA shrink_memory")  # what it read when it opened would hide the damage for a while
        path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096))
        with pytest.raises(QueueError, match="is damaged"):
            submit(queue, tmp_path)


def test_database_of_another_program_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "queue.sqlite") as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(QueueError, match="is a database of another program"):
        JobQueue(tmp_path)


def test_queue_of_a_later_version_is_refused(tmp_path: Path) -> None:
    JobQueue(tmp_path).close()
    with sqlite3.connect(tmp_path / "queue.sqlite") as later:
        later.execute("PRAGMA user_version = 99")
    later.close()
    with pytest.raises(QueueError, match="is a queue of version 99, expected 3"):
        JobQueue(tmp_path)


def test_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(QueueError, match="cannot hold a queue"):
        JobQueue(tmp_path / "file")


def test_full_disk_is_told_and_nothing_changes(tmp_path: Path) -> None:
    database = Database(tmp_path / "queue.sqlite", queue_schema())
    with database.transaction() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        with database.transaction() as db:
            for number in range(1000):
                db.execute("INSERT INTO arrivals (id, bytes) VALUES (?, 1)", (f"{number:0500}",))

    with pytest.raises(QueueFullError, match="is full: free some space"):
        fill()
    with database.reading() as db:
        assert db.execute("SELECT count(*) FROM arrivals").fetchone()[0] == 0
    database.close()
