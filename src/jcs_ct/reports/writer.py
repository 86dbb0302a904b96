"""Writes all reports of a diagnosis into a folder, all or nothing.

Reports are first written into a folder beside the target and then moved into place by renaming, so that nobody ever
sees half a result. `result.json` comes last and goes first: where it lies, the rest is complete and belongs to it.
Moving is done by one writer at a time, so a folder never holds results of two.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from jcs_ct.cores import parallel_map
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.errors import UsageError
from jcs_ct.notices import printable
from jcs_ct.reports.dicom_report import write_dicom
from jcs_ct.reports.formats import ReportFormat, check_formats, default_formats, load
from jcs_ct.reports.nifti_report import nifti_warnings, write_niftis
from jcs_ct.study.own_results import FILES, FOLDERS, is_result
from jcs_ct.study.scratch import exclusive, held_folder

Report = Callable[[Diagnosis, Path], list[Path]]


def write_reports(diagnosis: Diagnosis, out_dir: Path, formats: Collection[ReportFormat] | None = None) -> list[Path]:
    """Write the reports of a diagnosis into `out_dir`.

    Results of an earlier run in `out_dir` are replaced once everything is written, all of them, whatever their format;
    other files there are left alone.

    Args:
        diagnosis: what to report.
        out_dir: the folder; made, with its parents, where missing.
        formats: which reports; those of `default_formats` if None. `result.json` is always written.

    Returns:
        The files written, sorted.

    Raises:
        UsageError: The input does not allow a format, or `out_dir` is a file, cannot be written to, or holds files that
            carry the name of a result but were not written by an earlier run.
    """
    wanted = default_formats(diagnosis.study) if formats is None else check_formats(formats, diagnosis.study)
    out_dir = out_dir.resolve()
    _refuse_foreign(out_dir)
    if ReportFormat.NIFTI in wanted:
        said = dict.fromkeys((*diagnosis.notices, *nifti_warnings(diagnosis.study)))
        diagnosis = replace(diagnosis, notices=tuple(said))
    reports = _reports(wanted)
    try:
        with _staging_folder(out_dir) as staging:
            # Compressing volumes is no work for Python, making DICOM objects is nothing else: one beside the other.
            lanes = [[write for write in reports if (write is write_niftis) == aside] for aside in (False, True)]
            made = parallel_map(lambda lane: [path for write in lane for path in write(diagnosis, staging)], lanes)
            written = [path.relative_to(staging) for paths in made for path in paths]
            with exclusive(staging.parent.parent / f"{_prefix(out_dir)}lock"):
                _refuse_foreign(out_dir)
                _move_into_place(staging, out_dir)
    except OSError as error:
        raise UsageError(
            f"cannot write results to {printable(str(out_dir))}: {error}. Nothing there was changed."
        ) from error
    return sorted(out_dir / path for path in written)


def check_output(out_dir: Path) -> None:
    """Refuse a folder that results could not be written into, before anything is computed.

    Raises:
        UsageError: It is a file, closed, or unusable by name, or it holds files that carry the name of a result but
            were not written by an earlier run.
    """
    shown = printable(str(out_dir))
    try:
        out_dir = out_dir.resolve()
        _refuse_foreign(out_dir)
        there = next(folder for folder in (out_dir, *out_dir.parents) if folder.exists())
        if not there.is_dir():
            raise UsageError(f"{printable(str(there))} is a file; give a folder for the results")
        longest = os.pathconf(there, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
        long = [part for part in out_dir.parts if len(os.fsencode(part)) > longest]
        if long:
            raise UsageError(f"the name {printable(long[0])[:40]}... of the output is too long; give a shorter one")
        with held_folder(there, _prefix(out_dir)):
            pass  # a folder can be made there: no rule about permissions tells as much
    except OSError as error:
        raise UsageError(f"cannot write results to {shown}: {error.strerror}; give another folder") from error


def _reports(wanted: Collection[ReportFormat]) -> list[Report]:
    """What writes the formats, `result.json` last."""
    *files, last = (load(each.writer) for each in ReportFormat if each in wanted and each.writer)
    return [*files, partial(write_dicom, formats=wanted), last]


def _refuse_foreign(out_dir: Path) -> None:
    """Raise where writing would overwrite something that is not an earlier result."""
    if not out_dir.exists():
        return
    if not out_dir.is_dir():
        raise UsageError(f"{printable(str(out_dir))} is a file; give a folder for the results")
    in_the_way = [name for name in (*FILES, *FOLDERS) if (out_dir / name).exists()]
    if in_the_way and not is_result(out_dir / "result.json"):
        raise UsageError(
            f"{printable(str(out_dir))} holds {', '.join(in_the_way)}, but no result.json of an earlier run that they "
            "belong to; move them away or give another folder"
        )
    for name, ours in FOLDERS.items():
        if (out_dir / name).is_dir():
            foreign = [p.name for p in (out_dir / name).iterdir() if not ours.fullmatch(p.name)]
            if foreign:
                where = printable(str(out_dir / name))
                raise UsageError(f"{where} holds {printable(foreign[0])}, which is no result; move it away")


def _prefix(out_dir: Path) -> str:
    """What our temporary names for `out_dir` begin with; short, however long its own name is."""
    return f".jcs-{hashlib.sha256(os.fsencode(out_dir.name)).hexdigest()[:8]}."


@contextmanager
def _staging_folder(out_dir: Path) -> Iterator[Path]:
    """A fresh folder on the same file system as `out_dir`, gone afterwards.

    Beside `out_dir` where possible; inside it where it is a mount point (a container's volume) or its parent is closed.
    """
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    beside = out_dir.parent
    inside_only = out_dir.exists() and (not os.access(beside, os.W_OK) or out_dir.stat().st_dev != beside.stat().st_dev)
    with held_folder(out_dir if inside_only else beside, _prefix(out_dir)) as held:
        # A folder in the held one, which is closed to everybody else: it becomes `out_dir`.
        staging = held / "results"
        staging.mkdir()
        yield staging


def _move_into_place(staging: Path, out_dir: Path) -> None:
    if not out_dir.exists():
        staging.rename(out_dir)
        return
    old = staging / ".old"
    old.mkdir()
    names = [*FOLDERS, *FILES]  # result.json last
    retired = [name for name in reversed(names) if (out_dir / name).exists()]
    arriving = [name for name in names if (staging / name).exists()]
    moves = [(out_dir / n, old / n) for n in retired] + [(staging / n, out_dir / n) for n in arriving]
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            source.rename(target)
            done.append((source, target))
    except BaseException:  # also Ctrl-C between two renames: put everything back
        for source, target in reversed(done):
            target.rename(source)
        raise
