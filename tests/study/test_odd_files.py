"""Files with odd names, in odd archives, or of formats that are not read: never called damaged where they are not."""

from __future__ import annotations

import bz2
import gzip
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from jcs_ct.errors import InputError, UnreadableFileError, UnsupportedInputError
from jcs_ct.notices import printable, text, texts
from jcs_ct.study import archive, list_contents, read_study, scratch
from jcs_ct.study.info import as_lines
from tests.noticed import values_of
from tests.phantoms import ChestPhantom, write_dicom_series, write_nifti, write_png_slices

PHANTOM = ChestPhantom.infected(shape=(8, 64, 64), spacing=(20.0, 5.0, 5.0))
LATIN = os.fsdecode(b"Fran\xe7ois-\xe9t\xe9")
NAMES = [LATIN, os.fsdecode(b"\xff\xfe"), "line\nbreak", "bell\x07\x1b[31m", "胸部 CT", "ไทย", "right‮left"]


def zip_folder(folder: Path, target: Path) -> Path:
    return Path(shutil.make_archive(str(target.with_suffix("")), "zip", folder))


# ---- names


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_escaped_and_never_in_the_way(tmp_path: Path, name: str) -> None:
    for path in write_dicom_series(tmp_path / name, PHANTOM.hu):
        path.rename(path.with_name(f"{name} {path.name}"))
    (tmp_path / name / f"{name}.dcm").write_bytes(b"damaged")
    study = read_study(tmp_path)
    shown = [*study.sources, *texts(study.notices), *as_lines(list_contents(tmp_path))]
    assert "".join(shown).isprintable()
    "".join(shown).encode("utf-8")
    assert printable(name) in text(study.notices[0])
    with pytest.raises(InputError) as caught:
        read_study(tmp_path / name / f"{name}.dcm")
    assert str(caught.value).isprintable()


def test_bytes_that_are_no_utf_8_are_shown_as_such() -> None:
    assert printable(LATIN) == "Fran\\xe7ois-\\xe9t\\xe9"
    assert printable("胸部 CT") == "胸部 CT"
    assert printable("a\tb\u2028") == "a\\tb\\u2028"


@pytest.mark.parametrize("kind", ["nifti", "pictures"])
def test_names_of_other_inputs(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / LATIN
    folder.mkdir()
    if kind == "nifti":
        write_nifti(folder / f"{LATIN}.nii.gz", PHANTOM.hu)
    else:
        for path in write_png_slices(folder, PHANTOM.hu):
            path.rename(path.with_name(f"{LATIN}{path.name}"))
    assert all(name.isprintable() for name in read_study(folder).sources)


# ---- archives


def test_archive_with_backslashes_is_read(tmp_path: Path) -> None:
    paths = write_dicom_series(tmp_path / "in", PHANTOM.hu)
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as opened:
        for path in paths:
            member = zipfile.ZipInfo("x")
            member.filename = f"study\\a\\{path.name}"
            opened.writestr(member, path.read_bytes())
    study = read_study(tmp_path / "old.zip")
    assert study.digest == read_study(tmp_path / "in").digest
    assert study.sources[0].startswith("study/a/")


def test_names_too_long_for_the_disk_are_shortened(tmp_path: Path) -> None:
    paths = write_dicom_series(tmp_path / "in", PHANTOM.hu)
    with zipfile.ZipFile(tmp_path / "long.zip", "w") as opened:
        for path in paths:
            opened.write(path, f"{'ä' * 200}/{'n' * 300}{path.name}")
    assert read_study(tmp_path / "long.zip").digest == read_study(tmp_path / "in").digest


def test_files_of_one_name_in_an_archive_are_all_read(tmp_path: Path) -> None:
    paths = write_dicom_series(tmp_path / "in", PHANTOM.hu)
    with zipfile.ZipFile(tmp_path / "same.zip", "w") as opened:
        for number, path in enumerate(paths):
            opened.write(path, f"IM{number}.dcm")
    content = (tmp_path / "same.zip").read_bytes()
    for number in range(len(paths)):
        content = content.replace(f"IM{number}.dcm".encode(), b"IMG.dcm")
    (tmp_path / "same.zip").write_bytes(content)
    assert read_study(tmp_path / "same.zip").digest == read_study(tmp_path / "in").digest


@pytest.mark.parametrize(("method", "name"), [(9, "Deflate64"), (93, "Zstandard"), (98, "PPMd"), (77, "method 77")])
def test_compression_that_is_not_read_is_named(tmp_path: Path, method: int, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.dcm", b"x" * 100)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[8] = method
    content[content.index(b"PK\x01\x02") + 10] = method
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UnsupportedInputError, match=f"{name}.*not damaged"):
        read_study(tmp_path / "a.zip")


def test_gzipped_slices_are_read_alone_and_in_folders(tmp_path: Path) -> None:
    paths = write_dicom_series(tmp_path / "in", PHANTOM.hu)
    (tmp_path / "packed").mkdir()
    for path in paths:
        (tmp_path / "packed" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    whole = read_study(tmp_path / "in")
    assert read_study(tmp_path / "packed").digest == whole.digest
    assert len(read_study(tmp_path / "packed" / f"{paths[0].name}.gz")) == 1
    (tmp_path / "in" / "0001.dcm").rename(tmp_path / "elsewhere.dcm")
    shutil.copy(tmp_path / "packed" / "0001.dcm.gz", tmp_path / "in")
    assert read_study(tmp_path / "in").digest == whole.digest


def test_gzip_bomb_is_refused(tmp_path: Path) -> None:
    head = b"\0" * 128 + b"DICM"
    (tmp_path / "a.dcm.gz").write_bytes(gzip.compress(head + bytes(80 * 1024**2), 9))
    with pytest.raises(UnsupportedInputError, match="unfolds"):
        read_study(tmp_path / "a.dcm.gz")


def test_archive_in_a_folder_or_in_an_archive_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    write_dicom_series(tmp_path / "in", PHANTOM.hu)
    (tmp_path / "one").mkdir()
    inner = zip_folder(tmp_path / "in", tmp_path / "one" / "study.zip")
    whole = read_study(tmp_path / "in")
    assert read_study(tmp_path / "one").digest == whole.digest
    outer = zip_folder(tmp_path / "one", tmp_path / "outer.zip")
    study = read_study(outer)
    assert (study.digest, study.sources[0].startswith("study.zip/")) == (whole.digest, True)
    (tmp_path / "two").mkdir()
    shutil.copy(outer, tmp_path / "two")
    with pytest.raises(InputError, match=r"study\.zip"):
        read_study(tmp_path / "two")
    assert inner.is_file()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_other_kinds_beside_the_images_are_named(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, PHANTOM.hu)
    write_nifti(tmp_path / "other.nii.gz", PHANTOM.hu)
    found = values_of(read_study(tmp_path).notices, "other-kinds-left-out")
    assert found == {"count": 1, "kind": "DICOM", "files": ("other.nii.gz",)}


def test_slice_in_an_archive_that_is_not_read_is_named(tmp_path: Path) -> None:
    first = write_dicom_series(tmp_path, PHANTOM.hu)[0]
    first.with_name(f"{first.name}.bz2").write_bytes(bz2.compress(first.read_bytes()))
    first.unlink()
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.4")
    assert values_of(read_study(tmp_path).notices, "other-kinds-left-out")["files"] == (f"{first.name}.bz2",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"7z\xbc\xaf\x27\x1c" + bytes(100), "7z archive"),
        (b"Rar!\x1a\x07\x01\x00" + bytes(100), "RAR archive"),
        (bytes(257) + b"ustar" + bytes(300), "tar archive"),
        (gzip.compress(bytes(257) + b"ustar" + bytes(300), mtime=0), "gzip archive"),
        (b"NRRD0005\n", "NRRD"),
        (b"ObjectType = Image\n", "MetaImage"),
    ],
    ids=["7z", "rar", "tar", "tar.gz", "nrrd", "mha"],
)
def test_other_formats_are_called_what_they_are(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "study.dcm").write_bytes(content)
    for given in (tmp_path / "study.dcm", tmp_path):
        with pytest.raises(InputError, match=words) as caught:
            read_study(given)
        assert not isinstance(caught.value, UnreadableFileError)
        assert "damaged" not in str(caught.value)


@pytest.mark.parametrize(
    ("syntax", "words"),
    [
        ("1.2.840.10008.1.2.4.102", "MPEG-4"),
        ("1.2.3.4.5", "private transfer syntax"),
        ("1.2.840.10008.1.2.4.94", "JPIP"),
    ],
)
def test_transfer_syntax_that_is_not_read_is_named(tmp_path: Path, syntax: str, words: str) -> None:
    for path in write_dicom_series(tmp_path, PHANTOM.hu):
        dataset = dcmread(path)
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        dataset.PixelData = encapsulate([b"\0\0"])
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(path, implicit_vr=False, little_endian=True)
    with pytest.raises(UnsupportedInputError, match=f"{words}.*not damaged"):
        read_study(tmp_path)


# ---- our own results, and what a kill leaves


def test_results_inside_the_input_are_no_part_of_it(tmp_path: Path) -> None:
    write_nifti(tmp_path / "ct.nii.gz", PHANTOM.hu)
    before = read_study(tmp_path)
    out = tmp_path / "out"
    (out / "lesions").mkdir(parents=True)
    (out / "result.json").write_text('{"schema": "jcs-result/1"}')
    write_nifti(out / "lesions.nii.gz", PHANTOM.lesion_mask.astype(np.uint8))
    write_png_slices(out / "lesions", PHANTOM.hu[:2])
    for index, path in enumerate(sorted((out / "lesions").iterdir())):
        path.rename(path.with_name(f"{index:03d}.png"))
    again = read_study(tmp_path)
    assert (again.digest, again.notices) == (before.digest, before.notices)
    (out / "result.json").write_text('{"schema": "of somebody else"}')
    with pytest.raises(UnsupportedInputError, match="2 NIfTI files"):
        read_study(tmp_path)


def test_what_a_killed_process_left_goes_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / f"{scratch._PREFIX}0123456789ab"
    left.mkdir()
    (left / ".lock").touch()
    (left / "slice.dcm").write_bytes(b"x")
    (tmp_path / "of somebody else").mkdir()
    with scratch.ScratchFolder() as folder:
        living = folder.new("a")
        assert not left.exists()
        with scratch.ScratchFolder() as other:
            other.new("b")
            assert living.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["of somebody else"]


def test_limits_hold_for_archives_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dicom_series(tmp_path / "in", PHANTOM.hu)
    (tmp_path / "one").mkdir()
    zip_folder(tmp_path / "in", tmp_path / "one" / "study.zip")
    monkeypatch.setattr(archive, "MAX_ENTRIES", 2)
    with pytest.raises(UnsupportedInputError, match="8 files"):
        read_study(tmp_path / "one")
