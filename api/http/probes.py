"""What `/healthz`, `/readyz` and `/metrics` answer, and what they may cost: they ask nobody who he is.

Rules of this file
- Readiness is found out at most once in `readiness_keep_s`, figures once in `figures_keep_s`; who asks meanwhile gets
  the same. To make figures takes milliseconds, so it is done in steps between which requests are answered.
- An address gets figures SCRAPES.per_s times a second: they have 100 KB. More are refused (429).
- Health checks are never refused for their number, or a stranger could have this worker taken for dead; but the
  connection of who asks more often than CHECKS.per_s pauses.
- Figures are for operators. They are served at the API's port (`metrics_shared`), at a port of their own, or nowhere
  (the setting `metrics.http`); and at their own port nothing else is served.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from actors.core.errors import NotFoundError, RookeryError
from actors.metrics.figure import Told
from actors.metrics.table import FIGURES
from actors.metrics.text import node_snapshot, text_steps
from api.http.readiness import degraded
from api.repeated import Repeated
from api.settings import Rate

if TYPE_CHECKING:
    from api.services import Services

HEALTH_PATH, READINESS_PATH, FIGURES_PATH = "/healthz", "/readyz", "/metrics"
PROBE_PATHS = frozenset((HEALTH_PATH, READINESS_PATH, FIGURES_PATH))
CHECKS = Rate(50, 200)  # of one address
SCRAPES = Rate(5, 20)  # of one address
SHARD_ANSWER_S = 2.0  # a probe's own deadline is rarely longer than a few seconds
HEALTHY = b'{"status":"ok"}'
_ELSEWHERE = "figures aren't served at this port; the operator's setting metrics.http says where they are"


class Probes:
    """See the head of the file."""

    def __init__(self, services: Services, clock: Callable[[], float]) -> None:
        self._services = services
        self.port_of_figures = 0  # if they have one of their own
        self.readiness: Repeated[tuple[int, bytes]] = Repeated(
            self._readiness, services.settings.readiness_keep_s, clock
        )
        self.figures: Repeated[bytes] = Repeated(self._figures, services.settings.figures_keep_s, clock)

    def is_at_figures(self, server: Any) -> bool:
        """Whether a connection has come to the figures' own port. server: the socket's address, as ASGI has it."""
        return bool(self.port_of_figures) and server is not None and server[1] == self.port_of_figures

    def check_figures(self, server: Any) -> None:
        """See that figures are served there. Raises NotFoundError."""
        if not (self._services.settings.metrics_shared or self.is_at_figures(server)):
            raise NotFoundError(_ELSEWHERE)

    async def _readiness(self) -> tuple[int, bytes]:
        """Return status and body of the answer about readiness."""
        services = self._services
        cluster = services.cluster
        try:
            said = await asyncio.wait_for(cluster.readiness(), SHARD_ANSWER_S)
        except (TimeoutError, RookeryError):  # not ready, then: that is what the answer says
            said = None
        if said is None:
            unserved = [shard for shard, status in (await self._shard_statuses()).items() if status is None]
            ready, troubles = False, []
        else:
            unserved, troubles = list(said["unserved_shards"]), degraded(said)
            ready = services.readiness.judge(said, services.clock())
        value = {"ready": ready, "shards": cluster.shard_count, "unserved_shards": unserved, "degraded": troubles}
        return 200 if ready else 503, orjson.dumps(value)

    async def _figures(self) -> bytes:
        """Return the text for Prometheus, of all that lives on this node."""
        services = self._services
        pieces = []
        led, hangs = await self._shard_statuses(), services.cluster.hangs()
        ups = {str(shard): int(status is not None) for shard, status in led.items()}
        told = [
            services.metrics.told(services.figures()), *await services.cluster.neighbours(led),
            Told("node", (), node_snapshot(shard_up=ups, process_hangs_total=hangs)),
        ]  # fmt: skip
        for piece in text_steps(FIGURES, told):
            pieces.append(piece)
            await asyncio.sleep(0)
        return "".join(pieces).encode()

    async def _shard_statuses(self) -> dict[int, Any]:
        """Return the `status` of each shard, None for one that doesn't answer in time."""
        cluster = self._services.cluster

        async def ask(shard: int) -> Any:
            try:
                return await asyncio.wait_for(cluster.call_shard(shard, "status", []), SHARD_ANSWER_S)
            except (TimeoutError, RookeryError):  # shown as "not up"
                return None

        shards = range(cluster.shard_count)
        return dict(zip(shards, await asyncio.gather(*(ask(shard) for shard in shards)), strict=True))
