"""Debian's Chromium without a window, driven by its DevTools protocol: one page, scripts in it, its network on and off.

Rules of this file
- The browser has a profile of its own in a temporary folder and asks nobody on the internet for anything.
- It is ended by its own command, with all of its processes; whatever happens, the one that was started is ended here.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.components import needs
from tests.serving import wait_for

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = needs(PROGRAM, "Chromium")
ANSWER_TIMEOUT_S = 60.0
END_TIMEOUT_S = 20.0
OPTIONS = (
    "--headless=new", "--remote-debugging-port=0", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-breakpad", "--no-proxy-server",
)  # fmt: skip


class Page:
    """A page of the browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._numbers = socket, itertools.count(1)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the result of a command of the protocol. What happens meanwhile is of no interest here."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self._socket.recv(timeout=ANSWER_TIMEOUT_S))
            if said.get("id") == number:
                assert "error" not in said, f"{method}: {said['error']}"
                result: dict[str, Any] = said["result"]
                return result

    def open(self, url: str) -> None:
        """Go to an address, and wait until it is there."""
        gone = self.ask("Page.navigate", url=url)
        assert "errorText" not in gone, gone
        wait_for(lambda: self.run("document.readyState") == "complete" and self.run("location.href") == url)

    def run(self, script: str) -> Any:
        """Return the value of an expression, as JSON has it."""
        done = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def set_network(self, is_on: bool) -> None:
        """Switch the network on or off, as in the browser's own tools: what is under way fails."""
        self.ask("Network.enable")
        self.ask(
            "Network.emulateNetworkConditions", offline=not is_on, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """Run a browser while the block runs. folder: for its profile."""
    assert PROGRAM is not None
    place = folder / "DevToolsActivePort"
    command = [PROGRAM, *OPTIONS, f"--user-data-dir={folder}", "about:blank"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(lambda: process.poll() is not None or (place.exists() and len(place.read_text().splitlines()) == 2))
        assert process.poll() is None, (folder / "log").read_text()[-3000:]
        port = int(place.read_text().split()[0])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=ANSWER_TIMEOUT_S) as answer:
            pages = [each for each in json.load(answer) if each["type"] == "page"]
        with connect(pages[0]["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
            page = Page(socket)
            yield page
            with suppress(Exception):  # it may hang up before it answers
                page.ask("Browser.close")
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the browser and what it has started: they are a group of their own."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_TIMEOUT_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
