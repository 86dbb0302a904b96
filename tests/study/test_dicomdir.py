from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jcs_ct.errors import InputError
from jcs_ct.notices import notice
from jcs_ct.study import read_study
from tests.noticed import values_of
from tests.phantoms import ChestPhantom, write_dicom_series
from tests.study.mutations import write_disc

PHANTOM = ChestPhantom(shape=(6, 64, 64), spacing=(25.0, 5.2, 5.2))


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    write_disc(tmp_path / "disc", write_dicom_series(tmp_path / "series", PHANTOM.hu))
    return tmp_path / "disc"


def images(disc: Path) -> list[Path]:
    return sorted(path for path in disc.rglob("*") if path.is_file() and path.name != "DICOMDIR")


@pytest.mark.parametrize("what", [".", "DICOMDIR"])
def test_disc_is_read_by_its_folder_or_its_directory(disc: Path, what: str) -> None:
    study = read_study(disc / what)
    np.testing.assert_array_equal(study.voxels, PHANTOM.hu)
    assert study.notices == ()


def test_missing_file_of_a_disc_is_named(disc: Path) -> None:
    gone = images(disc)[2]
    gone.unlink()
    study = read_study(disc)
    assert len(study) == 5
    assert study.notices[0] == notice("dicomdir-files-missing", count=1, files=(str(gone.relative_to(disc)),))


def test_directory_never_leads_out_of_the_disc(disc: Path) -> None:
    content = (disc / "DICOMDIR").read_bytes()
    gone = images(disc)[0]
    stored = "\\".join(gone.relative_to(disc).parts).encode()
    assert content.count(stored) == 1
    (disc / "DICOMDIR").write_bytes(content.replace(stored, b"..\\..\\etc\\passwd"[: len(stored)].ljust(len(stored))))
    study = read_study(disc)
    np.testing.assert_array_equal(study.voxels, PHANTOM.hu)
    assert str(values_of(study.notices, "dicomdir-files-missing")["files"]).startswith("('../../etc/")


def test_directory_without_images_is_reported(disc: Path) -> None:
    for path in images(disc):
        path.unlink()
    with pytest.raises(InputError, match="only a list of files, and there are no images beside it"):
        read_study(disc / "DICOMDIR")


def test_damaged_directory_does_not_keep_the_images_from_being_read(disc: Path) -> None:
    content = (disc / "DICOMDIR").read_bytes()
    (disc / "DICOMDIR").write_bytes(content[: len(content) // 2])
    assert len(read_study(disc)) == 6
