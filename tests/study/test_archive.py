from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jcs_ct.errors import UnreadableFileError, UnsupportedInputError
from jcs_ct.study import archive, list_contents, read_study
from tests.phantoms import ChestPhantom, write_dicom_series, write_nifti, write_png_slices

PHANTOM = ChestPhantom(shape=(8, 64, 64), spacing=(20.0, 5.2, 5.2))


def zip_folder(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as opened:
        for path in sorted(folder.rglob("*")):
            opened.write(path, path.relative_to(folder))
    return target


def zip_of(target: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members:
            opened.writestr(name, content)
    return target


def test_zip_reads_as_the_folder_that_it_holds(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "in" / "deep" / "er", PHANTOM.hu)
    zipped = read_study(zip_folder(tmp_path / "in", tmp_path / "study.zip"))
    folder = read_study(tmp_path / "in")
    assert zipped.digest == folder.digest
    assert zipped.sources == folder.sources


def test_zip_needs_no_extension(tmp_path: Path) -> None:
    write_png_slices(tmp_path / "in", PHANTOM.hu)
    assert len(read_study(zip_folder(tmp_path / "in", tmp_path / "study"))) == 8


def test_zip_of_a_nifti_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_nifti(tmp_path / "in" / "ct.nii.gz", PHANTOM.hu)
    study = read_study(zip_folder(tmp_path / "in", tmp_path / "study.zip"))
    np.testing.assert_array_equal(study.voxels, PHANTOM.hu)


def test_nothing_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    write_png_slices(tmp_path / "in", PHANTOM.hu)
    read_study(zip_folder(tmp_path / "in", tmp_path / "study.zip"))
    with pytest.raises(UnsupportedInputError):
        read_study(zip_of(tmp_path / "bad.zip", ("../evil", b"x")))
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil.dcm", "a/../../evil.dcm", "/evil.dcm", "..\\evil.dcm", "C:/evil.dcm"])
def test_entry_that_leaves_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsupportedInputError, match="outside"):
        read_study(zip_of(tmp_path / "study.zip", (name, b"x")))
    assert not (tmp_path / "evil.dcm").exists()


def test_symbolic_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("slice.dcm")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UnsupportedInputError, match="symbolic link"):
        read_study(zip_of(tmp_path / "study.zip", (link, b"/etc/passwd")))


def test_encrypted_archive_is_refused(tmp_path: Path) -> None:
    content = bytearray(zip_of(tmp_path / "study.zip", ("a.dcm", b"x")).read_bytes())
    content[6] |= 1  # general purpose flag of the local header, bit 0: encrypted
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and of the central directory
    (tmp_path / "study.zip").write_bytes(content)
    with pytest.raises(UnsupportedInputError, match="encrypted"):
        read_study(tmp_path / "study.zip")


def test_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = zip_of(tmp_path / "bomb.zip", ("slice.dcm", bytes(80 * 1024**2)))
    with pytest.raises(UnsupportedInputError, match="times its size"):
        read_study(bomb)


def test_archive_of_absurd_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(UnsupportedInputError, match="GiB"):
        read_study(zip_of(tmp_path / "study.zip", ("slice.dcm", bytes(1001))))


def test_archive_of_absurdly_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_ENTRIES", 2)
    with pytest.raises(UnsupportedInputError, match="3 files"):
        read_study(zip_of(tmp_path / "study.zip", ("a", b""), ("b", b""), ("c", b"")))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_truncated_archive_is_reported(tmp_path: Path, share: float) -> None:
    write_png_slices(tmp_path / "in", PHANTOM.hu)
    path = zip_folder(tmp_path / "in", tmp_path / "study.zip")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UnreadableFileError, match="damaged"):
        read_study(path)


def test_corrupt_entry_is_reported(tmp_path: Path) -> None:
    write_png_slices(tmp_path / "in", PHANTOM.hu)
    path = zip_folder(tmp_path / "in", tmp_path / "study.zip")
    content = bytearray(path.read_bytes())
    content[100:140] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match="damaged"):
        read_study(path)


def test_entry_that_is_also_a_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError):
        read_study(zip_of(tmp_path / "study.zip", ("a", b"x"), ("a/b", b"x")))


def test_empty_archive_is_reported(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"study\.zip holds no files"):
        read_study(zip_of(tmp_path / "study.zip"))


def test_series_of_a_zip_are_listed_and_chosen_like_those_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    for number in (1, 2):
        write_dicom_series(tmp_path / "in" / str(number), PHANTOM.hu[: 9 - number], series=number)
    zipped = zip_folder(tmp_path / "in", tmp_path / "study.zip")
    listed = list_contents(zipped).series
    assert listed == list_contents(tmp_path / "in").series
    assert [series.images for series in listed] == [8, 7]
    assert len(read_study(zipped, listed[1].series_uid)) == 7
    assert list(scratch.iterdir()) == []


def test_entries_that_overlap_count_once(tmp_path: Path) -> None:
    """Many entries of the directory lead to the same compressed bytes: each states its size, all of them take it."""
    path = tmp_path / "overlap.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("0.dcm", bytes(2 * 1024**2) + bytes(range(256)) * 2000)
        first = opened.infolist()[0]
        for number in range(1, 200):
            twin = zipfile.ZipInfo(f"{number}.dcm")
            for name in ("compress_type", "CRC", "compress_size", "file_size", "header_offset"):
                setattr(twin, name, getattr(first, name))
            opened.filelist.append(twin)
            opened.NameToInfo[twin.filename] = twin
        opened._didModify = True  # type: ignore[attr-defined]
    assert path.stat().st_size < 200_000
    with pytest.raises(UnsupportedInputError, match="times its size"):
        read_study(path)
