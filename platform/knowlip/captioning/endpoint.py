"""A vision-language model behind an OpenAI-compatible address: one call, with all that can go wrong on the way.

The client is `openai`'s against any base URL (OpenAI, vLLM, Ollama, a Ray Serve LLM). What an endpoint can do is found
out by the first call: structured outputs, else JSON mode, else plain text that is read by regular expressions.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import openai
from pydantic import Field, field_validator

from knowlip.captioning.budget import Hold
from knowlip.captioning.dialect import Dialect
from knowlip.captioning.faults import Fault, back_off_s, classify, exhausted_for_s
from knowlip.captioning.gate import Gate, Stopped
from knowlip.captioning.prices import Price, find_price
from knowlip.captioning.secret import Key
from knowlip.settings import Section

__all__ = ["CallFailed", "Endpoint", "EndpointSettings", "Reply", "estimated_tokens", "read_completion"]

OPENAI = "https://api.openai.com/v1"

CHARACTERS_A_TOKEN = 3.2
"""English under common tokenizers has 4; prompts full of numbers have fewer."""

_THROTTLED_TRIES = 5
"""Refusals of rate are forgiven so many times as often as other faults: the limiter waits between them."""

_GLANCE_S = 0.5


class EndpointSettings(Section):
    """The model that writes, where it is, and how it is asked."""

    base_url: str = OPENAI
    """Any OpenAI-compatible address, such as http://127.0.0.1:8000/v1 of vLLM."""

    model: str = "gpt-4.1-mini"
    """The model's name at the endpoint."""

    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; the key itself is never a setting."""

    temperature: float = Field(default=0.2, ge=0.0, le=2.0)
    """Randomness of the text."""

    seed: int | None = 0
    """Seed of the sampling, for endpoints that take one."""

    max_tokens: int = Field(default=1600, ge=64)
    """Most tokens a reply may have; a longer one is cut, and set aside."""

    output: Literal["auto", "json_schema", "json_object", "text"] = "auto"
    """How the eight texts are asked for; `auto` finds out what the endpoint can do."""

    image_px: int = Field(default=1024, ge=32)
    """Most pixels a side of the image that is sent."""

    image_kb: int = Field(default=4000, ge=4)
    """Most kilobytes of the image that is sent."""

    timeout_s: float = Field(default=120.0, gt=0.0)
    """Seconds to wait for a reply."""

    tries: int = Field(default=6, ge=1)
    """Tries a call; refusals of rate count less."""

    back_off_s: float = Field(default=0.5, gt=0.0)
    """First wait before another try; it doubles each time."""

    requests_per_minute: float | None = Field(default=None, gt=0.0)
    """Limit over the whole cluster; without it, only the server's answers slow the job down."""

    tokens_per_minute: float | None = Field(default=None, gt=0.0)
    """Limit over the whole cluster."""

    in_flight: int = Field(default=64, ge=1)
    """Calls at a time over the whole cluster."""

    actors: int = Field(default=2, ge=1)
    """Processes that call."""

    price: tuple[float, float] | None = None
    """US dollars a million tokens read and written; goes before every table."""

    prices: str = ""
    """YAML file of `model: [read, written]`, US dollars a million tokens; goes before the built-in table."""

    @field_validator("base_url")
    @classmethod
    def _without_credentials(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("give an http:// or https:// address")
        if parts.username or parts.password or parts.query:
            raise ValueError("leave user, password and query out: the key comes from the environment")
        return url.rstrip("/")

    @field_validator("price")
    @classmethod
    def _not_below_zero(cls, price: tuple[float, float] | None) -> tuple[float, float] | None:
        if price and not all(0 <= one < math.inf for one in price):
            raise ValueError("give two prices from 0")
        return price

    def priced(self) -> Price | None:
        """Return the price of the model's tokens: as it is given here, else by the tables; none when nobody knows it.

        Raises:
            SettingsError: The file of prices cannot be read.
        """
        return Price(*self.price, "--endpoint.price") if self.price else find_price(self.model, self.prices)

    @property
    def hosted(self) -> bool:
        """Whether the address is OpenAI's own, which takes no call without a key."""
        return self.base_url == OPENAI

    def sampling(self) -> dict[str, Any]:
        """Return what shapes a reply besides the prompt and the model: part of a caption's key."""
        return self.model_dump(include={"temperature", "seed", "max_tokens", "image_px", "image_kb"})


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        text: The message.
        finish_reason: Why it ended; ``refusal`` when the model declined in the field that says so.
        prompt_tokens: Tokens read.
        completion_tokens: Tokens written.
        latency_s: Seconds from the call to the answer, without waiting for the turn.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    latency_s: float = 0.0


class CallFailed(Exception):  # noqa: N818
    """A call failed for good.

    Args:
        fault: What it met last.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


def estimated_tokens(text: str, image_px: tuple[int, int] | None = None) -> int:
    """Estimate the tokens of a prompt: of its letters, and of an image (width, height) by the usual 28 px patches."""
    patches = (image_px[0] / 28.0) * (image_px[1] / 28.0) if image_px else 0.0
    return round(len(text) / CHARACTERS_A_TOKEN + patches) + 1


@dataclass
class Endpoint:
    """Calls a model.

    Args:
        settings: Where and how.
        key: The key.
        gate: Rate, budget and standing.
        price: Price of its tokens; none when unknown.
        seed: Seed of the jitter between tries.
    """

    settings: EndpointSettings
    key: Key
    gate: Gate
    price: Price | None = None
    seed: int = 0
    _client: openai.AsyncOpenAI = field(init=False, repr=False)
    _rng: random.Random = field(init=False, repr=False)
    dialect: Dialect = field(init=False, repr=False)
    _known: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _first: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    _read_more: float = 1.0

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self.dialect = Dialect(self.settings)
        # aiohttp under the client costs a quarter less CPU a call than its own transport, and stays even at 256 calls.
        self._client = openai.AsyncOpenAI(
            base_url=self.settings.base_url,
            api_key=self.key.reveal() or "none",
            timeout=self.settings.timeout_s,
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def complete(self, messages: Sequence[Mapping[str, Any]], *, read_tokens: int) -> Reply:
        """Ask for one reply.

        Args:
            messages: The conversation.
            read_tokens: Estimate of its tokens.

        Raises:
            Stopped: The job is to end.
            CallFailed: The call failed for good.
        """
        if not self._known.is_set():
            async with self._first:  # one call finds out what the endpoint can do, the others wait for it
                if not self._known.is_set():
                    reply = await self._persist(messages, read_tokens)
                    self._known.set()
                    return reply
        return await self._persist(messages, read_tokens)

    async def _persist(self, messages: Sequence[Mapping[str, Any]], read_tokens: int) -> Reply:
        """Try until there is a reply or no sense in trying."""
        tries, refusals = 0, 0
        while True:
            try:
                reply = await self._try(messages, read_tokens)
            except CallFailed as failure:
                fault = failure.fault
                if fault.stops:
                    await self.gate.failed(fault)
                if not self._known.is_set() and self.dialect.lowered(fault):
                    continue
                refused = fault.code == "rate_limited"
                refusals, tries = refusals + refused, tries + (not refused)
                weighed = tries + refusals / _THROTTLED_TRIES
                if not fault.again or weighed >= self.settings.tries:
                    await self.gate.failed(fault)
                    raise
                wait_s = back_off_s(tries + refusals, fault, base_s=self.settings.back_off_s, rng=self._rng)
                if refused:
                    await self.gate.throttled(wait_s, refused=True)
                else:
                    await self._sleep(wait_s)
            else:
                await self.gate.succeeded()
                return reply

    async def _sleep(self, wait_s: float) -> None:
        """Wait for the next try, unless the job ends."""
        until_s = time.monotonic() + wait_s
        while (left_s := until_s - time.monotonic()) > 0:
            if self.gate.stopped:
                raise Stopped
            await asyncio.sleep(min(left_s, _GLANCE_S))

    async def _try(self, messages: Sequence[Mapping[str, Any]], read_tokens: int) -> Reply:
        """Make one call."""
        most = round(read_tokens * self._read_more) + self.settings.max_tokens
        usd = self.price.usd(most - self.settings.max_tokens, self.settings.max_tokens) if self.price else 0.0
        number = await self.gate.enter(Hold(most, usd), most)
        spent = Hold(most, usd)  # what nobody answers for may still be billed
        started_s = time.monotonic()
        try:
            # The client's method for chats would walk the JSON schema and every message anew for each call.
            response = await self._client.post(
                "/chat/completions", body=self.dialect.body(messages), cast_to=httpx.Response
            )
            latency_s = time.monotonic() - started_s
            reply = read_completion(response.json(), read_tokens, self.settings.max_tokens, latency_s)
            spent = self._bill(reply, read_tokens)
        except Exception as error:
            fault = classify(error)
            if fault.answered:
                spent = Hold()
            raise CallFailed(fault) from None  # the client's own error may repeat what was sent, or the key
        finally:
            await self.gate.leave(number, spent, expected_tokens=most)
        waits_s = exhausted_for_s(response.headers)
        if waits_s:
            await self.gate.throttled(waits_s, refused=False)
        return reply

    def _bill(self, reply: Reply, read_tokens: int) -> Hold:
        """Price a reply, and learn how far the estimate of read tokens is off."""
        self._read_more = max(self._read_more, reply.prompt_tokens / max(read_tokens, 1))
        usd = self.price.usd(reply.prompt_tokens, reply.completion_tokens) if self.price else 0.0
        return Hold(reply.prompt_tokens + reply.completion_tokens, usd)


def read_completion(answer: Any, read_tokens: int, max_tokens: int, latency_s: float) -> Reply:
    """Read a chat completion, as decoded from JSON.

    Args:
        answer: The completion.
        read_tokens: Estimate of the prompt's tokens, for endpoints that do not say.
        max_tokens: Most tokens that were asked for.
        latency_s: Seconds that it took.

    Raises:
        TypeError, LookupError, AttributeError: It is no chat completion.
    """
    choice = answer["choices"][0]
    message = choice["message"]
    refusal, text = message.get("refusal"), message.get("content") or ""
    if not isinstance(text, str):
        raise TypeError
    usage = answer.get("usage") or {}
    written = _plausible(usage.get("completion_tokens"), most=2 * max_tokens)
    read = _plausible(usage.get("prompt_tokens"), most=20 * (read_tokens + 1000))
    return Reply(
        text=refusal or text,
        finish_reason="refusal" if refusal else str(choice.get("finish_reason") or "stop"),
        prompt_tokens=read or read_tokens,
        completion_tokens=written or round(len(text) / CHARACTERS_A_TOKEN),
        latency_s=latency_s,
    )


def _plausible(count: object, *, most: int) -> int:
    """A token count, or 0 for one that cannot be: endpoints that send none, or nonsense, are estimated."""
    return count if isinstance(count, int) and 0 < count <= most else 0
