"""The description of the API says what there is: all of it, and nothing else.

Where Mastodon's own description is at hand (a file that MASTODON_OPENAPI names, or ../shared/data beside this folder),
rows and entities are held to it, too.
"""

from __future__ import annotations

import os
import random
import re
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from api.mastodon.description import PATH, document
from api.mastodon.entities import CHOICES, ENTITIES, FORMS, answer_schema, object_of, schemas, type_of
from api.mastodon.not_supported import NOT_SUPPORTED
from api.mastodon.operations import OPERATIONS
from api.mastodon.parameters import PARAMETERS, parameters_of
from api.mastodon.table import Operation
from api.mastodon.tables import DESCRIBED_COUNT, renewed
from api.streaming.channels import NAME_AT
from tests.api.conftest import PASSWORD, open_http
from tests.api.mastodon.schemas import Noted, check_answer

ROOT = Path(__file__).parents[3]


def canonical(method: str, path: str) -> str:
    """Return an operation, whatever the names in its path are called."""
    return f"{method.upper()} {re.sub('{[^}]*}', '{}', path)}"


HERE = {canonical(row.method, row.path): row for row in OPERATIONS.rows}

# ---- by itself ------------------------------------------------------------------------------------------------------


def test_a_row_names_an_answer_that_is_described_and_says_what_it_does():
    for row in OPERATIONS.rows:
        answer_schema(row.answer)
        assert row.run.__doc__, f"{row.method} {row.path}"
        for kind, is_list in parameters_of(row.method, row.path).values():
            type_of(f"{kind}[]" if is_list else kind)


def test_every_entity_is_written_in_types_that_there_are():
    found = schemas()
    assert found.keys() == {*ENTITIES, *FORMS, *CHOICES, "Error"}
    assert not ENTITIES.keys() & FORMS.keys()


@pytest.mark.parametrize("wrong", ["a:texts", "a:Nothing[]", "a", "a:"])
def test_a_type_that_there_is_not_is_refused(wrong):
    with pytest.raises(ValueError, match="there is no entity and no type"):
        object_of(wrong)


def test_the_description_is_served_and_has_every_row(stranger):
    served = stranger.get(PATH).json()
    assert served == orjson.loads(orjson.dumps(document(OPERATIONS.rows)))
    assert {(m.upper(), path) for path, item in served["paths"].items() for m in item} == {
        (row.method, row.path) for row in OPERATIONS.rows
    }
    names = set(re.findall(r"#/components/schemas/(\w+)", orjson.dumps(served).decode()))
    assert names <= served["components"]["schemas"].keys()
    search = served["paths"]["/api/v2/search"]["get"]
    assert search["security"] == [{"OAuth2": ["read:search"]}]
    assert {"q", "type", "limit"} <= {parameter["name"] for parameter in search["parameters"]}


def test_the_page_of_operations_is_that_of_the_rows():
    page = (ROOT / "docs/mastodon.md").read_text()
    assert renewed(page, OPERATIONS.rows) == page, "run python -m api.mastodon.tables docs/mastodon.md"


def test_a_page_without_a_place_for_tables_is_refused():
    with pytest.raises(ValueError, match="the page has no"):
        renewed("# Nothing", OPERATIONS.rows)


def test_nothing_is_there_and_said_not_to_be():
    assert not HERE.keys() & {canonical(*name.split(" ")) for name in NOT_SUPPORTED}


def test_what_is_answered_and_read_is_really_looked_at():
    row = next(row for row in OPERATIONS.rows if row.path == "/api/v1/notifications/unread_count")
    check_answer(row, httpx.Response(200, json={"count": 1}))
    check_answer(row, httpx.Response(404, json={"error": "no"}))
    for status, wrong in ((200, {"count": "1"}), (200, {}), (200, {"count": 1, "more": 2}), (404, {"count": 1})):
        with pytest.raises(AssertionError, match="unread_count answered"):
            check_answer(row, httpx.Response(status, json=wrong))
    noted = Noted({"limit": "1", "odd": "2"}, row)
    assert noted.get("limit") == "1"
    with pytest.raises(AssertionError, match="reads odd: write it"):
        noted.get("odd")


STREAMS = frozenset(NAME_AT)  # whose answers don't end, if they are served at all

# ---- every row ------------------------------------------------------------------------------------------------------

ODD = (
    "",
    "0",
    "-1",
    "x",
    "true",
    "9" * 30,
    "9223372036854775808",
    "a\x00b",
    "%",
    "'\"<",
    "x" * 600,
    "null",
    "http://[",
)
FORMS_OF_NAMES = ("", "[]", "[x]", "[][a]", "[0][b]", "[0]", "[x][]", "[][][]")


def asked(row: Operation, rng: random.Random, known: list[str]) -> dict[str, Any]:
    """Return a request for a row in whose query or form names stand in brackets, as they please: test_schema.py sends
    what the description knows of."""
    names = [*parameters_of(row.method, row.path), "odd", "id"]
    chosen = rng.sample(names, rng.randrange(1, min(4, len(names)) + 1))
    pairs = [(name + rng.choice(FORMS_OF_NAMES), rng.choice([*ODD, *known]))
             for name in chosen for _ in range(rng.randrange(1, 3))]  # fmt: skip
    if row.method in ("GET", "DELETE") or rng.random() < 0.3:
        return {"params": pairs}
    return {"data": dict(pairs)}


def test_what_needs_a_token_is_refused_without_one(stranger):
    for row in OPERATIONS.rows:
        path = re.sub("{[^}]*}", "1", row.path)
        for headers in ({}, {"authorization": "Bearer wrong"}) if row.scope else ():
            reply = stranger.request(row.method, path, headers=headers)
            assert (row.path, reply.status_code) == (row.path, 401)
            assert reply.json()["error"]


@pytest.fixture(scope="module")
def fuzzed(server) -> Any:
    """A client with a token for this alone, which hostile requests may change as they like; ids that there are."""
    with open_http(server.base_url) as client:
        made = client.post("/api/v1/users", json={"username": "fuzzed", "password": PASSWORD}).json()
        client.headers["authorization"] = f"Bearer {made['auth_token']}"
        said = client.post("/api/v1/tweet", json={"user_id": made["user_id"], "status": "hello"}).json()["tweet_id"]
        yield client, [made["user_id"], said]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_names_in_brackets_are_answered_whatever_is_wanted_there(method, fuzzed):
    client, known = fuzzed
    for row in OPERATIONS.rows:
        rng = random.Random(f"17 {row.method} {row.path}")
        if row.path in STREAMS:
            continue
        for _ in range(4 if row.method == method and parameters_of(row.method, row.path) else 0):
            path, request = re.sub("{[^}]*}", known[rng.randrange(2)], row.path), asked(row, rng, known)
            reply = client.request(row.method, path, **request)
            assert reply.status_code < 500, f"{row.method} {path} {request}: {reply.text}"


# ---- beside Mastodon's own description ------------------------------------------------------------------------------

ELSEWHERE = {"GET /oauth/authorize"}  # a page for people (api/oauth)


def their_file() -> Path:
    return Path(os.environ.get("MASTODON_OPENAPI", ROOT.parent / "shared/data/mastodon-openapi-4.7.json"))


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    path = their_file()
    if not path.exists():
        pytest.skip(f"Mastodon's description isn't at hand: {path.name}; MASTODON_OPENAPI may name it")
    found: dict[str, Any] = orjson.loads(path.read_bytes())
    return found


def operations_of(theirs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    methods = ("get", "post", "put", "patch", "delete")
    return {canonical(m, path): item[m] for path, item in theirs["paths"].items() for m in methods if m in item}


def test_every_operation_is_there_or_said_not_to_be(theirs):
    described = operations_of(theirs)
    said = {canonical(*name.split(" ")) for name in NOT_SUPPORTED}
    assert said <= described.keys(), "what isn't there should at least be Mastodon's"
    missing = described.keys() - HERE.keys() - said - ELSEWHERE
    assert missing == set()
    assert len(described) == DESCRIBED_COUNT
    assert len(described.keys() & (HERE.keys() | ELSEWHERE)) == DESCRIBED_COUNT - len(NOT_SUPPORTED) >= 170
    written = {canonical(*name.split(" ")) for name in PARAMETERS}
    assert written - HERE.keys() == set(), "parameters of nothing"


# Parameters that clients of older versions send, or OAuth's, which that description leaves out.
ALSO_READ = {
    **{f"GET {path}": {"last_event_id"} for path in NAME_AT},
    "PATCH /api/v2/notifications/policy": {
        f"for_{each}" for each in (
            "not_following", "not_followers", "new_accounts", "private_mentions", "limited_accounts",
        )
    },
    "POST /oauth/token": {"username", "password"}, "GET /api/v2/search": {"since_id"},
    **{f"POST /api/v1/notifications/requests/{what}": {"id"} for what in ("accept", "dismiss")},
    **{name: {"min_id"} for name in (
        "GET /api/v1/accounts/{}/endorsements", "GET /api/v1/blocks", "GET /api/v1/mutes", "GET /api/v1/endorsements",
        "GET /api/v1/follow_requests", "GET /api/v1/statuses/{}/favourited_by", "GET /api/v1/statuses/{}/reblogged_by",
        "GET /api/v1/statuses/{}/quotes",
    )},
}  # fmt: skip


def test_parameters_are_called_as_there(theirs):
    for name, operation in operations_of(theirs).items():
        row = HERE.get(name)
        if row is None:
            continue
        called = {p["name"].removesuffix("[]") for p in operation.get("parameters", ()) if p["in"] == "query"}
        called |= properties(theirs, next(iter(operation.get("requestBody", {}).get("content", {}).values()), {}))
        called = {each.removesuffix("[]") for each in called}
        assert parameters_of(row.method, row.path).keys() - called <= ALSO_READ.get(name, set()), name


def properties(theirs: dict[str, Any], part: dict[str, Any]) -> set[str]:
    """Return the names of a body's members, of whichever form it may be."""
    schema = part.get("schema", part)
    if "$ref" in schema:
        schema = theirs["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    inner = [each for word in ("allOf", "oneOf", "anyOf") for each in schema.get(word, ())]
    return set(schema.get("properties", ())).union(*(properties(theirs, each) for each in inner))


def test_scopes_are_those_that_are_asked_for_there(theirs):
    other = {
        "GET /api/v1/announcements": "any token there", "GET /api/v1/suggestions": "read, of which this is a part",
        "GET /api/v2/suggestions": "as v1", "DELETE /api/v1/suggestions/{}": "read there, though it writes",
        "GET /api/v1/instance/domain_blocks": "none where the list is for everybody",
        "GET /api/v1/accounts/{}/endorsements": "endorsements are public", "GET /oauth/userinfo": "profile or read",
    }  # fmt: skip
    for name, operation in operations_of(theirs).items():
        row = HERE.get(name)
        if row is None or name in other:
            continue
        wanted = {scope for needed in operation.get("security") or () for scope in needed.get("OAuth2", ())}
        if row.scope:
            assert row.scope in wanted or not wanted, f"{name}: {row.scope}, there {sorted(wanted)}"


def test_entities_have_the_members_that_they_have_there(theirs):
    also = {
        "Suggestion": {"source"}, "UserInfo": set(), "Account": {"moved"}, "CredentialAccount": {"moved"},
        "MutedAccount": {"moved"}, "Application": {"redirect_uri"},
        "Profile": {"featured_tags"},  # in the example there
        "WebPushSubscription": {"policy"},  # which Mastodon's servers answer, too
    }  # fmt: skip
    lacks = {"StatusEdit": set(), "Instance": set()}
    for name, members in ENTITIES.items():
        other = theirs["components"]["schemas"].get(name)
        if other is None:
            continue
        ours = object_of(members)
        unknown = ours["properties"].keys() - other["properties"].keys() - also.get(name, set())
        missing = set(other.get("required", ())) - set(ours["required"]) - lacks.get(name, set())
        assert (name, unknown, missing) == (name, set(), set())
