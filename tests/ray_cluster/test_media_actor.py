"""Media on a served cluster: an actor on each node, uploads that die at each step, a large one that takes no memory, a
video that a browser plays and seeks.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from actors.core.media_names import prefix_of
from persistence.objects import LocalStore, incoming_folder, object_folder
from tests.components import needs_ffmpeg
from tests.media.samples import ffmpeg, make_pictures
from tests.ray_cluster.chromium import Page, chromium, needs_chromium
from tests.serving import ServedCluster, wait_for

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("plain"),
]  # fmt: skip
LARGE_BYTES = 64 << 20
MEMORY_BYTES = 8 << 20  # that a worker may take for it


class Person:
    """An account, and what it does with files."""

    def __init__(self, cluster: ServedCluster, name: str) -> None:
        no_keeping = httpx.Limits(max_keepalive_connections=0)  # workers are ended meanwhile
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{cluster.port}", timeout=120, limits=no_keeping)
        made = self.http.post("/api/v1/users", json={"username": name, "password": "a long password"})
        assert made.status_code == 201, made.text
        self.user = {key: made.json()[key] for key in ("user_id", "auth_token")}
        self.http.headers["Authorization"] = f"Bearer {self.user['auth_token']}"

    def bring(self, path: Path, route: str = "/api/v2/media") -> httpx.Response:
        with path.open("rb") as file:
            return self.http.post(route, files={"file": file})

    def tweet(self, media_id: str) -> httpx.Response:
        return self.http.post("/api/v1/tweet", json={**self.user, "status": "look", "media_ids": [media_id]})


@pytest.fixture(scope="module")
def ada(plain: ServedCluster) -> Person:
    return Person(plain, "media_ada")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    make_pictures(folder, ["plain.jpg"])
    return folder / "plain.jpg"


ACTORS = {"api": "ray::ApiActor", "media": "ray::MediaActor"}


def pid_of(cluster: ServedCluster, role: str, other_than: int = 0) -> int:
    """Return the one process of a role, once there is one. `status` would take a process of its own each time."""
    assert cluster.process is not None
    served = psutil.Process(cluster.process.pid)

    def look() -> list[int]:
        return [each.pid for each in served.children(recursive=True) if _is_called(each, ACTORS[role], other_than)]

    (pid,) = wait_for(look)
    return pid


def _is_called(process: psutil.Process, name: str, other_than: int) -> bool:
    try:
        return process.pid != other_than and process.cmdline()[0].startswith(name)
    except (psutil.Error, IndexError):
        return False


def end_and_come_back(cluster: ServedCluster, role: str) -> None:
    """End the one process of a role at once; return when there is another one."""
    pid = pid_of(cluster, role)
    os.kill(pid, signal.SIGKILL)
    assert pid_of(cluster, role, other_than=pid)
    wait_for(lambda: is_ready(cluster))


def is_ready(cluster: ServedCluster) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{cluster.port}/readyz", timeout=60).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def standing_still(cluster: ServedCluster) -> Iterator[None]:
    """Have the media actor stand still while the block runs."""
    pid = pid_of(cluster, "media")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGCONT)


def test_a_nodes_media_actor_comes_back_when_it_was_killed(plain):
    end_and_come_back(plain, "media")


def test_a_worker_serves_what_lies_in_the_store(plain):
    name = f"{prefix_of(77)}0123456789abcdef-small.jpg"
    store = LocalStore(object_folder("", plain.data))
    asyncio.run(store.put_new(name, b"a picture", "image/jpeg"))
    answer = httpx.get(f"http://127.0.0.1:{plain.port}/media/{name}", timeout=60)
    assert (answer.status_code, answer.content) == (200, b"a picture")
    assert answer.headers["etag"] == '"0123456789abcdef"'
    asyncio.run(store.delete([name]))


def test_whoever_dies_in_an_upload_leaves_no_tweet_without_its_picture_and_no_file(plain, ada, picture):
    """The worker while the body comes; the media actor while it processes; the worker while the actor processes."""
    incoming = incoming_folder(plain.data)
    with socket.create_connection(("127.0.0.1", plain.port)) as half:
        half.sendall(_upload_that_goes_on(ada, picture.read_bytes()))
        (left,) = wait_for(lambda: [path for path in incoming.glob("*") if path.is_file() and path.stat().st_size])
        end_and_come_back(plain, "api")
        assert left.exists(), "nobody was there to remove it"
    with standing_still(plain):
        brought = ada.bring(picture)
        assert (brought.status_code, brought.json()["url"]) == (202, None)
        os.utime(left, (time.time() - 7_200, time.time() - 7_200))
        end_and_come_back(plain, "media")
    wait_for(lambda: not left.exists())  # the new one has looked
    first = brought.json()["id"]
    wait_for(lambda: ada.http.get(f"/api/v1/media/{first}").status_code == 422)
    with standing_still(plain):
        second = ada.bring(picture).json()["id"]
        end_and_come_back(plain, "api")
    for media_id in (first, second):
        refused = ada.tweet(media_id)  # the second one's actor may be ended, or not, before its worker was
        assert refused.status_code == 422, refused.text
        assert "could not be processed" in refused.text or "has not finished processing" in refused.text
    third = ada.bring(picture, "/api/v1/media").json()
    assert ada.tweet(third["id"]).status_code == 201
    assert ada.http.get(third["url"]).status_code == 200
    done = plain.tell("check", "--media")
    assert done[0] == 0, done


def _upload_that_goes_on(person: Person, body: bytes) -> bytes:
    """Return the beginning of a request whose file never ends."""
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n' + body + bytes(65_536)
    head = (
        f"POST /api/v2/media HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {person.http.headers['Authorization']}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {8 << 20}\r\n\r\n"
    )
    return head.encode() + part


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process has had since `forget_peak`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a video of 8 s, with a picture to decode from each second."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc=s=320x180:d=8:r=10", "-f", "lavfi", "-i", "sine=d=8", "-c:v", "libx264",
        "-preset", "ultrafast", "-g", "10", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest", str(path),
    )  # fmt: skip
    return path


@needs_ffmpeg
def test_an_upload_of_64_mib_takes_no_memory_of_the_worker(plain, ada, film, tmp_path):
    ada.bring(film, "/api/v1/media")  # what a first one has loaded
    large = tmp_path / "large.mp4"
    with large.open("wb") as file:
        file.write(film.read_bytes() + LARGE_BYTES.to_bytes(4, "big") + b"free")
        file.truncate(file.tell() + LARGE_BYTES - 8)
    pid = pid_of(plain, "api")
    forget_peak(pid)
    before = peak_bytes(pid)
    brought = ada.bring(large, "/api/v1/media")
    assert brought.status_code == 200, brought.text
    assert peak_bytes(pid) - before <= MEMORY_BYTES


PLAY = """
    window.film = document.createElement("video");
    film.muted = true; film.preload = "metadata"; film.crossOrigin = "anonymous";
    window.happened = [];
    for (const kind of ["loadedmetadata", "playing", "seeked", "ended", "error"])
        film.addEventListener(kind, () => happened.push(kind));
    document.body.append(film);
    film.src = %s;
    true
"""


@needs_ffmpeg
@needs_chromium
@pytest.mark.browser
def test_a_browser_plays_a_video_and_seeks_in_it(plain, ada, film, tmp_path):
    address = ada.bring(film, "/api/v1/media").json()["url"]
    part = httpx.get(address, headers={"Range": "bytes=100-199"}, timeout=60)
    assert (part.status_code, len(part.content)) == (206, 100)
    with chromium(tmp_path) as page:
        page.open(f"http://127.0.0.1:{plain.port}/api/v1/instance")
        page.run(PLAY % json.dumps(address))
        wait_for(lambda: "loadedmetadata" in said_by(page))
        assert (page.run("film.videoWidth"), round(page.run("film.duration"))) == (320, 8)
        page.run("film.play().then(() => true)")
        wait_for(lambda: page.run("film.currentTime") > 0 and "playing" in said_by(page))
        page.run("film.pause(); happened.length = 0; film.currentTime = 6.5; true")
        wait_for(lambda: "seeked" in said_by(page))
        assert page.run("film.currentTime") == 6.5
        assert page.run("film.readyState") >= 2, "there is a picture of that moment"
        assert "error" not in said_by(page)


def said_by(page: Page) -> list[Any]:
    found: list[Any] = json.loads(page.run("JSON.stringify(happened)"))
    return found
