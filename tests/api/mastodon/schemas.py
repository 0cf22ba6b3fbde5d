"""Holds whatever is answered, and read, to what the description says of it.

Rules of this file
- Every answer of Mastodon's paths to any `httpx.Client` is checked, with all that it holds; refusals are `Error`s.
- What an operation reads of a request has to be among the parameters that are written for it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import httpx
import jsonschema_rs

from api.mastodon.call import Call
from api.mastodon.entities import ERROR, PLACE, answer_schema, schemas
from api.mastodon.inputs import Params
from api.mastodon.operations import OPERATIONS
from api.mastodon.parameters import parameters_of
from api.mastodon.table import Operation

_SENT, _INIT = httpx.Client.send, Call.__init__


@cache
def validator(answer: str) -> Any:
    """Return what checks an answer by the name in its row; None for what is no JSON."""
    schema = {"$ref": PLACE + ERROR} if answer == ERROR else answer_schema(answer)
    if schema is None:
        return None
    return jsonschema_rs.Draft202012Validator({**schema, "components": {"schemas": schemas()}})


def check_answer(operation: Operation, reply: httpx.Response) -> None:
    """Raise AssertionError where an answer isn't what its row says."""
    checks = validator(ERROR if reply.status_code >= 400 else operation.answer)
    if checks is None:
        return
    faults = [f"{list(fault.instance_path)}: {fault.message[:300]}" for fault in checks.iter_errors(reply.json())]
    assert not faults, f"{operation.method} {operation.path} answered {reply.status_code} with {faults[:5]}"


def send_and_check(client: httpx.Client, request: httpx.Request, **kwargs: Any) -> httpx.Response:
    """As `httpx.Client.send`, and the answer is checked if it is of one of the rows."""
    reply = _SENT(client, request, **kwargs)
    found = OPERATIONS.find(request.method, request.url.path)
    if found is not None and not kwargs.get("stream") and reply.status_code >= 200 and reply.content:
        check_answer(found.operation, reply)
    return reply


class Noted(dict[str, Any]):
    """Parameters of a call, which raise AssertionError when one is read that isn't written for it."""

    def __init__(self, values: Any, operation: Operation) -> None:
        super().__init__(values)
        self._operation = operation
        self._written = parameters_of(operation.method, operation.path)

    def _note(self, name: str) -> None:
        assert name in self._written, (
            f"{self._operation.method} {self._operation.path} reads {name}: write it into api/mastodon/parameters.py"
        )

    def get(self, name: str, default: Any = None) -> Any:
        self._note(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> Any:
        self._note(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self._note(str(name))
        return super().__contains__(name)


def init_noted(call: Call, services: Any, scope: Any, found: Any, params: Params, *more: Any) -> None:
    """As `Call.__init__`, and what is read of the parameters is noted."""
    _INIT(call, services, scope, found, Params(Noted(params.values, found.operation)), *more)
