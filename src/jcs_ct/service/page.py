"""The page: static files, and one address for each study that leads to it."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from jcs_ct.service.problems import RefusedError


class _Files(StaticFiles):
    """Files with an entity tag that browsers ask for again: after an update, none keeps half of the old page."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def add_page(app: FastAPI, folder: Path, api: str) -> None:
    """Have an app serve the page at /.

    Args:
        app: Which; its other routes come first.
        folder: Of the page.
        api: Prefix of the interface, below which nothing is the page's.
    """

    @app.api_route(api + "/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    def nothing(rest: str) -> None:
        del rest
        raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such address: see /api/v1/openapi.json")

    if not folder.is_dir():
        return

    @app.get("/study/{rest:path}", include_in_schema=False)
    def study(rest: str, request: Request) -> Response:
        del rest, request
        return FileResponse(folder / "index.html", headers={"Cache-Control": "no-cache"})

    app.mount("/", _Files(directory=folder, html=True), name="page")
