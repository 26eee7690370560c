"""Search over an archive: ``serve run serve_apps.retrieval:app workspace=W``."""

from ray.serve import Application

from serve_apps.parts import gateway, searching
from serve_apps.settings import RetrievalSettings

__all__ = ["app"]


def app(args: RetrievalSettings) -> Application:
    """Return the application that finds tiles by words."""
    return gateway(args, searching(args))
