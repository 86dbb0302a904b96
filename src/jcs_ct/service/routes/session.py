"""Who is logged in."""

from __future__ import annotations

from fastapi import APIRouter

from jcs_ct.service.deps import CurrentUser
from jcs_ct.service.schemas import SessionDocument

router = APIRouter(prefix="/session", tags=["session"])


@router.get("")
def session(user: CurrentUser) -> SessionDocument:
    """Who is logged in."""
    return SessionDocument(user=user, authentication="none", csrf="")
