"""Units of captioning: trees of tiles, so that a large tile and all its descendants are described in one go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from knowlip.captioning.facts import COLUMNS
from knowlip.errors import WorkspaceError
from knowlip.manifest import digest
from knowlip.records import SCALES
from knowlip.workspace import Workspace

__all__ = ["MOST_TILES", "CaptionUnit", "index", "plan", "rows"]

ROWS_AT_ONCE = 32

MOST_TILES = 320
"""Trees are put together up to this many tiles a unit; one large tile with its 16 and 256 descendants is 273."""


@dataclass(frozen=True)
class CaptionUnit:
    """Some trees of one scene.

    Attributes:
        name: Made from the scene and the tiles, so a unit whose tiles changed is another unit.
        tiles: Tile ids by scale, in the order L, M, S.
        files: Files of `tiles/` that hold them.
    """

    name: str
    tiles: Mapping[str, tuple[str, ...]]
    files: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of tiles."""
        return sum(len(ids) for ids in self.tiles.values())


def index(workspace: Workspace) -> list[dict[str, str]]:
    """List the tiles of a workspace without their images, as `plan` takes them.

    Raises:
        WorkspaceError: There are none.
    """
    found: list[dict[str, str]] = []
    for name in workspace.files("tiles"):
        table = workspace.read_table("tiles", name, columns=["tile_id", "scene_id", "scale", "parent_id"])
        found += [{**row, "file": name} for row in table.to_pylist()]
    if not found:
        raise WorkspaceError("holds no tiles", where=workspace.uri("tiles"), fix="run jobs.tile first")
    return found


def rows(workspace: Workspace, unit: CaptionUnit) -> Iterator[dict[str, Any]]:
    """Read the rows of a unit's tiles with their images, parents first and a few at a time."""
    for scale in SCALES:
        wanted = pc.field("tile_id").isin(pa.array(unit.tiles[scale], pa.string()))
        for name in unit.files if unit.tiles[scale] else ():
            source = workspace.dataset("tiles", name)
            for batch in source.to_batches(columns=[*COLUMNS, "image"], filter=wanted, batch_size=ROWS_AT_ONCE):
                yield from batch.to_pylist()


def plan(index: Sequence[Mapping[str, str]]) -> list[CaptionUnit]:
    """Group tiles into units.

    Args:
        index: One mapping a tile: ``tile_id``, ``scene_id``, ``scale``, ``parent_id`` (or empty) and ``file``.

    Returns:
        Units in a stable order, whatever the order of the index. A tile whose parent is not in the index is a root.
    """
    tiles = {row["tile_id"]: row for row in index}
    trees: dict[tuple[str, str], list[str]] = {}
    for tile_id, row in tiles.items():
        trees.setdefault((row["scene_id"], _root(tile_id, tiles)), []).append(tile_id)
    return [_unit(scene, ids, tiles) for scene, ids in _packed(trees)]


def _root(tile_id: str, tiles: Mapping[str, Mapping[str, str]]) -> str:
    for _ in SCALES:
        parent = tiles[tile_id].get("parent_id") or ""
        if parent not in tiles:
            break
        tile_id = parent
    return tile_id


def _packed(trees: Mapping[tuple[str, str], list[str]]) -> Iterator[tuple[str, list[str]]]:
    packed: list[str] = []
    scene = ""
    for (tree_scene, _), ids in sorted(trees.items()):
        if packed and (tree_scene != scene or len(packed) + len(ids) > MOST_TILES):
            yield scene, packed
            packed = []
        scene = tree_scene
        packed += ids
    if packed:
        yield scene, packed


def _unit(scene: str, ids: list[str], tiles: Mapping[str, Mapping[str, str]]) -> CaptionUnit:
    ids = sorted(ids)
    by_scale = {scale: tuple(one for one in ids if tiles[one]["scale"] == scale) for scale in SCALES}
    files = tuple(sorted({tiles[one]["file"] for one in ids}))
    return CaptionUnit(name=f"{scene}-{digest(ids)[:8]}", tiles=by_scale, files=files)
