"""The gateway: the HTTP face of an application, made of the routes for which it has deployments."""

from __future__ import annotations

from fastapi import FastAPI
from ray import serve

from knowlip import __version__
from serve_apps.problems import ProblemDocument, install_problems
from serve_apps.routes import ask_routes, search_routes, status_routes, tile_routes
from serve_apps.services import Services
from serve_apps.uploads import MAX_BYTES, BodyLimit

__all__ = ["Gateway", "build_gateway"]

_JSON_BYTES = 2**20
_FORM_BYTES = MAX_BYTES + 2**20


def build_gateway(services: Services) -> FastAPI:
    """Return the HTTP application over some deployments."""
    app = FastAPI(
        title="KnowLIP",
        version=__version__,
        summary="A SAR archive that answers: search by words, captions, questions.",
    )
    app.include_router(status_routes(services))
    if services.encoder is not None and services.index is not None:
        app.include_router(search_routes(services))
    if services.index is not None:
        app.include_router(tile_routes(services))
    if services.answerer is not None:
        app.include_router(ask_routes(services))
    install_problems(app)
    _describe_problems(app)
    app.add_middleware(BodyLimit, json_bytes=_JSON_BYTES, upload_bytes=_FORM_BYTES)
    return app


def _describe_problems(app: FastAPI) -> None:
    """Put the problem document's schema into the OpenAPI document, where the routes' responses refer to it."""
    document = app.openapi()
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schema = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas["ProblemDocument"] = schema


@serve.deployment
@serve.ingress()
class Gateway:
    """The ingress deployment; its routes are made where it runs, since they hold the handles.

    Args:
        services: The deployments it speaks for.
    """

    def __init__(self, services: Services) -> None:
        self.services = services

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Build the HTTP application; Ray Serve calls this once a replica."""
        return build_gateway(self.services)
