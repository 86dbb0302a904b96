"""The dialogs of one's own account and of deleted studies, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from jcs_ct.service.access import CSRF_HEADER
from jcs_ct.service.users import add_token, add_user, read_users
from tests.jobs.stores import quick
from tests.service.browser import Visit, shots_folder, visiting
from tests.service.client import Running, Service, orders

OLD, NEW = "correct horse", "sunny marble kite"


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users.json"
    add_user(path, "anna", OLD)
    add_token(path, "anna")
    return path


@pytest.fixture
def anna(browser: Browser, tmp_path: Path, users: Path) -> Iterator[tuple[Service, Visit]]:
    """Logged in before the worklist of her own service."""
    with ExitStack() as stack:
        settings = {"users": users, "logins_per_minute": 6000.0}
        service = stack.enter_context(Running(tmp_path, quick(tmp_path, undelete_s=3600.0), **settings))
        visit = stack.enter_context(visiting(browser, service.address, shots_folder(tmp_path / "shots")))
        visit.open()
        log_in(visit.page, OLD)
        yield service, visit


def log_in(page: Page, password: str) -> None:
    page.get_by_label("User").fill("anna")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Account")).to_be_visible()


def test_deleted_studies_are_restored_and_the_password_is_changed(
    anna: tuple[Service, Visit], users: Path, tmp_path: Path
) -> None:
    service, visit = anna
    page, dialog = visit.page, visit.page.get_by_role("dialog")

    # Deleting and restoring, by keys
    upload = tmp_path / "scan.json"
    upload.write_bytes(orders())
    visit.choose_files(upload)
    row = page.locator("tbody tr[data-id]")
    expect(row).to_contain_text("Negative", timeout=30_000)
    row.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    page.get_by_role("button", name="Deleted studies…").press("Enter")
    expect(dialog.get_by_role("button", name="Restore scan.json")).to_be_focused()
    assert not visit.violations()
    visit.shoot("deleted")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text("scan.json is back in the worklist.")
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Escape")
    expect(row).to_contain_text("Negative")

    # Sessions and tokens
    elsewhere = service.client()
    csrf = elsewhere.post("/session", json={"user": "anna", "password": OLD}).json()["csrf"]
    elsewhere.headers[CSRF_HEADER] = csrf
    page.get_by_role("button", name="Account").click()
    own = dialog.get_by_label("Your password")
    expect(own).to_be_focused()
    expect(dialog.get_by_role("table", name="Sessions").get_by_role("row")).to_have_count(3)
    dialog.get_by_role("button", name="End all other sessions").click()
    expect(dialog.get_by_role("alert")).to_have_text("Give your password first.")
    own.fill("a wrong one")
    dialog.get_by_role("button", name=re.compile("End the session from 127")).click()
    expect(dialog.get_by_role("alert")).to_contain_text("Your password is another one")
    assert elsewhere.get("/jobs").status_code == 200
    assert not visit.violations()
    visit.shoot("account")
    own.fill(OLD)
    dialog.get_by_role("button", name="End all other sessions").click()
    expect(dialog.get_by_role("alert")).to_have_text("All other sessions were ended.")
    assert elsewhere.get("/jobs").status_code == 401
    dialog.get_by_role("button", name=re.compile("Revoke the token")).click()
    expect(dialog.get_by_role("alert")).to_contain_text("was revoked")
    assert read_users(users)["anna"].tokens == ()

    # The password
    dialog.get_by_label("New password", exact=True).fill("password123")
    dialog.get_by_label("New password again").fill("another")
    dialog.get_by_role("button", name="Change password").click()
    expect(dialog.get_by_role("alert")).to_have_text("The new password was not repeated as it is.")
    dialog.get_by_label("New password again").fill("password123")
    dialog.get_by_role("button", name="Change password").click()
    expect(dialog.get_by_role("alert")).to_contain_text("guessed first")
    for name in ("New password", "New password again"):
        dialog.get_by_label(name, exact=True).fill(NEW)
    page.keyboard.press("Enter")
    expect(page.locator("#announce-alert")).to_contain_text("Your password was changed")
    expect(page.locator("main")).not_to_contain_text("scan.json")
    log_in(page, NEW)
    expect(row).to_contain_text("Negative")


@pytest.mark.parametrize("end", ["elsewhere", "unreachable"])
def test_a_session_that_ends_leaves_nothing_on_the_page(anna: tuple[Service, Visit], tmp_path: Path, end: str) -> None:
    service, visit = anna
    page = visit.page
    service_users = service.client()
    csrf = service_users.post("/session", json={"user": "anna", "password": OLD}).json()["csrf"]
    upload = tmp_path / "scan.json"
    upload.write_bytes(orders())
    visit.choose_files(upload)
    expect(page.locator("tbody tr[data-id]")).to_contain_text("Negative", timeout=30_000)
    if end == "elsewhere":  # the page asks for nothing, and its stream of events is refused
        page.get_by_role("button", name="Delete scan.json").click()
        answer = service_users.post(
            "/account/sessions/end", json={"password": OLD, "session": None}, headers={CSRF_HEADER: csrf}
        )
        assert answer.status_code == 204
    else:
        page.context.set_offline(True)
        page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Password")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("body")).not_to_contain_text("scan.json")
    if end == "unreachable":
        expect(page.locator("#announce-alert")).to_contain_text("Your session may go on")
