"""What a user waits for before any diagnosis: the help and the import."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

from benchmarks.speed_sections.plan import Figures, Plan, timed

COMMANDS = {
    "python alone": [sys.executable, "-c", "pass"],
    "import jcs_ct": [sys.executable, "-c", "import jcs_ct"],
    "jcs --help": [sys.executable, "-m", "jcs_ct.cli", "--help"],
    "jcs diagnose --help": [sys.executable, "-m", "jcs_ct.cli", "diagnose", "--help"],
}


def start(plan: Plan) -> Figures:
    """Seconds of whole processes, median after one that does not count."""
    rounds = 2 if plan.quick else 15

    def run(command: list[str]) -> float:
        environment = os.environ | {"TERM": "dumb"}
        return timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment))

    return {
        "seconds": {name: statistics.median([run(c) for _ in range(rounds + 1)][1:]) for name, c in COMMANDS.items()}
    }
