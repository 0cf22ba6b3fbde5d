"""Why a tweet is, or isn't, in one's home timeline, over HTTP and by the command, over the real core on two shards."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from actors.core.errors import NotFoundError, OverloadedError
from actors.core.ids import bucket_of_account
from actors.core.levels import LEVEL
from actors.text.explanations import in_words
from commands.explaining import as_json, explain, print_explanation
from tests.api.conftest import LiveServer, ServerThread, User, assert_error
from tests.api.core_cluster import CoreCluster

PATH = "/api/v1/home_timeline/explain"


class CoreClient:
    """What the command asks of a `ClusterClient`."""

    level = LEVEL

    def __init__(self, core: CoreCluster) -> None:
        self._core = core

    async def call(self, bucket: int, op: str, args: list[Any], timeout_s: float = 0.0) -> Any:
        return self._core.answer(bucket, op, args)

    async def account(self, account_id: int, op: str, *args: Any) -> Any:
        return self._core.answer(bucket_of_account(account_id), op, [account_id, *args])


@pytest.fixture(scope="module")
def core() -> CoreCluster:
    return CoreCluster(has_search=False)


@pytest.fixture(scope="module")
def server(core) -> Iterator[LiveServer]:
    with ServerThread(fake=core) as live:
        live.fake = None
        yield live


def ask(who: User, tweet_id: str) -> dict[str, Any]:
    reply = who.http.get(PATH, params={"user_id": who.user_id, "tweet_id": tweet_id})
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_the_reason_is_told_in_words_and_changes_with_what_it_is(ada, bob):
    tweet_id = bob.tweet("hello")["tweet_id"]
    found = ask(ada, tweet_id)
    assert (found["verdict"], found["tweet_id"]) == ("left_out", tweet_id)
    assert found["sentence"] == (
        f"It isn't in the home timeline: @{ada.username} follows neither @{bob.username} nor a hashtag of it."
    )
    assert [(rule["rule"], rule["passed"]) for rule in found["rules"]][:2] == [("exists", True), ("reach", False)]
    assert ada.http.post(f"/{ada.user_id}/follow/{bob.user_id}").status_code == 200
    assert ask(ada, tweet_id)["place"] == "dormant"
    assert ada.http.get("/feed", params={"user_id": ada.user_id}).json()[0]["tweet_id"] == tweet_id
    found = ask(ada, tweet_id)
    assert (found["verdict"], found["place"]) == ("shown", "ring")
    assert [rule["rule"] for rule in found["rules"]] == ["exists", "reach", "visible", "wanted", "reply", "length"]
    assert all(rule["passed"] for rule in found["rules"])
    assert ada.http.post(f"/{ada.user_id}/mute/{bob.user_id}").status_code == 200
    found = ask(ada, tweet_id)
    assert found["verdict"] == "left_out"
    assert f"@{ada.username} mutes @{bob.username}" in found["sentence"]


def test_a_reply_to_a_stranger_says_whom_it_answers(ada, bob, register):
    carol = register()
    first = carol.tweet("who is there?")["tweet_id"]
    answer = bob.tweet("me", in_reply_to=first)["tweet_id"]
    ada.http.post(f"/{ada.user_id}/follow/{bob.user_id}")
    said = f"it is a reply to @{carol.username}, whom @{ada.username} doesn't follow"
    assert said in ask(ada, answer)["sentence"]


def test_nobody_is_told_of_a_tweet_that_he_may_not_see_nor_of_the_timeline_of_somebody_else(ada, bob):
    hidden = bob.tweet("for few", visibility="followers")["tweet_id"]
    mine = {"user_id": ada.user_id, "tweet_id": hidden}
    refused = ada.http.get(PATH, params=mine)
    assert_error(refused, 404, "tweet_id")
    never = ada.http.get(PATH, params={**mine, "tweet_id": "1024"})
    assert refused.json()["error"]["message"].replace(hidden, "1024") == never.json()["error"]["message"]
    assert_error(ada.http.get(PATH, params={**mine, "user_id": bob.user_id}), 403)
    assert_error(ada.http.get(PATH, params={"user_id": ada.user_id}), 422, "tweet_id")
    blocked = bob.tweet("hello")["tweet_id"]
    assert bob.http.post(f"/{bob.user_id}/block/{ada.user_id}").status_code == 200
    assert_error(ada.http.get(PATH, params={**mine, "tweet_id": blocked}), 404, "tweet_id")


def test_the_command_takes_names_and_ids_and_tells_of_any_pair(core, ada, bob):
    direct = int(bob.tweet("for nobody", visibility="direct")["tweet_id"])
    ada.http.get("/feed", params={"user_id": ada.user_id})
    client: Any = CoreClient(core)
    told = asyncio.run(explain(client, f"@{ada.username}", direct))
    assert told == asyncio.run(explain(client, ada.user_id, direct))
    assert (told.verdict, told.place) == ("left_out", "nowhere")
    shown = io.StringIO()
    print_explanation(told, Console(file=shown, width=200))
    lines = shown.getvalue().splitlines()
    assert lines[0] == told.sentence
    assert f"  NO   reach    @{ada.username} follows neither @{bob.username} nor a hashtag of it" in lines
    assert f"  NO   visible  it is direct, and doesn't mention @{ada.username}" in lines
    assert as_json(told)["rules"][0] == {
        "rule": "exists", "passed": True, "sentence": f"@{bob.username} wrote it, and it is there",
    }  # fmt: skip
    gone = asyncio.run(explain(client, ada.user_id, 1 << 50))
    assert gone.sentence.startswith("It isn't in the home timeline: there is no such tweet")
    with pytest.raises(NotFoundError, match="nobody_at_all"):
        asyncio.run(explain(client, "@nobody_at_all", 1))
    client.level = 3
    with pytest.raises(OverloadedError, match="upgraded"):
        asyncio.run(explain(client, ada.user_id, 1))


@pytest.mark.parametrize(
    ("packed", "verdict", "place"),
    [
        (["shown", 7, [], ["pull_log", 7]], "It is in the home timeline.", "in the log of @7"),
        (["older", 7, [["length", False, "place", [801]]], ["below_floor", 0]], "further down", "it is asked of"),
        (["under_way", 7, [], ["nowhere", 0]], "under way", "not on the reader's shard"),
        (["left_out", 7, [["wanted", False, "language de", [7]]], ["dormant", 0]], "other languages than de", "@u is"),
        (["left_out", 7, [["repost", False, "twin", [99]]], ["ring", 3]], "as 99", "number 3 in the ring"),
    ],
)  # fmt: skip
def test_verdicts_and_places_have_words(packed, verdict, place):
    told = in_words(packed, "@u", lambda account_id: f"@{account_id}")
    assert verdict in told.sentence
    assert place in told.place_sentence
