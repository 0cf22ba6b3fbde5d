"""Texts as people send them: what has nothing to see in it is as good as empty."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from actors.bulk import clean_account, read_input
from actors.core.errors import InvalidError
from api.texts import is_blank
from cluster.input_files import ImportedAccount
from tests.api.conftest import ServerThread, assert_error
from tests.api.fake_cluster import FakeAccount, FakeCluster

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
    fake = FakeCluster()
    fake.accounts[6], fake.names["known"] = FakeAccount(6, "known", "", "", None, set()), 6
    with (
        ServerThread({"auth_mode": "open", "wrk2_api": True}, fake) as live,
        httpx.Client(base_url=live.base_url) as http,
    ):
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
