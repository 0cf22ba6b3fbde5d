"""Files of media over HTTP: both ways to them, caching, ranges, and what is nobody's file."""

from __future__ import annotations

import hashlib
import os

import httpx
import pytest

from actors.core.media_names import prefix_of
from actors.node_media import NodeMedia
from api.media_files import range_of
from persistence.objects import CACHED_BYTES_MAX, LocalStore
from tests.api.conftest import ServerThread
from tests.api.fake_cluster import FakeCluster
from tests.api.test_home_exchange import LONG_WAY

MEDIA_ID = 1234567890123
SMALL, LARGE = b"\xff\xd8\xffsmall" * 500, os.urandom(CACHED_BYTES_MAX * 5)


def name_of(body: bytes, rendition: str, extension: str) -> str:
    return f"{prefix_of(MEDIA_ID)}{hashlib.blake2b(body, digest_size=8).hexdigest()}-{rendition}.{extension}"


PICTURE, VIDEO = name_of(SMALL, "small", "jpg"), name_of(LARGE, "original", "mp4")


class WithFiles(FakeCluster):
    """A cluster with a real store."""

    def __init__(self, folder) -> None:
        super().__init__()
        self.media = NodeMedia(LocalStore(folder), folder / "incoming", None, "", True)


@pytest.fixture(scope="module")
def http(tmp_path_factory):
    fake = WithFiles(tmp_path_factory.mktemp("store"))
    for name, body in ((PICTURE, SMALL), (VIDEO, LARGE)):
        fake.media.store._put(name, body)
    with ServerThread(fake=fake) as live, httpx.Client(base_url=live.base_url) as client:
        yield client


@pytest.mark.parametrize("headers", [{}, LONG_WAY], ids=["short way", "long way"])
def test_a_file_is_told_to_be_kept_for_ever_and_never_run(http, headers):
    answer = http.get(f"/media/{PICTURE}", headers=headers)
    assert answer.status_code == 200
    assert answer.content == SMALL
    told = answer.headers
    assert told["content-type"] == "image/jpeg"
    assert told["etag"] == f'"{hashlib.blake2b(SMALL, digest_size=8).hexdigest()}"'
    assert told["cache-control"] == "public, max-age=31536000, immutable"
    assert told["x-content-type-options"] == "nosniff"
    assert told["content-security-policy"] == "default-src 'none'; sandbox"
    assert told["access-control-allow-origin"] == "*"
    assert told["accept-ranges"] == "bytes"
    again = http.get(f"/media/{PICTURE}", headers={**headers, "if-none-match": f'"other", {told["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == told["etag"]


def test_both_ways_answer_alike(http):
    for headers in ({}, {"if-none-match": '"other"'}, {"if-none-match": "*"}):
        short, long = (http.get(f"/media/{PICTURE}", headers={**headers, **more}) for more in ({}, LONG_WAY))
        assert short.status_code == long.status_code
        ours = {"date", "x-request-id"}
        assert {k: v for k, v in short.headers.items() if k not in ours} == {
            k: v for k, v in long.headers.items() if k not in ours
        }


def test_a_large_file_comes_whole_or_in_the_part_that_is_asked_for(http):
    assert http.get(f"/media/{VIDEO}").content == LARGE
    size = len(LARGE)
    for asked, start, stop in (
        ("bytes=0-0", 0, 1), ("bytes=5-", 5, size), ("bytes=-7", size - 7, size), (f"bytes=9-{size * 2}", 9, size),
    ):  # fmt: skip
        part = http.get(f"/media/{VIDEO}", headers={"range": asked})
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert part.content == LARGE[start:stop]
    beyond = http.get(f"/media/{VIDEO}", headers={"range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    for several in ("bytes=0-1,5-6", "lines=1-2", "bytes=9-3"):
        assert http.get(f"/media/{VIDEO}", headers={"range": several}).status_code == 200
    stale = http.get(f"/media/{VIDEO}", headers={"range": "bytes=0-9", "if-range": '"0000000000000000"'})
    assert (stale.status_code, len(stale.content)) == (200, size)
    small = http.get(f"/media/{PICTURE}", headers={"range": "bytes=1-3"})
    assert (small.status_code, small.content) == (206, SMALL[1:4])


def test_head_tells_the_size_without_the_file(http):
    answer = http.head(f"/media/{VIDEO}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == len(LARGE)
    assert answer.headers["content-type"] == "video/mp4"


@pytest.mark.parametrize(
    "path",
    [
        PICTURE.replace("-small", "-original"), PICTURE[:-4] + ".html", "../secret",
        "..%2f..%2fetc/passwd", "ab/cd/1-0123456789abcdef-small.jpg", PICTURE + "/", "", PICTURE.upper(),
        "ab/cd/" + "9" * 40 + "-0123456789abcdef-small.jpg", "incoming/x",
    ],
)  # fmt: skip
def test_what_no_file_is_called_is_not_found(http, path):
    for more in ({}, LONG_WAY):
        assert http.get(f"/media/{path}", headers=more).status_code == 404


def test_other_methods_are_told_which_there_are(http):
    assert http.post(f"/media/{PICTURE}").status_code == 405
    answer = http.options(f"/media/{PICTURE}")
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


def test_ranges_are_read_as_the_standard_says():
    assert range_of(b"bytes=0-99", 10) == (0, 10)
    assert range_of(b"bytes=-0", 10) == (10, 10)
    assert range_of(b"bytes=-99", 10) == (0, 10)
    assert range_of(b"bytes=-", 10) is None
    assert range_of(b"bytes=" + b"9" * 40 + b"-", 10) is None
