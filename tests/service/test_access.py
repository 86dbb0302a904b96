"""Who gets in, and what another site, another user or nobody gets to see: nothing."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from jcs_ct.errors import UsageError
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.service.access import CSRF_HEADER
from jcs_ct.service.settings import ServiceSettings
from jcs_ct.service.users import add_token, add_user, read_users, remove_user, revoke_token
from tests.jobs.stand_in import Orders, contents
from tests.jobs.stores import quick
from tests.service.client import Running, Service, orders

PASSWORDS = {"anna": "correct horse", "berta": "battery staple", "Dr. Çelik": "päßwörter 1"}
SECRET = "Doe^Jane secret"


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("users") / "users.json"
    for name, password in PASSWORDS.items():
        add_user(path, name, password)
    return path


@pytest.fixture
def guarded(tmp_path: Path, users: Path) -> Iterator[Service]:
    """A service with users; the store holds a study that the DICOM node took in."""
    with Running(tmp_path, quick(tmp_path), users=users, logins_per_minute=6000.0) as running:
        yield running


def logged_in(service: Service, user: str = "anna") -> httpx.Client:
    browser = service.client()
    answer = browser.post("/session", json={"user": user, "password": PASSWORDS[user]})
    assert answer.status_code == 200, answer.text
    browser.headers[CSRF_HEADER] = answer.json()["csrf"]
    return browser


def every_route(service: Service) -> list[tuple[str, str]]:
    """Method and address of all that OpenAPI tells of, with ids that could be."""
    paths = httpx.get(f"{service.address}/api/v1/openapi.json", trust_env=False).json()["paths"]
    return [
        (
            method.upper(),
            path.format(job_id="0" * 32, upload_id="0" * 32, name="result.json", layer="volume", entry_id="0" * 8),
        )
        for path, methods in paths.items()
        for method in methods
    ]


# ---------------------------------------------------------------------------------------------- logging in


def test_nobody_gets_anything_without_a_login(guarded: Service) -> None:
    open_to_all = {
        ("GET", "/api/v1/health"),
        ("GET", "/api/v1/ready"),
        ("POST", "/api/v1/session"),
        ("OPTIONS", "/api/v1/uploads"),
    }
    routes = every_route(guarded)
    assert len(routes) > 20
    for method, path in routes:
        status = guarded.http.request(method, guarded.address + path, headers={"Tus-Resumable": "1.0.0"}).status_code
        assert (status == 401) != ((method, path) in open_to_all), (method, path, status)


def test_a_login_lasts_until_the_logout(guarded: Service) -> None:
    browser = guarded.client()
    answer = browser.post("/session", json={"user": "anna", "password": PASSWORDS["anna"]})
    cookie = answer.headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/"))
    assert "Secure" not in cookie  # the test speaks no TLS
    assert browser.get("/session").json()["user"] == "anna"
    kept = dict(browser.cookies)
    browser.headers[CSRF_HEADER] = answer.json()["csrf"]
    assert browser.delete("/session").status_code == 204
    assert guarded.client(cookies=kept).get("/session").status_code == 401


def test_wrong_passwords_and_unknown_users_are_told_alike(guarded: Service) -> None:
    tries = [("anna", "wrong password"), ("nobody", "wrong password"), ("anna", PASSWORDS["berta"])]
    answers = [guarded.http.post("/session", json={"user": u, "password": p}) for u, p in tries]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


def test_guessing_passwords_is_slowed_down(tmp_path: Path, users: Path) -> None:
    with Running(tmp_path, quick(tmp_path), users=users, logins_per_minute=3.0) as service:
        statuses = [
            service.http.post("/session", json={"user": "anna", "password": f"guess number {n}"}).status_code
            for n in range(5)
        ]
        assert statuses == [401, 401, 401, 429, 429]
        refused = service.http.post("/session", json={"user": "anna", "password": PASSWORDS["anna"]})
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 20


def test_a_removed_user_and_a_changed_password_end_sessions(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    for name in ("anna", "berta"):
        add_user(path, name, PASSWORDS[name])
    with Running(tmp_path, quick(tmp_path), users=path) as service:
        anna, berta = logged_in(service, "anna"), logged_in(service, "berta")
        with berta.stream("GET", "/events") as stream:
            lines = stream.iter_lines()
            next(lines)
            remove_user(path, "berta")
            assert berta.get("/jobs").status_code == 401
            service.submit(("scan.json", orders()), http=anna)  # wakes the stream
            assert not [line for line in lines if line.startswith("data")]
        assert anna.get("/jobs").status_code == 200
        add_user(path, "anna", "another password")
        assert anna.get("/jobs").status_code == 401


def test_programs_come_with_tokens(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    add_user(path, "anna", PASSWORDS["anna"])
    token = add_token(path, "anna")
    assert token not in path.read_text()
    with Running(tmp_path, quick(tmp_path), users=path) as service:
        program = service.client(headers={"Authorization": f"Bearer {token}"})
        assert program.get("/session").json() == {"user": "anna", "authentication": "password", "csrf": None}
        assert service.submit(("scan.json", orders()), http=program)["owner"] == "anna"
        for wrong in ("Bearer x", f"Basic {token}", "Bearer", f"Bearer {token}x"):
            assert service.client(headers={"Authorization": wrong}).get("/jobs").status_code == 401
        revoke_token(path, "anna", read_users(path)["anna"].tokens[0].id)
        assert program.get("/jobs").status_code == 401


def test_without_users_only_this_computer_is_served(users: Path, tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.7", "workstation"):
        with pytest.raises(ValueError, match="expected a file of users"):
            ServiceSettings(store=tmp_path, host=host)
        ServiceSettings(store=tmp_path, host=host, users=users)
    for host in ("127.0.0.1", "::1", "localhost"):
        ServiceSettings(store=tmp_path, host=host)


@pytest.mark.parametrize("name", ["pacs", "local", "", " anna", "a" * 65, "a\nb", "../x", "a^b", "<b>"])
def test_names_that_no_user_may_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="user name"):
        add_user(tmp_path / "users.json", name, "long enough")


def test_the_file_of_users_is_private_and_holds_no_password(users: Path) -> None:
    assert users.stat().st_mode & 0o077 == 0
    text = users.read_text()
    assert text.count("$argon2id$") == len(PASSWORDS)
    assert not any(password in text for password in PASSWORDS.values())


# ---------------------------------------------------------------------------------------------- other users


def test_another_users_study_is_as_if_it_were_not_there(guarded: Service) -> None:
    anna, berta = logged_in(guarded, "anna"), logged_in(guarded, "berta")
    job = guarded.submit(("scan.json", orders(key="k")), http=anna)["id"]
    guarded.ended(job, anna)
    assert anna.get(f"/jobs/{job}/files").status_code == 200
    assert berta.get("/jobs").json() == {"jobs": [], "total": 0}
    invented = "f" * 32
    for method, path in every_route(guarded):
        if "0" * 32 in path and "/uploads/" not in path:
            said = {"judgement": "accepted", "parent": 0} if "sign-off" in path else None
            query = f"?parent=0&earlier={job}"
            answers = [
                berta.request(method, guarded.address + path.replace("0" * 32, each) + query, json=said)
                for each in (job, invented)
            ]
            assert [answer.status_code for answer in answers] == [404, 404], (method, path)
            texts = {answer.text.replace(job, "ID").replace(invented, "ID") for answer in answers}
            assert len(texts) == 1, texts
    own = guarded.submit(("scan.json", orders(key="own")), http=berta)["id"]
    guarded.ended(own, berta)
    assert berta.get(f"/jobs/{own}/comparison", params={"earlier": job}).status_code == 404
    with berta.stream("GET", "/events", headers={"Last-Event-ID": "0"}) as stream:
        for line in stream.iter_lines():
            assert job not in line
            if line.startswith("data") and json.loads(line[6:])["state"] == "done":
                break
    assert anna.get(f"/jobs/{job}").json()["state"] == "done"


def test_what_the_dicom_node_took_in_is_everybodys(guarded: Service, tmp_path: Path) -> None:
    with JobQueue(guarded.store, quick(tmp_path)) as queue:
        job = queue.submit(Orders(key="sent").write(tmp_path / "sent.json"), "pacs")
    for user in PASSWORDS:
        browser = logged_in(guarded, user)
        assert guarded.ended(job, browser)["owner"] == "pacs"
        assert [each["id"] for each in browser.get("/jobs").json()["jobs"]] == [job]


# ---------------------------------------------------------------------------------------------- other sites


def test_another_site_cannot_change_anything(guarded: Service) -> None:
    browser = logged_in(guarded)
    job = guarded.submit(("scan.json", orders(key="k")), http=browser)["id"]
    guarded.ended(job, browser)
    right = browser.headers.pop(CSRF_HEADER)
    forged: tuple[dict[str, str], ...] = (
        {},
        {CSRF_HEADER: "guessed"},
        {CSRF_HEADER: right, "Origin": "https://evil.example"},
        {CSRF_HEADER: right, "Origin": "null"},
        {CSRF_HEADER: right, "Sec-Fetch-Site": "cross-site"},
        {CSRF_HEADER: logged_in(guarded, "berta").headers[CSRF_HEADER]},
    )
    for headers in forged:
        assert browser.delete(f"/jobs/{job}", headers=headers).status_code == 403, headers
        sent = browser.post("/jobs", files={"files": ("x", b"x")}, headers=headers)
        assert sent.status_code == 403
    assert browser.get("/jobs").json()["total"] == 1
    login = browser.post(
        "/session", json={"user": "anna", "password": PASSWORDS["anna"]}, headers={"Origin": "https://evil.example"}
    )
    assert login.status_code == 403
    same = {CSRF_HEADER: right, "Origin": guarded.address}
    assert browser.delete(f"/jobs/{job}", headers=same).status_code == 204


def test_another_site_cannot_change_anything_without_users_either(service: Service) -> None:
    files = {"files": ("scan.json", orders(key="k"))}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert service.http.post("/jobs", files=files, headers=headers).status_code == 403
    assert service.http.get("/jobs").json()["total"] == 0


def test_another_sites_name_that_leads_here_is_refused(service: Service) -> None:
    for host in ("evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.nip.io", ""):
        for path in ("/", "/api/v1/jobs", "/api/v1/health"):
            connection = http.client.HTTPConnection(service.address.removeprefix("http://"))
            connection.putrequest("GET", path, skip_host=True)
            connection.putheader("Host", host)
            connection.endheaders()
            assert connection.getresponse().status == 421, (host, path)
            connection.close()
    for host in ("localhost:1", "127.0.0.1", "[::1]:8", "192.0.2.7:80"):
        assert service.http.get("/jobs", headers={"Host": host}).status_code == 200, host


def test_a_name_that_was_allowed_is_served(tmp_path: Path) -> None:
    with Running(tmp_path, quick(tmp_path), hosts=("ct.example",)) as service:
        assert service.http.get("/jobs", headers={"Host": "CT.example:443"}).status_code == 200


# ---------------------------------------------------------------------------------------------- traces


def test_every_response_tells_browsers_what_to_refuse(guarded: Service) -> None:
    for path in ("/", "/nothing", "/api/v1/jobs", "/api/v1/health", "/api/v1/nothing"):
        headers = httpx.get(guarded.address + path, trust_env=False).headers
        policy = headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "server" not in headers
    assert guarded.http.get("/jobs").headers["Cache-Control"] == "no-store"
    browser = logged_in(guarded, "Dr. Çelik")
    job = guarded.submit(("scan.json", orders(key="k")), http=browser)["id"]
    guarded.ended(job, browser)
    file = browser.get(f"/jobs/{job}/files/{next(iter(contents('k')))}")
    assert (file.status_code, file.headers["Cache-Control"]) == (200, "no-store")


def test_cookies_are_for_tls_where_there_is_tls(tmp_path: Path, users: Path) -> None:
    with Running(tmp_path, quick(tmp_path), users=users, behind_tls=True) as service:
        answer = service.http.post("/session", json={"user": "anna", "password": PASSWORDS["anna"]})
        assert answer.headers["Set-Cookie"].startswith("__Host-jcs=")
        assert "Secure" in answer.headers["Set-Cookie"]
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    with Running(tmp_path, quick(tmp_path), users=users, behind_tls=True, hsts_subdomains=False) as service:
        assert service.http.get("/health").headers["Strict-Transport-Security"] == "max-age=31536000"
    with Running(tmp_path, quick(tmp_path), users=users) as service:
        assert "Strict-Transport-Security" not in service.http.get("/health").headers


def test_who_did_what_is_kept_and_tells_nothing_of_patients(guarded: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    guarded.http.post("/session", json={"user": SECRET, "password": SECRET})
    browser = logged_in(guarded, "Dr. Çelik")
    job = guarded.submit((f"{SECRET}.json", orders(key="k")), http=browser)["id"]
    guarded.ended(job, browser)
    browser.get(f"/jobs/{job}/files/{SECRET}")
    browser.get(f"/jobs/{SECRET}")
    browser.get(f"/jobs/{job}/files/{next(iter(contents('k')))}")
    browser.delete(f"/jobs/{job}")
    path = guarded.store / "audit.jsonl"
    deadline = time.monotonic() + 10
    while "DELETE" not in (text := path.read_text()):
        assert time.monotonic() < deadline
    lines = [json.loads(line) for line in text.splitlines()]
    told = [(line["who"], line["what"], line["job"], line["status"]) for line in lines]
    assert (None, "POST /session", None, 401) in told
    for expected in (
        ("POST /session", None, 200),
        ("POST /jobs", job, 202),
        ("GET /jobs/{job_id}/files/{name:path}", job, 200),
        ("DELETE /jobs/{job_id}", job, 204),
    ):
        assert ("Dr. Çelik", *expected) in told, expected
    assert path.stat().st_mode & 0o077 == 0
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name != "httpx")
    assert "POST /jobs 202" in logged
    assert not any(word in text + logged for word in (*SECRET.split(), "%5EJane"))
