"""One API worker: a uvicorn server on the running event loop, on a port that it may share with others.

Rules of this file
- A plain class; the Ray shell is elsewhere. It opens its own listening socket with SO_REUSEPORT, so that the kernel
  spreads connections over the workers of a node.
- `auth_mode="open"` believes every client, so it listens on loopback only.
- Figures may have an address of their own. No other worker shares it: a scrape is to meet the one that it means.
- No signal handlers: whoever starts the worker stops it.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any

import uvicorn

from actors.metrics.figure import Told
from api.app import create_app
from api.http.protocol import BoundedHttpProtocol
from api.ports import Cluster
from api.services import Services
from api.settings import ApiSettings

_BACKLOG_COUNT = 2_048  # connections that the kernel holds while the worker is busy
# libuv takes one connection from a listening socket per turn of the loop. Under load a turn takes milliseconds, and a
# client that dialled then waited for seconds; so the loop is given the same socket several times.
_ACCEPTS_PER_TURN = 16
_START_POLL_S = 0.005
Connect = Callable[[Callable[[int, bytes | None], None]], Awaitable[Cluster]]


class ApiWorker:
    """Serves the API from `start` to `stop`."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        connect: Connect,
        host: str = "127.0.0.1",
        port: int = 8000,
        name: str = "api-0",
        figures_at: tuple[str, int] | None = None,
    ) -> None:
        """settings: what ApiSettings.from_mapping takes. connect: makes the cluster client; it is given the function to
        call with `(account_id, secret_hash or None)` for every `revoked` push. port: 0 takes a free one (see `port`).
        figures_at: address of their own at which figures are served; its port may be 0, too.

        Raises ValueError for an unknown setting, or for a host that isn't loopback with auth_mode "open".
        """
        self.settings = ApiSettings.from_mapping(settings)
        if self.settings.auth_mode == "open" and not is_loopback(host):
            raise ValueError(f'auth_mode "open" believes every client: listen on loopback, not on {host}')
        self.host, self.port, self.name, self.figures_at = host, port, name, figures_at
        self._connect = connect
        self._cluster: Cluster | None = None
        self._services: Services | None = None
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Connect to the cluster and serve; returns the port once connections are accepted.

        Raises OSError when the port is taken by a process that doesn't share it.
        """
        listener = open_listener(self.host, self.port)
        listeners = [listener, *(listener.dup() for _ in range(_ACCEPTS_PER_TURN - 1))]
        self.port = int(listener.getsockname()[1])
        try:
            if self.figures_at is not None:
                listeners.append(_open_figures(*self.figures_at))
                self.figures_at = self.figures_at[0], int(listeners[-1].getsockname()[1])
            self._cluster = await self._connect(self._drop_token)
            app = create_app(self._cluster, self.settings, worker=self.name)
            self._services = app.state.services
            places = self._services.streams.places
            places.count_max = self._services.connections.allow_files(places.count_max)
            self._services.probes.port_of_figures = self.figures_at[1] if self.figures_at else 0
            self._server = _QuietServer(self._server_config(app, self._services))
            self._serving = asyncio.create_task(self._server.serve(sockets=listeners))
            while not self._server.started:
                if self._serving.done():
                    self._serving.result()  # raises what went wrong
                    raise RuntimeError("the HTTP server ended while it started")
                await asyncio.sleep(_START_POLL_S)
        except BaseException:
            for each in listeners:
                each.close()
            raise
        return self.port

    async def stop(self) -> None:
        """Close all streams, accept no more, let running requests end (up to graceful_shutdown_s), and close."""
        if self._services is not None:
            self._services.streams.stop()
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving
        if self._services is not None:
            self._services.close()
        close = getattr(self._cluster, "close", None)
        if close is not None:
            closing = close()
            if inspect.isawaitable(closing):
                await closing

    async def stats(self) -> dict[str, Any]:
        """Return this worker's figures: name, port, request count and gauges."""
        if self._services is None:
            return {"name": self.name, "port": self.port, "requests": 0}
        figures = self._services.figures()
        return {
            "name": self.name,
            "port": self.port,
            "requests": self._services.metrics.request_count,
            **figures,
        }

    def holder(self) -> dict[str, Any]:
        """Return what holds this worker's figures; nothing before it serves."""
        return {} if self._services is None else self._services.metrics.holder(self._services.figures())

    def told(self) -> list[Told]:
        """Return what this worker has counted; nothing before it serves."""
        return [] if self._services is None else [self._services.metrics.told(self._services.figures())]

    def _drop_token(self, account_id: int, secret_hash: bytes | None) -> None:
        if self._services is not None:
            self._services.auth.drop_token(account_id, secret_hash)
            self._services.hub.revoked(account_id, secret_hash)

    def drop_tokens(self) -> None:
        """Look every token up again: a push may have been missed."""
        if self._services is not None:
            self._services.auth.drop_all()

    def take_push(self, topic: str, value: Any) -> None:
        """Take what shards push to those who listen, and news of lanes."""
        if self._services is not None:
            self._services.hub.take(topic, value)

    def drop_searches(self) -> None:
        """Forget the answers of searches: something in them may not be shown any more."""
        if self._services is not None:
            self._services.search.cache.clear()

    def _server_config(self, app: Any, services: Services) -> uvicorn.Config:
        return uvicorn.Config(
            app,
            http=partial(BoundedHttpProtocol, services=services),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            loop="none",  # the running one; the actor's is uvloop already
            backlog=_BACKLOG_COUNT,
            access_log=False,  # the edge logs, without query strings
            log_config=None,
            proxy_headers=False,  # rate_limits.py reads X-Forwarded-For, and only from trusted proxies
            server_header=False,
            timeout_keep_alive=self.settings.keep_alive_s,
            timeout_graceful_shutdown=self.settings.graceful_shutdown_s,
        )


class _QuietServer(uvicorn.Server):
    """A server that leaves the process's signal handlers alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def open_listener(host: str, port: int, shared: bool = True) -> socket.socket:
    """Return a bound socket; shared: other workers may share its port.

    It doesn't listen before the server serves: while this worker waits for the cluster, the kernel would give it its
    share of the connections.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        listener.bind((host, port))
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _open_figures(host: str, port: int) -> socket.socket:
    """Return a bound socket of this worker alone."""
    try:
        return open_listener(host, port, shared=False)
    except OSError as error:
        reason = f"figures can't be served at {host}:{port} ({error.strerror}); metrics.http says where they are to be"
        raise OSError(error.errno, reason) from error


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name that could resolve to anything
        return False
