"""For operators and their machines: alive, ready, figures. `probe_exchange.py` answers most before they come here."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from api.http.probes import FIGURES_PATH, HEALTH_PATH, HEALTHY, READINESS_PATH
from api.native.models import ErrorReply, Health, Readiness
from api.native.routes.answers import json_bytes
from api.services import Services

router = APIRouter(tags=["operation"])


@router.get(HEALTH_PATH, response_model=Health, summary="Alive?")
async def healthz(request: Request) -> Response:
    """This worker answers. It says nothing about the shards."""
    return json_bytes(HEALTHY)


@router.get(
    READINESS_PATH,
    response_model=Readiness,
    summary="Ready?",
    responses={503: {"model": Readiness, "description": "A bucket has no live primary, or search isn't there yet"}},
)
async def readyz(request: Request) -> Response:
    """200 once everything that is switched on is served, and as long as every bucket has a live primary; else 503.
    What has failed since, and can be done without, is told as degraded."""
    services: Services = request.app.state.services
    status, body = await services.probes.readiness.get()
    return json_bytes(body, status)


@router.get(
    FIGURES_PATH,
    response_class=Response,
    summary="Figures for Prometheus",
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        404: {"model": ErrorReply, "description": "They are served elsewhere, or nowhere: `metrics.http`"},
        429: {"model": ErrorReply, "description": "Too many requests; see Retry-After"},
    },
)
async def metrics(request: Request) -> Response:
    """What the processes of this node have counted: API workers, shard replicas, the router."""
    services: Services = request.app.state.services
    services.probes.check_figures(request.scope["server"])
    services.limiter.check_scrape(request.scope)
    return Response(await services.probes.figures.get(), media_type=CONTENT_TYPE_LATEST)
