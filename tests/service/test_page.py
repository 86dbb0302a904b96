"""The page and its addresses."""

from __future__ import annotations

import re

import httpx
import pytest

from jcs_ct.service.app import VIEWER
from tests.service.client import Service

pytestmark = pytest.mark.skipif(not (VIEWER / "index.html").exists(), reason="the page is not there")


def test_the_page_is_served_and_asked_for_again_only_when_it_changed(service: Service) -> None:
    with httpx.Client(base_url=service.address, trust_env=False) as browser:
        page = browser.get("/")
        assert page.headers["Content-Type"].startswith("text/html")
        assert page.headers["Cache-Control"] == "no-cache"
        again = browser.get("/", headers={"If-None-Match": page.headers["ETag"]})
        assert again.status_code == 304
        for path in re.findall(r'(?:src|href)="(/?[^"#:]+)"', page.text):
            answer = browser.get("/" + path.lstrip("/"))
            assert answer.status_code == 200, path
            if path.endswith(".js"):
                assert answer.headers["Content-Type"].startswith("text/javascript"), path


def test_studies_have_addresses_that_lead_to_the_page(service: Service) -> None:
    page = httpx.get(service.address, trust_env=False)
    deep = httpx.get(f"{service.address}/study/{'0' * 32}", trust_env=False)
    assert (deep.status_code, deep.text) == (200, page.text)
    assert deep.headers["Content-Security-Policy"] == page.headers["Content-Security-Policy"]


def test_what_is_no_part_of_the_page_is_not_found(service: Service) -> None:
    for path in ("/nothing.js", "/../app.py", "/%2e%2e/app.py", "/api/v1/nothing"):
        answer = httpx.get(service.address + path, trust_env=False)
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json"), path
