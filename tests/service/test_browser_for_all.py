"""The page in a real browser: for who has no mouse, sees little, has a tablet, has to log in, or means ill."""

from __future__ import annotations

import re
from pathlib import Path

import pydicom
import pytest
from playwright.sync_api import Browser, Dialog, expect

from jcs_ct.service.users import add_user
from tests.jobs.finished import PHANTOM, SPACING
from tests.jobs.stores import quick
from tests.phantoms import write_dicom_series
from tests.service.browser import TABLET, WIDE, Visit, shots_folder, visiting
from tests.service.client import Running, Service, handed_in, orders, zipped


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
            expect(page.locator(f"#tab-{tab}")).to_have_attribute("aria-selected", "true")
            expect(page.get_by_role("tabpanel")).not_to_be_empty()
            visit.settle()
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
        wide = "node => node.scrollWidth > node.clientWidth"
        assert not [part for part in ("html", "main", ".stage", ".side") if page.locator(part).evaluate(wide)]


def test_a_finger_moves_the_cross_hair(browser: Browser, phantoms: Service, study: str, tmp_path: Path) -> None:
    with visiting(browser, phantoms.address, shots_folder(tmp_path / "shots"), TABLET, has_touch=True) as visit:
        visit.open_study(study)
        before = visit.readout
        visit.page.touchscreen.tap(*visit.point((0.1, 0.4)))
        expect(visit.page.locator("#readout")).not_to_have_text(before)
        visit.page.get_by_role("button", name="Correct").tap()
        volume = visit.live_ml
        visit.page.touchscreen.tap(*visit.point((0.15, 0.45)))
        expect(visit.page.locator("#live-measures")).to_contain_text("(+")
        assert visit.live_ml > volume


def test_html_in_names_is_text(phantoms: Service, visit: Visit, tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"

    def spoil(dataset: pydicom.Dataset, index: int) -> None:
        dataset.PatientName, dataset.StudyDescription, dataset.PatientID = evil, evil, "EVIL"

    write_dicom_series(
        tmp_path / "evil", PHANTOM.hu, positions=[8.0 * z for z in range(24)], spacing=SPACING[1:], edit=spoil
    )
    files = {path.name: path.read_bytes() for path in (tmp_path / "evil").iterdir()}
    alerts: list[str] = []

    def alerted(dialog: Dialog) -> None:
        alerts.append(dialog.message)
        dialog.dismiss()

    visit.page.on("dialog", alerted)
    visit.open()
    job = phantoms.submit((f"{evil}.zip".replace("/", ""), zipped(files)))["id"]
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
