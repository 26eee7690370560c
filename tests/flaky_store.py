"""A real S3 server, and before it a proxy that throttles, resets, cuts uploads short, goes away and lists late."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.'
    b"</Message></Error>"
)
Misdeed = Callable[["Request"], str | None]
"""Says of a request what is done to it (``throttle``, ``reset``, ``cut``, ``stale``), or nothing."""


def well_behaved(_: Request) -> None:
    """Do nothing to any request."""


class Request:
    """What a misdeed sees of a request: its method, its path with the query, and its number from 1."""

    def __init__(self, method: str, path: str, number: int) -> None:
        self.method, self.path, self.number = method, path, number


class FlakyStore:
    """The proxy.

    Args:
        host: Where the server listens.
        port: Its port.
    """

    def __init__(self, host: str, port: int) -> None:
        self.server = (host, port)
        self.misdeed: Misdeed = well_behaved
        self.away_until_s = 0.0
        self.done: Counter[str] = Counter()
        self.requests = 0
        self.lists: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {}
        self._lock = threading.Lock()

    def go_away(self, seconds: float) -> None:
        """Refuse every connection for a while."""
        self.away_until_s = time.monotonic() + seconds

    def decide(self, method: str, path: str) -> str | None:
        with self._lock:
            self.requests += 1
            away = time.monotonic() < self.away_until_s
            found = "away" if away else self.misdeed(Request(method, path, self.requests))
            if found:
                self.done[found] += 1
            return found

    @contextmanager
    def serving(self) -> Iterator[str]:
        handler = type("Handler", (_Handler,), {"store": self})
        proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_address[1]}"
        finally:
            proxy.shutdown()
            proxy.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: FlakyStore

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def handle_one_request(self) -> None:
        """Take what a client does to a connection that was cut as its end."""
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _pass_on(self) -> None:
        misdeed = self.store.decide(self.command, self.path)
        length = int(self.headers.get("Content-Length", 0))
        if misdeed in ("reset", "away"):
            self._reset()
            return
        if misdeed == "cut":
            self.rfile.read(length // 2)
            self._reset()
            return
        body = self._body(length)
        if misdeed == "throttle":
            self._answer(503, [("Content-Type", "application/xml")], SLOW_DOWN)
            return
        listing = self.command == "GET" and "list-type" in self.path
        if misdeed == "stale" and self.path in self.store.lists:
            self._answer(*self.store.lists[self.path])
            return
        answer = self._ask(body)
        if listing:
            self.store.lists.setdefault(self.path, answer)
        self._answer(*answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815

    def _body(self, length: int) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(length)
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self.store.server, timeout=60)
        headers = {
            name: value for name, value in self.headers.items() if name.lower() not in ("transfer-encoding", "expect")
        }
        headers["Content-Length"] = str(len(body))
        connection.request(self.command, self.path, body=body, headers=headers)
        reply = connection.getresponse()
        data = reply.read()
        connection.close()
        return reply.status, reply.getheaders(), data

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        head = self.command == "HEAD"
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection") and (head or name.lower() != "content-length"):
                self.send_header(name, value)
        if not head:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not head:
            self.wfile.write(body)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


@contextmanager
def flaky_bucket() -> Iterator[tuple[FlakyStore, str, dict[str, str]]]:
    """A bucket behind a proxy: the proxy, the bucket's root, and the environment that leads to it."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    store = FlakyStore(*server.get_host_and_port())
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    bucket = f"bucket-{uuid.uuid4().hex}"
    host, port = store.server
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=bucket)
    with store.serving() as address:
        yield store, f"s3://{bucket}/prefix", {**keys, "AWS_ENDPOINT_URL": address}
    server.stop()
