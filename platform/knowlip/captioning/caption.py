"""What is asked of a captioner about one tile, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from knowlip.captioning.checks import Flag, check_texts, flag_rows
from knowlip.captioning.facts import TileFacts
from knowlip.captioning.measure import Measurements
from knowlip.manifest import digest
from knowlip.records import LAYERS, SUBTEXTS

__all__ = ["OK", "Caption", "Captioner", "Request", "checked"]

OK = "ok"
"""Status of a caption that may be used."""


@dataclass(frozen=True)
class Caption:
    """One tile's text; a row of `captions/`.

    Attributes:
        tile_id: The tile.
        prompt_digest: Digest of everything that shaped the text.
        model: Who wrote it.
        scale: Scale of the tile.
        family: Instruction family.
        subtexts: The eight sub-texts by name.
        reasoning: The five layers' reasoning by name.
        parent_id: The tile's parent, whether or not its text was there.
        parent_digest: Digest of the parent's text that was used; empty when none was.
        prompt_tokens: Tokens read.
        completion_tokens: Tokens written.
        cost_usd: Price.
        latency_s: Seconds from asking to answer.
        raw: The raw reply.
        status: `OK`, or the reason why it was set aside.
        prompts: Digest of the prompt files, or the measured captioner's wording.
        flags: Claims that measurements or geography speak against; none where nothing was checked.
    """

    tile_id: str
    prompt_digest: str
    model: str
    scale: str
    family: str
    subtexts: Mapping[str, str] = field(default_factory=dict)
    reasoning: Mapping[str, str] = field(default_factory=dict)
    parent_id: str = ""
    parent_digest: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    latency_s: float = 0.0
    raw: str = ""
    status: str = OK
    prompts: str = ""
    flags: tuple[Flag, ...] | None = None

    @property
    def text_digest(self) -> str:
        """Digest of the eight sub-texts: what a child's lineage records."""
        return digest({name: self.subtexts.get(name, "") for name in SUBTEXTS})

    def to_row(self) -> dict[str, Any]:
        """Return the row of `knowlip.records.CAPTIONS`."""
        return {
            "tile_id": self.tile_id,
            "prompt_digest": self.prompt_digest,
            "model": self.model,
            "prompts": self.prompts or None,
            "scale": self.scale,
            "family": self.family,
            **{name: self.subtexts.get(name) for name in SUBTEXTS},
            **{f"reasoning_{layer}": self.reasoning.get(layer) for layer in LAYERS},
            "parent_id": self.parent_id or None,
            "parent_digest": self.parent_digest or None,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost_usd": self.cost_usd,
            "latency_s": self.latency_s,
            "raw": self.raw or None,
            "flags": None if self.flags is None else flag_rows(self.flags),
            "status": self.status,
        }


@dataclass(frozen=True)
class Request:
    """All that a captioner may use about one tile.

    Attributes:
        facts: Where, when and by what it was seen.
        measured: What was measured on it.
        family: Instruction family.
        image: The 8-bit image as it is stored (PNG).
        parent: The parent's caption (equations 2 and 3); none for the largest scale, or when it failed.
        ancestry: Facts of the parent, its parent, and so on: the nearest first.
    """

    facts: TileFacts
    measured: Measurements
    family: str
    image: bytes
    parent: Caption | None = None
    ancestry: tuple[TileFacts, ...] = ()

    @property
    def parent_digest(self) -> str:
        """Digest of the parent's text, or empty."""
        return self.parent.text_digest if self.parent else ""


def checked(caption: Caption, request: Request) -> Caption:
    """Hold a caption's claims against what is known of its tile; one that was set aside is left as it is."""
    if caption.status != OK:
        return caption
    return replace(caption, flags=check_texts(caption.subtexts, request.facts, request.measured, request.ancestry))


class Captioner(Protocol):
    """Writes the eight sub-texts of a tile.

    Attributes:
        model: Who writes; part of a caption's key.
    """

    model: str

    def caption(self, request: Request) -> Caption:
        """Describe one tile; what cannot be described is returned with a reason as its status."""
        ...
