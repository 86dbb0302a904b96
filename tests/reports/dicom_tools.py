"""The programs of Debian that judge DICOM objects: dciodvfy (dicom3tools), dsrdump and storescu (dcmtk), Orthanc."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def tool(name: str, package: str) -> str:
    """The path of a program. Without it a test is skipped, but in CI, where it must be present, it fails."""
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not installed: apt-get install {package}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def validation_errors(path: Path) -> list[str]:
    """What dciodvfy finds wrong with an object, warnings left out."""
    done = subprocess.run([tool("dciodvfy", "dicom3tools"), str(path)], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert lines, "dciodvfy names at least the kind of object"
    return [line for line in lines if line.startswith(("Error", "Abort"))]


def printed_report(path: Path) -> str:
    """A structured report as dsrdump prints it, with all codes and in full length."""
    done = subprocess.run(
        [tool("dsrdump", "dcmtk"), "+Pc", "+Pl", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
