"""The chain over scales, L to M to S: each tile is described with its parent's text at hand (equations 1 to 3)."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from knowlip.captioning import family
from knowlip.captioning.caption import OK, Caption, Captioner, Request
from knowlip.captioning.facts import TileFacts
from knowlip.captioning.measure import Levels, grey_levels, measure
from knowlip.errors import DataError
from knowlip.records import FAMILIES, SCALES

__all__ = ["Chain", "decode"]


@dataclass
class Chain:
    """Captions tiles in the order in which they are given, and remembers what their children need.

    Give the large tiles of a tree first, then the medium, then the small ones. A tile whose parent was not given, or
    failed, is captioned without it: its ``parent_digest`` stays empty, which marks it.

    Args:
        captioner: Who writes.
        family: An instruction family for all tiles, or ``auto`` to choose by content.
    """

    captioner: Captioner
    family: str = "auto"
    _captions: dict[str, Caption] = field(default_factory=dict, repr=False)
    _facts: dict[str, TileFacts] = field(default_factory=dict, repr=False)
    _levels: dict[str, Levels] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.family not in ("auto", *FAMILIES):
            raise DataError(f"unknown family {self.family!r}", where="captioning", fix=f"use auto or one of {FAMILIES}")

    def run(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Caption]:
        """Caption rows of `tiles/` (columns `knowlip.captioning.facts.COLUMNS` and ``image``), parents first."""
        for row in rows:
            yield self.caption(row)

    def caption(self, row: Mapping[str, Any]) -> Caption:
        """Caption one tile; one whose image cannot be read is set aside with the reason ``undecodable``."""
        facts = TileFacts.from_row(row)
        try:
            image = decode(row["image"])
        except DataError as error:
            return self._remember(
                facts, Caption(facts.tile_id, "", self.captioner.model, facts.scale, "", status=error.code)
            )
        parent = self._captions.get(facts.parent_id)
        ancestry = tuple(self._ancestry(facts))
        levels = self._levels.get(facts.parent_id) or grey_levels(image)
        measured = measure(image, facts.gsd_m, levels=levels, up_deg=facts.up_deg)
        if facts.scale != SCALES[-1]:
            self._levels[facts.tile_id] = levels
        chosen = family.choose(facts, measured, ancestry) if self.family == "auto" else self.family
        asked = Request(facts, measured, chosen, image, parent if parent and parent.status == OK else None, ancestry)
        return self._remember(facts, self.captioner.caption(asked))

    def _remember(self, facts: TileFacts, caption: Caption) -> Caption:
        """Keep what children will ask for; the smallest scale has none."""
        if facts.scale != SCALES[-1]:
            self._captions[facts.tile_id] = caption
            self._facts[facts.tile_id] = facts
        return caption

    def _ancestry(self, facts: TileFacts) -> Iterator[TileFacts]:
        above = self._facts.get(facts.parent_id)
        while above is not None:
            yield above
            above = self._facts.get(above.parent_id)


def decode(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode a tile's 8-bit image (H, W).

    Raises:
        DataError: It is not an image (code ``undecodable``).
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.asarray(picture.convert("L"))
    except (OSError, ValueError, SyntaxError, TypeError) as error:
        raise DataError(
            f"cannot be decoded ({error})", where="tile image", fix="tile again", code="undecodable"
        ) from error
