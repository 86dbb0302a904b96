"""One's own account: roles, sessions, tokens, password; and, for who administers them, the users."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Response

from jcs_ct.service.deps import Address, CurrentPrincipal, CurrentUser, Parts, may
from jcs_ct.service.problems import RefusedError
from jcs_ct.service.schemas import Account, PasswordChange, SessionEntry, SessionsEnd, TokenEntry, UserEntry
from jcs_ct.service.serving_files import FORGET
from jcs_ct.service.users import Role

router = APIRouter(tags=["account"])

EntryId = Annotated[str, Path(pattern="^[0-9a-f]{8}$")]


@router.get("/account")
def account(principal: CurrentPrincipal, services: Parts) -> Account:
    """What you may do, where you are logged in, and the tokens of your programs."""
    access = services.access
    found = None if access.users is None else access.users.all().get(principal.user)
    tokens = () if found is None else found.tokens
    return Account(
        user=principal.user,
        roles=sorted(principal.roles),
        sessions=[
            SessionEntry(
                id=each.id, address=each.address, began_at=_moment(each.began_at), current=each is principal.session
            )
            for each in access.sessions_of(principal.user)
        ]
        if access.users is not None
        else [],
        tokens=[TokenEntry(id=each.id, made_at=_moment(each.made_at)) for each in tokens],
    )


@router.post("/account/sessions/end", status_code=HTTPStatus.NO_CONTENT)
async def end_own_sessions(end: SessionsEnd, principal: CurrentPrincipal, address: Address, services: Parts) -> None:
    """End one of your sessions, or all others, by your password: whoever found a session cannot lock you out."""
    await services.access.confirm(principal, end.password, address)
    if end.session is None:
        services.access.end_sessions(principal.user, but=principal.session)
    elif not services.access.end_sessions(principal.user, end.session):
        raise RefusedError(HTTPStatus.NOT_FOUND, "you have no such session: list them")


@router.delete("/account/tokens/{entry_id}", status_code=HTTPStatus.NO_CONTENT)
def revoke(entry_id: EntryId, user: CurrentUser, services: Parts) -> None:
    """Have a token of your programs worth nothing."""
    users = services.access.users
    if users is None or entry_id not in {each.id for each in users.all()[user].tokens}:
        raise RefusedError(HTTPStatus.NOT_FOUND, "you have no such token: list them")
    users.revoke_token(user, entry_id)


@router.post("/account/password", status_code=HTTPStatus.NO_CONTENT)
async def change_password(
    change: PasswordChange, principal: CurrentPrincipal, address: Address, response: Response, services: Parts
) -> None:
    """Give yourself another password: all your sessions end, and your tokens are revoked."""
    await services.access.change_password(principal, change.old, change.new, address)
    response.headers.update(FORGET)


@router.get("/users", dependencies=[may(Role.ADMINISTER)])
def users(services: Parts) -> list[UserEntry]:
    """All users."""
    known = {} if services.access.users is None else services.access.users.all()
    return [
        UserEntry(
            name=name,
            roles=sorted(each.roles),
            sessions=len(services.access.sessions_of(name)),
            tokens=len(each.tokens),
        )
        for name, each in sorted(known.items())
    ]


@router.delete("/users/{name}/sessions", status_code=HTTPStatus.NO_CONTENT, dependencies=[may(Role.ADMINISTER)])
def end_sessions(name: Annotated[str, Path(max_length=64)], services: Parts) -> None:
    """End all sessions of a user."""
    if not services.access.end_sessions(name):
        raise RefusedError(HTTPStatus.NOT_FOUND, "no user of this name is logged in")


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
