"""What a server says of itself, to people, clients and other programs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors.core.errors import OverloadedError
from api import instance_folder
from api.activity import WeeklyActivity, week_before
from api.instance_folder import EMPTY, read_folder
from api.mastodon.operations.announcements import is_emoji
from tests.api.conftest import PASSWORD, ServerThread, account_numbers, open_http

PNG = b"\x89PNG\r\n\x1a\nfake"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("instance")
    (made / "rules.txt").write_text("Be kind.\n\nNo spam.\n")
    for name in ("about", "privacy", "terms"):
        (made / f"{name}.html").write_text(f"<p>{name}</p>")
    for name, data in (("emojis/blob_cat.png", PNG), ("announcements/3.html", b"<p>three</p>"),
                       ("announcements/12.html", b"<p>twelve</p>")):  # fmt: skip
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_bytes(data)
    return made


@pytest.fixture(scope="module")
def told(folder: Path) -> Iterator[httpx.Client]:
    """A client of a server of which its operator has told something."""
    said = {
        "title": "Rooks", "description": "For rooks.", "contact_email": "rook@rookery.example",
        "contact_account": "keeper", "languages": ["en", "de"], "folder": str(folder),
    }  # fmt: skip
    with ServerThread({"instance": said}) as live, open_http(live.base_url) as client:
        client.post("/api/v1/users", json={"username": "keeper", "password": PASSWORD})
        yield client


def get(client: httpx.Client, path: str) -> Any:
    reply = client.get(path)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_both_forms_say_the_same_of_the_server(told):
    old, new = get(told, "/api/v1/instance"), get(told, "/api/v2/instance")
    host = told.base_url.netloc.decode()
    assert (old["uri"], new["domain"]) == (host, host)
    assert (old["title"], new["title"]) == ("Rooks", "Rooks")
    assert (old["email"], new["contact"]["email"]) == ("rook@rookery.example", "rook@rookery.example")
    assert old["contact_account"]["username"] == new["contact"]["account"]["username"] == "keeper"
    assert old["version"].startswith("4.3.0 (compatible; Rookery ")
    assert old["languages"] == new["languages"] == ["en", "de"]
    assert [rule["text"] for rule in old["rules"]] == ["Be kind.", "No spam."]
    assert old["rules"] == new["rules"] == get(told, "/api/v1/instance/rules")
    assert old["configuration"]["statuses"] == new["configuration"]["statuses"]


def test_a_slash_at_the_end_is_cut_and_never_redirected(told):
    assert get(told, "/api/v1/instance/") == get(told, "/api/v1/instance")


def test_limits_are_those_that_are_checked(ada):
    limits = ada.get("/api/v2/instance")["configuration"]
    most = limits["statuses"]["max_characters"]
    assert ada.http.post("/api/v1/tweet", json={"user_id": ada.id, "status": "x" * most}).status_code == 201
    assert ada.http.post("/api/v1/tweet", json={"user_id": ada.id, "status": "x" * (most + 1)}).status_code == 422
    note = limits["accounts"]["max_note_length"]
    assert ada.patch("/api/v1/accounts/update_credentials", note="x" * note)["note"] == f"<p>{'x' * note}</p>"


def test_accounts_and_statuses_are_counted(ada, bob, server):
    usage = server.worker._services.usage
    usage._until_s = 0.0  # what was counted a moment ago is kept for a minute
    before = ada.get("/api/v1/instance")["stats"]
    for person in (ada, bob):
        person.says("hello")
    assert ada.get("/api/v1/instance")["stats"] == before
    usage._until_s = 0.0
    after = ada.get("/api/v1/instance")["stats"]
    assert after == {**before, "status_count": before["status_count"] + 2}


def test_texts_are_the_operators_own(told):
    for path, content in (
        ("extended_description", "<p>about</p>"), ("privacy_policy", "<p>privacy</p>"),
        ("terms_of_service", "<p>terms</p>"),
    ):  # fmt: skip
        assert get(told, f"/api/v1/instance/{path}")["content"] == content


def test_terms_are_found_by_the_day_from_which_on_they_hold(told):
    terms = get(told, "/api/v1/instance/terms_of_service")
    assert get(told, f"/api/v1/instance/terms_of_service/{terms['effective_date']}") == terms
    for date in ("2001-01-01", "x", "%00"):
        assert told.get(f"/api/v1/instance/terms_of_service/{date}").status_code == 404


def test_nothing_is_translated_and_no_other_server_is_there_to_be_blocked(ada, stranger):
    assert get(stranger, "/api/v1/instance/translation_languages") == {}
    reply = ada.http.post("/api/v1/domain_blocks", json={"domain": "elsewhere.example"})
    assert reply.status_code == 422
    assert "elsewhere.example" in reply.json()["error"]
    assert ada.delete("/api/v1/domain_blocks", domain="elsewhere.example") == {}
    assert ada.get("/api/v1/domain_blocks") == []
    for method in ("POST", "DELETE"):
        assert ada.http.request(method, "/api/v1/domain_blocks").status_code == 422


def test_what_nobody_has_written_is_not_there(stranger):
    for path in ("extended_description", "privacy_policy"):  # which every server has, if only with nothing in it
        assert get(stranger, f"/api/v1/instance/{path}")["content"] == ""
    reply = stranger.get("/api/v1/instance/terms_of_service")
    assert (reply.status_code, reply.json()) == (404, {"error": "Record not found"})
    for path in ("peers", "domain_blocks", "rules"):
        assert get(stranger, f"/api/v1/instance/{path}") == []
    assert get(stranger, "/api/v1/custom_emojis") == []


def test_emojis_are_pictures_of_the_folder(told):
    [emoji] = get(told, "/api/v1/custom_emojis")
    assert emoji["shortcode"] == "blob_cat"
    reply = told.get(emoji["url"])
    assert (reply.content, reply.headers["content-type"]) == (PNG, "image/png")
    for name in ("blob_cat.gif", "blob_cat", "..%2Frules.txt", "none.png"):
        assert told.get(f"/emojis/{name}").status_code == 404


def test_who_has_no_picture_has_one_that_is_there(ada):
    account = ada.get(f"/api/v1/accounts/{ada.id}")
    for name in ("avatar", "header"):
        path = httpx.URL(account[name]).path
        reply = ada.http.get(path)
        assert (reply.status_code, reply.headers["content-type"]) == (200, "image/png")
        assert reply.content.startswith(b"\x89PNG")
        assert ada.http.head(path).status_code == 200


def test_other_programs_find_out_what_runs_here(told):
    [link] = get(told, "/.well-known/nodeinfo")["links"]
    found = get(told, httpx.URL(link["href"]).path)
    assert found["software"]["name"] == "rookery"
    assert (found["version"], found["usage"]["users"]["total"]) == ("2.0", 1)
    assert told.get("/health").text == "OK"


def test_whose_a_name_is(told):
    host = told.base_url.netloc.decode()
    for resource in (f"acct:keeper@{host}", f"acct:KEEPER@{host}", f"acct:keeper@{told.base_url.host}",
                     f"http://{host}/@keeper", f"@keeper@{host}"):  # fmt: skip
        reply = told.get("/.well-known/webfinger", params={"resource": resource})
        assert reply.status_code == 200, resource
        assert reply.headers["content-type"].startswith("application/jrd+json")
        assert reply.json()["subject"] == f"acct:keeper@{host}"
    for resource in ("acct:keeper@elsewhere.example", "acct:nobody@" + host, "keeper", "http://[x/@keeper", "acct:"):
        assert told.get("/.well-known/webfinger", params={"resource": resource}).status_code == 404
    assert told.get("/.well-known/webfinger").status_code == 400


def test_a_folder_is_read_whole(folder):
    found = read_folder(str(folder))
    assert found.rules == ("Be kind.", "No spam.")
    assert [*found.announcements] == [12, 3]
    assert found.emojis["blob_cat"].media == b"image/png"
    assert read_folder("") is EMPTY


@pytest.mark.parametrize(("name", "data", "trouble"), [
    ("emojis/blob cat.png", PNG, "shortcodes"), ("emojis/blob.svg", b"<svg/>", "shortcodes"),
    ("emojis/big.png", bytes(instance_folder.EMOJI_BYTES_MAX + 1), "more than"),
    ("announcements/first.html", b"x", "numbers"), ("about.html", b"x" * (instance_folder.TEXT_BYTES_MAX + 1), "more"),
    ("rules.txt", b"be\n" * (instance_folder.RULE_COUNT_MAX + 1), "rules, of at most"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_what_a_folder_can_not_hold_is_named(tmp_path, name, data, trouble):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=trouble) as refused:
        read_folder(str(tmp_path))
    assert str(tmp_path / name) in str(refused.value)


def test_two_emojis_of_one_name_and_too_many_files_are_refused(tmp_path, monkeypatch):
    (tmp_path / "emojis").mkdir()
    for suffix in ("png", "gif"):
        (tmp_path / "emojis" / f"cat.{suffix}").write_bytes(PNG)
    with pytest.raises(ValueError, match="two emojis"):
        read_folder(str(tmp_path))
    monkeypatch.setattr(instance_folder, "EMOJI_COUNT_MAX", 1)
    with pytest.raises(ValueError, match="2 files, of at most 1"):
        read_folder(str(tmp_path))
    with pytest.raises(ValueError, match="is no folder"):
        read_folder(str(tmp_path / "none"))


def test_announcements_are_shown_until_they_are_read(told):
    made = told.post("/api/v1/users", json={"username": "reader", "password": PASSWORD}).json()
    headers = {"authorization": f"Bearer {made['auth_token']}"}

    def shown() -> list[tuple[str, bool]]:
        found = told.get("/api/v1/announcements", headers=headers).json()
        return [(each["id"], each["read"]) for each in found]

    assert shown() == [("12", False), ("3", False)]
    assert told.post("/api/v1/announcements/3/dismiss", headers=headers).json() == {}
    assert shown() == [("12", False), ("3", True)]
    assert told.post("/api/v1/announcements/4/dismiss", headers=headers).status_code == 404
    assert told.get("/api/v1/announcements").status_code == 401


@pytest.fixture
def reader(told):
    """Return what makes headers of a new account."""

    def make() -> dict[str, str]:
        name = f"reader_{next(account_numbers)}"
        reply = told.post("/api/v1/users", json={"username": name, "password": PASSWORD}).json()
        return {"authorization": f"Bearer {reply['auth_token']}"}

    return make


def reactions_of(told, headers, number=12):
    found = told.get("/api/v1/announcements", headers=headers).json()
    (reactions,) = (each["reactions"] for each in found if each["id"] == str(number))
    return reactions


def test_people_react_to_an_announcement_with_emojis_that_are_counted_once_each(told, reader):
    ada, bob = reader(), reader()
    place = "/api/v1/announcements/12/reactions"
    for headers in (ada, ada, bob):
        assert told.put(f"{place}/👍", headers=headers).json() == {}
    assert told.put(f"{place}/blob_cat", headers=bob).status_code == 200
    picture = f"{told.base_url}".rstrip("/") + "/emojis/blob_cat.png"
    assert reactions_of(told, ada) == [
        {"name": "👍", "count": 2, "me": True},
        {"name": "blob_cat", "count": 1, "me": False, "url": picture, "static_url": picture},
    ]
    assert reactions_of(told, ada, 3) == []
    assert told.delete(f"{place}/👍", headers=ada).json() == {}
    assert told.delete(f"{place}/👍", headers=ada).status_code == 404
    assert [(each["name"], each["count"]) for each in reactions_of(told, ada)] == [("👍", 1), ("blob_cat", 1)]
    for name in ("👍", "blob_cat"):
        assert told.delete(f"{place}/{name}", headers=bob).status_code == 200
    assert reactions_of(told, bob) == []


@pytest.mark.parametrize(
    ("name", "status"), [("x", 422), ("no_such_cat", 422), ("👍" * 20, 422), ("7", 422), ("👍%00", 422), ("%FF", 422)]
)  # fmt: skip
def test_what_is_no_emoji_is_no_reaction(told, reader, name, status):
    ada = reader()
    reply = told.put(f"/api/v1/announcements/12/reactions/{name}", headers=ada)
    assert (reply.status_code, "emoji" in reply.json()["error"]) == (status, True)
    assert told.delete(f"/api/v1/announcements/12/reactions/{name}", headers=ada).status_code == 404


def test_an_announcement_has_eight_different_reactions_and_a_token_is_needed(told, reader):
    ada, place = reader(), "/api/v1/announcements/3/reactions"
    for name in "🐶🐱🐭🐹🐰🦊🐻🐼":
        assert told.put(f"{place}/{name}", headers=ada).status_code == 200
    reply = told.put(f"{place}/🐨", headers=ada)
    assert (reply.status_code, reply.json()["error"]) == (
        422,
        "Validation failed: Limit of 8 different reactions reached",
    )
    assert told.put("/api/v1/announcements/4/reactions/🐶", headers=ada).status_code == 404
    assert told.put(f"{place}/🐶").status_code == 401


@pytest.mark.parametrize("name", ["❤️", "👩‍👩‍👧‍👦", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "👍🏽", "🇩🇪", "#️⃣", "‼️", "ℹ️", "↔️", "〰️", "▶️"])
def test_emojis_of_many_characters_are_emojis(name):
    assert is_emoji(name)


@pytest.mark.parametrize("name", ["", "a", "👍a", "a👍", "1", "🏽" * 17, "\u200d", "é", "\ufe0f"])
def test_other_texts_are_none(name):
    assert not is_emoji(name)


def test_weeks_begin_on_monday_and_have_what_was_written_and_who_came(ada, server, monkeypatch):
    activity = server.worker._services.activity
    said = int(ada.says("by the time of the simulation"))
    monkeypatch.setattr(activity, "_wall", lambda: (said >> 16) / 1000)
    activity._until_s = 0.0  # what was counted is kept for minutes
    before = ada.get("/api/v1/instance/activity")
    assert ada.get("/api/v1/instance/activity/") == before
    begins = [int(week["week"]) for week in before]
    assert [begins[0] - n * 7 * 24 * 3600 for n in range(12)] == begins
    assert time.gmtime(begins[0])[3:7] == (0, 0, 0, 0)
    ada.says("one more")
    assert ada.get("/api/v1/instance/activity") == before
    activity._until_s = 0.0
    (now, *_), (then, *_) = ada.get("/api/v1/instance/activity"), before
    assert int(now["statuses"]) == int(then["statuses"]) + 1
    assert int(now["registrations"]) >= 1
    assert int(now["logins"]) >= 1


@pytest.mark.parametrize(("now_s", "begins_s"), [(0, -259_200), (345_600, 345_600), (1_574_640_000 + 5, 1_574_640_000)])
def test_the_week_of_a_moment(now_s, begins_s):
    assert week_before(now_s * 1000, 0) == begins_s * 1000
    assert week_before(now_s * 1000, 2) == (begins_s - 14 * 24 * 3600) * 1000


async def test_a_count_goes_on_when_whoever_asked_has_gone_and_an_old_one_stands_in_for_one_that_fails():
    class Slow:
        shard_count, asked, fails = 1, 0, False

        async def call_shard(self, shard, op, args):
            self.asked += 1
            if self.fails:
                raise OverloadedError("away")
            await let_go.wait()
            return [0, [1] * 12, [2] * 12, [3] * 12]

    let_go, cluster, now = asyncio.Event(), Slow(), [0.0]
    figures = WeeklyActivity(cluster, lambda: now[0], lambda: 1_574_640_000.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await figures.get()
    let_go.set()
    assert (await figures.get())[0] == (1_574_640_000, 1, 2, 3)
    assert cluster.asked == 1
    cluster.fails, now[0] = True, 1e6
    assert (await figures.get())[0] == (1_574_640_000, 1, 2, 3)
    with pytest.raises(OverloadedError):
        await WeeklyActivity(cluster, lambda: 0.0, lambda: 0.0).get()
    figures.close()
