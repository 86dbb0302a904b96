"""`jcs doctor`: what it finds wrong with an installation, and how it ends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jcs_ct.diagnosis.fitness import lung_ml
from jcs_ct.diagnosis.slices import find_lung_slices
from jcs_ct.doctor.checks import EXIT_CODES, Finding, State, examine, worst
from jcs_ct.doctor.facts import Facts, facts_of_this_computer, instructions_in
from jcs_ct.doctor.phantom import LUNG_ML, phantom
from jcs_ct.doctor.self_test import judged, try_on_phantom
from jcs_ct.errors import UsageError
from jcs_ct.weights import SHIPPED
from tests.command_line import CommandLine

HEALTHY = Facts(
    python=(3, 12, 9),
    system="Linux 6.1",
    processor="x86_64",
    cores=2,
    memory_bytes=8 * 1024**3,
    instructions=frozenset({"sse4_2", "avx", "avx2"}),
    packages={"numpy": "2.1.0", "fastapi": "0.120.0", "pebble": "5.1.0", "ray": "2.50.0"},
    requirements=(
        "numpy<3,>=1.26",
        "fastapi<1,>=0.115; extra == 'serve'",
        "jcs-ct[batch]; extra == 'cluster'",
        "ray<3,>=2.40; extra == 'cluster'",
        "pebble<6,>=5.1; extra == 'batch'",
        "ruff; extra == 'dev'",
    ),
)


def findings(facts: Facts, weights: Path = SHIPPED, needs: Collection[str] = ()) -> dict[str, Finding]:
    return {each.about: each for each in examine(facts, weights, needs)}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "weights"))


def test_healthy_installation_has_nothing_but_good_findings() -> None:
    found = findings(HEALTHY, needs=("serve", "cluster"))
    assert {each.state for each in found.values()} == {State.OK}
    assert "extra dev" not in found


def test_this_installation_is_described() -> None:
    facts = facts_of_this_computer()
    assert facts.cores >= 1
    assert "numpy" in facts.packages
    assert findings(facts)["packages"].state is State.OK


# Weights


@pytest.mark.parametrize("name", ["classifier.int8.bin", "classifier.onnx", "segmenter.safetensors"])
def test_damaged_weights_are_found(weights: Path, name: str) -> None:
    content = bytearray((weights / name).read_bytes())
    content[len(content) // 2] ^= 1
    (weights / name).write_bytes(content)
    network, other = ("classifier", "segmenter")[:: 1 if name.startswith("classifier") else -1]
    found = findings(HEALTHY, weights)
    assert found[f"weights {network}"].state is State.FAULT
    assert name in found[f"weights {network}"].text
    assert "damaged" in found[f"weights {network}"].text
    assert found[f"weights {other}"].state is State.OK, "each network is told of by itself"


def test_missing_weights_are_found(weights: Path, tmp_path: Path) -> None:
    (weights / "segmenter.int8.xml").unlink()
    assert findings(HEALTHY, weights)["weights segmenter"].state is State.FAULT
    assert findings(HEALTHY, tmp_path)["weights"].state is State.FAULT


# Packages


def test_missing_extra_is_a_hint_and_a_fault_where_it_is_needed() -> None:
    facts = replace(HEALTHY, packages={"numpy": "2.1.0", "ray": "2.50.0"})
    found = findings(facts)
    assert found["extra serve"] == Finding(State.HINT, "extra serve", "fastapi is missing: pip install 'jcs-ct[serve]'")
    assert "pebble is missing" in found["extra cluster"].text, "what an extra includes counts"
    assert worst(found.values()) is State.HINT
    assert findings(facts, needs=("serve",))["extra serve"].state is State.FAULT
    with pytest.raises(UsageError, match="found serving, expected some of batch, cluster, serve"):
        findings(facts, needs=("serving",))


@pytest.mark.parametrize(("version", "said"), [(None, "numpy is missing"), ("1.20.0", "found numpy 1.20.0, expected")])
def test_packages_that_diagnosing_needs_are_checked(version: str | None, said: str) -> None:
    packages = {name: each for name, each in HEALTHY.packages.items() if name != "numpy"}
    facts = replace(HEALTHY, packages=packages if version is None else {**packages, "numpy": version})
    assert findings(facts)["packages"].state is State.FAULT
    assert said in findings(facts)["packages"].text


# The computer


def test_processor_without_avx2_is_found() -> None:
    facts = replace(HEALTHY, instructions=frozenset({"sse4_2", "avx"}))
    assert findings(facts)["instructions"].state is State.WARNING
    assert "no AVX2" in findings(facts)["instructions"].text
    arm = replace(HEALTHY, processor="aarch64", instructions=frozenset({"asimd"}))
    assert findings(arm)["instructions"] == Finding(State.OK, "instructions", "asimd")
    assert findings(replace(HEALTHY, instructions=None))["instructions"].state is State.HINT


def test_instructions_are_those_that_all_cores_have() -> None:
    told = "processor\t: 0\nflags\t\t: fpu avx avx2\n\nprocessor\t: 1\nflags\t\t: fpu avx\n"
    assert instructions_in(told) == frozenset({"fpu", "avx"})
    assert instructions_in("Features\t: fp asimd\n") == frozenset({"fp", "asimd"})
    assert instructions_in("vendor_id\t: x\n") is None


def test_python_without_its_fixes_is_found() -> None:
    assert findings(replace(HEALTHY, python=(3, 11, 7)))["python"].state is State.WARNING
    assert "python" not in findings(HEALTHY)


# The phantom


def test_phantom_has_the_lungs_that_it_states() -> None:
    lungs = find_lung_slices(phantom(), (224, 288))
    assert lungs is not None
    found_ml = lung_ml(lungs)
    assert found_ml is not None
    assert abs(found_ml / LUNG_ML - 1) < 0.1


def test_shipped_networks_pass_on_the_phantom() -> None:
    found = try_on_phantom(SHIPPED)
    assert found.state is State.OK, found


def test_networks_that_cannot_run_are_told(weights: Path) -> None:
    (weights / "classifier.int8.bin").write_bytes(b"")
    found = try_on_phantom(weights)
    assert (found.state, "a diagnosis fails" in found.text) == (State.FAULT, True)


def test_outputs_that_are_wrong_are_told() -> None:
    exact = np.array([0.2, 0.8], np.float32)
    assert judged("classifier", np.array([0.25, 0.75, 0.1], np.float32), exact) is None
    assert "no probability" in str(judged("classifier", np.array([0.2, np.nan], np.float32), exact))
    assert "no probability" in str(judged("classifier", np.array([0.2, 1.2], np.float32), exact))
    assert "differs by 0.60" in str(judged("classifier", np.array([0.2, 0.2], np.float32), exact))


# The command


def test_exit_codes_are_those_of_the_page() -> None:
    assert EXIT_CODES == {State.OK: 0, State.HINT: 0, State.WARNING: 5, State.FAULT: 4}
    page = (Path(__file__).parents[2] / "docs" / "usage.md").read_text(encoding="utf-8")
    section = page.partition("## Check an installation")[2].partition("\n## ")[0]
    assert {f"| {code} |" in section for code in (*EXIT_CODES.values(), 2)} == {True}


def test_command_tells_of_damaged_weights_and_tries_nothing_more(jcs: CommandLine, weights: Path) -> None:
    (weights / "classifier.onnx").write_bytes(b"x")
    ended = jcs("doctor", "--weights", weights, "--json")
    assert ended.code == EXIT_CODES[State.FAULT]
    found = {each["about"]: each["state"] for each in json.loads(ended.out)}
    assert found["weights classifier"] == "fault"
    assert "self-test" not in found


def test_command_ends_as_its_findings_say(jcs: CommandLine) -> None:
    ended = jcs("doctor", "--no-self-test", "--needs", "serve")
    states = {line.split()[0] for line in ended.out.splitlines()}
    assert ended.code == (4 if "fault" in states else 5 if "warning" in states else 0)
    assert "ok       extra serve: installed" in ended.out
    assert jcs("doctor", "--needs", "nothing").refusal().startswith("--needs: found nothing")
