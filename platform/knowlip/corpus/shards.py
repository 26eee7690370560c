"""Shards of the corpus: views and texts of the same tiles brought together, and all shards published at once."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs

from knowlip.corpus.doubts import text_columns, worded
from knowlip.corpus.pairs import Seat
from knowlip.records import CORPUS, SUBTEXTS, conform
from knowlip.workspace import Workspace

__all__ = ["BUILDING", "joined", "publish", "seated", "shard_file", "sides"]

BUILDING = "_building"
"""Folder below the corpus where the shards of one recipe grow."""

_SIDES = pa.schema(
    [("shard", pa.int64()), ("tile_id", pa.string()), ("scale", pa.string()), ("view", pa.binary())]
    + [(name, pa.string()) for name in SUBTEXTS]
)


def shard_file(shard: int) -> str:
    """Name a shard while it is built."""
    return f"part-{shard:05d}.parquet"


def seated(table: pa.Table, seats: Mapping[str, Seat]) -> pa.Table:
    """Keep the rows of some tiles, say which shard each belongs to, and fill the columns of the other side with nulls.

    Args:
        table: Rows of `tiles/` or `captions/`.
        seats: Seat of each wanted tile.
    """
    table = table.filter(pa.array([one in seats for one in table["tile_id"].to_pylist()], pa.bool_()))
    shards = pa.array([seats[one].shard for one in table["tile_id"].to_pylist()], pa.int64())
    table = table.append_column("shard", shards)
    columns = [
        table[f.name].cast(f.type) if f.name in table.column_names else pa.nulls(len(table), f.type) for f in _SIDES
    ]
    return pa.table(columns, schema=_SIDES)


def sides(workspace: Workspace, seats: Mapping[str, Seat], shard: int, *, doubted: bool) -> pa.Table:
    """Read both sides of one shard from all files of `tiles/` and `captions/`, as `joined` takes them.

    Args:
        workspace: Where they lie.
        seats: Seat of each wanted tile.
        shard: Which shard.
        doubted: Keep sub-texts that the fact check doubts.
    """
    mine = {one: seat for one, seat in seats.items() if seat.shard == shard}
    wanted = pc.field("tile_id").isin(pa.array(sorted(mine), pa.string()))
    views = workspace.read_table("tiles", columns=["tile_id", "scale", "view"], where=wanted)
    texts = workspace.read_table("captions", columns=text_columns(doubted=doubted), where=wanted)
    return pa.concat_tables([seated(views, mine), seated(worded(texts, doubted=doubted), mine)])


def joined(table: pa.Table, seats: Mapping[str, Seat]) -> pa.Table:
    """Bring both sides of one shard together, in the shuffled order.

    Args:
        table: Rows of `seated`, of both sides.
        seats: Seat of each wanted tile.

    Returns:
        Rows of `knowlip.records.CORPUS`.
    """
    pictures = table.filter(table["view"].is_valid()).select(["tile_id", "scale", "view"])
    texts = table.filter(table[SUBTEXTS[0]].is_valid()).select(["tile_id", *SUBTEXTS])
    both = pictures.join(texts, "tile_id", join_type="inner")
    taken = [seats[one] for one in both["tile_id"].to_pylist()]
    both = both.append_column("split", pa.array([seat.split for seat in taken], pa.string()))
    both = both.append_column("place", pa.array([seat.place for seat in taken], pa.string()))
    both = both.append_column("position", pa.array([seat.position for seat in taken], pa.int64()))
    return conform(both.sort_by("position").drop_columns(["position"]), CORPUS, where="corpus shard")


def publish(workspace: Workspace, recipe: str) -> None:
    """Put the finished shards of a recipe in the place of the corpus that was there.

    The manifest goes first, so that what is between two corpora does not pass for either.
    """
    workspace.delete("corpus", "manifest.json")
    building = f"{BUILDING}-{recipe}"
    fresh = {f"{name.removesuffix('.parquet')}-{recipe}.parquet": name for name in workspace.files("corpus", building)}
    for name in workspace.files("corpus"):
        if not name.endswith(f"-{recipe}.parquet"):
            workspace.delete("corpus", name)
    for name, built in fresh.items():
        workspace.filesystem.move(workspace.path("corpus", building, built), workspace.path("corpus", name))
    # Also what a killed run of another recipe had begun.
    inside = workspace.filesystem.get_file_info(pafs.FileSelector(workspace.path("corpus")))
    for found in inside:
        if found.type == pafs.FileType.Directory and found.base_name.startswith(BUILDING):
            workspace.delete("corpus", found.base_name)
