"""Results corrected, signed off and compared over HTTP."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pydicom
import pytest

from jcs_ct.reports.follow_up_report import follow_up_schema
from jcs_ct.reports.json_report import result_schema
from tests.jobs.finished import PHANTOM
from tests.service.client import Service, handed_in

jsonschema = pytest.importorskip("jsonschema")

HALF = PHANTOM.lesion_mask.copy()
HALF[:, :, HALF.shape[2] // 2 :] = False


def packed(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> bytes:
    return gzip.compress(mask.astype(np.uint8).tobytes(), 1)


def test_a_correction_is_measured_and_a_sign_off_gets_into_the_report(phantoms: Service, tmp_path: Path) -> None:
    job = handed_in(phantoms, "dicom", tmp_path)["id"]
    before = phantoms.http.get(f"/jobs/{job}/result").json()
    assert before["measures"]["lesion_volume_ml"] == pytest.approx(PHANTOM.lesion_ml, rel=0.1)
    corrected = phantoms.http.put(f"/jobs/{job}/outlines?parent=0", content=packed(HALF)).json()
    assert corrected["revision"] == 1
    share = HALF.sum() / PHANTOM.lesion_mask.sum()
    after = corrected["result"]["measures"]["lesion_volume_ml"]
    assert after == pytest.approx(share * before["measures"]["lesion_volume_ml"])
    assert phantoms.http.get(f"/jobs/{job}").json()["summary"]["lesion_volume_ml"] == pytest.approx(after)

    said = {"judgement": "accepted", "comment": "Left opacity is a vessel.", "parent": 1}
    signed = phantoms.http.post(f"/jobs/{job}/sign-off", json=said).json()
    assert signed["revision"] == 2
    jsonschema.validate(signed["result"], result_schema())
    shown = phantoms.http.get(f"/jobs/{job}").json()
    assert (shown["revision"], shown["signed"]) == (2, "accepted")
    history = phantoms.http.get(f"/jobs/{job}/revisions").json()
    assert [each["kind"] for each in history] == ["diagnosis", "correction", "sign_off"]
    assert [each["parent"] for each in history] == [None, 0, 1]
    assert (history[2]["by"], history[2]["comment"]) == ("local", said["comment"])

    report = phantoms.http.get(f"/jobs/{job}/files/dicom/report.sr.dcm").content
    (tmp_path / "report.dcm").write_bytes(report)
    assert pydicom.dcmread(tmp_path / "report.dcm").VerificationFlag == "VERIFIED"
    unsigned = phantoms.http.get(f"/jobs/{job}/files/dicom/report.sr.dcm?revision=1").content
    assert unsigned != report


def test_of_two_changes_of_one_revision_the_second_is_refused(phantoms: Service, tmp_path: Path) -> None:
    job = handed_in(phantoms, "nifti", tmp_path)["id"]
    said = {"judgement": "rejected", "comment": "", "parent": 0}
    assert phantoms.http.post(f"/jobs/{job}/sign-off", json=said).status_code == 200
    for answer in (
        phantoms.http.post(f"/jobs/{job}/sign-off", json=said),
        phantoms.http.put(f"/jobs/{job}/outlines?parent=0", content=packed(HALF)),
    ):
        assert (answer.status_code, answer.headers["Content-Type"]) == (409, "application/problem+json")
    view = phantoms.http.get(f"/jobs/{job}/view").json()
    assert (view["revision"], view["layers"]["lesions"]) == (1, f"/api/v1/jobs/{job}/view/lesions.nii.gz?revision=1")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"no gzip", "damaged"),
        (packed(HALF)[:-9], "damaged"),
        (packed(HALF[1:]), "fewer bytes"),
        (gzip.compress(bytes(50_000_000)), "more bytes"),
        (gzip.compress(b"\2" * HALF.size), "the value 2"),
    ],
)
def test_outlines_that_do_not_fit_are_refused(phantoms: Service, tmp_path: Path, content: bytes, found: str) -> None:
    job = handed_in(phantoms, "nifti", tmp_path)["id"]
    answer = phantoms.http.put(f"/jobs/{job}/outlines?parent=0", content=content)
    assert answer.status_code == 422
    assert found in answer.json()["detail"]
    assert str(phantoms.store) not in answer.text
    assert phantoms.http.get(f"/jobs/{job}").json()["revision"] == 0


def test_changes_of_a_result_are_told(phantoms: Service, tmp_path: Path) -> None:
    job = handed_in(phantoms, "nifti", tmp_path)["id"]
    with phantoms.http.stream("GET", f"/jobs/{job}/events") as stream:
        lines = stream.iter_lines()
        next(lines)
        said = {"judgement": "accepted", "comment": "", "parent": 0}
        assert phantoms.http.post(f"/jobs/{job}/sign-off", json=said).status_code == 200
        for line in lines:
            if line.startswith("data: ") and '"signed":"accepted"' in line:
                break


def test_studies_of_a_patient_are_found_and_compared(phantoms: Service, tmp_path: Path) -> None:
    jobs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        jobs.append(handed_in(phantoms, "dicom", tmp_path / name)["id"])
    other = handed_in(phantoms, "nifti", tmp_path)["id"]
    phantoms.http.put(f"/jobs/{jobs[1]}/outlines?parent=0", content=packed(HALF)).raise_for_status()
    found = {each["id"] for each in phantoms.http.get(f"/jobs/{jobs[1]}/earlier").json()}
    assert jobs[0] in found
    assert not found & {jobs[1], other}
    answer = phantoms.http.get(f"/jobs/{jobs[1]}/comparison", params={"earlier": jobs[0]}).json()
    jsonschema.validate(answer, follow_up_schema())
    assert answer["total"]["change_ml"] < 0
