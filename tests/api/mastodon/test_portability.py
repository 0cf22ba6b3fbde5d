"""Files that people take along and bring in: what is in them, what becomes of a row, and that again is as once."""

from __future__ import annotations

import asyncio
import io
import zipfile

import orjson
import pytest

from actors.core.errors import ConflictError, InvalidError, MalformedError, OverloadedError, TooLargeError
from api.limits import IMPORT_BODY_BYTES_MAX
from api.portability import exports, imports, sorts
from api.portability.long_work import COUNT_MAX, LongAnswer, LongWork
from api.portability.sorts import SORTS, ImportRow, rows_of, sort_of, written
from tests.api.conftest import PASSWORD
from tests.api.mastodon.browser import Browser

HEADER = "Account address,Show boosts,Notify on new posts,Languages"


@pytest.fixture
def host(server):
    return server.base_url.partition("://")[2]


def export(person, what):
    reply = person.http.get(f"/{person.id}/export/{what}.csv")
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/csv")
    assert reply.headers["cache-control"] == "private, no-store"
    return reply.text


def bring(person, what, data, **more):
    """Bring a file in; return (lines of rows that failed, how far it was told to be, the last line)."""
    reply = person.http.post(f"/{person.id}/import", json={"type": what, "data": data, **more})
    assert reply.status_code == 200, reply.text
    told = [orjson.loads(line) for line in reply.text.splitlines()]
    failed = [each for each in told if "error" in each]
    progress = [(each["done"], each["of"]) for each in told if "done" in each]
    assert told[-1]["finished"]
    return failed, progress, told[-1]


def ids(people):
    return sorted(each["id"] for each in people)


def stands(person, *others):
    return person.get("/api/v1/accounts/relationships", **{"id[]": [other.id for other in others]})


# ---- the way out and back in ----------------------------------------------------------------------------------------


def test_what_one_account_takes_along_another_brings_in_and_has_the_same(ada, bob, new_person, host):
    people = [new_person(f"p{n}") for n in range(4)]
    for n, each in enumerate(people):
        ada.post(f"/api/v1/accounts/{each.id}/follow", reblogs=n != 1, notify=n == 2, languages=["en", "de"][: n % 3])
    enemy, dull, loud = (new_person(name) for name in ("enemy", "dull", "loud"))
    ada.post(f"/api/v1/accounts/{enemy.id}/block")
    ada.post(f"/api/v1/accounts/{dull.id}/mute")
    ada.post(f"/api/v1/accounts/{loud.id}/mute", notifications=False)
    friends, other = (ada.post("/api/v1/lists", title=title)["id"] for title in ('my "best", friends', "others"))
    ada.post(f"/api/v1/lists/{friends}/accounts", account_ids=[people[0].id, people[1].id])
    ada.post(f"/api/v1/lists/{other}/accounts", account_ids=[people[1].id])
    said = people[0].says("worth keeping")
    ada.post(f"/api/v1/statuses/{said}/bookmark")
    files = {what: export(ada, what) for what in SORTS}
    assert files["follows"].splitlines()[:2] == [HEADER, f"{people[3].username}@{host},true,false,"]
    assert f'{people[2].username}@{host},true,true,"en, de"' in files["follows"].splitlines()
    assert f"{people[1].username}@{host},false,false,en" in files["follows"].splitlines()
    assert files["blocks"] == f"{enemy.username}@{host}\n"
    assert files["mutes"].splitlines() == [
        "Account address,Hide notifications", f"{loud.username}@{host},false", f"{dull.username}@{host},true",
    ]  # fmt: skip
    assert f'"my ""best"", friends",{people[0].username}@{host}' in files["lists"].splitlines()
    assert files["domain_blocks"] == ""
    for what in ("follows", "blocks", "mutes", "lists", "bookmarks"):
        for _ in range(2):  # again is as once
            failed, progress, last = bring(bob, what, files[what])
            assert (failed, last["failed"], last["removed"], progress[-1][0]) == ([], 0, 0, progress[-1][1])
    for what in ("blocks", "mutes", "bookmarks"):
        assert sorted(export(bob, what).splitlines()) == sorted(files[what].splitlines())
    assert sorted(export(bob, "follows").splitlines()) == sorted(files["follows"].splitlines())
    assert sorted(export(bob, "lists").splitlines()) == sorted(files["lists"].splitlines())
    assert [each["title"] for each in bob.get("/api/v1/lists")] == ['my "best", friends', "others"]


def test_a_file_of_any_mastodon_is_read_and_what_is_elsewhere_is_told(ada, bob, new_person, host):
    eve = new_person("eve")
    lines = [
        HEADER, f'"@{bob.username}@{host.upper()}",FALSE,true,"de, en"', f"{eve.username},,,",
        "far@mastodon.example,true", f"nobody_here@{host},true,false,", f"{ada.username}@{host}", "",
        "no address at all!",
    ]  # fmt: skip
    failed, progress, last = bring(ada, "following", "\ufeff" + "\r\n".join(lines) + "\r\n")
    assert [(each["line"], each["row"]) for each in failed] == [
        (4, "far@mastodon.example"), (5, f"nobody_here@{host}"), (6, f"{ada.username}@{host}"),
        (8, "no address at all!"),
    ]  # fmt: skip
    assert [("another server" in each["error"], "no account" in each["error"]) for each in failed] == [
        (True, False), (False, True), (False, False), (False, True),
    ]  # fmt: skip
    assert (last, progress) == ({"finished": True, "imported": 2, "failed": 4, "removed": 0}, [(6, 6)])
    to_bob, to_eve = stands(ada, bob, eve)
    assert (to_bob["following"], to_bob["showing_reblogs"], to_bob["notifying"], to_bob["languages"]) == (
        True, False, True, ["de", "en"],
    )  # fmt: skip
    assert (to_eve["following"], to_eve["showing_reblogs"], to_eve["notifying"]) == (True, True, False)


def test_to_overwrite_takes_back_what_the_file_does_not_have(ada, bob, new_person):
    eve, kept = new_person("eve"), new_person("kept")
    for each in (bob, eve):
        ada.post(f"/api/v1/accounts/{each.id}/follow")
    assert bring(ada, "follows", f"{eve.username}\n{kept.username}\n", mode="overwrite")[2]["removed"] == 1
    assert [each["following"] for each in stands(ada, bob, eve, kept)] == [False, True, True]
    for what, act in (("blocks", "block"), ("mutes", "mute")):
        ada.post(f"/api/v1/accounts/{bob.id}/{act}")
        assert bring(ada, what, f"{kept.username}\n", mode="overwrite")[2]["removed"] == 1
        assert ids(ada.get(f"/api/v1/{what}")) == [kept.id]
    first, second = bob.says("first"), bob.says("second")
    ada.post(f"/api/v1/statuses/{first}/bookmark")
    uri = bob.get(f"/api/v1/statuses/{second}")["uri"]
    assert bring(ada, "bookmarks", uri, mode="overwrite")[2]["removed"] == 1
    assert ids(ada.get("/api/v1/bookmarks")) == [second]


def test_lists_that_are_overwritten_have_who_is_in_the_file_and_no_others_are_left(ada, bob, new_person):
    eve = new_person("eve")
    for each in (bob, eve):
        ada.post(f"/api/v1/accounts/{each.id}/follow")
    friends, gone = (ada.post("/api/v1/lists", title=title)["id"] for title in ("friends", "gone"))
    ada.post(f"/api/v1/lists/{friends}/accounts", account_ids=[bob.id])
    ada.post(f"/api/v1/lists/{gone}/accounts", account_ids=[bob.id])
    _, _, last = bring(ada, "lists", f"friends,{eve.username}\nnew,{bob.username}\n", mode="overwrite")
    assert (last["imported"], last["removed"]) == (2, 2)
    lists = {each["title"]: each["id"] for each in ada.get("/api/v1/lists")}
    assert lists.keys() == {"friends", "new"}
    assert lists["friends"] == friends
    assert ids(ada.get(f"/api/v1/lists/{friends}/accounts")) == [eve.id]
    assert ids(ada.get(f"/api/v1/lists/{lists['new']}/accounts")) == [bob.id]


def test_a_file_of_which_no_row_can_be_read_takes_nothing_back(ada, bob):
    ada.post(f"/api/v1/accounts/{bob.id}/follow")
    failed, _, last = bring(ada, "follows", "far@else.example\nx y\n", mode="overwrite")
    assert (len(failed), last["removed"], "nothing was taken back" in last["message"]) == (2, 0, True)
    assert stands(ada, bob)[0]["following"]


def test_a_row_is_refused_as_the_operation_is(ada, bob, new_person, monkeypatch):
    locked, foe = new_person("locked"), new_person("foe")
    locked.patch("/api/v1/accounts/update_credentials", locked=True)
    foe.post(f"/api/v1/accounts/{ada.id}/block")
    failed, _, last = bring(ada, "follows", f"{locked.username}\n{foe.username}\n{bob.username}\n")
    assert ([each["row"] for each in failed], last["imported"]) == ([foe.username], 2)
    assert [(each["following"], each["requested"]) for each in stands(ada, locked, foe, bob)] == [
        (False, True), (False, False), (True, False),
    ]  # fmt: skip
    failed, _, _ = bring(ada, "lists", f"close,{locked.username}\nclose,{bob.username}\n,{bob.username}\n")
    assert [each["line"] for each in failed] == [1, 3]
    private = bob.says("for followers", visibility="direct")
    assert len(bring(ada, "bookmarks", f"http://127.0.0.1/@{bob.username}/{private}\nhttp://[\nx\n")[0]) == 3
    assert len(bring(ada, "domain_blocks", "#domain\nbad.example\n")[0]) == 1


def test_a_shard_that_does_not_answer_fails_its_rows_and_nothing_is_taken_back(ada, bob, new_person, server):
    eve = new_person("eve")
    ada.post(f"/api/v1/accounts/{bob.id}/follow")
    services = server.worker._services
    with pytest.MonkeyPatch.context() as patch:
        real = services.ask_account

        async def ask(account_id, op, *args):
            if op == "follow_as":
                raise OverloadedError("the shard is away")
            return await real(account_id, op, *args)

        patch.setattr(services, "ask_account", ask)
        failed, _, last = bring(ada, "follows", f"{eve.username}\n", mode="overwrite")
    assert (failed[0]["error"], last["removed"]) == ("the shard is away", 0)
    assert "didn't answer" in last["message"]
    assert stands(ada, bob)[0]["following"]


def test_long_files_go_page_by_page_and_tell_how_far_they_are(ada, new_person, monkeypatch):
    monkeypatch.setattr(exports, "PAGE", 2)
    monkeypatch.setattr(imports, "BATCH", 2)
    people = [new_person("many") for _ in range(5)]
    _, progress, last = bring(ada, "mutes", "\n".join(each.username for each in people))
    assert (progress, last["imported"]) == ([(2, 5), (4, 5), (5, 5)], 5)
    assert len(export(ada, "mutes").splitlines()) == 6
    bring(ada, "follows", "\n".join(each.username for each in people))
    assert len(export(ada, "follows").splitlines()) == 6


# ---- what is no file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("body", "status", "word"), [
    ({"type": "friends", "data": "x"}, 422, "type must be one of"), ({"type": "follows", "data": ""}, 422, "no rows"),
    ({"type": "follows", "data": "\n \n"}, 422, "no rows"), ({"data": "x"}, 422, "type must be"),
    ({"type": "follows", "mode": "all", "data": "x"}, 422, "mode must be"),
    ({"type": "follows", "data": '"open'}, 400, "line 1"), ({"type": "follows", "data": 'ok\n"a"b'}, 400, "line 2"),
    ({"type": "follows", "data": "#uri\nhttp://x"}, 422, "has the column"),
    ({"type": "follows", "data": 7}, 422, "text"),
    ({"type": "lists", "data": "List name\nx"}, 422, "has the column"),
])  # fmt: skip
def test_what_is_no_such_file_is_refused_whole(ada, body, status, word):
    reply = ada.http.post(f"/{ada.id}/import", json=body)
    assert (reply.status_code, word in reply.json()["error"]["message"]) == (status, True), reply.text


def test_files_come_as_forms_and_as_bare_csv_in_utf8(ada, bob):
    path = f"/{ada.id}/import"
    sent = ada.http.post(path, data={"type": "mutes"}, files={"data": ("m.csv", bob.username.encode(), "text/csv")})
    assert orjson.loads(sent.text.splitlines()[-1])["imported"] == 1
    bare = {"content": bob.username.encode(), "headers": {"content-type": "text/csv"}}
    assert '"imported":1' in ada.http.post(f"{path}?type=mutes", **bare).text
    bare["content"] = b"\xff\xfe"
    assert "UTF-8" in ada.http.post(f"{path}?type=mutes", **bare).json()["error"]["message"]
    two = [("data", ("a.csv", b"x")), ("more", ("b.csv", b"y"))]
    assert ada.http.post(path, data={"type": "mutes"}, files=two).status_code == 400
    assert ada.http.post("/api/v1/tweet", files={"status": ("a.csv", b"x")}).status_code == 400


def test_files_are_their_own_accounts_alone(ada, bob, stranger):
    for client, status in ((bob.http, 403), (stranger, 401)):
        assert client.get(f"/{ada.id}/export/follows.csv").status_code == status
        assert client.post(f"/{ada.id}/import", json={"type": "mutes", "data": "x"}).status_code == status
    for what in ("nothing.csv", "follows", "follows.json"):
        assert ada.http.get(f"/{ada.id}/export/{what}").status_code == 404


LONG = "".join(f"nobody{n}{'x' * 600}\n" for n in range(150))  # more than other bodies may have


def outcome(reply):
    assert reply.status_code == 200, reply.text
    return orjson.loads(reply.text.splitlines()[-1])


def test_a_file_may_be_larger_than_other_bodies_however_it_comes(ada, bob):
    path, text = f"/{ada.id}/import", f"{bob.username}\n{LONG}"
    told = {"imported": 1, "failed": 150}
    assert told.items() <= outcome(ada.http.post(path, json={"type": "mutes", "data": text})).items()
    files = {"data": ("m.csv", text.encode(), "text/csv")}
    assert told.items() <= outcome(ada.http.post(path, data={"type": "mutes"}, files=files)).items()
    pieces = iter([text.encode()[:70_000], text.encode()[70_000:]])  # without a length
    bare = ada.http.post(f"{path}?type=mutes", content=pieces, headers={"content-type": "text/csv"})
    assert told.items() <= outcome(bare).items()


def test_a_file_has_a_bound_and_what_is_not_one_has_the_usual_bound(ada, stranger):
    path = f"/{ada.id}/import"
    too_long = "x\n" * (IMPORT_BODY_BYTES_MAX // 2 + 1)
    bare = {"content-type": "text/csv"}
    for content in (too_long, iter([too_long.encode()])):
        reply = ada.http.post(f"{path}?type=mutes", content=content, headers=bare)
        assert (reply.status_code, str(IMPORT_BODY_BYTES_MAX) in reply.text) == (413, True)
    by_query = stranger.post(f"{path}?type=mutes&auth_token={ada.token}", content=LONG, headers=bare)
    assert (by_query.status_code, "in the header Authorization" in by_query.text) == (413, True)
    assert stranger.post(path, content=LONG, headers={**bare, "authorization": "Bearer rk_x"}).status_code == 401
    assert ada.http.post("/api/v1/tweet", json={"status": LONG}).status_code == 413


def test_a_file_with_too_many_rows_is_refused(monkeypatch):
    monkeypatch.setattr(sorts, "ROWS_MAX", 3)
    assert len(rows_of(SORTS["blocks"], "a\nb\nc\n")) == 3
    with pytest.raises(TooLargeError, match="3 rows"):
        rows_of(SORTS["blocks"], "a\nb\nc\nd\n")


def test_columns_are_found_by_their_headers():
    text = "Account address,Languages,Show boosts,More\nada,en,0,x\nbob\n"
    assert rows_of(SORTS["follows"], text) == [
        ImportRow(2, "ada", reposts=False, languages=["en"]), ImportRow(3, "bob"),
    ]  # fmt: skip
    assert rows_of(SORTS["lists"], "List name,Account address\nx,ada")[0].title == "x"
    assert rows_of(SORTS["lists"], "x,ada")[0] == ImportRow(1, "ada", title="x")


@pytest.mark.parametrize(
    "text", ["", '"', "a\x00b,c", "\ufeff", '""""', "a" * 200_000, "\r\r\n,,,\n", "Account address"]
)
def test_any_text_is_rows_or_a_refusal(text):
    for sort in SORTS.values():
        try:
            assert all(isinstance(row, ImportRow) for row in rows_of(sort, text))
        except (InvalidError, MalformedError, TooLargeError) as error:
            assert error.message  # noqa: PT017 - either is right


def test_what_is_written_is_what_is_read():
    rows = [("a@b", True, False, None), ('x "y", z@b', False, True, "en, de")]
    assert written(rows) == b'a@b,true,false,\n"x ""y"", z@b",false,true,"en, de"\n'
    assert {sort_of(sort.alias).name for sort in SORTS.values()} == set(SORTS)


# ---- places ---------------------------------------------------------------------------------------------------------


def test_an_account_has_one_place_and_a_worker_few():
    work = LongWork()
    first = work.begin(1)
    with pytest.raises(ConflictError):
        work.begin(1)
    for account_id in range(2, COUNT_MAX + 1):
        work.begin(account_id)
    with pytest.raises(OverloadedError):
        work.begin(99)
    work.end(1, first)
    work.begin(99)
    work.end(99, first)
    assert len(work) == COUNT_MAX


async def test_a_place_is_given_back_whatever_becomes_of_the_answer():
    async def pieces():
        yield b"x"
        raise ValueError("broken")

    async def send(message):
        sent.append(message)

    async def receive():
        await asyncio.sleep(60)

    work, sent = LongWork(), []
    answer = LongAnswer(work, 7, pieces(), "text/csv", "f.csv")
    with pytest.raises(BaseException, match=r"broken|unhandled"):
        await answer({"type": "http", "state": {}}, receive, send)
    assert (len(work), sent[1]["body"]) == (0, b"x")


# ---- pages ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def browser(server):
    made = Browser(server.base_url)
    yield made
    made.http.close()


def test_in_a_browser_one_signs_in_takes_files_along_and_brings_them_in(browser, ada, bob, host):
    assert 'id="user_email"' in browser.open("/settings/import").text
    page = browser.sign_in(ada.username, PASSWORD)
    assert "form_import[data]" in page.text
    token = page.text.partition('name="authenticity_token" value="')[2].partition('"')[0]
    said = {"authenticity_token": token, "form_import[type]": "following", "form_import[mode]": "merge"}
    files = {"form_import[data]": ("f.csv", f"{bob.username}@{host}\n<b>@x.example\n".encode(), "text/csv")}
    headers = {"origin": "null", "sec-fetch-site": "same-origin"}
    sent = browser.http.post("/settings/import", data=said, files=files, headers=headers)
    assert sent.status_code == 200
    assert "Finished: 1 brought in, 1 failed, 0 taken back." in sent.text
    assert "&lt;b&gt;@x.example" in sent.text
    assert "<b>" not in sent.text
    assert sent.text.rstrip().endswith("</html>")
    assert "default-src 'none'" in sent.headers["content-security-policy"]
    assert "/settings/exports/follows.csv" in browser.open("/settings/export").text
    reply = browser.http.get("/settings/exports/follows.csv")
    assert reply.text == f"{HEADER}\n{bob.username}@{host},true,false,\n"
    assert reply.headers["content-disposition"] == 'attachment; filename="following_accounts.csv"'
    files = {"form_import[data]": ("f.csv", f"{bob.username}\n{LONG}".encode(), "text/csv")}
    assert (
        "1 brought in, 150 failed"
        in browser.http.post("/settings/import", data=said, files=files, headers=headers).text
    )
    wrong = browser.http.post("/settings/import", data={**said, "form_import[data]": ""}, headers=headers)
    assert (wrong.status_code, "no rows" in wrong.text) == (422, True)
    assert browser.http.post("/settings/import", data={**said, "authenticity_token": "x"}).status_code == 403


def test_without_signing_in_there_is_no_file(browser):
    reply = browser.http.get("/settings/exports/blocks.csv")
    assert (reply.status_code, reply.headers["location"]) == (303, "/auth/sign_in?next=/settings/exports/blocks.csv")
    assert browser.http.get("/settings/exports/nothing.csv").status_code == 404


# ---- archives -------------------------------------------------------------------------------------------------------


def archive_of(person):
    """Return the files of an archive, as JSON, by name."""
    reply = person.http.get(f"/{person.id}/export/archive.zip")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
        assert archive.testzip() is None
        return {name: orjson.loads(archive.read(name)) for name in archive.namelist()}


def test_an_archive_has_all_that_its_account_has_said_and_kept(ada, bob, monkeypatch):
    monkeypatch.setattr("api.portability.archive.STATUSES_PAGE", 2)
    ada.patch("/api/v1/accounts/update_credentials", note="I am Ada", locked=True)
    his = bob.says("his")
    first = ada.says(f"first #tag @{bob.username}")
    answer = ada.post("/api/v1/statuses", status="yes", in_reply_to_id=his, spoiler_text="careful", language="en")
    private = ada.post("/api/v1/statuses", status="for followers", visibility="private")
    direct = ada.post("/api/v1/statuses", status=f"@{bob.username} psst", visibility="direct")
    poll = ada.post("/api/v1/statuses", status="which?", poll={"options": ["a", "b"], "expires_in": 600})
    ada.post(f"/api/v1/statuses/{his}/reblog")
    ada.post(f"/api/v1/statuses/{his}/favourite")
    ada.post(f"/api/v1/statuses/{first}/bookmark")
    files = archive_of(ada)
    assert sorted(files) == ["actor.json", "bookmarks.json", "likes.json", "outbox.json"]
    actor, uri = files["actor.json"], f"{answer['account']['uri']}"
    assert (actor["id"], actor["type"], actor["summary"], actor["manuallyApprovesFollowers"]) == (
        uri, "Person", "<p>I am Ada</p>", True,
    )  # fmt: skip
    outbox = files["outbox.json"]
    assert (outbox["type"], outbox["totalItems"], len(outbox["orderedItems"])) == ("OrderedCollection", 6, 6)
    one, two, three, four, five, six = outbox["orderedItems"]
    his_uri = bob.get(f"/api/v1/statuses/{his}")["uri"]
    bob_uri, public = his_uri.partition("/statuses")[0], "https://www.w3.org/ns/activitystreams#Public"
    assert (one["type"], one["to"], one["cc"]) == ("Create", [public], [f"{uri}/followers", bob_uri])
    assert [tag["type"] for tag in one["object"]["tag"]] == ["Mention", "Hashtag"]
    note = two["object"]
    assert (note["inReplyTo"], note["summary"], note["contentMap"]) == (his_uri, "careful", {"en": note["content"]})
    assert (note["id"], note["published"], note["content"]) == (answer["uri"], answer["created_at"], answer["content"])
    assert (three["object"]["id"], three["to"]) == (private["uri"], [f"{uri}/followers"])
    assert (four["object"]["id"], four["to"], four["cc"]) == (direct["uri"], [bob_uri], [])
    assert (five["object"]["id"], five["object"]["type"]) == (poll["uri"], "Question")
    assert [option["name"] for option in five["object"]["oneOf"]] == ["a", "b"]
    assert (six["type"], six["object"]) == ("Announce", his_uri)
    assert files["likes.json"]["orderedItems"] == [his_uri]
    assert files["bookmarks.json"]["orderedItems"] == [ada.get(f"/api/v1/statuses/{first}")["uri"]]
    assert [file["totalItems"] for name, file in files.items() if name != "actor.json"] == [6, 1, 1]


def test_an_archive_is_its_own_accounts_alone_and_may_be_empty(ada, bob):
    assert archive_of(bob)["outbox.json"]["orderedItems"] == []
    assert bob.http.get(f"/{ada.id}/export/archive.zip").status_code == 403


def test_an_archive_is_a_file_of_the_pages_too(browser, ada):
    ada.says("hello")
    browser.open("/settings/export")
    assert "/settings/exports/archive.zip" in browser.sign_in(ada.username, PASSWORD).text
    reply = browser.http.get("/settings/exports/archive.zip")
    assert zipfile.ZipFile(io.BytesIO(reply.content)).namelist()[0] == "actor.json"
