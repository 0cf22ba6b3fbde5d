"""What searches refuse, and that nothing that comes is answered with a fault of ours."""

from __future__ import annotations

import signal
import urllib.parse
from typing import NoReturn

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.core.errors import InvalidError
from actors.core.ids import ID_MAX
from api.search.cursor import cursor_of_top
from api.search.hashtags import folded_tag
from tests.api.conftest import assert_error
from tests.api.test_search import SEARCH_PATHS, core, healthy, herd, server  # noqa: F401 - fixtures of this module, too


@pytest.mark.parametrize(
    ("query", "status", "field", "says"),
    [("", 422, "query", "required"), ("query=", 422, "query", "required"), ("query=+%09", 422, "query", "required"),
     ("query=whale+(blue", 400, "query", "character 7 "), ("query=a)", 400, "query", "character 2 "),
     ("query=%22a+b", 400, "query", "character 1 "), ("query=a+from:", 400, "query", "character 8 "),
     ("query=-a", 400, "query", "leave out"), ("query=a+OR", 400, "query", "OR"),
     ("query=size:3", 400, "query", "operator"),
     ("query=since:2026-13-01", 400, "query", "day"), ("query=!!!", 400, "query", "no word"),
     ("query=" + "a" * 501, 400, "query", "501"), ("query=" + "+".join(f"w{n}" for n in range(51)), 400, "query", "50"),
     ("query=a&order=odd", 422, "order", "latest"), ("query=a&exact=perhaps", 400, "exact", "true"),
     ("query=a&highlights=2", 400, "highlights", "true"), ("query=a&count=0", 422, "count", "200"),
     ("query=a&count=201", 422, "count", "200"), ("query=a&count=x", 400, "count", "whole"),
     ("query=a&max_id=x", 400, "max_id", "id"), ("query=a&max_id=9223372036854775808", 422, "max_id", "id"),
     ("query=a&cursor=1_2", 400, "cursor", "id"), ("query=a&cursor=0", 422, "cursor", "from 1"),
     ("query=a&order=top&max_id=5", 422, "max_id", "cursor"), ("query=a&order=top&cursor=5", 400, "cursor", "cursor"),
     ("query=a&order=top&cursor=1_nan_5", 400, "cursor", "cursor"),
     ("query=a&order=top&cursor=1790000000000_0x1p0_5", 400, "cursor", "begin again"),
     ("query=a&order=top&cursor=1_0x1p99999_5", 400, "cursor", "cursor"),
     ("query=a&query=b", 400, "query", "twice"), ("query=%ED%A0%80", 400, None, "UTF-8"),
     ("query=a&auth_token=nonsense", 401, None, ""), ("query=filter:follows", 422, "query", "token")],
)  # fmt: skip
def test_what_can_not_be_searched_is_told_where_it_is_wrong(anonymous, query, status, field, says):
    error = assert_error(anonymous.get(f"/api/v1/search?{query}"), status)
    assert says in error["message"]
    assert error["field"] == field or status == 401


@pytest.mark.parametrize("path", SEARCH_PATHS)
def test_a_token_that_is_given_must_be_valid(anonymous, path):
    assert_error(anonymous.get(path, headers={"authorization": "Bearer nonsense"}), 401)
    assert_error(anonymous.get(path, headers={"authorization": "Basic eDp5"}), 401)


@pytest.mark.parametrize("path", ["/api/v1/suggest", "/api/v1/search/accounts"])
def test_suggestions_and_accounts_have_the_same_bounds(anonymous, path):
    for query, status in (("", 422), ("query=%20", 422), ("query=" + "a" * 501, 400), ("query=a&count=0", 422),
                          ("query=a&count=201", 422), ("query=a&count=-", 400)):  # fmt: skip
        assert_error(anonymous.get(f"{path}?{query}"), status)
    assert_error(anonymous.get("/api/v1/search/accounts?query=!!!"), 422, "query")
    words = "+".join(f"w{n}" for n in range(51))
    assert_error(anonymous.get(f"/api/v1/search/accounts?query={words}"), 400, "query")
    assert anonymous.get(f"/api/v1/suggest?query={words}").status_code == 200


def test_head_and_options_work_as_everywhere(anonymous):
    for path in SEARCH_PATHS:
        head = anonymous.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert anonymous.options(path).headers["allow"] == "GET, HEAD, OPTIONS"


ODD = st.sampled_from(
    ["(", ")", '"', "-", " ", "OR", "AND", "NOT", "*", "#", "@", "$", "from:", "to:", "since:", "until:", "min_likes:",
     "lang:", "has:", "is:", "filter:follows", "9" * 30, "2026-01-31", "9999-12-31", "0001-01-01", "\0", "\u202e",
     "\U0010ffff", "👩‍👩‍👧", "1️⃣", "東京", "ก็", "é", "e\u0301", "ß", "İ", "ﷺ", "<b>", "&amp;", "\\", "/",
     ".*", "[a", "{2}", "+", "\ufeff", "wildebeest", "a"]
)  # fmt: skip
QUERY = st.lists(ODD | st.text(max_size=5), max_size=12).map("".join)
VALUE = QUERY | st.sampled_from(
    ["-1", "0", "1", str(ID_MAX), str(ID_MAX + 1), "9" * 400, "1_0x1p0_1", cursor_of_top(1, b"", [1]), "true"]
)
PATHS = st.sampled_from(
    ["/api/v1/search", "/api/v1/suggest", "/api/v1/search/accounts", "/search/tags/x", "/search/tags/"]
)
NAMES = ["count", "max_id", "since_id", "min_id", "cursor", "exact", "highlights", "any", "all[]", "none"]
MORE = st.dictionaries(st.sampled_from(NAMES), VALUE, max_size=2)
RAW = ["%", "%00", "%ED%A0%80", "%FF", "%C3", "=", "&", "query", "any", "[", "]", "a", "+", "%5B"]


@pytest.mark.usefixtures("herd")
def test_whatever_is_asked_is_answered_or_refused(anonymous):
    @given(path=PATHS, query=QUERY, order=st.sampled_from(["latest", "top"]), more=MORE)
    @example("/api/v1/search", "\0", "top", {})
    @example("/api/v1/suggest", "#", "top", {})
    @example("/api/v1/suggest", "\0", "top", {})
    def ask(path, query, order, more):
        if path == "/search/tags/":
            reply = anonymous.get(path + urllib.parse.quote(query, safe="") + "?" + urllib.parse.urlencode(more))
        else:
            reply = anonymous.get(f"{path}?" + urllib.parse.urlencode({"query": query, "order": order, **more}))
        if reply.status_code != 200:
            assert reply.status_code in (400, 404, 422), (reply.status_code, reply.text)
            assert_error(reply, reply.status_code)

    ask()


def test_a_query_string_of_whatever_bytes_is_answered_or_refused(anonymous):
    @given(raw=st.lists(st.sampled_from(RAW)))
    def ask(raw):
        for path in ("/api/v1/search", "/search/tags/a", "/api/v1/suggest"):
            reply = anonymous.get(httpx.URL(f"{anonymous.base_url}{path}?query=a&" + "".join(raw)))
            assert reply.status_code in (200, 400, 422), (reply.status_code, reply.text)

    ask()


def test_a_hashtag_that_is_none_is_refused_at_once(anonymous):
    """Forty of `é` before a `!` kept the pattern busy for hours, and with it the worker."""

    def interrupt(*_: object) -> NoReturn:
        raise TimeoutError("the hashtag is being read for more than 2 s of this process's time")

    before = signal.signal(signal.SIGPROF, interrupt)
    signal.setitimer(signal.ITIMER_PROF, 2.0)  # of CPU time: a busy machine doesn't count
    try:
        for letter in ("é", "a", "_", "٣", "日", "\u093f"):
            with pytest.raises(InvalidError, match="is no hashtag"):
                folded_tag(letter * 40 + "!", "hashtag")
            assert folded_tag(letter * 40, "hashtag")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    assert_error(anonymous.get("/search/tags/" + "%C3%A9" * 40 + "!"), 422, "hashtag")
    assert_error(anonymous.get("/search/tags/a?none=" + "%C3%A9" * 40 + "!"), 422, "none")
