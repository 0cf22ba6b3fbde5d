"""Stream clients as they are, on a served cluster of two workers: Mastodon.py by server-sent events, masto.js by
WebSockets, a browser's EventSource whose network goes away. Each hears everything once and in order.

A stream that is open may not listen yet, so each test first says something until it is heard.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from mastodon import Mastodon, StreamListener

from tests.chaos.proxy import Proxy
from tests.live.soak import loop_in_a_thread
from tests.ray_cluster.chromium import Page, chromium, needs_chromium
from tests.ray_cluster.rounds import new_person
from tests.serving import ServedCluster, wait_for

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("watched"),
]  # fmt: skip

POSTS = 5
TAG = "streamed"
_names = itertools.count()


@pytest.fixture(scope="module")
def base(watched: ServedCluster) -> str:
    return f"http://127.0.0.1:{watched.port}"


@pytest.fixture
def two(base: str) -> tuple[Mastodon, Mastodon]:
    """Two accounts, of which the second follows the first."""
    writer, reader = (new_person(base, f"stream_{next(_names)}") for _ in range(2))
    reader.account_follow(writer.me().id)
    return writer, reader


class Ear(StreamListener):
    """Keeps what a stream of Mastodon.py's says: (event, id of what it is about)."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def on_any_event(self, name: str, data: Any = None) -> None:
        is_conversation = name == "conversation"
        self.heard.append((name, str(data.last_status.id if is_conversation else getattr(data, "id", data))))

    def of(self, ids: list[str]) -> list[tuple[str, str]]:
        """Return what was said of some statuses."""
        return [each for each in list(self.heard) if each[1] in ids]


def say_until_heard(say: Callable[[], object], is_heard: Callable[[], bool]) -> None:
    """Say something, again if need be, until a stream has heard it."""

    def said() -> bool:
        say()
        until = time.monotonic() + 1.0
        while not is_heard() and time.monotonic() < until:
            time.sleep(0.02)
        return is_heard()

    wait_for(said)


def hang_up(handles: list[Any], say: Callable[[], object]) -> None:
    """Close streams of Mastodon.py, which wait for what comes next before they do: so something comes."""
    closing = [threading.Thread(target=handle.close, daemon=True) for handle in handles]
    for thread in closing:
        thread.start()
    while any(thread.is_alive() for thread in closing):
        say()
        for thread in closing:
            thread.join(0.2)


def test_mastodon_py_hears_every_stream_once_and_in_order(two):
    writer, reader = two
    friends = reader.list_create("friends")
    reader.list_accounts_add(friends.id, [writer.me().id])
    ears = {name: Ear() for name in ("user", "public", "local", "hashtag", "list", "direct")}
    start = {
        "user": reader.stream_user, "public": reader.stream_public, "local": reader.stream_local,
        "hashtag": lambda ear, **how: reader.stream_hashtag(TAG, ear, **how),
        "list": lambda ear, **how: reader.stream_list(friends.id, ear, **how), "direct": reader.stream_direct,
    }  # fmt: skip
    handles = [start[name](ear, run_async=True, timeout=60) for name, ear in ears.items()]
    name = reader.me().username

    def greet() -> None:
        writer.status_post(f"is anybody there? #{TAG}")
        writer.status_post(f"@{name} are you?", visibility="direct")

    say_until_heard(greet, lambda: all(ear.heard for ear in ears.values()))
    made = [str(writer.status_post(f"number {number} #{TAG}").id) for number in range(POSTS)]
    direct = str(writer.status_post(f"@{name} between us", visibility="direct").id)
    writer.status_update(made[1], f"another text #{TAG}")
    writer.status_delete(made[0])
    said = [*(("update", each) for each in made), ("status.update", made[1]), ("delete", made[0])]
    for stream in ("user", "public", "local", "hashtag", "list"):
        wait_for(lambda ear=ears[stream]: ("delete", made[0]) in ear.heard)
        assert ears[stream].of(made) == said, stream
    wait_for(lambda: ("conversation", direct) in ears["direct"].heard)
    assert ears["direct"].of([direct, *made]) == [("conversation", direct)]
    hang_up(handles, greet)


def test_mastodon_py_hears_notifications_and_nothing_once_its_token_is_taken_back(base, two):
    writer, reader = two
    app = Mastodon.create_app("ear", scopes=["read"], redirect_uris="urn:ietf:wg:oauth:2.0:oob", api_base_url=base)
    client = Mastodon(*app, api_base_url=base)
    client.log_in(reader.me().username, "a long enough password", scopes=["read"], allow_http=True)
    ear, other = Ear(), Ear()
    handles = [who.stream_user(ear_of, run_async=True, timeout=60) for who, ear_of in ((client, ear), (reader, other))]
    said = reader.status_post("do you like it?")
    say_until_heard(lambda: writer.status_post("is anybody there?"), lambda: bool(ear.heard and other.heard))
    writer.status_favourite(said.id)
    wait_for(lambda: any(name == "notification" for name, _ in ear.heard))
    client.revoke_access_token(allow_http=True)
    late = str(writer.status_post("between ourselves").id)
    wait_for(lambda: ("update", late) in other.heard and not handles[0].is_alive())
    assert ear.of([late]) == []
    assert [name for name, _ in ear.heard].count("notification") == 1
    hang_up(handles[1:], lambda: writer.status_post("good night"))


# ---- a browser ------------------------------------------------------------------------------------------------------


class Network:
    """The browser's way to the cluster, which can be switched off: what is connected ends, and what connects then."""

    def __init__(self, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self._proxy, self._loop = Proxy(port, seed=1), loop
        asyncio.run_coroutine_threadsafe(self._proxy.start(), loop).result()
        self.port = self._proxy.port

    def switch(self, page: Page, is_on: bool) -> None:
        """Switch it on or off; the browser knows."""
        page.set_network(is_on)
        self._loop.call_soon_threadsafe(self._proxy.set_mode, "" if is_on else "cut")

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._proxy.close(), self._loop).result()


@pytest.fixture
def network(watched: ServedCluster) -> Iterator[Network]:
    with loop_in_a_thread() as loop:
        made = Network(watched.port, loop)
        yield made
        made.close()


LISTEN = """
    window.heard = [];
    window.source = new EventSource("/api/v1/streaming/user?access_token=%s");
    const idOf = { update: (data) => JSON.parse(data).id, delete: (data) => data, recovered: (data) => data };
    for (const kind in idOf) source.addEventListener(kind, ({ data }) => heard.push([kind, idOf[kind](data)]));
    source.onerror = () => heard.push(["error", String(source.readyState)]);
    true
"""


@needs_chromium
@pytest.mark.browser
def test_eventsource_whose_network_goes_away_hears_every_post_once_and_what_was_deleted(two, network, tmp_path):
    writer, reader = two
    with chromium(tmp_path) as page:
        page.open(f"http://127.0.0.1:{network.port}/api/v1/instance")
        page.run(LISTEN % quote(reader.access_token))
        say_until_heard(lambda: writer.status_post("is anybody there?"), lambda: bool(heard_by(page)))
        before = post(writer, POSTS)
        wait_for(lambda: ["update", before[-1]] in heard_by(page))
        network.switch(page, is_on=False)
        wait_for(lambda: any(kind == "error" for kind, _ in heard_by(page)))
        missed = post(writer, POSTS)
        writer.status_delete(before[0])
        network.switch(page, is_on=True)
        wait_for(lambda: ["delete", before[0]] in heard_by(page))
        after = post(writer, POSTS)
        wait_for(lambda: ["update", after[-1]] in heard_by(page))
        heard = [each for each in heard_by(page) if each[0] != "error"]
    mine = [each for each in heard if each[1] in {*before, *missed, *after}]
    assert [subject for kind, subject in mine if kind == "update"] == [*before, *missed, *after]
    assert mine.count(["delete", before[0]]) == 1
    assert "recovered" not in [kind for kind, _ in heard]


def heard_by(page: Page) -> list[list[str]]:
    found: list[list[str]] = json.loads(page.run("JSON.stringify(heard)"))
    return found


def post(writer: Mastodon, count: int) -> list[str]:
    return [str(writer.status_post(f"number {number}").id) for number in range(count)]
