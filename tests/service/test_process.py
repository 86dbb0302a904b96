"""`jcs serve` as users start it: a process that opens a port, works, and stops when it is told to."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from jcs_ct.jobs.job import JobState
from jcs_ct.jobs.queue import JobQueue
from tests.command_line import CommandLine
from tests.jobs.finished import PHANTOM, SPACING
from tests.jobs.stores import quick
from tests.opacity_networks import write_weights
from tests.phantoms import write_nifti
from tests.service.client import Running, client_of, orders
from tests.service.processes import members, started

JCS = ["-m", "jcs_ct.cli", "serve", "--port", "0"]


@pytest.mark.slow
def test_a_fresh_service_diagnoses_a_study_and_stops_on_sigterm(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "weights")
    write_nifti(tmp_path / "ct.nii.gz", PHANTOM.hu, spacing=SPACING)
    arguments = [*JCS, "--store", str(tmp_path / "store"), "--weights", str(weights), "--threads", "1"]
    log = tmp_path / "log"
    with started(arguments, log) as (process, address), client_of(address) as http:
        assert httpx.get(address, trust_env=False).status_code == 200
        job = http.post("/jobs", files={"files": ("Doe^Jane.nii.gz", (tmp_path / "ct.nii.gz").read_bytes())}).json()
        with http.stream("GET", f"/jobs/{job['id']}/events", headers={"Last-Event-ID": "0"}, timeout=300) as stream:
            for line in stream.iter_lines():
                if line.startswith("data") and json.loads(line[6:])["state"] not in ("queued", "running"):
                    break
        done = http.get(f"/jobs/{job['id']}").json()
        assert done["state"] in ("done", "not_assessable"), done
        assert http.get(f"/jobs/{job['id']}/view").status_code == 200
        with http.stream("GET", "/events") as stream:  # a browser that is still there
            lines = stream.iter_lines()
            next(lines)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert [line for line in lines if line] == []
        assert process.wait(30) == 0
        assert time.monotonic() - began < 20
        while left := members(process.pid):  # Python's own resource tracker ends when it notices that we did
            assert time.monotonic() - began < 30, left
            time.sleep(0.05)
    said = log.read_text()
    assert "Traceback" not in said
    assert "POST /jobs 202" in said
    assert "Doe" not in said


@pytest.mark.slow
def test_a_killed_service_leaves_no_process_and_loses_no_study(tmp_path: Path) -> None:
    settings = quick(tmp_path, lease_s=0.4)
    arguments = ["-m", "tests.service.serve", str(tmp_path / "store"), settings.as_json()]
    with started(arguments, tmp_path / "log") as (process, address), client_of(address) as http:
        job = http.post("/jobs", files={"files": ("a.json", orders(key="a", steps=600, step_s=0.1))}).json()["id"]
        while http.get(f"/jobs/{job}").json()["state"] != "running":
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 20
        while members(process.pid):
            assert time.monotonic() < deadline, "a worker goes on without its service"
            time.sleep(0.05)
    with JobQueue(tmp_path / "store", settings) as queue:
        assert queue.job(job).state is JobState.QUEUED
        queue.cancel(job)
    with started(arguments, tmp_path / "log") as (_, address), client_of(address) as http:
        assert http.get(f"/jobs/{job}").json()["state"] == "cancelled"


def test_tls_is_spoken(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*command, *files, *subject], check=True, capture_output=True)
    with Running(tmp_path, quick(tmp_path), certificate=certificate, key=key) as service:
        assert service.address.startswith("https://")
        browser = service.client(verify=ssl.create_default_context(cafile=str(certificate)))
        assert "max-age" in browser.get("/health").headers["Strict-Transport-Security"]


def test_what_keeps_it_from_starting_is_one_line(jcs: CommandLine, tmp_path: Path) -> None:
    store = ("--store", str(tmp_path / "store"))
    said = jcs("serve", *store, "--host", "0.0.0.0").refusal()
    assert "expected a file of users (--users), or a loopback address" in said
    assert (
        "expected a file that jcs user add wrote"
        in jcs("serve", *store, "--users", str(tmp_path / "none.json")).refusal()
    )
    (tmp_path / "file").write_text("x")
    assert "cannot hold a queue" in jcs("serve", "--store", str(tmp_path / "file")).refusal()
    assert "found one of them" in jcs("serve", *store, "--certificate", str(tmp_path / "file")).refusal()
    files = ("--certificate", str(tmp_path / "file"), "--key", str(tmp_path / "file"))
    assert "expected two PEM files" in jcs("serve", *store, *files).refusal()
    assert "cannot listen on 203.0.113.1" in _users(jcs, tmp_path, *store, "--host", "203.0.113.1")


def _users(jcs: CommandLine, folder: Path, *arguments: str) -> str:
    path = folder / "users.json"
    path.write_text('{"version": 1, "users": {"anna": {"password": "$argon2id$", "tokens": []}}}')
    return jcs("serve", *arguments, "--users", str(path)).refusal()


def test_users_are_added_listed_and_removed(jcs: CommandLine, tmp_path: Path) -> None:
    file = str(tmp_path / "users.json")
    command = [sys.executable, "-m", "jcs_ct.cli", "user", "add", "anna", "--users", file, "--password-stdin"]
    done = subprocess.run(command, input="correct horse\n", capture_output=True, text=True, check=True)
    assert done.stdout == "anna added\n"
    short = subprocess.run(command, input="short\n", capture_output=True, text=True, check=False)
    assert (short.returncode, "at least 10" in short.stderr) == (2, True)
    token = jcs("user", "token", "anna", "--users", file).out.strip()
    assert token.startswith("jcs_")
    listed = jcs("user", "list", "--users", file).out
    assert listed.startswith("anna: tokens ")
    token_id = listed.split()[2]
    assert jcs("user", "token", "anna", "--users", file, "--revoke", token_id).code == 0
    assert jcs("user", "list", "--users", file).out == "anna: no tokens\n"
    assert "no user 'berta'" in jcs("user", "remove", "berta", "--users", file).refusal()
    assert jcs("user", "remove", "anna", "--users", file).out == "anna removed\n"
