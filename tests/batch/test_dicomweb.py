"""Studies are taken from a real archive (Orthanc) by its DICOMweb service."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from jcs_ct.batch.dicomweb import find_studies
from jcs_ct.batch.items import Item, named
from jcs_ct.batch.settings import WorkSettings
from jcs_ct.batch.sources import read_item
from jcs_ct.errors import InputError, PeerError, UsageError
from tests.phantoms import write_dicom_series
from tests.reports.test_archive import Archive, archive

__all__ = ["archive"]  # a fixture
pytestmark = pytest.mark.slow
VOLUME = np.zeros((3, 16, 16), np.int16)


def fill(archive: Archive, folder: Path) -> str:
    """Two CT studies of two patients, and one of another modality; the URL of the service."""
    for number, modality in ((1, "CT"), (2, "CT"), (3, "MR")):

        def edit(dataset: Dataset, index: int, number: int = number, modality: str = modality) -> None:
            dataset.StudyInstanceUID, dataset.PatientID = f"1.2.3.{number}", f"P{number}"
            dataset.SeriesInstanceUID, dataset.SOPInstanceUID = f"1.2.3.{number}.1", f"1.2.3.{number}.1.{index}"
            dataset.Modality, dataset.StudyDate = modality, f"2020040{number}"

        for path in write_dicom_series(folder / str(number), VOLUME, edit=edit):
            archive.get("instances", path.read_bytes(), Content_Type="application/dicom")
    return f"http://127.0.0.1:{archive.http}/dicom-web"


def test_studies_that_a_query_finds_are_fetched_and_read(archive: Archive, tmp_path: Path) -> None:
    url = fill(archive, tmp_path / "files")
    settings = WorkSettings(str(tmp_path / "out"))
    items = named(find_studies(url, {}))
    assert [item.study_uid for item in items] == ["1.2.3.1", "1.2.3.2"]
    assert [item.name for item in items] == ["P1_20200401_1.2.3.1", "P2_20200402_1.2.3.2"]
    assert [item.extent for item in items] == ["3", "3"]
    study = read_item(items[1], settings)
    assert (len(study), study.attributes["PatientID"]) == (3, "P2")
    (found,) = find_studies(url, {"StudyDate": "20200402-20200430"})
    assert found.item.study_uid == "1.2.3.2"
    with pytest.raises(InputError, match="finds no study"):
        find_studies(url, {"PatientID": "P9"})
    config = tmp_path / "node.toml"
    config.write_text(f'store = "{tmp_path}"\n[peers.pacs]\nae_title = "PACS"\ndicomweb = "{url}"\n')
    assert len(find_studies("pacs", {}, str(config))) == 2
    with pytest.raises(UsageError, match="expected a URL, or a peer"):
        find_studies("other", {}, str(config))


def test_study_that_is_gone_is_an_error(archive: Archive, tmp_path: Path) -> None:
    url = fill(archive, tmp_path / "files")
    gone = Item("gone", f"{url}/studies/1.2.3.9", "1.2.3.9")
    with pytest.raises(PeerError, match="holds no CT images"):
        read_item(gone, WorkSettings(str(tmp_path / "out")))
