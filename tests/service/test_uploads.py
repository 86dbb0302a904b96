"""Uploads that go on where they were cut off, with tuspy as the client."""

from __future__ import annotations

import base64
import io
import time
from pathlib import Path

import pytest
from tusclient.client import TusClient

from jcs_ct.jobs.queue import JobQueue
from jcs_ct.service.users import add_user
from tests.altered import stating
from tests.jobs.finished import PHANTOM, SPACING
from tests.jobs.stores import quick
from tests.phantoms import UID_ROOT, write_dicom_series
from tests.service.client import Json, Running, Service, orders, zipped
from tests.service.test_access import PASSWORDS, logged_in

TUS = {"Tus-Resumable": "1.0.0"}
PART = {**TUS, "Content-Type": "application/offset+octet-stream"}


def begun(service: Service, length: int, name: str = "scan.json") -> str:
    stated = f"filename {base64.b64encode(name.encode()).decode()}"
    answer = service.http.post("/uploads", headers={**TUS, "Upload-Length": str(length), "Upload-Metadata": stated})
    assert answer.status_code == 201, answer.text
    assert "Upload-Expires" in answer.headers
    return service.address + answer.headers["Location"]


def job_of(service: Service, address: str) -> Json:
    return service.ended(service.http.head(address, headers=TUS).headers["Jcs-Job"])


def test_an_upload_in_parts_becomes_a_job(phantoms: Service, tmp_path: Path) -> None:
    content = zipped({"notes.txt": bytes(range(256)) * 4000})
    client = TusClient(f"{phantoms.address}/api/v1/uploads")
    uploader = client.uploader(
        file_stream=io.BytesIO(content), chunk_size=100_000, metadata={"filename": "Grüße.zip", "series_uid": "1.2.3"}
    )
    uploader.upload_chunk()  # type: ignore[no-untyped-call]
    address = str(uploader.url)
    # Another process goes on, and knows the address only.
    again = client.uploader(file_stream=io.BytesIO(content), chunk_size=300_000, url=address)
    assert again.offset == 100_000
    again.upload()
    job = job_of(phantoms, address)
    assert job["name"] == "Grüße.zip"
    stored = phantoms.store / "jobs" / job["id"] / "input" / "study.zip"
    assert stored.read_bytes() == content


def test_what_arrived_outlasts_the_service(tmp_path: Path) -> None:
    content = orders(key="k")
    with Running(tmp_path, quick(tmp_path)) as service:
        address = begun(service, len(content))
        path = address.removeprefix(service.address)
        answer = service.http.patch(address, headers={**PART, "Upload-Offset": "0"}, content=content[:10])
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "10")
        assert "Jcs-Job" not in answer.headers
    with Running(tmp_path, quick(tmp_path)) as service:
        address = service.address + path
        answer = service.http.head(address, headers=TUS)
        assert (answer.headers["Upload-Offset"], answer.headers["Upload-Length"]) == ("10", str(len(content)))
        last = service.http.patch(address, headers={**PART, "Upload-Offset": "10"}, content=content[10:])
        job = last.headers["Jcs-Job"]
        assert service.ended(job)["state"] == "done"
        # Who was not told asks again, and nothing is made twice.
        again = service.http.patch(address, headers={**PART, "Upload-Offset": str(len(content))}, content=b"")
        assert (again.status_code, again.headers["Jcs-Job"]) == (204, job)
        assert service.http.get("/jobs").json()["total"] == 1


def test_a_kill_between_the_queue_and_the_upload_makes_one_job(tmp_path: Path) -> None:
    content = orders(key="k")
    with Running(tmp_path, quick(tmp_path)) as service:
        address = begun(service, len(content))
        path = address.removeprefix(service.address)
    folder = service.store / "uploads" / "resumable" / path.rpartition("/")[2]
    (folder / "data").write_bytes(content)
    with JobQueue(service.store, quick(tmp_path)) as queue:
        job = queue.submit(folder / "data", "local", key=f"upload {folder.name}", move=True)
    with Running(tmp_path, quick(tmp_path)) as service:
        answer = service.http.head(service.address + path, headers=TUS)
        assert (answer.headers["Jcs-Job"], answer.headers["Upload-Offset"]) == (job, str(len(content)))
        assert service.http.get("/jobs").json()["total"] == 1


def test_a_part_that_is_cut_off_counts_as_far_as_it_came(service: Service) -> None:
    content = orders(key="k" * 3_000_000)
    address = begun(service, len(content))

    def cut() -> object:
        yield content[:2_000_000]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        service.http.patch(address, headers={**PART, "Upload-Offset": "0"}, content=cut())  # type: ignore[arg-type]
    client = TusClient(f"{service.address}/api/v1/uploads")
    for _ in range(100):
        uploader = client.uploader(file_stream=io.BytesIO(content), chunk_size=10_000_000, url=address)
        if uploader.offset == 2_000_000:
            break
    assert uploader.offset == 2_000_000
    uploader.upload()
    assert job_of(service, address)["state"] == "done"


def test_what_does_not_fit_the_protocol_is_refused(tmp_path: Path) -> None:
    with Running(tmp_path, quick(tmp_path), max_upload_bytes=1000, max_open_uploads=2) as service:
        options = service.http.options("/uploads").headers
        assert (options["Tus-Version"], options["Tus-Max-Size"]) == ("1.0.0", "1000")
        assert set(options["Tus-Extension"].split(",")) == {"creation", "termination", "expiration"}

        def status(method: str, address: str, headers: dict[str, str], content: bytes = b"") -> int:
            return service.http.request(method, address, headers=headers, content=content).status_code

        assert status("POST", "/uploads", {"Upload-Length": "5"}) == 412
        assert status("POST", "/uploads", {**TUS, "Upload-Length": "1001"}) == 413
        assert status("POST", "/uploads", {**TUS, "Upload-Length": "0"}) == 422
        assert status("POST", "/uploads", {**TUS, "Upload-Length": "5", "Upload-Metadata": "filename !"}) == 400
        assert status("POST", "/uploads", {**TUS}) == 422
        address = begun(service, 5)
        assert status("PATCH", address, {**PART, "Upload-Offset": "3"}, b"x") == 409
        assert status("PATCH", address, {**PART, "Upload-Offset": "0"}, b"123456") == 413
        assert status("PATCH", address, {**TUS, "Upload-Offset": "0", "Content-Type": "text/plain"}, b"x") == 415
        begun(service, 5)
        assert status("POST", "/uploads", {**TUS, "Upload-Length": "5"}) == 429
        assert status("DELETE", address, TUS) == 204
        assert status("HEAD", address, TUS) == 404
        begun(service, 5)


def test_uploads_expire(tmp_path: Path) -> None:
    with Running(tmp_path, quick(tmp_path), upload_age_s=0.3) as service:
        address = begun(service, 5)
        while service.http.head(address, headers=TUS).status_code != 404:
            time.sleep(1.5)  # asking keeps an upload alive
    with Running(tmp_path, quick(tmp_path), upload_age_s=0.3) as service:
        service.http.get("/health")
        assert not list((service.store / "uploads" / "resumable").iterdir())


def test_another_users_upload_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    for name in ("anna", "berta"):
        add_user(path, name, PASSWORDS[name])
    with Running(tmp_path, quick(tmp_path), users=path) as service:
        anna, berta = logged_in(service, "anna"), logged_in(service, "berta")
        made = anna.post("/uploads", headers={**TUS, "Upload-Length": "5"})
        address = service.address + made.headers["Location"]
        for method in ("HEAD", "PATCH", "DELETE"):
            headers = {**PART, "Upload-Offset": "0"}
            assert berta.request(method, address, headers=headers, content=b"12345").status_code == 404
        assert anna.head(address, headers=TUS).headers["Upload-Offset"] == "0"


def test_each_patient_of_an_archive_gets_a_job(phantoms: Service, tmp_path: Path) -> None:
    for number in range(1, 6):
        edit = stating(PatientID=f"P{number}", PatientName=f"Name^{number}", StudyInstanceUID=f"{UID_ROOT}7.{number}")
        at = [SPACING[0] * z for z in range(len(PHANTOM.hu))]
        write_dicom_series(
            tmp_path / f"{number}", PHANTOM.hu, positions=at, series=number, spacing=SPACING[1:], edit=edit
        )
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in sorted(tmp_path.rglob("*.dcm"))}
    job = phantoms.submit(("five.zip", zipped(files)))
    made = [phantoms.ended(job["id"])]
    made += [each for each in phantoms.http.get("/jobs").json()["jobs"] if each["upload"] == job["id"] != each["id"]]
    made = [phantoms.ended(each["id"]) for each in made]
    by_name = {each["name"]: each["summary"]["patient"]["id"] for each in made if each["state"] == "done"}
    assert by_name == {f"five.zip ({number} of 5)": f"P{number}" for number in range(1, 6)}
