"""The description of the API as it is served: OpenAPI 3.1, at /openapi/mastodon.json.

All of it is made of the rows, `parameters.py` and `entities.py`: nothing is written here, so nothing can be forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

from api.mastodon.call import Answer, Call
from api.mastodon.entities import ERROR, PLACE, answer_schema, schemas, type_of
from api.mastodon.parameters import parameters_of
from api.mastodon.table import Operation
from api.mastodon.version import MASTODON_VERSION

PATH: Final = "/openapi/mastodon.json"
BEGIN, END = (
    "<!-- generated: python -m api.mastodon.description docs/mastodon.md -->",
    "<!-- end of what is generated -->",
)
_IN_PATH: Final = re.compile(r"\{([a-z_]+)\}")
_TAGS: Final = "/api/v1/tags/"  # whose ids are names
_ERROR: Final = {"description": "Refused", "content": {"application/json": {"schema": {"$ref": PLACE + ERROR}}}}


def with_description(rows: Sequence[Operation]) -> list[Operation]:
    """Return the rows, and one more that answers with the description of all."""
    every: list[Operation] = list(rows)
    made: list[bytes] = []

    async def describe(call: Call) -> Answer:
        """This description."""
        if not made:
            made.append(orjson.dumps(document(every)))
        return Answer(made[0])

    every.append(Operation("GET", PATH, "", "object", describe))
    return every


def document(rows: Sequence[Operation]) -> dict[str, Any]:
    """Return the description of rows as an OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row)
    scopes = {scope: "" for row in rows for scope in row.scope.split()}
    flow = {"authorizationUrl": "/oauth/authorize", "tokenUrl": "/oauth/token", "scopes": scopes}
    return {
        "openapi": "3.1.0", "info": {"title": "Rookery: Mastodon's client API", "version": MASTODON_VERSION},
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {"OAuth2": {"type": "oauth2", "flows": {"authorizationCode": flow}}},
        },
    }  # fmt: skip


def summary_of(row: Operation) -> str:
    """Return what an operation does, in the first line of what is written about it."""
    return (row.run.__doc__ or "").strip().partition("\n")[0]


def kind_in_path(path: str, name: str) -> str:
    """Return the type of what stands in a path by a name, in the words of `entities.py`."""
    is_id = (name == "id" or name.endswith("_id")) and not path.startswith(_TAGS)
    return "id" if is_id else "text"


def _operation(row: Operation) -> dict[str, Any]:
    given = {name: _schema(kind, is_list) for name, (kind, is_list) in parameters_of(row.method, row.path).items()}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": type_of(kind_in_path(row.path, name))}
        for name in _IN_PATH.findall(row.path)
    ]
    answer = answer_schema(row.answer)
    found: dict[str, Any] = {
        "summary": summary_of(row), "parameters": parameters,
        "responses": {
            "200": {"description": row.answer or "Nothing",
                    **({"content": {"application/json": {"schema": answer}}} if answer is not None else {})},
            "4XX": _ERROR,
        },
    }  # fmt: skip
    if row.scope:
        found["security"] = [{"OAuth2": row.scope.split()}]
    if not given:
        return found
    if row.method in ("GET", "DELETE"):
        parameters += [
            {"name": f"{name}[]" if schema.get("type") == "array" else name, "in": "query", "schema": schema}
            for name, schema in given.items()
        ]
    else:
        body = {"schema": {"type": "object", "properties": given}}
        forms = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
        found["requestBody"] = {"content": dict.fromkeys(forms, body)}
    return found


def _schema(kind: str, is_list: bool) -> dict[str, Any]:
    return type_of(f"{kind}[]" if is_list else kind)
