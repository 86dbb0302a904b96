"""The files of deploy/batch, as far as they can be tested without a cluster: `jcs` takes what they say, they parse."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from jcs_ct.cli import app

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "batch"
FILES = ("slurm.sh", "kubernetes.yaml", "ray-cluster.yaml", "main.nf", "Snakefile")


def refuse_unknown_words(words: list[str]) -> None:
    """Fail where `jcs` does not know a command or one of its options."""
    group: Any = typer.main.get_command(app)
    known = {option for parameter in group.commands[words[0]].params for option in parameter.opts}
    assert [word for word in words[1:] if word.startswith("--") and word not in known] == []


def commands(text: str) -> list[list[str]]:
    """The calls of `jcs` in a file, without what surrounds them."""
    found = re.findall(r"\bjcs (?:batch|cohort)\b[^\n|`]*", text)
    return [shlex.split(each.replace('"', "").replace("'", "").rstrip(",")) for each in found]


@pytest.mark.parametrize("name", FILES)
def test_commands_are_commands_of_jcs(name: str) -> None:
    called = commands((FOLDER / name).read_text())
    assert called or name == "kubernetes.yaml"
    for words in called:
        refuse_unknown_words([words[1], *(word for word in words if word.startswith("--"))])


def test_every_file_is_told_of() -> None:
    text = (ROOT / "docs" / "batch.md").read_text()
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(FILES)
    for name in FILES:
        assert f"deploy/batch/{name}" in text, name


def test_commands_of_the_page_are_commands_of_jcs() -> None:
    called = commands((ROOT / "docs" / "batch.md").read_text())
    assert len(called) >= 5
    for words in called:
        refuse_unknown_words([words[1], *(word for word in words if word.startswith("--"))])


def test_kubernetes_job_gives_each_part_its_index() -> None:
    job: dict[str, Any] = yaml.safe_load((FOLDER / "kubernetes.yaml").read_text())
    spec = job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert (job["kind"], spec["completionMode"]) == ("Job", "Indexed")
    words = container["command"]
    refuse_unknown_words(words[1:])
    assert words[words.index("--of") + 1] == str(spec["completions"])
    assert int(words[words.index("--grace") + 1]) < spec["template"]["spec"]["terminationGracePeriodSeconds"]
    workers, gib = (int(words[words.index(option) + 1]) for option in ("--workers", "--memory"))
    assert workers == int(container["resources"]["limits"]["cpu"])
    assert workers * gib < int(container["resources"]["limits"]["memory"].removesuffix("Gi"))
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["template"]["spec"]["volumes"]}


def test_ray_cluster_sends_no_usage_reports() -> None:
    cluster: dict[str, Any] = yaml.safe_load((FOLDER / "ray-cluster.yaml").read_text())
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        (start,) = (command for command in cluster[key] if "ray start" in command)
        assert start.startswith("RAY_USAGE_STATS_ENABLED=0 ")


def test_slurm_script_runs_its_part(tmp_path: Path) -> None:
    """With stand-ins for srun, sbatch and jcs that write down how they were called."""
    for name, body in {"srun": 'exec "$@"', "sbatch": 'echo "sbatch $*"', "jcs": 'echo "jcs $*"'}.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_MIN": "0",
        "SLURM_ARRAY_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "16", "INPUT": "in.csv", "OUT": "results",
    }  # fmt: skip
    first, second = (
        subprocess.run(
            ["bash", str(FOLDER / "slurm.sh")],
            env=environment | {"SLURM_ARRAY_TASK_ID": task},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for task in ("0", "1")
    )
    assert first[0] == "sbatch --dependency=afterany:7 --job-name=jcs-cohort --wrap=jcs cohort results"
    assert first[1:] == second == ["jcs batch in.csv -o results --part auto --workers 16 --grace 45"]
