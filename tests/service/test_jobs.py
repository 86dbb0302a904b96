"""Studies over HTTP: handed in, listed, followed, cancelled, deleted, and their files taken home."""

from __future__ import annotations

import io
import json
import zipfile

from tests.jobs.stand_in import contents
from tests.service.client import Service, orders


def test_a_study_goes_in_and_its_files_come_out(service: Service) -> None:
    job = service.submit(("scan.json", orders(key="k")))
    assert job["state"] in ("queued", "running")
    done = service.ended(job["id"])
    assert (done["state"], done["name"], done["owner"]) == ("done", "scan.json", "local")
    files = service.http.get(f"/jobs/{job['id']}/files").json()
    assert {file["name"]: file["size"] for file in files} == {n: len(c) for n, c in contents("k").items()}
    for name, content in contents("k").items():
        answer = service.http.get(f"/jobs/{job['id']}/files/{name}")
        assert answer.content == content
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        again = service.http.get(f"/jobs/{job['id']}/files/{name}", headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
    archive = zipfile.ZipFile(io.BytesIO(service.http.get(f"/jobs/{job['id']}/archive.zip").content))
    assert archive.testzip() is None
    assert {name: archive.read(name) for name in archive.namelist()} == contents("k")


def test_names_of_files_keep_their_folders(service: Service) -> None:
    job = service.submit(("ct/b/1.dcm", b"1"), ("ct/a/1.dcm", b"2"), ("ct/a/1.dcm", b"3"))
    assert job["name"] == "3 files"
    (folder,) = (service.store / "jobs").iterdir()
    found = {p.relative_to(folder / "input").as_posix(): p.read_bytes() for p in folder.rglob("*.dcm")}
    assert found == {"ct/b/1.dcm": b"1", "ct/a/1.dcm": b"2", "again-2/ct/a/1.dcm": b"3"}


def test_the_worklist_is_paged(service: Service) -> None:
    ids = [service.submit(("scan.json", orders(key=key)))["id"] for key in "abc"]
    for job_id in ids:
        service.ended(job_id)
    page = service.http.get("/jobs", params={"limit": 2, "offset": 1}).json()
    assert page["total"] == 3
    assert [job["id"] for job in page["jobs"]] == [ids[1], ids[0]]
    assert service.http.get("/jobs", params={"state": "failed"}).json() == {"jobs": [], "total": 0}


def test_a_study_is_cancelled_and_deleted(service: Service) -> None:
    job = service.submit(("scan.json", orders(key="k", steps=600, step_s=0.1)))["id"]
    service.waited(job, lambda found: found["stage_done"] > 0)
    refused = service.http.delete(f"/jobs/{job}")
    assert (refused.status_code, refused.headers["Content-Type"]) == (409, "application/problem+json")
    assert service.http.post(f"/jobs/{job}/cancel").json()["state"] == "cancelled"
    assert service.http.delete(f"/jobs/{job}").status_code == 204
    assert service.http.get(f"/jobs/{job}").status_code == 404


def test_waiting_studies_know_their_place(service: Service) -> None:
    first = service.submit(("scan.json", orders(key="a", steps=600, step_s=0.1)))["id"]
    service.waited(first, lambda found: found["state"] == "running")
    waiting = [service.submit(("scan.json", orders(key=key)))["position"] for key in "bc"]
    assert waiting == [0, 1]
    service.http.post(f"/jobs/{first}/cancel")


def test_changes_are_told_as_they_happen_and_again_after_a_gap(service: Service) -> None:
    with service.http.stream("GET", "/events") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "retry: 2000"
        job = service.submit(("scan.json", orders(key="k", steps=2)))["id"]
        told = []
        for line in lines:
            if line.startswith("data: "):
                told.append(json.loads(line.removeprefix("data: ")))
                if told[-1]["state"] == "done":
                    break
    assert {each["id"] for each in told} == {job}
    assert told[-1]["finished_at"] is not None
    with service.http.stream("GET", f"/jobs/{job}/events", headers={"Last-Event-ID": "0"}) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: ") and json.loads(line.removeprefix("data: "))["state"] == "done":
                break


def test_removal_is_told(service: Service) -> None:
    job = service.submit(("scan.json", orders(key="k")))["id"]
    service.ended(job)
    with service.http.stream("GET", "/events") as stream:
        lines = stream.iter_lines()
        next(lines)
        service.http.delete(f"/jobs/{job}")
        for line in lines:
            if line == "event: removed":
                break
        assert next(lines) == f'data: {{"id":"{job}"}}'


def test_health_tells_lengths_of_the_queue_only(service: Service) -> None:
    found = service.http.get("/health").json()
    assert set(found) == {"status", "version", "queued", "running", "problem"}
    assert (found["status"], found["queued"]) == ("ok", 0)
