"""The paths of DeathStarBench's social network, over the real core: what its scripts send, and what nobody should."""

from __future__ import annotations

import json
import os
import random
import socket
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import schemathesis
from hypothesis import given
from hypothesis import strategies as st

from actors.core.errors import NotFoundError
from actors.core.ids import ID_MAX, bucket_of_account, bucket_of_name
from tests.api.conftest import LiveServer, ServerThread, assert_error
from tests.api.core_cluster import CoreCluster
from tests.api.documents import document_of
from tests.api.fake_cluster import FakeCluster
from tests.api.test_schema import BOUNDED, CHECKS
from tests.components import needs_program

ON = {"auth_mode": "open", "wrk2_api": True}
USERS = 12
HOME, OWN = "/wrk2-api/home-timeline/read", "/wrk2-api/user-timeline/read"
COMPOSE = "/wrk2-api/post/compose"
REGISTER, FOLLOW, UNFOLLOW = (f"/wrk2-api/user/{what}" for what in ("register", "follow", "unfollow"))
WRITES = (COMPOSE, REGISTER, FOLLOW, UNFOLLOW)
SCRIPT = Path(__file__).with_name("wrk2_mix.lua")


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with ServerThread(ON, CoreCluster()) as live:
        live.fake = None
        with httpx.Client(base_url=live.base_url) as http:
            for user in range(USERS):
                assert register(http, user).text == "Success!\n"
        yield live


@pytest.fixture
def http(base_url) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base_url) as client:
        yield client


def registration(user: int, **changes: str) -> dict[str, str]:
    """What init_social_graph.py sends."""
    names = {"first_name": f"first_name_{user}", "last_name": f"last_name_{user}", "username": f"username_{user}"}
    return {**names, "password": f"password_{user}", "user_id": str(user), **changes}


def register(http: httpx.Client, user: int, **changes: str) -> httpx.Response:
    return http.post(REGISTER, data=registration(user, **changes))


def posting(user: int, text: str = "hello", **changes: str) -> dict[str, str]:
    return {"username": f"username_{user}", "user_id": str(user), "text": text, "post_type": "0", **changes}


def compose(http: httpx.Client, user: int, text: str = "hello", **changes: str) -> None:
    reply = http.post(COMPOSE, data=posting(user, text, **changes))
    assert (reply.status_code, reply.text) == (200, "Successfully upload post\n"), reply.text


def timeline(http: httpx.Client, path: str, user: int, start: int = 0, stop: int = 10) -> list[dict]:
    reply = http.get(path, params={"user_id": user, "start": start, "stop": stop})
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/json"
    return reply.json()


def test_user_zero_posts_and_reads_the_post_back_in_the_benchmarks_shape(http):
    random.seed(1)
    link = "http://" + "".join(random.choices(string.ascii_letters + string.digits, k=64))
    text = f"{'x' * 256} @username_7 @username_11 @nobody_here {link}"
    ids = ["123456789012345678", "999999999999999999", "5", "6", "7"]
    compose(http, 0, text, media_ids=json.dumps(ids), media_types=json.dumps(["png"] * 5))
    [post, *_] = timeline(http, HOME, 0)
    assert post == timeline(http, OWN, 0)[0]
    assert post.pop("post_id").isdigit()
    assert abs(int(post.pop("timestamp")) - 1_790_000_000_000) < 1e12
    assert post == {
        "creator": {"user_id": "0", "username": "username_0"},
        "text": text,
        "user_mentions": [{"user_id": str(user), "username": f"username_{user}"} for user in (7, 11)],
        "media": [{"media_id": media_id, "media_type": "png"} for media_id in ids],
        "urls": [{"shortened_url": link, "expanded_url": link}],
        "post_type": 0,
    }


def test_a_post_as_the_lua_scripts_write_it_needs_no_percent_encoding(http):
    body = (
        'username=username_1&user_id=1&text=abc @username_2 http://Zz9&media_ids=["12","34"]&media_types=["png","png"]'
    )
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert http.post(COMPOSE, content=body + "&post_type=0", headers=headers).status_code == 200
    post = timeline(http, OWN, 1)[0]
    assert post["text"] == "abc @username_2 http://Zz9"
    assert [media["media_id"] for media in post["media"]] == ["12", "34"]
    assert http.post(COMPOSE, content=body.split("&media")[0] + "&media_ids=&post_type=0", headers=headers).is_success
    assert timeline(http, OWN, 1)[0]["media"] == []


def test_a_request_line_with_a_whole_address_is_served(base_url):
    """wrk.format puts the address that it is given into the request line."""
    host = urlsplit(base_url)
    for path, status in (f"{HOME}?user_id=0&start=0&stop=1", 200), ("/wrk2-api/nothing", 404):
        with socket.create_connection((host.hostname, host.port), 60) as raw:
            raw.sendall(f"GET http://localhost:8080{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            assert raw.recv(64).startswith(f"HTTP/1.1 {status} ".encode())


def test_reads_cut_a_timeline_by_offsets_newest_first(http):
    texts = [f"number {n}" for n in range(25)]
    for text in texts:
        compose(http, 3, text)
    newest_first = texts[::-1]
    for path in (HOME, OWN):
        for start, stop in ((0, 10), (3, 13), (20, 30), (0, 0), (10, 10), (9, 4), (100, 110), (0, 800)):
            found = [post["text"] for post in timeline(http, path, 3, start, stop)]
            assert found == newest_first[start:stop], (path, start, stop)


def test_following_by_name_or_by_id_brings_posts_home_and_unfollowing_takes_them_away(http):
    compose(http, 5, "from five")

    def seen() -> bool:
        return any(post["creator"]["user_id"] == "5" for post in timeline(http, HOME, 4, 0, 100))

    by_name = {"user_name": "username_4", "followee_name": "USERNAME_5"}
    by_id = {"user_id": "4", "followee_id": "5"}
    for values in (by_name, by_id):
        for _ in range(2):  # doing it again changes nothing
            assert http.post(FOLLOW, data=values).text == "Success!\n"
            assert seen()
        for _ in range(2):
            assert http.post(UNFOLLOW, data=values).text == "Success!\n"
            assert not seen()
    assert http.post(FOLLOW, data={**by_id, "user_name": "?", "followee_name": ""}).is_success  # ids go before names


def test_users_are_the_accounts_of_the_ordinary_api_shifted_by_one(http):
    compose(http, 6, "both ways")
    for path in ("/api/v1/home_timeline", "/api/v1/user_timeline"):
        tweet = http.get(path, params={"user_id": 7}).json()[0]
        assert (tweet["status"], tweet["user_id"], tweet["username"]) == ("both ways", "7", "username_6")
    original = http.post("/api/v1/tweet", json={"user_id": "7", "status": "a tweet"}).json()
    http.post("/api/v1/tweet", json={"user_id": "7", "status": "an answer", "in_reply_to": original["tweet_id"]})
    http.post("/api/v1/tweet", json={"user_id": "7", "status": "to @username_6", "visibility": "direct"})
    assert http.post(f"/api/v1/tweet/{original['tweet_id']}/repost", json={"user_id": "8"}).is_success
    assert [post["post_type"] for post in timeline(http, HOME, 6, 0, 4)] == [3, 2, 0, 0]
    repost = timeline(http, OWN, 7)[0]
    assert (repost["post_type"], repost["creator"]["user_id"], repost["text"]) == (1, "7", "a tweet")


def test_a_user_that_is_not_there_has_an_empty_timeline(http):
    for path in (HOME, OWN):
        assert timeline(http, path, 962) == []
        assert timeline(http, path, ID_MAX - 1) == []


def test_an_idempotency_key_makes_one_post(http):
    for _ in range(2):
        assert http.post(COMPOSE, data=posting(8, "once"), headers={"idempotency-key": "k"}).is_success
    assert [post["text"] for post in timeline(http, OWN, 8)] == ["once"]


def test_registration_waits_until_another_shard_has_made_the_account():
    """Else the follow that comes next would be told that there is no such user."""

    class Late(FakeCluster):
        def __init__(self) -> None:
            super().__init__()
            self.asked_count = 0

        def do_account(self, account_id: int) -> list:
            self.asked_count += 1
            if self.asked_count < 5:
                raise NotFoundError("not yet")
            return self.answer_of("account", account_id)

    late = Late()
    user = next(n for n in range(100) if bucket_of_account(n + 1) % 2 != bucket_of_name(f"username_{n}") % 2)
    with ServerThread(ON, late) as live, httpx.Client(base_url=live.base_url) as http:
        assert register(http, user).is_success
    assert late.asked_count == 5


def test_a_home_read_is_one_lane_request():
    fake = FakeCluster()
    with ServerThread(ON, fake) as live, httpx.Client(base_url=live.base_url) as http:
        register(http, 0)
        fake.calls.clear()
        timeline(http, HOME, 0, 50, 60)
        assert fake.calls == ["home"]


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"user_id": ""}, 422, "user_id"),
        ({"user_id": "x"}, 400, "user_id"),
        ({"user_id": "-1"}, 422, "user_id"),
        ({"user_id": str(ID_MAX)}, 422, "user_id"),
        ({"user_id": "9" * 500}, 422, "user_id"),
        ({"user_id": "4000"}, 404, "user_id"),
        ({"user_id": "1"}, 422, "username"),
        ({"username": ""}, 422, "username"),
        ({"username": "no_such_name"}, 422, "username"),
        ({"username": "a b"}, 422, "username"),
        ({"text": ""}, 422, "text"),
        ({"text": "nul\0"}, 422, "text"),
        ({"text": " ".join(f"@n{n}" for n in range(65))}, 422, "text"),
        ({"text": "x" * 70_000}, 413, None),
        ({"post_type": ""}, 422, "post_type"),
        ({"post_type": "1"}, 422, "post_type"),
        ({"post_type": "zero"}, 422, "post_type"),
        ({"media_ids": "[", "media_types": "[]"}, 400, "media_ids"),
        ({"media_ids": "7", "media_types": "[]"}, 400, "media_ids"),
        ({"media_ids": "[" * 5_000, "media_types": "[]"}, 400, "media_ids"),
        ({"media_ids": '["1"]', "media_types": "{}"}, 400, "media_types"),
        ({"media_ids": '["1"]', "media_types": "[]"}, 422, "media_types"),
        ({"media_ids": '["1"]', "media_types": '["gif"]'}, 422, "media_types"),
        ({"media_ids": '["1"]', "media_types": "[[]]"}, 422, "media_types"),
        ({"media_ids": '["x"]', "media_types": '["png"]'}, 422, "media_ids"),
        ({"media_ids": '["0"]', "media_types": '["png"]'}, 422, "media_ids"),
        ({"media_ids": "[1.5]", "media_types": '["png"]'}, 400, "media_ids"),
        ({"media_ids": "[1,2,3,4,5,6]", "media_types": json.dumps(["png"] * 6)}, 422, "media_ids"),
    ],
)
def test_a_post_that_can_not_be_taken_is_refused_by_its_field(http, changes, status, field):
    before = len(timeline(http, OWN, 9, 0, 800))
    assert_error(http.post(COMPOSE, data=posting(9, **changes)), status, *([field] if field else []))
    assert len(timeline(http, OWN, 9, 0, 800)) == before


def test_a_post_may_be_as_long_as_the_core_takes(http):
    compose(http, 10, "y" * 60_000)
    assert len(timeline(http, OWN, 10)[0]["text"]) == 60_000
    assert_error(http.post(COMPOSE, data=posting(10, "http://a " * 6_500)), 413)


@pytest.mark.parametrize("path", [HOME, OWN])
@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ({}, 422, "user_id"),
        ({"user_id": "0"}, 422, "start"),
        ({"user_id": "0", "start": "0"}, 422, "stop"),
        ({"user_id": "0", "start": "0", "stop": ""}, 422, "stop"),
        ({"user_id": "zero", "start": "0", "stop": "1"}, 400, "user_id"),
        ({"user_id": "-1", "start": "0", "stop": "1"}, 422, "user_id"),
        ({"user_id": str(ID_MAX), "start": "0", "stop": "1"}, 422, "user_id"),
        ({"user_id": "0", "start": "-1", "stop": "1"}, 422, "start"),
        ({"user_id": "0", "start": "0", "stop": "801"}, 422, "stop"),
        ({"user_id": "0", "start": "0", "stop": "9" * 1_000}, 422, "stop"),
        ({"user_id": "0", "start": "0.0", "stop": "1"}, 400, "start"),
        ({"user_id": "0", "start": "--1", "stop": "1"}, 400, "start"),
        ({"user_id": "0", "start": "٣", "stop": "1"}, 400, "start"),
        ({"user_id": ["0", "0"], "start": "0", "stop": "1"}, 400, "user_id"),
    ],
)
def test_a_read_that_can_not_be_taken_is_refused_by_its_field(http, path, query, status, field):
    assert_error(http.get(path, params=query), status, field)


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({}, 409, "username"),
        ({"user_id": "4000"}, 409, "username"),
        ({"username": "fresh"}, 409, "user_id"),
        ({"username": "USERNAME_0", "user_id": "4000"}, 409, "username"),
        ({"username": "x" * 31, "user_id": "4000"}, 422, "username"),
        ({"username": "fresh", "user_id": "one"}, 400, "user_id"),
        ({"username": "fresh", "user_id": str(ID_MAX)}, 422, "user_id"),
        ({"username": "fresh", "user_id": "4000", "password": ""}, 422, "password"),
        ({"username": "fresh", "user_id": "4000", "first_name": ""}, 422, "first_name"),
        ({"username": "fresh", "user_id": "4000", "last_name": "l" * 25}, 422, "last_name"),
        ({"username": "fresh", "user_id": "4000", "last_name": "bell\a"}, 422, "last_name"),
    ],
)
def test_a_registration_that_can_not_be_taken_is_refused_by_its_field(http, changes, status, field):
    assert_error(register(http, 0, **changes), status, field)
    assert http.get("/api/v1/user_timeline", params={"user_id": 4001}).status_code == 404


@pytest.mark.parametrize("path", [FOLLOW, UNFOLLOW])
@pytest.mark.parametrize(
    ("values", "status", "field"),
    [
        ({}, 422, "user_name"),
        ({"user_id": "1"}, 422, "user_name"),
        ({"user_id": "1", "followee_id": "1"}, 422, "followee_id"),
        ({"user_id": "x", "followee_id": "1"}, 400, "user_id"),
        ({"user_id": "1", "followee_id": "4000"}, 404, "followee_id"),
        ({"user_id": "4000", "followee_id": "1"}, 404, "user_id"),
        ({"user_name": "username_1"}, 422, "followee_name"),
        ({"user_name": "username_1", "followee_name": "nobody"}, 404, "followee_name"),
        ({"user_name": "nobody", "followee_name": "username_1"}, 404, "user_name"),
        ({"user_name": "username_1", "followee_name": "USERNAME_1"}, 422, "followee_name"),
        ({"user_name": "a b", "followee_name": "username_1"}, 422, "user_name"),
    ],
)
def test_a_follow_that_can_not_be_made_is_refused_by_its_field(http, path, values, status, field):
    error = assert_error(http.post(path, data=values), status, field)
    assert "4001" not in error["message"]  # the benchmark's ids are shown, not ours


def test_a_block_forbids_to_follow(http):
    assert http.post("/3/block/2").is_success  # accounts 3 and 2 are users 2 and 1
    assert_error(http.post(FOLLOW, data={"user_id": "1", "followee_id": "2"}), 403, "followee_id")
    assert http.request("DELETE", "/3/block/2").is_success


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "multipart/form-data", "a"])
def test_no_body_leads_to_a_500(http, path, kind):
    for body in (b"", b"{", b"[]", b"\xff", b"%ff=%ff", b"&" * 500, b'{"user_id":{},"text":[]}', b"a=1"):
        reply = http.post(path, content=body, headers={"content-type": kind})
        assert_error(reply, reply.status_code)
        assert 400 <= reply.status_code < 500, body


def test_paths_take_their_methods_only(http):
    assert_error(http.post(HOME), 405)
    assert_error(http.get(COMPOSE), 405)
    assert http.head(HOME, params={"user_id": 0, "start": 0, "stop": 1}).status_code == 200


def test_the_paths_are_off_by_default_and_in_no_documentation():
    with ServerThread() as live, httpx.Client(base_url=live.base_url) as http:
        for path in (HOME, OWN):
            assert_error(http.get(path, params={"user_id": 0, "start": 0, "stop": 1}), 404)
        for path in WRITES:
            assert_error(http.post(path, data={}), 404)
        assert "wrk2" not in http.get("/openapi.json").text


def test_without_open_mode_nobody_is_believed():
    """Settings refuse this at the start; should it come about, the paths give nothing away."""
    with ServerThread({"wrk2_api": True}) as live, httpx.Client(base_url=live.base_url) as http:
        assert_error(http.get(HOME, params={"user_id": 0, "start": 0, "stop": 1}), 401)
        assert_error(http.post(COMPOSE, data=posting(0)), 401)
        assert_error(register(http, 0), 401)
        assert_error(http.post(FOLLOW, data={"user_id": "0", "followee_id": "1"}), 401)


PATHS = document_of(**ON)["paths"]
OPERATIONS = [(method, path) for path, item in PATHS.items() for method in item if path.startswith("/wrk2-api/")]


@pytest.fixture(scope="module")
def schema(server):
    return schemathesis.openapi.from_url(f"{server.base_url}/openapi.json", wait_for_schema=10)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_keeps_to_its_documentation(schema, method, path):
    @BOUNDED
    @given(case=schema[path][method].as_strategy(), exists=st.booleans())
    def fuzz(case, exists):
        for values in (case.query, case.body):
            if exists and isinstance(values, dict):
                values.update({"user_id": "0", "username": "username_0"})
        case.call_and_validate(checks=CHECKS)

    assert len(OPERATIONS) == 6
    fuzz()


@needs_program("wrk")
def test_wrk_with_the_mix_of_the_published_scripts_is_never_refused(base_url):
    command = ["wrk", "-t1", "-c8", "-d2s", "--timeout", "10s", "-s", str(SCRIPT), base_url]
    environ = {**os.environ, "USERS": str(USERS)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environ)
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert found["requests"] > 0, done.stdout
    assert (found["refused"], found["broken"]) == (0, 0), done.stdout
