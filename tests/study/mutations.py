"""Valid inputs of every kind, and ways to damage them that follow from a number alone.

Used by the tests with a few hundred mutations, and by experiments/fuzz_reading.py with as many as wanted.
"""

from __future__ import annotations

import gc
import gzip
import random
import shutil
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from jcs_ct.errors import JcsError
from jcs_ct.notices import texts
from jcs_ct.study import Study, list_contents, read_study, refusals
from jcs_ct.study import warnings as study_warnings
from jcs_ct.study.masks import read_labels
from jcs_ct.study.outlines import read_lungs, read_outlines
from tests.phantoms import (
    UID_ROOT,
    ChestPhantom,
    to_grey,
    write_dicom_series,
    write_enhanced_dicom,
    write_nifti,
    write_png_slices,
)
from tests.segmentations import TISSUE, drawn

_PHANTOM = ChestPhantom(shape=(6, 64, 64), spacing=(25.0, 5.2, 5.2), noise=20.0)
_ABSURD_NUMBERS = (-1, 0, 1, 2, 7, 255, 4095, 65535, 2**31 - 1, 2**31)
_ABSURD_TEXTS = ("", "0", "-1", "1e308", "nan", "inf", "-inf", "9" * 40, "1\\2\\3\\4\\5\\6\\7", "\x00", "ä", "a" * 3000)
_KEYWORDS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
    "PlanarConfiguration", "NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "SliceThickness", "RescaleSlope", "RescaleIntercept", "RescaleType", "PixelPaddingValue", "InstanceNumber",
    "AcquisitionNumber", "SliceLocation", "ImageType", "Modality", "SeriesInstanceUID", "StudyInstanceUID",
    "SOPInstanceUID", "SOPClassUID", "PhotometricInterpretation", "SpecificCharacterSet", "PatientID",
    "ConvolutionKernel", "SeriesDescription", "PatientPosition", "PixelData",
)  # fmt: skip

Inputs = dict[str, bytes]
"""Name to content; a name ending in "/" and a file stands for a folder of files, kept as a zip archive."""


def write_inputs(folder: Path, real: Path | None = None) -> Path:
    """Write one valid input of each kind into `folder`, and copies of the real files given."""
    series = folder / "series"
    write_dicom_series(series, _PHANTOM.hu)
    folder_of = {
        "implicit": ImplicitVRLittleEndian,
        "big": ExplicitVRBigEndian,
        "deflated": DeflatedExplicitVRLittleEndian,
        "rle": RLELossless,
        "jls": JPEGLSLossless,
        "j2k": JPEG2000Lossless,
    }
    for name, syntax in folder_of.items():
        written = write_dicom_series(folder / "one", _PHANTOM.hu[3:4], transfer_syntax=syntax, padding=0)[0]
        written.rename(folder / name)
    write_enhanced_dicom(folder / "enhanced", _PHANTOM.hu, _PHANTOM.positions)
    write_nifti(folder / "volume.nii", _PHANTOM.hu)
    write_nifti(folder / "volume.nii.gz", _PHANTOM.hu)
    write_nifti(folder / "mask.nii", _PHANTOM.lung_mask.astype(np.uint8))
    write_nifti(folder / "mask.nii.gz", _PHANTOM.lung_mask.astype(np.uint8))
    _write_segmentations(folder, sorted(series.iterdir()))
    grey = to_grey(_PHANTOM.hu)
    Image.fromarray(grey[3]).save(folder / "a.png")
    Image.fromarray(grey[3]).save(folder / "a.jpg")
    Image.fromarray(grey[3]).save(folder / "a.bmp")
    pages = [Image.fromarray(page.astype(np.uint16) * 200) for page in grey]
    pages[0].save(folder / "a.tif", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    pictures = write_png_slices(folder / "pictures", _PHANTOM.hu)
    disc = write_disc(folder / "disc", sorted(series.iterdir()))
    for name, paths in (("series", sorted(series.iterdir())), ("pictures", pictures), ("disc", disc)):
        with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in paths:
                archive.write(path, path.relative_to(folder))
    for unpacked in ("one", "series", "pictures", "disc"):
        shutil.rmtree(folder / unpacked)
    for path in sorted(real.iterdir()) if real else ():
        shutil.copyfile(path, folder / f"real-{path.name}")
    return folder


def _write_segmentations(folder: Path, sources: list[Path]) -> None:
    """Write DICOM masks of the lungs on a series: binary and fractional, always the same bytes."""
    in_place = {float(dcmread(path).ImagePositionPatient[2]): path for path in sources}
    ordered, lungs = [in_place[place] for place in sorted(in_place)], _PHANTOM.lung_mask
    labels = [("Lung", TISSUE, TISSUE)]
    for kind, masks in (("BINARY", lungs.astype(np.uint8)), ("FRACTIONAL", lungs.astype(np.float32))):
        path = folder / f"mask-{kind.lower()}.seg"
        drawn(ordered, masks, path, kind, labels)
        dataset = dcmread(path)
        for number, keyword in enumerate(("SeriesInstanceUID", "SOPInstanceUID")):
            setattr(dataset, keyword, f"{UID_ROOT}99.{number}")
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
            item.DimensionOrganizationUID = f"{UID_ROOT}99.2"
        for keyword in ("ContentDate", "ContentTime", "SeriesDate", "SeriesTime", "InstanceCreationDate",
                        "InstanceCreationTime"):  # fmt: skip
            dataset.pop(keyword, None)
        dataset.save_as(path)


def write_disc(folder: Path, images: list[Path]) -> list[Path]:
    """Write images as a disc does, with a DICOMDIR and names of eight characters (PS3.10 8)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # a file set leaves its temporary folders to be collected
        disc = FileSet()
        for path in images:
            disc.add(path)
        disc.write(folder)
        del disc
        gc.collect()
    return sorted(path for path in folder.rglob("*") if path.is_file())


def load(folder: Path) -> Inputs:
    """The inputs that `write_inputs` has written."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def mutated(whole: Inputs, number: int, seed: int, target: Path) -> Path:
    """Write mutation `number` into the folder `target`, which is emptied first.

    Returns:
        What to read: a file, or for some of the archives the folder of what they hold, one file of it damaged.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    dice = random.Random(f"{seed} {number}")
    name = dice.choice(sorted(whole))
    if name.endswith(".zip") and dice.random() < 0.5:
        with zipfile.ZipFile(BytesIO(whole[name])) as archive:
            archive.extractall(target)
        files = sorted(path for path in target.rglob("*") if path.is_file())
        for path in dice.sample(files, dice.choice([1, 1, 2, len(files)])):
            path.write_bytes(damage(path.read_bytes(), dice))
        return target
    keeps_its_name = name.startswith("mask") or dice.random() < 0.8
    path = target / (name if keeps_its_name else dice.choice(["file", "file.dcm", "file.nii.gz", "file.png"]))
    path.write_bytes(damage(whole[name], dice))
    return path


def read(path: Path) -> tuple[str, str]:
    """Read an input as `jcs diagnose` and `jcs info` do: "study" or "refused", and what of it is worth telling.

    Raises:
        AssertionError: The message of an error is not one printable line.
    """
    try:
        if path.name.startswith("mask"):
            _read_mask(path, _masked_study("seg" if path.name.endswith(".seg") else "nifti"))
            return "study", ""
        study = read_study(path)
        texts((*refusals(study), *study_warnings(study)))
        list_contents(path)
    except JcsError as error:
        message = str(error)
        assert message.isprintable(), f"message is not one printable line: {message!r}"
        assert len(message) < 1000, f"message of {len(message)} characters"
        return "refused", message
    return "study", ""


@cache
def _masked_study(kind: str) -> Study:
    with tempfile.TemporaryDirectory() as folder:
        if kind == "seg":
            write_dicom_series(Path(folder), _PHANTOM.hu)
        else:
            write_nifti(Path(folder) / "ct.nii", _PHANTOM.hu)
        study = read_study(folder)
        return replace(study, voxels=np.array(study.voxels))


def _read_mask(path: Path, study: Study) -> None:
    """Read a mask in each of the ways in which one can be given."""
    refused: JcsError | None = None
    ways: list[Callable[[Path, Study], object]] = [read_lungs, lambda path, study: read_outlines(path, study, (1,))]
    if not path.name.endswith(".seg"):  # lobes are NIfTI labels
        ways.append(lambda path, study: read_labels(path, study, 5))
    for read_one in ways:
        try:
            read_one(path, study)
        except JcsError as error:
            refused = error
    if refused is not None:
        raise refused


def damage(content: bytes, dice: random.Random) -> bytes:
    """Damage the content of a file once."""
    if content[:2] == b"\x1f\x8b" and dice.random() < 0.7:
        return gzip.compress(damage(gzip.decompress(content), dice), 1, mtime=0)
    ways = [_bytes_changed, _bytes_changed, _header_changed, _cut, _removed, _inserted, _repeated, _length_changed]
    if content[128:132] == b"DICM":
        ways += [_element_changed] * 6
    if len(content) > 348 and content[344:347] in (b"n+1", b"ni1"):
        ways += [_nifti_field_changed] * 4
    return dice.choice(ways)(content, dice)


def _bytes_changed(content: bytes, dice: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.choice([1, 3, 30, 300])):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def _header_changed(content: bytes, dice: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.choice([1, 2, 5, 20])):
        changed[dice.randrange(min(len(changed), 2000))] = dice.choice([0, 1, 0x7F, 0xFF, dice.randrange(256)])
    return bytes(changed)


def _cut(content: bytes, dice: random.Random) -> bytes:
    return content[: dice.randrange(len(content))]


def _removed(content: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(content))
    return content[:start] + content[start + dice.choice([1, 2, 4, 64, 5000]) :]


def _inserted(content: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(content))
    return content[:start] + dice.randbytes(dice.choice([1, 2, 4, 64, 5000])) + content[start:]


def _repeated(content: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(content))
    piece = content[start : start + dice.choice([8, 100, 3000])]
    return content[:start] + piece * dice.choice([2, 10, 300]) + content[start:]


def _length_changed(content: bytes, dice: random.Random) -> bytes:
    """Put an absurd 32-bit number where there may be a length."""
    start = dice.randrange(0, max(4, min(len(content), 4000) - 4), 2)
    number = dice.choice([0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x00FFFFFF, len(content)])
    return content[:start] + struct.pack(dice.choice(["<I", ">I"]), number) + content[start + 4 :]


def _nifti_field_changed(content: bytes, dice: random.Random) -> bytes:
    """Put absurd numbers into dim, datatype, bitpix, pixdim, vox_offset, slope, codes or the affine of NIfTI-1."""
    changed = bytearray(content)
    for _ in range(dice.choice([1, 2])):
        if dice.random() < 0.5:
            place = dice.choice([*range(40, 56, 2), 70, 72, 252, 254])
            struct.pack_into("<h", changed, place, dice.choice([-1, 0, 1, 2, 5, 8, 64, 512, 1792, 2048, 30000, 32767]))
        else:
            place = dice.choice([*range(76, 108, 4), 108, 112, 116, *range(256, 328, 4)])
            value = dice.choice([float("nan"), float("inf"), 0.0, -1.0, 1e-30, 1e30, 352.5, 4e9])
            struct.pack_into("<f", changed, place, value)
    return bytes(changed)


def _element_changed(content: bytes, dice: random.Random) -> bytes:
    """Set one to three elements of a DICOM file to values that make no sense, or delete them."""
    try:
        dataset = dcmread(BytesIO(content))
        if "SegmentSequence" in dataset and dice.random() < 0.7:
            for item in dice.choices(_items(dataset), k=dice.choice([1, 1, 2, 10])):
                _spoil(item, dice.choice(list(item.dir())), dice)
        else:
            for keyword in dice.sample(_KEYWORDS, dice.choice([1, 1, 2, 3])):
                _spoil(dataset, keyword, dice)
        stream = BytesIO()
        dataset.save_as(stream)
    except Exception:  # pydicom does not write everything that can be asked for; then something simpler is damaged
        return _header_changed(content, dice)
    return stream.getvalue()


def _items(dataset: Dataset) -> list[Dataset]:
    """A data set and all items of its sequences, at any depth, that hold an element with a keyword."""
    nested = [item for element in dataset if element.VR == "SQ" for each in element.value for item in _items(each)]
    return [dataset, *nested] if dataset.dir() else nested


def _spoil(dataset: object, keyword: str, dice: random.Random) -> None:
    ways: list[Callable[[], object]] = [
        lambda: delattr(dataset, keyword),
        lambda: setattr(dataset, keyword, dice.choice(_ABSURD_NUMBERS)),
        lambda: setattr(dataset, keyword, dice.choice(_ABSURD_TEXTS)),
        lambda: setattr(dataset, keyword, [dice.uniform(-1e6, 1e6) for _ in range(dice.choice([1, 2, 3, 6]))]),
        lambda: setattr(dataset, keyword, dice.randbytes(dice.choice([0, 2, 100]))),
    ]
    dice.choice(ways)()
