"""A vision-language model's endpoint for tests: real HTTP on loopback, and as ill-behaved as it is told.

It speaks chat completions with images, response formats, usage and rate-limit headers, files and batches. It counts
what it is asked. ``python -m tests.llm_server`` runs it as a process of its own, which outlives whoever asks.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from knowlip.records import LAYERS, SUBTEXTS

PROMPT_TOKENS, COMPLETION_TOKENS = 900, 300


@dataclass
class LlmServer:
    """The endpoint's state.

    Attributes:
        latency_s: Time that a reply takes.
        key: The one key it takes; none for any.
        formats: Response formats it knows.
        refuses: Parameters it turns down, by name.
        per_minute: Requests it allows in a sliding minute (or ``window_s``).
        misdeeds: What the next requests meet, in order.
        always: What every request meets.
        marked: Misdeeds by the digest of the image that is asked about.
        answers: What it says where a message holds a text, instead of a caption.
        light: Do not look at what is sent (for measurements of the client).
    """

    latency_s: float = 0.0
    key: str = ""
    formats: tuple[str, ...] = ("json_schema", "json_object", "text")
    refuses: tuple[str, ...] = ()
    per_minute: int = 0
    window_s: float = 60.0
    misdeeds: deque[str] = field(default_factory=deque)
    always: str = ""
    marked: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    light: bool = False
    batch_polls: int = 2
    batch_problem: str = ""
    expires: int = 0
    fetch_fails: bool = False
    asked: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    prompts: list[dict[str, Any]] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    accepted: deque[float] = field(default_factory=deque)
    in_flight: int = 0
    most_in_flight: int = 0
    refused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def application(self) -> web.Application:
        app = web.Application(client_max_size=300_000_000)
        app.router.add_post("/v1/chat/completions", self.complete)
        app.router.add_post("/v1/files", self.upload)
        app.router.add_get("/v1/files/{file}/content", self.download)
        app.router.add_post("/v1/batches", self.create_batch)
        app.router.add_get("/v1/batches", self.list_batches)
        app.router.add_get("/v1/batches/{batch}", self.poll_batch)
        app.router.add_get("/state", self.state)
        app.router.add_post("/set", self.set)
        return app

    async def state(self, _: web.Request) -> web.Response:
        names = ("asked", "sent", "arrivals", "in_flight", "most_in_flight", "refused")
        return web.json_response({name: getattr(self, name) for name in names})

    async def set(self, request: web.Request) -> web.Response:
        for name, value in (await request.json()).items():
            setattr(self, name, deque(value) if name == "misdeeds" else value)
        return web.json_response({})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        self.arrivals.append(time.monotonic())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._complete(request)
        finally:
            self.in_flight -= 1

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        if self.light:
            await request.read()
            await asyncio.sleep(self.latency_s)
            # A child must not say what its parent said, or it passes for an echo of its prompt.
            body = LIGHT_REPLY.replace(b"NUMBER", str(len(self.arrivals)).encode())
            return web.Response(body=body, content_type="application/json")
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            given = request.headers.get("Authorization", "")
            return error(401, f"Incorrect API key provided: {given}", code="invalid_api_key")
        limited = self._limited()
        if limited is not None:
            return limited
        body = await request.json()
        image = image_digest(body)
        turned_down = self._turned_down(body)
        if turned_down is not None:
            return turned_down
        self.asked[image] += 1
        self.prompts.append(body)
        misdeed = self.always or self.marked.get(image, "") or (self.misdeeds.popleft() if self.misdeeds else "")
        await asyncio.sleep(self.latency_s)
        answer = await self._misbehave(misdeed, body, request)
        if answer is not None:
            return answer
        reply = self.reply(body, misdeed)
        response = web.json_response(reply, headers=self._headers())
        self.sent[image] += 1
        return response

    def _limited(self) -> web.Response | None:
        now = time.monotonic()
        while self.accepted and self.accepted[0] <= now - self.window_s:
            self.accepted.popleft()
        if self.per_minute and len(self.accepted) >= self.per_minute:
            self.refused += 1
            wait_s = self.accepted[0] + self.window_s - now
            headers = {"retry-after": f"{wait_s:.3f}", "x-ratelimit-remaining-requests": "0"}
            return error(429, "Rate limit reached", code="rate_limit_exceeded", headers=headers)
        self.accepted.append(now)
        return None

    def _headers(self) -> dict[str, str]:
        if not self.per_minute:
            return {}
        left = self.per_minute - len(self.accepted)
        return {
            "x-ratelimit-limit-requests": str(self.per_minute),
            "x-ratelimit-remaining-requests": str(max(left, 1)),
            "x-ratelimit-reset-requests": "1s",
        }

    def _turned_down(self, body: dict[str, Any]) -> web.Response | None:
        wanted = (body.get("response_format") or {"type": "text"})["type"]
        if wanted not in self.formats:
            return error(400, "response_format is not supported", param="response_format")
        for name in self.refuses:
            if name in body:
                return error(400, f"Unsupported parameter: {name}", param=name, code="unsupported_parameter")
        return None

    async def _misbehave(self, misdeed: str, body: dict[str, Any], request: web.Request) -> web.StreamResponse | None:
        if misdeed.isdigit():
            headers = {"retry-after": "0.2"} if misdeed == "429" else {}
            return error(int(misdeed), f"status {misdeed}", headers=headers)
        if misdeed == "quota":
            return error(429, "You exceeded your current quota", code="insufficient_quota")
        if misdeed == "reset":
            request.transport.abort()
            return web.Response()
        if misdeed == "slow":
            await asyncio.sleep(30)
        if misdeed == "half":
            data = json.dumps(self.reply(body, "")).encode()
            response = web.StreamResponse(
                headers={"Content-Type": "application/json", "Content-Length": str(len(data))}
            )
            await response.prepare(request)
            await response.write(data[: len(data) // 2])
            request.transport.close()
            return response
        if misdeed == "html":
            return web.Response(text="<html>Bad gateway</html>", content_type="text/html")
        if misdeed == "invalid_json":
            return web.Response(text='{"choices": [', content_type="application/json")
        return None

    def reply(self, body: dict[str, Any], misdeed: str) -> dict[str, Any]:
        """A chat completion."""
        self.prompt_tokens += PROMPT_TOKENS
        self.completion_tokens += COMPLETION_TOKENS
        content, finish, refusal = spoken(body, misdeed)
        told = json.dumps(body["messages"]) if self.answers and not misdeed else ""
        content = next((answer for text, answer in self.answers.items() if text in told), content)
        message = {"role": "assistant", "content": content, "refusal": refusal}
        usage: Any = {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": COMPLETION_TOKENS,
            "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
        }
        if misdeed == "wrong_usage":
            usage = {"prompt_tokens": -5, "completion_tokens": 10**12, "total_tokens": 0}
        if misdeed == "no_usage":
            usage = None
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body.get("model", "stub"),
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": usage,
        }

    def _denied(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization", "")
        if self.key and given != f"Bearer {self.key}":
            return error(401, f"Incorrect API key provided: {given}", code="invalid_api_key")
        return None

    async def upload(self, request: web.Request) -> web.Response:
        if denied := self._denied(request):
            return denied
        form = await request.post()
        name = f"file-{uuid.uuid4().hex[:8]}"
        self.files[name] = form["file"].file.read()
        return web.json_response(file_object(name, len(self.files[name])))

    async def download(self, request: web.Request) -> web.Response:
        if self.fetch_fails:
            return error(400, "the file cannot be fetched")
        return web.Response(body=self.files[request.match_info["file"]])

    async def create_batch(self, request: web.Request) -> web.Response:
        body = await request.json()
        name = f"batch_{uuid.uuid4().hex[:8]}"
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "endpoint": body["endpoint"],
            "input_file_id": body["input_file_id"],
            "completion_window": body["completion_window"],
            "status": "in_progress",
            "created_at": int(time.time()),
            "metadata": body.get("metadata"),
            "polls": 0,
        }
        return web.json_response(self.batches[name])

    async def list_batches(self, _: web.Request) -> web.Response:
        found = list(self.batches.values())
        return web.json_response({"object": "list", "data": found, "has_more": False})

    async def poll_batch(self, request: web.Request) -> web.Response:
        if request.match_info["batch"] not in self.batches:
            return error(404, "no such batch")
        batch = self.batches[request.match_info["batch"]]
        batch["polls"] += 1
        if batch["status"] == "in_progress" and batch["polls"] >= self.batch_polls:
            self._work_off(batch)
        return web.json_response(batch)

    def _work_off(self, batch: dict[str, Any]) -> None:
        """Answer a batch; ``expires`` of its requests come to nothing, and ``batch_problem`` turns it down whole."""
        if self.batch_problem:
            problem = {"code": self.batch_problem, "message": "no", "line": None, "param": None}
            batch |= {"status": "failed", "errors": {"object": "list", "data": [problem]}}
            self.batch_problem = ""
            return
        replies, errors = [], []
        for line in self.files[batch["input_file_id"]].splitlines():
            asked = json.loads(line)
            image = image_digest(asked["body"])
            if self.expires:
                self.expires -= 1
                expired = {"code": "batch_expired", "message": "too late"}
                errors.append({"id": "x", "custom_id": asked["custom_id"], "response": None, "error": expired})
                continue
            self.asked[image] += 1
            self.prompts.append(asked["body"])
            turned_down = self._turned_down(asked["body"])
            if turned_down is not None:
                told = {"status_code": 400, "request_id": "r", "body": json.loads(turned_down.body)}
                errors.append({"id": "x", "custom_id": asked["custom_id"], "response": told, "error": None})
                continue
            misdeed = self.marked.get(image, "") or (self.misdeeds.popleft() if self.misdeeds else "")
            row = {"id": uuid.uuid4().hex, "custom_id": asked["custom_id"], "error": None}
            if misdeed.isdigit():
                body = {"error": {"message": "no", "code": None, "param": None, "type": "x"}}
                errors.append(row | {"response": {"status_code": int(misdeed), "request_id": "r", "body": body}})
            else:
                body = self.reply(asked["body"], misdeed)
                replies.append(row | {"response": {"status_code": 200, "request_id": "r", "body": body}})
                self.sent[image] += 1
        batch["status"] = "completed"
        for field_name, rows in (("output_file_id", replies), ("error_file_id", errors)):
            batch["completed_at"] = int(time.time()) + 1
            if rows:
                name = f"file-{uuid.uuid4().hex[:8]}"
                self.files[name] = "\n".join(json.dumps(row) for row in rows).encode()
                batch[field_name] = name

    @contextmanager
    def serving(self) -> Iterator[LlmServer]:
        """Serve from a thread of this process."""
        loop, ready = asyncio.new_event_loop(), threading.Event()

        async def start() -> web.AppRunner:
            runner = web.AppRunner(self.application(), access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
            await site.start()
            self.port = site._server.sockets[0].getsockname()[1]
            return runner

        def work() -> None:
            asyncio.set_event_loop(loop)
            self._runner = loop.run_until_complete(start())
            ready.set()
            loop.run_forever()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        if not ready.wait(10):
            raise TimeoutError("the server did not start")
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._runner.shutdown(), loop).result(5)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(5)


def spoken(body: dict[str, Any], misdeed: str) -> tuple[str | None, str, str | None]:
    """Content, finish reason and refusal of a reply."""
    content = json.dumps(texts(body))
    if misdeed == "truncated":
        return content[:200], "length", None
    if misdeed == "filtered":
        return "", "content_filter", None
    if misdeed == "refusal_field":
        return None, "stop", "I can't help with that."
    if misdeed == "echo":
        prompt = body["messages"][1]["content"][0]["text"]
        lines = [line for line in prompt.splitlines() if len(line) > 40]
        content = json.dumps({name: lines[place] for place, name in enumerate(SUBTEXTS)})
    other = {
        "refusal": "I'm sorry, but I can't help with that.",
        "empty": "  ",
        "prose": "What a lovely picture of a radar!",
        "wrong_schema": json.dumps(texts(body) | {SUBTEXTS[3]: 7}),
        "lie": json.dumps(texts(body) | {"target_quantity": "Sixty vessels were counted."}),
        "lines": "\n".join(f"{name}: {text}" for name, text in texts(body).items() if name in SUBTEXTS),
    }
    return other.get(misdeed, content), "stop", None


def texts(body: dict[str, Any]) -> dict[str, Any]:
    """Eight sub-texts that name the image they are about, and whether the parent's text was given."""
    about = image_digest(body)
    prompt = body["messages"][1]["content"][0]["text"]
    below = "within a larger one" if "surrounds this one" in prompt else "of its own"
    written = {name: f"The {name.replace('_', ' ')} of image {about}, {below}, is plain to see." for name in SUBTEXTS}
    return {"reasoning": {layer: f"Because of {layer}." for layer in LAYERS}, **written}


def image_digest(body: dict[str, Any]) -> str:
    """Digest of the PNG that is asked about."""
    url = body["messages"][1]["content"][1]["image_url"]["url"]
    return digest_of(base64.b64decode(url.partition(",")[2]))


def digest_of(png: bytes) -> str:
    return hashlib.sha256(png).hexdigest()[:12]


def error(status: int, message: str, *, code: str = "", param: str = "", headers: Any = None) -> web.Response:
    body = {"error": {"message": message, "type": "error", "code": code or None, "param": param or None}}
    return web.json_response(body, status=status, headers=headers)


def file_object(name: str, size: int) -> dict[str, Any]:
    return {
        "id": name,
        "object": "file",
        "bytes": size,
        "created_at": int(time.time()),
        "filename": "requests.jsonl",
        "purpose": "batch",
        "status": "processed",
    }


def _light_reply() -> bytes:
    content = json.dumps({name: f"The {name} is plain to see on image NUMBER." for name in SUBTEXTS})
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": COMPLETION_TOKENS, "total_tokens": 1200}
    reply = {"id": "x", "object": "chat.completion", "created": 0, "model": "stub", "choices": [choice], "usage": usage}
    return json.dumps(reply).encode()


LIGHT_REPLY = _light_reply()


def main() -> None:
    """Serve until killed; the first line printed is the port."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency-s", type=float, default=0.0)
    parser.add_argument("--light", action="store_true")
    options = parser.parse_args()
    server = LlmServer(latency_s=options.latency_s, light=options.light)
    with server.serving():
        print(server.port, flush=True)  # noqa: T201 (who starts it reads it)
        threading.Event().wait()


if __name__ == "__main__":
    main()
