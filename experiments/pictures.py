"""Make the pictures of the documents anew, both from one result of the current weights.

    python experiments/pictures.py [--chromium chromium]

Serves examples/coronacases_001 on a fresh store and takes docs/images/report.png and docs/images/workstation.png with
Chromium. Needs the extras serve and test. About a minute on two cores.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Browser, ViewportSize, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "coronacases_001"
IMAGES = ROOT / "docs" / "images"
REPORT, PAGE = ViewportSize(width=880, height=1850), ViewportSize(width=1366, height=768)
"""Window sizes in pixels."""
WAIT_S = 3600.0


def zipped(folder: Path) -> bytes:
    """A zip archive of a folder's files."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return target.getvalue()


def diagnosed(http: httpx.Client) -> str:
    """Submit the example and return its job's id once it is done.

    Raises:
        TimeoutError: the job has not finished in time.
    """
    files = {"files": (f"{EXAMPLE.name}.zip", zipped(EXAMPLE))}
    job: dict[str, Any] = http.post("/jobs", files=files).raise_for_status().json()
    deadline = time.monotonic() + WAIT_S
    while job["state"] != "done":
        if time.monotonic() > deadline or job["state"] in ("failed", "cancelled"):
            raise TimeoutError(f"the job is {job['state']}; expected it to be done within {WAIT_S:.0f} s")
        time.sleep(0.5)
        job = http.get(f"/jobs/{job['id']}").raise_for_status().json()
    return str(job["id"])


def shoot_report(browser: Browser, html: bytes, target: Path) -> None:
    """The upper part of the report."""
    with tempfile.NamedTemporaryFile(suffix=".html") as file:
        file.write(html)
        file.flush()
        page = browser.new_page(viewport=REPORT)
        page.goto(Path(file.name).as_uri())
        page.screenshot(path=target)
        page.close()


def shoot_page(browser: Browser, address: str, job: str, target: Path) -> None:
    """The study view with the second opacity chosen."""
    page = browser.new_page(viewport=PAGE)
    page.goto(f"{address}/study/{job}")
    page.locator(".stage[data-ready]").wait_for(timeout=WAIT_S * 1000)
    page.get_by_role("button", name="Go to opacity 2", exact=True).click()
    canvas, before = page.locator(".view canvas"), b""
    while (now := canvas.screenshot()) != before:  # until it is drawn
        before = now
    page.screenshot(path=target)
    page.close()


def reduce_colours(path: Path) -> None:
    """Save a screenshot with a palette, at a third of its size."""
    with Image.open(path) as picture:
        reduced = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)


def main() -> None:
    """Serve, diagnose, take both pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="the browser")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-m", "jcs_ct.cli", "serve", "--port", "0", "--store", store]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service, sync_playwright() as playwright:
            assert service.stdout is not None
            address = service.stdout.readline().split()[-1].rstrip("/")
            # Without a screen and without a graphics card.
            options = ["--use-gl=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
            browser = playwright.chromium.launch(executable_path=given.chromium, args=options)
            try:
                origin = {"Origin": address}
                with httpx.Client(base_url=f"{address}/api/v1", headers=origin, timeout=120.0) as http:
                    job = diagnosed(http)
                    html = http.get(f"/jobs/{job}/files/report.html").raise_for_status().content
                shoot_report(browser, html, IMAGES / "report.png")
                shoot_page(browser, address, job, IMAGES / "workstation.png")
            finally:
                browser.close()
                service.terminate()
    for name in ("report.png", "workstation.png"):
        reduce_colours(IMAGES / name)
        print(IMAGES / name)


if __name__ == "__main__":
    main()
