"""What stands before every route: keys, rates, limits on bodies, and headers that keep browsers out of trouble."""

from __future__ import annotations

import asyncio
import ipaddress
import math
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from knowlip.errors import SettingsError
from serve_apps.keys import ENVIRONMENT, Keys, Rate
from serve_apps.problems import Problem, problem_response
from serve_apps.uploads import MAX_BYTES

__all__ = ["BodyLimit", "Guard", "check_address"]

_OPEN = ("/page/", "/healthz", "/readyz", "/docs", "/openapi.json")
"""Paths that need no key: they show nothing of the archive."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_JSON_BYTES = 2**20
_FORM_BYTES = MAX_BYTES + 2**20
_CHAT_BYTES = 2**20 + MAX_BYTES * 4 // 3
_CHAT = "/v1/chat/completions"


def check_address(host: str, keys: Keys, *, allow_public: bool = False) -> None:
    """Refuse an address that others reach, unless callers need a key.

    Raises:
        SettingsError: The address is not this machine's own, and there are no keys.
    """
    if keys or allow_public or _is_loopback(host):
        return
    raise SettingsError(
        f"listens on {host}, which other machines reach, without API keys",
        where="http_options.host",
        fix=f"set {ENVIRONMENT} or api_keys_file, or listen on 127.0.0.1",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """ASGI middleware that asks for a key, counts calls, and adds security headers.

    Args:
        app: The application within.
        keys: Who may call; with none, everyone may, and nothing is counted.
        rate: How often.
    """

    def __init__(self, app: ASGIApp, *, keys: Keys, rate: Rate) -> None:
        self.app, self.keys, self.rate = app, keys, rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on when its key opens the service."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self.app)(scope, receive, headed)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        path = _path(scope)
        if not self.keys or scope["method"] == "OPTIONS" or path == "/" or path.startswith(_OPEN):
            return None
        holder = self.keys.holder(_key(Headers(scope=scope)))
        if holder is None:
            how = "send a key: Authorization: Bearer KEY, or X-API-Key: KEY"
            return problem_response(401, how, headers={"WWW-Authenticate": "Bearer"})
        wait_s = self.rate.wait_s(holder)
        if wait_s:
            how = f"more than {self.rate.per_minute} requests a minute"
            return problem_response(429, how, headers={"Retry-After": str(math.ceil(wait_s))})
        return None


def _path(scope: MutableMapping[str, Any]) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) or "/"


def _key(headers: Headers) -> str | None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else headers.get("x-api-key")


class BodyLimit:
    """ASGI middleware that ends requests whose body is too large, or comes too slowly, before it is all read.

    Args:
        app: The application within.
        pause_s: How long a client may send nothing of a body that it announced, seconds.
    """

    def __init__(self, app: ASGIApp, *, pause_s: float = 10.0) -> None:
        self.app, self.pause_s = app, pause_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on while it stays within the limits."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = _limit(scope)
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdigit() or int(declared) > limit:
            await problem_response(413, f"the request's body is larger than {limit:,} bytes")(scope, receive, send)
            return
        taken, more = 0, True

        async def counted() -> Message:
            nonlocal taken, more
            try:
                # When the body is whole, what is waited for is the client's leaving.
                async with asyncio.timeout(self.pause_s if more else None):
                    message = await receive()
            except TimeoutError as error:
                raise Problem(408, f"nothing of the request's body came for {self.pause_s:g} s") from error
            taken += len(message.get("body", b""))
            more = bool(message.get("more_body", False))
            if taken > limit:
                raise Problem(413, f"the request's body is larger than {limit:,} bytes")
            return message

        await self.app(scope, counted, send)


def _limit(scope: Scope) -> int:
    if Headers(scope=scope).get("content-type", "").startswith("multipart/"):
        return _FORM_BYTES
    return _CHAT_BYTES if _path(scope) == _CHAT else _JSON_BYTES
