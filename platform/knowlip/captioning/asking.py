"""The captioner that asks: a prompt, a reply, another try where it cannot be read, and a place in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from knowlip.captioning.caption import Caption, Request, checked
from knowlip.captioning.endpoint import CallFailed, Endpoint, EndpointSettings, Reply, estimated_tokens
from knowlip.captioning.hcot import instruction, prompt_digest, prompts_digest, system
from knowlip.captioning.journal import Entry
from knowlip.captioning.journal_writer import JournalWriter
from knowlip.captioning.parsing import Parsed, parse
from knowlip.captioning.pictures import data_url, fitted, side_px
from knowlip.captioning.prices import Price

__all__ = ["UNREADABLE", "EndpointCaptioner", "Prompt", "Retry", "caption_of", "correction", "find"]

UNREADABLE = ("unparsable", "incomplete")
"""Replies that are asked for once more, with what was wrong; all other bad ones are set aside at once."""

Retry = Literal["none", "failed", "orphans"]


@dataclass(frozen=True)
class Prompt:
    """What is sent for one tile; each part is made when it is first looked at.

    Args:
        request: The tile.
        settings: How the endpoint is asked.
    """

    request: Request
    settings: EndpointSettings

    @cached_property
    def text(self) -> str:
        """The rendered prompt."""
        return instruction(self.request)

    @cached_property
    def key(self) -> str:
        """Digest of prompt, image, model and sampling: the key under which the reply is kept."""
        settings = self.settings
        return prompt_digest(self.text, self.request.image, model=settings.model, sampling=settings.sampling())

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation.

        Raises:
            DataError: The image cannot be read.
        """
        content: list[dict[str, Any]] = [
            {"type": "text", "text": self.text},
            {"type": "image_url", "image_url": {"url": data_url(self._image)}},
        ]
        return [{"role": "system", "content": system()}, {"role": "user", "content": content}]

    @cached_property
    def read_tokens(self) -> int:
        """Estimate of its tokens."""
        return estimated_tokens(system() + self.text, side_px(self._image))

    @cached_property
    def _image(self) -> bytes:
        settings = self.settings
        return fitted(self.request.image, longest_px=settings.image_px, most_kb=settings.image_kb)


def find(prompt: Prompt, known: Mapping[str, Entry], retry: Retry) -> Entry | None:
    """Look a reply up.

    A text that was written while the parent's was not there is kept when the parent's comes later, unless ``retry`` is
    ``orphans``: it was paid for. A reply that was set aside stands, unless ``retry`` says otherwise.
    """
    if not known:
        return None
    entry = known.get(prompt.key)
    if entry and (entry.ok or retry == "none"):
        return entry
    if prompt.request.parent and retry != "orphans":
        orphan = known.get(Prompt(replace(prompt.request, parent=None), prompt.settings).key)
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
        prompt = Prompt(request, self.endpoint.settings)
        entry = find(prompt, known, self.retry)
        if entry is None:
            async with self._slots:
                entry = await self._ask(prompt)
                await self.journal.append(request.facts.scene_id, entry)
        return caption_of(entry, prompt)

    async def _ask(self, prompt: Prompt) -> Entry:
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
            tile_id=prompt.request.facts.tile_id,
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


def caption_of(entry: Entry, prompt: Prompt) -> Caption:
    """Make the caption of a reply."""
    request = prompt.request
    with_parent = entry.key == prompt.key  # otherwise it was written before the parent's text was there
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
