"""Real redis-servers for tests: started, killed, started again on the same files; and a proxy that cuts connections."""

from __future__ import annotations

import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
import redis

from tests.components import REQUIRED

START_TIMEOUT_S = 20


def require_redis_server() -> None:
    """Skip the test, and say why, on a machine without redis-server; but never in CI."""
    if shutil.which("redis-server") is None:
        assert not REQUIRED, "redis-server is missing, and CI must not skip its tests"
        pytest.skip("needs redis-server")


class RedisProcess:
    """A redis-server on a Unix socket, in a folder of its own."""

    def __init__(self, *options: str) -> None:
        require_redis_server()
        self.folder = Path(tempfile.mkdtemp(prefix="rk-"))  # pytest's own paths are too long for a socket
        self.path = self.folder / "redis.sock"
        self.url = f"unix://{self.path}"
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(unix_socket_path=str(self.path), protocol=2)
        self.start()

    def start(self, wait: bool = True) -> None:
        """Start it on what it finds in its folder. wait: until it has loaded that."""
        command = ["redis-server", "--port", "0", "--unixsocket", str(self.path), "--dir", str(self.folder),
                   "--save", "", "--daemonize", "no", *self.options]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT_S
        while wait and not self._serves():
            assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-3000:]
            time.sleep(0.01)

    def _serves(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        """End it at once, as a power cut of the process would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        """Kill it and remove its folder."""
        self.kill()
        self.client.close()
        shutil.rmtree(self.folder, ignore_errors=True)


_shared: list[RedisProcess] = []


def shared_redis() -> RedisProcess:
    """Return the server that all contract tests share, each with a namespace of its own."""
    if not _shared:
        _shared.append(RedisProcess("--appendonly", "no"))
    return _shared[0]


def close_shared_redis() -> None:
    """End the shared server, if it was needed."""
    while _shared:
        _shared.pop().close()


class CuttingProxy:
    """Forwards TCP connections to a Unix socket. `cut_replies` requests that hold a word lose their reply."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.cut_replies = 0
        self.word = b""
        self.cut_count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """One request and its reply after the other; redis-py waits for replies before it sends more."""
        server = socket.socket(socket.AF_UNIX)
        with client, server:
            server.connect(str(self._path))
            client.setblocking(False)
            server.setblocking(False)
            while True:
                request = self._pump(client, server)
                if request is None:
                    return
                if self.cut_replies and self.word in request:
                    self.cut_replies -= 1
                    self.cut_count += 1
                    server.setblocking(True)
                    server.recv(1)  # it was carried out; nobody will hear of it
                    return

    def _pump(self, client: socket.socket, server: socket.socket) -> bytes | None:
        """Pass on what comes from either side; returns what the client sent, None when one has hung up."""
        ready, _, _ = select.select([client, server], [], [])
        for source, target in ((client, server), (server, client)):
            if source in ready:
                try:
                    data = source.recv(1 << 20)
                except BlockingIOError:
                    continue
                if not data:
                    return None
                target.setblocking(True)
                target.sendall(data)
                target.setblocking(False)
                if source is client:
                    return data
        return b""

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()
