"""Studies that are a line of text, and what does them in the place of the networks: in an instant, or as badly as told.

A study is a folder with the file `study.txt`, whose first word says how it behaves.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jcs_ct.batch.engine import Work
from jcs_ct.batch.items import Item
from jcs_ct.batch.records import Record, Records
from jcs_ct.batch.result_file import stamp
from jcs_ct.batch.settings import WorkSettings
from jcs_ct.batch.work import Worker
from jcs_ct.errors import UnreadableFileError, WeightsError

TASK = "tests.batch.stand_in:prepare"
UNFIT_TASK = "tests.batch.stand_in:prepare_unfit"
RUNS = "runs.log"
"""A line for each time that a study was begun, in the folder of the batch."""


def prepare(settings: WorkSettings) -> Work:
    return Worker(settings, StandIn(settings.folder))


def prepare_unfit(settings: WorkSettings) -> Work:
    raise WeightsError("no weights here")


def write_study(folder: Path, text: str = "fine", patient: str = "", day: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.txt").write_text(f"{text}\n{patient}\n{day}\n")
    return folder


def items_in(folder: Path) -> list[Item]:
    """Each sub-folder as a study; `discover` would look for images."""
    return [Item(each.name, str(each)) for each in sorted(folder.iterdir())]


def runs(out: Path) -> list[str]:
    """Names of the studies in the order in which they were begun."""
    path = out / RUNS
    return path.read_text().split() if path.exists() else []


@dataclass
class StandIn:
    out: Path

    def __call__(self, item: Item, begun: Record) -> None:
        with (self.out / RUNS).open("a") as stream:
            stream.write(f"{item.name}\n")
        behaviour, patient, day, *_ = [*(Path(item.path) / "study.txt").read_text().split("\n"), "", ""]
        word, _, number = behaviour.partition(" ")
        _behave(word, number)
        target = Records(self.out).result(item.name)
        part = target.parent / f".{item.name}.half.partial"
        part.mkdir()
        document = result(begun.inputs, begun.recipe, patient, day, infected=len(item.name))
        (part / "result.json").write_text(json.dumps(document))
        if target.exists():
            (part / "result.json").replace(target / "result.json")
            part.rmdir()
        else:
            part.rename(target)


def _behave(word: str, number: str) -> None:
    if word == "sleep":
        time.sleep(float(number))
    elif word == "hang":
        while True:
            ctypes.PyDLL(None).sleep(1000)  # native code that never lets go of Python's lock
    elif word == "crash":
        ctypes.string_at(0)
    elif word == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif word == "memory":
        held = []
        while True:
            held.append(bytearray(64 * 1024**2))
    elif word == "unreadable":
        raise UnreadableFileError("a.dcm is damaged: copy it again")
    elif word == "fault":
        raise ZeroDivisionError("by zero")
    elif word == "full":
        raise OSError(28, "No space left on device")


def result(inputs: str, recipe: str, patient: str = "", day: str = "", infected: int = 10) -> dict[str, Any]:
    """A result.json, as far as a batch reads it."""
    return {
        "schema": "jcs-result/2",
        "verdict": "positive" if infected >= 25 else "negative",
        "probability": 0.25,
        "rule": {
            "infected_slices": infected,
            "assessed_slices": 100,
            "threshold": 25.0,
            "infected_extent_mm": float(infected),
            "curve": [
                {"paper_threshold": t, "threshold": float(t), "positive": infected >= t} for t in (15, 20, 25, 30)
            ],
        },
        "stability": {"fewest": infected - 3, "most": infected + 3, "borderline": abs(infected - 25) < 3},
        "measures": {
            "lesion_volume_ml": 10.0 * infected,
            "lung_volume_ml": 4000.0,
            "lesion_share_of_lung": infected / 400,
            "lesion_count": 3,
            "consolidation_share": 0.25,
            "severity": {"total": 7, "basis": "zonal approximation", "regions": []},
            "lungs": [
                {"name": "right", "lesion_volume_ml": 1.0, "lesion_share": 0.5},
                {"name": "left", "lesion_volume_ml": 2.0, "lesion_share": None},
            ],
        },
        "notices": [{"code": "gap", "severity": "warning"}, {"code": "gap", "severity": "warning"}],
        "input": {
            "kind": "dicom", "series_uid": "1.2.3", "digest": "d" * 64, "slices": 100, "spacing_mm": [1.0, 0.7, 0.7],
            "slice_thickness_mm": 1.25,
            "attributes": {"PatientID": patient, "StudyDate": day, "ConvolutionKernel": "LUNG"},
        },
        "provenance": {
            "version": "0", "weights": {"classifier": {"file": "c.xml", "sha256": "ab" * 32}},
            "settings": {"rule": {"minimum_infected": 2}, **stamp(inputs, recipe)},
        },
    }  # fmt: skip
