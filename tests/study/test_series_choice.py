"""Which series is read, told by phantoms that differ in one respect at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, MRImageStorage

from jcs_ct.errors import UsageError
from jcs_ct.study import list_contents, objections, read_study
from jcs_ct.study.quality import kernel_kind
from jcs_ct.study.series_choice import SeriesSummary
from tests.phantoms import UID_ROOT, ChestPhantom, write_dicom_series, write_nifti

PHANTOM = ChestPhantom.infected(shape=(12, 64, 80), spacing=(16.0, 5.2, 4.2))
HU = PHANTOM.hu
SAGITTAL = (0, 1, 0, 0, 0, -1)

Edit = Callable[[Dataset, int], None]


def stating(**values: object) -> Edit:
    """An `edit` for write_dicom_series: set elements of all slices."""

    def edit(dataset: Dataset, index: int) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return edit


def uid(number: int) -> str:
    return f"{UID_ROOT}1.{number}"


def listed(folder: Path) -> dict[str, SeriesSummary]:
    return {series.series_uid: series for series in list_contents(folder).series}


@pytest.mark.parametrize(
    ("worse", "better", "why"),
    [
        ({"SliceThickness": 5.0}, {"SliceThickness": 1.25}, "5 mm thick, those of the one read 1.25 mm"),
        ({"SliceThickness": 10.0}, {"SliceThickness": 5.0}, "10 mm thick"),
        ({"SliceThickness": 0.4}, {"SliceThickness": 1.0}, "0.4 mm thick"),
        (
            {"ConvolutionKernel": "BONE"},
            {"ConvolutionKernel": "LUNG"},
            "kernel BONE is bone, that of the one read lung",
        ),
        ({"ConvolutionKernel": "B70f"}, {"ConvolutionKernel": "B40f"}, "kernel B70f is bone"),
        ({"ConvolutionKernel": "B20f"}, {"ConvolutionKernel": "B50f"}, "kernel B20f is soft"),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}, {}, "its images are derived"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, {}, r"projections \(Image Type MIP\)"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, {}, "localizers"),
        ({"RescaleType": "MGML"}, {}, "the values are in MGML"),
        ({"Modality": "PT"}, {}, "the modality is PT"),
    ],
)
def test_series_is_chosen_by_what_it_states(
    tmp_path: Path, worse: dict[str, object], better: dict[str, object], why: str
) -> None:
    # The better one has fewer slices and the higher UID, so that nothing but the rule in question puts it first.
    write_dicom_series(tmp_path / "a", HU, series=1, edit=stating(**worse))
    write_dicom_series(tmp_path / "b", HU[:11], series=2, edit=stating(**better))
    study = read_study(tmp_path)
    assert study.series_uid == uid(2)
    found = listed(tmp_path)
    assert (found[uid(1)].chosen, found[uid(2)].chosen) == (False, True)
    assert re.search(why, found[uid(1)].why_not[0]), found[uid(1)].why_not
    assert found[uid(2)].why_not == ()
    assert found[uid(1)].why_not[0] in study.remarks[0]


def test_short_series_comes_after_one_that_covers_the_patient(tmp_path: Path) -> None:
    thin = stating(SliceThickness=1.0)
    write_dicom_series(tmp_path / "a", HU[:8], series=1, positions=[1.0 * z for z in range(8)], edit=thin)
    write_dicom_series(tmp_path / "b", HU, series=2, positions=PHANTOM.positions, edit=stating(SliceThickness=5.0))
    assert read_study(tmp_path).series_uid == uid(2)
    assert listed(tmp_path)[uid(1)].why_not == ("it covers 8 mm, the one read 192 mm",)


def test_more_slices_count_only_among_even_series(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "a", HU[:11], series=1)
    write_dicom_series(tmp_path / "b", HU, series=2)
    assert read_study(tmp_path).series_uid == uid(2)
    assert listed(tmp_path)[uid(1)].why_not == ("it has 11 slices, the one read 12",)


def test_even_series_are_told_apart_by_uid_whatever_the_folders(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "z", HU, series=1)
    write_dicom_series(tmp_path / "a", HU, series=2)
    assert read_study(tmp_path).series_uid == uid(1)


def test_unfit_series_is_read_where_there_is_no_other(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, HU, orientation=SAGITTAL)
    (series,) = list_contents(tmp_path).series
    assert series.chosen
    assert series.why_not == ("the series is sagittal, axial slices are needed",)
    assert objections(read_study(tmp_path)) == series.why_not


@pytest.mark.parametrize(
    ("stated", "reason"),
    [(["DERIVED", "SECONDARY", "MIP"], "projections"), (["ORIGINAL", "PRIMARY", "LOCALIZER"], "localizers")],
)
def test_images_that_are_no_slices_are_objected_to(tmp_path: Path, stated: list[str], reason: str) -> None:
    write_dicom_series(tmp_path, HU, edit=stating(ImageType=stated))
    assert any(reason in found for found in objections(read_study(tmp_path)))


def test_wanted_series_overrules_the_rules(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "a", HU, series=1)
    write_dicom_series(tmp_path / "b", HU[:6], series=2, orientation=SAGITTAL)
    study = read_study(tmp_path, uid(2))
    assert study.series_uid == uid(2)
    assert objections(study) == ("the series is sagittal, axial slices are needed",)
    assert "read, as asked for" in study.remarks[0]
    assert [series.series_uid for series in list_contents(tmp_path, uid(2)).series if series.chosen] == [uid(2)]


@pytest.mark.parametrize("wanted", ["1.2.3", "", "nonsense"])
def test_unknown_series_is_a_usage_error_that_names_the_others(tmp_path: Path, wanted: str) -> None:
    write_dicom_series(tmp_path, HU)
    with pytest.raises(UsageError, match=rf"expected one of {re.escape(uid(1))}.*jcs info"):
        read_study(tmp_path, wanted)


def test_series_of_another_kind_cannot_be_asked_for(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "a", HU)
    write_dicom_series(tmp_path / "b", HU[:1], series=2, edit=stating(SOPClassUID=MRImageStorage, Modality="MR"))
    with pytest.raises(UsageError, match="MR Image Storage, expected CT images"):
        read_study(tmp_path, uid(2))
    other = listed(tmp_path)[uid(2)]
    assert (other.modality, other.images, other.chosen) == ("MR", 1, False)
    assert other.why_not == ("it holds MR Image Storage, CT images are needed",)


def test_series_cannot_be_chosen_where_there_are_none(tmp_path: Path) -> None:
    write_nifti(tmp_path / "ct.nii", HU)
    with pytest.raises(UsageError, match="no DICOM series"):
        read_study(tmp_path / "ct.nii", uid(1))


def test_studies_and_patients_are_told_apart(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "a", HU, series=1)
    other = stating(StudyInstanceUID=f"{UID_ROOT}9", PatientID="OTHER")
    write_dicom_series(tmp_path / "b", HU[:11], series=2, edit=other)
    found = listed(tmp_path)
    assert (found[uid(1)].patient_id, found[uid(2)].patient_id) == ("PHANTOM-1", "OTHER")
    assert found[uid(2)].study_uid == f"{UID_ROOT}9"
    remarks = read_study(tmp_path).remarks
    assert "the images are of 2 patients: only the series read is judged" in remarks
    assert "the images are of 2 studies: only the series read is judged" in remarks


def test_one_series_of_two_patients_is_objected_to(tmp_path: Path) -> None:
    def swap(dataset: Dataset, index: int) -> None:
        dataset.PatientID = f"P{index % 2}"

    write_dicom_series(tmp_path, HU, edit=swap)
    assert "one series names 2 patients, images of one patient are needed" in objections(read_study(tmp_path))


def test_copies_are_left_out(tmp_path: Path) -> None:
    for path in write_dicom_series(tmp_path, HU)[:3]:
        path.with_name(f"copy of {path.name}").write_bytes(path.read_bytes())
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.voxels, HU)
    assert study.remarks[0].startswith("3 files are copies of others")


@pytest.mark.parametrize("keyword", ["AcquisitionNumber", "ConvolutionKernel", "SliceThickness"])
def test_scans_of_one_place_in_one_series_are_not_interleaved(tmp_path: Path, keyword: str) -> None:
    first, second = {
        "AcquisitionNumber": (1, 2),
        "ConvolutionKernel": ("B40f", "B70f"),
        "SliceThickness": (5.0, 2.5),
    }[keyword]

    def renamed(dataset: Dataset, index: int) -> None:
        setattr(dataset, keyword, second)
        dataset.SOPInstanceUID = UID(f"{UID_ROOT}7.{index}")
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID

    write_dicom_series(tmp_path / "a", HU, edit=stating(**{keyword: first}))
    # Half a slice away: by position alone the two would be taken for one scan of slices 2.5 mm apart.
    write_dicom_series(tmp_path / "b", HU[::-1][:11], positions=[5.0 * z + 2.5 for z in range(11)], edit=renamed)
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.voxels, HU)
    assert any("more than once" in remark and "11 others are left out" in remark for remark in study.remarks)


def test_acquisitions_that_follow_on_are_one_scan(tmp_path: Path) -> None:
    def halves(dataset: Dataset, index: int) -> None:
        dataset.AcquisitionNumber = 1 if index < 7 else 2

    write_dicom_series(tmp_path, HU, edit=halves)
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.voxels, HU)
    assert study.remarks == ()


def test_rounded_directions_are_one_orientation(tmp_path: Path) -> None:
    def rounded(dataset: Dataset, index: int) -> None:
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0.0006 * (index % 2)]

    write_dicom_series(tmp_path, HU, edit=rounded)
    study = read_study(tmp_path)
    assert len(study) == len(HU)
    assert study.objections == ()


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("STANDARD", "standard"), ("LUNG", "lung"), ("BONEPLUS", "bone"), ("SOFT", "soft"), ("B30f", "soft"),
        ("B40f", "standard"), ("Br44d\\3", "standard"), ("Bl57d", "lung"), ("B60s", "lung"), ("B80f", "bone"),
        ("FC07", "standard"), ("FC51", "lung"), ("FC30", "bone"), ("", None), ("WHATEVER", None),
    ],
)  # fmt: skip
def test_kernels_in_common_use_are_known(kernel: str, kind: str | None) -> None:
    assert kernel_kind(kernel) == kind
