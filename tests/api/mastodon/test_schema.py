"""The description tells the truth: schemathesis sends what it allows, and what it doesn't, to each operation.

Half of the requests fit the description, the others don't; ids in them are every other time of something that exists.
Whatever is answered is described, and nothing is a fault. (tests/api/test_schema.py does the same for our own API, and
says what isn't asked: whether what fits is accepted depends on what there is.)

The same requests every time, unless FUZZ_EXAMPLES says how many of each kind an operation is sent (`make fuzz`: 100).
"""

from __future__ import annotations

import os
import random
import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import checks
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks as openapi_checks

from api.mastodon.description import PATH, kind_in_path
from api.mastodon.operations import OPERATIONS
from api.mastodon.parameters import parameters_of
from api.mastodon.table import Operation
from api.streaming.channels import NAME_AT

CHECKS = (
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.unsupported_method,
)
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "")
BOUNDED = settings(
    max_examples=int(EXAMPLES or 3), derandomize=not EXAMPLES, database=None, deadline=None,
    phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck),
)  # fmt: skip
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def described_api(server: Any) -> Any:
    """The description as it is served, to send requests by."""
    return schemathesis.openapi.from_url(f"{server.base_url}{PATH}", wait_for_schema=10)


def can_be_wrong(row: Operation) -> bool:
    """Whether a request for an operation may not fit the description: in a query or path everything is a text."""
    in_path = {kind_in_path(row.path, name) for name in re.findall("{([a-z_]+)}", row.path)}
    kinds = {kind for kind, _ in parameters_of(row.method, row.path).values()}
    return "id" in in_path or bool(kinds - {"any"} - ({"text", "object"} if row.method in ("GET", "DELETE") else set()))


def existing(values: Any, ids: list[str], dice: random.Random) -> None:
    """Put ids of what exists where ids are."""
    if isinstance(values, dict):
        for name in values:
            if name == "id" or name.endswith(("_id", "id[]", "ids", "ids[]")):
                values[name] = [dice.choice(ids)] if isinstance(values[name], list) else dice.choice(ids)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_operation_keeps_to_its_description(described_api, ada, method, mode):
    status = ada.says("seen by the fuzzer #fuzz")
    ids = [ada.id, status]
    headers = {"authorization": f"Bearer {ada.token}"}
    for row in OPERATIONS.rows:
        if row.path in NAME_AT:  # streams, whose answers don't end
            continue
        if row.method.lower() != method or (mode is GenerationMode.NEGATIVE and not can_be_wrong(row)):
            continue
        operation = described_api[row.path][method]

        @BOUNDED
        @given(case=operation.as_strategy(generation_mode=mode), exists=st.booleans(), dice=st.randoms())
        def fuzz(case, exists, dice):
            if exists:
                for values in (case.path_parameters, case.query, case.body):
                    existing(values, ids, dice)
            case.call_and_validate(headers=headers, checks=CHECKS)

        fuzz()
