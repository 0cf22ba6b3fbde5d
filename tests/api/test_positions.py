"""Rookery-Position: what a client has written on one worker is seen on the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from actors.core.errors import InvalidError, MalformedError, NotFoundError
from api.positions import POSITION_HEADER, position_header, positions_of, positions_of_request
from tests.api.conftest import LiveServer, ServerThread, assert_error
from tests.api.fake_cluster import FakeCluster

WRITES = {"post", "follow", "unfollow", "like", "update_profile"}


class PositionedCluster(FakeCluster):
    """Numbers its writes, as a cluster with replicas does, and notes what each request had to see."""

    def __init__(self) -> None:
        super().__init__()
        self.position = 41
        self.seen: list[tuple[str, dict[int, int] | None]] = []
        self.post_keys: list[bytes | None] = []
        for account_id in (1, 2):
            self.add_account(account_id, f"user_{account_id}")

    async def call(self, bucket: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        positions = positions_of_request.get()
        self.seen.append((op, None if positions is None else dict(positions)))
        if op == "post":
            self.post_keys.append(args[-1])
        body = await super().call(bucket, op, args, timeout_s)
        if op in WRITES and positions is not None:
            self.position += 1
            positions[self.shard_of(bucket)] = self.position
        return body


@pytest.fixture
def live() -> Iterator[LiveServer]:
    with ServerThread({"auth_mode": "open", "wrk2_api": True}, PositionedCluster()) as made:
        yield made


@pytest.fixture
def http(live: LiveServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.base_url) as made:
        yield made


def tweet(http: httpx.Client, **headers: str) -> httpx.Response:
    return http.post("/api/v1/tweet", json={"user_id": "1", "status": "hello"}, headers=headers)


def test_a_write_tells_its_position_and_a_read_does_not(live: LiveServer, http: httpx.Client):
    written = tweet(http)
    assert written.status_code == 201
    assert written.headers[POSITION_HEADER].split(".")[1] == "42"
    for path in ("/feed?user_id=1", "/1/profile", "/healthz"):
        assert POSITION_HEADER not in http.get(path).headers


@pytest.mark.parametrize(
    "path",
    ["/feed?user_id=1", "/api/v1/home_timeline?user_id=1", "/api/v1/user_timeline?user_id=1", "/1/profile",
     "/1/followers", "/wrk2-api/home-timeline/read?user_id=1&start=0&stop=5"],
)  # fmt: skip
def test_what_a_client_sends_back_reaches_the_cluster_with_its_read(live: LiveServer, http: httpx.Client, path: str):
    assert isinstance(live.fake, PositionedCluster)
    given = tweet(http).headers[POSITION_HEADER]
    shard, position = (int(number) for number in given.split("."))
    live.fake.seen.clear()
    answer = http.get(path, headers={POSITION_HEADER: given})
    assert answer.status_code == 200
    assert POSITION_HEADER not in answer.headers
    assert {str(seen) for _, seen in live.fake.seen} == {str({shard: position})}


def test_one_request_knows_nothing_of_another_on_the_same_connection(live: LiveServer, http: httpx.Client):
    assert isinstance(live.fake, PositionedCluster)
    http.get("/1/profile", headers={POSITION_HEADER: "0.7"})
    http.get("/1/profile")
    assert [seen for _, seen in live.fake.seen] == [{0: 7}, {}]


def test_a_write_adds_its_position_to_what_was_given(http: httpx.Client):
    answer = tweet(http, **{POSITION_HEADER: "9.5,200.6"})
    assert answer.headers[POSITION_HEADER].startswith("9.5,200.6,")


def test_a_write_that_is_refused_has_no_position(live: LiveServer, http: httpx.Client):
    def refuse(*_: object) -> None:
        raise NotFoundError("account 1 does not exist", "user_id")

    live.fake.do_post = refuse  # type: ignore[union-attr,method-assign,assignment]
    answer = tweet(http, **{POSITION_HEADER: "9.5"})
    assert_error(answer, 404)
    assert POSITION_HEADER not in answer.headers


@pytest.mark.parametrize("value", ["", "x", "1", "1.", ".1", "1.2.3", "-1.2", "1.2,", "1.2;3.4", "1234.5",
                                   ",".join(["1.2"] * 9), "1." + "9" * 20, "١.٢"])  # fmt: skip
@pytest.mark.parametrize("path", ["/feed?user_id=1", "/1/profile"])
def test_a_position_that_no_answer_could_have_given_is_refused(http: httpx.Client, path: str, value: str):
    assert_error(http.get(path, headers={POSITION_HEADER: value.encode()}), 400, POSITION_HEADER)


def test_a_position_out_of_range_is_refused_and_one_that_nobody_has_is_not(http: httpx.Client):
    assert_error(http.get("/feed?user_id=1", headers={POSITION_HEADER: "1.9999999999999999999"}), 422, POSITION_HEADER)
    assert http.get("/feed?user_id=1", headers={POSITION_HEADER: "999.9223372036854775807"}).status_code == 200


def test_operation_is_not_kept_from_working_by_a_bad_position(http: httpx.Client):
    for path in ("/healthz", "/readyz", "/metrics"):
        assert http.get(path, headers={POSITION_HEADER: "x"}).status_code == 200


def test_a_header_that_is_given_twice_counts_as_one():
    headers = [(b"rookery-position", b"1.2 , 3.4"), (b"rookery-position", b"1.5")]
    assert positions_of(headers) == {1: 5, 3: 4}
    with pytest.raises(MalformedError):
        positions_of([*headers, (b"rookery-position", b"x")])
    with pytest.raises(InvalidError):
        positions_of([(b"rookery-position", b"1.9223372036854775808")])


def test_the_header_stays_short_and_keeps_what_is_new():
    given = dict.fromkeys(range(8), 1)
    assert position_header(given, given) is None
    made = position_header(given, {**given, 0: 5, 20: 6})
    assert made is not None
    assert made[1] == b"2.1,3.1,4.1,5.1,6.1,7.1,0.5,20.6"
    assert len(positions_of([made])) == 8


def test_a_tweet_without_a_key_gets_one_so_that_a_retry_inside_cannot_post_twice(live: LiveServer, http: httpx.Client):
    assert isinstance(live.fake, PositionedCluster)
    for _ in range(2):
        assert tweet(http).status_code == 201
        form = {"user_id": "0", "username": "user_1", "text": "hello", "post_type": "0"}
        assert http.post("/wrk2-api/post/compose", data=form).status_code == 200
    assert [len(key or b"") for key in live.fake.post_keys] == [16] * 4
    assert len(set(live.fake.post_keys)) == 4


def test_what_was_counted_of_replicas_is_shown(live: LiveServer, http: httpx.Client):
    text = http.get("/metrics").text
    assert 'rookery_replica_reads_total{worker="api-0",role="follower"} 3.0' in text
    assert 'rookery_stalled_lanes{worker="api-0"} 1.0' in text
