"""Texts as they come: lines end as their machines end them; what has nothing to see in it is as good as empty."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from actors.core.errors import InvalidError
from api.text.texts import is_blank, with_line_feeds
from commands.bulk import clean_account, read_input
from commands.input_files import ImportedAccount
from tests.api.conftest import ServerThread, assert_error
from tests.api.core_cluster import CoreCluster

UNSEEN = [
    " ", "\u00a0", "\u2003", "\u3000", "\u1680", "\u202f", "\u200b", "\u200c\u200d", "\u2060", "\u2800", "\u3164",
    "\uffa0", "\u115f\u1160", "\u00ad", "\u034f", "\u061c", "\u180e", "\u17b4\u17b5", "\u200e\u200f", "\u202e",
    "\u2066\u2069", "\u206a", "\ufe0f", "\ufe00", "\U000e0100", "\U000e0001\U000e0061\U000e007f", "\ufff9\ufffb",
    "\ufffc", "\U0001d159", "\U0001d173", "\U00013441", "\U00016fe4", " \u200b \u2800\u3164\ufe0f ",
]  # fmt: skip
LINES = ["\n", " \n\u200b\n ", "\n\n\n"]
SEEN = [
    "a", ".", "\u200bx\u200b", "\u2764\ufe0f", "\U0001f468\u200d\U0001f469", "\u0301", "\u0600", "\u2801", "\ue000",
    "\u3131", "\U0001f3f4\U000e0067\U000e0062\U000e007f", "\u2420", "  x",
]  # fmt: skip


@pytest.fixture(scope="module")
def benchmarked() -> Iterator[httpx.Client]:
    on = {"auth_mode": "open", "wrk2_api": True}
    made = {"first_name": "a", "last_name": "b", "username": "known", "password": "p", "user_id": "5"}
    with ServerThread(on, CoreCluster()) as live, httpx.Client(base_url=live.base_url) as http:
        assert http.post("/wrk2-api/user/register", data=made).status_code == 200
        yield http


def refused_as_empty(reply: httpx.Response, field: str) -> None:
    assert "as good as empty" in assert_error(reply, 422, field)["message"]


@pytest.mark.parametrize("text", UNSEEN)
def test_names_that_nobody_sees_are_refused_as_empty(ada, anonymous, benchmarked, text):
    account = {"username": "unseen", "password": "correct horse", "display_name": text}
    for sent in ({"json": account}, {"data": account}):
        refused_as_empty(anonymous.post("/api/v1/users", **sent), "display_name")
    profile = f"/{ada.user_id}/profile"
    refused_as_empty(ada.http.patch(profile, json={"display_name": text}), "display_name")
    refused_as_empty(ada.http.patch(profile, json={"fields": [{"name": text, "value": "x"}]}), "fields")
    made = {"first_name": "a", "last_name": text, "username": "u8", "password": "p", "user_id": "8"}
    refused_as_empty(benchmarked.post("/wrk2-api/user/register", data=made), "last_name")
    with pytest.raises(InvalidError, match="as good as empty"):
        clean_account(ImportedAccount(7, "imported", display_name=text))


@pytest.mark.parametrize("text", [*UNSEEN, *LINES])
def test_tweets_that_nobody_sees_are_refused_as_empty(ada, benchmarked, text):
    for path in ("/tweet", "/api/v1/tweet"):
        for sent in ({"json": {"status": text}}, {"data": {"status": text}}):
            refused_as_empty(ada.http.post(path, **sent), "status")
    post = {"username": "known", "user_id": "5", "text": text, "post_type": "0"}
    refused_as_empty(benchmarked.post("/wrk2-api/post/compose", data=post), "text")


@pytest.mark.parametrize("text", UNSEEN)
@pytest.mark.parametrize("path", ["/api/v1/search", "/api/v1/suggest", "/api/v1/search/accounts"])
def test_queries_that_nobody_sees_are_missing(anonymous, path, text):
    for way in ({}, {"content-length": "0"}):
        assert (
            "required"
            in assert_error(anonymous.get(path, params={"query": text}, headers=way), 422, "query")["message"]
        )


@pytest.mark.parametrize("text", SEEN)
def test_something_to_see_is_enough(ada, text):
    assert ada.tweet(text)["status"] == unicodedata.normalize("NFC", text)
    assert ada.http.patch(f"/{ada.user_id}/profile", json={"display_name": text}).status_code == 200


def test_an_empty_display_name_clears_and_other_fields_may_be_blank(ada):
    reply = ada.http.patch(f"/{ada.user_id}/profile", json={"display_name": "", "bio": " ", "location": "\u3164"})
    assert reply.status_code == 200
    assert (reply.json()["display_name"], reply.json()["bio"]) == ("", " ")


def test_lines_that_nobody_sees_are_passed_over_in_files_as_empty_ones_are(tmp_path: Path):
    graph, tweets = tmp_path / "graph", tmp_path / "tweets"
    graph.write_text("1 2\n")
    tweets.write_text("one\n\u200b\n \n\nfive\n", encoding="utf-8")
    found = read_input(graph, tweets, None, 0, 280, Console(quiet=True)).texts
    assert [(line.number, line.text) for line in found] == [(1, "one"), (5, "five")]


@given(st.text(max_size=20))
def test_a_text_is_blank_if_each_of_its_characters_is(text):
    assert is_blank(text) == all(map(is_blank, text))
    assert is_blank("") is True
    assert is_blank(text + "x") is False


def test_no_letter_digit_or_emoji_is_blank_and_all_that_is_ignorable_is():
    hidden = regex.compile(r"\p{Default_Ignorable_Code_Point}|\p{White_Space}")
    for point in range(0x110000):
        if 0xD800 <= point < 0xE000:
            continue
        char = chr(point)
        if hidden.match(char):
            assert is_blank(char), hex(point)
        elif unicodedata.category(char) in ("Lu", "Ll", "Lt", "Nd", "Nl", "No", "Sc", "Sm", "Po", "Pd", "Co", "Mc"):
            assert not is_blank(char), hex(point)


# ---- line ends ----------------------------------------------------------------------------------------------------

ENDS = ["one\r\ntwo", "one\rtwo", "one\ntwo"]
MIXED = ("\ra\r\n\r\r\n\nb\n\r", "\na\n\n\n\nb\n\n")


@pytest.mark.parametrize("text", ENDS)
def test_a_line_ends_with_a_line_feed_however_it_was_sent(ada, anonymous, benchmarked, text):
    files = {"status": (None, text)}
    for sent in ({"json": {"status": text}}, {"data": {"status": text}}, {"files": files}):
        assert ada.http.post("/tweet", **sent).json()["status"] == "one\ntwo"
    assert ada.http.patch(f"/{ada.user_id}/profile", data={"bio": text}).json()["bio"] == "one\ntwo"
    account = {"username": f"ends_{text.encode().hex()}"[:30], "password": "correct horse", "bio": text}
    assert anonymous.post("/api/v1/users", data=account).json()["bio"] == "one\ntwo"
    assert clean_account(ImportedAccount(7, "imported", bio=text)).bio == "one\ntwo"
    post = {"username": "known", "user_id": "5", "text": text, "post_type": "0"}
    assert benchmarked.post("/wrk2-api/post/compose", data=post).status_code == 200
    read = {"user_id": "5", "start": 0, "stop": 1}
    assert benchmarked.get("/wrk2-api/user-timeline/read", params=read).json()[0]["text"] == "one\ntwo"


def test_the_form_of_a_browser_is_understood_and_what_it_sent_is_counted_as_stored(ada):
    headers = {"content-type": "application/x-www-form-urlencoded"}
    reply = ada.http.post("/tweet", content=b"status=one%0D%0Atwo+%23tag", headers=headers).json()
    assert reply["status"] == "one\ntwo #tag"
    assert reply["entities"]["hashtags"] == [{"text": "tag", "indices": [8, 12]}]
    assert ada.http.post("/tweet", data={"status": "x\r\n" * 140}).status_code == 201, "280 characters, not 420"
    assert_error(ada.http.post("/tweet", data={"status": "x\r\n" * 140 + "y"}), 422, "status")
    assert ada.tweet(f"x{MIXED[0]}x")["status"] == f"x{MIXED[1]}x"


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_what_is_one_line_refuses_line_ends(ada, anonymous, end):
    text = f"one{end}two"
    for field in ("display_name", "location", "url", "avatar"):
        assert_error(ada.http.patch(f"/{ada.user_id}/profile", json={field: text}), 422, field)
    for pair in ({"name": text, "value": "x"}, {"name": "x", "value": text}):
        assert_error(ada.http.patch(f"/{ada.user_id}/profile", json={"fields": [pair]}), 422, "fields")
    account = {"username": "a_single_line", "password": "correct horse", "display_name": text}
    assert_error(anonymous.post("/api/v1/users", json=account), 422, "display_name")


@given(st.text("ab\r\n", max_size=12))
def test_no_carriage_return_is_left_and_lines_are_those_of_a_text_file(text):
    assert with_line_feeds(text) == "\n".join(re.split("\r\n|\r|\n", text))
