"""Inputs that ask for more than they hold are refused before memory is spent on them."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless

from jcs_ct.errors import JcsError, UnsupportedInputError
from jcs_ct.study import files, limits, read_study
from tests.noticed import values_of
from tests.phantoms import ChestPhantom, write_dicom_series, write_nifti, write_png_slices

PHANTOM = ChestPhantom(shape=(6, 64, 64), spacing=(25.0, 5.2, 5.2))

_MEASURED = """
import resource, sys
from jcs_ct.errors import JcsError
from jcs_ct.study import read_study
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_study(sys.argv[1])
except JcsError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def refusal(path: Path) -> str:
    """The message with which `path` is refused, after less than 400 MiB of memory, in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    *message, grown = ran.stdout.splitlines()
    assert len(message) == 1, ran.stdout
    assert int(grown) < 400 * 1024
    return message[0]


def deflated_bomb(path: Path) -> None:
    write_dicom_series(path.parent / "whole", PHANTOM.hu[:1], transfer_syntax=DeflatedExplicitVRLittleEndian)[0].rename(
        path
    )
    content = path.read_bytes()
    start = 132 + 12 + int(dcmread(path).file_meta.FileMetaInformationGroupLength)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = zlib.decompress(content[start:], -zlib.MAX_WBITS)
    with path.open("wb") as stream:
        stream.write(content[:start] + deflate.compress(body))
        for _ in range(1024):
            stream.write(deflate.compress(bytes(1024**2)))
        stream.write(deflate.flush())


def gzip_bomb(path: Path) -> None:
    header = bytearray(nib.Nifti1Image(PHANTOM.hu, np.eye(4)).to_bytes()[:352])
    header[348] = 1  # extensions follow...
    header[108:112] = np.float32(352 + 8 * 1024**2).tobytes()
    with gzip.open(path, "wb", 1) as stream:
        stream.write(bytes(header) + np.array([2**31 - 16, 6], "<i4").tobytes())  # ...and the first has 2 GiB
        for _ in range(64):
            stream.write(bytes(16 * 1024**2))


def distant_voxels(path: Path) -> None:
    header = bytearray(nib.Nifti1Image(PHANTOM.hu, np.eye(4)).to_bytes()[:352])
    header[108:112] = np.float32(4e9).tobytes()
    path.write_bytes(gzip.compress(bytes(header) + bytes(10**6)))


def promising_nifti(path: Path) -> None:
    image = bytearray(nib.Nifti1Image(PHANTOM.hu, np.eye(4)).to_bytes())
    image[42:48] = np.array([1000, 1000, 900], "<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(image)))


def many_frames(path: Path) -> None:
    def edit(dataset: Dataset, index: int) -> None:
        dataset.NumberOfFrames = 2**31 - 1

    write_dicom_series(path.parent / "whole", PHANTOM.hu[:1], edit=edit)[0].rename(path)


def flat_codestreams(path: Path) -> None:
    def edit(dataset: Dataset, index: int) -> None:
        dataset.Rows = dataset.Columns = 2048
        dataset.PixelData = bytes(2 * 2048**2)
        dataset["PixelData"].VR = "OW"
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)

    write_dicom_series(path, np.repeat(PHANTOM.hu, 2, axis=0), edit=edit)


def flat_pages(path: Path) -> None:
    page = Image.new("L", (4000, 4000))
    page.save(path, format="TIFF", save_all=True, append_images=[page] * 40, compression="tiff_adobe_deflate")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (deflated_bomb, "unfolds to more than 100 times its size"),
        (gzip_bomb, "more than 32 MiB of extensions"),
        (distant_voxels, "said to begin at byte 4000000000"),
        (promising_nifti, "times its size"),
        (many_frames, "2147483647 frames"),
        (flat_codestreams, "times its size"),
        (flat_pages, "times its size"),
    ],
)
def test_bomb_is_refused_within_little_memory(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    path = tmp_path / "input"
    make(path)
    assert reason in refusal(path)


def test_uncompressed_volume_must_fit_into_its_file(tmp_path: Path) -> None:
    image = bytearray(nib.Nifti1Image(PHANTOM.hu, np.eye(4)).to_bytes())
    image[42:48] = np.array([200, 200, 200], "<i2").tobytes()
    (tmp_path / "ct.nii").write_bytes(image)
    with pytest.raises(JcsError, match="do not fit into its"):
        read_study(tmp_path / "ct.nii")


def test_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "study", PHANTOM.hu)
    outside = write_png_slices(tmp_path / "elsewhere", PHANTOM.hu)[0]
    (tmp_path / "study" / "linked").symlink_to(outside)
    with pytest.raises(UnsupportedInputError, match="linked is a symbolic link out of the folder"):
        read_study(tmp_path / "study")


def test_links_within_the_folder_and_to_the_folder_are_followed(tmp_path: Path) -> None:
    paths = write_dicom_series(tmp_path / "study" / "data", PHANTOM.hu)
    (tmp_path / "study" / "again").symlink_to(paths[0])
    (tmp_path / "link").symlink_to(tmp_path / "study", target_is_directory=True)
    study = read_study(tmp_path / "link")
    assert len(study) == len(PHANTOM.hu)
    assert values_of(study.notices, "copies-left-out")["count"] == 1


def test_folder_linked_from_the_folder_is_not_entered(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "study", PHANTOM.hu)
    write_dicom_series(tmp_path / "elsewhere", PHANTOM.hu, series=2)
    (tmp_path / "study" / "other").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert read_study(tmp_path / "study").notices == ()


def test_folder_of_absurdly_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILES", 5)
    write_dicom_series(tmp_path, PHANTOM.hu)
    with pytest.raises(UnsupportedInputError, match="more than 5 files"):
        read_study(tmp_path)


def test_absurdly_large_file_is_refused_unread(tmp_path: Path) -> None:
    path = write_dicom_series(tmp_path, PHANTOM.hu[:1])[0]
    with path.open("r+b") as stream:
        stream.truncate(limits.MAX_FILE_BYTES + 1)  # a hole in the file takes no space
    with pytest.raises(UnsupportedInputError, match="expected a DICOM file of at most 2 GiB"):
        read_study(path)


def test_ordinary_studies_are_far_from_the_limits(tmp_path: Path) -> None:
    write_nifti(tmp_path / "flat.nii.gz", np.repeat(np.repeat(PHANTOM.hu, 2, axis=1), 2, axis=2))
    assert len(read_study(tmp_path / "flat.nii.gz")) == 6
