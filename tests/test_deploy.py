"""The files of deploy/, as far as they can be checked without Docker: named files exist, and programs accept them."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from jcs_ct.pacs.settings import load_settings
from tests.reports.dicom_tools import tool
from tests.reports.test_archive import Archive, free_port, wait_for

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
BUILT = "jcs-ct"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


def services(compose: dict[str, Any], ours: bool) -> dict[str, dict[str, Any]]:
    return {name: one for name, one in compose["services"].items() if (one["image"] == BUILT) == ours}


def refuse_unknown_words(words: list[str]) -> None:
    """Fail where `jcs` does not know a command or one of its options."""
    first = next((k for k, word in enumerate(words) if word.startswith("-")), len(words))
    command, options = words[:first], [word for word in words[first:] if word.startswith("--")]
    done = subprocess.run(
        [sys.executable, "-m", "jcs_ct.cli", *command, "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr
    for option in options:
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", done.stdout), f"jcs {' '.join(command)} has no {option}"


# Compose


@pytest.mark.parametrize("service", ["service", "node"])
def test_commands_of_compose_are_commands_of_jcs(compose: dict[str, Any], service: str) -> None:
    refuse_unknown_words(compose["services"][service]["command"])


def test_health_check_of_the_node_is_a_command_of_jcs(compose: dict[str, Any]) -> None:
    kind, program, *words = compose["services"]["node"]["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "jcs")
    refuse_unknown_words(words)


def test_files_that_are_mounted_and_built_exist(compose: dict[str, Any]) -> None:
    mounted = [volume.split(":")[0] for one in compose["services"].values() for volume in one.get("volumes", [])]
    files = [DEPLOY / path for path in mounted if path.startswith(".")]
    assert len(files) == 4
    for path in files:
        assert path.is_file(), path
    assert {path for path in mounted if not path.startswith(".")} == set(compose["volumes"])
    for one in services(compose, ours=True).values():
        assert (DEPLOY / one["build"]["context"] / one["build"]["dockerfile"]).is_file()


def test_ports_are_opened_on_this_machine_only(compose: dict[str, Any]) -> None:
    ports = [port for one in compose["services"].values() for port in one.get("ports", [])]
    assert len(ports) == 4
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_our_containers_have_no_rights_and_write_nowhere(compose: dict[str, Any]) -> None:
    ours = services(compose, ours=True)
    assert set(ours) == {"service", "node"}
    for one in ours.values():
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert [mount for mount in one["tmpfs"] if mount.startswith("/tmp:")]


def test_images_of_others_have_versions(compose: dict[str, Any]) -> None:
    for one in services(compose, ours=False).values():
        assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", one["image"]), one["image"]


def test_names_and_ports_fit_each_other(compose: dict[str, Any]) -> None:
    settings = load_settings(DEPLOY / "node.toml")
    archive = json.loads((DEPLOY / "orthanc.json").read_text())
    peer, ours = settings.peer("archive"), archive["DicomModalities"]["jcs"]
    assert {peer.host, ours["Host"]} <= set(compose["services"])
    assert (peer.ae_title, peer.port) == (archive["DicomAet"], archive["DicomPort"])
    assert (ours["AET"], ours["Port"]) == (settings.node.ae_title, settings.node.port)
    assert peer.dicomweb == f"http://archive:{archive['HttpPort']}{archive['DicomWeb']['Root'].rstrip('/')}"
    assert settings.destinations == ("archive",)
    store = compose["services"]["node"]["volumes"][0]
    assert store == compose["services"]["service"]["volumes"][0] == f"store:{settings.store}"
    assert compose["services"]["node"]["ports"] == [f"127.0.0.1:{settings.node.port}:{settings.node.port}"]


# The other files


def test_every_instruction_of_the_dockerfile_finds_its_files() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [word for line in lines if re.match(r"COPY (?!--from)", line) for word in line.split()[1:-1]]
    assert "src" in copied
    for name in copied:
        path = name.removeprefix("./")
        assert (ROOT / path).exists(), name
        assert path in sent, f"{name} is not sent to the builder"
    installs = [line.partition(" install ")[2] for line in lines if "pip install" in line]
    # The lock holds what the service and the node need (tests/test_packaging.py); nothing else is installed.
    assert installs == ["--require-hashes --requirement requirements.lock", "--no-deps ."]


def test_dockerfile_runs_jcs_without_rights() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    last = text.split("\nFROM ")[-1]
    assert re.search(r"^USER 10001:10001$", last, flags=re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert [line for line in re.findall(r"^FROM (\S+)", text, flags=re.MULTILINE) if ":" not in line] == []
    command = re.search(r"^CMD (\[.*\])$", last, flags=re.MULTILINE)
    assert command is not None
    refuse_unknown_words(json.loads(command[1]))


def test_viewer_asks_where_the_proxy_listens() -> None:
    viewer, proxy = (DEPLOY / "ohif.js").read_text(), (DEPLOY / "proxy.conf").read_text()
    archive = json.loads((DEPLOY / "orthanc.json").read_text())
    assert archive["DicomWeb"]["Root"] == "/dicom-web/"
    for root in re.findall(r"(?:qidoRoot|wadoRoot|wadoUriRoot): '([^']+)'", viewer):
        assert re.search(rf"location {root}/? ", proxy), root
    assert proxy.count("{") == proxy.count("}")


@pytest.mark.slow
def test_orthanc_starts_with_its_configuration(tmp_path: Path) -> None:
    settings = json.loads((DEPLOY / "orthanc.json").read_text())
    own = Archive(free_port(), free_port())
    settings |= {"StorageDirectory": str(tmp_path / "db"), "IndexDirectory": str(tmp_path / "db")}
    settings |= {"HttpPort": own.http, "DicomPort": own.dicom, "Plugins": ["/usr/share/orthanc/plugins"]}
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    program = tool("Orthanc", "orthanc orthanc-dicomweb")
    with (tmp_path / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([program, str(tmp_path / "orthanc.json")], stdout=log, stderr=log)
        try:
            wait_for(own, process, tmp_path / "orthanc.log")
            assert json.loads(own.get("system"))["DicomAet"] == "ORTHANC"
            assert json.loads(own.get("modalities")) == ["jcs"]
            assert json.loads(own.get("dicom-web/studies", Accept="application/dicom+json")) == []
        finally:
            process.terminate()
            process.wait(30)
    said = (tmp_path / "orthanc.log").read_text(errors="replace")
    assert "Unknown configuration" not in said


def test_commands_in_the_documentation_are_commands_of_jcs() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    lines = re.findall(r"^jcs (.+)$", text, flags=re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        words = shlex.split(line, comments=True)
        named = words[:2] if words[0] in {"pacs", "user"} else words[:1]
        refuse_unknown_words([*named, *(word for word in words if word.startswith("--"))])
