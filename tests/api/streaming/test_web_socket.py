"""Streams over WebSockets: subscriptions, what is told, and RFC 6455."""

from __future__ import annotations

import orjson
import pytest
from websockets.frames import BINARY, CLOSE, CONT, PING, PONG, TEXT, Close, Frame

from actors.core.errors import InvalidError
from api.streaming.channels import KINDS
from api.streaming.events import FILTERS_CHANGED, Event
from api.streaming.frames import MESSAGE_BYTES_MAX
from api.streaming.web_socket import FRAMES_PER_BEAT_MAX, SILENT_BEATS, SUBSCRIPTIONS_MAX
from tests.api.streaming.clients import UPGRADE
from tests.api.streaming.fake_hub import delete, update

# ---- what is subscribed to, and told --------------------------------------------------------------------------------


def test_a_client_hears_what_it_subscribes_to(world, bearer):
    with world.ws().open(headers=bearer) as client:
        client.subscribe("user")
        client.ponged()
        world.tell(update(5), cursor="c1")
        told = client.told()
        assert (told["stream"], told["event"], told["id"]) == (["user"], "update", "c1")
        assert orjson.loads(told["payload"])["id"] == "5"
        world.tell(delete(5))
        assert client.told() == {"stream": ["user"], "event": "delete", "payload": "5"}


def test_a_stream_may_be_named_in_the_address(world, token):
    with world.ws().open(f"/api/v1/streaming/?stream=hashtag&tag=Cats&access_token={token}") as client:
        world.tell(delete(5, "hashtag:cats"))
        assert client.told()["stream"] == ["hashtag", "Cats"]


def test_a_stream_may_be_named_by_its_path(world, bearer):
    with world.ws().open("/api/v1/streaming/user", bearer) as client:
        world.tell(delete(5))
        assert client.told()["stream"] == ["user"]


@pytest.mark.parametrize("name", [name for name in KINDS if name != "list"])
def test_each_stream_is_heard_under_its_own_name(world, bearer, name):
    with world.ws().open(headers=bearer) as client:
        client.subscribe(name, **({"tag": "#Cats"} if "hashtag" in name else {}))
        client.ponged()
        world.tell(delete(5, f"{name}:cats" if "hashtag" in name else name))
        assert client.told()["stream"] == ([name, "#Cats"] if "hashtag" in name else [name])


def test_several_streams_on_one_connection_are_told_apart_and_left_one_by_one(world, bearer):
    with world.ws().open(headers=bearer) as client:
        for stream in ("user", "public", "public:local"):
            client.subscribe(stream)
        client.subscribe("public")  # twice is once
        client.ponged()
        world.tell(delete(5, "user", "public", "public:local"))
        assert [client.told()["stream"] for _ in range(3)] == [["user"], ["public"], ["public:local"]]
        client.say(type="unsubscribe", stream="public")
        client.ponged()
        world.tell(delete(6, "user", "public", "public:local"))
        assert [client.told()["stream"] for _ in range(2)] == [["user"], ["public:local"]]
        client.ponged()


def test_a_list_is_heard_by_its_owner_and_what_is_said_meanwhile_comes_after(world, register):
    ada, bob = register(), register()
    made = ada.http.post("/api/v1/lists", json={"title": "friends"}).json()["id"]
    with world.ws().open(headers={"Authorization": f"Bearer {ada.token}"}) as client:
        client.subscribe("list", list=made)
        client.subscribe("public")
        client.say(type="unsubscribe", stream="list", list=made)
        client.subscribe("list", list=made)
        client.say(type="nonsense")
        assert client.told()["status"] == 400
        world.tell(delete(5, f"list:{made}", "public"))
        assert [client.told()["stream"] for _ in range(2)] == [["public"], ["list", made]]
    with world.ws().open(headers={"Authorization": f"Bearer {bob.token}"}) as client:
        client.subscribe("list", list=made)
        assert client.told() == {"error": "Not authorized to stream this list", "status": 401}
        client.subscribe("public")
        client.ponged()
        world.tell(delete(5, f"list:{made}", "public"))
        assert client.told()["stream"] == ["public"]


REFUSED = [
    ({"type": "subscribe", "stream": "nobody"}, 400, "Unknown stream type"),
    ({"type": "subscribe"}, 400, "Unknown stream type"),
    ({"type": "subscribe", "stream": {"a": 1}}, 400, "Unknown stream type"),
    ({"type": "subscribe", "stream": []}, 400, "Unknown stream type"),
    ({"type": "subscribe", "stream": "hashtag"}, 400, "Missing tag name parameter"),
    ({"type": "subscribe", "stream": "hashtag", "tag": ""}, 400, "Missing tag name parameter"),
    ({"type": "subscribe", "stream": "hashtag", "tag": "no tag!"}, 400, None),
    ({"type": "subscribe", "stream": "list"}, 400, "Missing list name parameter"),
    ({"type": "subscribe", "stream": "list", "list": "x"}, 400, "list must be an id, not 'x'"),
    ({"type": "subscribe", "stream": "list", "list": "77"}, 401, "Not authorized to stream this list"),
    ({"type": "subscribe", "stream": "user", "since": 5}, 400, "since must be a text"),
    ({"type": "unsubscribe", "stream": "nobody"}, 400, "Unknown stream type"),
    ({"type": 5, "stream": "user"}, 400, None),
    ([], 400, None),
    ("user", 400, None),
]


@pytest.mark.parametrize(("order", "status", "sentence"), REFUSED)
def test_what_is_not_understood_is_answered_and_the_connection_goes_on(world, bearer, order, status, sentence):
    with world.ws().open(headers=bearer) as client:
        client.send(TEXT, orjson.dumps(order))
        told = client.told()
        assert told["status"] == status
        assert sentence is None or told["error"] == sentence
        client.subscribe("user")
        client.ponged()
        world.tell(delete(5))
        assert client.told()["event"] == "delete"


@pytest.mark.parametrize("text", [b"", b"{", b"nonsense", b"[" * 4_000])
def test_what_is_no_json_is_answered_and_the_connection_goes_on(world, bearer, text):
    with world.ws().open(headers=bearer) as client:
        client.send(TEXT, text)
        assert client.told()["status"] == 400
        client.ponged()


def test_what_the_hub_refuses_is_told(world, bearer):
    with world.ws().open(headers=bearer) as client:
        world.hub.refusal = InvalidError("no more than that")
        client.subscribe("user")
        assert client.told()["error"] == "no more than that"
        world.hub.refusal = None
        client.subscribe("user")
        client.ponged()


def test_subscriptions_of_a_connection_are_bounded(world, bearer):
    with world.ws().open(headers=bearer) as client:
        for number in range(SUBSCRIPTIONS_MAX):
            client.subscribe("hashtag", tag=f"t{number}")
        client.ponged()
        client.subscribe("user")
        assert client.told()["status"] == 429
        assert len(world.hub.topics_of) == SUBSCRIPTIONS_MAX


def test_unsubscribing_from_what_is_not_heard_changes_nothing(world, bearer):
    with world.ws().open(headers=bearer) as client:
        client.say(type="unsubscribe", stream="user")
        client.ponged()


def test_an_event_without_payload_has_none(world, bearer):
    with world.ws().open("/api/v1/streaming?stream=user", bearer) as client:
        world.tell(Event(FILTERS_CHANGED, frozenset(("user",))))
        assert client.told() == {"stream": ["user"], "event": "filters_changed"}


# ---- cursors --------------------------------------------------------------------------------------------------------


def test_who_knows_cursors_gives_his_and_is_told_what_cannot_be_said(world, bearer):
    with world.ws().open(headers=bearer) as client:
        client.subscribe("user", since="mine")
        client.subscribe("public")
        client.ponged()
        assert [(topics, cursor) for _, topics, cursor in world.hub.asked] == [(("user",), "mine"), (("public",), None)]
        listener = next(iter(world.hub.topics_of))
        world.do(listener.recovered)
        assert client.told() == {"stream": ["user"], "event": "recovered", "payload": "false"}


def test_heartbeats_are_frames_only_for_who_knows_cursors(world, bearer):
    with world.ws().open("/api/v1/streaming?stream=user&since=", bearer) as client:
        world.do(beat, world)
        assert client.frame(pings=True) == (PING, b"")
        assert client.told() == {"event": "heartbeat"}
        world.hub.here = "now"
        world.do(beat, world)
        assert client.frame(pings=True) == (PING, b"")
        assert client.told() == {"event": "heartbeat", "stream": ["user"], "id": "now"}
    with world.ws().open("/api/v1/streaming?stream=user", bearer) as client:
        world.do(beat, world)
        assert client.frame(pings=True) == (PING, b"")
        client.ponged()


def beat(world) -> None:
    for connection in list(world.streams._open):
        connection.beat()


# ---- RFC 6455 -------------------------------------------------------------------------------------------------------


def test_pings_are_answered_with_what_they_carry(world):
    with world.ws().open() as client:
        for data in (b"", b"x", bytes(range(125))):
            client.ponged(data)
        client.send(PONG, b"that nobody asked for")
        client.ponged()


def test_a_message_in_fragments_with_a_ping_between_them_is_one(world, bearer):
    with world.ws().open(headers=bearer) as client:
        order = orjson.dumps({"type": "subscribe", "stream": "user"})
        client.send(TEXT, order[:9], fin=False)
        client.ponged()
        client.send(CONT, order[9:11], fin=False)
        client.send(CONT, order[11:])
        client.ponged()
        assert world.hub.asked[0][1] == ("user",)


@pytest.mark.parametrize("code", [1000, 1001, 1003, 3000, 4999])
def test_a_close_is_answered_with_its_code_and_ends_the_connection(world, code):
    with world.ws().open() as client:
        client.send(CLOSE, Close(code, "bye").serialize())
        client.send(TEXT, b"that nobody looks at")
        assert client.closed() == (code, "")


def test_an_empty_close_is_answered_by_one(world):
    with world.ws().open() as client:
        client.send(CLOSE, b"")
        assert client.frame() == (CLOSE, b"")
        assert client.file.read() == b""


BROKEN = [
    (CLOSE, b"\x03", 1002),
    (CLOSE, (1005).to_bytes(2, "big"), 1002),
    (CLOSE, b"\x03\xe8\xff\xff", 1007),
    (BINARY, b"{}", 1003),
    (CONT, b"{}", 1002),
    (TEXT, b"\xff", 1007),
    (TEXT, b" " * (MESSAGE_BYTES_MAX + 1), 1009),
]


@pytest.mark.parametrize(("opcode", "data", "code"), BROKEN)
def test_who_breaks_the_rules_is_told_which_code(world, opcode, data, code):
    with world.ws().open() as client:
        client.send(opcode, data)
        assert client.closed()[0] == code
        assert world.streams.places.cut_by_reason["protocol"] == 1


def test_a_frame_without_a_mask_is_refused(world):
    with world.ws().open() as client:
        client.sock.sendall(b"\x81\x02{}")
        assert client.closed()[0] == 1002


def test_who_sends_frames_without_end_is_cut_off(world):
    with world.ws().open() as client:
        pong = b"\x8a\x80\x00\x00\x00\x00"
        for _ in range(FRAMES_PER_BEAT_MAX // 100 + 1):
            client.sock.sendall(pong * 100)
        assert client.closed()[0] == 1008


def test_who_answers_no_ping_is_cut_off(world):
    with world.ws().open() as client, world.ws().open() as other:
        for _ in range(SILENT_BEATS):
            world.do(beat, world)
            assert other.frame(pings=True) == (PING, b"")
            other.ponged()
        world.do(beat, world)
        for _ in range(SILENT_BEATS):
            assert client.frame(pings=True) == (PING, b"")
        assert client.closed() == (1001, "no ping was answered")
        assert other.frame(pings=True) == (PING, b"")
        other.ponged()


def test_a_client_that_hangs_up_is_forgotten(world, bearer):
    with world.ws().open("/api/v1/streaming?stream=user", bearer) as client:
        client.ponged()
        assert world.do(lambda: len(world.hub.topics_of)) == 1
    while world.do(lambda: len(world.hub.topics_of)):
        continue
    assert world.do(lambda: world.streams.places.open_count) == 0
    world.do(world.streams.check)


def test_frames_that_come_with_the_handshake_are_taken(world, bearer):
    order = Frame(TEXT, b'{"type":"subscribe","stream":"user"}').serialize(mask=True)
    with world.ws() as client:
        lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": client.host, **UPGRADE, **bearer}.items())
        client.sock.sendall(f"GET /api/v1/streaming HTTP/1.1\r\n{lines}\r\n".encode() + order)
        assert client.read_head() == 101
        client.ponged()
        world.tell(delete(5))
        assert client.told()["event"] == "delete"


def test_a_list_of_frames_that_comes_with_the_handshake_is_bounded(world, bearer):
    with world.ws() as client:
        client.send_head("/api/v1/streaming", {**UPGRADE, **bearer})
        client.sock.sendall(b"\x81" * 200_000)
        assert client.is_closed()
