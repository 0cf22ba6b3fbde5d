"""Uploads over HTTP: brought, described, attached, edited, taken back; what is refused, and that no file stays."""

from __future__ import annotations

import asyncio
import socket
import time

import httpx
import pytest

from actors.core.ids import bucket_of_tweet
from api.http.uploads import COUNT_MAX, PER_TOKEN_MAX, Uploads
from api.mastodon.operations import media as under_test
from api.settings import MediaSettings
from tests.api.media_port import AUDIO, IMAGE, VIDEO

PICTURE = IMAGE + b"a picture"
CREDENTIALS = "/api/v1/accounts/update_credentials"


@pytest.fixture
def port(server):
    media = server.fake.media
    yield media
    media.down = media.closed = False
    media.held = None
    deadline = time.monotonic() + 30
    while media.waiting_files() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert media.waiting_files() == []


@pytest.fixture
def held(server, port):
    async def event():
        return asyncio.Event()

    port.held = asyncio.run_coroutine_threadsafe(event(), server.loop).result(30)
    yield port.held
    server.loop.call_soon_threadsafe(port.held.set)


def upload(person, data=PICTURE, version=2, status=200, thumbnail=None, **said):
    files = {"file": ("photo.jpg", data, "image/jpeg")}
    if thumbnail is not None:
        files["thumbnail"] = ("t.jpg", thumbnail, "image/jpeg")
    reply = person.http.post(f"/api/v{version}/media", data=said, files=files)
    assert reply.status_code == status, reply.text
    return reply.json()


@pytest.mark.parametrize("version", [1, 2])
def test_a_picture_is_brought_and_is_in_a_status(ada, bob, port, version):
    medium = upload(ada, version=version, description="a red kite", focus="0.5,-0.25")
    assert (medium["type"], medium["description"], medium["media_id"]) == ("image", "a red kite", medium["id"])
    assert medium["meta"]["focus"] == {"x": 0.5, "y": -0.25}
    assert ada.get(f"/api/v1/media/{medium['id']}")["url"] == medium["url"]
    assert bob.http.get(f"/api/v1/media/{medium['id']}").status_code == 404
    status = ada.post("/api/v1/statuses", status="look", media_ids=[medium["id"]])
    (shown,) = bob.get(f"/api/v1/statuses/{status['id']}")["media_attachments"]
    assert (shown["id"], shown["description"]) == (medium["id"], "a red kite")
    assert ada.http.get(f"/api/v1/media/{medium['id']}").status_code == 404, "a status has it"
    again = ada.http.post("/api/v1/statuses", json={"status": "again", "media_ids": [medium["id"]]})
    assert (again.status_code, medium["id"] in again.json()["error"]) == (422, True)


def test_a_status_may_be_a_picture_alone_in_either_api(ada, port):
    status = ada.post("/api/v1/statuses", media_ids=[upload(ada)["id"]])
    assert (status["content"], len(status["media_attachments"])) == ("", 1)
    sent = {"user_id": ada.id, "media_ids": upload(ada)["id"]}
    reply = ada.http.post("/tweet", json=sent)
    assert reply.status_code == 201, reply.text
    assert [medium["type"] for medium in reply.json()["media"]] == ["image"]


def test_what_isnt_ready_isnt_attached_and_is_found_by_its_id(ada, port, held, server, monkeypatch):
    monkeypatch.setattr(under_test, "QUICK_S", 0.05)
    medium = upload(ada, VIDEO + b"film", status=202)
    assert (medium["url"], medium["type"]) == (None, "unknown")
    waiting = ada.http.get(f"/api/v1/media/{medium['id']}")
    assert (waiting.status_code, waiting.json()["id"]) == (206, medium["id"])
    early = ada.http.post("/api/v1/statuses", json={"status": "x", "media_ids": [medium["id"]]})
    assert (early.status_code, "processing" in early.json()["error"]) == (422, True)
    server.loop.call_soon_threadsafe(held.set)
    deadline = time.monotonic() + 60
    while (reply := ada.http.get(f"/api/v1/media/{medium['id']}")).status_code == 206:
        assert time.monotonic() < deadline
    assert (reply.status_code, reply.json()["type"]) == (200, "video")


def test_a_refused_file_is_told_of_and_stays_refused(ada, port):
    reply = ada.http.post("/api/v2/media", files={"file": ("a.svg", b"<svg/>", "image/jpeg")})
    assert reply.status_code == 422, reply.text
    assert "no picture" in reply.json()["error"]


def test_what_is_said_of_an_upload_changes_until_a_status_has_it(ada, port):
    medium = upload(ada, thumbnail=IMAGE + b"small one")
    changed = ada.put(f"/api/v1/media/{medium['id']}", description="new", focus="-1,1")
    assert (changed["description"], changed["meta"]["focus"]) == ("new", {"x": -1.0, "y": 1.0})
    reply = ada.http.put(f"/api/v1/media/{medium['id']}", files={"thumbnail": ("t", IMAGE + b"other")})
    assert reply.status_code == 200, reply.text
    assert reply.json()["preview_url"] != changed["preview_url"]
    ada.delete(f"/api/v1/media/{medium['id']}")
    assert ada.http.get(f"/api/v1/media/{medium['id']}").status_code == 404


def test_an_edit_changes_words_and_media(ada, port):
    first, second = upload(ada), upload(ada, IMAGE + b"two")
    status = ada.post("/api/v1/statuses", status="two", media_ids=[first["id"], second["id"]])
    described = [{"id": first["id"], "description": "seen", "focus": "0,1"}]
    edited = ada.put(f"/api/v1/statuses/{status['id']}", status="two", media_attributes=described)
    assert [each["description"] for each in edited["media_attachments"]] == ["seen", None]
    edited = ada.put(f"/api/v1/statuses/{status['id']}", status="one", media_ids=[second["id"]])
    assert [each["id"] for each in edited["media_attachments"]] == [second["id"]]
    edited = ada.put(f"/api/v1/statuses/{status['id']}", status="still one")
    assert [each["id"] for each in edited["media_attachments"]] == [second["id"]]
    edited = ada.put(f"/api/v1/statuses/{status['id']}", status="none", media_ids=[])
    assert edited["media_attachments"] == []


def test_a_deleted_status_gives_its_media_back_to_be_drafted_again(ada, port):
    medium = upload(ada)
    status = ada.post("/api/v1/statuses", status="x", media_ids=[medium["id"]])
    gone = ada.delete(f"/api/v1/statuses/{status['id']}")
    assert [each["id"] for each in gone["media_attachments"]] == [medium["id"]]
    again = ada.post("/api/v1/statuses", status="y", media_ids=[medium["id"]])
    ada.http.request("DELETE", f"/api/v1/statuses/{again['id']}", params={"delete_media": "true"})
    assert ada.http.get(f"/api/v1/media/{medium['id']}").status_code == 404


def test_a_scheduled_status_has_its_media(ada, port):
    medium = upload(ada)
    body = {"status": "later", "media_ids": [medium["id"]], "scheduled_at": "2023-12-01T00:00:00Z"}
    reply = ada.http.post("/api/v1/statuses", json=body)
    assert reply.status_code == 200, reply.text
    assert [each["id"] for each in reply.json()["media_attachments"]] == [medium["id"]]
    ada.delete(f"/api/v1/scheduled_statuses/{reply.json()['id']}")


@pytest.mark.parametrize(
    ("said", "what"), [({"focus": "2,0"}, "focus"), ({"focus": "nan,0"}, "focus"), ({"focus": "1"}, "focus"),
                       ({"description": "x" * 1501}, "description")],
)  # fmt: skip
def test_words_that_can_not_be_are_refused_and_no_file_stays(ada, port, said, what):
    assert what in upload(ada, status=422, **said)["error"].lower()


def test_mixes_and_numbers_are_refused(ada, port):
    film, sound = upload(ada, VIDEO + b"f"), upload(ada, AUDIO + b"s")
    mixed = ada.http.post("/api/v1/statuses", json={"status": "x", "media_ids": [film["id"], sound["id"]]})
    assert mixed.status_code == 422, mixed.text
    many = ada.http.post("/api/v1/statuses", json={"status": "x", "media_ids": [1, 2, 3, 4, 5]})
    assert (many.status_code, "4" in many.json()["error"]) == (422, True)
    none = ada.http.post("/api/v1/statuses", json={"status": "x", "media_ids": ["77"]})
    assert (none.status_code, "77" in none.json()["error"]) == (422, True)


def test_a_form_without_a_token_or_for_another_path_takes_no_file(ada, server, port):
    files = {"file": ("a", PICTURE)}
    with httpx.Client(base_url=server.base_url, verify=False) as nobody:
        assert nobody.post("/api/v2/media", files=files).status_code in (401, 422)
        wrong = {"authorization": "Bearer wrong"}
        assert nobody.post("/api/v2/media", files=files, headers=wrong).status_code == 401
    assert ada.http.post("/api/v1/statuses", files=files).status_code == 422
    port.closed = True
    assert ada.http.post("/api/v2/media", files=files).status_code == 422
    assert ada.http.post("/api/v2/media", data={"description": "x"}).status_code == 404


def test_a_file_above_the_bound_is_refused_by_its_head(ada, server, port):
    head = (
        f"POST /api/v2/media HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ada.token}\r\n"
        f"content-type: multipart/form-data; boundary=b\r\ncontent-length: {MediaSettings().bytes_max * 2}\r\n\r\n"
    )
    host, _, number = server.base_url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(number)), timeout=60) as client:
        client.sendall(head.encode() + b"--b\r\n")
        assert client.recv(1_000).startswith(b"HTTP/1.1 413 ")


def test_places_are_bounded_for_all_and_for_each_token():
    uploads = Uploads()
    for _ in range(PER_TOKEN_MAX):
        uploads.begin(b"ada")
    with pytest.raises(Exception, match="at once"):
        uploads.begin(b"ada")
    for number in range(COUNT_MAX - PER_TOKEN_MAX):
        uploads.begin(b"%d" % number)
    with pytest.raises(Exception, match="as many uploads"):
        uploads.begin(b"bob")
    uploads.end(b"ada")
    uploads.begin(b"bob")
    assert uploads.count == COUNT_MAX


@pytest.mark.parametrize("visibility", ["private", "direct"])
def test_who_may_not_see_a_status_is_told_of_its_media_by_nothing(ada, bob, stranger, port, visibility):
    medium = upload(ada, description="between us")
    status = ada.post("/api/v1/statuses", status="shut", media_ids=[medium["id"]], visibility=visibility)
    shown = ada.post("/api/v1/statuses", status="open", media_ids=[upload(ada)["id"]])
    of_ada = f"/api/v1/accounts/{ada.id}/statuses"
    lists = [of_ada, "/api/v1/timelines/public", "/api/v1/timelines/home"]
    for path in lists[:2]:
        found = bob.http.get(path).text
        assert (shown["id"] in found, medium["id"] in found, status["id"] in found) == (True, False, False), path
    pages = [httpx.URL(status["url"]).path, f"/@{ada.username}", f"/api/oembed?url={status['url']}"]
    for path in (*lists, *pages, f"/api/v1/tweet/{status['id']}"):
        for who in (bob.http, stranger):
            assert medium["url"].rpartition("/")[2] not in who.get(path).text, path
    for path in ("", "/source", "/history", "/context", "/card"):
        assert bob.http.get(f"/api/v1/statuses/{status['id']}{path}").status_code in (404, 410), path
    assert medium["url"] in ada.http.get(of_ada).text


def test_where_there_are_no_media_nothing_is_taken_and_all_else_goes_on(ada, port):
    port.closed = True
    for method, path in (("POST", "/api/v1/media"), ("POST", "/api/v2/media"), ("PATCH", CREDENTIALS)):
        reply = ada.http.request(method, path, files={"avatar" if path == CREDENTIALS else "file": ("a", PICTURE)})
        assert (reply.status_code, "No file is taken here" in reply.text) == (422, True), (path, reply.text)
    assert ada.http.get("/api/v1/media/7").status_code == 404
    assert ada.http.get("/api/v2/instance").json()["configuration"]["media_attachments"]["supported_mime_types"] == []
    assert ada.post("/api/v1/statuses", status="words alone")["media_attachments"] == []


def test_a_preview_is_the_card_of_a_status_and_of_its_reblogs_until_an_edit_takes_the_link_off(ada, bob, server):
    status = ada.post("/api/v1/statuses", status="look https://example.com/a and https://example.org/")
    assert status["card"] is None
    tweet_id, url = int(status["id"]), "https://example.com/a"
    reblog = bob.post(f"/api/v1/statuses/{status['id']}/reblog")
    facts = ["<b>A title</b>", "About", "Site", "", 0, "", "", []]
    assert server.fake.answer(bucket_of_tweet(tweet_id), "preview", [tweet_id, url, 0, facts]) is True
    for shown in (bob.get(f"/api/v1/statuses/{tweet_id}"), bob.get(f"/api/v1/statuses/{reblog['id']}")["reblog"]):
        assert shown["card"] == {
            "url": url, "title": "<b>A title</b>", "description": "About", "type": "link", "author_name": "",
            "author_url": "", "authors": [], "provider_name": "Site", "provider_url": "", "html": "", "width": 0,
            "height": 0, "image": None, "embed_url": "", "blurhash": None, "published_at": None,
        }  # fmt: skip
        assert shown["edited_at"] is None
    assert bob.get("/api/v1/timelines/public")[0]["card"]["url"] == url
    kept = ada.http.put(f"/api/v1/statuses/{tweet_id}", json={"status": f"see {url}"}).json()
    assert kept["card"]["title"] == "<b>A title</b>"
    assert ada.http.put(f"/api/v1/statuses/{tweet_id}", json={"status": "no more"}).json()["card"] is None
