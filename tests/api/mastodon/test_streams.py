"""What a client of streams sees after each kind of thing that happens: real shards, the worker's hub, real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.api.conftest import PASSWORD, LiveServer
from tests.api.streaming.clients import SseClient, WsClient


@pytest.fixture
def ws(server: LiveServer) -> Iterator[Any]:
    """Open WebSockets that hear streams, once the shards know of them."""
    opened: list[WsClient] = []

    def make(person: Any, *streams: str, **more: Any) -> WsClient:
        headers = {"Authorization": f"Bearer {person.token}"} if person is not None else {}
        client = WsClient(server.base_url).open(headers=headers)
        opened.append(client)
        for stream in streams:
            client.subscribe(stream, **more)
        client.ponged()
        settle(server)
        return client

    yield make
    for client in opened:
        client.__exit__()


@pytest.fixture
def sse(server: LiveServer) -> Iterator[Any]:
    opened: list[SseClient] = []

    def make(path: str, token: str = "", **headers: str) -> SseClient:
        given = {"Authorization": f"Bearer {token}"} if token else {}
        client = SseClient(server.base_url).open(path, {**given, **headers})
        opened.append(client)
        settle(server)
        return client

    yield make
    for client in opened:
        client.__exit__()


def settle(server: LiveServer) -> None:
    """Wait until the shards have heard of all that is listened to."""
    assert server.worker is not None
    assert server.worker._services is not None
    hub = server.worker._services.hub

    async def wait() -> None:
        lines = hub._lines.values()
        while any(line._dirty or line._dirty_topics or line._is_asking for line in lines):  # noqa: ASYNC110  no event
            await asyncio.sleep(0.001)

    assert server.loop is not None
    asyncio.run_coroutine_threadsafe(wait(), server.loop).result(60)


def payload(told: dict[str, Any]) -> Any:
    return orjson.loads(told["payload"])


def test_a_new_status_is_heard_by_followers_and_its_author_and_by_nobody_else(ws, new_person):
    ada, bob, eve = new_person("ada"), new_person("bob"), new_person("eve")
    bob.post(f"/api/v1/accounts/{ada.id}/follow")
    bobs, adas, eves = (ws(each, "user") for each in (bob, ada, eve))
    said = ada.post("/api/v1/statuses", status="hello")
    for client in (bobs, adas):
        told = client.told()
        assert (told["stream"], told["event"]) == (["user"], "update")
        assert payload(told)["id"] == said["id"]
        assert payload(told)["account"]["id"] == ada.id
        assert told["id"]
    eves.ponged()


def test_what_is_heard_is_what_is_read(ws, ada, bob):
    bob.post(f"/api/v1/accounts/{ada.id}/follow")
    client = ws(bob, "user")
    ada.post("/api/v1/statuses", status="hello #cats", spoiler_text="careful")
    (read,) = bob.get("/api/v1/timelines/home")
    assert payload(client.told()) == read


def test_a_poll_and_a_quote_are_shown_whole(ws, ada, bob):
    bob.post(f"/api/v1/accounts/{ada.id}/follow")
    client = ws(bob, "user")
    ada.post("/api/v1/statuses", status="tea?", poll={"options": ["yes", "no"], "expires_in": 3600})
    shown = payload(client.told())
    assert [option["title"] for option in shown["poll"]["options"]] == ["yes", "no"]
    assert shown == bob.get("/api/v1/timelines/home")[0]
    first = ada.post("/api/v1/statuses", status="first")
    client.told()
    ada.post("/api/v1/statuses", status="second", quoted_status_id=first["id"])
    assert payload(client.told())["quote"]["quoted_status"]["id"] == first["id"]


def test_deletions_and_edits_are_heard(ws, ada, bob):
    bob.post(f"/api/v1/accounts/{ada.id}/follow")
    client = ws(bob, "user")
    said = ada.post("/api/v1/statuses", status="helo")
    client.told()
    ada.put(f"/api/v1/statuses/{said['id']}", status="hello")
    told = client.told()
    assert told["event"] == "status.update"
    assert "hello" in payload(told)["content"]
    ada.delete(f"/api/v1/statuses/{said['id']}")
    told = client.told()
    assert (told["event"], told["payload"]) == ("delete", said["id"])


def test_notifications_are_heard_as_they_are_read(ws, ada, bob):
    said = ada.post("/api/v1/statuses", status="hello")
    user, only = ws(ada, "user"), ws(ada, "user:notification")
    bob.post(f"/api/v1/statuses/{said['id']}/favourite")
    (read,) = ada.get("/api/v1/notifications")
    for client, stream in ((user, ["user"]), (only, ["user:notification"])):
        told = client.told()
        assert (told["stream"], told["event"]) == (stream, "notification")
        assert payload(told) == read
    ada.post("/api/v1/statuses", status="more")
    assert user.told()["event"] == "update"
    only.ponged()


def test_a_notification_that_is_kept_apart_or_unwanted_is_not_heard(ws, ada, bob):
    client = ws(ada, "user:notification")
    said = ada.post("/api/v1/statuses", status="hello")
    ada.post(f"/api/v1/accounts/{bob.id}/block")
    bob.http.post(f"/api/v1/statuses/{said['id']}/favourite")
    ada.post(f"/api/v1/accounts/{bob.id}/unblock")
    ada.patch("/api/v2/notifications/policy", for_not_following="filter")
    bob.post(f"/api/v1/statuses/{said['id']}/favourite")
    client.ponged()


def test_conversations_are_heard_on_their_own_stream(ws, ada, bob):
    client = ws(ada, "direct")
    said = bob.post("/api/v1/statuses", status=f"@{ada.username} psst", visibility="direct")
    told = client.told()
    assert (told["stream"], told["event"]) == (["direct"], "conversation")
    (read,) = ada.get("/api/v1/conversations")
    assert payload(told) == read
    assert read["last_status"]["id"] == said["id"]


def test_a_direct_status_is_heard_by_those_whom_it_is_for(ws, new_person):
    ada, bob, eve = new_person("ada"), new_person("bob"), new_person("eve")
    for each in (ada, eve):
        each.post(f"/api/v1/accounts/{bob.id}/follow")
    adas, eves, all_public = ws(ada, "user"), ws(eve, "user"), ws(None, "public")
    bob.post("/api/v1/statuses", status=f"@{ada.username} psst", visibility="direct")
    assert {adas.told()["event"] for _ in range(2)} == {"update", "notification"}
    eves.ponged()
    all_public.ponged()


def test_changed_filters_are_told_and_heeded_at_once(ws, ada, bob):
    bob.post(f"/api/v1/accounts/{ada.id}/follow")
    client = ws(bob, "user")
    bob.post("/api/v2/filters", title="no", context=["home"], keywords_attributes=[{"keyword": "spinach"}])
    told = client.told()
    assert (told["stream"], told["event"]) == (["user"], "filters_changed")
    assert "payload" not in told
    ada.post("/api/v1/statuses", status="spinach")
    told = next_of(client, "update")
    assert payload(told)["filtered"][0]["filter"]["title"] == "no"
    ada.post("/api/v1/statuses", status="cake")
    assert payload(next_of(client, "update"))["filtered"] == []


def next_of(client: WsClient, event: str) -> dict[str, Any]:
    while (told := client.told())["event"] != event:
        continue
    return told


def test_public_streams_have_what_is_public_without_reblogs_and_hashtags_theirs(ws, ada, bob):
    everything, anonymous = ws(bob, "public", "public:local"), ws(None, "public")
    cats = ws(None, "hashtag", tag="Cats")
    ada.post("/api/v1/statuses", status="hidden #cats", visibility="unlisted")
    ada.post("/api/v1/statuses", status="only for friends", visibility="private")
    plain = ada.post("/api/v1/statuses", status="hello")
    tagged = ada.post("/api/v1/statuses", status="hello #CATS")
    bob.post(f"/api/v1/statuses/{plain['id']}/reblog")
    for client, count in ((everything, 2), (anonymous, 1)):
        heard = [client.told() for _ in range(2 * count)]
        assert [payload(told)["id"] for told in heard] == sorted([plain["id"], tagged["id"]] * count)
        client.ponged()
    told = cats.told()
    assert (told["stream"], payload(told)["id"]) == (["hashtag", "Cats"], tagged["id"])
    cats.ponged()


def test_blocked_and_muted_accounts_are_not_heard_in_public(ws, new_person):
    ada, bob, eve = new_person("ada"), new_person("bob"), new_person("eve")
    ada.post(f"/api/v1/accounts/{bob.id}/block")
    ada.post(f"/api/v1/accounts/{eve.id}/mute")
    client = ws(ada, "public")
    for each in (bob, eve):
        each.post("/api/v1/statuses", status="hello")
    own = ada.post("/api/v1/statuses", status="peace")
    assert payload(client.told())["id"] == own["id"]
    back = ws(bob, "public")
    ada.post("/api/v1/statuses", status="not for bob")
    mine = bob.post("/api/v1/statuses", status="mine")
    assert payload(back.told())["id"] == mine["id"]


def test_a_list_has_what_its_members_say(ws, new_person):
    ada, bob, eve = new_person("ada"), new_person("bob"), new_person("eve")
    for each in (bob, eve):
        ada.post(f"/api/v1/accounts/{each.id}/follow")
    made = ada.post("/api/v1/lists", title="friends")["id"]
    ada.post(f"/api/v1/lists/{made}/accounts", account_ids=[bob.id])
    client = ws(ada, "list", list=made)
    eve.post("/api/v1/statuses", status="not on it")
    said = bob.post("/api/v1/statuses", status="hello")
    told = client.told()
    assert (told["stream"], payload(told)["id"]) == (["list", made], said["id"])


def test_what_the_reader_has_done_is_shown(ws, ada, bob):
    bob.post(f"/api/v1/accounts/{ada.id}/follow")
    bobs, adas = ws(bob, "user"), ws(ada, "user")
    said = ada.post("/api/v1/statuses", status="hello")
    bob.post(f"/api/v1/statuses/{said['id']}/favourite")
    ada.put(f"/api/v1/statuses/{said['id']}", status="hello again")
    assert payload(next_of(bobs, "status.update"))["favourited"] is True
    assert payload(next_of(adas, "status.update"))["favourited"] is False


def test_a_stream_goes_on_behind_the_last_event_that_the_client_has(sse, ada, bob):
    bob.post(f"/api/v1/accounts/{ada.id}/follow")
    path = "/api/v1/streaming/user"
    first = sse(path, bob.token)
    ada.post("/api/v1/statuses", status="one")
    cursor = first.block()["id"]
    first.__exit__()
    missed = [ada.post("/api/v1/statuses", status=text)["id"] for text in ("two", "three")]
    ada.delete(f"/api/v1/statuses/{missed[0]}")
    again = sse(path, bob.token, **{"Last-Event-ID": cursor})
    said = ada.post("/api/v1/statuses", status="four")["id"]
    heard = [again.block() for _ in range(3)]
    ids = [orjson.loads(b["data"])["id"] if b["event"] == "update" else f"-{b['data']}" for b in heard]
    assert ids[-1] == said
    assert missed[1] in ids
    assert f"-{missed[0]}" in ids


def test_a_cursor_of_nothing_is_told_and_the_stream_goes_on(sse, ada):
    client = sse("/api/v1/streaming/user", ada.token, **{"Last-Event-ID": "nonsense"})
    assert client.block() == {"event": "recovered", "data": "false"}
    said = ada.post("/api/v1/statuses", status="hello")
    assert orjson.loads(client.block()["data"])["id"] == said["id"]


def test_a_revoked_token_ends_its_streams_at_once(ws, sse, ada):
    socket, events = ws(ada, "user"), sse("/api/v1/streaming/user", ada.token)
    assert ada.http.post("/api/v1/logout", json={}).status_code in (200, 204)
    assert socket.closed() == (1008, "the access token is not valid any more")
    assert events.block()["end"] == "yes"


def test_a_deleted_account_is_let_go(ws, ada):
    socket = ws(ada, "user", "public")
    reply = ada.http.request("DELETE", f"/api/v1/users/{ada.id}", json={"password": PASSWORD})
    assert reply.status_code in (200, 202, 204), reply.text
    assert socket.closed()[0] in (1001, 1008)


def test_the_native_stream_says_what_the_native_api_says(sse, bob, ada):
    bob.post(f"/api/v1/accounts/{ada.id}/follow")
    client = sse(f"/{bob.id}/stream", bob.token)
    said = ada.says("hello")
    block = client.block()
    assert block["event"] == "update"
    (read,) = bob.get("/api/v1/home_timeline", user_id=bob.id)
    assert orjson.loads(block["data"]) == read
    assert read["tweet_id"] == said
    mine = bob.says("mine")
    client.block()
    ada.post(f"/api/v1/statuses/{mine}/favourite")
    block = client.block()
    assert block["event"] == "notification"
    assert orjson.loads(block["data"]) == bob.get(f"/{bob.id}/notifications")["notifications"][0]
