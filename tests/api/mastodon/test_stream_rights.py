"""What changes while somebody streams holds from then on, and nothing comes twice or out of order: bytes of sockets.

Real shards, the worker's hub; `ponged` says that nothing else has come.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.api.conftest import PASSWORD
from tests.api.mastodon.oauth_client import OOB
from tests.api.mastodon.test_stream_gaps import gap, heard, ids_of
from tests.api.mastodon.test_streams import payload, sse, ws

__all__ = ["sse", "ws"]  # fixtures
FILTER = {"title": "no", "context": ["home", "public"], "keywords_attributes": [{"keyword": "spinach"}]}


def act(person: Any, what: str, whom: Any) -> None:
    person.post(f"/api/v1/accounts/{whom.id}/{what}")


@pytest.fixture
def friends(new_person):
    """Return (ada, bob): he follows her."""
    ada, bob = new_person("ada"), new_person("bob")
    act(bob, "follow", ada)
    return ada, bob


def says(person: Any, text: str = "hello", **more: Any) -> tuple[str, str]:
    return "update", person.post("/api/v1/statuses", status=text, **more)["id"]


@pytest.mark.parametrize(("who", "verb"), [(1, "block"), (0, "block"), (1, "mute")])
def test_from_a_block_or_a_mute_on_nothing_is_heard_and_after_its_end_all(ws, friends, who, verb):
    ada, bob = friends
    clients = [ws(bob, "user"), ws(bob, "public")]
    first = says(ada)
    for client in clients:
        assert heard(client, 1) == [first]
    act(friends[who], verb, friends[1 - who])
    says(ada)
    for client in clients:
        client.ponged()
    act(friends[who], f"un{verb}", friends[1 - who])
    if verb == "block":
        act(bob, "follow", ada)
    last = says(ada)
    for client in clients:
        assert heard(client, 1) == [last]


def test_from_an_unfollow_on_nothing_is_heard_at_home(ws, friends):
    ada, bob = friends
    client = ws(bob, "user")
    act(bob, "unfollow", ada)
    says(ada)
    client.ponged()
    act(bob, "follow", ada)
    said = says(ada)
    assert heard(client, 1) == [said]
    act(ada, "remove_from_followers", bob)
    says(ada)
    says(ada, visibility="private")
    client.ponged()


def test_who_has_asked_to_follow_hears_nothing_before_the_answer(ws, new_person):
    ada, bob = new_person("ada"), new_person("bob")
    ada.patch("/api/v1/accounts/update_credentials", locked=True)
    client = ws(bob, "user")
    act(bob, "follow", ada)
    says(ada, visibility="private")
    client.ponged()
    ada.post(f"/api/v1/follow_requests/{bob.id}/authorize")
    said = says(ada, visibility="private")
    assert heard(client, 1) == [said]


def test_who_goes_private_is_heard_by_followers_alone(ws, friends, new_person):
    ada, bob = friends
    eve = new_person("eve")
    home, public, eves = ws(bob, "user"), ws(None, "public"), ws(eve, "public")
    ada.patch("/api/v1/accounts/update_credentials", locked=True, source={"privacy": "private"})
    said = says(ada)
    assert heard(home, 1) == [said]
    for client in (public, eves):
        client.ponged()


@pytest.mark.parametrize(("stream", "more"), [("user", {}), ("public", {}), ("hashtag", {"tag": "cats"}), ("list", {})])
def test_filters_hold_on_whatever_stream_one_has_from_their_change_on(ws, friends, stream, more):
    ada, bob = friends
    if stream == "list":
        more = {"list": bob.post("/api/v1/lists", title="friends")["id"]}
        bob.post(f"/api/v1/lists/{more['list']}/accounts", account_ids=[ada.id])
    client = ws(bob, stream, **more)
    says(ada, "spinach #cats")
    assert payload(client.told())["filtered"] == []
    made = bob.post("/api/v2/filters", **FILTER)
    says(ada, "spinach #cats")
    told = [client.told() for _ in range(1 + (stream == "user"))][-1]
    assert payload(told)["filtered"][0]["filter"]["title"] == "no"
    bob.delete(f"/api/v2/filters/{made['id']}")
    says(ada, "spinach #cats")
    told = [client.told() for _ in range(1 + (stream == "user"))][-1]
    assert payload(told)["filtered"] == []


def test_lists_have_those_who_are_on_them_now_and_end_with_them(ws, friends):
    ada, bob = friends
    made = bob.post("/api/v1/lists", title="friends")["id"]
    client = ws(bob, "list", list=made)
    says(ada)
    client.ponged()
    bob.post(f"/api/v1/lists/{made}/accounts", account_ids=[ada.id])
    said = says(ada)
    assert heard(client, 1) == [said]
    bob.delete(f"/api/v1/lists/{made}/accounts", account_ids=[ada.id])
    says(ada)
    client.ponged()
    bob.post(f"/api/v1/lists/{made}/accounts", account_ids=[ada.id])
    bob.delete(f"/api/v1/lists/{made}")
    says(ada)
    client.ponged()


def test_a_changed_password_ends_all_streams_of_the_account_and_of_nobody_else(ws, sse, friends):
    ada, bob = friends
    adas, events, bobs = ws(ada, "user", "public"), sse("/api/v1/streaming/user", ada.token), ws(bob, "user")
    reply = ada.http.post(f"/{ada.id}/password", json={"password": PASSWORD, "new_password": "another long password"})
    assert reply.status_code == 200, reply.text
    assert adas.closed()[0] == 1008
    assert events.block()["end"] == "yes"
    bobs.ponged()


def test_a_revoked_token_of_an_app_ends_its_own_stream_alone(ws, sse, ada):
    body = {"client_name": "reader", "redirect_uris": OOB, "scopes": "read"}
    app = ada.post("/api/v1/apps", **body)
    client = {"client_id": app["client_id"], "client_secret": app["client_secret"]}
    asked = {"grant_type": "password", "username": ada.username, "password": PASSWORD, "scope": "read"}
    token = ada.http.post("/oauth/token", json={**client, "redirect_uri": OOB, **asked}).json()["access_token"]
    own, apps = ws(ada, "user"), sse("/api/v1/streaming/user", token)
    assert ada.http.post("/oauth/revoke", json={**client, "token": token}).status_code == 200
    assert apps.block()["end"] == "yes"
    said = says(ada)
    assert heard(own, 1) == [said]


@pytest.mark.parametrize("visibility", ["private", "direct", "unlisted"])
def test_a_hashtag_brings_nothing_that_is_not_for_everybody(ws, new_person, visibility):
    ada, bob = new_person("ada"), new_person("bob")
    bob.post("/api/v1/tags/cats/follow")
    home, tag, public = ws(bob, "user"), ws(bob, "hashtag", tag="cats"), ws(None, "public")
    says(ada, "#cats", visibility=visibility)
    for client in (tag, public):
        client.ponged()
    if visibility != "unlisted":
        home.ponged()


@pytest.mark.parametrize("seed", [1, 2])
def test_on_one_connection_nothing_comes_twice_nor_out_of_order_whatever_is_lost_meanwhile(
    server, ws, new_person, seed
):
    dice = random.Random(seed)
    people = [new_person(name) for name in ("ada", "bob", "eve")]
    for person in people[1:]:
        act(person, "follow", people[0])
    act(people[2], "follow", people[1])
    clients = [ws(people[2], "user"), ws(None, "public"), ws(people[2], "hashtag", tag="x"), ws(people[1], "user")]
    there: dict[str, Any] = {}

    def some() -> None:
        for _ in range(dice.randrange(1, 6)):
            person = dice.choice(people)
            mine = [each for each, owner in there.items() if owner is person]
            what = dice.choice(("post", "post", "post", "edit", "delete"))
            if what == "post" or not mine:
                there[says(person, f"{dice.random()} #x", visibility=dice.choice(("public", "private")))[1]] = person
            elif what == "edit":
                person.put(f"/api/v1/statuses/{dice.choice(mine)}", status=f"{dice.random()} #x")
            else:
                gone = dice.choice(mine)
                person.delete(f"/api/v1/statuses/{gone}")
                del there[gone]

    for _ in range(5):
        some()
        with gap(server):
            some()
    last = says(people[0], "#x")
    for client in clients:
        events = []
        while not events or events[-1] != last:
            events.append(ids_of(client.told()))
        client.ponged()
        _check(events)
        shown = {each for kind, each in events if kind == "update"} - {
            each for kind, each in events if kind == "delete"
        }
        is_home = client is clients[0]
        assert not is_home or shown == {*there, last[1]}


def _check(events: list[tuple[str, str]]) -> None:
    once = [each for each in events if each[0] in ("update", "delete")]
    assert len(once) == len(set(once)), events
    for place, (kind, each) in enumerate(events):
        if kind == "delete":
            assert all(other != each for _, other in events[place + 1 :]), events
