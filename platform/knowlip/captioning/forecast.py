"""What asking an endpoint would cost, from a measured sample of prompts."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from knowlip.captioning.asking import Prompt, Retry
from knowlip.captioning.caption import Caption
from knowlip.captioning.chain import Observer
from knowlip.captioning.endpoint import EndpointSettings, estimated_tokens
from knowlip.captioning.hcot import prompts_digest
from knowlip.captioning.journal import Journal
from knowlip.captioning.measured import MeasuredCaptioner
from knowlip.captioning.prices import Price
from knowlip.captioning.units import CaptionUnit, rows
from knowlip.records import SCALES
from knowlip.workspace import Workspace

__all__ = ["Forecast", "forecast"]

SAMPLED = 6
"""Prompts of each scale that are rendered."""


@dataclass(frozen=True)
class Forecast:
    """What is left to ask, and its price.

    Attributes:
        calls: Tiles to ask for.
        known: Tiles whose reply is in the journal.
        prompts: Prompts that were rendered to know.
        read_tokens: Tokens read.
        written_tokens: Tokens written, as long as the replies so far, or as a caption by measurement.
        most_written_tokens: Tokens written when every reply goes to the limit.
        usd: Price; none when nobody knows the model's.
        most_usd: Price when every reply goes to the limit.
    """

    calls: int
    known: int
    prompts: int
    read_tokens: int
    written_tokens: int
    most_written_tokens: int
    usd: float | None
    most_usd: float | None


def forecast(
    workspace: Workspace,
    units: Sequence[CaptionUnit],
    settings: EndpointSettings,
    price: Price | None,
    *,
    family: str = "auto",
    retry: Retry = "none",
) -> Forecast:
    """Say what captioning units would take.

    Args:
        workspace: Where their tiles lie.
        units: Units with work left.
        settings: The endpoint.
        price: Price of its tokens, if known.
        family: As `Observer` takes it.
        retry: Which replies would be asked for again.
    """
    known, written_lately = _replies(workspace, settings, retry)
    left = Counter(scale for unit in units for scale in SCALES for one in unit.tiles[scale] if one not in known)
    total = sum(unit.count for unit in units)
    sample = list(_sample(workspace, units, settings, family))
    read: defaultdict[str, list[int]] = defaultdict(list)
    for scale, read_tokens, _ in sample:
        read[scale].append(read_tokens)
    everything = [read_tokens for _, read_tokens, _ in sample]
    read_tokens = sum(round(count * _mean(read[scale] or everything)) for scale, count in left.items())
    calls = left.total()
    a_reply = written_lately or _mean([written for _, _, written in sample])
    written, most = round(calls * min(a_reply, settings.max_tokens)), calls * settings.max_tokens
    return Forecast(
        calls=calls,
        known=total - calls,
        prompts=len(sample),
        read_tokens=read_tokens,
        written_tokens=written,
        most_written_tokens=most,
        usd=price.usd(read_tokens, written) if price else None,
        most_usd=price.usd(read_tokens, most) if price else None,
    )


def _replies(workspace: Workspace, settings: EndpointSettings, retry: Retry) -> tuple[set[str], float]:
    """Return the tiles that this model has answered by these prompts, and its replies' mean length in tokens."""
    journal, tiles, written = Journal(workspace), set[str](), list[int]()
    prompts = prompts_digest()
    for scene_id in journal.scenes():
        for entry in journal.read(scene_id).values():
            if entry.model == settings.model and entry.prompts == prompts and (entry.ok or retry == "none"):
                tiles.add(entry.tile_id)
                written += [entry.completion_tokens] if entry.ok else []
    return tiles, _mean(written)


def _sample(
    workspace: Workspace, units: Sequence[CaptionUnit], settings: EndpointSettings, family: str
) -> Iterator[tuple[str, int, int]]:
    """Render prompts of each scale; yield scale, tokens read, and tokens that a caption by measurement would have."""
    taken: Counter[str] = Counter()
    wanted = {scale for scale in SCALES if any(unit.tiles[scale] for unit in units)}
    writer = MeasuredCaptioner()
    for unit in units:
        observer, above = Observer(family), dict[str, Caption]()
        for row in rows(workspace, _few(unit)):
            seen = observer.observe(row)
            scale = seen.facts.scale
            if seen.measured is None or taken[scale] >= SAMPLED:
                continue
            request = seen.request(row["image"], above.get(seen.facts.parent_id) or next(iter(above.values()), None))
            caption = writer.caption(request)
            above = {seen.facts.tile_id: caption, **above}
            taken[scale] += 1
            written = json.dumps({"reasoning": dict(caption.reasoning), **caption.subtexts}, ensure_ascii=False)
            yield scale, Prompt(request, settings).read_tokens, estimated_tokens(written)
        if all(taken[scale] >= SAMPLED for scale in wanted):
            return


def _few(unit: CaptionUnit) -> CaptionUnit:
    """Return a part of a unit that is read quickly."""
    return CaptionUnit(unit.name, {scale: unit.tiles[scale][:SAMPLED] for scale in SCALES}, unit.files)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
