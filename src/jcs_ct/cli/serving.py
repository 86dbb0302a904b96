"""The command that serves: the workstation in a browser.

Imports are inside the functions: the help and the other commands need none of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jcs_ct.errors import UsageError


def serve(
    store: Annotated[Path, typer.Option(help="Folder for studies and results; on a local disk.")] = Path("jcs-store"),
    host: Annotated[str, typer.Option(help="Address to listen on; another than loopback needs --users.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8787,
    users: Annotated[Path | None, typer.Option(help="File of users, as jcs user add writes it.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate and its chain (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(help="TLS key (PEM).")] = None,
    behind_tls: Annotated[bool, typer.Option("--behind-tls", help="A proxy in front speaks TLS.")] = False,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Name that browsers reach the service by, once for each.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights folder in place of the one that ships.")] = None,
    threshold: Annotated[int, typer.Option(help="Patient rule, as for jcs diagnose.", min=1)] = 25,
    threads: Annotated[int | None, typer.Option(help="Cores for a study; all if not given.", min=1)] = None,
    keep_days: Annotated[float, typer.Option(help="Remove ended studies after so many days; 0 for never.")] = 30.0,
    max_store_gib: Annotated[float, typer.Option(help="Of all studies and results together.", min=1)] = 100.0,
) -> None:
    """Serve the workstation: hand studies in, follow, look, correct and sign off in a browser.

    Without --users nobody logs in, and only this computer reaches it.
    """
    try:
        from pydantic import ValidationError

        from jcs_ct.service.server import open_server
        from jcs_ct.service.settings import ServiceSettings
    except ModuleNotFoundError as error:
        raise UsageError(f"jcs serve needs {error.name}: pip install 'jcs-ct[serve]'") from error
    from jcs_ct.jobs.settings import GIB, QueueSettings

    try:
        settings = ServiceSettings(
            store=store, host=host, port=port, users=users, certificate=certificate, key=key, behind_tls=behind_tls,
            hosts=tuple(allow_host or ()),
        )  # fmt: skip
    except ValidationError as error:
        raise UsageError("; ".join(each["msg"].removeprefix("Value error, ") for each in error.errors())) from error
    queue = QueueSettings(
        threads=threads,
        task_settings={"weights": None if weights is None else str(weights.resolve()), "threshold": threshold},
        retention_age_s=keep_days * 24 * 3600 or None,
        max_store_bytes=int(max_store_gib * GIB),
    )
    with open_server(settings, queue, lambda address: typer.echo(f"serving at {address}")) as server:
        server.run()
