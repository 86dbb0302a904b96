"""From what was sent to a job of the queue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from jcs_ct.jobs.job import JobOptions
from jcs_ct.reports.formats import ReportFormat
from jcs_ct.service.arrivals import Received, place, receive, with_patience
from jcs_ct.service.problems import RefusedError
from jcs_ct.service.resumable import Upload
from jcs_ct.service.schemas import JobDocument
from jcs_ct.service.services import Services
from jcs_ct.service.worklist import described

_UID_LENGTH = 64


async def from_form(services: Services, user: str, headers: Headers, stream: AsyncIterator[bytes]) -> JobDocument:
    """Take a study in that is sent as a form.

    Raises:
        RefusedError: There is no room, or it is not a form with files.
        JcsError: The queue refuses it.
    """
    settings, size = services.settings, headers.get("Content-Length", "0")
    uploading = services.uploading
    await run_in_threadpool(uploading.refuse_without_room, user, int(size) if size.isdigit() else 0)
    with uploading.one_more(user), place(services.arrivals) as folder:
        received = Received(folder, settings.max_upload_files, settings.max_upload_bytes)
        sent = uploading.measured(user, with_patience(stream, settings.idle_s, settings.least_bytes_per_s))
        await receive(headers.get("Content-Type", ""), sent, received)
        if not received.names:
            raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, "the form holds no files; expected a study in `files`")
        options = options_from(received.fields)
        return await submit(services, received.study, user, received.name, options)


def begin_upload(services: Services, user: str, length: int, stated: Mapping[str, str]) -> Upload:
    """Make room for a resumable upload.

    Args:
        services: The parts of the service.
        user: Whose it is.
        length: Bytes.
        stated: Its metadata.

    Raises:
        RefusedError: It is too large, there are too many, or the disk is nearly full.
    """
    series_uid = stated.get("series_uid", "")
    options_from({"series_uid": [series_uid]})
    if length <= services.settings.max_upload_bytes:
        waiting, coming = services.uploads.bytes_of(user), services.uploads.missing_of(user)
        services.uploading.refuse_without_room(user, length + coming, waiting)
    return services.uploads.begin(user, length, stated.get("filename", "") or "upload", series_uid)


async def from_upload(services: Services, upload: Upload, offset: int, stream: AsyncIterator[bytes]) -> Upload:
    """Take a part of an upload in; of a complete one a job is made, once.

    Raises:
        RefusedError: There is no room, or the part does not fit.
        JcsError: The queue refuses the study.
    """
    uploading, user, settings = services.uploading, upload.about.owner, services.settings
    waiting = await run_in_threadpool(services.uploads.bytes_of, user)
    await run_in_threadpool(uploading.refuse_without_room, user, upload.about.length - upload.offset, waiting)
    with uploading.one_more(user):
        sent = with_patience(stream, settings.idle_s, settings.least_bytes_per_s)
        upload = await services.uploads.append(upload, offset, uploading.measured(user, sent, waiting))
    return await finished(services, upload)


async def finished(services: Services, upload: Upload) -> Upload:
    """An upload with its job, if it is complete: made now, or found where a kill kept it from being told.

    Raises:
        JcsError: The queue refuses the study.
    """
    about = upload.about
    if not upload.complete or about.job_id is not None:
        return upload
    options = options_from({"series_uid": [about.series_uid]})
    study = services.uploads.data(upload)
    made = await submit(services, study, about.owner, about.name, options, f"upload {about.id}")
    return await run_in_threadpool(services.uploads.became, upload, made.id)


async def submit(
    services: Services, study: Path, user: str, name: str, options: JobOptions, key: str | None = None
) -> JobDocument:
    """Move a study into the queue; it would outlast a loss of power from then on."""
    submit = partial(services.queue.submit, study, user, name=name, options=options, key=key, move=True)
    async with services.intake.turn(user):
        job_id = await run_in_threadpool(submit)
    return await run_in_threadpool(lambda: described(services.queue, services.queue.job(job_id)))


def options_from(fields: dict[str, list[str]]) -> JobOptions:
    """What a client asked for.

    Raises:
        RefusedError: There is no such format, or it is no UID.
    """
    series = (fields.get("series_uid") or [""])[0].strip()
    if len(series) > _UID_LENGTH or not set(series) <= set("0123456789."):
        raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, "series_uid: expected a DICOM UID: digits and dots")
    named = [word.strip() for value in fields.get("formats", []) for word in value.split(",") if word.strip()]
    try:
        formats = tuple(dict.fromkeys(ReportFormat(word) for word in named))
    except ValueError as error:
        known = ", ".join(ReportFormat)
        raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, f"formats: expected some of {known}") from error
    return JobOptions(series or None, formats)
