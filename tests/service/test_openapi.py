"""The interface as it is told: whatever OpenAPI allows, and what it does not, ends in no fault of the service."""

from __future__ import annotations

import base64
import gzip
import itertools
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies

from jcs_ct.service.app import create_app
from jcs_ct.service.settings import ServiceSettings
from tests.jobs.finished import PHANTOM
from tests.service.client import Service, handed_in

STREAMS = "/events"
"""Of routes that send until the client goes away; test_jobs.py follows them."""
EXAMPLES = 12
"""For each operation, of what is allowed, and as many of what is not."""

_MASK = gzip.compress(bytes(PHANTOM.hu.size))
schemathesis.openapi.media_type("application/gzip", strategies.binary(max_size=200) | strategies.just(_MASK))
schemathesis.openapi.media_type("application/offset+octet-stream", strategies.binary(max_size=200))


@pytest.fixture(scope="module")
def known(phantoms: Service, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What leads further than to "not found"."""
    job = handed_in(phantoms, "nifti", tmp_path_factory.mktemp("study"))["id"]
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "1000000"}
    headers["Upload-Metadata"] = f"filename {base64.b64encode(b'ct.nii').decode()}"
    upload = phantoms.http.post("/uploads", headers=headers).headers["Location"].rpartition("/")[2]
    return {"job_id": job, "upload_id": upload, "layer": "volume", "name": "result.json"}


def operations() -> list[tuple[str, str]]:
    """Method and path of all that is told."""
    told = create_app(ServiceSettings(store=Path("unused"))).openapi()["paths"]
    return [(method.upper(), path) for path in told for method in told[path] if not path.endswith(STREAMS)]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), operations(), ids=lambda value: str(value))
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: str(mode.value))
def test_nothing_that_is_sent_ends_in_a_fault(
    phantoms: Service, known: dict[str, str], method: str, path: str, mode: schemathesis.GenerationMode
) -> None:
    told = httpx.get(f"{phantoms.address}/api/v1/openapi.json", trust_env=False).json()
    operation = schemathesis.openapi.from_dict(told)[path][method]
    count = itertools.count()
    seen: set[int] = set()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: schemathesis.Case[Any]) -> None:
        if next(count) % 3 and method != "DELETE":
            case.path_parameters.update({name: known[name] for name in case.path_parameters if name in known})
            if "/uploads" in path:
                case.headers["Tus-Resumable"] = "1.0.0"
        response = case.call(base_url=phantoms.address)
        seen.add(response.status_code)
        # Too busy and no room are answers, too; a disk may be small.
        assert response.status_code < 500 or response.status_code in (503, 507), response.text
        if response.status_code >= 400 and method != "HEAD":
            assert response.headers["content-type"][0] == "application/problem+json", response.text

    if mode is schemathesis.GenerationMode.NEGATIVE and not operation.body and not list(operation.iter_parameters()):
        return  # nothing is taken that could be wrong
    send()
    assert seen
    assert phantoms.http.get("/health").json()["status"] == "ok"


def test_the_interface_is_told_and_answers_as_it_says(service: Service) -> None:
    told = httpx.get(f"{service.address}/api/v1/openapi.json", trust_env=False).json()
    assert told["info"]["title"] == "JCS"
    job = told["components"]["schemas"]["JobDocument"]["properties"]
    assert set(job) == set(service.submit(("scan.json", b"{}")))
    refused = told["paths"]["/api/v1/jobs"]["get"]["responses"]["default"]["content"]["application/problem+json"]
    assert set(refused["schema"]["properties"]) == set(service.http.get("/jobs/unknown").json())
    assert all(
        "default" in operation["responses"] for methods in told["paths"].values() for operation in methods.values()
    )
