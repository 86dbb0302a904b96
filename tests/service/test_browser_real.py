"""The whole way in a real browser: `jcs serve` as users start it, its own networks, and studies of real patients."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pydicom
import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.jobs.stores import REPOSITORY
from tests.service.browser import Visit, shots_folder, visiting
from tests.service.processes import started

EXAMPLES = REPOSITORY / "examples"
SHARED = REPOSITORY.parent / "shared" / "data" / "dicom"
DIAGNOSING_MS = 480_000


def zip_of(folder: Path, target: Path, every: int = 1) -> Path:
    """Every so many-th file of a folder."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.iterdir())[::every]:
            archive.write(path, f"{folder.name}/{path.name}")
    return target


def handed_in(visit: Visit, study: Path, progress: str) -> Locator:
    """Choose a file on the worklist, and see its study being worked off; ``progress`` is how many steps a stage has."""
    rows = visit.page.locator("tbody tr")
    before = rows.count()
    visit.choose_files(study)
    expect(rows).to_have_count(before + 1, timeout=60_000)
    row = visit.page.locator(f"tr[data-id='{rows.first.get_attribute('data-id')}']")
    expect(row.locator("progress")).to_have_attribute("max", re.compile(progress), timeout=DIAGNOSING_MS)
    visit.shoot(f"progress-{study.stem}")
    return row


def moved_and_overlaid(visit: Visit, name: str) -> None:
    """Slices are moved, windows chosen, overlays toggled: the picture follows."""
    page = visit.page
    pictures, start = [visit.picture()], visit.slice()
    visit.axial.press("ArrowRight")
    visit.axial.press("ArrowRight")
    expect(visit.axial).to_have_value(str(start + 2))
    visit.settle()
    pictures.append(visit.picture(unlike=pictures))
    for overlay in ("Opacities", "Activation"):
        page.locator("label.check", has_text=overlay).click()
        pictures.append(visit.picture(unlike=pictures))
        visit.shoot(f"{name}-{overlay.lower()}")
        page.locator("label.check", has_text=overlay).click()
        assert visit.picture(unlike=pictures[-1:]) == pictures[1]  # as before the overlay


@pytest.mark.slow
def test_two_patients_from_upload_to_signed_objects(browser: Browser, tmp_path: Path) -> None:
    arguments = ["-m", "jcs_ct.cli", "serve", "--port", "0", "--store", str(tmp_path / "store")]
    with (
        started(arguments, tmp_path / "log") as (_, address),
        visiting(browser, address, shots_folder(tmp_path / "shots")) as visit,
    ):
        page = visit.page
        visit.open()
        # Of 25 slices each stage is over within a second or two: which of them a browser still sees is chance.
        tumour = handed_in(
            visit, zip_of(EXAMPLES / "lung-pet-ct-dx-A0002", tmp_path / "lung-pet-ct-dx-A0002.zip"), r"\d"
        )
        expect(tumour).to_contain_text("Negative", timeout=DIAGNOSING_MS)
        expect(tumour).to_contain_text("networks disagree")
        source = SHARED / "ricord-001012"
        if not source.exists():
            source = EXAMPLES / "coronacases_001"
        covid = handed_in(visit, zip_of(source, tmp_path / f"{source.name}.zip", every=4), r"\d\d")
        expect(covid).to_contain_text("Positive", timeout=DIAGNOSING_MS)
        visit.shoot("worklist-real")

        covid.get_by_role("link").click()
        visit.images()
        expect(page.locator("#verdict")).to_contain_text("Positive")
        moved_and_overlaid(visit, "covid")
        page.get_by_role("tab", name="Decision").click()
        visit.shoot("covid-decision")

        page.get_by_role("link", name="‹ Worklist").click()
        tumour.get_by_role("link").click()
        visit.images()
        moved_and_overlaid(visit, "tumour")
        edit_and_save(visit)
        sign_and_download(visit, tmp_path)


def edit_and_save(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="Go to opacity 1", exact=True).click()  # stomach: nothing of the lung
    page.get_by_role("button", name="Correct").click()
    before = visit.live_ml
    page.get_by_role("button", name="Delete opacity 1", exact=True).click()
    after = visit.live_ml
    assert after < before - 20
    visit.drag((0.165, 0.62), (0.2, 0.66))  # beside the diaphragm
    painted = visit.live_ml
    assert painted > after
    visit.shoot("tumour-edited")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#live-measures")).to_contain_text("as saved", timeout=120_000)
    assert visit.live_ml == painted
    expect(page.locator(".glance")).to_contain_text(f"{painted:.1f} mL")
    visit.shoot("tumour-saved")


def sign_and_download(visit: Visit, folder: Path) -> None:
    page = visit.page
    page.get_by_role("button", name="Sign off…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Accept").check()
    dialog.get_by_label("Comment").fill("The stomach was marked; taken out.")
    dialog.get_by_role("button", name="Sign").click()
    expect(page.locator("#signature")).to_contain_text("Accepted", timeout=120_000)
    page.get_by_role("button", name="Download").click()
    visit.shoot("tumour-signed")
    link = page.get_by_role("table", name="Files").get_by_role("link")
    report = pydicom.dcmread(visit.download(link.filter(has_text="report.sr.dcm"), folder))
    assert (report.Modality, report.VerificationFlag) == ("SR", "VERIFIED")
    assert "The stomach was marked; taken out." in {
        element.value for element in report.iterall() if element.keyword == "TextValue"
    }
    segmentation = pydicom.dcmread(visit.download(link.filter(has_text="lesions.seg.dcm"), folder))
    assert segmentation.Modality == "SEG"
    assert segmentation.PatientID == report.PatientID == "Lung_Dx-A0002"
    assert segmentation.pixel_array.any()
