"""A unit of tiles walked with the journal at hand: what is answered becomes captions, what is not is left to ask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from knowlip.captioning.asking import UNREADABLE, Prompt, Retry, caption_of, find
from knowlip.captioning.caption import Caption
from knowlip.captioning.chain import Observation, Observer
from knowlip.captioning.endpoint import EndpointSettings
from knowlip.captioning.journal import Entry
from knowlip.records import SCALES

__all__ = ["Replayed", "replay"]


@dataclass(frozen=True)
class Replayed:
    """One tile.

    Attributes:
        seen: What was observed.
        prompt: What a model is asked; none when the tile cannot be measured.
        caption: Its caption; none while it is to be asked.
        earlier: A reply that could not be read, which is asked for once more with what was wrong.
    """

    seen: Observation
    prompt: Prompt | None
    caption: Caption | None
    earlier: Entry | None = None


def replay(
    rows: Iterable[Mapping[str, Any]],
    known: Mapping[str, Entry],
    settings: EndpointSettings,
    *,
    family: str,
    retry: Retry,
    since: str,
) -> Iterator[Replayed]:
    """Walk tiles, parents first.

    Args:
        rows: Rows of `tiles/` with their images.
        known: What the journal holds, by key.
        settings: How the endpoint is asked.
        family: Instruction family, or ``auto``.
        retry: Which replies are asked for again.
        since: When this run began (as `Entry.at`): what was set aside later is not asked again.
    """
    observer, captions = Observer(family), dict[str, Caption]()
    for row in rows:
        seen = observer.observe(row)
        if seen.measured is None:
            facts = seen.facts
            failed = Caption(
                facts.tile_id, "", settings.model, facts.scale, "", parent_id=facts.parent_id, status=seen.status
            )
            yield Replayed(seen, None, failed)
            continue
        request = seen.request(row["image"], captions.get(seen.facts.parent_id))
        prompt = Prompt(request, settings)
        entry = _settled(prompt, known, retry=retry, since=since)
        unread = _unread(known.get(prompt.key))
        if entry is None or unread is not None:
            yield Replayed(seen, prompt, None, unread)
            continue
        caption = caption_of(entry, prompt)
        if seen.facts.scale != SCALES[-1]:
            captions[caption.tile_id] = caption
        yield Replayed(seen, prompt, caption)


def _settled(prompt: Prompt, known: Mapping[str, Entry], *, retry: Retry, since: str) -> Entry | None:
    entry = find(prompt, known, retry)
    mine = known.get(prompt.key)
    return mine if entry is None and mine is not None and mine.at >= since else entry


def _unread(entry: Entry | None) -> Entry | None:
    """Return a reply that could not be read and has not been asked for a second time."""
    return entry if entry is not None and entry.status in UNREADABLE and entry.asked < 2 else None
