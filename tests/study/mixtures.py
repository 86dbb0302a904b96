"""Series put together from two persons, studies or phases, header values exchanged, that follow from a number alone.

File names tell person, phase and slice. What is read may hold files of one person and one phase only, unless the study
is refused: that is known by construction, whatever the headers say.
"""

from __future__ import annotations

import gzip
import random
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from jcs_ct.errors import JcsError
from jcs_ct.study import read_study, refusals
from tests.phantoms import UID_ROOT, ChestPhantom, write_dicom_series

_SLICES = 8
_PHANTOM = ChestPhantom(shape=(_SLICES, 64, 64), spacing=(5.0, 5.2, 5.2), noise=20.0)
_PERSON: dict[str, tuple[object, object]] = {
    "PatientID": ("P1", "P2"), "PatientName": ("One^A", "Two^B"), "PatientBirthDate": ("19500101", "19700202"),
    "PatientSex": ("F", "M"), "PatientAge": ("070Y", "050Y"), "StudyInstanceUID": (f"{UID_ROOT}1", f"{UID_ROOT}2"),
    "FrameOfReferenceUID": (f"{UID_ROOT}3", f"{UID_ROOT}4"),
}  # fmt: skip
_PHASE: dict[str, tuple[object, object]] = {
    "AcquisitionNumber": (1, 2), "AcquisitionTime": ("101000", "101500"), "ContentTime": ("101000", "101500"),
    "TemporalPositionIdentifier": (1, 2), "TriggerTime": (100, 450), "NominalPercentageOfCardiacPhase": (40, 75),
    "ContrastBolusAgent": ("Iomeron", "Ultravist"), "ConvolutionKernel": ("B40f", "B70f"), "KVP": (120, 80),
    "XRayTubeCurrent": (100, 300), "ImageType": (["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "PRIMARY", "AXIAL"]),
}  # fmt: skip
_EXCHANGED = (
    "InstanceNumber", "SliceLocation", "SeriesDescription", "SOPInstanceUID", "WindowCenter", "PatientName",
    "AcquisitionTime", "ImagePositionPatient", "RescaleIntercept", "SliceThickness",
)  # fmt: skip


@cache
def _slices() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        paths = write_dicom_series(Path(folder), _PHANTOM.hu, shuffled=False)
        return tuple(path.read_bytes() for path in paths)


def mixed(number: int, seed: int, target: Path) -> Path:
    """Write mixture `number` into the folder `target`, which is emptied first; what to read: the folder, or a zip."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    dice = random.Random(f"mixture {seed} {number}")
    way: Callable[[random.Random], dict[str, Dataset]] = dice.choice(
        [_two_persons, _two_phases, _two_phases, _two_studies]
    )
    with disable_value_validation():
        files = way(dice)
        _exchange(files, dice)
        contents = {name: _written(dataset) for name, dataset in files.items()}
    pack: Callable[[dict[str, bytes], Path], Path] = dice.choice(
        [_plain, _plain, _gzipped, _zipped, _zips, _zips_zipped]
    )
    return pack(contents, target)


def _plain(contents: dict[str, bytes], target: Path) -> Path:
    for name, content in contents.items():
        (target / name).write_bytes(content)
    return target


def _gzipped(contents: dict[str, bytes], target: Path) -> Path:
    """Every other file compressed."""
    packed = [gzip.compress(content, 1) if index % 2 else content for index, content in enumerate(contents.values())]
    return _plain(dict(zip(contents, packed, strict=True)), target)


def _zipped(contents: dict[str, bytes], target: Path) -> Path:
    with zipfile.ZipFile(target / "study.zip", "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return target / "study.zip"


def _zips(contents: dict[str, bytes], target: Path) -> Path:
    """An archive for each person and phase."""
    for origin in sorted({name[:2] for name in contents}):
        _zipped({name: content for name, content in contents.items() if name[:2] == origin}, target)
        (target / "study.zip").rename(target / f"{origin}.zip")
    return target


def _zips_zipped(contents: dict[str, bytes], target: Path) -> Path:
    packed = {path.name: path.read_bytes() for path in sorted(_zips(contents, target).iterdir())}
    return _zipped(packed, target)


def read(path: Path) -> tuple[str, str]:
    """Read a mixture: "study" or "refused", or "mixture" if slices of two persons or phases came out as one study."""
    try:
        study = read_study(path)
    except JcsError as error:
        return "refused", str(error)
    if refusals(study):
        return "refused", ""
    origins = {name[:2] for name in study.sources}
    return ("study", "") if len(origins) == 1 else ("mixture", f"{sorted(study.sources)}")


def _two_persons(dice: random.Random) -> dict[str, Dataset]:
    keywords = dice.sample(sorted(_PERSON), dice.choice([1, 1, 2, 4]))
    second = dice.sample(range(_SLICES), dice.choice([1, 2, _SLICES // 2, _SLICES]))
    first = [index for index in range(_SLICES) if dice.random() < 0.5 or index not in second] or [0]
    files = {f"A1-{index:02d}.dcm": _slice(index) for index in first}
    files |= {f"B1-{index:02d}.dcm": _slice(index, "8", dice.choice([0.0, 0.0, 2.5])) for index in second}
    for name, dataset in files.items():
        for keyword in _PERSON:
            which = int(name[0] == "B")
            setattr(dataset, keyword, _PERSON[keyword][which] if keyword in keywords else "")
        dataset.StudyInstanceUID = dataset.StudyInstanceUID or f"{UID_ROOT}1"
    return files


def _two_studies(dice: random.Random) -> dict[str, Dataset]:
    """Whole studies, each with series of its own; what else they state may be the same."""
    files = {f"A1-{index:02d}.dcm": _slice(index) for index in range(_SLICES)}
    files |= {f"B1-{index:02d}.dcm": _slice(index, "8", dice.choice([0.0, 2.5])) for index in range(_SLICES)}
    keywords = dice.sample(sorted(_PERSON), dice.choice([0, 1, 3]))
    for name, dataset in files.items():
        which = int(name[0] == "B")
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (f"{UID_ROOT}{kind}{which}" for kind in (5, 6))
        for keyword in keywords:
            setattr(dataset, keyword, _PERSON[keyword][which])
    return files


def _two_phases(dice: random.Random) -> dict[str, Dataset]:
    keywords = dice.sample(sorted(_PHASE), dice.choice([1, 1, 2]))
    second = dice.sample(range(_SLICES), dice.choice([1, 2, _SLICES - 1, _SLICES, _SLICES]))
    off = dice.choice([0.0, 2.5, 1.0])
    files = {f"A1-{index:02d}.dcm": _slice(index) for index in range(_SLICES)}
    files |= {f"A2-{index:02d}.dcm": _slice(index, "9", off) for index in second}
    for name, dataset in files.items():
        later = int(name[1] == "2")
        dataset.InstanceNumber = int(name[3:5]) + 1 + _SLICES * later
        for keyword in keywords:
            setattr(dataset, keyword, _PHASE[keyword][later])
    return files


def _slice(index: int, suffix: str = "", off: float = 0.0) -> Dataset:
    dataset = dcmread(BytesIO(_slices()[index]))
    x, y, z = dataset.ImagePositionPatient
    dataset.ImagePositionPatient = [x, y, z + off]
    if suffix:
        dataset.SOPInstanceUID = f"{UID_ROOT}{suffix}.{index}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.PixelData = bytes(dataset.PixelData)[::-1]  # another image than the one of the first stack
    return dataset


def _exchange(files: dict[str, Dataset], dice: random.Random) -> None:
    """Exchange single values between two files; what tells persons and phases apart stays with most of theirs."""
    for _ in range(dice.choice([0, 0, 1, 2])):
        if len(files) < 2:
            return
        one, other = (files[name] for name in dice.sample(sorted(files), 2))
        keyword = dice.choice(_EXCHANGED)
        if keyword in one and keyword in other:
            first, second = one[keyword].value, other[keyword].value
            setattr(one, keyword, second)
            setattr(other, keyword, first)


def _written(dataset: Dataset) -> bytes:
    stream = BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()
