"""The page in a real browser: opacities corrected, results signed, and all of it saved."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from playwright.sync_api import expect

from tests.service.browser import Visit
from tests.service.client import Service, handed_in


def texts(dataset: pydicom.Dataset) -> set[str]:
    """All texts of a structured report."""
    return {str(element.value) for element in dataset.iterall() if element.keyword == "TextValue"}


def test_a_correction_is_measured_at_once_and_saved(visit: Visit, phantoms: Service, tmp_path: Path) -> None:
    job = handed_in(phantoms, "dicom", tmp_path)["id"]
    visit.open_study(job)
    page = visit.page
    before = phantoms.http.get(f"/jobs/{job}/result").json()["measures"]["lesion_volume_ml"]
    page.get_by_role("button", name="Correct").click()
    assert visit.live_ml == pytest.approx(before, abs=0.06)

    visit.drag((0.12, 0.35), (0.16, 0.42))
    painted = visit.live_ml
    assert painted > before + 1
    assert "(+" in visit.live
    visit.shoot("painted")
    page.keyboard.press("Control+z")
    assert visit.live_ml == pytest.approx(before, abs=0.06)
    page.keyboard.press("Control+y")
    assert visit.live_ml == painted
    page.get_by_role("button", name="Delete opacity 2").click()
    without = visit.live_ml
    assert without < painted
    page.get_by_role("button", name="Go to opacity 1").click()
    page.get_by_role("button", name="Erase").click()
    page.keyboard.press("Space")  # at the cross-hair, which is in the opacity
    edited = visit.live_ml
    assert edited < without
    share = visit.live.rsplit(" · ", 1)[1]

    page.get_by_role("button", name="Save").click()
    expect(page.locator(".toast.fine")).to_be_visible(timeout=60_000)
    result = phantoms.http.get(f"/jobs/{job}/result").json()
    assert result["measures"]["lesion_volume_ml"] == pytest.approx(edited, abs=0.06)
    assert visit.live_ml == edited
    assert visit.live.endswith(share)
    assert "as saved" in visit.live
    assert len(result["lesions"]) == 2  # the one that was drawn, and the rest of the first
    expect(page.locator("#signature")).to_have_text("corrected, not signed")
    visit.shoot("saved")


def test_a_study_is_signed_and_its_objects_downloaded(visit: Visit, phantoms: Service, tmp_path: Path) -> None:
    job = handed_in(phantoms, "dicom", tmp_path)["id"]
    visit.open_study(job)
    page = visit.page
    page.get_by_role("button", name="Sign off…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Sign").click()
    expect(dialog).to_be_visible()  # nothing was chosen yet
    dialog.get_by_label("Reject").check()
    dialog.get_by_label("Comment").fill("A vessel, <b>not</b> an opacity.")
    visit.shoot("sign-off")
    dialog.get_by_role("button", name="Sign").click()
    expect(page.locator("#signature")).to_contain_text("Rejected by local", timeout=60_000)
    page.get_by_role("tab", name="Decision").click()
    expect(page.get_by_role("table", name="Revisions")).to_contain_text("A vessel, <b>not</b> an opacity.")

    page.get_by_role("button", name="Download").click()
    link = page.get_by_role("table", name="Files").get_by_role("link")
    report = pydicom.dcmread(visit.download(link.filter(has_text="report.sr.dcm"), tmp_path))
    assert report.Modality == "SR"
    assert "A vessel, <b>not</b> an opacity." in texts(report)
    segmentation = pydicom.dcmread(visit.download(link.filter(has_text="lesions.seg.dcm"), tmp_path))
    assert segmentation.Modality == "SEG"
    archive = visit.download(page.get_by_role("link", name="as a zip"), tmp_path)
    assert archive.stat().st_size > 10_000


def test_edits_are_not_lost_by_leaving(visit: Visit, study: str) -> None:
    visit.open_study(study)
    page = visit.page
    page.keyboard.press("e")
    page.locator(".edit-bar").wait_for()
    page.get_by_role("button", name="Erase").click()
    page.keyboard.press("Space")
    page.get_by_role("link", name="‹ Worklist").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep").click()
    assert "/study/" in page.url
    page.get_by_role("button", name="Sign off…").click()
    expect(page.locator(".toast")).to_contain_text("Save or undo the edits first")
    page.get_by_role("link", name="‹ Worklist").click()
    page.get_by_role("dialog").get_by_role("button", name="Throw away").click()
    expect(page.locator("h1")).to_have_text("Worklist")


def test_of_two_who_correct_at_a_time_the_second_is_told(visit: Visit, phantoms: Service, tmp_path: Path) -> None:
    job = handed_in(phantoms, "nifti", tmp_path)["id"]
    visit.open_study(job)
    visit.page.get_by_role("button", name="Correct").click()
    visit.page.get_by_role("button", name="Delete opacity 2").click()
    said = {"judgement": "accepted", "comment": "", "parent": 0}
    phantoms.http.post(f"/jobs/{job}/sign-off", json=said).raise_for_status()
    expect(visit.page.locator(".toast", has_text="newer state")).to_be_visible()
    visit.page.get_by_role("button", name="Save").click()
    expect(visit.page.locator(".toast", has_text="Your edits are still here")).to_be_visible(timeout=60_000)
