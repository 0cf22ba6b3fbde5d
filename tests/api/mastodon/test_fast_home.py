"""Home has two ways through the worker here, too, and nobody outside can tell which one was taken."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from actors.core.errors import NotFoundError, OverloadedError
from tests.api.conftest import ServerThread
from tests.api.fake_cluster import FakeCluster
from tests.api.test_home_exchange import both_ways

QUERIES = (
    "", "limit=2", "limit=99", "limit=0", "limit=x", "limit=", "max_id={middle}", "since_id={middle}",
    "min_id={middle}&limit=1", "max_id=x", "max_id=-1", "max_id=99999999999999999999", "limit=1&limit=2", "id[]=1",
    "access_token=rk_nonsense", "unknown=%20x&limit=1", "x=%ff", "limit=1&",
)  # fmt: skip


@pytest.mark.parametrize("query", QUERIES)
def test_both_ways_give_the_same_answer(ada: Any, bob: Any, stranger: httpx.Client, query: str):
    tweets = [ada.says(f"number {n}") for n in range(3)]
    url = "/api/v1/timelines/home?" + query.format(middle=tweets[1])
    for sent in (f"Bearer {ada.token}", f"Bearer {bob.token}", "Basic x", "Bearer rk_nonsense", None):
        short, long = both_ways(stranger, url, {} if sent is None else {"authorization": sent})
        assert short == long, sent


@pytest.mark.parametrize("query", QUERIES)
def test_both_ways_give_the_same_list_timeline(ada: Any, bob: Any, stranger: httpx.Client, query: str):
    assert ada.http.post(f"/{ada.id}/follow/{bob.id}").status_code in (200, 201)
    made = ada.post("/api/v1/lists", title="friends")
    ada.post(f"/api/v1/lists/{made['id']}/accounts", account_ids=[bob.id])
    said = [bob.says(f"number {n}") for n in range(3)]
    ada.says("not in the list")
    url = f"/api/v1/timelines/list/{made['id']}"
    assert [status["id"] for status in ada.get(url)] == said[::-1]
    for sent in (f"Bearer {ada.token}", f"Bearer {bob.token}", "Basic x", "Bearer rk_nonsense", None):
        headers = {} if sent is None else {"authorization": sent}
        short, long = both_ways(stranger, f"{url}?{query.format(middle=said[1])}", headers)
        assert short == long, sent


@pytest.mark.parametrize("list_id", ["1", "0", "07", "x", "", "1/", "9223372036854775807", "9" * 19, "1%30", "-1"])
def test_both_ways_refuse_what_is_no_list(ada: Any, stranger: httpx.Client, list_id: str):
    short, long = both_ways(stranger, f"/api/v1/timelines/list/{list_id}", {"authorization": f"Bearer {ada.token}"})
    assert short == long
    assert short[0] in (404, 405)


def test_the_log_calls_list_timelines_by_one_name(ada: Any, server: Any):
    made = ada.post("/api/v1/lists", title="friends")
    ada.get(f"/api/v1/timelines/list/{made['id']}")
    figures = ada.http.get("/metrics").text
    assert "timelines/list/{list_id}" in figures
    assert f"timelines/list/{made['id']}" not in figures


@pytest.mark.parametrize("error", [NotFoundError("no", "id"), OverloadedError("full", None, 2.5), ZeroDivisionError()])
def test_both_ways_pass_on_what_a_shard_refuses(error: Exception):
    fake = FakeCluster()
    with ServerThread(None, fake) as live, httpx.Client(base_url=live.base_url) as http:
        made = http.post("/api/v1/users", json={"username": "ada", "password": "correct horse battery"}).json()
        token = {"authorization": f"Bearer {made['auth_token']}", "x-request-id": "mine"}
        assert http.get("/api/v1/timelines/home", headers=token).status_code == 200

        def refuse(*_: object) -> None:
            raise error

        fake.do_shaped = refuse  # type: ignore[attr-defined]
        short, long = both_ways(http, "/api/v1/timelines/home", token)
        assert [short[0], sorted(short[1]), short[2]] == [long[0], sorted(long[1]), long[2]]
        assert short[0] >= 400
        assert b'{"error":"' in short[2]
