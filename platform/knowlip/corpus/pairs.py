"""Image-text pairs: which tiles make the corpus, in which order, and in which shard each lies."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow.compute as pc
import shapely

from knowlip.captioning.caption import OK
from knowlip.corpus.splits import Ground, allot
from knowlip.errors import DataError
from knowlip.records import SPLITS, SUBTEXTS
from knowlip.workspace import Workspace

__all__ = ["CorpusPlan", "Seat", "captioned", "grounds", "plan", "usable"]


@dataclass(frozen=True)
class Seat:
    """Where a tile goes in the corpus.

    Attributes:
        split: ``train``, ``val`` or ``test``.
        place: The group that the split kept together.
        shard: Number of its file.
        position: Row in the shuffled order of the whole corpus.
    """

    split: str
    place: str
    shard: int
    position: int


@dataclass(frozen=True)
class CorpusPlan:
    """The corpus before its pictures are read.

    Attributes:
        seats: Seat of each tile that belongs to it.
        shards: Number of files.
        level: Scale whose trees were dealt to the splits.
        left_out: Number of tiles left out, by reason.
    """

    seats: Mapping[str, Seat]
    shards: int
    level: str
    left_out: Mapping[str, int]

    def sizes(self) -> dict[str, int]:
        """Count the pairs of each split."""
        counts = Counter(seat.split for seat in self.seats.values())
        return {split: counts[split] for split in SPLITS}

    def notes(self) -> list[str]:
        """Say in one line a reason how many tiles were left out."""
        return [f"{number} tiles: {reason}" for reason, number in self.left_out.items()]


def grounds(workspace: Workspace) -> list[Ground]:
    """Read what the splits need of every tile, without its pictures."""
    columns = ["tile_id", "scene_id", "scale", "parent_id", "geometry", "city"]
    table = workspace.read_table("tiles", columns=columns)
    shapes = [None if wkb is None else shapely.from_wkb(wkb) for wkb in table["geometry"].to_pylist()]
    rows = table.drop_columns(["geometry"]).to_pylist()
    return [
        Ground(row["tile_id"], row["scene_id"], row["scale"], row["parent_id"] or "", shape, row["city"] or "")
        for row, shape in zip(rows, shapes, strict=True)
    ]


def captioned(workspace: Workspace) -> set[str]:
    """Return the tiles that have a usable caption.

    Raises:
        DataError: A tile has two: the table must hold each key once.
    """
    table = workspace.read_table("captions", columns=["tile_id"], where=usable())
    ids = table["tile_id"].to_pylist()
    if len(set(ids)) != len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise DataError(
            f"tile {twice} has two captions", where=workspace.uri("captions"), fix="caption with --overwrite"
        )
    return set(ids)


def plan(
    tiles: list[Ground], with_caption: set[str], *, fractions: Mapping[str, float], shard_rows: int, seed: int
) -> CorpusPlan:
    """Choose the tiles, deal them to splits by place, shuffle them and cut the order into shards.

    Args:
        tiles: All tiles.
        with_caption: Those that have a usable caption; the others are left out and counted.
        fractions: Wanted part of each split.
        shard_rows: Pairs a file.
        seed: Changes splits and order.

    Raises:
        DataError: No tile has a caption.
    """
    kept = [tile for tile in tiles if tile.tile_id in with_caption]
    if not kept:
        raise DataError("no tile has a usable caption", where="corpus", fix="run jobs.caption first")
    dealt = allot(kept, fractions, seed)
    order = sorted(dealt.split)
    random.Random(seed).shuffle(order)
    seats = {
        tile_id: Seat(dealt.split[tile_id], dealt.place[tile_id], position // shard_rows, position)
        for position, tile_id in enumerate(order)
    }
    left_out = {"no_caption": len(tiles) - len(kept), "ground_shared_between_splits": len(dealt.left_out)}
    return CorpusPlan(
        seats,
        -(-len(order) // shard_rows),
        dealt.level,
        {reason: number for reason, number in left_out.items() if number},
    )


def usable() -> pc.Expression:
    """Return the condition on `captions/` rows that may be trained on: in order, and all eight sub-texts there."""
    condition = pc.field("status") == OK
    for name in SUBTEXTS:
        condition = condition & pc.is_valid(pc.field(name)) & (pc.field(name) != "")
    return condition
