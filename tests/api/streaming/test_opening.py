"""Requests for streams: who may have which, what is refused and how, and what HTTP makes of the rest."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from actors.core.scopes import parse
from api.streaming.channels import NAME_AT
from api.streaming.wheel import LOOK_TICKS
from tests.api.conftest import LiveServer, ServerThread, open_http
from tests.api.streaming.clients import KEY, UPGRADE
from tests.api.streaming.conftest import World
from tests.api.streaming.fake_hub import delete, update

SSE = {"Accept": "text/event-stream"}
PARAMETER = {"hashtag": "?tag=cats", "hashtag/local": "?tag=cats"}
OUT_OF_BAND = "urn:ietf:wg:oauth:2.0:oob"
PRIVATE = ("user", "user/notification", "direct")
PUBLIC = ("public", "public/local", "public/remote", "hashtag", "hashtag/local")


def path_of(stream: str) -> str:
    return f"/api/v1/streaming/{stream}{PARAMETER.get(stream, '')}"


# ---- server-sent events ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [*PRIVATE, *PUBLIC])
def test_each_stream_is_served_as_server_sent_events(world, bearer, stream):
    with world.sse().open(path_of(stream), bearer) as client:
        assert client.headers["cache-control"] == "private, no-store"
        assert client.headers["connection"] == "close"
        assert client.headers["access-control-allow-origin"] == "*"
        assert "content-length" not in client.headers
        (_, topics, _), *others = world.hub.asked
        assert not others
        world.tell(delete(5, *topics), cursor="c1")
        assert client.block() == {"event": "delete", "data": "5", "id": "c1"}


def test_streams_of_media_alone_have_a_name_of_their_own(world, bearer):
    for query, topic in (("?only_media=true", "public:media"), ("?only_media=false", "public"), ("", "public")):
        with world.sse().open("/api/v1/streaming/public" + query, bearer):
            assert world.hub.asked.pop()[1] == (topic,)
    with world.sse().open("/api/v1/streaming/public/local?only_media=1", bearer):
        assert world.hub.asked.pop()[1] == ("public:local:media",)


def test_a_cursor_comes_as_a_header_or_in_the_address(world, bearer):
    with world.sse().open(path_of("user"), {**bearer, "Last-Event-ID": "mine"}):
        assert world.hub.asked.pop()[2] == "mine"
    with world.sse().open(path_of("user") + "?last_event_id=yours", bearer):
        assert world.hub.asked.pop()[2] == "yours"
    with world.sse().open(path_of("user") + "?last_event_id=yours", {**bearer, "Last-Event-ID": "mine"}):
        assert world.hub.asked.pop()[2] == "mine"
    with world.sse().open(path_of("user"), bearer):
        assert world.hub.asked.pop()[2] is None


def test_who_came_with_a_cursor_is_told_first_what_cannot_be_said(world, bearer):
    with world.sse().open(path_of("user"), {**bearer, "Last-Event-ID": "mine"}) as client:
        world.do(world.hub.lose)
        world.tell(delete(5))
        assert client.block() == {"event": "recovered", "data": "false"}
        assert client.block() == {"event": "delete", "data": "5"}


def test_a_browser_learns_where_it_is_before_anything_has_happened_and_others_do_not(world, bearer):
    with (
        world.sse().open(path_of("user"), {**bearer, **SSE}) as browser,
        world.sse().open(path_of("user"), bearer) as other,
    ):
        world.hub.here = "now"
        for _ in range(LOOK_TICKS):
            world.do(world.streams.wheel._tick)
        assert browser.block() == {"id": "now"}
        world.tell(delete(5))
        assert other.block()["event"] == "delete"


def test_heartbeats_are_comments(world, bearer):
    with world.sse().open(path_of("user"), bearer) as client:
        world.do(lambda: [each.beat() for each in world.streams._open])
        assert client.file.readline() == b":thump\n"


def test_what_a_client_sends_behind_its_request_is_read_past_up_to_a_bound(world, bearer):
    with world.sse().open(path_of("user"), bearer) as client:
        client.sock.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
        world.tell(delete(5))
        assert client.block()["event"] == "delete"
        with contextlib.suppress(ConnectionError):
            client.sock.sendall(b"x" * 200_000)
        assert client.is_closed()


def test_the_native_stream_has_native_json(world, register):
    ada = register()
    with world.sse().open(f"/{ada.user_id}/stream", {"Authorization": f"Bearer {ada.token}"}) as client:
        world.tell(update(5), cursor="c1")
        assert client.block() == {"event": "update", "data": '{"tweet_id":"5","text":"hello"}', "id": "c1"}
        world.tell(delete(5))
        assert client.block() == {"event": "delete", "data": "5"}
    with world.sse().open(f"/{ada.user_id}/stream?auth_token={ada.token}"):
        assert world.hub.asked[-1][:2] == (int(ada.user_id), ("user",))


# ---- who may --------------------------------------------------------------------------------------------------------


def test_a_token_comes_as_header_parameter_or_subprotocol(world, register):
    ada = register()
    ways: list[tuple[str, dict[str, str]]] = [
        ("", {"Authorization": f"Bearer {ada.token}"}),
        (f"&access_token={ada.token}", {}),
        ("", {"Sec-WebSocket-Protocol": ada.token}),
        ("", {"Sec-WebSocket-Protocol": f"{ada.token}, other"}),
    ]
    for query, headers in ways:
        with world.ws().open(f"/api/v1/streaming?stream=user{query}", headers) as client:
            client.ponged()
            assert world.hub.asked.pop()[0] == int(ada.user_id)
            assert client.headers.get("sec-websocket-protocol") == (
                ada.token if "Sec-WebSocket-Protocol" in headers else None
            )
    for query, headers in ways[:2]:
        with world.sse().open(path_of("user") + query.replace("&", "?"), headers):
            assert world.hub.asked.pop()[0] == int(ada.user_id)


@pytest.mark.parametrize("stream", PRIVATE)
def test_private_streams_need_a_token(world, stream):
    with world.sse() as client:
        assert client.ask(path_of(stream)) == 401
        assert client.error == "Missing access token"
        assert client.ask(path_of(stream), {"Authorization": "Bearer nonsense"}) == 401
        assert client.error == "Invalid access token"
        assert client.ask(path_of(stream), {"Authorization": "Basic bm9ib2R5"}) == 401
        assert "www-authenticate" in client.headers
        assert client.ask("/healthz") == 200  # the connection is as good as it was
    with world.ws().open() as client:
        client.subscribe(stream.replace("/", ":"))
        assert client.told() == {"error": "Missing access token", "status": 401}


@pytest.mark.parametrize("stream", PUBLIC)
def test_public_streams_are_for_everybody_but_not_for_a_token_that_is_none(world, stream):
    with world.sse().open(path_of(stream)):
        assert world.hub.asked.pop()[0] == 0
    with world.sse() as client:
        assert client.ask(path_of(stream), {"Authorization": "Bearer nonsense"}) == 401


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        ("read", {"user", "user/notification", "direct"}),
        ("read:statuses", {"user", "direct"}),
        ("read:notifications", {"user/notification"}),
        ("write follow push", set()),
    ],
)
def test_a_token_is_good_for_what_its_scopes_cover(world, register, scopes, allowed):
    bearer = {"Authorization": f"Bearer {scoped(world, register(), scopes)}"}
    for stream in PRIVATE:
        with world.sse() as client:
            assert client.ask(path_of(stream), bearer) == (200 if stream in allowed else 401)
            if stream not in allowed:
                assert client.error == "Access token does not have the required scopes"
        with world.ws().open(headers=bearer) as client:
            client.subscribe(stream.replace("/", ":"))
            if stream in allowed:
                client.ponged()
            else:
                assert client.told()["status"] == 401


def scoped(world: World, user: Any, scopes: str) -> str:
    """Return a token of an account for some scopes, by OAuth's password grant."""
    wanted = {"client_name": "x", "redirect_uris": OUT_OF_BAND, "scopes": "read write follow push"}
    app = user.http.post("/api/v1/apps", json=wanted).json()
    reply = user.http.post(
        "/oauth/token",
        json={
            "grant_type": "password", "client_id": app["client_id"], "client_secret": app["client_secret"],
            "username": user.username, "password": "correct horse battery", "scope": scopes,
        },
    )  # fmt: skip
    assert reply.status_code == 200, reply.text
    assert parse(reply.json()["scope"]) == parse(scopes)
    return str(reply.json()["access_token"])


def test_an_app_by_itself_hears_what_everybody_may(world, register):
    http = register().http
    app = http.post("/api/v1/apps", json={"client_name": "x", "redirect_uris": OUT_OF_BAND}).json()
    reply = http.post("/oauth/token", json={
        "grant_type": "client_credentials", "client_id": app["client_id"], "client_secret": app["client_secret"],
    })  # fmt: skip
    bearer = {"Authorization": f"Bearer {reply.json()['access_token']}"}
    with world.sse().open(path_of("public"), bearer):
        assert world.hub.asked.pop()[0] == 0
    with world.sse() as client:
        assert client.ask(path_of("user"), bearer) == 401


def test_a_list_is_its_owners(world, register):
    ada, bob = register(), register()
    made = ada.http.post("/api/v1/lists", json={"title": "friends"}).json()["id"]
    path = f"/api/v1/streaming/list?list={made}"
    with world.sse().open(path, {"Authorization": f"Bearer {ada.token}"}):
        assert world.hub.asked.pop()[1] == (f"list:{made}",)
    with world.sse() as client:
        assert client.ask(path, {"Authorization": f"Bearer {bob.token}"}) == 401
        assert client.error == "Not authorized to stream this list"
        assert client.ask(path) == 401
        assert client.ask(path.replace(made, "99"), {"Authorization": f"Bearer {ada.token}"}) == 401


def test_the_native_stream_is_its_accounts(world, register):
    ada, bob = register(), register()
    with world.sse() as client:
        assert client.ask(f"/{ada.user_id}/stream") == 401
        assert client.ask(f"/{ada.user_id}/stream", {"Authorization": f"Bearer {bob.token}"}) == 403
        assert client.ask(f"/{ada.user_id}/stream?auth_token=nonsense") == 401
        assert client.ask("/0/stream", {"Authorization": f"Bearer {bob.token}"}) == 422
        few = scoped(world, ada, "read")
        assert client.ask(f"/{ada.user_id}/stream", {"Authorization": f"Bearer {few}"}) == 403
    assert not world.hub.asked


# ---- what is refused before the upgrade -----------------------------------------------------------------------------

HANDSHAKES = [
    ({"Sec-WebSocket-Version": "12"}, 426),
    ({"Sec-WebSocket-Version": ""}, 426),
    ({"Sec-WebSocket-Key": ""}, 400),
    ({"Sec-WebSocket-Key": "c2hvcnQ="}, 400),
    ({"Sec-WebSocket-Key": "?" * 24}, 400),
    ({"Sec-WebSocket-Key": KEY * 2}, 400),
    ({"Upgrade": "websocket, h2c"}, 400),
    ({"Connection": "keep-alive"}, 400),
    ({"Sec-WebSocket-Protocol": "two words"}, 400),
    ({"Sec-WebSocket-Protocol": "x" * 3_000}, 400),
    ({"Sec-WebSocket-Protocol": "nonsense"}, 401),
]


@pytest.mark.parametrize(("wrong", "status"), HANDSHAKES)
def test_a_handshake_that_is_none_is_refused_as_json(world, wrong, status):
    with world.ws() as client:
        assert client.ask("/api/v1/streaming", {**UPGRADE, **wrong}) == status
        assert isinstance(client.error, str)
        assert client.headers.get("sec-websocket-version") == ("13" if status == 426 else None)
        assert client.is_closed() or "connection" not in client.headers


def test_a_handshake_in_other_letters_is_one(world):
    odd = {"Connection": "keep-alive, UpGrade", "upgrade": "WebSocket", "Origin": "https://elsewhere.example"}
    rest = {name: value for name, value in UPGRADE.items() if name.startswith("Sec")}
    with world.ws() as client:
        assert client.ask("/api/v1/streaming", {**odd, **rest}) == 101
        assert client.headers["upgrade"] == "websocket"
        assert client.headers["connection"] == "Upgrade"
        client.ponged()


def test_the_answer_proves_that_the_key_was_read(world):
    known = {**UPGRADE, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}  # RFC 6455, section 1.3
    with world.ws() as client:
        assert client.ask("/api/v1/streaming", known) == 101
        assert client.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert "sec-websocket-extensions" not in client.headers


@pytest.mark.parametrize(
    ("query", "status"),
    [("stream=nobody", 400), ("stream=hashtag", 400), ("stream=user", 401), ("stream=list&list=x", 401),
     ("stream=public&since=1&since=2", 400), ("%ff", 400)],
)  # fmt: skip
def test_a_stream_in_the_address_that_is_none_is_refused_before_the_upgrade(world, query, status):
    with world.ws() as client:
        assert client.ask(f"/api/v1/streaming?{query}", UPGRADE) == status


def test_what_is_no_stream_is_refused(world, bearer):
    with world.sse() as client:
        assert client.ask("/api/v1/streaming/nobody", bearer) == 404
        assert client.ask("/api/v1/streaming/hashtag", bearer) == 400
        assert client.ask("/api/v1/streaming", bearer) == 426
        assert client.ask(path_of("user"), {**bearer, "Accept": "application/json"}) == 406
        assert client.ask(path_of("user"), bearer, "POST") == 405
        assert client.ask("/api/v1/streaming/health") == 200
        assert client.body == b"OK"


def test_a_stream_has_no_body(world, bearer):
    with world.sse() as client:
        client.send_head(path_of("user"), {**bearer, "Content-Length": "2"})
        client.sock.sendall(b"{}")
        assert client.read_answer() == 400
    with world.sse() as client:
        assert client.ask(path_of("user"), {**bearer, "Content-Length": "0"}) == 200
    with world.ws() as client:
        client.send_head("/api/v1/streaming", {**UPGRADE, **bearer, "Content-Length": "2"})
        client.sock.sendall(b"{}")
        assert client.read_answer() == 400


def test_a_stream_is_asked_for_by_get_of_http_1_1_alone(world, bearer):
    for version in ("1.0",):
        with world.sse() as client:
            client.send_head(path_of("user"), bearer, version=version)
            assert client.read_answer() == 400
        with world.ws() as client:
            client.send_head("/api/v1/streaming", {**UPGRADE, **bearer}, version=version)
            assert client.read_answer() == 400
    with world.sse() as client:
        client.send_head(path_of("user"), bearer, method="HEAD")
        assert client.read_head() in (400, 405)
        assert client.ask("/healthz") == 200
    assert not world.hub.asked


def test_a_stream_may_follow_other_requests_but_not_wait_behind_one(world, bearer):
    with world.sse() as client:
        assert client.ask("/healthz") == 200
        client.open(path_of("user"), bearer)
        world.tell(delete(5))
        assert client.block()["event"] == "delete"
    with world.sse() as client:
        client.sock.sendall(f"GET /api/v1/timelines/public HTTP/1.1\r\nHost: {client.host}\r\n\r\n".encode())
        client.send_head(path_of("user"), bearer)
        assert client.read_answer() == 200
        assert client.read_answer() in (200, 400)


def test_requests_behind_one_for_a_stream_are_answered_only_if_there_is_none(world, bearer):
    health = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with world.sse() as client:
        client.sock.sendall(f"GET {path_of('user')} HTTP/1.1\r\nHost: x\r\n\r\n{health}".encode())
        assert client.read_answer() == 401
        assert client.read_answer() == 200
    with world.sse() as client:
        head = f"GET {path_of('user')} HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer['Authorization']}\r\n\r\n"
        client.sock.sendall((head + health).encode())
        assert client.read_head() == 200
        assert client.file.readline() == b":)\n"
        world.tell(delete(5))
        assert client.block()["event"] == "delete"


@pytest.mark.parametrize(
    "path", ["/api/v1/timelines/home", "/", "/feed", "/1/stream", "/api/v1/streamingx", "/api/v1/x"]
)
def test_nothing_else_is_upgraded(world, bearer, path):
    with world.ws() as client:
        assert client.ask(path, {**UPGRADE, **bearer}) != 101
        assert client.is_closed()


def test_every_stream_of_the_description_has_its_path():
    assert {path.removeprefix("/api/v1/streaming/") for path in NAME_AT} == {*PRIVATE, *PUBLIC, "list"}


# ---- how many -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def limited(**settings: Any) -> Any:
    with ServerThread(settings) as live:
        yield World(live)


def made_token(live: LiveServer, name: str) -> str:
    with open_http(live.base_url) as http:
        reply = http.post("/api/v1/users", json={"username": name, "password": "correct horse battery"})
        return str(reply.json()["auth_token"])


def test_streams_are_bounded_in_all_and_of_an_account_and_of_an_address(world):
    limits = {"enabled": True, "register": [1000, 1000]}
    with limited(
        stream_count_max=5, account_stream_count_max=2, address_stream_count_max=2, rate_limits=limits
    ) as few, contextlib.ExitStack() as opened:  # fmt: skip
        bearer = {"Authorization": f"Bearer {made_token(few.live, 'ada')}"}
        mine = [opened.enter_context(few.ws().open(headers=bearer)) for _ in range(2)]
        client = opened.enter_context(few.sse())
        assert client.ask(path_of("user"), bearer) == 429
        assert client.error == "2 streams of this account are open already; use those"
        assert int(client.headers["retry-after"]) >= 1
        for _ in range(2):
            opened.enter_context(few.sse().open(path_of("public")))
        assert opened.enter_context(few.sse()).ask(path_of("public")) == 429
        other = {"Authorization": f"Bearer {made_token(few.live, 'bob')}"}
        opened.enter_context(few.sse().open(path_of("public"), other))
        refused = opened.enter_context(few.sse())
        assert refused.ask(path_of("public"), other) == 503
        assert "retry-after" in refused.headers
        mine[0].send(8, b"")
        assert mine[0].file.read()
        wait_for(lambda: few.do(lambda: few.streams.places.open_count) == 4)
        opened.enter_context(few.sse().open(path_of("user"), bearer))
        figures = few.do(few.services.figures)
        assert (figures["streams_sse"], figures["streams_websocket"]) == (4, 1)
        assert figures["streams_refused_account_full"] == figures["streams_refused_address_full"] == 1
        assert figures["streams_refused_worker_full"] == 1
        assert few.services.connections.open_count < 5  # those that were refused are connections still


def test_new_streams_are_shed_before_requests_are(world, bearer):
    with world.sse().open(path_of("user"), bearer) as open_already, world.sse() as client:
        world.do(setattr, world.services.reads, "count", world.services.settings.in_flight_count_max // 2)
        try:
            assert client.ask(path_of("user"), bearer) == 503
            assert "retry-after" in client.headers
        finally:
            world.do(setattr, world.services.reads, "count", 0)
        world.tell(delete(5))
        assert open_already.block()["event"] == "delete"
        assert world.streams.places.refused_by_reason["overloaded"] == 1


def wait_for(look: Any) -> None:
    while not look():
        continue


# ---- their end ------------------------------------------------------------------------------------------------------


def test_a_stopping_worker_closes_all_streams_at_once_and_opens_none(world, bearer):
    with (
        world.ws().open(headers=bearer) as socket,
        world.sse().open(path_of("user"), bearer) as events,
        world.sse() as late,
    ):
        world.do(world.streams.stop)
        assert socket.closed() == (1001, "stopping")
        assert events.block() == {"": "stopping", "end": "yes"}
        assert late.ask(path_of("user"), bearer) == 503


def test_a_revoked_token_ends_its_streams_and_no_others(world, register):
    ada = register()
    again = ada.http.post("/api/v1/login", json={"username": ada.username, "password": "correct horse battery"}).json()
    with (
        world.ws().open("/api/v1/streaming?stream=user", {"Authorization": f"Bearer {ada.token}"}) as first,
        world.ws().open("/api/v1/streaming?stream=user", {"Authorization": f"Bearer {again['auth_token']}"}) as second,
    ):
        first.ponged(), second.ponged()
        from api.access.auth import parse_token

        secret = parse_token(ada.token).secret_hash
        world.do(lambda: [each.revoked(secret) for each in list(world.hub.topics_of)])
        assert first.closed() == (1008, "the access token is not valid any more")
        second.ponged()


def test_when_a_push_may_have_been_missed_tokens_are_looked_up_again(world, register):
    ada, bob = register(), register()
    with (
        world.sse().open(path_of("user"), {"Authorization": f"Bearer {ada.token}"}) as first,
        world.ws().open("/api/v1/streaming?stream=user", {"Authorization": f"Bearer {bob.token}"}) as second,
    ):
        second.ponged()
        assert ada.http.post("/api/v1/logout", json={}).status_code in (200, 204)
        world.do(lambda: [each.revoked(None) for each in list(world.hub.topics_of)])
        assert first.block() == {"": "the access token is not valid any more", "end": "yes"}
        second.ponged()


def test_the_hub_lets_a_stream_go_with_a_reason(world, bearer):
    with world.sse().open(path_of("user"), bearer) as client:
        world.do(lambda: [each.close("the account is gone") for each in list(world.hub.topics_of)])
        assert client.block() == {"": "the account is gone", "end": "yes"}
