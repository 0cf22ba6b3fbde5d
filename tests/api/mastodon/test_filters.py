"""Filters over HTTP: both forms, and what they say of the statuses that a reader is shown."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.filter_sets import (
    NOTHING,
    VERDICTS_BYTES_MAX,
    VERDICTS_COUNT_MAX,
    FilterSet,
    FilterSets,
    StatusVerdict,
    fold,
    occurs,
)
from api.mastodon.filtering import text_of
from tests.api.test_home_exchange import both_ways

V1, V2 = "/api/v1/filters", "/api/v2/filters"


def make(who: Any, *words: str, **more: Any) -> Any:
    attributes = [{"keyword": word, "whole_word": True} for word in words]
    return who.post(V2, **{"title": "Filter", "context": ["home"], "keywords_attributes": attributes, **more})


def met(who: Any, path: str, **query: Any) -> list[list[str] | None]:
    """Return what of each status on a page a filter has met."""
    return [
        [word for result in status["filtered"] for word in result["keyword_matches"] or ()]
        for status in who.get(path, **query)
    ]


def refused(who: Any, method: str, path: str, **body: Any) -> tuple[int, str]:
    reply = who.http.request(method, path, json=body)
    return reply.status_code, reply.json()["error"]


def test_a_filter_is_read_as_it_was_made(ada, bob):
    made = make(ada, "butler", context=["home", "thread"], filter_action="hide", expires_in=3600)
    assert (made["title"], made["context"], made["filter_action"]) == ("Filter", ["home", "thread"], "hide")
    assert [(word["keyword"], word["whole_word"]) for word in made["keywords"]] == [("butler", True)]
    assert made["statuses"] == []
    assert made["expires_at"].endswith("Z")
    assert ada.get(V2) == [made]
    assert ada.get(f"{V2}/{made['id']}") == made
    assert bob.get(V2) == []
    for method in ("GET", "PUT", "DELETE"):
        assert refused(bob, method, f"{V2}/{made['id']}") == (404, "Record not found")
    assert ada.delete(f"{V2}/{made['id']}") == {}
    assert ada.get(V2) == []


def test_a_form_makes_a_filter_as_rails_reads_it(ada):
    reply = ada.http.post(V2, data={
        "title": "x", "context[]": ["public", "home"], "keywords_attributes[0][keyword]": "a",
        "keywords_attributes[0][whole_word]": "false", "keywords_attributes[1][keyword]": "b",
    })  # fmt: skip
    made = reply.json()
    assert (reply.status_code, made["context"], made["filter_action"]) == (200, ["home", "public"], "warn")
    assert [(word["keyword"], word["whole_word"]) for word in made["keywords"]] == [("a", False), ("b", False)]


def test_words_are_changed_one_by_one_or_with_their_filter(ada, bob):
    made = make(ada, "one", "two")
    path, (one, two) = f"{V2}/{made['id']}", made["keywords"]
    changed = ada.put(path, title="Other", expires_in=None, keywords_attributes=[
        {"id": one["id"], "_destroy": True}, {"id": two["id"], "keyword": "deux"}, {"keyword": "three"},
    ])  # fmt: skip
    assert (changed["title"], changed["context"], changed["expires_at"]) == ("Other", ["home"], None)
    assert [word["keyword"] for word in changed["keywords"]] == ["deux", "three"]
    assert changed["keywords"][0] == {"id": two["id"], "keyword": "deux", "whole_word": True}
    added = ada.post(f"{path}/keywords", keyword="four", whole_word=True)
    assert ada.get(f"{path}/keywords") == [*changed["keywords"], added]
    word = f"{V2}/keywords/{added['id']}"
    assert ada.put(word, keyword="vier") == {"id": added["id"], "keyword": "vier", "whole_word": True} == ada.get(word)
    assert refused(bob, "GET", word)[0] == refused(bob, "PUT", word, keyword="x")[0] == 404
    assert ada.delete(word) == {}
    assert refused(ada, "GET", word)[0] == refused(ada, "DELETE", word)[0] == 404
    assert refused(ada, "PUT", path, keywords_attributes=[{"id": one["id"], "keyword": "x"}])[0] == 404


@pytest.mark.parametrize(("body", "named"), [
    ({"context": ["home"]}, "title"), ({"title": "x"}, "context"), ({"title": "x", "context": ["moon"]}, "moon"),
    ({"title": " ", "context": ["home"]}, "title"), ({"title": "x", "context": []}, "context"),
    ({"title": "x", "context": ["home"], "filter_action": "burn"}, "burn"),
    ({"title": "x", "context": ["home"], "keywords_attributes": [{}]}, "keyword"),
    ({"title": "x", "context": ["home"], "keywords_attributes": ["word"]}, "word"),
    ({"title": "x", "context": ["home"], "expires_in": "soon"}, "soon"),
    ({"title": "x", "context": ["home"], "keywords_attributes": [{"keyword": "x"}] * 201}, "201"),
], ids=str)  # fmt: skip
def test_what_makes_no_filter_is_refused_by_name(ada, body, named):
    status, sentence = refused(ada, "POST", V2, **body)
    assert status in (400, 422)
    assert named in sentence
    assert ada.get(V2) == []


def test_a_stranger_has_no_filters(stranger):
    for path in (V1, V2, f"{V2}/1", f"{V2}/keywords/1", f"{V2}/1/statuses"):
        assert stranger.get(path).status_code == 401


def test_statuses_are_filtered_where_the_filter_acts(ada, bob):
    bob.says("The BUTLER did it")
    bob.says("buttering")
    home, own = "/api/v1/timelines/home", f"/api/v1/accounts/{bob.id}/statuses"
    follow(ada, bob)
    assert met(ada, home) == met(ada, own) == [[], []]
    made = make(ada, "butler", context=["account"])
    assert met(ada, own) == [[], ["butler"]]
    assert met(ada, home) == [[], []]
    ada.put(f"{V2}/{made['id']}", context=["home"], keywords_attributes=[{"keyword": "butter"}])
    assert met(ada, home) == [["butter"], ["butler"]]
    assert met(ada, own) == met(bob, home) == [[], []]
    (result,) = ada.get(home)[0]["filtered"]
    assert result["filter"] == {
        "id": made["id"], "title": "Filter", "context": ["home"], "expires_at": None, "filter_action": "warn",
    }  # fmt: skip
    assert result["status_matches"] is None
    ada.delete(f"{V2}/{made['id']}")
    assert met(ada, home) == [[], []]


def test_home_is_filtered_on_both_ways_through_the_worker_whether_it_knows_the_filters_or_not(ada, stranger):
    ada.says("The butler did it")
    url, token = "/api/v1/timelines/home", {"authorization": f"Bearer {ada.token}"}
    for word in ("butler", "gardener"):
        make(ada, word)
        short, long = both_ways(stranger, url, token)
        again, _ = both_ways(stranger, url, token)
        assert short == long == again
        assert b'"keyword_matches":["butler"]' in short[2]


def test_polls_of_now_are_filtered_on_both_ways(ada, bob, stranger):
    follow(ada, bob)
    bob.says("harmless")
    poll = {"options": ["a spoiler", "b"], "expires_in": 3600}
    asked = bob.post("/api/v1/statuses", status="pick one", poll=poll)
    ada.post(f"/api/v1/polls/{asked['poll']['id']}/votes", choices=[0])
    bob.says("the spoiler")
    make(ada, "spoiler")
    url, token = "/api/v1/timelines/home", {"authorization": f"Bearer {ada.token}"}
    short, long = both_ways(stranger, url, token)
    assert short == long == both_ways(stranger, url, token)[0]
    assert met(ada, url) == [["spoiler"], ["spoiler"], []]
    assert ada.get(url)[1]["poll"]["own_votes"] == [0]


def test_a_boost_is_filtered_by_what_it_boosts(ada, bob, new_person):
    eve = new_person("eve")
    said = eve.says("spoiler")
    reply = bob.http.post(f"/api/v1/tweet/{said}/repost", json={"user_id": bob.id})
    assert reply.status_code in (200, 201), reply.text
    follow(ada, bob)
    make(ada, "spoiler", context=["home", "account"])
    for path in ("/api/v1/timelines/home", f"/api/v1/accounts/{bob.id}/statuses"):
        (boost,) = ada.get(path)
        assert boost["filtered"] == boost["reblog"]["filtered"]
        assert [result["keyword_matches"] for result in boost["filtered"]] == [["spoiler"]]


def test_a_thread_is_filtered_by_what_acts_there_polls_too(ada, bob):
    root = bob.says("harmless")
    poll = {"options": ["a spoiler", "b"], "expires_in": 3600}
    answer = bob.post("/api/v1/statuses", status="pick one", in_reply_to_id=root, poll=poll)
    path = f"/api/v1/statuses/{root}/context"
    made = make(ada, "spoiler", context=["home"])
    assert [status["filtered"] for status in ada.get(path)["descendants"]] == [[]]
    ada.put(f"{V2}/{made['id']}", context=["thread"])
    (status,) = ada.get(path)["descendants"]
    assert (status["id"], status["poll"]["options"][0]["title"]) == (answer["id"], "a spoiler")
    assert status["filtered"][0]["keyword_matches"] == ["spoiler"]


def test_a_filter_names_single_statuses_that_one_may_see(ada, bob):
    said, hidden = bob.says("innocent"), bob.says("for followers", visibility="followers")
    made = make(ada, context=["account"])
    path = f"{V2}/{made['id']}/statuses"
    mark = ada.post(path, status_id=said)
    assert mark["status_id"] == said
    assert ada.post(path, status_id=said) == mark, "again is no second one"
    assert ada.get(path) == [mark] == ada.get(f"{V2}/{made['id']}")["statuses"]
    for wrong in (hidden, "7"):
        assert refused(ada, "POST", path, status_id=wrong) == (404, "Record not found")
    assert refused(ada, "POST", path)[0] == 422
    (status,) = ada.get(f"/api/v1/accounts/{bob.id}/statuses")
    assert [result["status_matches"] for result in status["filtered"]] == [[said]]
    one = f"{V2}/statuses/{mark['id']}"
    assert ada.get(one) == mark
    assert refused(bob, "DELETE", one)[0] == 404
    assert ada.delete(one) == mark
    assert ada.get(path) == []
    (status,) = ada.get(f"/api/v1/accounts/{bob.id}/statuses")
    assert status["filtered"] == []


def test_an_edit_is_looked_at_anew(ada, bob):
    said = bob.says("harmless")
    make(ada, "spoiler", context=["account"])
    path = f"/api/v1/accounts/{bob.id}/statuses"
    assert met(ada, path) == met(ada, path) == [[]]
    reply = bob.http.patch(f"/api/v1/tweet/{said}", json={"user_id": bob.id, "status": "spoiler!"})
    assert reply.status_code == 200, reply.text
    assert met(ada, path) == [["spoiler"]]


def test_the_first_form_is_a_view_of_words(ada):
    made = ada.post(V1, phrase="gard", context=["home"], irreversible=True, whole_word=False)
    assert made == {
        "id": made["id"], "phrase": "gard", "context": ["home"], "whole_word": False, "expires_at": None,
        "irreversible": True,
    }  # fmt: skip
    (second,) = ada.get(V2)
    assert (second["title"], second["filter_action"], second["keywords"][0]["id"]) == ("gard", "hide", made["id"])
    changed = ada.put(f"{V1}/{made['id']}", phrase="garden", context=["thread"], irreversible=False, whole_word=True)
    assert changed == {**made, "phrase": "garden", "context": ["thread"], "irreversible": False, "whole_word": True}
    assert ada.get(V1) == [changed]
    ada.post(f"{V2}/{second['id']}/keywords", keyword="more")
    assert [each["phrase"] for each in ada.get(V1)] == ["garden", "more"]
    status, sentence = refused(ada, "PUT", f"{V1}/{made['id']}", phrase="x", context=["home"])
    assert (status, "several keywords" in sentence) == (422, True)
    assert ada.put(f"{V1}/{made['id']}", phrase="y", context=["thread"])["phrase"] == "y"
    for each in ada.get(V1):
        assert ada.delete(f"{V1}/{each['id']}") == {}
    assert ada.get(V2) == []
    assert refused(ada, "GET", f"{V1}/{made['id']}") == (404, "Record not found")


@pytest.mark.parametrize(("word", "text", "anywhere", "alone"), [
    ("art", "start", True, False), ("art", "art.", True, True), ("art", "start art", True, True),
    ("#art", "my#art", True, True), ("c++", "c++11", True, True), ("é", "été", True, False), ("x", "", False, False),
])  # fmt: skip
def test_a_word_that_has_to_stand_alone_has_no_letters_beside_it(word, text, anywhere, alone):
    assert occurs(word, text, False) is anywhere
    assert occurs(word, text, True) is alone


def test_what_is_compared_is_what_a_reader_sees():
    assert text_of('<p>a &amp; <a href="x"><span>b</span>c</a></p><p>d<br>e</p>') == "\na & bc\n\nd\ne\n"


def test_sets_are_bounded_by_what_they_take_and_the_one_asked_for_longest_ago_goes():
    def of(stamp: int) -> FilterSet:
        return FilterSet(stamp, [[stamp, "t", 1, 0, 0, [[1, "word", True]], []]])

    sets = FilterSets(3 * of(1).nbytes)
    for account in (1, 2, 3):
        sets.keep(account, of(account))
    assert sets.get(1, 1) is not None
    assert sets.get(1, 2) is None, "another stamp is another state"
    sets.keep(4, of(4))
    assert [sets.get(account, account) is not None for account in (1, 2, 3, 4)] == [True, False, True, True]
    assert sets.bytes_held == 3 * of(1).nbytes


def test_what_is_known_of_statuses_is_bounded_in_number_and_in_bytes():
    filters = FilterSet(9, [])
    for number in range(VERDICTS_COUNT_MAX + 1):
        filters.remember(b"%d" % number, NOTHING)
    assert filters.known(b"0") is None
    assert filters.known(b"1") is NOTHING
    for number in range(3):
        filters.remember(b"long %d" % number, StatusVerdict(((1, bytes(VERDICTS_BYTES_MAX // 2)),), True))
    assert [filters.known(b"long %d" % number) is None for number in range(3)] == [True, False, False]
    filters.remember(b"long 2", NOTHING)
    filters.remember(b"long 3", StatusVerdict(((1, bytes(VERDICTS_BYTES_MAX // 2)),), True))
    assert filters.known(b"long 1") is not None, "what took the place of another one has its room alone"
    filters.remember(b"too long", StatusVerdict(((1, bytes(VERDICTS_BYTES_MAX + 1)),), True))
    assert [filters.known(name) for name in (b"long 1", b"long 3", b"too long")] == [None] * 3
    filters.remember(b"again", NOTHING)
    assert filters.known(b"again") is NOTHING


WORDS_HERE = st.text("aB ßé#+_1", min_size=1, max_size=4).filter(str.strip)


@settings(max_examples=200)
@given(st.lists(st.tuples(WORDS_HERE, st.booleans()), max_size=6), st.text("aAbB ßSé#+_1\n", max_size=30))
def test_words_are_found_as_patterns_find_them(words: list[tuple[str, bool]], text: str):
    filters = FilterSet(1, [[7, "t", 1, 0, 0, [[n, *each] for n, each in enumerate(words)], []]])
    expected = [word for word, stands_alone in words if by_pattern(word, stands_alone).search(fold(text))]
    assert [word for met in filters.judge(1, text) for word in met.words] == expected


def by_pattern(word: str, stands_alone: bool) -> re.Pattern[str]:
    """Return what a filter's word means: the plain way to look for it."""
    folded = fold(word.strip())
    before = r"(?<!\w)" if folded[0].isalnum() or folded[0] == "_" else ""
    behind = r"(?!\w)" if folded[-1].isalnum() or folded[-1] == "_" else ""
    return re.compile(f"{before}{re.escape(folded)}{behind}" if stands_alone else re.escape(folded))


def follow(who: Any, whom: Any) -> None:
    reply = who.http.post(f"/{who.id}/follow/{whom.id}")
    assert reply.status_code in (200, 201), reply.text
