"""Two things in one series are never read as one: persons, breath-holds, phases, kernels, exports."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from jcs_ct.study import Study, read_study, refusals
from tests.altered import SERIES, Edit, coarser, moved, raw, renamed, stating, write
from tests.noticed import codes, values_of

EVERY = range(30)
CALLED_SAME = stating(PatientID="")


@pytest.fixture(scope="module")
def source(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    write(shared_data / SERIES, folder, coarser)
    return folder


@pytest.fixture(scope="module")
def whole(source: Path) -> Study:
    """The unaltered series. A study of the same digest has the same verdict and the same measures."""
    return read_study(source)


def numbered(first: int) -> Edit:
    def edit(dataset: Dataset, index: int) -> None:
        dataset.InstanceNumber = first + index

    return edit


ANOTHER = stating(
    PatientName="Other^Person", PatientBirthDate="19500101", PatientSex="M", PatientID="", StudyInstanceUID="1.2.3.4",
    FrameOfReferenceUID="1.2.3.5",
)  # fmt: skip


# ---- who it is


def test_two_persons_under_one_series_uid_are_not_assessable(source: Path, tmp_path: Path) -> None:
    write(source, tmp_path, CALLED_SAME)
    write(source, tmp_path, CALLED_SAME, ANOTHER, renamed("8"), moved(-240), prefix="b")
    (refusal,) = [found for found in refusals(read_study(tmp_path)) if found.code == "identities-mixed"]
    elements = refusal.values["elements"]
    assert elements == ("PatientName", "PatientSex", "StudyInstanceUID", "FrameOfReferenceUID")
    assert refusal.values["count"] == 30


def test_single_slice_of_another_person_is_named(source: Path, tmp_path: Path) -> None:
    stray = write(source, tmp_path, stating([17], PatientName="Other^Person", PatientID=""))[17]
    study = read_study(tmp_path)
    (refusal,) = refusals(study)
    assert refusal.values["files"] == (stray.name,)
    assert refusal.values["elements"] == ("PatientName",)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "Z"), ("PatientBirthDate", "19500101"), ("PatientSex", "M"), ("PatientAge", "071Y"),
        ("StudyInstanceUID", "1.2.3.4"), ("FrameOfReferenceUID", "1.2.3.5"), ("ManufacturerModelName", "Other 64"),
        ("StudyDate", "20080425"), ("IssuerOfPatientID", "HOSPITAL B"), ("AccessionNumber", "2"), ("StudyID", "2"),
        ("InstitutionName", "Other"), ("StationName", "CT2"), ("DeviceSerialNumber", "2"), ("PatientPosition", "FFS"),
    ],
)  # fmt: skip
def test_every_statement_of_identity_must_agree(source: Path, tmp_path: Path, keyword: str, value: str) -> None:
    first = stating(
        PatientBirthDate="19700101", IssuerOfPatientID="HOSPITAL A", AccessionNumber="1", StudyID="1",
        InstitutionName="One", StationName="CT1", DeviceSerialNumber="1",
    )  # fmt: skip
    write(source, tmp_path, first, stating([4, 5], **{keyword: value}))
    found = values_of(refusals(read_study(tmp_path)), "identities-mixed")
    assert (found["elements"], found["count"]) == ((keyword,), 2)


def test_other_notation_and_missing_statements_are_no_contradiction(source: Path, tmp_path: Path, whole: Study) -> None:
    write(
        source, tmp_path, stating(SpecificCharacterSet="ISO_IR 192", PatientName="DOE^JOHN"),
        stating(PatientBirthDate="19700101"),
        stating([3], PatientName="Doe^John^^", PatientSex="f"), stating([4], PatientName="Doe^John=ドウ^ジョン"),
        stating([5], PatientName="", PatientID="", PatientSex=None),
        stating([6], PatientAge="53Y", PatientBirthDate="1970.01.01", StudyDate="2007.04.25", PatientSex="Female"),
    )  # fmt: skip
    study = read_study(tmp_path)
    assert (study.digest, refusals(study)) == (whole.digest, ())


def test_names_in_two_forms_of_unicode_are_one(source: Path, tmp_path: Path, whole: Study) -> None:
    name = "Müller^Jürgen"
    composed = stating(SpecificCharacterSet="ISO_IR 192", PatientName=name)
    write(source, tmp_path, composed, stating([3], PatientName=unicodedata.normalize("NFD", name)))
    study = read_study(tmp_path)
    assert (study.digest, refusals(study)) == (whole.digest, ())


# ---- which breath-hold, phase or reconstruction

LATER = stating(AcquisitionTime="101500", ContentTime="101500")
FIRST = stating(AcquisitionTime="101000", ContentTime="101000")
HALF_A_SLICE = moved(4.0)


@pytest.mark.parametrize("off", [4.0, 0.0, 1.3], ids=["half a slice off", "at equal places", "a little off"])
@pytest.mark.parametrize(
    ("first", "later", "told_by"),
    [
        (FIRST, LATER, "AcquisitionTime"),
        (stating(ContentTime="101000"), stating(ContentTime="101500"), "ContentTime"),
        (stating(TemporalPositionIdentifier=1), stating(TemporalPositionIdentifier=2), "TemporalPosition"),
        (stating(TriggerTime=100), stating(TriggerTime=450), "TriggerTime"),
        (stating(NominalPercentageOfCardiacPhase=40), stating(NominalPercentageOfCardiacPhase=75), "CardiacPhase"),
        (stating(), stating(ContrastBolusAgent="Iomeron"), "ContrastBolusAgent"),
        (stating(), stating(KVP=80), "KVP"),
        (stating(XRayTubeCurrent=100), stating(XRayTubeCurrent=300), "XRayTubeCurrent"),
        (stating(), stating(ImageType=["DERIVED", "PRIMARY", "AXIAL"]), "ImageType"),
        (stating(SeriesNumber=3), stating(SeriesNumber=4), "SeriesNumber"),
        (stating(SeriesTime="100000"), stating(SeriesTime="100500"), "SeriesTime"),
        (stating(SeriesDescription="arterial"), stating(SeriesDescription="venous"), "SeriesDescription"),
        (stating(ContrastBolusStartTime="1000"), stating(ContrastBolusStartTime="1005"), "ContrastBolusStartTime"),
        (stating(ReconstructionDiameter=331), stating(ReconstructionDiameter=250), "ReconstructionDiameter"),
        (stating(GantryDetectorTilt=0), stating(GantryDetectorTilt=5), "GantryDetectorTilt"),
        (stating(ImageComments="inspiration"), stating(ImageComments="expiration"), "ImageComments"),
        (stating(ReconstructionAlgorithm="FBP"), stating(ReconstructionAlgorithm="IR"), "ReconstructionAlgorithm"),
        (stating(WindowCenter=40), stating(WindowCenter=-500), "WindowCenter"),
        (stating(InstanceCreationTime="1000"), stating(InstanceCreationTime="1100"), "InstanceCreationTime"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_one_whole_stack_is_read(
    source: Path, tmp_path: Path, whole: Study, first: Edit, later: Edit, told_by: str, off: float
) -> None:
    same = stating(AcquisitionNumber=None, AcquisitionTime=None, ContentTime=None)
    write(source, tmp_path, same, first, numbered(1), prefix="z")
    write(source, tmp_path, same, later, moved(off), numbered(31), renamed("9"), prefix="a")
    study = read_study(tmp_path)
    assert study.digest == whole.digest
    assert {name[0] for name in study.sources} == {"z"}
    found = values_of(study.notices, "repeated-acquisitions")
    assert (found["read"], found["left_out"]) == (30, 30)
    assert told_by in str(found["told_apart_by"])


def test_stacks_that_only_instance_numbers_tell_apart(source: Path, tmp_path: Path, whole: Study) -> None:
    same = stating(AcquisitionNumber=None, AcquisitionTime=None, ContentTime=None)
    write(source, tmp_path, same, numbered(1), prefix="z")
    write(source, tmp_path, same, moved(4.0), numbered(31), renamed("9"), prefix="a")
    assert read_study(tmp_path).digest == whole.digest


def test_stacks_at_equal_places_that_nothing_tells_apart_are_refused(source: Path, tmp_path: Path) -> None:
    def mirrored(dataset: Dataset, index: int) -> None:
        dataset.PixelData = bytes(dataset.PixelData)[::-1]

    same = stating(AcquisitionNumber=None, AcquisitionTime=None, ContentTime=None, InstanceNumber=None)
    write(source, tmp_path, same)
    write(source, tmp_path, same, renamed("9"), mirrored, prefix="b")
    assert values_of(refusals(read_study(tmp_path)), "stacks-inseparable") == {"count": 30, "total": 30}


def test_same_images_under_other_uids_are_read_once(source: Path, tmp_path: Path, whole: Study) -> None:
    write(source, tmp_path)
    write(source, tmp_path, renamed("9"), prefix="b")
    study = read_study(tmp_path)
    assert (study.digest, refusals(study)) == (whole.digest, ())


def test_slice_that_one_phase_lacks_is_not_taken_from_the_other(source: Path, tmp_path: Path) -> None:
    same = stating(AcquisitionNumber=None, ContentTime=None)
    write(source, tmp_path, same, FIRST, numbered(1), prefix="z")[12].unlink()
    write(source, tmp_path, same, LATER, numbered(31), renamed("9"), prefix="a")[3].unlink()
    study = read_study(tmp_path)
    assert len(study) == 29
    assert len({name[0] for name in study.sources}) == 1
    assert "gaps" in codes(study.notices)


def test_single_slice_of_another_acquisition_between_two_others_is_left_out(
    source: Path, tmp_path: Path, whole: Study
) -> None:
    write(source, tmp_path)
    extra = write(source, tmp_path, stating(AcquisitionNumber=9), LATER, moved(4.0), renamed("9"), prefix="a")
    for index, path in enumerate(extra):
        if index != 14:
            path.unlink()
    study = read_study(tmp_path)
    assert study.digest == whole.digest
    assert values_of(study.notices, "stray-slices")["files"] == (extra[14].name,)


@pytest.mark.parametrize("edit", [stating(AcquisitionNumber=9), stating(KVP=80), LATER], ids=["number", "kV", "time"])
def test_hole_of_one_scan_is_not_filled_from_another(source: Path, tmp_path: Path, edit: Edit) -> None:
    write(source, tmp_path, FIRST)[14].unlink()
    extra = write(source, tmp_path, FIRST, edit, renamed("9"), prefix="a")
    for index, path in enumerate(extra):
        if index != 14:
            path.unlink()
    study = read_study(tmp_path)
    assert len(study) == 29
    assert values_of(study.notices, "stray-slices")["files"] == (extra[14].name,)
    assert "gaps" in codes(study.notices)


def test_two_slices_of_another_scan_at_an_end_are_left_out_and_no_other(
    source: Path, tmp_path: Path, whole: Study
) -> None:
    write(source, tmp_path, FIRST)
    for index, path in enumerate(write(source, tmp_path, LATER, moved(-4.0), renamed("9"), prefix="a")):
        if index not in (28, 29):
            path.unlink()
    study = read_study(tmp_path)
    assert [name for name in study.sources if name.startswith("a")] in ([], ["a1-30.dcm"])
    assert set(whole.sources) <= set(study.sources)


def test_phases_with_exchanged_positions_stay_apart(source: Path, tmp_path: Path) -> None:
    """A few slices of each, whose wrong places make holes in both stacks."""
    one = write(source, tmp_path, stating(NominalPercentageOfCardiacPhase=40), prefix="z")
    later = stating(NominalPercentageOfCardiacPhase=75)
    two = write(source, tmp_path, later, moved(-4.0), numbered(31), renamed("9"), prefix="a")
    for path in (*one[8:], *two[8:]):
        path.unlink()
    first, second = dcmread(one[1]), dcmread(two[2])
    first.ImagePositionPatient, second.ImagePositionPatient = second.ImagePositionPatient, first.ImagePositionPatient
    first.SliceLocation, second.SliceLocation = second.SliceLocation, first.SliceLocation
    first.save_as(one[1])
    second.save_as(two[2])
    assert len({name[0] for name in read_study(tmp_path).sources}) == 1


def test_scans_that_overlap_where_one_ends_are_read_without_the_overlap(
    source: Path, tmp_path: Path, whole: Study
) -> None:
    """Both are needed to cover the chest; where both lie, the longer one is read."""
    for path in write(source, tmp_path, stating(AcquisitionNumber=1), FIRST)[20:]:
        path.unlink()
    lower = write(source, tmp_path, stating(AcquisitionNumber=2), LATER, moved(4.0), renamed("9"), prefix="a")
    for path in lower[:13]:
        path.unlink()
    study = read_study(tmp_path)
    assert study.geometry is not None
    assert whole.geometry is not None
    upper = [name for name in study.sources if not name.startswith("a")]
    assert len(upper) == 20
    assert len(study) >= 29
    assert float(study.geometry.slice_distances.min()) > 4.5
    assert study.geometry.slice_positions[0] == pytest.approx(whole.geometry.slice_positions[0] + 4)


# ---- ties and rounding


def alternating(keyword: str, one: object, other: object) -> Edit:
    def edit(dataset: Dataset, index: int) -> None:
        setattr(dataset, keyword, other if index % 2 else one)

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        alternating("SliceThickness", 8, "8.0001"),
        alternating("PixelSpacing", [2.5859375, 2.5859375], [2.58598, 2.58598]),
        alternating("KVP", "120", "120.0"),
        alternating("XRayTubeCurrent", 180, 240),
        alternating("ConvolutionKernel", "B40f", "b40F "),
        alternating("ImageOrientationPatient", [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 1, 0.0005]),
        alternating("ScanOptions", "SPI", "HELIX"),
    ],
    ids=["thickness", "spacing", "kV", "current", "kernel", "orientation", "options"],
)
def test_differences_that_mean_nothing_cost_no_slice(source: Path, tmp_path: Path, edit: Edit) -> None:
    write(source, tmp_path, edit)
    study = read_study(tmp_path)
    assert len(study) == 30
    assert refusals(study) == ()


def modulated(keyword: str, *levels: float) -> Edit:
    """Gives each slice one of the levels, in blocks along the patient."""

    def edit(dataset: Dataset, index: int) -> None:
        setattr(dataset, keyword, levels[index * len(levels) // 30])

    return edit


@pytest.mark.parametrize("levels", [(240, 60, 240), (60, 240, 60), (200, 150, 60, 150, 200), (60, 240)])
@pytest.mark.parametrize("keyword", ["XRayTubeCurrent", "Exposure", "ExposureTime", "KVP"])
def test_dose_modulated_along_one_scan_costs_no_slice(
    source: Path, tmp_path: Path, keyword: str, levels: tuple[float, ...]
) -> None:
    write(source, tmp_path, modulated(keyword, *levels))
    study = read_study(tmp_path)
    assert len(study) == 30
    assert "repeated-acquisitions" not in codes(study.notices)


@pytest.mark.parametrize("prefixes", [("a", "z"), ("z", "a")])
@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (stating(), stating(ConvolutionKernel="B70f")),
        (stating(), stating(ConvolutionKernel="B20f")),
        (stating(SliceThickness=5), stating(SliceThickness=8)),
        (stating(), stating(ImageType=["DERIVED", "SECONDARY", "AXIAL"])),
    ],
    ids=["sharp kernel", "soft kernel", "thick", "derived"],
)
def test_stack_of_a_mixed_series_is_chosen_by_the_documented_order(
    source: Path, tmp_path: Path, better: Edit, worse: Edit, prefixes: tuple[str, str]
) -> None:
    """Whichever of them has the lower UIDs, names and numbers."""
    one, other = prefixes
    same = stating(AcquisitionTime=None, ContentTime=None, InstanceNumber=None)
    write(source, tmp_path, same, better, renamed("1" if one == "a" else "8"), prefix=one)
    write(source, tmp_path, same, worse, renamed("1" if other == "a" else "8"), prefix=other)
    study = read_study(tmp_path)
    assert len(study) == 30
    assert {name[0] for name in study.sources} == {one}


# ---- one bad value


@pytest.mark.parametrize(
    ("edit", "element"),
    [
        (stating([11], ImagePositionPatient=None), "Image Position (Patient)"),
        (stating([11, 20], ImageOrientationPatient=None), "Image Orientation (Patient)"),
        (stating([11], PixelSpacing=None), "Pixel Spacing"),
        (stating([11], RescaleSlope=None), "Rescale Slope"),
        (stating([11], RescaleSlope=0), "Rescale Slope"),
        (stating([11], RescaleIntercept=None), "Rescale Intercept"),
        (stating([11], RescaleType="US"), "Rescale Type HU"),
        (stating([11], Modality="PT"), "Modality CT"),
    ],
    ids=["position", "orientation", "spacing", "slope", "slope 0", "intercept", "units", "modality"],
)
def test_slices_without_an_essential_value_are_left_out(
    source: Path, tmp_path: Path, whole: Study, edit: Edit, element: str
) -> None:
    write(source, tmp_path, edit)
    study = read_study(tmp_path)
    found = values_of(study.notices, "incomplete-slices")
    assert (found["element"], found["total"]) == (element, 30)
    assert len(study) == 30 - int(str(found["count"]))
    assert study.geometry is not None
    assert whole.geometry is not None
    kept = [whole.sources.index(name) for name in study.sources]
    assert (study.voxels == whole.voxels[kept]).all()
    assert (study.geometry.slice_positions == whole.geometry.slice_positions[kept]).all()
    assert "gaps" in codes(study.notices)
    assert refusals(study) == ()


def test_position_that_the_slice_location_contradicts_is_left_out(source: Path, tmp_path: Path) -> None:
    wrong = write(source, tmp_path, stating([11], ImagePositionPatient=[-173.2, -294.2, 164.5]))[11]
    study = read_study(tmp_path)
    assert values_of(study.notices, "misplaced-slices") == {"count": 1, "files": (wrong.name,)}
    assert len(study) == 29


def test_series_that_lacks_too_many_values_is_refused(source: Path, tmp_path: Path) -> None:
    write(source, tmp_path, stating(range(0, 30, 2), RescaleIntercept=None))
    assert values_of(refusals(read_study(tmp_path)), "slices-inconsistent")["count"] == 15


@pytest.mark.parametrize(
    ("edit", "element"),
    [
        (raw(EVERY, InstanceNumber="IM_1"), "InstanceNumber"),
        (raw(EVERY, AcquisitionNumber="none"), "AcquisitionNumber"),
        (raw(EVERY, SliceLocation="unknown"), "SliceLocation"),
        (raw(EVERY, SliceThickness="8,0"), "SliceThickness"),
        (raw(EVERY, KVP="120 kV"), "KVP"),
        (raw([5], SeriesNumber="3a"), ""),
        (raw(EVERY, TriggerTime="n/a"), "TriggerTime"),
        (raw(EVERY, PixelPaddingValue="-2000\\-1024"), "PixelPaddingValue"),
    ],
    ids=["instance", "acquisition", "location", "thickness", "kV", "series", "trigger", "padding"],
)
def test_unreadable_values_that_nobody_needs_are_ignored(
    source: Path, tmp_path: Path, whole: Study, edit: Edit, element: str
) -> None:
    write(source, tmp_path, edit, implicit=True)  # read back, each element has its own type again
    study = read_study(tmp_path)
    assert study.digest == whole.digest
    assert refusals(study) == ()
    if element:
        assert element in str(values_of(study.notices, "values-ignored")["elements"])


def test_uids_with_letters_are_read_and_replaced(source: Path, tmp_path: Path, whole: Study) -> None:
    def lettered(dataset: Dataset, index: int) -> None:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            setattr(dataset, keyword, f"{dataset[keyword].value[:50]}.A{keyword[:2]}")
        dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID}.{index}"

    write(source, tmp_path, lettered)
    study = read_study(tmp_path)
    assert study.digest == whole.digest
    assert study.sop_uids is not None
    others = [study.attributes[keyword] for keyword in ("StudyInstanceUID", "FrameOfReferenceUID")]
    uids = [*study.sop_uids, study.series_uid, *others]
    assert len(set(uids)) == 33
    assert all(uid is not None and uid.startswith("2.25.") for uid in uids)
    assert len(str(values_of(study.notices, "uids-replaced")["elements"]).split(",")) == 4
    with disable_value_validation():
        stated = str(dcmread(next(tmp_path.iterdir())).SeriesInstanceUID)
    assert read_study(tmp_path, stated).series_uid == study.series_uid


@pytest.mark.parametrize("uid", ["", None])
def test_images_without_a_uid_of_their_own_get_one(source: Path, tmp_path: Path, whole: Study, uid: str | None) -> None:
    write(source, tmp_path, stating(SOPInstanceUID=uid))
    study, again = read_study(tmp_path), read_study(tmp_path)
    assert study.digest == whole.digest
    assert study.sop_uids is not None
    assert len(set(study.sop_uids)) == 30
    assert all(each.startswith("2.25.") for each in study.sop_uids)
    assert study.sop_uids == again.sop_uids
    assert values_of(study.notices, "uids-replaced")["elements"] == ("SOPInstanceUID",)


@pytest.mark.parametrize("stated", ["1.2.03", "1.2.3.", "1." + "2" * 70, "abc", "1.2..3"])
def test_other_breaches_of_the_rules_for_uids(source: Path, tmp_path: Path, whole: Study, stated: str) -> None:
    write(source, tmp_path, stating(StudyInstanceUID=stated))
    study = read_study(tmp_path)
    assert study.digest == whole.digest
    assert study.attributes["StudyInstanceUID"].startswith("2.25.")


def test_valid_uids_stay(whole: Study, source: Path) -> None:
    assert "uids-replaced" not in codes(whole.notices)
    assert whole.series_uid == dcmread(next(source.iterdir())).SeriesInstanceUID


@pytest.mark.parametrize("keyword", ["SamplesPerPixel", "PhotometricInterpretation"])
def test_elements_that_can_have_one_value_only_may_be_missing(
    source: Path, tmp_path: Path, whole: Study, keyword: str
) -> None:
    write(source, tmp_path, stating(**{keyword: None}))
    assert read_study(tmp_path).digest == whole.digest
