"""What an installation provides: light imports, one version, complete package data, no network access."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import jcs_ct
from tests.conftest import LONG_FILES

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "jcs_ct"
TRAINING_ONLY = {"torch", "torchvision", "timm", "lightning", "torchmetrics", "onnx", "tensorboard"}


def run_python(code: str, *, home: Path | None = None) -> str:
    """Standard output of `code` in an interpreter of its own; CI is unset, so that nothing behaves better here."""
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    if home is not None:
        environment["HOME"] = str(home)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).parent / arguments[0]
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(
        [str(tool), *arguments[1:]], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )


def loaded_by(code: str) -> set[str]:
    """Top-level packages that are loaded after `code` has run."""
    report = "import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    return set(json.loads(run_python(f"{code}\n{report}").splitlines()[-1]))


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = loaded_by("import jcs_ct")
    assert not loaded & (TRAINING_ONLY | {"numpy", "scipy", "skimage", "openvino", "pydicom", "nibabel"})


@pytest.mark.parametrize("name", ["read_study", "Study", "Diagnoser", "Diagnosis"])
def test_public_names_load_without_torch(name: str) -> None:
    assert not loaded_by(f"from jcs_ct import {name}") & TRAINING_ONLY


def test_public_names_are_listed_and_others_refused() -> None:
    assert set(jcs_ct.__all__) <= set(dir(jcs_ct))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = jcs_ct.nonsense


def test_cli_help_loads_no_torch() -> None:
    code = (
        "import sys\n"
        "from jcs_ct.cli import main\n"
        "sys.argv = ['jcs', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
    )
    assert not loaded_by(code) & TRAINING_ONLY


def test_version_is_the_same_everywhere() -> None:
    assert version("jcs-ct") == jcs_ct.__version__
    assert f"## [{jcs_ct.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    assert jcs_ct.__version__ in run_tool("jcs", "--version").stdout


def test_diagnosing_requires_no_training_package() -> None:
    core = {re.split(r"[^\w-]", line)[0] for line in requires("jcs-ct") or [] if "extra ==" not in line}
    assert "openvino" in core
    assert not core & TRAINING_ONLY


# ---------------------------------------------------------------------------------------------- nothing leaves


def test_loading_the_engine_touches_neither_network_nor_home(tmp_path: Path) -> None:
    # `import openvino` alone reports itself to Google Analytics and writes ~/intel, without asking.
    code = (
        "import sys\n"
        "seen = []\n"
        "watched = {'socket.connect', 'socket.getaddrinfo', 'socket.gethostbyname', 'urllib.Request', 'os.fork'}\n"
        "sys.addaudithook(lambda event, arguments: seen.append(event) if event in watched else None)\n"
        "import jcs_ct.engine, openvino, time\n"
        "time.sleep(1)\n"  # telemetry is sent from a thread, which forks
        "print(seen)\n"
    )
    assert run_python(code, home=tmp_path).strip() == "[]"
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------- package data


def test_every_code_folder_is_a_package() -> None:
    # import-linter does not see modules in folders without __init__.py.
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_weights_are_shipped() -> None:
    assert list((PACKAGE / "weights").glob("*.onnx")), "no exported model in src/jcs_ct/weights"


def test_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("jcs_ct-*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("jcs_ct/")}
    present = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == present
    assert "jcs_ct/py.typed" in packed
    assert wheel.stat().st_size < 100e6


# ---------------------------------------------------------------------------------------------- the lock


def locked(text: str) -> dict[str, list[tuple[Requirement, int]]]:
    """Of each package in a lock file: what is pinned, and by how many hashes; several where markers differ."""
    found: dict[str, list[tuple[Requirement, int]]] = {}
    for entry in re.split(r"\n(?=\S)", text.replace("\\\n", " ")):
        if entry and not entry.startswith("#"):
            first, *hashes = entry.split(" --hash=")
            requirement = Requirement(first)
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each.strip()) for each in hashes), entry
            found.setdefault(canonical(requirement.name), []).append((requirement, len(hashes)))
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required_by_hand(*extras: str) -> list[Requirement]:
    """What pyproject.toml names for an installation with these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return [Requirement(line) for line in lines]


def problems_of(lock: dict[str, list[tuple[Requirement, int]]]) -> list[str]:
    """What a lock lacks for an installation with the service and the node."""
    found = []
    for wanted in required_by_hand("serve", "pacs"):
        pins = lock.get(canonical(wanted.name), [])
        versions = [str(pin.specifier).removeprefix("==") for pin, _ in pins]
        if not versions or not all(wanted.specifier.contains(version) for version in versions):
            found.append(f"{wanted}: locked {versions}")
    for pins in lock.values():
        found += [f"{pin} is not pinned" for pin, _ in pins if not re.fullmatch(r"==[^,*]+", str(pin.specifier))]
        found += [f"{pin} has no hash" for pin, hashes in pins if not hashes]
    return found


def test_lock_names_every_requirement() -> None:
    lock = locked((ROOT / "requirements.lock").read_text())
    assert len(lock) > len(required_by_hand("serve", "pacs"))
    assert problems_of(lock) == [], "run: make lock"
    assert not set(lock) & TRAINING_ONLY


def test_lock_keeps_to_the_versions_that_are_tested() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    lock = locked((ROOT / "requirements.lock").read_text())
    for wanted in map(Requirement, lines):
        for pin, _ in lock.get(canonical(wanted.name), []):
            assert str(pin.specifier) == str(wanted.specifier), "run: make lock"


def test_locks_that_lack_something_are_found() -> None:
    text = (ROOT / "requirements.lock").read_text()
    without = re.sub(r"(?m)^zxcvbn==.*\n(    --hash.*\n?)+", "", text)
    assert [each.split(">")[0] for each in problems_of(locked(without))] == ["zxcvbn<5,"]
    older = re.sub(r"(?m)^pydicom==\S+", "pydicom==2.4.0", text)
    assert "locked ['2.4.0']" in problems_of(locked(older))[0]
    bare = re.sub(r"(?m)^(h11==\S+) \\\n(    --hash.*\n)+", r"\1\n", text)
    assert problems_of(locked(bare)) == [f"{locked(bare)['h11'][0][0]} has no hash"]


# ---------------------------------------------------------------------------------------------- repository


@pytest.mark.parametrize(
    ("example", "files"), [("coronacases_001", 100), ("lung-pet-ct-dx-A0002", 30)], ids=lambda value: str(value)
)
def test_examples_come_with_their_licences(example: str, files: int) -> None:
    folder = ROOT / "examples" / example
    assert len(list(folder.iterdir())) == files
    licence = (ROOT / "examples" / f"{example}.LICENSE.md").read_text()
    assert "creativecommons.org/licenses/" in licence
    assert example in (ROOT / "examples" / "README.md").read_text()


def test_licence_and_notice_are_there() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert "Simonyan" in (ROOT / "NOTICE").read_text()


@pytest.mark.parametrize("pattern", LONG_FILES)
def test_long_files_of_tests_are_there(pattern: str) -> None:
    assert list((ROOT / "tests").glob(pattern))


def test_imports_keep_to_the_layers() -> None:
    done = run_tool("lint-imports")
    assert done.returncode == 0, done.stdout + done.stderr
