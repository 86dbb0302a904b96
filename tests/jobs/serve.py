"""A process that supervises a queue until it is killed: `python -m tests.jobs.serve ROOT SETTINGS`."""

from __future__ import annotations

import sys
from pathlib import Path

from jcs_ct.jobs.settings import QueueSettings
from jcs_ct.jobs.supervisor import Supervisor

if __name__ == "__main__":
    Supervisor(Path(sys.argv[1]), QueueSettings.from_json(sys.argv[2])).run()
