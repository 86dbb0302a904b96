"""The command line as its users meet it: exit codes, one-line errors, and nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from jcs_ct.reports.follow_up_report import follow_up_schema
from jcs_ct.reports.json_report import result_schema
from tests import phantoms
from tests.opacity_networks import write_weights

EXAMPLES = Path(__file__).parents[1] / "examples"


def jcs(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jcs_ct.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )


def assert_refused(result: subprocess.CompletedProcess[str], out: Path) -> None:
    """Exit code 2, one line on standard error, no traceback, no output."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("jcs: ")
    assert result.stdout == ""
    assert not out.exists()


def test_positive_example_is_diagnosed_and_reported(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = jcs("diagnose", EXAMPLES / "coronacases_001", "-o", out)
    assert result.returncode == 0, result.stderr
    assert result.stderr == "", "no progress bar in a pipe"
    assert result.stdout.startswith("positive: ")
    document = json.loads((out / "result.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, result_schema())
    assert document["verdict"] == "positive"
    assert document["probability"] > 0.5
    assert document["measures"]["lesion_volume_ml"] is None
    assert document["measures"]["lesion_share_of_lung"] > 0.01
    assert document["lesions"]
    assert (out / "report.html").stat().st_size > 10_000
    masks = sorted((out / "lesions").glob("*.png"))
    assert len(masks) == 100
    first = sorted((EXAMPLES / "coronacases_001").glob("*.jpg"))[0]
    with Image.open(masks[0]) as mask, Image.open(first) as picture:
        assert mask.size == picture.size


def test_negative_example_is_diagnosed_in_millimetres(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = jcs("diagnose", EXAMPLES / "lung-pet-ct-dx-A0002", "-o", out)
    assert result.returncode == 0, result.stderr
    document = json.loads((out / "result.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, result_schema())
    assert document["verdict"] == "negative"
    assert document["rule"]["unit"] == "slices by mm"
    assert document["rule"]["threshold"] == pytest.approx(25 / 8, abs=0.01)
    assert 2000 < document["measures"]["lung_volume_ml"] < 8000
    assert {slice_["position_mm"] for slice_ in document["slices"]} != {None}


def test_same_study_gives_the_same_result_twice(tmp_path: Path) -> None:
    documents = []
    for name in ("a", "b"):
        assert jcs("diagnose", EXAMPLES / "lung-pet-ct-dx-A0002", "-o", tmp_path / name).returncode == 0
        document = json.loads((tmp_path / name / "result.json").read_text(encoding="utf-8"))
        document.pop("timing_s")
        documents.append(document)
    assert documents[0] == documents[1]


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert_refused(jcs("diagnose", tmp_path / "in", "-o", tmp_path / "out"), tmp_path / "out")


def test_missing_input_is_refused(tmp_path: Path) -> None:
    assert_refused(jcs("diagnose", tmp_path / "nowhere", "-o", tmp_path / "out"), tmp_path / "out")


def test_text_file_named_dcm_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "note.dcm"
    source.write_text("not an image\n", encoding="utf-8")
    assert_refused(jcs("diagnose", source, "-o", tmp_path / "out"), tmp_path / "out")


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    whole = sorted((EXAMPLES / "lung-pet-ct-dx-A0002").glob("*"))[0].read_bytes()
    source = tmp_path / "cut.dcm"
    source.write_bytes(whole[: len(whole) // 3])
    assert_refused(jcs("diagnose", source, "-o", tmp_path / "out"), tmp_path / "out")


def test_nifti_of_wrong_rank_is_refused(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    source = tmp_path / "flat.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((64, 64), np.int16), np.eye(4)), source)
    assert_refused(jcs("diagnose", source, "-o", tmp_path / "out"), tmp_path / "out")


def test_colour_photograph_is_not_assessable(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    smooth = random.integers(0, 255, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(smooth).resize((640, 480)).save(tmp_path / "holiday.jpg")
    result = jcs("diagnose", tmp_path / "holiday.jpg", "-o", tmp_path / "out")
    assert result.returncode == 3
    assert "Traceback" not in result.stderr
    document = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, result_schema())
    assert document["verdict"] == "not_assessable"
    assert "colour-pictures" in {one["code"] for one in document["notices"] if one["reason"]}


def test_single_slice_is_not_assessable_but_shown(tmp_path: Path) -> None:
    source = sorted((EXAMPLES / "coronacases_001").glob("*.jpg"))[40]
    result = jcs("diagnose", source, "-o", tmp_path / "out")
    assert result.returncode == 3, result.stderr
    document = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert document["verdict"] == "not_assessable"
    assert document["probability"] is None
    assert document["slices"][0]["probability"] is not None


def test_everything_malformed_ends_in_one_line_or_not_assessable(tmp_path: Path, shared_data: Path) -> None:
    files = sorted((shared_data / "dicom" / "malformed").iterdir())
    assert files
    for file in files:
        out = tmp_path / file.stem
        result = jcs("diagnose", file, "-o", out)
        if result.returncode == 3:
            assert json.loads((out / "result.json").read_text(encoding="utf-8"))["notices"]
        else:
            assert_refused(result, out)


def test_sagittal_series_is_not_assessable_with_the_reason(tmp_path: Path, shared_data: Path) -> None:
    result = jcs("diagnose", shared_data / "dicom" / "ricord-000906-sagittal", "-o", tmp_path / "out")
    assert result.returncode == 3, result.stderr
    assert "sagittal" in result.stdout


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(Path(__file__).parents[1] / "src" / "jcs_ct" / "weights", weights)
    with (weights / "segmenter.int8.bin").open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"\0\0\0\0")
    result = jcs("diagnose", EXAMPLES / "lung-pet-ct-dx-A0002", "-o", tmp_path / "out", "--weights", weights)
    assert_refused(result, tmp_path / "out")
    assert "SHA-256" in result.stderr


def test_info_lists_series_and_why_they_are_left_out(tmp_path: Path) -> None:
    phantom = phantoms.ChestPhantom(shape=(8, 64, 64), spacing=(20.0, 5.2, 5.2))
    phantoms.write_dicom_series(tmp_path / "in" / "a", phantom.hu, series=1)
    phantoms.write_dicom_series(tmp_path / "in" / "b", phantom.hu, series=2, orientation=(0, 1, 0, 0, 0, -1))
    result = jcs("info", tmp_path / "in")
    assert result.returncode == 0, result.stderr
    assert 'read      "Series 1": CT, 8 images, axial, 64 x 64, 5 mm thick' in result.stdout
    assert "why: the series is sagittal; axial slices are needed" in result.stdout
    document = json.loads(jcs("info", tmp_path / "in", "--json").stdout)
    assert [series["chosen"] for series in document["series"]] == [True, False]
    wanted = document["series"][1]["series_uid"]
    out = tmp_path / "out"
    overruled = jcs("diagnose", tmp_path / "in", "-o", out, "--series-uid", wanted)
    assert overruled.returncode == 3, overruled.stderr
    assert "sagittal" in overruled.stdout
    assert_refused(jcs("diagnose", tmp_path / "in", "-o", tmp_path / "no", "--series-uid", "1.2.3"), tmp_path / "no")


def test_info_of_other_inputs_tells_what_they_hold(tmp_path: Path) -> None:
    phantom = phantoms.ChestPhantom(shape=(8, 64, 64), spacing=(20.0, 5.2, 5.2))
    phantoms.write_nifti(tmp_path / "ct.nii.gz", phantom.hu)
    document = json.loads(jcs("info", tmp_path / "ct.nii.gz", "--json").stdout)
    assert (document["kind"], document["study"]["slices"], document["series"]) == ("nifti", 8, [])
    assert jcs("info", tmp_path / "ct.nii.gz").stdout.startswith("nifti: intensity HU, slices 8")
    assert_refused(jcs("info", tmp_path / "nowhere"), tmp_path / "out")


def test_what_is_known_is_streamed_as_soon_as_it_is(tmp_path: Path) -> None:
    phantom = phantoms.ChestPhantom.infected(shape=(48, 128, 128), spacing=(4.0, 2.6, 2.6))
    phantoms.write_dicom_series(tmp_path / "in", phantom.hu, positions=[4.0 * z for z in range(48)])
    weights = write_weights(tmp_path / "weights")
    result = jcs(
        "diagnose", tmp_path / "in", "-o", tmp_path / "out", "--weights", weights, "--stream", "--format", "csv"
    )
    assert result.returncode == 0, result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[:2] == ["stage", "first_look"], "before the rest is read"
    assert kinds[-1] == "result"
    assert kinds.count("first_look") == 1
    look, last = events[1], events[-1]
    assert look["provisional"] is True
    assert look["seen"] == 16
    assert 0 < look["infected"] <= look["assessed"] <= 16
    assert last["verdict"] == json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))["verdict"]
    assert [event["seconds"] for event in events] == sorted(event["seconds"] for event in events)


def test_phantom_without_lesions_is_not_positive(tmp_path: Path) -> None:
    phantom = phantoms.ChestPhantom.healthy()
    phantoms.write_nifti(tmp_path / "healthy.nii.gz", phantom.hu)
    result = jcs("diagnose", tmp_path / "healthy.nii.gz", "-o", tmp_path / "out")
    assert result.returncode in (0, 3), result.stderr
    assert not result.stdout.startswith("positive")


@pytest.fixture
def chest(tmp_path: Path) -> tuple[Path, Path]:
    """A DICOM series of an infected phantom, and networks that see its ground glass."""
    phantom = phantoms.ChestPhantom.infected()
    phantoms.write_dicom_series(tmp_path / "in", phantom.hu, positions=[place + 100 for place in phantom.positions])
    return tmp_path / "in", write_weights(tmp_path / "weights")


def test_formats_are_chosen_one_by_one(chest: tuple[Path, Path], tmp_path: Path) -> None:
    study, weights = chest
    out = tmp_path / "out"
    result = jcs("diagnose", study, "-o", out, "--weights", weights, "--format", "csv", "--format", "sr")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert result.stdout.strip().endswith(str(out / "result.json"))
    assert {path.name for path in out.iterdir()} == {
        "result.json",
        "slices.csv",
        "lesions.csv",
        "measures.csv",
        "notices.csv",
        "dicom",
    }
    assert {path.name for path in (out / "dicom").iterdir()} == {"report.sr.dcm", "lesions.seg.dcm", "lungs.seg.dcm"}
    document = json.loads((out / "result.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, result_schema())
    assert [lung["name"] for lung in document["measures"]["lungs"]] == ["right", "left"]
    assert document["lesions"][0]["zone"].startswith("left"), (
        "the ground glass; the consolidation is not what these networks see"
    )


def test_deidentified_results_name_nobody(chest: tuple[Path, Path], tmp_path: Path) -> None:
    study, weights = chest
    (tmp_path / "key").write_bytes(b"sixteen bytes it is")
    options = ["--deidentify", "--uid-key", str(tmp_path / "key")]
    result = jcs("diagnose", study, "-o", tmp_path / "out", "--weights", weights, *options)
    assert result.returncode == 0, result.stderr
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) == 8
    for path in written:
        assert b"PHANTOM-1" not in path.read_bytes(), path.name
        assert phantoms.UID_ROOT.encode() not in path.read_bytes(), path.name


@pytest.mark.parametrize("option", ["seg", "sr", "pm", "sc"])
def test_dicom_results_of_a_nifti_file_are_refused_at_once(option: str, tmp_path: Path) -> None:
    phantoms.write_nifti(tmp_path / "ct.nii.gz", phantoms.ChestPhantom.healthy().hu)
    result = jcs("diagnose", tmp_path / "ct.nii.gz", "-o", tmp_path / "out", "--format", option)
    assert_refused(result, tmp_path / "out")
    assert "expected a DICOM series" in result.stderr


def test_key_without_deidentification_is_refused(tmp_path: Path) -> None:
    result = jcs("diagnose", tmp_path, "-o", tmp_path / "out", "--uid-key", tmp_path / "key")
    assert_refused(result, tmp_path / "out")


def test_evaluate_prints_json(shared_data: Path) -> None:
    result = jcs("evaluate", "segmentation", "--data", shared_data / "covid-19-ct100", "--split", "val", "--json")
    assert result.returncode == 0, result.stderr
    (trial,) = json.loads(result.stdout)
    assert trial["source"] == "covid-19-ct100"
    assert 0 < trial["figures"]["dice_per_image"] <= 1


def test_evaluate_refuses_a_folder_without_sources(tmp_path: Path) -> None:
    result = jcs("evaluate", "classification", "--data", tmp_path)
    assert_refused(result, tmp_path / "out")


def diagnose_phantom(tmp_path: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    """Diagnose a phantom with small networks at the boundary, given masks of whatever is in `options`."""
    phantoms.write_nifti(tmp_path / "ct.nii.gz", SICK.hu)
    weights = write_weights(tmp_path / "weights")
    return jcs("diagnose", tmp_path / "ct.nii.gz", "-o", tmp_path / "out", "--weights", weights, *options)


SICK = phantoms.ChestPhantom(lesions=(phantoms.Lesion((0.0, 5.0, 62.0), (30.0, 26.0, 26.0)),))


def test_given_lungs_and_lobes_are_measured_against(tmp_path: Path) -> None:
    upper = np.broadcast_to((np.arange(40) >= 20)[:, None, None], SICK.shape)
    right = np.broadcast_to(np.arange(128) < 64, SICK.shape)
    lobes = np.where(right, np.where(upper, 3, 5), np.where(upper, 1, 2)).astype(np.uint8)
    lobes[~SICK.lung_mask] = 0
    phantoms.write_nifti(tmp_path / "lobes.nii.gz", lobes, axcodes="LPS")
    phantoms.write_nifti(tmp_path / "lungs.nii.gz", SICK.lung_mask.astype(np.uint8))
    given = ("--lungs", tmp_path / "lungs.nii.gz", "--lobes", tmp_path / "lobes.nii.gz")
    result = diagnose_phantom(tmp_path, *given)
    assert result.returncode == 0, result.stderr
    document = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, result_schema())
    measures = document["measures"]
    assert measures["lung_volume_ml"] == pytest.approx(SICK.lung_mask.sum() * 5 * 2.6 * 2.6 / 1000)
    assert measures["severity"]["basis"] == "lobes"
    volumes = {lobe["name"]: lobe["lesion_volume_ml"] for lobe in measures["lobes"]}
    assert volumes["left upper lobe"] == pytest.approx(SICK.lesion_ml / 2, rel=0.15)
    assert volumes["left lower lobe"] == pytest.approx(SICK.lesion_ml / 2, rel=0.15)
    assert volumes["right upper lobe"] == volumes["right lower lobe"] == 0
    assert document["provenance"]["settings"]["given_masks"] == ["lungs", "lobes"]


def test_a_lung_mask_on_another_grid_is_refused(tmp_path: Path) -> None:
    phantoms.write_nifti(tmp_path / "lungs.nii.gz", SICK.lung_mask[1:].astype(np.uint8))
    result = diagnose_phantom(tmp_path, "--lungs", tmp_path / "lungs.nii.gz")
    assert_refused(result, tmp_path / "out")
    assert "on the study's own grid" in result.stderr


def test_two_results_are_compared(tmp_path: Path) -> None:
    assert diagnose_phantom(tmp_path).returncode == 0
    result = jcs("compare", tmp_path / "out", tmp_path / "out", "-o", tmp_path / "change")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("opacities 0 mL")
    jsonschema.validate(json.loads((tmp_path / "change" / "follow_up.json").read_text()), follow_up_schema())


def test_a_folder_without_a_result_is_not_compared(tmp_path: Path) -> None:
    assert_refused(jcs("compare", tmp_path, tmp_path, "-o", tmp_path / "change"), tmp_path / "change")
