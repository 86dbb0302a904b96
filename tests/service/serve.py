"""A service in a process of its own: `python -m tests.service.serve STORE QUEUE [SERVICE]`; prints its address.

QUEUE and SERVICE are settings as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from jcs_ct.jobs.settings import QueueSettings
from jcs_ct.service.server import open_server
from jcs_ct.service.settings import ServiceSettings


def main(store: str, queue: str, service: str = "{}") -> None:
    """Serve until a signal says otherwise."""
    settings = ServiceSettings(store=Path(store), port=0, **json.loads(service))
    with open_server(settings, QueueSettings.from_json(queue), lambda address: print(address, flush=True)) as server:  # noqa: T201
        server.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
