"""What `serve` waits for before it says that it serves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from bench.processes import free_port
from commands import serving
from commands.serving import wait_until_ready


class Worker:
    """An API worker that isn't ready for some questions."""

    def __init__(self, refusals: int) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200 if len(asked) > refusals else 503)
                self.end_headers()
                self.wfile.write(b'{"ready": false}')

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "READY_POLL_S", 0.01)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # is for others


@pytest.fixture
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    made = Worker(request.param)
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.parametrize("worker", [0, 3], indirect=True)
def test_it_waits_until_the_api_says_that_it_is_ready(worker: Worker) -> None:
    assert wait_until_ready(worker.url, 30.0) == ""
    assert set(worker.asked) == {"/readyz"}
    assert len(worker.asked) in (1, 4)


@pytest.mark.parametrize("worker", [1_000_000], indirect=True)
def test_it_waits_no_longer_than_it_is_told_and_says_what_is_missing(worker: Worker) -> None:
    assert wait_until_ready(worker.url, 0.05) == '{"ready": false}'


def test_nobody_who_answers_is_no_reason_to_end() -> None:
    assert "refused" in wait_until_ready(f"http://127.0.0.1:{free_port()}", 0.05)
