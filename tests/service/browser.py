"""A real browser before a service that runs: Chromium from Debian, driven by Playwright."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Playwright, Request, expect

from tests.reports.dicom_tools import tool

WIDE, TABLET = (1366, 768), (768, 1024)
LOADING_MS = 90_000
"""Volumes are drawn without a graphics card, on a machine that may be busy."""
AXE = Path(__file__).parent / "axe" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

expect.set_options(timeout=20_000)


def open_browser(playwright: Playwright) -> Browser:
    """Chromium without a screen and without a graphics card."""
    return playwright.chromium.launch(
        executable_path=tool("chromium", "chromium"),
        args=["--use-gl=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"],
    )


@dataclass
class Visit:
    """A page that a user looks at, and what must not happen on it."""

    page: Page
    address: str
    shots: Path
    faults: list[str] = field(default_factory=list)
    """Errors of scripts, violations of the Content Security Policy, and requests to other machines."""

    def heard(self, message: ConsoleMessage) -> None:
        """What the console tells: answers that refuse are part of some tests."""
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.faults.append(message.text)

    def asked(self, request: Request) -> None:
        """What was asked for."""
        url = urlsplit(request.url)
        if url.scheme in ("http", "https") and f"{url.scheme}://{url.netloc}" != self.address:
            self.faults.append(f"asked for {request.url}")

    # Doing

    def open(self, path: str = "/") -> None:
        """Go to an address of the page."""
        self.page.goto(self.address + path)

    def open_study(self, job_id: str) -> None:
        """Go to a study, and wait for its images."""
        self.open(f"/study/{job_id}")
        self.images()

    def images(self) -> None:
        """Wait for the images of the study that was opened."""
        self.page.locator(".stage[data-ready]").wait_for(timeout=LOADING_MS)

    def settle(self) -> None:
        """Wait until the page has drawn what it knows now."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def picture(self, unlike: Collection[bytes] = ()) -> bytes:
        """The canvas as soon as it differs from earlier pictures and no longer changes."""
        deadline, before = time.monotonic() + LOADING_MS / 1000, b""
        while (now := self.canvas.screenshot()) in unlike or now != before:
            assert time.monotonic() < deadline, "the picture stays as it was, or never rests"
            before = now
        return now

    def choose_files(self, *paths: Path) -> None:
        """Through the dialog of the system."""
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Choose files…").click()
        chooser.value.set_files([str(path) for path in paths])

    def point(self, share: tuple[float, float]) -> tuple[float, float]:
        """A place of the axial pane, in shares of the canvas, as one of the window."""
        box = self.canvas.bounding_box()
        assert box is not None
        return box["x"] + share[0] * box["width"], box["y"] + share[1] * box["height"]

    def drag(self, *shares: tuple[float, float], button: Any = "left") -> None:
        """With the mouse along places of the canvas."""
        mouse = self.page.mouse
        mouse.move(*self.point(shares[0]))
        mouse.down(button=button)
        for share in shares[1:]:
            mouse.move(*self.point(share), steps=6)
        mouse.up(button=button)

    def download(self, click: Locator, folder: Path) -> Path:
        """Click, and keep what is downloaded."""
        with self.page.expect_download() as waiting:
            click.click()
        target = folder / waiting.value.suggested_filename
        waiting.value.save_as(target)
        return target

    def shoot(self, name: str) -> Path:
        """Keep a picture of the page."""
        path = self.shots / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    # Seeing

    @property
    def canvas(self) -> Locator:
        """With the three panes."""
        return self.page.locator(".view canvas")

    @property
    def readout(self) -> str:
        """What is at the cross-hair."""
        return self.page.locator("#readout").inner_text()

    @property
    def live(self) -> str:
        """The figures that follow edits."""
        return self.page.locator("#live-measures").inner_text()

    @property
    def live_ml(self) -> float:
        """Volume of all opacities, as edited."""
        return float(self.live.split("Opacities ")[1].split(" mL")[0])

    @property
    def axial(self) -> Locator:
        """The slider of the axial pane."""
        return self.page.get_by_role("slider", name="axial slice", exact=True)

    def slice(self) -> int:
        """The axial slice, from 1."""
        return int(self.axial.input_value())

    def violations(self) -> list[str]:
        """What axe-core finds wrong by WCAG 2.2 AA."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("rules => axe.run(document, { runOnly: rules })", RULES)
        return [f"{each['id']}: {node['html'][:120]}" for each in found["violations"] for node in each["nodes"]]


@contextmanager
def visiting(
    browser: Browser, address: str, shots: Path, size: tuple[int, int] = WIDE, **options: Any
) -> Iterator[Visit]:
    """A browser of a user's own: cookies and all are gone afterwards. Ends in a failure where something went wrong."""
    with browser.new_context(
        viewport={"width": size[0], "height": size[1]}, accept_downloads=True, **options
    ) as context:
        page = context.new_page()
        visit = Visit(page, address, shots)
        page.on("console", visit.heard)
        page.on("pageerror", lambda error: visit.faults.append(str(error)))
        page.on("request", visit.asked)
        yield visit
        assert not visit.faults, visit.faults


def shots_folder(fallback: Path) -> Path:
    """Where pictures are kept: the folder that JCS_SCREENSHOTS names, or one of the test."""
    folder = Path(os.environ.get("JCS_SCREENSHOTS") or fallback)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
