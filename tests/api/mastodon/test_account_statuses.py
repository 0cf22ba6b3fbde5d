"""What an account has said, as apps ask for it: without reblogs, without answers, with a hashtag, page by page."""

from __future__ import annotations

import re
from typing import Any

import pytest

LINK = re.compile(r'<([^>]+)>; rel="(\w+)"')


def links(reply: Any) -> dict[str, str]:
    return {name: address for address, name in LINK.findall(reply.headers.get("link", ""))}


def ids(statuses: list[dict[str, Any]]) -> list[str]:
    return [status["id"] for status in statuses]


def answer(person: Any, parent: str, text: str = "answers") -> str:
    return str(person.post("/api/v1/statuses", status=text, in_reply_to_id=parent)["id"])


def walked(person: Any, path: str, name: str = "next") -> list[list[str]]:
    """Follow the Links to the end; return the ids of each page."""
    pages = []
    while path:
        reply = person.http.get(path)
        assert reply.status_code == 200, reply.text
        pages.append(ids(reply.json()))
        path = links(reply).get(name, "")
        assert len(pages) < 50, "round in circles"
    return pages


def test_a_thread_of_ones_own_is_no_answer(ada, bob):
    begin = ada.says("a thread")
    goes_on = answer(ada, begin)
    answer(ada, bob.says("something else"))
    path = f"/api/v1/accounts/{ada.id}/statuses"
    assert len(ada.get(path)) == 3
    assert ids(ada.get(path, exclude_replies="true")) == [goes_on, begin]


def test_a_page_is_full_whatever_is_left_out(ada, bob):
    kept = []
    for n in range(6):
        kept.append(ada.says(f"says {n}"))
        for each in [bob.says(f"said {n} {m}") for m in range(3)]:
            ada.post(f"/api/v1/statuses/{each}/reblog")
    path = f"/api/v1/accounts/{ada.id}/statuses?exclude_reblogs=true&limit=4"
    first, *rest = walked(bob, path)
    assert first == kept[:1:-1]
    assert [*first, *(each for page in rest for each in page)] == kept[::-1]
    upwards = walked(bob, f"{path}&min_id=1", "prev")
    assert [each for page in upwards for each in reversed(page)] == kept


def test_where_much_is_left_out_pages_may_be_empty_and_go_on(ada, bob):
    first = ada.says("first")
    for each in [bob.says(f"said {n}") for n in range(14)]:
        ada.post(f"/api/v1/statuses/{each}/reblog")
    pages = walked(bob, f"/api/v1/accounts/{ada.id}/statuses?exclude_reblogs=true&limit=1")
    assert pages[:2] == [[], []]
    assert [each for page in pages for each in page] == [first]


@pytest.mark.parametrize("tag", ["Rook", "#rook", "ROOK"])
def test_statuses_with_a_hashtag_alone(ada, bob, tag):
    said = ada.says("about #rook")
    ada.says("about #rooks, a rook")
    ada.post("/api/v1/statuses", status="which #Rook?", poll={"options": ["a", "b"], "expires_in": 3600})
    found = bob.get(f"/api/v1/accounts/{ada.id}/statuses", tagged=tag)
    assert [status["content"].count('rel="tag"') for status in found] == [1, 1]
    assert found[1]["id"] == said
    assert found[0]["poll"]["options"][0]["title"] == "a"


def test_lists_that_lead_downwards_only_have_no_way_back_in_their_links(ada, bob, new_person):
    for person in (bob, *(new_person("fan") for _ in range(4))):
        person.post(f"/api/v1/accounts/{ada.id}/follow")
        ada.post(f"/api/v1/accounts/{person.id}/follow")
    made = ada.post("/api/v1/lists", title="those")
    fans = ids(ada.get(f"/api/v1/accounts/{ada.id}/followers"))
    ada.post(f"/api/v1/lists/{made['id']}/accounts", account_ids=fans)
    said = ada.says("quoted")
    for n in range(5):
        bob.post("/api/v1/statuses", status=f"see {n}", quoted_status_id=said)
    for path in (f"accounts/{ada.id}/followers", f"accounts/{ada.id}/following", f"lists/{made['id']}/accounts",
                 f"statuses/{said}/quotes"):  # fmt: skip
        pages = walked(ada, f"/api/v1/{path}?limit=2")
        assert [len(page) for page in pages] == [2, 2, 1]
        assert len({each for page in pages for each in page}) == 5
        assert "prev" not in links(ada.http.get(f"/api/v1/{path}?limit=2"))


def test_every_list_of_statuses_ends_for_who_follows_its_links(ada, bob):
    said = [ada.says(f"number {n} #endless") for n in range(3)]
    bob.post(f"/api/v1/accounts/{ada.id}/follow")
    for each in said:
        for mark in ("favourite", "bookmark"):
            bob.post(f"/api/v1/statuses/{each}/{mark}")
    for path in ("timelines/tag/endless", "timelines/home", "bookmarks", "favourites", f"accounts/{ada.id}/statuses"):
        for limit in (1, 2, 3):
            pages = walked(bob, f"/api/v1/{path}?limit={limit}")
            assert [each for page in pages for each in page] == said[::-1], (path, limit)


def test_an_account_is_found_by_its_name_with_this_server_behind_it(ada, server):
    host = server.base_url.partition("//")[2]
    for acct in (ada.username, f"@{ada.username}", f"{ada.username}@{host}", f"@{ada.username.upper()}@{host.upper()}"):
        assert ada.get("/api/v1/accounts/lookup", acct=acct)["id"] == ada.id
    for acct in ("", "@", f"{ada.username}@elsewhere.example", "nobody_at_all"):
        assert ada.http.get("/api/v1/accounts/lookup", params={"acct": acct}).status_code == 404


def test_nothing_typed_yet_finds_no_account(ada):
    for typed in ("", " "):
        assert ada.get("/api/v1/accounts/search", q=typed) == []


@pytest.mark.parametrize("nothing", [None, "", [], [""], [None]])
def test_media_of_nothing_are_none(ada, nothing):
    assert ada.post("/api/v1/statuses", status="words", media_ids=nothing)["media_attachments"] == []
