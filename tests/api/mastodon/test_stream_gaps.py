"""Gaps of a shard that has forgotten what happened, as after kill -9: real shards, the worker's hub, real sockets.

Clients that know nothing of cursors must see no gap; those that do are told, and read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.api.conftest import LiveServer
from tests.api.mastodon.test_streams import payload, settle, sse, ws

__all__ = ["sse", "ws"]  # fixtures


@contextmanager
def gap(server: LiveServer) -> Iterator[None]:
    """Have all shards forget what happened, and whoever listens hear nothing until the block ends."""
    assert server.worker is not None
    assert server.loop is not None
    listened, held = server.fake.listened, list[Any]()

    async def lose() -> None:
        await asyncio.sleep(0)  # what is pushed by now is taken
        listened.take = lambda *push: held.append(push)
        for listening, *_ in listened._shards.values():
            listening.stop()

    async def go_on() -> None:
        await asyncio.sleep(0)
        listened.take = server.worker.take_push
        for push in held:
            listened.take(*push)
        hub = server.worker._services.hub  # type: ignore[union-attr]
        waits = True
        while waits:  # until nobody waits for what was missed
            await asyncio.sleep(0.001)
            waits = any(hearer.waiting for hearer in hub.audience.by_listener.values())

    asyncio.run_coroutine_threadsafe(lose(), server.loop).result(60)
    yield
    asyncio.run_coroutine_threadsafe(go_on(), server.loop).result(60)
    settle(server)


def ids_of(told: dict[str, Any]) -> tuple[str, str]:
    """Return what an event is about: (event, id)."""
    if told["event"] in ("delete", "filters_changed"):
        return told["event"], told.get("payload", "")
    return told["event"], payload(told)["id"]


def heard(client: Any, count: int) -> list[tuple[str, str]]:
    """Return what has come: so many events, and nothing more."""
    found = [ids_of(client.told()) for _ in range(count)]
    client.ponged()
    return found


def test_in_a_gap_new_statuses_deletions_edits_and_notifications_are_told_once(server, ws, new_person):
    ada, bob = new_person("ada"), new_person("bob")
    bob.post(f"/api/v1/accounts/{ada.id}/follow")
    mine = bob.post("/api/v1/statuses", status="mine")
    client = ws(bob, "user")
    first, second, third = (ada.post("/api/v1/statuses", status=text) for text in ("one", "two", "three"))
    bob.post(f"/api/v1/statuses/{second['id']}/favourite")
    assert [each for _, each in heard(client, 3)] == [first["id"], second["id"], third["id"]]
    with gap(server):
        ada.delete(f"/api/v1/statuses/{first['id']}")
        ada.put(f"/api/v1/statuses/{second['id']}", status="two, edited")
        fourth = ada.post("/api/v1/statuses", status="four")
        ada.post(f"/api/v1/statuses/{mine['id']}/favourite")
    found = [client.told() for _ in range(5)]
    client.ponged()
    (notice,) = bob.get("/api/v1/notifications", types=["favourite"])
    assert sorted(map(ids_of, found)) == sorted([
        ("update", fourth["id"]), ("delete", first["id"]), ("status.update", second["id"]),
        ("notification", notice["id"]), ("filters_changed", ""),
    ])  # fmt: skip
    (edited,) = [payload(told) for told in found if told["event"] == "status.update"]
    assert edited["favourited"] is True
    assert "edited" in edited["content"]
    with gap(server):
        pass
    assert heard(client, 1) == [("filters_changed", "")]


def test_in_a_gap_of_public_streams_what_was_told_is_not_told_again(server, ws, ada, bob):
    everything, cats = ws(None, "public"), ws(None, "hashtag", tag="cats")
    first, second = (ada.post("/api/v1/statuses", status=f"{n} #cats") for n in (1, 2))
    for client in (everything, cats):
        assert [each for _, each in heard(client, 2)] == [first["id"], second["id"]]
    with gap(server):
        ada.delete(f"/api/v1/statuses/{first['id']}")
        ada.put(f"/api/v1/statuses/{second['id']}", status="edited #cats")
        third = bob.post("/api/v1/statuses", status="3 #cats")
    for client in (everything, cats):
        assert sorted(heard(client, 3)) == [
            ("delete", first["id"]), ("status.update", second["id"]), ("update", third["id"]),
        ]  # fmt: skip
    with gap(server):
        pass
    for client in (everything, cats):
        client.ponged()


def test_in_a_gap_an_edited_status_is_shown_as_the_original_where_a_reblog_of_it_was_told(server, ws, new_person):
    ada, bob, eve = new_person("ada"), new_person("bob"), new_person("eve")
    eve.post(f"/api/v1/accounts/{bob.id}/follow")
    client = ws(eve, "user")
    said = ada.post("/api/v1/statuses", status="one")
    bob.post(f"/api/v1/statuses/{said['id']}/reblog")
    heard(client, 1)
    with gap(server):
        ada.put(f"/api/v1/statuses/{said['id']}", status="one, edited")
    assert heard(client, 2) == [("status.update", said["id"]), ("filters_changed", "")]


def test_in_a_gap_conversations_are_told(server, ws, ada, bob):
    client = ws(ada, "direct")
    with gap(server):
        said = bob.post("/api/v1/statuses", status=f"@{ada.username} psst", visibility="direct")
    told = client.told()
    assert told["event"] == "conversation"
    assert payload(told)["last_status"]["id"] == said["id"]
    with gap(server):
        pass
    client.ponged()
    talks = [bob.post("/api/v1/statuses", status=f"@{ada.username} {n}", visibility="direct") for n in range(2)]
    assert [payload(client.told())["last_status"]["id"] for _ in talks] == [each["id"] for each in talks]
    with gap(server):  # what was told isn't told again
        more = {"visibility": "direct", "in_reply_to_id": talks[0]["id"]}
        said = bob.post("/api/v1/statuses", status=f"@{ada.username} more", **more)
    assert payload(client.told())["last_status"]["id"] == said["id"]
    client.ponged()


def test_filters_that_were_changed_in_a_gap_are_heeded(server, ws, sse, ada, bob):
    bob.post(f"/api/v1/accounts/{ada.id}/follow")
    client = ws(bob, "user")
    knows = ws(bob, "user", since="")
    with gap(server):
        bob.post("/api/v2/filters", title="no", context=["home"], keywords_attributes=[{"keyword": "spinach"}])
    assert client.told()["event"] == "filters_changed"
    assert knows.told()["event"] == "recovered"
    ada.post("/api/v1/statuses", status="spinach")
    for each in (client, knows):
        assert payload(each.told())["filtered"][0]["filter"]["title"] == "no"


def test_who_is_hidden_since_a_gap_is_not_heard(server, ws, new_person):
    ada, bob = new_person("ada"), new_person("bob")
    client, back = ws(bob, "public"), ws(bob, "user")
    bob.post(f"/api/v1/accounts/{ada.id}/follow")
    with gap(server):
        bob.post(f"/api/v1/accounts/{ada.id}/block")
        ada.post("/api/v1/statuses", status="unheard")
    ada.post("/api/v1/statuses", status="unheard, too")
    assert heard(back, 1) == [("filters_changed", "")]
    client.ponged()


def test_who_missed_more_than_can_be_read_is_let_go(server, ws, ada, bob, monkeypatch):
    monkeypatch.setattr("api.streaming.gaps.READ_MAX", 3)
    bob.post(f"/api/v1/accounts/{ada.id}/follow")
    client, public = ws(bob, "user"), ws(None, "public")
    heard_first = ada.post("/api/v1/statuses", status="zero")["id"]
    for each in (client, public):
        assert heard(each, 1) == [("update", heard_first)]
    with gap(server):
        for n in range(4):
            ada.post("/api/v1/statuses", status=f"{n}")
    for each in (client, public):
        assert "can't be read" in each.closed()[1]


def test_in_a_gap_an_edit_is_not_told_to_who_follows_no_more(server, ws, new_person):
    reader, author = new_person("reader"), new_person("author")
    reader.post(f"/api/v1/accounts/{author.id}/follow")
    client = ws(reader, "user")
    status = author.post("/api/v1/statuses", status="as it was")
    assert payload(client.told())["id"] == status["id"]
    with gap(server):
        reader.post(f"/api/v1/accounts/{author.id}/unfollow")
        author.put(f"/api/v1/statuses/{status['id']}", status="as it is")
    assert client.told()["event"] == "filters_changed"
    client.ponged()


@pytest.mark.parametrize("followed_first", [True, False])
def test_an_edit_is_heard_by_whoever_follows_by_then(ws, new_person, followed_first):
    ada, bob = new_person("ada"), new_person("bob")
    if followed_first:
        bob.post(f"/api/v1/accounts/{ada.id}/follow")
    said = ada.post("/api/v1/statuses", status="one")
    if not followed_first:
        bob.get("/api/v1/timelines/home")  # or the ring that it wakes would have to be waited for
        bob.post(f"/api/v1/accounts/{ada.id}/follow")
    client = ws(bob, "user")
    ada.put(f"/api/v1/statuses/{said['id']}", status="two")
    assert heard(client, 1) == [("status.update", said["id"])]


@pytest.mark.parametrize("shard", [0, 1])
def test_a_deletion_is_heard_once_by_whom_the_status_mentions(server, ws, new_person, shard):
    ada, bob, eve = new_person("ada"), new_person("bob"), new_person("eve")
    bob.post(f"/api/v1/accounts/{ada.id}/follow")
    eve.post(f"/api/v1/accounts/{ada.id}/block") if shard else None
    text = f"@{bob.username} @{eve.username} hello"
    said = ada.post("/api/v1/statuses", status=text)
    bobs, eves = ws(bob, "user"), ws(eve, "user")
    ada.delete(f"/api/v1/statuses/{said['id']}")
    assert heard(bobs, 1) == [("delete", said["id"])]
    if shard:  # who has blocked her
        eves.ponged()
    else:
        assert heard(eves, 1) == [("delete", said["id"])]
