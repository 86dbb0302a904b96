"""`jcs measure` as its users meet it: a series is diagnosed, its segmentation edited, and the edit measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from jcs_ct import cli
from jcs_ct.reports.follow_up_report import follow_up_schema
from jcs_ct.reports.json_report import result_schema
from tests.command_line import CommandLine
from tests.opacity_networks import write_weights
from tests.phantoms import ChestPhantom, Lesion, write_dicom_series, write_nifti
from tests.reports.dicom_tools import printed_report, validation_errors
from tests.reports.test_html_report import Page
from tests.reports.test_pdf_report import text_of
from tests.segmentations import TISSUE, Frames, drawn, edit, segment_of

SPACING = (8.0, 2.9, 2.7)
VOXEL_ML = 8.0 * 2.9 * 2.7 / 1000
SICK = ChestPhantom(
    (24, 96, 120),
    SPACING,
    (Lesion((0.0, 5.0, 62.0), (30.0, 26.0, 26.0)), Lesion((-30.0, 0.0, -62.0), (25.0, 22.0, 20.0))),
)
JSON = ("--format", "json")
"""Where no other report is looked at: writing them all takes most of the time."""
OBJECTS = {"lesions.seg.dcm", "lungs.seg.dcm", "report.sr.dcm"}


@dataclass(frozen=True)
class Case:
    """A series on disk and what `jcs diagnose` wrote of it."""

    study: Path
    sources: list[Path]
    result: Path
    seg: Path

    @property
    def document(self) -> dict[str, Any]:
        return read(self.result)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("case")
    sources = write_dicom_series(folder / "in", SICK.hu, spacing=SPACING[1:], positions=[8.0 * k for k in range(24)])
    weights = write_weights(folder / "weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["jcs", "diagnose", str(folder / "in"), "-o", str(folder / "out"), "--weights",
                                    str(weights), "--threads", "1"])  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert ended.value.code == 0
    return Case(folder / "in", sources, folder / "out", folder / "out" / "dicom" / "lesions.seg.dcm")


def read(folder: Path) -> dict[str, Any]:
    """`result.json`, after holding it to its schema."""
    document: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, result_schema())
    return document


def erase_the_largest(frames: Frames, dataset: Dataset) -> Frames:
    return [(frame, group) for frame, group in frames if segment_of(group) != 1]


@pytest.fixture
def edited(case: Case, tmp_path: Path) -> Path:
    return edit(case.seg, tmp_path / "edited.dcm", erase_the_largest)


def nothing_is_left(folder: Path, out: str = "out") -> bool:
    return not [path for path in folder.iterdir() if path.name.startswith((out, f".{out}"))]


def test_the_segmentation_of_a_diagnosis_measures_the_same(jcs: CommandLine, case: Case, tmp_path: Path) -> None:
    ended = jcs("measure", case.study, "--seg", case.seg, "-o", tmp_path / "out")
    assert (ended.code, ended.err) == (0, ""), ended
    before, after = case.document, read(tmp_path / "out")
    assert before["verdict"] == "positive"
    assert after["measures"] == before["measures"]
    assert ended.out.startswith("not_assessed: measured only: no decision was asked for")
    assert "probability" not in ended.out
    assert f"opacities {before['measures']['lesion_volume_ml']:.0f} mL" in ended.out


def test_an_edit_is_measured_by_its_voxels(jcs: CommandLine, case: Case, edited: Path, tmp_path: Path) -> None:
    assert jcs("measure", case.study, "--seg", edited, *JSON, "-o", tmp_path / "out").code == 0
    document = read(tmp_path / "out")
    largest, smaller = case.document["lesions"]
    assert document["measures"]["lesion_volume_ml"] == pytest.approx(smaller["volume_ml"])
    assert smaller["volume_ml"] < largest["volume_ml"]
    assert (document["verdict"], document["probability"], document["rule"]) == ("not_assessed", None, None)
    made = document["provenance"]
    assert (made["weights"], made["decision"]) == ({}, None)
    assert made["outlines"]["file"] == "edited.dcm"
    assert made["outlines"]["sop_uid"] == dcmread(edited).SOPInstanceUID
    assert made["outlines"]["algorithm_type"] == "SEMIAUTOMATIC"
    assert {one["assessed"] for one in document["slices"]} == {False}


def test_an_earlier_decision_is_carried_over(jcs: CommandLine, case: Case, edited: Path, tmp_path: Path) -> None:
    chosen = ("--format", "html", "--format", "sr")
    ended = jcs("measure", case.study, "--seg", edited, "--result", case.result, *chosen, "-o", tmp_path / "out")
    assert ended.code == 0, ended
    assert ended.out.startswith("positive: ")
    assert "carried over" in ended.out
    before, after = case.document, read(tmp_path / "out")
    for key in ("verdict", "probability", "rule"):
        assert after[key] == before[key]
    assert after["provenance"]["decision"]["weights"] == before["provenance"]["weights"]
    assert after["measures"]["lesion_count"] == 1
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8")).text
    assert "Positive Opacities of the kind seen in COVID-19 were found on enough slices. Carried over from an" in page
    assert "of an earlier result, made by JCS" in page
    printed = printed_report(tmp_path / "out" / "dicom" / "report.sr.dcm")
    assert '="carried over from an earlier result of this study' in printed
    digest = before["provenance"]["weights"]["classifier"]["sha256"]
    assert f"classifier SHA-256 {digest}" in printed
    # and once more, from the result of the edit
    again = ("--result", tmp_path / "out", *JSON, "-o", tmp_path / "b")
    assert jcs("measure", case.study, "--seg", edited, *again).code == 0
    assert read(tmp_path / "b")["provenance"]["decision"] == after["provenance"]["decision"]


def test_segments_are_chosen_by_number(jcs: CommandLine, case: Case, tmp_path: Path) -> None:
    box = np.zeros(SICK.shape, bool)
    box[10:12, 38:42, 20:30] = True
    masks = np.stack([SICK.lesion_mask, SICK.lung_mask, box], axis=-1).astype(np.uint8)
    path = drawn(case.sources, masks, tmp_path / "drawn.dcm", labels=[(f"S{k}", TISSUE, TISSUE) for k in (1, 2, 3)])
    refused = jcs("measure", case.study, "--seg", path, "-o", tmp_path / "out")
    assert "neither code nor label tells what 1 (S1), 2 (S2), 3 (S3) is" in refused.refusal()
    assert jcs("measure", case.study, "--seg", path, "--segment", "3", *JSON, "-o", tmp_path / "out").code == 0
    document = read(tmp_path / "out")
    assert document["measures"]["lesion_volume_ml"] == pytest.approx(80 * VOXEL_ML)
    assert document["provenance"]["outlines"]["segments"] == [3]
    assert document["provenance"]["outlines"]["algorithm_type"] == "MANUAL"
    (left_out,) = [one for one in document["notices"] if one["code"] == "segments-left-out"]
    assert left_out["values"] == {"count": 2}
    arguments = ("--segment", "1", "--segment", "3", "--lungs", path)
    assert (
        "holds no segment that is a lung"
        in jcs("measure", case.study, "--seg", path, *arguments, "-o", tmp_path / "b").refusal()
    )


def test_nifti_outlines_and_lungs_are_taken(jcs: CommandLine, case: Case, tmp_path: Path) -> None:
    for name, mask in (("drawn", SICK.lesion_mask), ("lungs", SICK.lung_mask)):
        write_nifti(tmp_path / f"{name}.nii.gz", mask.astype(np.uint8), spacing=SPACING)
    ended = jcs("measure", case.study, "--seg", tmp_path / "drawn.nii.gz", "--lungs", tmp_path / "lungs.nii.gz",
                *JSON, "-o", tmp_path / "out")  # fmt: skip
    assert ended.code == 0, ended
    document = read(tmp_path / "out")
    assert document["measures"]["lesion_volume_ml"] == pytest.approx(np.count_nonzero(SICK.lesion_mask) * VOXEL_ML)
    assert document["measures"]["lung_volume_ml"] == pytest.approx(np.count_nonzero(SICK.lung_mask) * VOXEL_ML)
    assert document["provenance"]["settings"]["given_masks"] == ["lungs"]
    assert document["provenance"]["outlines"]["sop_uid"] is None


def test_lungs_in_the_file_of_outlines_are_measured_against(jcs: CommandLine, case: Case, tmp_path: Path) -> None:
    masks = np.stack([SICK.lesion_mask, SICK.lung_mask], axis=-1).astype(np.uint8)
    path = drawn(case.sources, masks, tmp_path / "both.dcm",
                 labels=[("Opacities", TISSUE, TISSUE), ("Lungs", TISSUE, TISSUE)])  # fmt: skip
    assert jcs("measure", case.study, "--seg", path, "--format", "seg", "-o", tmp_path / "out").code == 0
    document = read(tmp_path / "out")
    assert document["measures"]["lung_volume_ml"] == pytest.approx(np.count_nonzero(SICK.lung_mask) * VOXEL_ML)
    for name in ("lesions", "lungs"):
        written = dcmread(tmp_path / "out" / "dicom" / f"{name}.seg.dcm")
        assert {one.SegmentAlgorithmType for one in written.SegmentSequence} == {"MANUAL"}, name


def test_every_format_is_written_and_valid(jcs: CommandLine, case: Case, edited: Path, tmp_path: Path) -> None:
    formats = ("html", "nifti", "png", "csv", "pdf", "seg", "sr", "pm", "sc")
    chosen = [word for name in formats for word in ("--format", name)]
    out = tmp_path / "out"
    assert jcs("measure", case.study, "--seg", edited, *chosen, "-o", out).code == 0
    files = {path.name for path in out.iterdir()}
    tables = {"slices.csv", "lesions.csv", "measures.csv", "notices.csv"}
    assert files == {*tables, "report.html", "report.pdf", "result.json", "lesions.nii.gz", "lungs.nii.gz", "lesions",
                     "dicom"}, "no activation without a network"  # fmt: skip
    objects = {path.name: path for path in (out / "dicom").iterdir()}
    assert set(objects) >= {*OBJECTS, "report.pdf.dcm", "key-01.sc.dcm"}
    assert "activation.pm.dcm" not in objects
    assert {name: validation_errors(path) for name, path in objects.items()} == {name: [] for name in objects}


def test_no_report_calls_what_was_only_measured_negative(
    jcs: CommandLine, case: Case, edited: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    chosen = ("--format", "html", "--format", "pdf", "--format", "sr")
    assert jcs("measure", case.study, "--seg", edited, *chosen, "-o", out).code == 0
    printed = printed_report(out / "dicom" / "report.sr.dcm")
    (verdict,) = [line for line in printed.splitlines() if "(840539006,SCT," in line]
    assert '(373121007,SCT,"Not Evaluated")' in verdict
    assert "260385009" not in printed, "Negative"
    assert "10828004" not in printed, "Positive"
    assert "measured only: no decision was asked for" in printed
    page = Page((out / "report.html").read_text(encoding="utf-8")).text
    paper = text_of((out / "report.pdf").read_bytes(), tmp_path)
    for text in (page, paper):
        assert "Not assessed" in text
        assert "neither positive nor negative" in text
        assert "none ran: the outlines were given" in text
        assert "Patient probability" not in text
        assert "not infected" not in text
        assert "Mean probability" not in text, "of outlines that nothing was sure or unsure of"
    assert "outlined or edited by a user" in page
    assert "Opacities as given by a user" in paper


def test_who_the_patient_is_can_be_left_out(jcs: CommandLine, case: Case, edited: Path, tmp_path: Path) -> None:
    named = edited.rename(tmp_path / "Phantom^Chest outlines.dcm")
    key = tmp_path / "key"
    key.write_bytes(b"sixteen bytes at least")
    out = tmp_path / "out"
    chosen = [word for name in ("html", "csv", "seg", "sr") for word in ("--format", name)]
    ended = jcs("measure", case.study, "--seg", named, "--result", case.result, *chosen, "--deidentify", "--uid-key",
                key, "-o", out)  # fmt: skip
    assert ended.code == 0, ended
    source = dcmread(case.sources[0])
    private = [str(dcmread(named).SOPInstanceUID), str(source.SeriesInstanceUID), str(source.SOPInstanceUID),
               "PHANTOM-1", "Phantom^Chest", "20200401", "2020-04-01"]  # fmt: skip
    for path in (path for path in out.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert [word for word in private if word.encode() in content] == [], path.name
    document = read(out)
    assert document["provenance"]["outlines"]["file"] is None
    assert document["provenance"]["outlines"]["sop_uid"].startswith("2.25.")
    assert document["verdict"] == "positive"
    for name in OBJECTS:
        assert validation_errors(out / "dicom" / name) == []


def cut(case: Case, folder: Path) -> list[str | Path]:
    path = folder / "cut.dcm"
    path.write_bytes(case.seg.read_bytes()[:2000])
    return ["--seg", path]


def no_segmentation(case: Case, folder: Path) -> list[str | Path]:
    return ["--seg", case.sources[0]]


def missing(case: Case, folder: Path) -> list[str | Path]:
    return ["--seg", folder / "nowhere.dcm"]


def no_result(case: Case, folder: Path) -> list[str | Path]:
    return ["--seg", case.seg, "--result", folder]


def of_another_study(case: Case, folder: Path) -> list[str | Path]:
    document = {**case.document}
    document["input"] = {**document["input"], "digest": "1" * 64}
    (folder / "earlier").mkdir()
    (folder / "earlier" / "result.json").write_text(json.dumps(document), encoding="utf-8")
    return ["--seg", case.seg, "--result", folder / "earlier"]


def damaged_result(case: Case, folder: Path) -> list[str | Path]:
    document = {**case.document, "slices": [{"index": "first"}]}
    (folder / "earlier").mkdir()
    (folder / "earlier" / "result.json").write_text(json.dumps(document), encoding="utf-8")
    return ["--seg", case.seg, "--result", folder / "earlier"]


def key_without_use(case: Case, folder: Path) -> list[str | Path]:
    return ["--seg", case.seg, "--uid-key", case.seg]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (cut, "damaged"),
        (no_segmentation, "expected Segmentation Storage"),
        (missing, "nowhere.dcm"),
        (no_result, "expected a results folder that jcs diagnose wrote"),
        (of_another_study, "the earlier result is of another study"),
        (damaged_result, "is not as its schema says"),
        (key_without_use, "--uid-key is the key of --deidentify"),
    ],
)
def test_what_cannot_be_measured_is_refused_and_leaves_nothing(
    make: Callable[[Case, Path], list[str | Path]], reason: str, jcs: CommandLine, case: Case, tmp_path: Path
) -> None:
    refusal = jcs("measure", case.study, *make(case, tmp_path), "-o", tmp_path / "out").refusal()
    assert reason in refusal
    assert nothing_is_left(tmp_path)


def test_a_refusal_leaves_an_earlier_result_as_it_was(
    jcs: CommandLine, case: Case, edited: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert jcs("measure", case.study, "--seg", edited, *JSON, "-o", out).code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    jcs("measure", case.study, *cut(case, tmp_path), "-o", out).refusal()
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_study_without_lungs_is_not_assessable(jcs: CommandLine, tmp_path: Path) -> None:
    y, x = np.mgrid[:96, :120]
    solid = np.where((y - 48) ** 2 + (x - 60) ** 2 < 40**2, 40, -1000).astype(np.int16)
    body = np.broadcast_to(solid, SICK.shape)
    sources = write_dicom_series(tmp_path / "in", body, spacing=SPACING[1:], positions=[8.0 * k for k in range(24)])
    seg = drawn(sources, SICK.lesion_mask.astype(np.uint8), tmp_path / "drawn.dcm")
    ended = jcs("measure", tmp_path / "in", "--seg", seg, "--segment", "1", *JSON, "-o", tmp_path / "out")
    assert ended.code == 3, ended
    assert ended.out.startswith("not_assessable: no lungs were found to measure opacities against")
    document = read(tmp_path / "out")
    assert document["measures"]["lesion_volume_ml"] is None
    assert document["lesions"] == []


def test_measured_results_are_compared_with_a_remark(
    jcs: CommandLine, case: Case, edited: Path, tmp_path: Path
) -> None:
    assert jcs("measure", case.study, "--seg", edited, *JSON, "-o", tmp_path / "measured").code == 0
    ended = jcs("compare", case.result, tmp_path / "measured", "-o", tmp_path / "change")
    assert ended.code == 0, ended
    change = json.loads((tmp_path / "change" / "follow_up.json").read_text(encoding="utf-8"))
    jsonschema.validate(change, follow_up_schema())
    assert change["total"]["change_ml"] == pytest.approx(-case.document["lesions"][0]["volume_ml"])
    assert change["later"]["verdict"] == "not_assessed"
    assert "outlines-by-hand" in {one["code"] for one in change["notices"]}
    assert "not assessed" in Page((tmp_path / "change" / "follow_up.html").read_text(encoding="utf-8")).text


def test_with_given_lungs_no_library_of_networks_is_loaded(case: Case, edited: Path, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from jcs_ct.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as ended:\n    assert ended.code == 0, ended.code\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}\n"
        "             & {'openvino', 'onnxruntime', 'onnx', 'torch', 'torchvision'}))\n"
    )
    write_nifti(tmp_path / "lungs.nii.gz", SICK.lung_mask.astype(np.uint8), spacing=SPACING)
    arguments = ["measure", str(case.study), "--seg", str(edited), "--result", str(case.result), "--lungs",
                 str(tmp_path / "lungs.nii.gz"), "-o", str(tmp_path / "out")]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert (tmp_path / "out" / "report.html").exists(), "the reports were written with it"
