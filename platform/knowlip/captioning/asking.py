"""The captioner that asks: a prompt, a reply, another try where it cannot be read, and a place in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from knowlip.captioning.caption import Caption, Request, checked
from knowlip.captioning.endpoint import CallFailed, Endpoint, EndpointSettings, Reply, estimated_tokens
from knowlip.captioning.hcot import instruction, prompt_digest, prompts_digest, system
from knowlip.captioning.journal import Entry
from knowlip.captioning.journal_writer import JournalWriter
from knowlip.captioning.parsing import Parsed, parse
from knowlip.captioning.pictures import data_url, fitted, side_px
from knowlip.captioning.prices import Price

__all__ = ["UNREADABLE", "EndpointCaptioner", "Prompt", "Retry", "caption_of", "correction", "find", "key_of", "render"]

UNREADABLE = ("unparsable", "incomplete")
"""Replies that are asked for once more, with what was wrong; all other bad ones are set aside at once."""

Retry = Literal["none", "failed", "orphans"]


@dataclass(frozen=True)
class Prompt:
    """What is sent for one tile.

    Attributes:
        key: Digest of prompt, image, model and sampling.
        text: The rendered prompt.
        messages: The conversation.
        read_tokens: Estimate of its tokens.
    """

    key: str
    text: str
    messages: list[dict[str, Any]]
    read_tokens: int


def render(request: Request, settings: EndpointSettings, key: str) -> Prompt:
    """Compose what is sent for a tile.

    Args:
        request: The tile.
        settings: How the endpoint is asked.
        key: The request's `key_of`.

    Raises:
        DataError: The image cannot be read.
    """
    text = instruction(request)
    image = fitted(request.image, longest_px=settings.image_px, most_kb=settings.image_kb)
    content: list[dict[str, Any]] = [
        {"type": "text", "text": text},
        {"type": "image_url", "image_url": {"url": data_url(image)}},
    ]
    messages: list[dict[str, Any]] = [{"role": "system", "content": system()}, {"role": "user", "content": content}]
    read_tokens = estimated_tokens(system() + text, side_px(image))
    return Prompt(key, text, messages, read_tokens)


def key_of(request: Request, settings: EndpointSettings) -> str:
    """Return the key under which the reply to a request is kept."""
    return prompt_digest(request, model=settings.model, sampling=settings.sampling())


def find(
    request: Request, settings: EndpointSettings, key: str, known: Mapping[str, Entry], retry: Retry
) -> Entry | None:
    """Look a reply up.

    A text that was written while the parent's was not there is kept when the parent's comes later, unless ``retry`` is
    ``orphans``: it was paid for. A reply that was set aside stands, unless ``retry`` says otherwise.
    """
    entry = known.get(key)
    if entry and (entry.ok or retry == "none"):
        return entry
    if request.parent and retry != "orphans":
        orphan = known.get(key_of(replace(request, parent=None), settings))
        return orphan if orphan and orphan.ok else None
    return None


def correction(entry_raw: str, problem: str) -> list[dict[str, Any]]:
    """Return what goes on after a reply that could not be read."""
    told = f"That cannot be used: {problem}. Answer again, with the one JSON object and nothing else."
    return [{"role": "assistant", "content": entry_raw}, {"role": "user", "content": told}]


@dataclass
class EndpointCaptioner:
    """Describes tiles by asking a model; what was answered before is taken from the journal.

    Args:
        endpoint: The model.
        journal: Where replies are made durable.
        retry: Which replies are asked for again.
        slots: How many tiles are asked for at a time: a slot is free again when its reply is durable.
    """

    endpoint: Endpoint
    journal: JournalWriter
    retry: Retry = "none"
    slots: int = 32
    asked: int = 0
    _slots: asyncio.Semaphore = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.slots)

    @property
    def model(self) -> str:
        """Who writes."""
        return self.endpoint.settings.model

    async def caption(self, request: Request, known: Mapping[str, Entry]) -> Caption:
        """Describe one tile.

        Args:
            request: The tile.
            known: What the journal holds, by key.

        Raises:
            Stopped: The job is to end.
            WorkspaceError: The reply could not be made durable.
        """
        settings = self.endpoint.settings
        key = key_of(request, settings)
        entry = find(request, settings, key, known, self.retry)
        if entry is None:
            async with self._slots:
                entry = await self._ask(render(request, settings, key), request)
                await self.journal.append(request.facts.scene_id, entry)
        return caption_of(entry, request, key)

    async def _ask(self, prompt: Prompt, request: Request) -> Entry:
        """Ask, and once more with the error when the reply cannot be read."""
        settings, price = self.endpoint.settings, self.endpoint.price
        messages, replies, parsed = list(prompt.messages), list[Reply](), Parsed("empty")
        code, problem = "", ""
        read_tokens = prompt.read_tokens
        for _ in range(2):
            try:
                self.asked += 1
                replies.append(await self.endpoint.complete(messages, read_tokens=read_tokens))
            except CallFailed as failure:
                code, problem = failure.fault.code, failure.fault.what
                break
            parsed = read(replies[-1].text, replies[-1].finish_reason, prompt.text)
            code, problem = parsed.status, parsed.problem
            if code not in UNREADABLE:
                break
            messages += correction(replies[-1].text, problem)
            read_tokens += estimated_tokens(replies[-1].text + problem)
        tokens = sum(one.prompt_tokens for one in replies), sum(one.completion_tokens for one in replies)
        redact = self.endpoint.key.redact
        return Entry(
            tile_id=request.facts.tile_id,
            key=prompt.key,
            model=settings.model,
            prompts=prompts_digest(),
            status=code,
            problem=redact(problem),
            raw=redact(replies[-1].text) if replies else "",
            finish_reason=replies[-1].finish_reason if replies else "",
            asked=max(1, len(replies)),
            prompt_tokens=tokens[0],
            completion_tokens=tokens[1],
            cost_usd=cost_usd(price, *tokens),
            latency_s=sum(one.latency_s for one in replies),
        )


def read(raw: str, finish_reason: str, prompt: str) -> Parsed:
    """Read a reply; the field that says so counts as a refusal whatever it holds."""
    if finish_reason == "refusal":
        return Parsed("refusal", problem="the model declined")
    return parse(raw, finish_reason=finish_reason, prompt=prompt)


def cost_usd(price: Price | None, read_tokens: int, written_tokens: int) -> float:
    """Price of a call; nothing where the price is unknown."""
    return price.usd(read_tokens, written_tokens) if price else 0.0


def caption_of(entry: Entry, request: Request, key: str) -> Caption:
    """Make the caption of a reply."""
    with_parent = entry.key == key  # otherwise it was written before the parent's text was there
    parsed = parse(entry.raw, finish_reason=entry.finish_reason) if entry.ok else Parsed(entry.status)
    caption = Caption(
        tile_id=request.facts.tile_id,
        prompt_digest=entry.key,
        model=entry.model,
        scale=request.facts.scale,
        family=request.family,
        subtexts=parsed.subtexts,
        reasoning=parsed.reasoning,
        parent_id=request.facts.parent_id,
        parent_digest=request.parent_digest if with_parent else "",
        prompt_tokens=entry.prompt_tokens,
        completion_tokens=entry.completion_tokens,
        cost_usd=entry.cost_usd,
        latency_s=entry.latency_s,
        raw=entry.raw,
        status=entry.status,
        prompts=entry.prompts,
    )
    return checked(caption, request)
