"""Previews of links against a real site: what a page says, what it can't do, one fetch a link, no picture too many."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from actors.core.errors import InvalidError, OverloadedError
from actors.core.outbound import SendVerdict
from actors.media.jobs import Bounds, Jobs
from actors.media_actor import Processing
from actors.outgoing import previews
from actors.outgoing.channel import OutgoingItem
from actors.outgoing.fetching import Fetching
from actors.outgoing.previews import Previews
from api.reach import Reach
from persistence.objects import LocalStore
from tests.media import samples
from tests.outgoing.pages import a_site

LOOPBACK = ("127.0.0.1/32",)
DONE, LATER, _, DROPPED = SendVerdict
ADA, TWEET = 42, 1_700_000_000_000 << 16


class OneTweet:
    """The shards of a tweet. calls: what they were asked to write; wants: whether the tweet takes a preview."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.wants, self.is_away, self.is_full = True, False, False

    async def ask_bucket(self, bucket: int, op: str, args: list[Any]) -> Any:
        if self.is_away:
            raise OverloadedError("away")
        if op == "media_begin" and self.is_full:
            raise InvalidError("100 uploads wait for a tweet already")
        self.calls.append((op, args))
        return 7_000 + len(self.calls) if op == "media_begin" else self.wants

    async def ask_account(self, account_id: int, op: str, *args: Any) -> Any:
        return await self.ask_bucket(0, op, [account_id, *args])

    def shown(self) -> Any:
        """Return the arguments of the last preview."""
        return [args for op, args in self.calls if op == "preview"][-1]


class Reading:
    """The node's media actor, without Ray."""

    def __init__(self, folder: Path) -> None:
        self.incoming = folder
        self._processing = Processing(
            Jobs(folder, Bounds(16 << 20, 99 << 20, 33_000_000, False)), LocalStore(folder / "unused"), 32
        )  # fmt: skip

    async def look(self, what: str, source: Path, charset: str) -> list[Any]:
        if what == "page":
            return list(await self._processing.page(source, charset))
        return await self._processing.picture(source)


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    samples.make_pictures(folder, ["plain.jpg"], (1600, 900))
    return samples.with_exif((folder / "plain.jpg").read_bytes(), 1)


@pytest.fixture
async def site(picture):
    async with a_site(picture) as made:
        yield made


@pytest.fixture
def tweet():
    return OneTweet()


@pytest.fixture
async def channel(tweet, tmp_path):
    fetching = Fetching(LOOPBACK, 8, 60.0, "https://rookery.example")  # patient: this process may stand still meanwhile
    made = Previews(tweet, fetching, Reading(tmp_path / "incoming"), LocalStore(tmp_path / "objects"))
    yield made
    await made.close()
    assert [path for path in (tmp_path / "incoming").glob("*") if path.name != "unused"] == []


def objects(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]


def item(url: str, tweet_id: int = TWEET) -> OutgoingItem:
    return OutgoingItem(ADA, tweet_id, 0, url)


async def outcome(channel: Previews, url: str) -> tuple[SendVerdict, str]:
    (found,) = await channel.send([item(url)])
    return found.verdict, found.reason


async def test_a_tweet_shows_what_the_page_says_with_its_picture_stripped_and_small(channel, site, tweet, tmp_path):
    assert await outcome(channel, site.url("/moved")) == (DONE, "shown")
    tweet_id, url, media_id, facts = tweet.shown()
    assert (tweet_id, url) == (TWEET, site.url("/moved"))
    *said, blurhash, name, sizes = facts
    assert said == ["A kite & a field", "Two lines", "The Site", "Ada", 1_700_000_000_000]
    (path,) = objects(tmp_path)
    assert str(path).endswith(name)
    assert (media_id, sizes[:2], len(blurhash)) == (7_001, [960, 540], 28)
    body = path.read_bytes()
    assert (sizes[2], body[:2]) == (len(body), b"\xff\xd8")
    assert b"Exif" not in body
    assert site.asked == ["/moved", "/page", "/kite.jpg"]
    assert "User-Agent: Rookery/" in site.headers
    assert "preview of a link; +https://rookery.example" in site.headers
    assert not {"Cookie:", "Referer:", "Authorization:"} & set(site.headers.split())


@pytest.mark.parametrize(
    ("path", "title", "description"),
    [
        ("/plain", "Only a title", "and a few words"), ("/latin", "Café", ""), ("/utf16", "Zwölf", ""),
        ("/broken", "Caf\ufffd \ufffd\ufffd", ""), ("/zlib", "packed", ""),
        ("/script", "<script>alert(1)</script>", ""),
        ("/nested", "Deep down", ""), ("/attributes", "Many", ""), ("/bomb", "Bomb", ""), ("/endless", "Endless", ""),
    ],
)  # fmt: skip
async def test_pages_of_all_sorts_say_what_they_are(channel, site, tweet, path, title, description):
    assert await outcome(channel, site.url(path)) == (DONE, "shown")
    _, _, media_id, facts = tweet.shown()
    assert (facts[0], facts[1], media_id) == (title, description, 0)
    assert facts[2] == "127.0.0.1"
    assert site.sent < 9 << 20, "no more than the beginning is read"


async def test_what_a_page_says_is_cut(channel, site, tweet):
    assert await outcome(channel, site.url("/long")) == (DONE, "shown")
    title, description, *_ = tweet.shown()[3]
    assert (len(title), title[-1], len(description)) == (200, "…", 400)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/untitled", "no page"), ("/pdf", "no page"), ("/nowhere", "no page"), ("/not-packed", "no page"),
        ("/odd", "no page"), ("/loop", "no page"), ("/three", "no page"), ("/file", "no page"), ("/mail", "no page"),
        ("/named", "no page"), ("/cloud", "no answer"), ("/mine", "no answer"),
    ],
)  # fmt: skip
async def test_what_is_no_page_and_what_leads_inside_gives_no_preview(channel, site, tweet, path, reason):
    assert await outcome(channel, site.url(path)) == (DROPPED, reason)
    assert tweet.calls == []
    assert all(asked in ("/loop", "/three", "/two", "/one", "/moved", path) for asked in site.asked)
    assert len(site.asked) <= 4


async def test_nothing_is_fetched_of_ourselves_unless_an_operator_says_so(site, tweet, tmp_path):
    fetching = Fetching((), 8, 60.0, "https://rookery.example")
    channel = Previews(tweet, fetching, Reading(tmp_path / "incoming"), LocalStore(tmp_path / "objects"))
    for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433"):
        assert await outcome(channel, f"http://{host}:{site.port}/page") == (DROPPED, "no answer"), host
    assert site.asked == []
    await channel.close()
    assert not Reach(()).may_reach("169.254.169.254")


@pytest.mark.parametrize("path", ["/inside", "/picture-missing", "/picture-html", "/picture-huge", "/script"])
async def test_a_picture_that_is_not_to_be_had_leaves_the_words(channel, site, tweet, tmp_path, path):
    assert await outcome(channel, site.url(path)) == (DONE, "shown")
    assert tweet.shown()[2] == 0
    assert [op for op, _ in tweet.calls] == ["preview"]
    assert objects(tmp_path) == []


async def test_a_site_that_drips_or_hangs_ends_in_time_and_holds_nobody_back(site, tweet, tmp_path):
    fetching = Fetching(LOOPBACK, 8, 0.3, "https://rookery.example")
    channel = Previews(tweet, fetching, Reading(tmp_path / "incoming"), LocalStore(tmp_path / "objects"))
    found = await channel.send([item(site.url("/drip")), item(site.url("/hang"), TWEET + 1)])
    assert {each.reason for each in found} == {"no answer"}
    await channel.close()


async def test_one_link_is_fetched_once_and_each_tweet_has_a_picture_of_its_own(channel, site, tweet, tmp_path):
    first = await channel.send([item(site.url("/page"), TWEET + n) for n in range(5)])
    second = await channel.send([item(site.url("/page"), TWEET + 9)])
    assert {each.verdict for each in first + second} == {DONE}
    assert site.asked == ["/page", "/kite.jpg"]
    media_ids = {args[2] for op, args in tweet.calls if op == "preview"}
    assert len(media_ids) == len(objects(tmp_path)) == 6
    assert (channel.fetched_count, channel.figures()["kept"]) == (1, 1)


async def test_a_tweet_that_wants_no_preview_any_more_has_its_picture_dropped(channel, site, tweet):
    tweet.wants = False
    assert await outcome(channel, site.url("/page")) == (DONE, "not wanted any more")
    assert [op for op, _ in tweet.calls] == ["media_begin", "preview", "media_drop"]
    assert tweet.calls[-1][1] == [ADA, 7_001]
    tweet.wants, tweet.is_full = True, True
    assert await outcome(channel, site.url("/page")) == (DONE, "shown")
    assert tweet.shown()[2] == 0, "who has as many uploads as he may has words alone"


async def test_what_is_away_is_asked_again_and_nothing_is_fetched_for_that(channel, site, tweet, monkeypatch):
    tweet.is_away = True
    assert (await outcome(channel, site.url("/page")))[0] == LATER
    tweet.is_away = False
    assert (await outcome(channel, site.url("/page")))[0] == DONE
    assert channel.fetched_count == 1

    async def nobody(*_: Any) -> Any:
        raise OverloadedError("the media actor is away")

    with monkeypatch.context() as patched:
        patched.setattr(channel._reading, "look", nobody)
        assert (await outcome(channel, site.url("/plain")))[0] == LATER
    assert (await outcome(channel, site.url("/plain")))[0] == DONE


async def test_what_is_kept_is_bounded_and_grows_old(channel, site, monkeypatch):
    now_s = 0.0
    monkeypatch.setattr(channel, "_clock", lambda: now_s)
    monkeypatch.setattr(previews, "KEPT_COUNT_MAX", 2)
    for path in ("/untitled", "/pdf", "/plain", "/nowhere"):
        await channel.send([item(site.url(path))])
    assert channel.figures()["kept"] == 2
    await channel.send([item(site.url("/nowhere"))])
    assert site.asked.count("/nowhere") == 1
    now_s = previews.FAILED_S
    await channel.send([item(site.url("/nowhere"))])
    assert site.asked.count("/nowhere") == 2
    monkeypatch.setattr(previews, "KEPT_BYTES_MAX", 10)
    await channel.send([item(site.url("/page"))])
    assert channel.figures()["kept"] == 0
    assert await asyncio.gather(channel.close()) == [None]
