"""What SCIO's verdicts make of a corpus's texts (section 3.4): the text of any phase can be rebuilt from the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from knowlip.records import SUBTEXTS

__all__ = ["Rejected", "Revision"]

Rejected = Literal["drop", "mask"]
"""What becomes of noise whose reconstruction was not accepted: left out of the text, or kept but never a target."""


@dataclass(frozen=True)
class Revision:
    """Changes to the sub-texts of some tiles; tiles that are not named stay as they are.

    Attributes:
        texts: For a tile, the sub-texts that are replaced; an empty one is left out.
        noise: For a tile, the sub-texts that the decoder must not learn to write.
    """

    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    noise: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def from_verdicts(cls, verdicts: pa.Table, *, round_: int, phase: int, rejected: Rejected = "drop") -> Revision:
        """Return the texts as a phase of a round is trained on them.

        Earlier rounds count in full. Of its own round, phase 1 sees nothing, phase 2 what was found to be noise, and
        phase 3 what was made of it.

        Args:
            verdicts: Rows of `knowlip.records.VERDICTS`.
            round_: SCIO round, from 1.
            phase: 1, 2 or 3.
            rejected: What becomes of noise whose reconstruction was not accepted.
        """
        past = pc.field("round") < round_
        seen = past if phase == 1 else pc.field("round") <= round_
        rows = verdicts.filter(seen & pc.field("noise")).sort_by("round").to_pylist()
        texts: dict[str, dict[str, str]] = {}
        noise: dict[str, set[str]] = {}
        for row in rows:
            tile, kind = row["tile_id"], row["subtext"]
            resolved = row["accepted"] is not None and (row["round"] < round_ or phase == 3)
            if resolved and row["accepted"]:
                texts.setdefault(tile, {})[kind] = row["reconstruction"]
                noise.get(tile, set()).discard(kind)
            elif resolved and rejected == "drop":
                texts.setdefault(tile, {})[kind] = ""
            else:
                noise.setdefault(tile, set()).add(kind)
        return cls(texts, {tile: frozenset(kinds) for tile, kinds in noise.items()})

    def apply(self, pairs: pa.Table) -> pa.Table:
        """Return pairs with revised sub-texts and a column ``noise_mask`` of eight flags a row.

        A tile of which nothing would be left keeps its texts, all of them masked as targets.

        Args:
            pairs: Rows with ``tile_id`` and the eight sub-texts.
        """
        tiles = pairs["tile_id"].to_pylist()
        columns = {kind: pairs[kind].to_pylist() for kind in SUBTEXTS}
        masks = []
        for index, tile in enumerate(tiles):
            changed, noise = self.texts.get(tile, {}), self.noise.get(tile, frozenset())
            revised = {kind: changed.get(kind, columns[kind][index]) for kind in SUBTEXTS}
            if changed and not any(revised.values()):
                masks.append([True] * len(SUBTEXTS))
                continue
            for kind in changed:
                columns[kind][index] = revised[kind]
            masks.append([kind in noise for kind in SUBTEXTS])
        for kind in SUBTEXTS:
            place = pairs.column_names.index(kind)
            pairs = pairs.set_column(place, pairs.schema.field(kind), pa.array(columns[kind], pa.string()))
        return pairs.append_column("noise_mask", pa.array(masks, pa.list_(pa.bool_())))
