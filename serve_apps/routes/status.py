"""The routes that say what is served, whether it works, and how much it does."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from knowlip import __version__
from serve_apps.meters import Meters
from serve_apps.problems import PROBLEMS
from serve_apps.schemas import Info, Status
from serve_apps.services import Services

__all__ = ["status_routes"]


def status_routes(services: Services, meters: Meters) -> APIRouter:
    """Return the routes that say how the service is."""
    routes = APIRouter(tags=["status"])

    @routes.get("/v1/info", responses=PROBLEMS)
    async def info() -> Info:
        """Say what is served."""
        holdings = await services.ask(services.index.holdings) if services.index is not None else None
        checkpoints = dict(services.checkpoints)
        if services.encoder is not None:
            checkpoints["search"] = (await services.ask(services.encoder.version)).digest
        return Info(
            name="KnowLIP",
            version=__version__,
            verbs=sorted(checkpoints),
            checkpoints=checkpoints,
            tiles=holdings.tiles if holdings else None,
            holdings=holdings,
        )

    @routes.get("/healthz")
    async def health() -> Status:
        """Say that the gateway runs."""
        return Status()

    @routes.get("/readyz", responses={503: PROBLEMS[503], 504: PROBLEMS[504]})
    async def ready() -> Status:
        """Say that every part behind the gateway answers."""
        await services.ready()
        return Status()

    @routes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Return this gateway's figures in the text format of Prometheus."""
        return Response(meters.text(), media_type=CONTENT_TYPE_LATEST)

    return routes
