"""Commands with odd options, names, and surroundings: no traceback, the documented exit code, nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import phantoms
from tests.altered import stating
from tests.command_line import CommandLine
from tests.opacity_networks import write_weights

PHANTOM = phantoms.ChestPhantom.infected(shape=(48, 128, 128), spacing=(4.0, 2.6, 2.6))


@pytest.fixture
def jcs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def series(tmp_path: Path) -> Path:
    phantoms.write_dicom_series(tmp_path / "in", PHANTOM.hu, positions=[4.0 * z for z in range(48)])
    return tmp_path / "in"


def started(*arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    call = [sys.executable, "-m", "jcs_ct.cli", *map(str, arguments)]
    return subprocess.Popen(call, text=True, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("threads", ["0", "-1"])
def test_threads_below_one_are_refused(jcs: CommandLine, series: Path, tmp_path: Path, threads: str) -> None:
    refused = jcs("diagnose", series, "-o", tmp_path / "out", "--threads", threads).refusal()
    assert f"found {threads}, expected at least 1" in refused


@pytest.mark.parametrize("command", ["diagnose", "measure"])
def test_unusable_output_is_told_before_anything_is_read(jcs: CommandLine, tmp_path: Path, command: str) -> None:
    (tmp_path / "out").write_text("a file")
    more: list[str | Path] = ["--seg", tmp_path / "nowhere.dcm"] if command == "measure" else []
    assert "is a file" in jcs(command, tmp_path / "nowhere", "-o", tmp_path / "out", *more).refusal()


def test_several_studies_are_refused_by_diagnose_and_listed_by_info(jcs: CommandLine, tmp_path: Path) -> None:
    for number in (1, 2):
        phantom = phantoms.ChestPhantom(shape=(6, 64, 64), spacing=(25.0, 5.0, 5.0))
        phantoms.write_dicom_series(
            tmp_path / "in" / f"p{number}", phantom.hu, series=number, edit=stating(PatientID=f"P{number}")
        )
    refused = jcs("diagnose", tmp_path / "in", "-o", tmp_path / "out").refusal()
    assert "found 2 studies of 2 patients" in refused
    assert "--series-uid" in refused
    assert not (tmp_path / "out").exists()
    listed = jcs("info", tmp_path / "in")
    assert (listed.code, "2 studies of 2 patients" in listed.out) == (0, True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_standard_output_is_told(series: Path) -> None:
    with Path("/dev/full").open("w") as full, started("info", series, stdout=full) as process:
        _, said = process.communicate()
    assert process.returncode == 2
    assert said.strip().splitlines() == [
        "jcs: cannot write to standard output: No space left on device; give it another place"
    ]


def test_result_is_written_though_the_reader_of_the_stream_left(series: Path, tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "weights")
    call = ("diagnose", series, "-o", tmp_path / "out", "--weights", weights, "--stream", "--format", "csv")
    with started(*call, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
    assert (process.returncode, said) == (0, "")
    assert (tmp_path / "out" / "result.json").is_file()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_names_are_shown_on_every_terminal(tmp_path: Path, encoding: str) -> None:
    folder = tmp_path / os.fsdecode("été-".encode("latin-1")) / "胸部"
    phantoms.write_nifti(_made(folder) / "CT.nii", PHANTOM.hu)
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    with started("info", folder, stdout=subprocess.PIPE, env=environment) as process:
        out, said = process.communicate()
    assert (process.returncode, said) == (0, "")
    assert "48" in out
    with started("info", folder / "nowhere", stdout=subprocess.PIPE, env=environment) as process:
        _, said = process.communicate()
    assert process.returncode == 2
    assert "Traceback" not in said


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_stopped_command(tmp_path: Path, series: Path, number: signal.Signals) -> None:
    """At once for signals that can be heard, and with the next command after a kill."""
    zipped = shutil.make_archive(str(tmp_path / "study"), "zip", series)
    scratch, out = _made(tmp_path / "scratch"), _made(tmp_path / "results") / "out"
    environment = {**os.environ, "TMPDIR": str(scratch)}
    weights = write_weights(tmp_path / "weights")
    call = ("diagnose", zipped, "-o", out, "--weights", weights)
    with started(*call, stdout=subprocess.PIPE, env=environment) as process:
        until = time.monotonic() + 60
        while process.poll() is None and not list(scratch.glob("jcs-*/.lock")) and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(number)
        process.communicate()
    if number == signal.SIGKILL:
        with started("info", zipped, stdout=subprocess.DEVNULL, env=environment) as process:
            process.communicate()
    assert list(scratch.glob("jcs-*")) == []
    assert [path.name for path in out.parent.iterdir() if path.name != "out"] == []
