"""Commands that serve: the workstation in a browser, and who may log in to it.

Imports are inside the functions: the help and the other commands need none of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jcs_ct.errors import UsageError

if TYPE_CHECKING:
    from jcs_ct.service.users import Role

user = typer.Typer(help="Users of jcs serve: add, remove, list, and tokens for programs.", no_args_is_help=True)

Users = Annotated[Path, typer.Option(help="File of users; made where missing.")]
Name = Annotated[str, typer.Argument(help="Of the user; sign-offs carry it.")]
Roles = Annotated[
    list[str] | None, typer.Option("--role", help="sign, delete or administer, once for each; sign and delete if new.")
]


@contextmanager
def _extra() -> Iterator[None]:
    """What the extra brings."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed; expected what the extra brings: pip install 'jcs-ct[serve]'"
        ) from error


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
    proxy: Annotated[
        list[str] | None, typer.Option(help="Address of a proxy in front, whose word on clients counts; once for each.")
    ] = None,
    audit_required: Annotated[
        bool, typer.Option("--audit-required", help="Refuse requests while the audit trail cannot be written.")
    ] = False,
    weights: Annotated[Path | None, typer.Option(help="Weights folder in place of the one that ships.")] = None,
    threshold: Annotated[int, typer.Option(help="Patient rule, as for jcs diagnose.", min=1)] = 25,
    threads: Annotated[int | None, typer.Option(help="Cores for a study; all if not given.", min=1)] = None,
    keep_days: Annotated[float, typer.Option(help="Remove ended studies after so many days; 0 for never.")] = 30.0,
    max_store_gib: Annotated[float, typer.Option(help="Of all studies and results together.", min=1)] = 100.0,
) -> None:
    """Serve the workstation: hand studies in, follow, look, correct and sign off in a browser.

    Without --users nobody logs in, and only this computer reaches it.
    """
    with _extra():
        from pydantic import ValidationError

        from jcs_ct.service.server import open_server
        from jcs_ct.service.settings import ServiceSettings
    from jcs_ct.jobs.settings import GIB, QueueSettings

    try:
        settings = ServiceSettings(
            store=store, host=host, port=port, users=users, certificate=certificate, key=key, behind_tls=behind_tls,
            hosts=tuple(allow_host or ()), proxies=tuple(proxy or ()), audit_required=audit_required,
        )  # fmt: skip
    except ValidationError as error:
        raise UsageError("; ".join(each["msg"] for each in error.errors()).replace("Value error, ", "")) from error
    queue = QueueSettings(
        threads=threads,
        task_settings={"weights": None if weights is None else str(weights.resolve()), "threshold": threshold},
        retention_age_s=keep_days * 24 * 3600 or None,
        max_store_bytes=int(max_store_gib * GIB),
    )
    with open_server(settings, queue, lambda address: typer.echo(f"serving at {address}")) as server:
        server.run()


@user.command("add")
def user_add(
    name: Name,
    users: Users,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from a pipe.")] = False,
    role: Roles = None,
    breached: Annotated[
        Path | None,
        typer.Option(
            envvar="JCS_SERVE_BREACHED_PASSWORDS", help="Sorted SHA-1 sums of passwords from breaches, to be refused."
        ),
    ] = None,
) -> None:
    """Add a user, or give one another password, which ends all sessions and revokes all tokens."""
    with _extra():
        from jcs_ct.service.breached import BreachedPasswords
        from jcs_ct.service.users import add_user
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    known = None if breached is None else BreachedPasswords(breached)
    added = add_user(users, name, password, _roles(role), known)
    typer.echo(f"{name} {'added' if added else 'has another password now'}")


@user.command("roles")
def user_roles(name: Name, users: Users, role: Roles = None) -> None:
    """Say what a user may do beyond submitting studies and looking at them; nothing where no --role is given."""
    with _extra():
        from jcs_ct.service.users import set_roles
    chosen = _roles(role) or ()
    set_roles(users, name, chosen)
    typer.echo(f"{name} may {', '.join(chosen) or 'submit studies and look at them'}")


def _roles(given: list[str] | None) -> tuple[Role, ...] | None:
    from jcs_ct.service.users import Role

    try:
        return None if given is None else tuple(dict.fromkeys(Role(each) for each in given))
    except ValueError as error:
        raise UsageError(f"--role: found {', '.join(given or ())}, expected some of {', '.join(Role)}") from error


@user.command("remove")
def user_remove(name: Name, users: Users) -> None:
    """Remove a user; sessions end at once, studies stay, and nobody else can have the name."""
    with _extra():
        from jcs_ct.service.users import remove_user
    remove_user(users, name)
    typer.echo(f"{name} removed")


@user.command("list")
def user_list(users: Users) -> None:
    """List users and the ids of their tokens."""
    with _extra():
        from jcs_ct.service.users import read_users
    for name, found in read_users(users).items():
        made = [f"{token.id} of {datetime.fromtimestamp(token.made_at, UTC):%Y-%m-%d}" for token in found.tokens]
        typer.echo(f"{name}: {'tokens ' + ', '.join(made) if made else 'no tokens'}")


@user.command("token")
def user_token(
    name: Name, users: Users, revoke: Annotated[str | None, typer.Option(help="Id of a token to revoke.")] = None
) -> None:
    """Make a token for a user's programs (Authorization: Bearer), shown only now; or revoke one."""
    with _extra():
        from jcs_ct.service.users import add_token, revoke_token
    if revoke is None:
        typer.echo(add_token(users, name))
    else:
        revoke_token(users, name, revoke)
        typer.echo(f"token {revoke} revoked")
