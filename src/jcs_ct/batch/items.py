"""One study of a batch: where it lies, what to call it, and which of the parallel parts does it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from jcs_ct.errors import UsageError

_LONGEST_NAME = 80
"""Characters, so that a file's name with all that is put around it stays below the 255 of most file systems."""
_SUFFIXES = (".nii.gz", ".nii", ".zip", ".dcm")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
# Windows keeps these for devices, with any extension.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Item:
    """One study to diagnose."""

    name: str
    """Of its folder of results: safe on every file system, unique in the batch."""
    path: str
    """Where the study lies: a folder, a zip archive, a file, or the URL of a DICOMweb service."""
    study_uid: str | None = None
    """Study Instance UID, where `path` holds more than this study."""
    files: tuple[str, ...] = ()
    """The study's DICOM files, or names of entries of an archive, where `path` holds more and they are known."""
    series_uid: str | None = None
    """Series to read in place of the one that the rules choose."""
    lungs: str | None = None
    """Lung mask to measure against."""
    lobes: str | None = None
    """Lobe mask to measure against."""
    extent: str | None = None
    """What a DICOMweb service says of how much it holds of the study; it changes when images are added."""


@dataclass(frozen=True)
class Found:
    """A study that was found, before it has a unique name."""

    label: str
    """What a person would call it: the folder's or file's name, or the `id` of a table."""
    item: Item


@dataclass(frozen=True)
class Part:
    """One of several calls that share a batch."""

    index: int
    """From 0."""
    of: int

    def __post_init__(self) -> None:
        if not (self.of >= 1 and 0 <= self.index < self.of):
            raise UsageError(f"--part: found {self.index} of {self.of}, expected a number from 0 to {self.of - 1}")

    def has(self, item: Item) -> bool:
        """Whether a study belongs to this part; a study stays in its part when others are added to the batch."""
        digest = hashlib.sha256(item.name.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.index


# Environment variables of schedulers: number of this task, number of tasks, lowest number.
_SCHEDULERS = (
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN"),
    ("JOB_COMPLETION_INDEX", None, None),
    ("PBS_ARRAY_INDEX", None, None),
    ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE", None),
)


def chosen_part(part: str | None, of: str | None, environment: Mapping[str, str] = os.environ) -> Part | None:
    """The part that `--part` and `--of` name; `auto` takes it from the scheduler's environment.

    Raises:
        UsageError: only one of the two is given, they are no numbers, or the environment holds no such variable.
    """
    if part is None and of is None:
        return None
    if part == "auto":
        return _part_of_scheduler(of, environment)
    if part is None or of is None:
        raise UsageError("--part and --of belong together: give both, or --part auto under a scheduler")
    return Part(_number("--part", part), _number("--of", of))


def _part_of_scheduler(of: str | None, environment: Mapping[str, str]) -> Part:
    for index, count, lowest in _SCHEDULERS:
        if index not in environment:
            continue
        given = None if of in (None, "auto") else of
        total = given or (environment.get(count) if count else None)
        if total is None:
            raise UsageError(f"--part auto: found {index}, but not the number of parts; give it by --of")
        first = int(environment.get(lowest, 0)) if lowest else 0
        return Part(_number(index, environment[index]) - first, _number("--of", total))
    known = ", ".join(index for index, _, _ in _SCHEDULERS)
    raise UsageError(f"--part auto: found none of the variables {known}; expected a job array, or --part I --of N")


def _number(option: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"{option}: found {text!r}, expected a number") from error


def named(found: Sequence[Found]) -> list[Item]:
    """The studies, each under a name of its own.

    A label that is safe is the name. One that is not, or that an earlier study has, ends in a digest of the place, so
    that the same study has the same name in every call.
    """
    items, taken = [], set[str]()
    for each in found:
        name = safe_name(each.label)
        if name.lower() in taken:
            name = _with_digest(name, f"{each.item.path}\0{each.item.study_uid or ''}")
        if name.lower() in taken and each.item.files:  # one Study Instance UID was given to several patients
            name = _with_digest(name, f"{each.item.path}\0{each.item.study_uid}\0{each.item.files[0]}")
        if name.lower() in taken:
            raise UsageError(f"the study {each.item.path} is given twice: give each study once")
        taken.add(name.lower())
        items.append(replace(each.item, name=name))
    return items


def safe_name(label: str) -> str:
    """A file name that tells what `label` is, equal to it where that is safe."""
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode("ascii")
    plain = _UNSAFE.sub("_", plain).strip("._-")[:_LONGEST_NAME]
    if plain and plain == label and not _RESERVED.fullmatch(plain):
        return plain
    return _with_digest(plain or "study", label)


def keyed_name(name: str, key: bytes) -> str:
    """A name in place of `name` that tells nothing to who does not hold the key."""
    return "JCS-" + base64.b32encode(hmac.digest(key, f"study\0{name}".encode(), "sha256")[:10]).decode("ascii")


def _with_digest(name: str, what: str) -> str:
    digest = hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9]}-{digest}"


def without_suffix(name: str) -> str:
    """The name of a study's file without what says its kind."""
    suffix = next((each for each in _SUFFIXES if name.lower().endswith(each)), "")
    return name[: len(name) - len(suffix)] or name
