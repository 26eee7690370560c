"""The gateway: the HTTP face of an application, made of the routes for which it has deployments."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from pydantic import BaseModel
from ray import serve
from ray.serve.context import _get_global_client

from knowlip import __version__
from serve_apps.guard import BodyLimit, Guard, check_address
from serve_apps.keys import Keys, Rate
from serve_apps.meters import Metered, Meters
from serve_apps.problems import ProblemDocument, install_problems
from serve_apps.routes import ask_routes, chat_routes, page_routes, search_routes, status_routes, tile_routes
from serve_apps.schemas import SearchRequest
from serve_apps.services import Services
from serve_apps.stac import MOUNTED_AT, stac_app

__all__ = ["Door", "Gateway", "build_gateway"]


@dataclass(frozen=True)
class Door:
    """Who is let in.

    Attributes:
        keys: The keys that open the service; with none, it is open to this machine.
        requests_per_minute: Calls that one key may make.
        cors_origins: Web origins whose pages may call.
        allow_public: Serve other machines without keys.
    """

    keys: Keys = field(default_factory=Keys)
    requests_per_minute: int = 600
    cors_origins: tuple[str, ...] = ()
    allow_public: bool = False


def build_gateway(services: Services, door: Door | None = None) -> FastAPI:
    """Return the HTTP application over some deployments."""
    door = door or Door()
    meters = Meters()
    app = FastAPI(
        title="KnowLIP",
        version=__version__,
        summary="A SAR archive that answers: search by words, captions, questions.",
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(page_routes())
    app.include_router(status_routes(services, meters))
    if services.encoder is not None and services.index is not None:
        app.include_router(search_routes(services))
        app.mount(MOUNTED_AT, stac_app(services))
    if services.index is not None:
        app.include_router(tile_routes(services))
    if services.answerer is not None:
        app.include_router(ask_routes(services))
    app.include_router(chat_routes(services))
    install_problems(app)
    _describe(app, ProblemDocument, *([SearchRequest] if services.encoder is not None else []))
    app.add_middleware(BodyLimit)
    app.add_middleware(Guard, keys=door.keys, rate=Rate(door.requests_per_minute))
    if door.cors_origins:
        headers = ["authorization", "content-type", "x-api-key"]
        app.add_middleware(
            CORSMiddleware, allow_origins=list(door.cors_origins), allow_methods=["GET", "POST"], allow_headers=headers
        )
    app.add_middleware(Metered, meters=meters)
    return app


def _describe(app: FastAPI, *models: type[BaseModel]) -> None:
    """Put the schemas to which responses and hand-read bodies refer into the OpenAPI document."""
    schemas = app.openapi().setdefault("components", {}).setdefault("schemas", {})
    for model in models:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema


@serve.deployment
@serve.ingress()
class Gateway:
    """The ingress deployment; its routes are made where it runs, since they hold the handles.

    Args:
        services: The deployments it speaks for.
        door: Who is let in.

    Raises:
        SettingsError: The cluster's HTTP port is open to other machines, and there are no keys.
    """

    def __init__(self, services: Services, door: Door) -> None:
        host = _get_global_client().http_config.host
        if host:
            check_address(host, door.keys, allow_public=door.allow_public)
        self.services, self.door = services, door

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Build the HTTP application; Ray Serve calls this once a replica."""
        return build_gateway(self.services, self.door)
