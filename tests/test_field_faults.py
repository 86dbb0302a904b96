"""The faults from the field, each kind by its own input, from the command to the value that comes out.

Studies are the example lung-pet-ct-dx-A0002, altered. What the unaltered one gives today is the right value. All but
the two networks is computed anew for each input; these are asked once for the same slices.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from jcs_ct.cli import diagnosing
from jcs_ct.diagnosis.classify import Progress, Scores
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.reports.nifti_report import nifti_affine
from jcs_ct.study import read_study
from tests.altered import Edit, moved, raw, renamed, stating, write
from tests.command_line import CommandLine, Outcome
from tests.phantoms import UID_ROOT, write_dicom_series, write_nifti
from tests.reports.dicom_tools import validation_errors
from tests.reports.test_pdf_text import printed

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "lung-pet-ct-dx-A0002"
EVERY = range(30)
NAMELESS = stating(PatientID="")
ANOTHER = stating(
    PatientName="Other^Person", PatientBirthDate="19500101", PatientSex="M", PatientID="", StudyInstanceUID="1.2.3.4",
    FrameOfReferenceUID="1.2.3.5",
)  # fmt: skip


class Remembering(Diagnoser):
    """The networks' answers to slices that they have seen are kept."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self._known: dict[bytes, Any] = {}
        self.whole: Ended | None = None

    def classify(self, crops: NDArray[np.uint8], progress: Progress | None = None, calibrated: bool = True) -> Scores:
        key = hashlib.sha256(crops.tobytes()).digest()
        if key not in self._known:
            self._known[key] = super().classify(crops, None, calibrated)
        return self._known[key]  # type: ignore[no-any-return]

    def segment(
        self, crops: NDArray[np.uint8], regions: NDArray[np.bool_], progress: Progress | None = None
    ) -> NDArray[np.float32]:
        key = hashlib.sha256(crops.tobytes() + regions.tobytes()).digest()
        if key not in self._known:
            self._known[key] = super().segment(crops, regions)
        return self._known[key].copy()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Ended:
    """How a diagnosis ended."""

    outcome: Outcome
    result: Mapping[str, Any]

    @property
    def value(self) -> tuple[Any, ...]:
        """Exit code, verdict, infected slices, threshold, mL of opacities and of lungs."""
        rule, measures = self.result["rule"], self.result["measures"]
        verdict = (self.outcome.code, self.result["verdict"], rule["infected_slices"], rule["threshold"])
        return (*verdict, measures["lesion_volume_ml"], measures["lung_volume_ml"])

    def told(self, code: str) -> Mapping[str, Any]:
        """The values of the notice of this code."""
        (found,) = (each["values"] for each in self.result["notices"] if each["code"] == code)
        return found  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def diagnoser() -> Remembering:
    return Remembering()


@pytest.fixture
def diagnosed(jcs: CommandLine, diagnoser: Remembering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`jcs diagnose` of an input."""
    monkeypatch.setattr(diagnosing, "_diagnoser", lambda *_: diagnoser)

    def diagnose(
        study: Path, formats: str = "json", out: Path = tmp_path / "out", options: Sequence[str | Path] = ()
    ) -> Ended:
        chosen = [word for name in formats.split() for word in ("--format", name)]
        outcome = jcs("diagnose", study, "-o", out, *chosen, *options)
        path = out / "result.json"
        return Ended(outcome, json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {})

    return diagnose


@pytest.fixture
def whole(diagnosed: Any, diagnoser: Remembering, tmp_path: Path) -> Ended:
    """The unaltered study."""
    if diagnoser.whole is None:
        diagnoser.whole = diagnosed(EXAMPLE, out=tmp_path / "whole")
        assert diagnoser.whole.value[:2] == (0, "negative")
        assert 30 < diagnoser.whole.value[4] < 90, "a tumour of 39 mL, and what is taken for opacity"
    return diagnoser.whole


def altered(folder: Path, *edits: Edit, implicit: bool = False) -> Path:
    write(EXAMPLE, folder, *edits, implicit=implicit)
    return folder


def stored(folder: Path, target: Path) -> Path:
    """A zip archive of a folder, uncompressed."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*.dcm")):
            archive.writestr(os.fsencode(path.relative_to(folder)).decode("cp437"), path.read_bytes())
    return target


# ---- 1 to 3: two things read as one


def test_kind_1_two_persons_under_one_series(diagnosed: Any, tmp_path: Path) -> None:
    altered(tmp_path / "in", NAMELESS)
    write(EXAMPLE, tmp_path / "in", NAMELESS, ANOTHER, renamed("8"), moved(-240), prefix="b")
    ended = diagnosed(tmp_path / "in")
    assert (ended.outcome.code, ended.result["verdict"]) == (3, "not_assessable")
    assert ended.result["measures"]["lesion_volume_ml"] is None
    assert {"PatientName", "StudyInstanceUID", "FrameOfReferenceUID"} <= set(ended.told("identities-mixed")["elements"])
    assert "PatientName" in ended.outcome.out


def test_kind_1_single_slice_of_another_person(diagnosed: Any, tmp_path: Path) -> None:
    stray = altered(tmp_path / "in", NAMELESS, stating([17], PatientName="Other^Person")) / "1-18.dcm"
    ended = diagnosed(tmp_path / "in")
    assert (ended.outcome.code, ended.result["verdict"]) == (3, "not_assessable")
    assert ended.told("identities-mixed")["files"] == [stray.name]


def test_kind_2_two_breath_holds_half_a_slice_apart(diagnosed: Any, whole: Ended, tmp_path: Path) -> None:
    def numbered(dataset: Dataset, index: int) -> None:
        dataset.InstanceNumber = 31 + index

    first, later = (stating(AcquisitionNumber=None, AcquisitionTime=at, ContentTime=at) for at in ("100000", "100500"))
    altered(tmp_path / "in", first)
    write(EXAMPLE, tmp_path / "in", later, numbered, moved(4.0), renamed("9"), prefix="later-")
    ended = diagnosed(tmp_path / "in")
    assert ended.value == whole.value
    assert ended.told("repeated-acquisitions")["left_out"] == 30
    assert not any(each["source"].startswith("later") for each in ended.result["slices"])


def test_kind_3_thickness_that_differs_by_rounding(diagnosed: Any, whole: Ended, tmp_path: Path) -> None:
    def alternate(dataset: Dataset, index: int) -> None:
        dataset.SliceThickness = "8.0001" if index % 2 else "8"

    ended = diagnosed(altered(tmp_path / "in", alternate))
    assert ended.value == pytest.approx(whole.value)
    assert ended.result["input"]["slices"] == 30


def test_kind_3_two_kernels_in_one_series(diagnosed: Any, whole: Ended, tmp_path: Path) -> None:
    def sharper(dataset: Dataset, index: int) -> None:
        stored = dataset.pixel_array.astype(np.int32)
        noise = np.random.default_rng(index).normal(0, 60, stored.shape)
        dataset.PixelData = np.clip(stored + noise, 0, 4095).astype(dataset.pixel_array.dtype).tobytes()

    altered(tmp_path / "in")
    write(EXAMPLE, tmp_path / "in", stating(ConvolutionKernel="B70f"), sharper, renamed("1"), prefix="0-")
    ended = diagnosed(tmp_path / "in")
    assert ended.value == whole.value
    assert ended.result["input"]["attributes"]["ConvolutionKernel"] == "B40f"


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_kind_4_five_patients(diagnosed: Any, tmp_path: Path, kind: str) -> None:
    for number in range(1, 6):
        edit = stating(PatientID=f"P{number}", StudyInstanceUID=f"{UID_ROOT}5.{number}", StudyDate="20070425")
        write_dicom_series(tmp_path / "in" / f"p{number}", np.zeros((30, 8, 8), np.int16), series=number, edit=edit)
    given = tmp_path / "in" if kind == "folder" else stored(tmp_path / "in", tmp_path / "five.zip")
    refused = diagnosed(given).outcome.refusal()
    assert "found 5 studies of 5 patients, expected one" in refused
    assert all(f"P{number} of 20070425 (30 images in" in refused for number in range(1, 6))
    assert not (tmp_path / "out").exists()


# ---- 6 to 8: one bad value


def test_kind_6_slice_without_a_position(diagnosed: Any, whole: Ended, tmp_path: Path) -> None:
    ended = diagnosed(altered(tmp_path / "in", stating([11], ImagePositionPatient=None)), "nifti seg json")
    code, verdict, _, threshold, lesions_ml, lungs_ml = ended.value
    assert (code, verdict, threshold) == (0, "negative", whole.value[3])
    assert lesions_ml == pytest.approx(whole.value[4], rel=0.2)
    assert lungs_ml == pytest.approx(whole.value[5], rel=0.06)
    assert ended.told("incomplete-slices")["files"] == ["1-12.dcm"]
    assert ended.result["input"]["spacing_mm"] == [8.0, 0.646484375, 0.646484375]
    assert nib.load(tmp_path / "out" / "lesions.nii.gz").header.get_zooms()[2] == 8.0  # type: ignore[attr-defined]
    assert dcmread(tmp_path / "out" / "dicom" / "lesions.seg.dcm").NumberOfFrames > 0


def test_kind_7_values_that_nobody_needs(diagnosed: Any, whole: Ended, tmp_path: Path) -> None:
    stated = {"InstanceNumber": "IM_1", "AcquisitionNumber": "none", "SliceLocation": "unknown"}
    stated["SliceThickness"] = "8,0"
    edit = raw(EVERY, **stated, PixelPaddingValue="-2000\\-1024")
    ended = diagnosed(altered(tmp_path / "in", edit, implicit=True))
    assert ended.value == whole.value
    assert set(stated) <= set(ended.told("values-ignored")["elements"])


def test_kinds_7_and_8_what_goes_out_is_valid(diagnosed: Any, whole: Ended, tmp_path: Path) -> None:
    def lettered(dataset: Dataset, index: int) -> None:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            setattr(dataset, keyword, f"{dataset[keyword].value[-40:]}.A")

    long = "A123456789" * 8
    edit = stating(SpecificCharacterSet="ISO_IR 192", AccessionNumber=long, PatientID=long)
    body = raw(EVERY, BodyPartExamined="胸部")
    ended = diagnosed(altered(tmp_path / "in", lettered, edit, body, implicit=True), "seg sr json")
    assert ended.value == whole.value
    assert len(ended.told("uids-replaced")["elements"]) == 4
    written = sorted((tmp_path / "out" / "dicom").iterdir())
    assert [path.name for path in written] == ["lesions.seg.dcm", "lungs.seg.dcm", "report.sr.dcm"]
    assert {path.name: validation_errors(path) for path in written} == {path.name: [] for path in written}
    assert all(dcmread(path).StudyInstanceUID.startswith("2.25.") for path in written)


# ---- 9 to 11: conflicting statements


@pytest.fixture(scope="module")
def as_nifti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as NIfTI, with both forms alike."""
    path, study = tmp_path_factory.mktemp("nifti") / "ct.nii", read_study(EXAMPLE)
    write_nifti(path, study.voxels, spacing=(8.0, 0.646484375, 0.646484375))
    return path


def with_forms(source: Path, path: Path, sform: NDArray[np.float64], qform: NDArray[np.float64]) -> Path:
    image: Any = nib.load(source)
    header = image.header.copy()
    header["srow_x"], header["srow_y"], header["srow_z"], header["sform_code"] = *sform[:3], 1
    header.set_qform(qform, code=1)
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), None, header), path)
    return path


@pytest.mark.parametrize("change", ["mirrored", "100 mm off"])
def test_kind_9_forms_that_differ(diagnosed: Any, as_nifti: Path, tmp_path: Path, change: str) -> None:
    before: Any = nib.load(as_nifti)
    other = np.diag([-1.0, 1.0, 1.0, 1.0]) if change == "mirrored" else np.eye(4)
    other[:3, 3] += 0 if change == "mirrored" else 100
    plain = diagnosed(as_nifti, out=tmp_path / "plain")
    given = with_forms(as_nifti, tmp_path / "ct.nii", before.affine, other @ before.affine)
    ended = diagnosed(given, "nifti json")
    assert ended.value == plain.value
    assert ended.told("forms-contradict")["off_mm"] > 90
    for name in ("lesions", "lungs"):
        mask: Any = nib.load(tmp_path / "out" / f"{name}.nii.gz")
        # On the CT for those who read the sform, and for those who read the qform.
        np.testing.assert_allclose(mask.header.get_sform(), before.affine, atol=1e-3)
        np.testing.assert_allclose(mask.header.get_qform(), other @ before.affine, atol=1e-2)


def test_kind_10_sform_of_zeros(diagnosed: Any, as_nifti: Path, tmp_path: Path) -> None:
    plain, before = diagnosed(as_nifti, out=tmp_path / "plain"), nib.load(as_nifti)
    zeros = np.diag([0.0, 0.0, 0.0, 1.0])
    given = with_forms(as_nifti, tmp_path / "ct.nii", zeros, before.affine)  # type: ignore[attr-defined]
    ended = diagnosed(given)
    assert ended.value == plain.value
    assert "sform-unusable" in {each["code"] for each in ended.result["notices"]}


@pytest.mark.parametrize("labels", [(1, 2), (255, 255)], ids=["sides", "white"])
def test_kinds_10_and_11_one_reader_of_masks(
    diagnosed: Any, whole: Ended, tmp_path: Path, labels: tuple[int, int]
) -> None:
    study = read_study(EXAMPLE)
    lungs = np.asarray(study.voxels, np.int16) < -600
    lungs[:, :101] = False
    sides = np.where(np.arange(512) < 256, *labels)[None, None, :] * lungs
    # Misnamed, compressed or not, of four dimensions, with a sform of zeros and a good qform.
    affine = nifti_affine(study)
    assert affine is not None
    image = nib.Nifti1Image(np.transpose(sides, (2, 1, 0))[..., None].astype(np.uint8), affine)
    path = tmp_path / "mask.nii"
    nib.save(image, path)
    with_forms(path, tmp_path / "zeros.nii", np.diag([0.0, 0.0, 0.0, 1.0]), affine).rename(tmp_path / "lungs")
    ended = diagnosed(EXAMPLE, options=("--lungs", tmp_path / "lungs"))
    assert ended.value[:4] == whole.value[:4]
    assert ended.value[5] == pytest.approx(lungs.sum() * 8 * 0.646484375**2 / 1000, rel=1e-3)


# ---- 12 to 15: words and places


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_kind_12_names_that_are_no_utf_8(diagnosed: Any, whole: Ended, tmp_path: Path, packed: bool) -> None:
    latin = os.fsdecode(b"\xe9t\xe9-\xff")
    for path in altered(tmp_path / latin).iterdir():
        path.rename(path.with_name(f"{latin}{path.name}"))
    given = tmp_path / latin
    if packed:
        given = tmp_path / f"{latin}.zip"
        stored(tmp_path / latin, given)
    ended = diagnosed(given, out=tmp_path / f"out-{latin}")
    assert ended.value == whole.value
    assert ended.outcome.out.isprintable() or "\n" in ended.outcome.out
    assert all(each["source"].isprintable() for each in ended.result["slices"])
    if not packed:
        assert ended.result["slices"][0]["source"] == "\\xe9t\\xe9-\\xff1-30.dcm"


def test_kind_13_name_in_the_report(diagnosed: Any, tmp_path: Path) -> None:
    edit = stating(SpecificCharacterSet="ISO_IR 192", PatientName="王^小明")
    ended = diagnosed(altered(tmp_path / "in", edit), "pdf json")
    assert ended.outcome.code == 0
    assert "王^小明" in printed((tmp_path / "out" / "report.pdf").read_bytes(), tmp_path)


def test_kind_15_output_inside_the_input(diagnosed: Any, as_nifti: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(as_nifti, tmp_path / "in")
    first = diagnosed(tmp_path / "in", "nifti png json", out=tmp_path / "in" / "out")
    again = diagnosed(tmp_path / "in", "nifti png json", out=tmp_path / "in" / "out")
    assert again.value == first.value
    assert first.value[0] == 0
