"""The documentation tells the truth: /openapi.json is fuzzed by schemathesis over real HTTP.

Left out on purpose, with the reason:
- positive_data_acceptance: whether fitting values are accepted depends on what exists (404), on the caller (403) and on
  rules that JSON Schema can't say (bytes of a password, control characters).
- negative_data_rejection: in a form every value is a text, so "wrong type" has no meaning there.
"""

from __future__ import annotations

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks

from tests.api.authorisation_rules import ROWS
from tests.api.documents import document_of

CHECKS = (
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.unsupported_method,
)


BOUNDED = settings(
    max_examples=12,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
PATHS = document_of()["paths"]
OPERATIONS = [(method, path) for path, item in PATHS.items() for method in item]
ENDLESS = ("get", "/{user_id}/stream")  # its answer isn't over before either side hangs up


@pytest.fixture(scope="module")
def schema(server):
    return schemathesis.openapi.from_url(f"{server.base_url}/openapi.json", wait_for_schema=10)


@pytest.mark.parametrize(("method", "path"), [each for each in OPERATIONS if each != ENDLESS])
def test_every_operation_keeps_to_its_documentation(schema, ada, method, path):
    headers = {} if path == "/api/v1/logout" else {"authorization": f"Bearer {ada.token}"}
    somebody = ada.tweet("seen by the fuzzer")

    @BOUNDED
    @given(case=schema[path][method].as_strategy(), exists=st.booleans())
    def fuzz(case, exists):
        if exists:  # every other time of something that exists, so that answers with 2xx are seen too
            case.path_parameters.update({k: somebody[k] for k in case.path_parameters or {} if k in somebody})
            for values in (case.query, case.body):
                if isinstance(values, dict) and "user_id" in values:
                    values["user_id"] = ada.user_id
        case.call_and_validate(headers=headers, checks=CHECKS)

    fuzz()


def test_the_document_names_every_route_and_is_valid(base_url):
    document = httpx.get(f"{base_url}/openapi.json").json()
    operations = {(method, path) for path, item in document["paths"].items() for method in item}
    assert operations == set(OPERATIONS)
    assert {(method.upper(), path) for method, path in operations} == set(ROWS)
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))
    for item in document["paths"].values():
        for operation in item.values():
            assert operation["summary"]
            assert operation["tags"]


def test_the_documentation_page_needs_nothing_from_elsewhere(base_url):
    page = httpx.get(f"{base_url}/docs").text
    assert "https://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert httpx.get(f"{base_url}/docs-assets/{asset}").status_code == 200
