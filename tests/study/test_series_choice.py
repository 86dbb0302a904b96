"""Which series is read, told by phantoms that differ in one respect at a time."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, MRImageStorage

from jcs_ct.errors import UnsupportedInputError, UsageError
from jcs_ct.notices import Notice, notice, text
from jcs_ct.study import list_contents, read_study, refusals
from jcs_ct.study.quality import kernel_kind
from jcs_ct.study.series_choice import SeriesSummary
from tests.noticed import codes, values_of
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


def thickness(other: str, read: str) -> Notice:
    return notice("series-thickness-less-suitable", thickness=other, read=read)


def kernel(name: str, kind: str, read_kind: str) -> Notice:
    return notice("series-kernel-less-suitable", kernel=name, kind=kind, read_kind=read_kind)


@pytest.mark.parametrize(
    ("worse", "better", "why"),
    [
        (
            {"SliceThickness": 5.0},
            {"SliceThickness": 1.25},
            thickness("5 mm", "1.25 mm"),
        ),
        (
            {"SliceThickness": 10.0},
            {"SliceThickness": 5.0},
            thickness("10 mm", "5 mm"),
        ),
        (
            {"SliceThickness": 0.4},
            {"SliceThickness": 1.0},
            thickness("0.4 mm", "1 mm"),
        ),
        (
            {"ConvolutionKernel": "BONE"},
            {"ConvolutionKernel": "LUNG"},
            kernel("BONE", "bone", "lung"),
        ),
        (
            {"ConvolutionKernel": "B70f"},
            {"ConvolutionKernel": "B40f"},
            kernel("B70f", "bone", "standard"),
        ),
        (
            {"ConvolutionKernel": "B20f"},
            {"ConvolutionKernel": "B50f"},
            kernel("B20f", "soft", "lung"),
        ),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}, {}, notice("series-derived")),
        ({"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, {}, notice("projections-only", word="MIP")),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, {}, notice("localizers-only")),
        ({"RescaleType": "MGML"}, {}, notice("not-hounsfield", unit="MGML")),
        ({"Modality": "PT"}, {}, notice("not-ct", modality="PT")),
    ],
)
def test_series_is_chosen_by_what_it_states(
    tmp_path: Path, worse: dict[str, object], better: dict[str, object], why: Notice
) -> None:
    # The better one has fewer slices and the higher UID, so that nothing but the rule in question puts it first.
    write_dicom_series(tmp_path / "a", HU, series=1, edit=stating(**worse))
    write_dicom_series(tmp_path / "b", HU[:11], series=2, edit=stating(**better))
    study = read_study(tmp_path)
    assert study.series_uid == uid(2)
    found = listed(tmp_path)
    assert (found[uid(1)].chosen, found[uid(2)].chosen) == (False, True)
    assert found[uid(1)].why_not[0] == why
    assert found[uid(2)].why_not == ()
    assert text(why) in str(values_of(study.notices, "several-series")["others"])


def test_short_series_comes_after_one_that_covers_the_patient(tmp_path: Path) -> None:
    thin = stating(SliceThickness=1.0)
    write_dicom_series(tmp_path / "a", HU[:8], series=1, positions=[1.0 * z for z in range(8)], edit=thin)
    write_dicom_series(tmp_path / "b", HU, series=2, positions=PHANTOM.positions, edit=stating(SliceThickness=5.0))
    assert read_study(tmp_path).series_uid == uid(2)
    assert listed(tmp_path)[uid(1)].why_not == (notice("series-shorter", extent_mm=8.0, read_mm=192.0),)


def test_more_slices_count_only_among_even_series(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "a", HU[:11], series=1)
    write_dicom_series(tmp_path / "b", HU, series=2)
    assert read_study(tmp_path).series_uid == uid(2)
    assert listed(tmp_path)[uid(1)].why_not == (notice("series-fewer-slices", slices=11, read=12),)


def test_even_series_are_told_apart_by_uid_whatever_the_folders(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "z", HU, series=1)
    write_dicom_series(tmp_path / "a", HU, series=2)
    assert read_study(tmp_path).series_uid == uid(1)


def test_unfit_series_is_read_where_there_is_no_other(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, HU, orientation=SAGITTAL)
    (series,) = list_contents(tmp_path).series
    assert series.chosen
    assert series.why_not == (notice("not-axial", plane="sagittal"),)
    assert refusals(read_study(tmp_path)) == series.why_not


@pytest.mark.parametrize(
    ("stated", "code"),
    [(["DERIVED", "SECONDARY", "MIP"], "projections-only"), (["ORIGINAL", "PRIMARY", "LOCALIZER"], "localizers-only")],
)
def test_images_that_are_no_slices_are_refused(tmp_path: Path, stated: list[str], code: str) -> None:
    write_dicom_series(tmp_path, HU, edit=stating(ImageType=stated))
    assert code in codes(refusals(read_study(tmp_path)))


def test_wanted_series_overrules_the_rules(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "a", HU, series=1)
    write_dicom_series(tmp_path / "b", HU[:6], series=2, orientation=SAGITTAL)
    study = read_study(tmp_path, uid(2))
    assert study.series_uid == uid(2)
    assert refusals(study) == (notice("not-axial", plane="sagittal"),)
    assert study.notices[0].code == "series-as-requested"
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
    assert other.why_not == (notice("series-not-ct", sop_class="MR Image Storage"),)


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
    refused = list_contents(tmp_path).notices
    assert notice("several-studies", count=2, patients=2).code in codes(refused)
    with pytest.raises(
        UnsupportedInputError, match=r"found 2 studies of 2 patients, expected one.*OTHER.*--series-uid"
    ):
        read_study(tmp_path)
    asked = read_study(tmp_path, uid(2))
    assert (len(asked), refusals(asked)) == (11, ())
    assert values_of(asked.notices, "several-studies") == {"count": 2, "patients": 2}


@pytest.mark.parametrize(
    ("stated", "patients"),
    [
        ({"StudyInstanceUID": f"{UID_ROOT}9"}, 1),
        ({"PatientName": "Other^Name", "PatientID": ""}, 2),
        ({"StudyInstanceUID": f"{UID_ROOT}9", "PatientID": "PHANTOM-1 ", "PatientName": "PHANTOM^chest"}, 1),
        ({"PatientBirthDate": "19500101"}, 1),
    ],
    ids=["earlier study of the patient", "other name in one study", "other notation", "missing in one"],
)
def test_what_makes_several_studies(tmp_path: Path, stated: dict[str, object], patients: int) -> None:
    write_dicom_series(tmp_path / "a", HU, series=1)
    write_dicom_series(tmp_path / "b", HU[:11], series=2, edit=stating(**stated))
    if stated.keys() == {"PatientBirthDate"}:
        assert "several-studies" not in codes(read_study(tmp_path).notices)
        return
    with pytest.raises(UnsupportedInputError, match=f"found 2 studies of {patients} patient"):
        read_study(tmp_path)
    assert len(read_study(tmp_path / "a")) == 12


def test_many_patients_in_a_zip_are_refused_and_listed(tmp_path: Path) -> None:
    for number in range(1, 6):
        other = stating(StudyInstanceUID=f"{UID_ROOT}9.{number}", PatientID=f"P{number}", PatientName=f"N{number}")
        write_dicom_series(tmp_path / "in" / f"p{number}", HU[:6], series=number, edit=other)
    zipped = shutil.make_archive(str(tmp_path / "many"), "zip", tmp_path / "in")
    with pytest.raises(UnsupportedInputError, match=r"found 5 studies of 5 patients.*P1.*p1") as caught:
        read_study(zipped)
    assert str(caught.value).isprintable()
    assert read_study(zipped, uid(3)).attributes["PatientID"] == "P3"


def test_one_series_of_two_patients_is_refused(tmp_path: Path) -> None:
    def swap(dataset: Dataset, index: int) -> None:
        dataset.PatientID = f"P{index % 2}"

    write_dicom_series(tmp_path, HU, edit=swap)
    assert values_of(refusals(read_study(tmp_path)), "identities-mixed")["elements"] == ("PatientID",)


def test_copies_are_left_out(tmp_path: Path) -> None:
    for path in write_dicom_series(tmp_path, HU)[:3]:
        path.with_name(f"copy of {path.name}").write_bytes(path.read_bytes())
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.voxels, HU)
    assert values_of(study.notices, "copies-left-out")["count"] == 3


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
    if keyword == "SliceThickness":  # by the documented order, 2.5 mm come before 5 mm
        np.testing.assert_array_equal(study.voxels, HU[::-1][:11])
    else:
        np.testing.assert_array_equal(study.voxels, HU)
    assert values_of(study.notices, "repeated-acquisitions")["told_apart_by"] == (keyword,)


def test_acquisitions_that_follow_on_are_one_scan(tmp_path: Path) -> None:
    def halves(dataset: Dataset, index: int) -> None:
        dataset.AcquisitionNumber = 1 if index < 7 else 2

    write_dicom_series(tmp_path, HU, edit=halves)
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.voxels, HU)
    assert study.notices == ()


def test_rounded_directions_are_one_orientation(tmp_path: Path) -> None:
    def rounded(dataset: Dataset, index: int) -> None:
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0.0006 * (index % 2)]

    write_dicom_series(tmp_path, HU, edit=rounded)
    study = read_study(tmp_path)
    assert len(study) == len(HU)
    assert refusals(study) == ()


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
