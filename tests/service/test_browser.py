"""The page in a real browser, before a service whose model is always right: real clicks, keys and files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from playwright.sync_api import Browser, Route, expect, sync_playwright

from jcs_ct.service.app import VIEWER
from jcs_ct.service.users import add_user
from tests.jobs.finished import PHANTOM, SPACING, write_study
from tests.jobs.stores import quick
from tests.phantoms import write_dicom_series
from tests.service.browser import TABLET, WIDE, Visit, open_browser, shots_folder, visiting
from tests.service.client import Running, Service, handed_in, orders, zipped

VOXEL_ML = float(np.prod(SPACING)) / 1000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = open_browser(playwright)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Browser, phantoms: Service, tmp_path: Path) -> Iterator[Visit]:
    with visiting(browser, phantoms.address, shots_folder(tmp_path / "shots")) as opened:
        yield opened


@pytest.fixture(scope="module")
def study(phantoms: Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A DICOM study that tests only look at."""
    return str(handed_in(phantoms, "dicom", tmp_path_factory.mktemp("study"))["id"])


def phantom_zip(folder: Path, name: str = "chest.zip", padding: int = 0) -> Path:
    source = write_study("dicom", folder / "source")
    files = {path.name: path.read_bytes() for path in source.iterdir()}
    if padding:
        files["notes.txt"] = np.random.default_rng(0).bytes(padding)
    target = folder / name
    target.write_bytes(zipped(files))
    return target


def coloured(path: Path, box: tuple[float, float, float, float]) -> int:
    """Orange pixels (the chosen opacity) within a part of a picture, in shares of it."""
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    height, width = picture.shape[:2]
    part = picture[int(box[1] * height) : int(box[3] * height), int(box[0] * width) : int(box[2] * width)]
    red, green, blue = part[..., 0], part[..., 1], part[..., 2]
    return int(((red > blue + 60) & (red > green + 20)).sum())


def texts(dataset: pydicom.Dataset) -> set[str]:
    """All texts of a structured report."""
    return {str(element.value) for element in dataset.iterall() if element.keyword == "TextValue"}


# ------------------------------------------------------------------------------------------ handing in, opening


def test_a_zip_is_handed_in_and_its_result_opened(visit: Visit, tmp_path: Path) -> None:
    visit.open()
    assert "Research use only" in visit.page.locator("header").inner_text()
    rows = visit.page.locator("tbody tr")
    before = rows.count()
    visit.choose_files(phantom_zip(tmp_path))
    expect(rows).to_have_count(before + 1)
    row = rows.first
    expect(row).to_contain_text("Positive", timeout=60_000)  # told by an event: nothing loads the page again
    expect(row).to_contain_text("Phantom Chest")
    expect(row).to_contain_text("2020-04-01")
    visit.shoot("worklist")
    row.get_by_role("link").click()
    visit.images()
    assert re.fullmatch(r"/study/[0-9a-f]{32}", visit.page.evaluate("location.pathname"))
    expect(visit.page.locator("h1")).to_have_text("Phantom Chest")
    visit.page.go_back()
    expect(visit.page.locator("h1")).to_have_text("Worklist")


def test_a_large_file_goes_on_after_an_interruption(visit: Visit, tmp_path: Path) -> None:
    parts: list[str] = []

    def interrupt(route: Route) -> None:
        if route.request.method == "PATCH":
            parts.append(route.request.headers["upload-offset"])
            if len(parts) == 2:
                route.abort()
                return
        route.continue_()

    visit.page.route("**/api/v1/uploads/*", interrupt)
    visit.open()
    visit.choose_files(phantom_zip(tmp_path, "large.zip", padding=26 * 2**20))
    with visit.page.expect_response(lambda answer: "jcs-job" in answer.headers, timeout=60_000) as last:
        pass
    row = visit.page.locator(f"tr[data-id='{last.value.headers['jcs-job']}']")
    expect(row).to_contain_text("Positive", timeout=60_000)
    eight = 8 * 2**20
    assert parts == [str(n * eight) for n in (0, 1, 1, 2, 3)]


def test_what_is_refused_is_told_and_can_be_tried_again(visit: Visit, tmp_path: Path) -> None:
    empty = tmp_path / "nothing.zip"
    empty.write_bytes(b"PK\5\6" + bytes(18))
    visit.open()
    visit.choose_files(empty)
    line = visit.page.locator(".transfers li", has_text="nothing.zip").or_(visit.page.locator("tbody tr", has_text="nothing.zip")).first
    expect(line).to_contain_text(re.compile("empty|no |nothing|Failed", re.IGNORECASE), timeout=30_000)


def test_a_waiting_study_is_cancelled_and_deleted(browser: Browser, tmp_path: Path) -> None:
    with (
        Running(tmp_path, quick(tmp_path)) as service,
        visiting(browser, service.address, shots_folder(tmp_path / "shots")) as visit,
    ):
        visit.open()
        service.hand_in(("slow.json", orders(key="slow", steps=400, step_s=0.05)))
        row = visit.page.locator("tbody tr", has_text="slow.json")
        expect(row.locator("progress")).to_have_attribute("max", "400")  # running, with the steps of its stage
        visit.shoot("progress")
        row.get_by_role("button", name="Cancel").click()
        expect(row).to_contain_text("Cancelled")
        row.get_by_role("button", name="Delete").click()
        visit.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(row).to_have_count(0)


# ------------------------------------------------------------------------------------------ looking


def test_what_is_seen_lies_where_it_is(visit: Visit, study: str) -> None:
    visit.open_study(study)
    table = visit.page.get_by_role("table", name="Opacities")
    table.get_by_role("button", name="Go to opacity 1").click()
    first = visit.shoot("opacity")
    # The larger opacity of the phantom is in the left lung, which is on the right of an axial picture.
    left, right = coloured(first, (0, 0.2, 0.22, 0.85)), coloured(first, (0.22, 0.2, 0.43, 0.85))
    assert right > 50 > left
    assert "−550 HU" in visit.readout  # ground glass, from the very voxel that is shown
    assert "opacity 1" in visit.readout
    table.get_by_role("button", name="Go to opacity 2").click()
    second = visit.shoot("second-opacity")
    assert coloured(second, (0, 0.2, 0.22, 0.85)) > 50 > coloured(second, (0.22, 0.2, 0.43, 0.85))
    assert "0 HU" in visit.readout


def test_slices_move_by_mouse_keys_slider_and_strip(visit: Visit, study: str) -> None:
    visit.open_study(study)
    start = visit.slice()
    visit.page.mouse.move(*visit.point((0.2, 0.5)))
    visit.page.mouse.wheel(0, -100)
    expect(visit.axial).to_have_value(str(start + 1))  # up the wheel: to the head
    visit.page.keyboard.press("j")
    visit.page.keyboard.press("PageDown")
    expect(visit.axial).to_have_value(str(start - 1))
    strip = visit.page.get_by_role("slider", name="Axial slice, with the probability")
    box = strip.bounding_box()
    assert box is not None
    visit.page.mouse.click(box["x"] + box["width"] * 20.5 / 24, box["y"] + 10)
    assert visit.slice() == 21
    strip.press("End")
    assert visit.slice() == 24
    assert "slice 24 of 24" in (strip.get_attribute("aria-valuetext") or "")
    visit.page.get_by_label("coronal slice").fill("10")
    expect(visit.page.locator(".pane-label", has_text="Coronal")).to_contain_text("10 / 96")
    visit.drag((0.1, 0.4), (0.2, 0.5))
    expect(visit.page.locator(".pane-label", has_text="Coronal")).not_to_contain_text("10 / 96")


def test_windows_and_overlays_change_the_picture(visit: Visit, study: str) -> None:
    visit.open_study(study)
    visit.page.get_by_role("button", name="Go to opacity 1").click()
    with_overlay = coloured(visit.shoot("overlay"), (0, 0.2, 0.43, 0.85))
    visit.page.get_by_label("Opacities", exact=False).and_(visit.page.locator("input[type=checkbox]")).uncheck()
    assert coloured(visit.shoot("no-overlay"), (0, 0.2, 0.43, 0.85)) == 0 < with_overlay
    grey = np.asarray(Image.open(visit.shots / "no-overlay.png").convert("L"))[250:550, 60:500].mean()
    visit.page.get_by_role("button", name="Mediastinum").click()
    expect(visit.page.locator(".pane-label", has_text="Axial")).to_contain_text("W 400 L 40")
    visit.page.wait_for_timeout(500)  # pictures have no event to wait for
    narrow = np.asarray(Image.open(visit.shoot("mediastinum")).convert("L"))[250:550, 60:500].mean()
    assert narrow < grey - 5  # lungs are black in a window of soft tissue
    visit.page.get_by_label("Window width").fill("350")
    visit.page.get_by_label("Window width").press("Enter")
    expect(visit.page.locator(".pane-label", has_text="Axial")).to_contain_text("W 350 L 40")
    visit.drag((0.2, 0.5), (0.3, 0.5), button="right")
    expect(visit.page.locator(".pane-label", has_text="Axial")).not_to_contain_text("W 350")
    visit.page.keyboard.press("q")
    expect(visit.page.locator(".pane-label")).to_have_count(1)


def test_the_panels_tell_what_the_result_holds(visit: Visit, phantoms: Service, study: str) -> None:
    result = phantoms.http.get(f"/jobs/{study}/result").json()
    visit.open_study(study)
    page = visit.page
    page.get_by_role("tab", name="Measures").click()
    zones = page.get_by_role("table", name="Zones")
    assert zones.locator("tbody tr").count() == len(result["measures"]["zones"])
    expect(page.get_by_role("tabpanel")).to_contain_text(f"{result['measures']['severity']['total']} / 25")
    page.get_by_role("tab", name="Decision").click()
    for reason in (*result["reasons"], *result["warnings"]):
        expect(page.get_by_role("tabpanel")).to_contain_text(reason)
    page.get_by_role("tab", name="Compare").click()
    expect(page.get_by_role("tabpanel")).to_contain_text(re.compile("No other study|Compare with"))
    visit.shoot("compare")


def test_an_earlier_study_of_the_patient_is_compared(visit: Visit, phantoms: Service, study: str, tmp_path: Path) -> None:
    job = handed_in(phantoms, "dicom", tmp_path)["id"]
    visit.open_study(job)
    visit.page.get_by_role("tab", name="Compare").click()
    visit.page.get_by_label("Compare with").select_option(study)
    table = visit.page.get_by_role("table", name="Change by region")
    expect(table.locator("tbody tr").first).to_contain_text("Both lungs")
    visit.page.get_by_role("link", name="Open that study").click()
    visit.images()
    assert visit.page.evaluate("location.pathname") == f"/study/{study}"


# ------------------------------------------------------------------------------------------ correcting, signing


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


def test_of_two_who_correct_at_a_time_the_second_is_told(
    visit: Visit, browser: Browser, phantoms: Service, tmp_path: Path
) -> None:
    job = handed_in(phantoms, "nifti", tmp_path)["id"]
    visit.open_study(job)
    visit.page.get_by_role("button", name="Correct").click()
    visit.page.get_by_role("button", name="Delete opacity 2").click()
    said = {"judgement": "accepted", "comment": "", "parent": 0}
    phantoms.http.post(f"/jobs/{job}/sign-off", json=said).raise_for_status()
    expect(visit.page.locator(".toast", has_text="newer state")).to_be_visible()
    visit.page.get_by_role("button", name="Save").click()
    expect(visit.page.locator(".toast", has_text="Your edits are still here")).to_be_visible(timeout=60_000)


# ------------------------------------------------------------------------------------------ for everybody


def test_the_whole_way_works_without_a_mouse(visit: Visit, phantoms: Service, tmp_path: Path) -> None:
    job = handed_in(phantoms, "dicom", tmp_path)["id"]
    visit.open()
    page = visit.page
    page.locator(f"tr[data-id='{job}']").wait_for()
    while page.locator("tr.current").get_attribute("data-id") != job if page.locator("tr.current").count() else True:
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    visit.images()
    for key in ("n", "e"):
        page.keyboard.press(key)
    page.locator(".edit-bar").wait_for()
    before = visit.live_ml
    for key in ("r", "]", "Space"):
        page.keyboard.press(key)
    assert visit.live_ml < before
    page.keyboard.press("Control+s")
    expect(page.locator("#live-measures")).to_contain_text("as saved", timeout=60_000)
    page.keyboard.press("o")
    page.get_by_role("radio", name="Accept").press("Space")
    page.keyboard.press("Tab")
    page.keyboard.type("By keys alone.")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#signature")).to_contain_text("Accepted", timeout=60_000)
    result = phantoms.http.get(f"/jobs/{job}/result").json()
    assert result["review"]["comment"] == "By keys alone."


def test_shortcuts_of_one_letter_can_be_switched_off(visit: Visit, study: str) -> None:
    visit.open_study(study)
    page = visit.page
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("next opacity")
    page.get_by_role("checkbox", name="Use shortcuts of a single key").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("q")
    expect(page.locator(".pane-label")).to_have_count(3)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Help").click()
    expect(page.get_by_role("dialog")).to_be_visible()


@pytest.mark.parametrize("size", [WIDE, TABLET], ids=["1366x768", "768x1024"])
def test_accessibility_and_size(
    browser: Browser, phantoms: Service, study: str, tmp_path: Path, size: tuple[int, int]
) -> None:
    name = f"{size[0]}x{size[1]}"
    with visiting(browser, phantoms.address, shots_folder(tmp_path / "shots"), size) as visit:
        page = visit.page
        visit.open()
        page.locator("tbody tr").first.wait_for()
        visit.shoot(f"worklist-{name}")
        found = visit.violations()
        visit.open_study(study)
        for tab in ("lesions", "measures", "decision", "compare", "files"):
            page.locator(f"#tab-{tab}").click()
            page.wait_for_timeout(200)
            found += visit.violations()
            visit.shoot(f"{tab}-{name}")
        page.get_by_role("button", name="Correct").click()
        page.keyboard.press("Space")
        found += visit.violations()
        visit.shoot(f"editing-{name}")
        page.keyboard.press("Control+z")
        page.get_by_role("button", name="Sign off…").click()
        found += visit.violations()
        assert not found
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the window"


def test_html_in_names_is_text(browser: Browser, phantoms: Service, visit: Visit, tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"

    def spoil(dataset: pydicom.Dataset, index: int) -> None:
        dataset.PatientName, dataset.StudyDescription, dataset.PatientID = evil, evil, "EVIL"

    write_dicom_series(
        tmp_path / "evil", PHANTOM.hu, positions=[8.0 * z for z in range(24)], spacing=SPACING[1:], edit=spoil
    )
    files = {path.name: path.read_bytes() for path in (tmp_path / "evil").iterdir()}
    alerts: list[str] = []
    visit.page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    visit.open()
    job = phantoms.hand_in((f"{evil}.zip".replace("/", ""), zipped(files)))["id"]
    row = visit.page.locator(f"tr[data-id='{job}']")
    expect(row).to_contain_text(evil, timeout=60_000)
    row.get_by_role("link").click()
    visit.images()
    expect(visit.page.locator("h1")).to_have_text(evil)
    assert visit.page.locator("main img").count() == 0
    assert not alerts


def test_logging_in_and_out(browser: Browser, tmp_path: Path) -> None:
    users = tmp_path / "users.json"
    add_user(users, "anna", "correct horse")
    with (
        Running(tmp_path, quick(tmp_path), users=users) as service,
        visiting(browser, service.address, shots_folder(tmp_path / "shots")) as visit,
    ):
        visit.open("/study/" + "0" * 32)
        page = visit.page
        page.get_by_label("User").fill("anna")
        page.get_by_label("Password").fill("wrong")
        page.get_by_label("Password").press("Enter")
        expect(page.get_by_role("alert").filter(has_text=re.compile("."))).to_be_visible()
        assert not visit.violations()
        visit.shoot("login")
        page.get_by_label("Password").fill("correct horse")
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("main")).to_contain_text("Back to the worklist")  # the address that was asked for
        page.get_by_role("link", name="Back to the worklist").click()
        upload = tmp_path / "study.json"
        upload.write_bytes(orders())
        visit.choose_files(upload)  # what changes something carries the session's token
        expect(page.locator("tbody tr")).to_contain_text("Negative", timeout=30_000)
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("Password")).to_be_visible()


# ------------------------------------------------------------------------------------------ parts


def test_what_is_vendored_is_what_its_note_says() -> None:
    folder = VIEWER / "vendor" / "niivue"
    digest = hashlib.sha256((folder / "niivue.js").read_bytes()).hexdigest()
    assert digest in (folder / "README.md").read_text(encoding="utf-8")
    assert "BSD 2-Clause" in (folder / "LICENSE").read_text(encoding="utf-8")


def test_the_page_has_no_way_from_text_to_html() -> None:
    ours = [path for path in VIEWER.rglob("*") if path.suffix in (".js", ".html", ".css") and "vendor" not in path.parts]
    assert len(ours) > 20
    for path in ours:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser", text), path
        assert not re.search(r"https?://(?!www\.w3\.org)", text), path
    page = (VIEWER / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=", page)


LABELS_SCRIPT = """async () => {
  const { Labels } = await import("/js/labels.js");
  const view = { shape: [3, 2, 4], voxel_ml: null, slice_extent_mm: [1, 2, 4], pixel_area_mm2: 500 };
  const first = Uint16Array.from({ length: 24 }, (_, i) => (i === 5 || i === 9 ? 1 : i === 20 ? 2 : 0));
  const labels = new Labels(first, view);
  const lungs = new Uint8Array(24).fill(1, 0, 16);
  labels.setLungs(lungs);
  const told = [labels.ml(), labels.ml(1), labels.share()];
  labels.begin("brush"); labels.set([0, 1, 5], 3); labels.set([1], 0); labels.end();
  const painted = [labels.ml(), labels.voxelCount(1), labels.voxelCount(3)];
  labels.remove(2);
  const removed = [labels.ml(), labels.share(), labels.ids()];
  labels.undo(); labels.undo();
  const undone = [...labels.voxels].every((v, i) => v === first[i]) && !labels.changed;
  labels.redo(); labels.markSaved();
  const saved = labels.changed;
  labels.undo(); labels.begin("eraser"); labels.set([9], 0); labels.end();
  return { told, painted, removed, undone, saved, drifted: labels.changed, mask: [...labels.mask()].reduce((a, b) => a + b) };
}"""


def test_sums_of_labels_follow_every_edit(visit: Visit) -> None:
    visit.open()
    found = visit.page.evaluate(LABELS_SCRIPT)
    # Voxels 0 to 7 lie in slice 0 (0.5 mL each), 8 to 15 in slice 1 (1 mL), 16 to 23 in slice 2 (2 mL).
    assert found["told"] == [3.5, 1.5, 3.5 / (8 * 0.5 + 8 * 1 + 2)]
    assert found["painted"] == [4.0, 1, 2]
    assert found["removed"] == [2.0, 2.0 / 12, [1, 3]]
    assert found["undone"]
    assert not found["saved"]
    assert found["drifted"]  # as many edits as were saved, but others
    assert found["mask"] == 2


def test_turning_pictures_upright_is_undone_for_the_service(visit: Visit) -> None:
    visit.open()
    stack = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    turned, back = visit.page.evaluate(
        """async (values) => {
          const { turn, turnBack } = await import("/js/turn.js");
          const turned = turn(Uint16Array.from(values), [2, 3, 4]);
          return [[...turned], [...turnBack(turned, [2, 3, 4])]];
        }""",
        stack.ravel().tolist(),
    )
    assert turned == np.rot90(stack, 1, (1, 2)).ravel().tolist()
    assert back == stack.ravel().tolist()


def test_a_brush_covers_what_its_size_in_mm_says(visit: Visit) -> None:
    visit.open()
    found = visit.page.evaluate(
        """async () => {
          const { covered, between } = await import("/js/brush.js");
          const grid = { shape: [9, 9, 9], steps: [8, 2.9, 2.7], ball: false };
          const flat = covered([4, 4, 4], "axial", 6, grid);
          const ball = covered([4, 4, 4], "axial", 9, { ...grid, ball: true });
          const corner = covered([0, 0, 0], "coronal", 9, grid);
          return { flat, ball, corner, way: between([0, 0, 0], [0, 2, 5]).length };
        }"""
    )
    z, row, column = np.meshgrid(*(np.arange(9),) * 3, indexing="ij")

    def within(centre: int, radius: float) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        away = ((z - centre) * 8.0) ** 2 + ((row - centre) * 2.9) ** 2 + ((column - centre) * 2.7) ** 2
        return np.asarray(away <= radius**2)

    assert found["flat"] == np.flatnonzero(within(4, 6) & (z == 4)).tolist()
    assert found["ball"] == np.flatnonzero(within(4, 9)).tolist()
    assert found["corner"] == np.flatnonzero(within(0, 9) & (row == 0)).tolist()
    assert found["way"] == 5
