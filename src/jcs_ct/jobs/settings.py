"""What can be chosen of a queue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

GIB = 1024**3


@dataclass(frozen=True)
class QueueSettings:
    """Settings of a queue and of those who work it off; the same for all processes on one store."""

    workers: int = 1
    """Processes that diagnose. One with all cores is the fastest way through a queue: a study is spread over cores."""
    threads: int | None = None
    """Cores of each worker; all if None."""
    niceness: int = 5
    """By how much workers step back behind other processes, so that the doors answer while they compute."""
    task: str = "jcs_ct.jobs.diagnosing:prepare"
    """What works a study off, as module:function; see `task.py`. Never taken from the store."""
    task_settings: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of that function, as plain data."""

    max_attempts: int = 3
    """Starts of a job whose worker died, ran out of memory, or found the disk full."""
    max_interruptions: int = 10
    """Starts that ended because everything went down: nobody was left to tell whose fault it was."""
    retry_delay_s: float = 5.0
    """Before the second attempt; doubled before each further one."""
    time_limit_s: float = 3600.0
    """Longer than this, and an attempt is taken to hang."""
    memory_bytes: int | None = 4 * GIB
    """Memory that a worker may have; a study that needs more fails. 1,200 slices take 1.7 GB. No limit if None."""
    cpu_s: float | None = 4 * 3600.0
    """Processor time, of all cores together, that one study may take; no limit if None."""
    reading_cpu_s: float | None = 300.0
    """Of that, what reading may take: it is the part that a made-up file decides on. No limit if None."""
    network: bool = False
    """Whether workers may reach the network. They need none; the system may not let them give it up."""

    lease_s: float = 30.0
    """A claim on a job ends this long after the worker's last sign of life."""
    heartbeat_s: float = 5.0
    """Between two signs of life."""
    grace_s: float = 5.0
    """How long a worker that lost its claim may take to notice by itself; then its process ends."""
    poll_s: float = 0.25
    """How often workers look for jobs, and the supervisor for workers."""
    sweep_s: float = 60.0
    """How often what is old or left over is removed."""

    max_waiting: int = 500
    """Jobs that are queued or running."""
    max_waiting_per_owner: int = 200
    """Of one owner, or of one peer of a DICOM node."""
    owner_share: float = 0.5
    """Part of the store's room that one owner, or one peer, may fill."""
    max_input_bytes: int = 4 * GIB
    """Of one study, as it is handed in."""
    max_files: int = 50_000
    """Of one study; as many as the reader takes."""
    max_store_bytes: int = 100 * GIB
    """Of all studies and results together."""
    result_reserve_bytes: int = GIB // 8
    """Set aside for the result of each job that has none yet; less for small studies."""
    min_free_bytes: int = 5 * GIB
    """Left free on the disk: a worker unpacks an archive of up to 4 GiB, and others write there, too."""

    retention_age_s: float | None = 30 * 24 * 3600.0
    """After this long, ended jobs are removed; never if None. It counts while the store is served (see `clock`)."""
    retention_count: int | None = 1000
    """So many results of each owner or peer are kept, the latest, and as many jobs that failed or were cancelled; all
    if None. Neither limit removes what was signed or is held."""
    undelete_s: float = 7 * 24 * 3600.0
    """A removed job can be restored for so long; it goes earlier where the disk is nearly full."""

    def __post_init__(self) -> None:
        for name in ("workers", "max_attempts", "max_interruptions", "max_waiting", "max_waiting_per_owner"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, found {getattr(self, name)}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"expected threads of at least 1 or None for all cores, found {self.threads}")
        for name in ("heartbeat_s", "grace_s", "poll_s", "sweep_s", "time_limit_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"expected {name} above 0, found {getattr(self, name)}")
        if not 0 < self.owner_share <= 1:
            raise ValueError(f"expected owner_share above 0 and at most 1, found {self.owner_share:g}")
        for name in ("memory_bytes", "cpu_s", "reading_cpu_s"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ValueError(f"expected {name} above 0, or None for no limit, found {getattr(self, name)}")
        if self.lease_s < 2 * self.heartbeat_s:
            raise ValueError(
                f"expected lease_s of at least two heartbeats, {2 * self.heartbeat_s:g}, found {self.lease_s:g}: "
                "one that comes late would cost a worker its job"
            )

    def as_json(self) -> str:
        """For a worker's command line."""
        return json.dumps({**asdict(self), "task_settings": dict(self.task_settings)})

    @classmethod
    def from_json(cls, text: str) -> QueueSettings:
        """The inverse of `as_json`."""
        return cls(**json.loads(text))
