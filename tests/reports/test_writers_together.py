"""Several writers of one folder, interrupted writers, and folders that cannot be written into."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.errors import UsageError
from jcs_ct.reports import writer
from jcs_ct.reports.formats import ReportFormat
from jcs_ct.reports.writer import check_output, write_reports
from jcs_ct.study.scratch import exclusive


def slow_renames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give other writers time between any two renames."""
    rename = Path.rename

    def slowly(self: Path, target: Path) -> Path:
        time.sleep(0.003)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", slowly)


def test_folder_never_holds_results_of_two_writers(
    diagnosis: Diagnosis, not_assessable: Diagnosis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_renames(monkeypatch)
    formats = [ReportFormat.HTML, ReportFormat.CSV]

    def write(number: int) -> None:
        write_reports((diagnosis, not_assessable)[number % 2], tmp_path / "out", formats)

    for _ in range(4):
        with ThreadPoolExecutor(4) as writers:
            list(writers.map(write, range(4)))
        verdict = json.loads((tmp_path / "out" / "result.json").read_text())["verdict"]
        page = (tmp_path / "out" / "report.html").read_text()
        assert ("Not assessable" in page) == (verdict == "not_assessable")
        assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_other_processes_are_kept_out_as_well(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from jcs_ct.study.scratch import exclusive\n"
        "with exclusive(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(1.0)"
    )
    lock = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        start = time.perf_counter()
        with exclusive(lock):
            assert time.perf_counter() - start > 0.5
    assert not lock.exists()


def test_partial_folder_of_a_killed_writer_goes_with_the_next(diagnosis: Diagnosis, tmp_path: Path) -> None:
    out = tmp_path / "out"
    left = tmp_path / f"{writer._prefix(out)}0123456789ab"
    (left / "results").mkdir(parents=True)
    (left / ".lock").touch()
    write_reports(diagnosis, out, [ReportFormat.CSV])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def closed(tmp_path: Path) -> Path:
    return Path("/proc/results")


def file_in_the_way(tmp_path: Path) -> Path:
    (tmp_path / "out").write_text("a file")
    return tmp_path / "out"


def below_a_file(tmp_path: Path) -> Path:
    return file_in_the_way(tmp_path) / "deeper" / "out"


def too_long(tmp_path: Path) -> Path:
    return tmp_path / ("n" * 300)


def foreign_files(tmp_path: Path) -> Path:
    (tmp_path / "report.html").write_text("not ours")
    return tmp_path


@pytest.mark.parametrize("make", [closed, file_in_the_way, below_a_file, too_long, foreign_files])
def test_unusable_output_is_refused_before_anything_is_computed(tmp_path: Path, make: object) -> None:
    assert callable(make)
    out = make(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(UsageError) as caught:
        check_output(out)
    assert str(caught.value).isprintable()
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["n" * 245, "new/deep/out", os.fsdecode(b"\xe9t\xe9"), "胸部"])
def test_usable_output_is_left_as_it_is_and_written(diagnosis: Diagnosis, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    check_output(out)
    assert list(tmp_path.iterdir()) == []
    written = write_reports(diagnosis, out, [ReportFormat.CSV])
    assert (out / "result.json") in written
    check_output(out)
