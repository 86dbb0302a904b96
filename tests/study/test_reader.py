from __future__ import annotations

import io
import logging
import random
import subprocess
import sys
import threading
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jcs_ct.errors import InputError, JcsError, UnreadableFileError, UnsupportedInputError
from jcs_ct.notices import notice
from jcs_ct.study import InputKind, read_study, refusals
from tests.phantoms import ChestPhantom, write_dicom_series, write_enhanced_dicom, write_nifti, write_png_slices

PHANTOM = ChestPhantom(shape=(8, 64, 64), spacing=(20.0, 5.2, 5.2))


def test_missing_path_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; expected"):
        read_study(tmp_path / "nothing")


def test_empty_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no files; expected"):
        read_study(tmp_path)


def test_folder_of_other_files_is_reported(tmp_path: Path) -> None:
    (tmp_path / "README.txt").write_text("nothing here")
    with pytest.raises(InputError, match=r"only files of other kinds \(README\.txt\)"):
        read_study(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\0", b"This is a text file, not a scan.\n" * 40, bytes(5000)])
@pytest.mark.parametrize("name", ["scan.dcm", "scan.nii.gz", "scan.png", "scan.zip", "scan"])
def test_file_that_is_not_what_its_name_says_is_reported(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableFileError, match=f"{name} is .*; expected"):
        read_study(tmp_path / name)
    if name != "scan":
        with pytest.raises(UnreadableFileError, match="not what their names say"):
            read_study(tmp_path)


def test_text_and_hidden_files_among_slices_are_ignored(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, PHANTOM.hu)
    for name in ("LICENSE", "README.md", ".DS_Store", "._0001.dcm"):
        (tmp_path / name).write_bytes(b"text")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "0001.dcm").write_bytes(b"text")
    study = read_study(tmp_path)
    assert (len(study), study.notices) == (8, ())


def test_slice_damaged_at_its_start_is_named(tmp_path: Path) -> None:
    paths = write_dicom_series(tmp_path, PHANTOM.hu)
    paths[2].write_bytes(b"\0" * 3000)
    study = read_study(tmp_path)
    assert len(study) == 7
    assert study.notices[0] == notice("files-damaged", count=1, files=(paths[2].name,))


def test_mostly_damaged_folder_is_refused(tmp_path: Path) -> None:
    for path in write_dicom_series(tmp_path, PHANTOM.hu)[:5]:
        path.write_bytes(b"\0" * 3000)
    with pytest.raises(UnreadableFileError, match="5 of 8 files are damaged"):
        read_study(tmp_path)


def test_dicom_is_preferred_to_previews_beside_it(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "dicom", PHANTOM.hu)
    write_png_slices(tmp_path / "previews", PHANTOM.hu)
    assert read_study(tmp_path).kind is InputKind.DICOM


def test_one_nifti_file_in_a_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write_nifti(tmp_path / "deep" / "ct.nii.gz", PHANTOM.hu)
    assert read_study(tmp_path).sources[0] == "deep/ct.nii.gz"


def test_several_nifti_files_are_not_guessed_among(tmp_path: Path) -> None:
    write_nifti(tmp_path / "ct.nii.gz", PHANTOM.hu)
    write_nifti(tmp_path / "mask.nii.gz", PHANTOM.lung_mask.astype(np.uint8))
    with pytest.raises(UnsupportedInputError, match=r"2 NIfTI files \(ct\.nii\.gz, mask\.nii\.gz\)"):
        read_study(tmp_path)


def test_path_may_be_a_string_or_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nifti(tmp_path / "ct.nii", PHANTOM.hu)
    monkeypatch.chdir(tmp_path)
    assert len(read_study("ct.nii")) == 8
    write_dicom_series(tmp_path / "series", PHANTOM.hu)
    assert len(read_study("series")) == 8


def test_same_content_gives_the_same_digest_whatever_the_names(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "a", PHANTOM.hu, shuffled=True)
    write_dicom_series(tmp_path / "b", PHANTOM.hu, shuffled=False, suffix="", signed=True)
    assert read_study(tmp_path / "a").digest == read_study(tmp_path / "b").digest


READABLE = "bad_sequence.dcm"
"""Its UIDs break the rules, which is no reason to refuse it."""


def test_every_malformed_file_gives_one_clear_line(shared_data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = sorted((shared_data / "dicom" / "malformed").iterdir())
    files = [path for path in files if path.name != READABLE]
    assert len(files) >= 5
    for path in files:
        with pytest.raises(InputError) as caught:
            read_study(path)
        message = str(caught.value)
        assert message.startswith(path.name), message
        assert "\n" not in message
        assert "expected" in message or "again" in message
    assert capfd.readouterr() == ("", "")


def test_folder_of_malformed_files_is_refused(shared_data: Path) -> None:
    with pytest.raises(JcsError, match="2 of 3 slices are damaged"):
        read_study(shared_data / "dicom" / "malformed")


def test_libraries_stay_quiet_and_settings_come_back(
    shared_data: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    before = list(warnings.filters), logging.getLogger("pydicom").level
    with pytest.raises(UnreadableFileError):
        read_study(shared_data / "dicom" / "malformed" / "explicit_VR-UN.dcm")
    assert "uids-replaced" in [one.code for one in read_study(shared_data / "dicom" / "malformed" / READABLE).notices]
    assert (list(warnings.filters), logging.getLogger("pydicom").level) == before
    assert logging.getLogger("pydicom").isEnabledFor(logging.ERROR)
    assert caplog.records == []
    assert capfd.readouterr().err == ""


def test_parallel_readers_leave_warning_filters_as_they_were(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, PHANTOM.hu)
    before = list(warnings.filters)
    digests: list[str] = []
    threads = [threading.Thread(target=lambda: digests.append(read_study(tmp_path).digest)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 6
    assert len(set(digests)) == 1
    assert list(warnings.filters) == before


@pytest.mark.parametrize("kind", ["dicom", "enhanced", "nifti", "gzip", "png", "zip"])
def test_corrupted_bytes_end_in_one_clear_line_or_a_study(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    writers: dict[str, Callable[[Path], object]] = {
        "dicom": lambda path: write_dicom_series(tmp_path / "a", PHANTOM.hu[:1])[0].rename(path),
        "enhanced": lambda path: write_enhanced_dicom(path, PHANTOM.hu, PHANTOM.positions),
        "nifti": lambda path: write_nifti(tmp_path / "a.nii", PHANTOM.hu) is None or (tmp_path / "a.nii").rename(path),
        "gzip": lambda path: (
            write_nifti(tmp_path / "a.nii.gz", PHANTOM.hu) is None or (tmp_path / "a.nii.gz").rename(path)
        ),
        "png": lambda path: write_png_slices(tmp_path / "a", PHANTOM.hu[4:5])[0].rename(path),
        "zip": lambda path: path.write_bytes(zipped(write_png_slices(tmp_path / "a", PHANTOM.hu))),
    }
    path = tmp_path / "file"
    writers[kind](path)
    whole = path.read_bytes()
    dice = random.Random(kind)
    messages: list[str] = []
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(dice.choice([1, 3, 20])):
            content[dice.randrange(min(len(content), 3000))] = dice.randrange(256)
        path.write_bytes(content)
        try:
            refusals(read_study(path))
        except InputError as error:
            messages.append(str(error))
    assert messages
    assert all(message.isprintable() and len(message) < 500 for message in messages)
    assert capfd.readouterr() == ("", "")


def zipped(paths: list[Path]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in paths:
            archive.write(path, path.name)
    return stream.getvalue()


def test_reading_needs_no_torch() -> None:
    program = "import sys, jcs_ct.study.reader; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
