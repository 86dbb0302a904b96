"""Resumable uploads: tus 1.0 with the extensions creation, termination and expiration."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from jcs_ct.service import intake
from jcs_ct.service.deps import CurrentUser, Parts
from jcs_ct.service.problems import RefusedError
from jcs_ct.service.resumable import Upload
from jcs_ct.service.tus import EXTENSIONS, VERSION, read_metadata

router = APIRouter(prefix="/uploads", tags=["uploads"])

_PART = {
    "requestBody": {
        "required": True,
        "content": {"application/offset+octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_LENGTH = 2**53


def _speaks(tus_resumable: Annotated[str | None, Header()] = None) -> None:
    if tus_resumable != VERSION:
        raise RefusedError(
            HTTPStatus.PRECONDITION_FAILED, f"Tus-Resumable: expected {VERSION}", {"Tus-Version": VERSION}
        )


Tus = Depends(_speaks)
UploadId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


def _upload(upload_id: UploadId, user: CurrentUser, services: Parts) -> Upload:
    return services.uploads.find(upload_id, user)


Found = Annotated[Upload, Depends(_upload)]


@router.options("", status_code=HTTPStatus.NO_CONTENT)
def options(services: Parts) -> Response:
    """What of the protocol is spoken."""
    return _answer(
        {"Tus-Version": VERSION, "Tus-Extension": EXTENSIONS, "Tus-Max-Size": str(services.settings.max_upload_bytes)}
    )


@router.post("", status_code=HTTPStatus.CREATED, dependencies=[Tus], response_class=Response)
def begin(
    request: Request,
    user: CurrentUser,
    services: Parts,
    upload_length: Annotated[int, Header(ge=1, le=_LENGTH)],
    upload_metadata: Annotated[str, Header(max_length=8192)] = "",
) -> Response:
    """Begin an upload; its metadata may state `filename` and `series_uid`."""
    upload = intake.begin_upload(services, user, upload_length, read_metadata(upload_metadata))
    address = f"{request.url.path}/{upload.about.id}"
    return _answer({"Location": address, **_state(upload)}, HTTPStatus.CREATED)


@router.head("/{upload_id}", dependencies=[Tus], response_class=Response)
async def look(upload: Found, services: Parts) -> Response:
    """How much has arrived, and which job it became."""
    upload = await intake.finished(services, upload)
    headers = {"Upload-Length": str(upload.about.length), "Cache-Control": "no-store", **_state(upload)}
    return _answer(headers, HTTPStatus.OK)


@router.patch(
    "/{upload_id}",
    status_code=HTTPStatus.NO_CONTENT,
    dependencies=[Tus],
    response_class=Response,
    openapi_extra=_PART,
)
async def append(
    upload: Found,
    request: Request,
    services: Parts,
    upload_offset: Annotated[int, Header(ge=0, le=_LENGTH)],
    content_type: Annotated[str, Header()] = "",
) -> Response:
    """Add a part; with the last one the upload becomes a job, whose id is in `Jcs-Job`."""
    if content_type != "application/offset+octet-stream":
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/offset+octet-stream")
    upload = await intake.from_upload(services, upload, upload_offset, request.stream())
    request.state.job = upload.about.job_id  # for the audit trail
    return _answer(_state(upload))


@router.delete("/{upload_id}", status_code=HTTPStatus.NO_CONTENT, dependencies=[Tus], response_class=Response)
async def remove(upload: Found, services: Parts) -> Response:
    """Give an upload up; a job that it became stays."""
    await run_in_threadpool(services.uploads.remove, upload)
    return _answer({})


def _state(upload: Upload) -> dict[str, str]:
    state = {"Upload-Offset": str(upload.offset), "Upload-Expires": formatdate(upload.expires_at, usegmt=True)}
    return state if upload.about.job_id is None else {**state, "Jcs-Job": upload.about.job_id}


def _answer(headers: dict[str, str], status: HTTPStatus = HTTPStatus.NO_CONTENT) -> Response:
    return Response(status_code=status, headers={"Tus-Resumable": VERSION, **headers})
