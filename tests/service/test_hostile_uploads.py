"""Uploads that mean no good: each is refused, and nothing is left of it."""

from __future__ import annotations

import io
import json
import socket
import zipfile
from pathlib import Path

import httpx
import pytest
from pydicom.dataset import Dataset

from jcs_ct.service.arrivals import safe_name
from jcs_ct.service.problems import RefusedError
from tests.jobs.finished import PHANTOM, SPACING
from tests.jobs.stores import quick
from tests.phantoms import write_dicom_series
from tests.service.client import Running, Service, orders, zipped

MIB = 1024**2
BOUNDARY = "b0undary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
HTML = "<img src=x onerror=alert(1)>\"'&"


def part(name: str, content: bytes = b"x") -> bytes:
    """A part of a form, with the name as it is."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n"


def sent(service: Service, body: bytes, boundary: str = BOUNDARY) -> httpx.Response:
    return service.http.post(
        "/jobs", content=body, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )


def left(service: Service) -> list[Path]:
    """What lies where uploads are received."""
    return [path for path in (service.store / "uploads").rglob("*") if path.is_file()]


# ---------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name",
    [
        "../escaped.dcm", "ct/../../escaped.dcm", "/tmp/escaped.dcm", "..\\\\escaped.dcm", "C:/escaped.dcm", "..", ".",
        "", "a" * 256, "/".join("a" * 17), "ct/\x01.dcm", "ct/\u202egpj.dcm",
    ],
)  # fmt: skip
def test_names_that_lead_out_of_the_folder_are_refused(standing: Service, name: str) -> None:
    answer = sent(standing, part("ct/1.dcm") + part(name) + f"--{BOUNDARY}--\r\n".encode())
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    assert standing.http.get("/jobs").json()["total"] == 0
    assert not list(standing.store.parent.rglob("*escaped*"))
    assert not left(standing)


def test_names_that_are_no_text_are_refused() -> None:
    with pytest.raises(RefusedError):
        safe_name("ct/\udcff.dcm")


def test_a_name_cannot_be_a_file_and_a_folder(standing: Service) -> None:
    for names in (("a", "a/b"), ("a/b", "a")):
        answer = sent(standing, b"".join(map(part, names)) + f"--{BOUNDARY}--\r\n".encode())
        assert answer.status_code == 422, names
    assert not left(standing)


def test_entries_of_an_archive_that_lead_out_of_it_are_refused(phantoms: Service) -> None:
    for name in ("../../escaped.dcm", "/tmp/escaped.dcm", "ct\\..\\..\\escaped.dcm"):
        archive = zipped({"ct/1.dcm": b"x", name: b"x"})
        job = phantoms.ended(phantoms.submit(("ct.zip", archive))["id"])
        assert (job["state"], "points outside" in job["reason"]) == ("failed", True)
        assert str(phantoms.store) not in job["reason"]
    assert not list(phantoms.store.parent.rglob("*escaped*"))


def test_links_in_an_archive_are_refused(phantoms: Service) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        link = zipfile.ZipInfo("ct/1.dcm")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    job = phantoms.ended(phantoms.submit(("ct.zip", target.getvalue()))["id"])
    assert (job["state"], "symbolic link" in job["reason"]) == ("failed", True)


def test_a_bomb_is_refused_without_being_unpacked(phantoms: Service) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(2):
            with archive.open(f"{number}.dcm", "w") as stream:
                for _ in range(130):
                    stream.write(bytes(MIB))
    bomb = target.getvalue()
    assert len(bomb) < MIB
    job = phantoms.ended(phantoms.submit(("ct.zip", bomb))["id"])
    assert (job["state"], "times its size" in job["reason"]) == ("failed", True)


# ---------------------------------------------------------------------------------------------- sizes


def test_uploads_that_are_too_large_are_refused_while_they_come(tmp_path: Path) -> None:
    with Running(tmp_path, quick(tmp_path), max_upload_bytes=2 * MIB, max_upload_files=5) as service:
        received = []

        def endless() -> object:
            yield part("scan.nii")[:-2]
            for _ in range(400):
                received.append(1)
                yield bytes(MIB)

        try:
            answer = service.http.post(
                "/jobs",
                content=endless(),  # type: ignore[arg-type]
                headers={"Content-Type": FORM},
            )
            assert answer.status_code == 413
        except httpx.TransportError:
            pass  # it hangs up on who goes on sending
        assert len(received) < 100
        assert sent(service, part("a") * 6 + f"--{BOUNDARY}--\r\n".encode()).status_code == 413
        assert not left(service)
        assert service.http.get("/jobs").json()["total"] == 0


def test_bodies_of_other_requests_are_bounded(standing: Service) -> None:
    large = {"user": "anna", "password": "x" * 2 * MIB}
    assert standing.http.post("/session", json=large).status_code == 413

    def unbounded() -> object:
        yield b"{"

    assert standing.http.post("/session", content=unbounded()).status_code == 411  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "boundary"),
    [
        (b"", BOUNDARY),
        (b"nonsense", BOUNDARY),
        (part("a"), BOUNDARY),  # cut off
        (f"--{BOUNDARY}--\r\n".encode(), BOUNDARY),
        (f"--{BOUNDARY}\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode(), BOUNDARY),
        (f"--{BOUNDARY}\r\n".encode() + b"X: y\r\n" * 99 + b"\r\n", BOUNDARY),
        (part("a").replace(b'"files"', b'"\xff"') + f"--{BOUNDARY}--\r\n".encode(), BOUNDARY),
        (b"x", ""),
    ],
)
def test_damaged_forms_are_refused(standing: Service, body: bytes, boundary: str) -> None:
    assert sent(standing, body, boundary).status_code in (400, 415, 422)
    assert not left(standing)


def test_a_form_that_is_cut_off_leaves_nothing(service: Service) -> None:
    def cut() -> object:
        yield part("scan.nii", bytes(MIB))
        raise ConnectionError

    with pytest.raises(ConnectionError):
        service.http.post(
            "/jobs",
            content=cut(),  # type: ignore[arg-type]
            headers={"Content-Type": FORM},
        )
    assert service.http.get("/jobs").json()["total"] == 0
    service.ended(service.submit(("scan.json", orders()))["id"])
    assert not left(service)


def test_more_uploads_at_a_time_than_there_may_be_are_put_off(tmp_path: Path) -> None:
    with Running(tmp_path, quick(tmp_path), max_uploads=1) as service:

        def slow() -> object:
            yield part("scan.json", orders())
            answer = service.client().post("/jobs", files={"files": ("b.json", orders())})
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
            yield f"--{BOUNDARY}--\r\n".encode()

        answer = service.http.post(
            "/jobs",
            content=slow(),  # type: ignore[arg-type]
            headers={"Content-Type": FORM},
        )
        assert answer.status_code == 202


def test_an_upload_that_brings_nothing_is_given_up(tmp_path: Path) -> None:
    with Running(tmp_path, quick(tmp_path), idle_s=0.2) as service:
        with socket.create_connection(("127.0.0.1", int(service.address.rpartition(":")[2]))) as connection:
            head = (
                f"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\nContent-Type: {FORM}\r\n\r\n"
            )
            connection.sendall(head.encode() + part("scan.nii")[:-5])
            connection.settimeout(30)
            answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408")
        assert not left(service)


def test_uploads_are_refused_before_they_are_sent_where_the_disk_is_full(tmp_path: Path) -> None:
    with Running(tmp_path, quick(tmp_path, min_free_bytes=2**60)) as service:
        assert service.http.post("/jobs", files={"files": ("a", b"a")}).status_code == 507
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "5"}
        assert service.http.post("/uploads", headers=headers).status_code == 507


def test_a_full_queue_puts_studies_off(tmp_path: Path) -> None:
    with Running(tmp_path, quick(tmp_path, max_waiting=1)) as service:
        first = service.submit(("a.json", orders(key="a", steps=600, step_s=0.1)))["id"]
        answer = service.http.post("/jobs", files={"files": ("b.json", orders(key="b"))})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
        assert "the queue is full" in answer.json()["detail"]
        assert not left(service)
        service.http.post(f"/jobs/{first}/cancel")
        assert service.ended(service.submit(("b.json", orders(key="b")))["id"])["state"] == "done"


def test_requests_of_one_user_are_bounded(tmp_path: Path) -> None:
    with Running(tmp_path, quick(tmp_path), requests_per_s=0.01, request_burst=5) as service:
        statuses = [service.http.get("/jobs").status_code for _ in range(8)]
        assert statuses == [200] * 5 + [429] * 3
        assert service.http.get("/health").status_code == 200


# ---------------------------------------------------------------------------------------------- markup


def test_markup_in_names_comes_back_as_data_only(phantoms: Service, tmp_path: Path) -> None:
    def mark(dataset: Dataset, index: int) -> None:
        del index
        dataset.PatientName, dataset.PatientID = f"{HTML}^Jane", HTML[:64]
        dataset.StudyDescription = HTML[:64]

    paths = write_dicom_series(
        tmp_path / "ct", PHANTOM.hu, positions=[8.0 * z for z in range(24)], spacing=SPACING[1:], edit=mark
    )
    archive = zipped({path.name: path.read_bytes() for path in paths})
    job = phantoms.submit((f"{HTML.replace('/', '')}.zip".replace('"', ""), archive))["id"]
    done = phantoms.ended(job)
    assert done["state"] == "done", done
    for path in (f"/jobs/{job}", "/jobs", f"/jobs/{job}/result", f"/jobs/{job}/files"):
        answer = phantoms.http.get(path)
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert done["summary"]["patient"]["id"] == HTML[:64]
    assert "<img" in done["name"]
    report = phantoms.http.get(f"/jobs/{job}/files/report.html")
    assert "<img src=x" not in report.text
    assert report.headers["Content-Disposition"].startswith("attachment")
    for error in (phantoms.http.get(f"/jobs/{HTML}"), phantoms.http.get(f"/{HTML}")):
        assert error.headers["Content-Type"] == "application/problem+json"
        assert "<img" not in error.text
    json.loads(error.text)


def test_files_of_a_result_do_not_lead_out_of_it(service: Service) -> None:
    job = service.submit(("scan.json", orders()))["id"]
    service.ended(job)
    for name in ("../outcome.json", "%2e%2e/outcome.json", "..%2foutcome.json", "/etc/passwd", "%2fetc%2fpasswd", ""):
        assert service.http.get(f"/jobs/{job}/files/{name}").status_code in (404, 405), name
    for path in ("/..%2fapp.py", "/%2e%2e/app.py", "/study/../../app.py", "/.git/config"):
        assert httpx.get(service.address + path, trust_env=False).status_code == 404, path
