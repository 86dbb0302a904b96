"""One's own account: roles, sessions, tokens, passwords, and names that nobody inherits."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from jcs_ct.errors import UsageError
from jcs_ct.jobs.audit import AuditTrail
from jcs_ct.service.access import CSRF_HEADER
from jcs_ct.service.breached import BreachedPasswords
from jcs_ct.service.users import USUAL_ROLES, Role, add_token, add_user, read_users, remove_user, set_roles
from tests.jobs.stores import quick
from tests.service.client import Running, Service, orders

PASSWORDS = {"anna": "correct horse", "berta": "battery staple", "carl": "violet umbrella"}


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users.json"
    add_user(path, "anna", PASSWORDS["anna"])
    add_user(path, "berta", PASSWORDS["berta"], ())
    add_user(path, "carl", PASSWORDS["carl"], (Role.ADMINISTER,))
    return path


@pytest.fixture
def service(tmp_path: Path, users: Path) -> Iterator[Service]:
    settings = {"users": users, "logins_per_minute": 6000.0, "max_sessions": 3}
    with Running(tmp_path, quick(tmp_path, undelete_s=3600.0), **settings) as running:
        yield running


def log_in(service: Service, user: str, password: str | None = None) -> httpx.Client:
    browser = service.client()
    answer = browser.post("/session", json={"user": user, "password": password or PASSWORDS[user]})
    assert answer.status_code == 200, answer.text
    browser.headers[CSRF_HEADER] = answer.json()["csrf"]
    return browser


# Roles


def test_roles_say_who_may_do_what(service: Service, users: Path) -> None:
    anna, berta, carl = (log_in(service, name) for name in PASSWORDS)
    for browser in (anna, berta, carl):
        job = service.submit(("scan.json", orders()), http=browser)["id"]
        service.ended(job, browser)
        signing = browser.post(f"/jobs/{job}/sign-off", json={"judgement": "accepted", "parent": 0})
        drawing = browser.put(f"/jobs/{job}/outlines?parent=0", content=b"x")
        deleting = browser.delete(f"/jobs/{job}")
        restoring = browser.post(f"/jobs/{job}/restore")
        may = browser is anna
        assert (signing.status_code == 403, drawing.status_code == 403) == (not may, not may)
        assert (deleting.status_code, restoring.status_code) == ((204, 200) if may else (403, 403))
        assert browser.get("/users").status_code == (200 if browser is carl else 403)
    set_roles(users, "berta", USUAL_ROLES)
    assert berta.get("/account").json()["roles"] == ["delete", "sign"], "at once, and without another login"


def test_file_of_the_version_before_is_read(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    path.write_text('{"version": 1, "users": {"anna": {"password": "x", "tokens": []}}}')
    path.chmod(0o600)
    assert read_users(path)["anna"].roles == USUAL_ROLES


def test_who_administers_ends_sessions_of_others(service: Service) -> None:
    anna, carl = log_in(service, "anna"), log_in(service, "carl")
    told = {each["name"]: (each["sessions"], each["roles"]) for each in carl.get("/users").json()}
    assert told == {"anna": (1, ["delete", "sign"]), "berta": (0, []), "carl": (1, ["administer"])}
    assert anna.delete("/users/carl/sessions").status_code == 403
    assert carl.delete("/users/anna/sessions").status_code == 204
    assert anna.get("/jobs").status_code == 401


# Deleting


def test_deleted_studies_are_listed_and_restored_by_those_who_see_them(service: Service, users: Path) -> None:
    set_roles(users, "berta", USUAL_ROLES)
    anna, berta = log_in(service, "anna"), log_in(service, "berta")
    job = service.submit(("scan.json", orders(key="k")), http=anna)["id"]
    service.ended(job, anna)
    assert anna.delete(f"/jobs/{job}").status_code == 204
    assert anna.get(f"/jobs/{job}").status_code == 404
    assert [each["id"] for each in anna.get("/jobs/removed").json()["jobs"]] == [job]
    assert berta.get("/jobs/removed").json()["total"] == 0
    assert berta.post(f"/jobs/{job}/restore").status_code == 404
    assert anna.post(f"/jobs/{job}/restore").json()["state"] == "done"
    assert anna.post(f"/jobs/{job}/hold").json()["held"] is True
    assert anna.post(f"/jobs/{job}/hold?held=false").json()["held"] is False


# Sessions


def test_sessions_are_listed_ended_and_limited(service: Service) -> None:
    browsers = [log_in(service, "anna") for _ in range(4)]
    assert browsers[0].get("/jobs").status_code == 401, "one more than allowed: the one used least recently went"
    listed = browsers[3].get("/account").json()["sessions"]
    assert [each["current"] for each in listed] == [True, False, False]
    assert {each["address"] for each in listed} == {"127.0.0.1"}
    assert end_sessions(browsers[3], "anna", listed[1]["id"]) == 204
    assert [browser.get("/jobs").status_code for browser in browsers[1:]] == [200, 401, 200]
    assert end_sessions(log_in(service, "berta"), "berta", listed[0]["id"]) == 404


def end_sessions(browser: httpx.Client, user: str, session: str | None = None, password: str | None = None) -> int:
    wanted = {"password": password or PASSWORDS[user], "session": session}
    return browser.post("/account/sessions/end", json=wanted).status_code


def test_sessions_are_ended_by_the_password_only(service: Service) -> None:
    anna, elsewhere, berta = log_in(service, "anna"), log_in(service, "anna"), log_in(service, "berta")
    assert end_sessions(anna, "anna", password="a wrong one") == 403
    assert elsewhere.get("/jobs").status_code == 200
    assert end_sessions(anna, "anna") == 204
    assert [each.get("/jobs").status_code for each in (anna, elsewhere, berta)] == [200, 401, 200]


def test_browsers_forget_what_they_kept_when_a_session_ends(service: Service) -> None:
    assert log_in(service, "anna").delete("/session").headers["Clear-Site-Data"] == '"cache"'
    change = {"old": PASSWORDS["anna"], "new": "sunny marble kite"}
    assert log_in(service, "anna").post("/account/password", json=change).headers["Clear-Site-Data"] == '"cache"'


@pytest.mark.parametrize("limit", ["session_s", "session_idle_s"])
def test_sessions_end_by_themselves(tmp_path: Path, users: Path, limit: str) -> None:
    with Running(tmp_path, quick(tmp_path), users=users, **{limit: 2.0}) as service:
        anna = log_in(service, "anna")
        began = time.monotonic()
        while time.monotonic() - began < 3.0:  # in use all the time
            status = anna.get("/jobs").status_code
            if time.monotonic() - began < 1.5:
                assert status == 200
            time.sleep(0.1)
        assert status == (401 if limit == "session_s" else 200)
        time.sleep(2.2)
        assert anna.get("/jobs").status_code == 401


# Passwords and tokens


def test_another_password_ends_sessions_and_revokes_tokens(service: Service, users: Path) -> None:
    token = add_token(users, "anna")
    program = service.client(headers={"Authorization": f"Bearer {token}"})
    anna, elsewhere = log_in(service, "anna"), log_in(service, "anna")
    assert [each["id"] for each in anna.get("/account").json()["tokens"]] == [read_users(users)["anna"].tokens[0].id]
    wrong = anna.post("/account/password", json={"old": "a wrong one", "new": "sunny marble kite"})
    assert wrong.status_code == 403
    common = anna.post("/account/password", json={"old": PASSWORDS["anna"], "new": "password123"})
    assert (common.status_code, "guessed first" in common.text) == (422, True)
    changed = anna.post("/account/password", json={"old": PASSWORDS["anna"], "new": "sunny marble kite"})
    assert changed.status_code == 204, changed.text
    assert [each.get("/jobs").status_code for each in (anna, elsewhere, program)] == [401] * 3
    log_in(service, "anna", "sunny marble kite")


def test_one_token_is_revoked_by_its_owner(service: Service, users: Path) -> None:
    for name in ("anna", "berta"):
        add_token(users, name)
    own, others = (read_users(users)[name].tokens[0].id for name in ("anna", "berta"))
    anna = log_in(service, "anna")
    assert anna.delete(f"/account/tokens/{others}").status_code == 404
    assert anna.delete(f"/account/tokens/{own}").status_code == 204
    assert read_users(users)["anna"].tokens == ()
    assert len(read_users(users)["berta"].tokens) == 1


@pytest.mark.parametrize("password", ["password12", "qwertyuiop", "1234567890", "anna123456", "Password123!", "short"])
def test_passwords_that_are_guessed_first_are_refused(tmp_path: Path, password: str) -> None:
    with pytest.raises(UsageError, match="the password"):
        add_user(tmp_path / "users.json", "anna", password)


@pytest.mark.parametrize("ending", ["\n", ":3\r\n"])
def test_passwords_of_breaches_are_refused(tmp_path: Path, users: Path, ending: str) -> None:
    known = [f"violet umbrella {number}" for number in range(200)]
    sums = sorted(hashlib.sha1(each.encode()).hexdigest().upper() for each in known)
    path = tmp_path / "breached.txt"
    path.write_bytes("".join(each + ending for each in sums).encode())
    breached = BreachedPasswords(path)
    assert all(each in breached for each in known)
    assert not any(f"{each} not" in breached for each in known)
    settings = {"users": users, "breached_passwords": path, "logins_per_minute": 6000.0}
    with Running(tmp_path, quick(tmp_path), **settings) as service:
        change = {"old": PASSWORDS["anna"], "new": known[7]}
        answer = log_in(service, "anna").post("/account/password", json=change)
    assert (answer.status_code, "known from a breach" in answer.text) == (422, True)
    with pytest.raises(UsageError, match="known from a breach"):
        add_user(users, "dora", known[0], breached=breached)


def test_file_that_holds_no_breached_passwords_is_told(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("violet umbrella\n")
    with pytest.raises(UsageError, match="expected sorted SHA-1 sums"):
        BreachedPasswords(tmp_path / "list.txt")
    with pytest.raises(UsageError, match="cannot be read"):
        BreachedPasswords(tmp_path / "none.txt")


def test_nobody_inherits_a_name(users: Path) -> None:
    remove_user(users, "anna")
    with pytest.raises(UsageError, match="anna was a user who was removed"):
        add_user(users, "anna", "sunny marble kite")
    assert "anna" not in read_users(users)


@pytest.mark.parametrize("name", ["anna\u05d0\u05d1", "\u0627\u0644anna", "an\u202ena", "an\u200fna"])
def test_names_that_turn_the_direction_of_writing_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="user name"):
        add_user(tmp_path / "users.json", name, "sunny marble kite")


def test_names_of_one_direction_are_taken(tmp_path: Path) -> None:
    for name in ("anna", "Dr. Çelik", "\u05d0\u05d1\u05d2", "\u0639\u0644\u064a"):
        assert add_user(tmp_path / "users.json", name, "sunny marble kite")


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_file_of_users_that_others_can_write_is_refused(users: Path, tmp_path: Path, mode: int) -> None:
    users.chmod(mode)
    with pytest.raises(UsageError, match="can be written by other users"):
        read_users(users)
    users.chmod(0o640)
    assert read_users(users)


# The audit trail


def test_audit_that_is_required_closes_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for required in (False, True):
        folder = tmp_path / str(required)
        folder.mkdir()
        with Running(folder, quick(folder), audit_required=required) as service:
            job = service.submit(("scan.json", orders()))["id"]
            service.ended(job)
            assert service.http.get(f"/jobs/{job}").status_code == 200
            with monkeypatch.context() as patch:
                patch.setattr(AuditTrail, "_write", _full_disk)
                expected = 503 if required else 200
                for _ in range(2):
                    assert service.http.get(f"/jobs/{job}").status_code == expected
                assert _health_within(service, 10) == "degraded"
            assert service.http.get(f"/jobs/{job}").status_code == 200, "it opens by itself"


def _health_within(service: Service, seconds: float) -> str:
    """The status once it is not "ok" any more, or after so long; answers hold for two seconds."""
    end, status = time.monotonic() + seconds, "ok"
    while status == "ok" and time.monotonic() < end:
        status = str(service.http.get("/health").json()["status"])
        time.sleep(0.1)
    return status


def _full_disk(trail: AuditTrail, data: bytes, lasting: bool) -> None:
    raise OSError(28, "No space left on device")


def test_lines_of_many_threads_and_processes_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            trail = AuditTrail(path)
            for _ in range(100):
                trail.append(who=f"user {number}", what="x" * 2000)
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 400
