"""Every route of /openapi.json, for every caller, with the token wherever it can be, about every kind of object.

Over real HTTP against the real core. What must be answered stands in `authorisation_rules.py`, a row a route; a route
without a row fails here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from actors.core.ids import bucket_of_account, bucket_of_tweet
from actors.core.limits import DAY_MS
from actors.core.stores.people import token_id
from api.access.auth import make_token, parse_token
from api.app import create_app
from api.outgoing_keys import hash_of_code
from api.settings import ApiSettings
from tests.api.authorisation_rules import CALLERS, DOCUMENTATION, PASSWORD, ROWS, Row
from tests.api.conftest import CHEAP_PASSWORDS, LiveServer, ServerThread, open_http
from tests.api.core_cluster import CoreCluster
from tests.api.fake_cluster import FakeCluster

APP = create_app(FakeCluster(), ApiSettings.from_mapping({"passwords": CHEAP_PASSWORDS}))
DOCUMENT = APP.openapi()["paths"]
STREAM = "/{user_id}/stream"
OPERATIONS = {(method.upper(), path): what for path, item in DOCUMENT.items() for method, what in item.items()}
NOBODY_ID = 987_654_321  # of no account
NONCE = bytes(16)


class World:
    """Accounts, their tweets and tokens, on a live server."""

    def __init__(self, http: httpx.Client, core: CoreCluster) -> None:
        self.http, self.core = http, core
        self._names = (f"free_{n}" for n in itertools.count(1))
        self.usernames: dict[str, str] = {}
        self.ids = {name: self._register(name) for name in ("owner", "stranger", "third", "target")}
        self.tokens: dict[str, str] = {}
        self.tweets: dict[str, int] = {}
        self.scheduled: dict[str, int] = {}
        self.webhooks: dict[str, int] = {}
        for name in ("owner", "third"):
            self.post(name)
            self.schedule(name)
            self.hook(name)
        for name in ("owner", "stranger"):
            self.log_in(name)
        self.tokens["revoked"] = self._revoked()
        self.tokens["garbage"] = make_token(self.ids["owner"])[0]  # of the right make, but never given
        self.missing_tweet = self._deleted()

    def _register(self, name: str) -> int:
        self.usernames[name] = next(self._names) if name in self.usernames else name
        reply = self.http.post("/api/v1/users", json={"username": self.usernames[name], "password": PASSWORD})
        assert reply.status_code == 201, reply.text
        account_id = int(reply.json()["user_id"])
        self._confirm(account_id, f"{self.usernames[name]}@mail.example")
        return account_id

    def code(self, account_id: int) -> str:
        """Return the code that was mailed to an account's address."""
        return self.core.outgoing_keys.code("confirm", account_id, NONCE)

    def _confirm(self, account_id: int, address: str) -> None:
        bucket, code = bucket_of_account(account_id), hash_of_code(self.code(account_id))
        self._write(bucket, "want_address", account_id, address, code, NONCE)
        assert self._write(bucket, "confirm_address", account_id, code) is True

    def _write(self, bucket: int, op: str, *args: Any) -> Any:
        """Carry a write out behind the worker's back; nothing else is under way."""
        answers: list[Any] = []
        self.core.sim.write(bucket, op, list(args), answers.append)
        self.core.sim.drain()
        return answers[0]

    def log_in(self, name: str) -> None:
        """Give an account a token, and let the worker know it."""
        token, secret_hash = make_token(self.ids[name])
        self._write(bucket_of_account(self.ids[name]), "login_token", self.ids[name], secret_hash)
        self.tokens[name] = token
        self._use(name, token, 200)

    def _use(self, name: str, token: str, status: int) -> None:
        for _ in range(2):
            reply = self.http.get(f"/feed?user_id={self.ids[name]}", headers={"authorization": f"Bearer {token}"})
            assert reply.status_code == status

    def _revoked(self) -> str:
        """Return a token of the owner that was used, and revoked elsewhere: the worker is told by its shard."""
        before = self.tokens["owner"]
        self.log_in("owner")
        revoked, self.tokens["owner"] = self.tokens["owner"], before
        account_id, secret_hash = parse_token(revoked)
        self._write(bucket_of_account(account_id), "revoke_token", account_id, secret_hash)
        self.core.on_revoked(account_id, secret_hash)
        self._use("owner", revoked, 401)
        return revoked

    def post(self, name: str) -> int:
        account_id = self.ids[name]
        body = self._write(bucket_of_account(account_id), "post", account_id, "hello", 0, 0, 0, b"", [], [], None)
        self.tweets[name] = int(httpx.Response(200, content=body).json()["tweet_id"])
        return self.tweets[name]

    def schedule(self, name: str) -> None:
        account_id, at_ms = self.ids[name], self.core.sim.now + DAY_MS
        args = ["schedule", account_id, at_ms, "later", 0, 0, 0, b"", [], []]
        body = self._write(bucket_of_account(account_id), *args)
        self.scheduled[name] = int(httpx.Response(200, content=body).json()["scheduled_id"])

    def hook(self, name: str) -> None:
        """Give an account one webhook."""
        account_id = self.ids[name]
        bucket = bucket_of_account(account_id)
        shard = self.core.sim.shards[self.core.sim.owner[bucket]]
        for webhook_id, *_ in shard.replica.read("webhooks", [account_id]):
            self._write(bucket, "drop_webhook", account_id, webhook_id)
        self.webhooks[name] = self._write(bucket, "make_webhook", account_id, "https://example.org/", 1, b"s")[0]

    def _deleted(self) -> int:
        tweet_id = self.post("owner")
        self._write(bucket_of_tweet(tweet_id), "delete", tweet_id, self.ids["owner"])
        self.post("owner")
        return tweet_id

    def renew(self) -> None:
        """Bring back what a success has used up; an account under another name, as its old one is given up."""
        if self.http.get(f"/{self.ids['owner']}/profile").status_code == 404:
            self.ids["owner"] = self._register("owner")
        for name in ("owner", "stranger"):
            self.log_in(name)
        for name in ("owner", "third"):
            self.post(name)
            self.schedule(name)
            self.hook(name)

    def values(self, line: str) -> dict[str, Any]:
        """What a path, query and body are filled in with, for an object of that line."""
        whose = {"another": "third"}.get(line, "owner")
        is_missing = line == "missing"
        return {
            "user_id": NOBODY_ID if is_missing else self.ids[whose],
            "tweet_id": self.missing_tweet if is_missing else self.tweets[whose],
            "scheduled_id": self.missing_tweet if is_missing else self.scheduled[whose],
            "webhook_id": self.missing_tweet if is_missing else self.webhooks[whose],
            "token_id": token_id(parse_token(self.tokens["owner"]).secret_hash), "notification_id": self.missing_tweet,
            "id": self.ids["target"], "hashtag": "hello", "username": self.usernames["owner"],
            "free_name": next(self._names), "what": "mutes.csv",
            "code": self.code(self.ids[whose]),
        }  # fmt: skip

    def ask(self, method: str, path: str, row: Row, line: str, places: dict[str, str]) -> httpx.Response:
        """Send one request. places: the token by where it is."""
        values = self.values(line)
        query = {name: text.format_map(values) for name, text in row.query.items()}
        body = {name: text.format_map(values) for name, text in row.body.items()}
        if "query" in places:
            query["auth_token"] = places["query"]
        if "body" in places:
            body["auth_token"] = places["body"]
        headers = {"authorization": f"Bearer {places['header']}"} if "header" in places else {}
        if path == STREAM:  # whose answer has no end
            with self.http.stream(method, path.format_map(values), params=query, headers=headers) as reply:
                return reply
        more: dict[str, Any] = {} if method == "GET" else {"json": body}
        return self.http.request(method, path.format_map(values), params=query, headers=headers, **more)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    core = CoreCluster()
    with ServerThread({"sends_mail": True, "webhooks": True}, fake=core) as live, open_http(live.base_url) as http:
        yield World(http, core)
    core.end_search()


@pytest.fixture(scope="module")
def server(world: World) -> LiveServer:
    raise AssertionError("these tests have a server of their own")


def cases(method: str, row: Row) -> Iterator[tuple[str, str, dict[str, str], Any]]:
    """Every line, caller and place of the token of a route: (line, caller, whose token by place, status or "ok")."""
    places = ["header", "query"] if method == "GET" else ["header", "body", "query"]  # which of several tokens counts
    for line, statuses in row.pattern.items():
        for caller, status in zip(CALLERS, statuses, strict=True):
            if caller == "nobody":
                yield line, caller, {}, status
                continue
            for place in places:
                yield line, caller, {place: caller}, status
            if caller in ("owner", "garbage"):
                other = "garbage" if caller == "owner" else "owner"
                for first, second in itertools.combinations(places, 2):
                    yield line, caller, {first: caller, second: other}, status


@pytest.mark.parametrize(("method", "path"), list(OPERATIONS))
def test_a_route_does_for_each_caller_what_its_row_says(world, method, path):
    row = ROWS.get((method, path))
    assert row is not None, f"who may {method} {path}? Give it a row in authorisation_rules.py"
    wrong = []
    for line, caller, by_place, status in cases(method, row):
        places = {place: world.tokens[name] for place, name in by_place.items()}
        reply = world.ask(method, path, row, line, places)
        expected = row.ok if status == "ok" else status
        if reply.status_code != expected:
            wrong.append(f"{line} object, {caller} ({by_place}): {reply.status_code} instead of {expected}")
        if row.uses_up and reply.status_code < 300:
            world.renew()
    assert not wrong


def test_there_is_no_row_without_a_route_and_no_route_outside_the_document():
    assert set(ROWS) == set(OPERATIONS)
    served = {route.path for route in APP.routes}
    assert served - {path for _, path in OPERATIONS} == DOCUMENTATION


@pytest.mark.parametrize(("method", "path"), list(OPERATIONS))
def test_the_document_says_of_the_token_what_the_row_does(method, path):
    security = OPERATIONS[method, path].get("security")
    said = None if security is None else "optional" if {} in security else "required"
    assert said == ROWS[method, path].security


def names_account(operation: dict[str, Any]) -> bool:
    """Whether a body may say for whom something is done, beside the token."""
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
    return "user_id" in APP.openapi()["components"]["schemas"].get(schema, {}).get("properties", {})


@pytest.mark.parametrize(("method", "path"), [key for key, what in OPERATIONS.items() if names_account(what)])
def test_nobody_acts_for_another_account_by_naming_it(world, method, path):
    row = ROWS[method, path]
    for name, status in (("third", 403), ("missing", 403), ("owner", row.ok)):
        account_id = world.ids.get(name, NOBODY_ID)
        for where in ("json", "params"):
            values = world.values("own")
            body = {k: v.format_map(values) for k, v in row.body.items() if k != "user_id"}
            sent = {"json": {**body, "user_id": str(account_id)}} if where == "json" else {
                "json": body, "params": {"user_id": account_id}
            }  # fmt: skip
            headers = {"authorization": f"Bearer {world.tokens['owner']}"}
            reply = world.http.request(method, path.format_map(values), headers=headers, **sent)
            assert reply.status_code == status, (name, where, reply.text)
            if row.uses_up and reply.status_code < 300:
                world.renew()


NONSENSE = ["x", "rk_", "rk_" + "A" * 54, "rk_" + "A" * 53, "rk_" + "_" * 54, "a" * 257, "null", "ü", "rk_\x00"]


@pytest.mark.parametrize("token", NONSENSE, ids=range(len(NONSENSE)))
def test_what_is_no_token_is_nobodys_wherever_it_is(world, token):
    owner = world.ids["owner"]
    url, body = f"/{owner}/profile", {"bio": "x", "auth_token": token}
    assert world.http.patch(url, json=body).status_code == 401
    assert world.http.patch(url, json={"bio": "x"}, params={"auth_token": token}).status_code == 401
    assert world.http.get(url, params={"auth_token": token}).status_code == 401
    if token.isascii() and token.isprintable():
        for scheme in ("Bearer ", "bearer ", "Basic ", ""):
            headers = {"authorization": f"{scheme}{token}"}
            assert world.http.get(url, headers=headers).status_code == 401
            assert world.http.get("/feed", params={"user_id": owner}, headers=headers).status_code == 401
