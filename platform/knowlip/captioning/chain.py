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
from knowlip.captioning.caption import OK, Caption, Captioner, Request, checked
from knowlip.captioning.facts import TileFacts
from knowlip.captioning.measure import Levels, Measurements, grey_levels, measure
from knowlip.errors import DataError
from knowlip.records import FAMILIES, SCALES

__all__ = ["Chain", "Observation", "Observer", "decode"]


@dataclass(frozen=True)
class Observation:
    """A tile, looked at: all that a prompt takes but the image and the parent's text.

    Attributes:
        facts: Where, when and by what it was seen.
        measured: What was measured on it; none when it could not be read.
        family: Instruction family.
        ancestry: Facts of the parent, its parent, and so on: the nearest first.
        status: `OK`, or the reason why the tile cannot be described.
    """

    facts: TileFacts
    measured: Measurements | None
    family: str
    ancestry: tuple[TileFacts, ...] = ()
    status: str = OK

    def request(self, image: bytes, parent: Caption | None) -> Request:
        """Return what a captioner is asked; a parent that failed is left out.

        Raises:
            DataError: The tile could not be measured.
        """
        if self.measured is None:
            raise DataError("was not measured", where=f"tile {self.facts.tile_id}", fix="tile again", code=self.status)
        usable = parent if parent and parent.status == OK else None
        return Request(self.facts, self.measured, self.family, image, usable, self.ancestry)


@dataclass
class Observer:
    """Measures tiles in the order in which they are given (parents first), and hands grey levels down.

    Args:
        family: An instruction family for all tiles, or ``auto`` to choose by content.
    """

    family: str = "auto"
    _facts: dict[str, TileFacts] = field(default_factory=dict, repr=False)
    _levels: dict[str, Levels] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.family not in ("auto", *FAMILIES):
            raise DataError(f"unknown family {self.family!r}", where="captioning", fix=f"use auto or one of {FAMILIES}")

    def observe(self, row: Mapping[str, Any]) -> Observation:
        """Measure one tile; one whose image cannot be read has the status ``undecodable``."""
        facts = TileFacts.from_row(row)
        ancestry = tuple(self._ancestry(facts))
        if facts.scale != SCALES[-1]:
            self._facts[facts.tile_id] = facts
        try:
            image = decode(row["image"])
        except DataError as error:
            return Observation(facts, None, "", ancestry, error.code)
        levels = self._levels.get(facts.parent_id) or grey_levels(image)
        measured = measure(image, facts.gsd_m, levels=levels, up_deg=facts.up_deg)
        if facts.scale != SCALES[-1]:
            self._levels[facts.tile_id] = levels
        chosen = family.choose(facts, measured, ancestry) if self.family == "auto" else self.family
        return Observation(facts, measured, chosen, ancestry)

    def _ancestry(self, facts: TileFacts) -> Iterator[TileFacts]:
        above = self._facts.get(facts.parent_id)
        while above is not None:
            yield above
            above = self._facts.get(above.parent_id)


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
    _observer: Observer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._observer = Observer(self.family)

    def run(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Caption]:
        """Caption rows of `tiles/` (columns `knowlip.captioning.facts.COLUMNS` and ``image``), parents first."""
        for row in rows:
            yield self.caption(row)

    def caption(self, row: Mapping[str, Any]) -> Caption:
        """Caption one tile; one whose image cannot be read is set aside with the reason ``undecodable``."""
        seen = self._observer.observe(row)
        if seen.measured is None:
            facts = seen.facts
            caption = Caption(facts.tile_id, "", self.captioner.model, facts.scale, "", status=seen.status)
        else:
            request = seen.request(row["image"], self._captions.get(seen.facts.parent_id))
            caption = checked(self.captioner.caption(request), request)
        if caption.scale != SCALES[-1]:  # the smallest scale has no children to ask for it
            self._captions[caption.tile_id] = caption
        return caption


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
