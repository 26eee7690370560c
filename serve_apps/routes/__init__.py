"""The HTTP routes, by what they need: an archive to search, tiles to show, a model to ask."""

from serve_apps.routes.ask import ask_routes
from serve_apps.routes.chat import chat_routes
from serve_apps.routes.page import page_routes
from serve_apps.routes.search import search_routes
from serve_apps.routes.status import status_routes
from serve_apps.routes.tiles import tile_routes

__all__ = ["ask_routes", "chat_routes", "page_routes", "search_routes", "status_routes", "tile_routes"]
