"""Bodies, queries and headers that no sane client sends: always a 4xx in our shape, never a 5xx, never a hang."""

from __future__ import annotations

import contextlib
import socket
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.limits import CONTENT_TYPE_BYTES_MAX, HEAD_BYTES_MAX
from tests.api.conftest import assert_error

WRITES = (
    "/api/v1/users",
    "/api/v1/login",
    "/api/v1/tweet",
    "/tweet",
    "/api/v1/logout",
    "/1/follow/2",
    "/api/v1/tweet/5/like",
)
CONTENT_TYPES = (
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=b",
    "",
    "text/plain",
)
RELAXED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

BODIES = [
    (b"{", 400),
    (b"[]", 400),
    (b"null", 400),
    (b'"x"', 400),
    (b"5", 400),
    (b'{"status": NaN}', 400),
    (b'{"status": 1e999}', 400),
    (b'{"status": "\\ud800"}', 400),
    (b'{"status": "\xff"}', 400),
    (b'{"status": "a\x00b"}', 400),
    (b'{"status": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", 400),
    (b'{"status": ' + b"9" * 5_000 + b"}", 400),
    (b'{"status": "a", "status": 5}', 400),
    (b"\xef\xbb\xbf{}", 422),  # read, and without a status
    ('{"status": "x"}'.encode("utf-16"), 400),
]


@pytest.mark.parametrize(("body", "status"), BODIES)
def test_unreadable_json_is_refused(ada, body, status):
    reply = ada.http.post("/tweet", content=body, headers={"content-type": "application/json"})
    assert_error(reply, status)


@pytest.mark.parametrize(
    "body",
    [b"status=%ff", b"status=\xff", b"status=%ed%a0%80", b"&".join([b"a=1"] * 100), b"status=a%00b", b"=", b"&&&"],
)
def test_unreadable_forms_are_refused(ada, body):
    reply = ada.http.post("/tweet", content=body, headers={"content-type": "application/x-www-form-urlencoded"})
    assert reply.status_code in (400, 422)
    assert_error(reply, reply.status_code)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=b", b"garbage"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: nonsense\r\n\r\nx\r\n--b--\r\n"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="s"; filename="f"\r\n\r\nx\r\n--b--\r\n',
        ),
        (
            "multipart/form-data; boundary=b; charset=nonsense",
            b'--b\r\nContent-Disposition: form-data; name="s"\r\n\r\nx\r\n--b--\r\n',
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="status"\r\n\r\n\xff\xfe\r\n--b--\r\n',
        ),
    ],
)
def test_unreadable_multipart_is_refused(ada, content_type, body):
    reply = ada.http.post("/tweet", content=body, headers={"content-type": content_type})
    assert reply.status_code in (400, 422)
    assert_error(reply, reply.status_code)


def test_a_multipart_form_is_utf_8_whatever_it_calls_itself(ada):
    """Any codec of Python's could be named: punycode decodes in quadratic time, unicode_escape makes other text."""
    body = b'--b\r\nContent-Disposition: form-data; name="status"\r\n\r\nb\\u0041-\xc3\xa9\r\n--b--\r\n'
    for charset in ("punycode", "unicode_escape", "utf-16", "latin-1", "nonsense"):
        content_type = f"multipart/form-data; boundary=b; charset={charset}"
        reply = ada.http.post("/tweet", content=body, headers={"content-type": content_type})
        assert (reply.status_code, reply.json()["status"]) == (201, "b\\u0041-é")


@pytest.mark.parametrize("boundary", ["b", '"a b"', '"a\\\\b"', '"it\'s"'])
def test_boundaries_may_be_quoted(ada, boundary):
    bare = boundary.strip('"').replace("\\\\", "\\").encode()
    body = b'--%b\r\nContent-Disposition: form-data; name="status"\r\n\r\nhello\r\n--%b--\r\n' % (bare, bare)
    reply = ada.http.post("/tweet", content=body, headers={"content-type": f"multipart/form-data; boundary={boundary}"})
    assert (reply.status_code, reply.json().get("status")) == (201, "hello")


@pytest.mark.parametrize(
    ("boundary", "disposition", "status", "says"),
    [
        ('"' + ";" * CONTENT_TYPE_BYTES_MAX, 'name="status"', 431, "Content-Type"),
        ("b", 'name="' + ";" * 1_100 + '"', 400, "header"),
    ],
)
def test_headers_that_take_long_to_split_are_refused(ada, boundary, disposition, status, says):
    body = f"--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\nx\r\n--b--\r\n".encode()
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    assert says in assert_error(ada.http.post("/tweet", content=body, headers=headers), status)["message"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "nonsense", "application/json5"])
def test_other_content_types_are_415(ada, content_type):
    assert_error(ada.http.post("/tweet", content=b"x", headers={"content-type": content_type}), 415)


def test_a_body_beyond_the_limit_is_413_whether_or_not_it_says_so(ada):
    big = b'{"status": "' + b"x" * 100_000 + b'"}'
    headers = {"content-type": "application/json"}
    assert_error(ada.http.post("/tweet", content=big, headers=headers), 413)
    pieces = (big[at : at + 1_000] for at in range(0, len(big), 1_000))
    assert_error(ada.http.post("/tweet", content=pieces, headers=headers), 413)
    assert ada.tweet("still fine")["status"] == "still fine"


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /feed?user_id=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
        b"GET /feed?%ff%00=\xc3( HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%ff%fe HTTP/1.1\r\nHost: a\r\n\r\n",
        b'GET /1/profile HTTP/1.1\r\nHost: \xff\xfe"<>\r\n\r\n',
        b"POST /tweet HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST /tweet HTTP/1.1\r\nHost: a\r\nContent-Type: \xff\r\nContent-Length: 1\r\n\r\nx",
        b"POST /tweet HTTP/1.1\r\nHost: a\r\nIdempotency-Key: \xe9\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /feed HTTP/1.0\r\n\r\n",
        b"NONSENSE\r\n\r\n",
    ],
)
def test_raw_bytes_get_a_4xx(base_url, raw):
    address = urlsplit(base_url)
    with socket.create_connection((address.hostname, address.port), 60) as connection:
        connection.sendall(raw)
        head = connection.recv(65_536)
    assert head.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), head[:200]


def _answer_to(base_url: str, chunks: list[bytes], wait_s: float = 10.0) -> bytes:
    address = urlsplit(base_url)
    with socket.create_connection((address.hostname, address.port), wait_s) as connection:
        with contextlib.suppress(ConnectionError):  # it may close while we still send
            for chunk in chunks:
                connection.sendall(chunk)
        with contextlib.suppress(ConnectionError):
            return connection.recv(65_536)
        return b""


def test_what_is_not_http_is_refused_in_our_shape(base_url):
    assert b'{"error":{"code":"malformed"' in _answer_to(base_url, [b"NONSENSE\r\n\r\n"])


def test_a_head_without_end_is_cut_off(base_url):
    endless = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", *[b"y" * 100_000] * 50]
    assert _answer_to(base_url, endless).startswith(b"HTTP/1.1 431")
    many = [b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(500)) + b"\r\n"]
    assert _answer_to(base_url, many).startswith(b"HTTP/1.1 431")


def test_a_head_is_not_appended_to_without_end(base_url, monkeypatch):
    """Each piece of an unfinished line is appended to a copy of what there is of it: n pieces cost n * n."""
    monkeypatch.setattr("api.http.protocol.SLICE_BYTES", 1_000)
    whole = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"y" * (HEAD_BYTES_MAX - 100) + b"\r\n\r\n"
    assert _answer_to(base_url, [whole]).startswith(b"HTTP/1.1 200")
    assert _answer_to(base_url, [whole[:-4] + b"y" * 1_100]).startswith(b"HTTP/1.1 431")


def test_a_head_that_takes_for_ever_is_cut_off(base_url, monkeypatch):
    monkeypatch.setattr("api.http.connection.HEAD_S", 0.2)
    assert _answer_to(base_url, [b"GET / HTTP/1.1\r\n"]) == b""
    assert _answer_to(base_url, [b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"]).startswith(b"HTTP/1.1 200")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
NAMES = (
    "user_id",
    "auth_token",
    "status",
    "media_ids",
    "in_reply_to",
    "visibility",
    "username",
    "password",
    "bio",
    "fields",
)


@RELAXED
@given(path=st.sampled_from(WRITES), kind=st.sampled_from(CONTENT_TYPES), body=st.binary(max_size=300))
def test_any_bytes_are_answered_without_a_5xx(ada, path, kind, body):
    reply = ada.http.post(path, content=body, headers={"content-type": kind} if kind else {})
    assert reply.status_code < 500, reply.text


@RELAXED
@given(path=st.sampled_from(WRITES), body=st.dictionaries(st.sampled_from(NAMES), json_values, max_size=6))
def test_any_json_is_answered_without_a_5xx(ada, path, body):
    try:
        reply = ada.http.post(path, json=body)
    except (UnicodeEncodeError, ValueError):  # the client refuses to send a lone surrogate
        return
    assert reply.status_code < 500, reply.text


@RELAXED
@given(
    body=st.dictionaries(st.sampled_from(("display_name", "bio", "location", "url", "avatar", "fields")), json_values)
)
def test_any_profile_change_is_answered_without_a_5xx(ada, body):
    reply = ada.http.patch(f"/{ada.user_id}/profile", json=body)
    assert reply.status_code < 500, reply.text


@RELAXED
@given(text=st.text(max_size=300))
def test_any_text_is_a_tweet_or_a_refusal(ada, text):
    try:
        reply = ada.http.post("/tweet", json={"user_id": ada.user_id, "status": text})
    except UnicodeEncodeError:  # the client refuses to send a lone surrogate
        return
    assert reply.status_code in (201, 422, 400), reply.text


@RELAXED
@given(
    path=st.sampled_from(("/feed", "/api/v1/user_timeline", "/1/followers", "/1/profile")),
    query=st.dictionaries(
        st.sampled_from(("user_id", "count", "max_id", "min_id", "since_id", "cursor", "auth_token")),
        st.text(max_size=30).filter(lambda t: not any("\ud800" <= c <= "\udfff" for c in t)) | st.integers().map(str),
    ),
)
def test_any_query_is_answered_without_a_5xx(ada, path, query):
    reply = ada.http.get(path, params=query)
    assert reply.status_code < 500, reply.text
