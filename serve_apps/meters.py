"""What the gateway counts, in the text format of Prometheus."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Metered", "Meters"]

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Meters:
    """The figures of one copy of the gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = Counter("knowlip_requests", "Requests answered", labels, registry=self.registry)
        self.seconds = Histogram(
            "knowlip_request_seconds", "Seconds to an answer", labels[:2], buckets=_SECONDS, registry=self.registry
        )
        self.ongoing = Gauge("knowlip_requests_ongoing", "Requests being answered", registry=self.registry)

    def text(self) -> bytes:
        """Return all figures."""
        return generate_latest(self.registry)


class Metered:
    """ASGI middleware that counts requests by the route that answered them.

    Args:
        app: The application within.
        meters: Where they are counted.
    """

    def __init__(self, app: ASGIApp, *, meters: Meters) -> None:
        self.app, self.meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and count it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self.meters.ongoing.track_inprogress():
            try:
                await self.app(scope, receive, watched)
            finally:
                # A route's pattern, never the path itself: paths are as many as tiles.
                route = getattr(scope.get("route"), "path", "none")
                self.meters.requests.labels(scope["method"], route, str(status)).inc()
                self.meters.seconds.labels(scope["method"], route).observe(time.perf_counter() - started)
