"""The time that a store has lived through, by which it decides what is old.

The computer's clock jumps: a dead battery, a wrong time server, a virtual machine that wakes up. Ages are therefore
counted in small steps while somebody is at work on the store, and no step is longer than an hour, whatever the clock
says. A store that nobody serves does not age.
"""

from __future__ import annotations

import sqlite3
import time

_LONGEST_STEP_S = 3600.0


def tick(db: sqlite3.Connection) -> float:
    """Let time pass, within a transaction; seconds that only ever grow."""
    now = time.time()
    lived = lived_until(db, now)
    db.execute("UPDATE clock SET seen = ?, lived = ?", (now, lived))
    return lived


def lived_until(db: sqlite3.Connection, now: float) -> float:
    """What `tick` would say, without changing anything."""
    seen, lived = db.execute("SELECT seen, lived FROM clock").fetchone()
    return float(lived) + min(max(now - float(seen), 0.0), _LONGEST_STEP_S)
