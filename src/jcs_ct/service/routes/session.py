"""Who is logged in: log in, look, log out."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from jcs_ct.service.access import Principal
from jcs_ct.service.deps import Address, CurrentPrincipal, Parts
from jcs_ct.service.schemas import Credentials, SessionDocument
from jcs_ct.service.services import Services
from jcs_ct.service.serving_files import FORGET

router = APIRouter(prefix="/session", tags=["session"])


@router.get("")
def session(principal: CurrentPrincipal, services: Parts) -> SessionDocument:
    """Who is logged in, and what the page sends along with changes."""
    return _document(principal, services)


@router.post("")
async def log_in(
    credentials: Credentials, request: Request, response: Response, address: Address, services: Parts
) -> SessionDocument:
    """Log in: the response sets a cookie."""
    services.access.refuse_forged(None, request.method, request.headers)
    users = services.access.users
    if users is not None and credentials.user in users.all():
        request.state.named = credentials.user  # for the audit trail; what is no user may be a password
    cookie, principal = await services.access.log_in(credentials.user, credentials.password, address)
    request.state.user = principal.user
    secure = services.settings.secure
    response.set_cookie(services.access.cookie, cookie, path="/", httponly=True, samesite="strict", secure=secure)
    return _document(principal, services)


@router.delete("", status_code=HTTPStatus.NO_CONTENT)
def log_out(principal: CurrentPrincipal, request: Request, response: Response, services: Parts) -> None:
    """Log out."""
    del principal
    services.access.log_out(request.cookies)
    response.headers.update(FORGET)
    response.delete_cookie(
        services.access.cookie, path="/", httponly=True, samesite="strict", secure=services.settings.secure
    )


def _document(principal: Principal, services: Services) -> SessionDocument:
    return SessionDocument(
        user=principal.user,
        authentication="none" if services.access.users is None else "password",
        csrf=services.access.csrf(principal),
    )
