"""Questions and captions: ``serve run serve_apps.vqa:app workspace=W``."""

from ray.serve import Application

from serve_apps.parts import answering, gateway
from serve_apps.settings import VqaSettings

__all__ = ["app"]


def app(args: VqaSettings) -> Application:
    """Return the application that answers questions about images, and describes them."""
    return gateway(args, answering(args))
