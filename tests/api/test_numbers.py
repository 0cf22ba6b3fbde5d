"""Every number of /openapi.json, with what is none: 4xx in the one shape, on every way through a worker.

What is tried is taken from the document, so a route or a parameter that comes later is tried too. Home reads and
searches are answered inside the HTTP protocol, through ASGI, or past the parser; all three are tried.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import httpx
import pytest

from api.http.fast_exchange import FastExchange
from api.native.hot import HOME_READS
from api.search.reads import SEARCH_PATH
from tests.api.conftest import LiveServer, ServerThread, assert_error
from tests.api.documents import document_of
from tests.api.fake_cluster import FakeCluster

ON = {"auth_mode": "open", "wrk2_api": True}
ID_PATTERN = "^[0-9]{1,19}$"
LONG_WAY = {"content-length": "0"}
NO_NUMBERS = [
    "--5", "+5", " 5", "5 ", "-", "+", "- 5", "-+5", "5-", "٥", "５", "²", "Ⅷ", "½", "১০", "𝟙", "1_000", "1e3", "5.0",
    "5.", ".5", "1,000", "0x10", "5L", "NaN", "Infinity", "true", "null", "5\0", "\0", "\0" + "5", "5\n", "\t5",
    "\u200f5", "\u22125", "\u00a05", "'5'", '"5"', "[5]", "5;6", "5/0", "%35", " ", "five",
]  # fmt: skip
IN_TURN = 3  # of what is none, a number is sent every third, and the next number of its kind the next ones
OUT_OF_RANGE = ["-5", "-0", str(1 << 63), "9" * 20, "9" * 5_000, "-" + "9" * 5_000]
NO_JSON_NUMBERS = [5.0, 1e3, -1.5, True, False, [], {}, [5], {"a": 5}, 10**30, -5]
SHORT_WAYS = {*HOME_READS, SEARCH_PATH}
FIXED = {"query": "word", "start": "0", "stop": "1", "hashtag": "word"}


class Number(NamedTuple):
    """One number of one operation. where: path, query, body or list (of the body)."""

    method: str
    path: str
    where: str
    name: str


def is_number(schema: dict[str, Any]) -> bool:
    if schema.get("type") == "integer" or schema.get("pattern") == ID_PATTERN:
        return True
    return any(map(is_number, schema.get("anyOf", ())))


def numbers() -> Iterator[Number]:
    document = document_of(**ON)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for parameter in operation.get("parameters", ()):
                if is_number(parameter["schema"]) or parameter["name"] == "cursor":
                    yield Number(method, path, parameter["in"], parameter["name"])
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            schema = content.get("schema", {})
            schema = document["components"]["schemas"][schema["$ref"].split("/")[-1]] if "$ref" in schema else schema
            for name, member in schema.get("properties", {}).items():
                lists = [kind.get("items", {}) for kind in [member, *member.get("anyOf", ())]]
                if is_number(member):
                    yield Number(method, path, "body", name)
                elif any(map(is_number, lists)):
                    yield Number(method, path, "list", name)


NUMBERS = list(numbers())


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    fake = FakeCluster()
    for account in (1, 2, 6):
        fake.add_account(account, f"user_{account}")
    with ServerThread(ON, fake) as live:
        yield live


class Http:
    """One connection, with httpx's requests and responses; its own connections take half of the time of all this."""

    def __init__(self, base_url: str) -> None:
        self._base_url, self._connection = base_url, HTTPConnection(urlsplit(base_url).netloc)

    def request(self, method: str, url: str, **more: Any) -> httpx.Response:
        request = httpx.Request(method, self._base_url + url, **more)
        path = request.url.raw_path.decode("ascii")
        self._connection.request(method, path, request.read() or None, dict(request.headers))
        reply = self._connection.getresponse()
        return httpx.Response(reply.status, headers=reply.getheaders(), content=reply.read())

    def get(self, url: str, **more: Any) -> httpx.Response:
        return self.request("GET", url, **more)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def http(server: LiveServer) -> Iterator[Http]:
    with closing(Http(server.base_url)) as client:
        yield client


def send(http: Http, number: Number, value: Any, form: bool = False, **headers: str) -> httpx.Response:
    """Send a request that is right but for one number."""
    path, query, body = number.path, {}, {}
    if number.where == "path":
        path = path.replace(f"{{{number.name}}}", quote(value, safe=""))
    path = path.replace("{hashtag}", "word").replace("{tweet_id}", "7").replace("{user_id}", "1").replace("{id}", "2")
    path = path.replace("{scheduled_id}", "7")
    if number.method == "get":
        query = FIXED if number.path.startswith(("/search", "/wrk2", "/api/v1/sea", "/api/v1/sug")) else {}
        query = {**query, "user_id": "1"}
    else:
        body = {"user_id": "1", "status": "word", "username": "user_6", "text": "word", "post_type": "0"}
        body |= {"user_id": "5", "media_types": '["png"]', "followee_id": "1"} if "wrk2" in path else {}
    if number.where == "query":
        query = {**query, number.name: value}
    elif number.where != "path":
        body[number.name] = [value] if number.where == "list" and not form else value
    url = f"{path}?{urlencode(query)}"
    if number.method == "get":
        return http.get(url, headers=headers)
    more = {"data": body} if form else {"json": body}
    return http.request(number.method.upper(), url, headers=headers, **more)


def test_the_document_has_the_numbers_that_are_meant():
    found = {(number.path, number.name) for number in NUMBERS}
    for path, names in {
        "/feed": "user_id count max_id since_id min_id", "/api/v1/search": "count max_id since_id min_id cursor",
        "/api/v1/suggest": "count", "/api/v1/search/accounts": "count", "/search/tags/{hashtag}": "count max_id",
        "/api/v1/trends": "count", "/{user_id}/followers": "user_id cursor count",
        "/{user_id}/follow/{id}": "user_id id", "/{user_id}/likes": "user_id cursor count",
        "/api/v1/tweet/{tweet_id}/history": "tweet_id", "/{user_id}/scheduled": "user_id cursor count",
        "/{user_id}/scheduled/{scheduled_id}": "user_id scheduled_id",
        "/{user_id}/bookmarks": "user_id cursor count", "/api/v1/tweet/{tweet_id}/likes": "tweet_id cursor count",
        "/api/v1/tweet/{tweet_id}/reposts": "tweet_id cursor count", "/api/v1/tweet/{tweet_id}/bookmark": "tweet_id",
        "/api/v1/tweet/{tweet_id}/thread": "tweet_id cursor count", "/{user_id}/pins": "user_id",
        "/api/v1/tweet": "user_id in_reply_to media_ids", "/api/v1/tweet/{tweet_id}/like": "tweet_id user_id",
        "/wrk2-api/home-timeline/read": "user_id start stop", "/wrk2-api/user/follow": "user_id followee_id",
    }.items():  # fmt: skip
        for name in names.split():
            assert (path, name) in found
    assert len(NUMBERS) > 70


def kind_of(number: Number) -> tuple[str, bool]:
    """Return what decides who parses a number: where it stands, and whether there is a short way."""
    return number.where, number.path in SHORT_WAYS


def no_numbers_for(number: Number) -> list[str]:
    """Return what a number is sent: a kind's share of everything that is none, all of it for a kind of few numbers."""
    kind = [other for other in NUMBERS if kind_of(other) == kind_of(number)]
    return NO_NUMBERS[kind.index(number) % IN_TURN :: IN_TURN] if len(kind) >= 4 * IN_TURN else NO_NUMBERS


def test_each_kind_of_number_is_sent_everything_that_is_none_several_times():
    for kind in {kind_of(number) for number in NUMBERS}:
        of_kind = [number for number in NUMBERS if kind_of(number) == kind]
        sent = Counter(value for number in of_kind for value in no_numbers_for(number))
        assert set(sent) == set(NO_NUMBERS)
        assert min(sent.values()) >= min(len(of_kind), 4), kind


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: f"{n.method}-{n.path}-{n.name}")
def test_a_number_that_is_none_is_refused_by_name(http, number):
    empty = [] if number.where in ("path", "body", "list") else [""]
    for value in [*no_numbers_for(number), *OUT_OF_RANGE, *empty]:
        if number.where == "path" and "/" in value:
            continue  # another path
        seen = []
        for headers in ({}, {}, LONG_WAY) if number.path in SHORT_WAYS else ({},):
            reply = send(http, number, value, **headers)
            assert reply.status_code in (400, 422), (value, reply.text)
            assert_error(reply, reply.status_code, number.name)
            assert "connection" not in reply.headers, "nobody is hung up on for a number"
            seen.append((reply.status_code, reply.content))
        assert seen == seen[:1] * len(seen), value
        if number.where in ("body", "list") and value:
            reply = send(http, number, value, form=True)  # where a comma stands between two of a list
            assert reply.status_code in ((400, 422) if "," in value else seen[0][:1]), (value, reply.text)
            assert_error(reply, reply.status_code, number.name)


@pytest.mark.parametrize(
    "number", [n for n in NUMBERS if n.where in ("body", "list")], ids=lambda n: f"{n.method}-{n.path}-{n.name}"
)
def test_a_json_number_that_is_no_whole_one_is_refused_by_name(http, number):
    for value in NO_JSON_NUMBERS:
        reply = send(http, number, value)
        assert reply.status_code in (400, 422), (value, reply.text)
        assert_error(reply, reply.status_code, number.name)


@pytest.mark.parametrize("way", [{}, LONG_WAY])
@pytest.mark.parametrize(
    "cursor",
    ["1_2_3", "+1_0x1p0_5", "1_0x1p0_+5", "1_0x1p0_ 5", "٥_0x1p0_5", "1_nan_5", "1_-inf_5", "1_0x1p99999_5", "1_1.5_5",
     "1_0x1p2000_5", "1_0x1p0_" + "9" * 5_000, "9" * 19 + "_0x1p0_5", "1_0x1p0_0", "0_0x1p0_1", "1_0x1p0", "", "_",
     "1__5", "1_0x1p0_5_6", "1_0X1P0_5\n"],
)  # fmt: skip
def test_a_cursor_of_top_that_no_answer_had_is_refused(http, way, cursor):
    reply = http.get("/api/v1/search", params={"query": "word", "order": "top", "cursor": cursor}, headers=way)
    assert_error(reply, 400, "cursor")


@pytest.mark.parametrize("count", ["1", "007", "200", "0000000000000000000000000000005"])
def test_whole_numbers_are_numbers_with_zeros_before_them_too(http, count):
    for path in ("/feed?user_id=1", "/api/v1/search?query=word", "/1/followers?x=1", "/api/v1/user_timeline?user_id=1"):
        assert http.get(f"{path}&count={count}").status_code == 200


def test_a_fault_of_the_short_way_is_not_the_clients(http, monkeypatch):
    """A request that it breaks on goes the long way; the parser would call it no HTTP and hang up."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(FastExchange, "of", broken)
    for _ in range(2):
        assert http.get("/feed?user_id=1").status_code == 200
    assert json.loads(http.get("/api/v1/search?query=word").content)["tweets"] == []
