"""The page in a real browser: handing studies in, and looking at results of a model that is always right."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Route, expect

from tests.jobs.finished import write_study
from tests.jobs.stores import quick
from tests.service.browser import Visit, shots_folder, visiting
from tests.service.client import Running, Service, handed_in, orders, zipped


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
    line = (
        visit.page.locator(".transfers li", has_text="nothing.zip")
        .or_(visit.page.locator("tbody tr", has_text="nothing.zip"))
        .first
    )
    expect(line).to_contain_text(re.compile("empty|no |nothing|Failed", re.IGNORECASE), timeout=30_000)


def test_a_waiting_study_is_cancelled_and_deleted(browser: Browser, tmp_path: Path) -> None:
    with (
        Running(tmp_path, quick(tmp_path)) as service,
        visiting(browser, service.address, shots_folder(tmp_path / "shots")) as visit,
    ):
        visit.open()
        service.submit(("slow.json", orders(key="slow", steps=400, step_s=0.05)))
        row = visit.page.locator("tbody tr", has_text="slow.json")
        expect(row.locator("progress")).to_have_attribute("max", "400")  # running, with the steps of its stage
        visit.shoot("progress")
        row.get_by_role("button", name="Cancel").click()
        expect(row).to_contain_text("Cancelled")
        row.get_by_role("button", name="Delete").click()
        visit.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(row).to_have_count(0)


def test_a_late_answer_hides_nothing_that_events_told(browser: Browser, tmp_path: Path) -> None:
    held: list[Route] = []
    with (
        Running(tmp_path, quick(tmp_path)) as service,
        visiting(browser, service.address, shots_folder(tmp_path / "shots")) as visit,
    ):
        before = service.submit(("before.json", orders(key="before", steps=600, step_s=0.1)))["id"]
        visit.page.route(re.compile("/api/v1/jobs/[0-9a-f]{32}$"), lambda route: held.append(route))
        with visit.page.expect_response("**/api/v1/events"):
            visit.open()
        upload = tmp_path / "study.json"
        upload.write_bytes(orders())
        with visit.page.expect_request(re.compile("/api/v1/jobs/[0-9a-f]{32}$")):
            visit.choose_files(upload)  # asked for while the study waits behind the other
        visit.settle()
        assert held
        queued = next(job for job in service.http.get("/jobs").json()["jobs"] if job["id"] != before)
        assert queued["state"] == "queued"
        service.http.post(f"/jobs/{before}/cancel")
        row = visit.page.locator("tbody tr", has_text="study.json")
        expect(row).to_contain_text("Negative")
        with visit.page.expect_event("requestfinished"):
            held[0].fulfill(json=queued)
        visit.settle()
        expect(row).to_contain_text("Negative")


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
    visit.picture()
    with_overlay = coloured(visit.shoot("overlay"), (0, 0.2, 0.43, 0.85))
    visit.page.get_by_label("Opacities", exact=False).and_(visit.page.locator("input[type=checkbox]")).uncheck()
    assert coloured(visit.shoot("no-overlay"), (0, 0.2, 0.43, 0.85)) == 0 < with_overlay
    grey = np.asarray(Image.open(visit.shots / "no-overlay.png").convert("L"))[250:550, 60:500].mean()
    wide = visit.picture()
    visit.page.get_by_role("button", name="Mediastinum").click()
    expect(visit.page.locator(".pane-label", has_text="Axial")).to_contain_text("W 400 L 40")
    visit.picture(unlike=[wide])
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
    for reason in (one["text"] for one in result["notices"]):
        expect(page.get_by_role("tabpanel")).to_contain_text(reason)
    page.get_by_role("tab", name="Compare").click()
    expect(page.get_by_role("tabpanel")).to_contain_text(re.compile("No other study|Compare with"))
    visit.shoot("compare")


def test_an_earlier_study_of_the_patient_is_compared(
    visit: Visit, phantoms: Service, study: str, tmp_path: Path
) -> None:
    job = handed_in(phantoms, "dicom", tmp_path)["id"]
    visit.open_study(job)
    visit.page.get_by_role("tab", name="Compare").click()
    visit.page.get_by_label("Compare with").select_option(study)
    table = visit.page.get_by_role("table", name="Change by region")
    expect(table.locator("tbody tr").first).to_contain_text("Both lungs")
    visit.page.get_by_role("link", name="Open that study").click()
    visit.images()
    assert visit.page.evaluate("location.pathname") == f"/study/{study}"
