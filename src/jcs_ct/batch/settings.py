"""What a batch is told beside its studies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jcs_ct.errors import UsageError

GIB = 1024**3


@dataclass(frozen=True)
class WorkSettings:
    """What each worker is told; it travels to other processes and machines."""

    out: str
    """Folder of the batch, as all workers see it."""
    recipe: str = ""
    """See `fingerprint.recipe`."""
    weights: str | None = None
    """Folder of weights in place of those that ship."""
    threshold: int = 25
    """Of the patient rule, as for `jcs diagnose`."""
    formats: tuple[str, ...] = ("json",)
    key: bytes | None = None
    """Results are de-identified with it; None leaves them as they are."""
    threads: int = 1
    """Cores that a worker uses. One is most for the money: two workers of one thread do more than one of two."""
    timeout_s: float = 1800.0
    """Most time for one study."""
    memory_bytes: int = 4 * GIB
    """Most memory for a worker."""
    redo: bool = False
    """Do again what is done."""
    retry: bool = False
    """Try again what is quarantined."""
    config: str | None = None
    """Settings of peers (`jcs pacs`), for studies that come from a DICOMweb service."""
    task: str = "jcs_ct.batch.diagnosing:prepare"
    """Import path of what does a study; tests have others."""

    def __post_init__(self) -> None:
        if self.threshold < 1:
            raise UsageError(f"--threshold: found {self.threshold}, expected at least 1 infected slice")
        if self.timeout_s <= 0:
            raise UsageError(f"--timeout: found {self.timeout_s:g}, expected more than 0 seconds")
        if self.memory_bytes < GIB // 2:
            raise UsageError(f"--memory: found {self.memory_bytes / GIB:g}, expected at least 0.5 GiB")
        if self.threads < 1:
            raise UsageError(f"--threads: found {self.threads}, expected at least 1")

    @property
    def folder(self) -> Path:
        """`out` as a path."""
        return Path(self.out)
