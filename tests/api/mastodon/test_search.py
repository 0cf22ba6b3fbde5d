"""Search as Mastodon's clients ask for it: accounts, statuses, hashtags, and what rises."""

from __future__ import annotations

import httpx
import pytest

from actors.core.ids import bucket_of_account
from tests.serving import wait_for


def names(accounts: list[dict[str, str]]) -> list[str]:
    return [account["username"] for account in accounts]


def test_one_search_finds_accounts_statuses_and_hashtags(ada, bob):
    said = bob.says("a walrus in #Walruses")
    bob.patch("/api/v1/accounts/update_credentials", note="keeper of a walrus")
    found = ada.get("/api/v2/search", q="walrus")
    assert [status["id"] for status in found["statuses"]] == [said]
    assert bob.username in names(found["accounts"])
    assert [tag["name"] for tag in found["hashtags"]] == ["walruses"]
    assert found["statuses"][0]["favourited"] is False


@pytest.mark.parametrize("kind", ["accounts", "statuses", "hashtags"])
def test_of_one_kind_the_others_are_empty(ada, bob, kind):
    bob.says(f"{bob.username} #x{bob.username}")
    found = ada.get("/api/v2/search", q=bob.username, type=kind)
    assert [name for name, items in found.items() if items] in ([kind], [])
    assert set(found) == {"accounts", "statuses", "hashtags"}


def test_pages_of_statuses_go_on_by_offset_and_by_id(ada, bob):
    said = [bob.says(f"ocelot number {n}") for n in range(4)]
    ids = [status["id"] for status in ada.get("/api/v2/search", q="ocelot", type="statuses", limit=2)["statuses"]]
    assert ids == said[:1:-1]
    more = ada.get("/api/v2/search", q="ocelot", type="statuses", limit=2, offset=2)["statuses"]
    assert [status["id"] for status in more] == said[1::-1]
    more = ada.get("/api/v2/search", q="ocelot", type="statuses", max_id=said[1])["statuses"]
    assert [status["id"] for status in more] == said[:1]
    ada.says("my ocelot")
    alone = ada.get("/api/v2/search", q="ocelot", type="statuses", account_id=ada.id)["statuses"]
    assert [status["account"]["id"] for status in alone] == [ada.id]


def test_a_name_is_found_in_every_form_in_which_it_is_pasted(ada, bob):
    host = ada.http.base_url.netloc.decode()
    forms = (bob.username, f"@{bob.username}", f"@{bob.username}@{host}", f"http://{host}/@{bob.username}",
             bob.username[:-1], bob.username.upper())  # fmt: skip
    for form in forms:
        assert bob.username in names(ada.get("/api/v1/accounts/search", q=form, resolve=True)), form
    assert names(ada.get("/api/v1/accounts/search", q=f"@{bob.username}"))[0] == bob.username
    assert ada.get("/api/v1/accounts/search", q=f"@{bob.username}@elsewhere.example") == []


def test_an_address_finds_what_is_there_and_nothing_else(ada, bob):
    """By the name that the client knows this server by, and by the one that statuses show."""
    status = ada.get(f"/api/v1/statuses/{bob.says('pasted')}")
    account = status["account"]
    here, shown = f"http://{ada.http.base_url.netloc.decode()}", account["url"].partition("/@")[0]
    assert here != shown
    for base in (here, shown):
        for address in (status["url"], status["uri"], status["url"] + "?x=1#y", status["url"] + "/"):
            found = ada.get("/api/v2/search", q=address.replace(shown, base), resolve=True)
            assert [each["id"] for each in found["statuses"]] == [status["id"]], address
            assert found["accounts"] == found["hashtags"] == []
        for address in (account["url"], account["uri"]):
            found = ada.get("/api/v2/search", q=address.replace(shown, base), resolve=True)
            assert [each["id"] for each in found["accounts"]] == [account["id"]], address
            assert found["statuses"] == found["hashtags"] == []
    for address in (f"https://elsewhere.example/@{bob.username}", f"https://elsewhere.example/@x/{status['id']}",
                    f"{here}/@nobody_here", f"{here}/@{bob.username}/99", f"{here}/", "http://[x/@y"):  # fmt: skip
        assert ada.get("/api/v2/search", q=address) == {"accounts": [], "statuses": [], "hashtags": []}


def test_accounts_that_one_follows_can_be_asked_for_alone(ada, bob, new_person):
    other = new_person("bob")
    ada.http.post(f"/{ada.id}/follow/{bob.id}")
    found = names(ada.get("/api/v1/accounts/search", q="bob", following=True, limit=80))
    assert bob.username in found
    assert other.username not in found


def test_a_status_is_found_by_its_address_by_those_who_may_see_it(ada, bob):
    host = ada.http.base_url.netloc.decode()
    public, private = bob.says("for all"), bob.says("for friends", visibility="followers")
    for said, seen in ((public, [public]), (private, [])):
        found = ada.get("/api/v2/search", q=f"http://{host}/@{bob.username}/{said}", resolve=True)
        assert [status["id"] for status in found["statuses"]] == seen
    assert ada.get("/api/v2/search", q="http://elsewhere.example/@x/1")["statuses"] == []
    assert ada.get("/api/v2/search", q="http://[x/@y/1") == {"accounts": [], "statuses": [], "hashtags": []}


def test_what_is_no_query_finds_no_status_and_no_fault(ada):
    for odd in ('"', "from:", "(((", "a OR", "-", "@", "#", "min_faves:x", "☃", "x" * 400):
        assert set(ada.get("/api/v2/search", q=odd)) == {"accounts", "statuses", "hashtags"}


@pytest.mark.parametrize(("query", "status"), [
    ({}, 422), ({"q": " "}, 422), ({"q": "x" * 501}, 400), ({"q": "x", "type": "cats"}, 422), ({"q": ["a", "b"]}, 200),
    ({"q": "x", "account_id": "999999999"}, 404), ({"q": "x", "limit": "many"}, 400),
], ids=str)  # fmt: skip
def test_what_can_not_be_searched_for_is_refused(ada, query, status):
    reply = ada.http.get("/api/v2/search", params=query)
    assert reply.status_code == status, reply.text


def test_a_search_takes_a_token(stranger):
    for path in ("/api/v2/search", "/api/v1/accounts/search"):
        assert stranger.get(path, params={"q": "x"}).status_code == 401


def test_what_rises_is_told_with_the_day_s_figures(stranger):
    [tag] = stranger.get("/api/v1/trends/tags").json()
    assert (tag["name"], tag["history"][0]["uses"], tag["history"][0]["accounts"]) == ("hello", "7", "5")
    assert httpx.URL(tag["url"]).path.endswith("/hello")
    [link] = stranger.get("/api/v1/trends/links").json()
    assert link["type"] == "link"
    assert stranger.get("/api/v1/trends/tags", params={"offset": 1}).json() == []


def test_statuses_that_rise_are_those_with_a_tag_that_does(ada, stranger):
    said = ada.says("good morning #hello")
    ada.says("good night #bye")
    found = [status["id"] for status in stranger.get("/api/v1/trends/statuses").json()]
    assert said in found
    assert all("hello" in [tag["name"] for tag in s["tags"]] for s in ada.get("/api/v1/trends/statuses"))


def test_who_wants_to_be_in_no_search_is_found_by_no_words_but_where_he_puts_it(ada, bob, stranger, new_person):
    word = f"quokka{bob.username}".replace("_", "")
    said = bob.says(f"a {word} in #{word}tag")
    reposters = [ada, *(new_person(f"reposter{n}") for n in range(4))]  # of both shards
    made = [each.http.post(f"/api/v1/tweet/{said}/repost", json={"user_id": each.id}).json() for each in reposters]
    reposts = [repost["tweet_id"] for repost in reversed(made)]

    def found(http: httpx.Client, query: str) -> list[str]:
        return [tweet["tweet_id"] for tweet in http.get("/api/v1/search", params={"query": query}).json()["tweets"]]

    for query, ids in (
        (word, [said]), (f"is:repost {word}", reposts), (f'"{word}"', [said]), (f"#{word}tag", [said])
    ):  # fmt: skip
        assert found(stranger, query) == found(ada.http, query) == ids, query
    bob.patch("/api/v1/accounts/update_credentials", indexable="false")
    for query, ids in ((word, [said]), (f"is:repost {word}", reposts), (f"from:{bob.username}", [said])):
        assert found(stranger, query) == found(ada.http, query) == [], query
        assert found(bob.http, query) == ids, query
    assert ada.get("/api/v2/search", q=word, type="statuses")["statuses"] == []
    assert [status["id"] for status in bob.get("/api/v2/search", q=word, type="statuses")["statuses"]] == [said]
    assert [status["id"] for status in ada.get(f"/api/v1/timelines/tag/{word}tag")] == [said]
    assert [tweet["tweet_id"] for tweet in stranger.get(f"/search/tags/{word}tag").json()] == [said]
    bob.patch("/api/v1/accounts/update_credentials", indexable="true")
    assert found(stranger, word) == [said]


def test_no_correction_leads_to_what_is_in_no_search(ada, bob, stranger):
    word = f"zyzzogeton{bob.username}".replace("_", "")
    for n in range(3):
        bob.says(f"{word} number {n}")
    bob.patch("/api/v1/accounts/update_credentials", indexable="false")
    answer = stranger.get("/api/v1/search", params={"query": word[:-1] + "q"}).json()
    assert (answer["tweets"], answer["corrected"]) == ([], None)


def test_what_is_missing_from_a_search_is_told_by_headers(ada, fake):
    ada.says("an okapi in #okapis")
    whole = ada.http.get("/api/v2/search", params={"q": "okapi"})
    assert not [name for name in whole.headers if name.startswith("rookery-") and name != "rookery-position"]
    other = 1 - fake.shard_of(bucket_of_account(int(ada.id)))
    fake.down.add(other)
    try:
        for path, query in (
            ("/api/v2/search", {"q": "okapi", "type": "statuses", "limit": 3}),
            ("/api/v1/accounts/search", {"q": "okapi"}),
            ("/api/v1/timelines/tag/okapis", {"limit": 3}),
        ):
            assert ada.http.get(path, params=query).headers["rookery-partial"] == "1/2", path
    finally:
        fake.down.discard(other)


def test_a_text_that_is_no_query_is_said_to_be_none_and_why(ada):
    reply = ada.http.get("/api/v2/search", params={"q": '"an open quote', "type": "statuses"})
    assert reply.status_code == 200
    assert reply.json()["statuses"] == []
    assert "%22" in reply.headers["rookery-unread"] or "character" in reply.headers["rookery-unread"]


def test_a_mistyped_query_is_said_to_be_corrected(ada):
    for n in range(6):
        ada.says(f"pangolin {n}")
    asked = {"q": "pangolim", "type": "statuses"}  # the vocabulary is read once a second
    reply = wait_for(
        lambda: next((r for r in [ada.http.get("/api/v2/search", params=asked)] if r.json()["statuses"]), None)
    )
    assert reply.headers["rookery-corrected"] == "pangolin"
