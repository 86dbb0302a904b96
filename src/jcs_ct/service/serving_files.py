"""Files as responses: by ranges, and not sent again to who has them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import FileResponse

PRIVATE = "private, no-cache"
"""To be kept by the browser of this computer, and asked for again each time: the images of a study are large."""
FORGET = {"Clear-Site-Data": '"cache"'}
"""What a browser has kept is of no use once its session has ended. Its storage holds settings of the page only."""


def file_response(request: Request, path: Path, media_type: str, filename: str | None = None) -> Response:
    """A file, or that it has not changed.

    Args:
        request: Asks for it.
        path: Where it lies.
        media_type: What it is.
        filename: To be saved under, and not shown.
    """
    state = path.stat()
    tag = hashlib.sha256(f"{path}\n{state.st_mtime_ns}\n{state.st_size}".encode()).hexdigest()[:32]
    # Where users log in, computers may be shared: nothing of patients stays in a browser's cache.
    caching = PRIVATE if request.app.state.services.access.users is None else "no-store"
    headers = {"ETag": f'"{tag}"', "Cache-Control": caching, "Vary": "Cookie, Authorization"}
    if headers["ETag"] in [each.strip() for each in request.headers.get("If-None-Match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    return FileResponse(path, headers=headers, media_type=media_type, filename=filename, stat_result=state)


def sends(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: a response that is no JSON."""
    return {200: {"content": {media_type: {}}, "description": description}}
