"""For operators and their machines: alive, ready, figures."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from actors.core.errors import RookeryError
from api.models import Health, Readiness
from api.readiness import degraded
from api.routes.answers import json_value
from api.services import Services

router = APIRouter(tags=["operation"])
_SHARD_ANSWER_S = 2.0  # a probe's own deadline is rarely longer than a few seconds


@router.get("/healthz", response_model=Health, summary="Alive?")
async def healthz(request: Request) -> Response:
    """This worker answers. It says nothing about the shards."""
    return json_value({"status": "ok"})


@router.get(
    "/readyz",
    response_model=Readiness,
    summary="Ready?",
    responses={503: {"model": Readiness, "description": "A bucket has no live primary, or search isn't there yet"}},
)
async def readyz(request: Request) -> Response:
    """200 once everything that is switched on is served, and as long as every bucket has a live primary; else 503.
    What has failed since, and can be done without, is told as degraded."""
    services: Services = request.app.state.services
    cluster = services.cluster
    try:
        said = await asyncio.wait_for(cluster.readiness(), _SHARD_ANSWER_S)
    except (TimeoutError, RookeryError):  # not ready, then: that is what the answer says
        said = None
    ready = said is not None and services.readiness.judge(said, services.clock())
    if said is None:
        statuses = await shard_statuses(services)
        unserved = [shard for shard, status in statuses.items() if status is None]
    else:
        unserved = list(said["unserved_shards"])
    troubles = [] if said is None else degraded(said)
    value = {"ready": ready, "shards": cluster.shard_count, "unserved_shards": unserved, "degraded": troubles}
    return json_value(value, 200 if ready else 503)


@router.get(
    "/metrics",
    response_class=Response,
    summary="Figures for Prometheus",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """This worker's requests, and the figures that each shard reports."""
    services: Services = request.app.state.services
    shards, hangs = await shard_statuses(services), services.cluster.hangs()
    text = services.metrics.render(services.figures(), shards, hangs)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


async def shard_statuses(services: Services) -> dict[int, Any]:
    """Return the `status` of each shard, None for one that doesn't answer in time."""

    async def ask(shard: int) -> Any:
        try:
            return await asyncio.wait_for(services.cluster.call_shard(shard, "status", []), _SHARD_ANSWER_S)
        except (TimeoutError, RookeryError):  # shown as "not up"
            return None

    shards = range(services.cluster.shard_count)
    return dict(zip(shards, await asyncio.gather(*(ask(shard) for shard in shards)), strict=True))
