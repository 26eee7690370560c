"""Units of captioning: trees of tiles, so that a large tile and all its descendants are described in one go."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from knowlip.captioning.facts import COLUMNS
from knowlip.errors import DataError, WorkspaceError
from knowlip.manifest import digest
from knowlip.records import SCALES
from knowlip.workspace import Workspace

__all__ = ["MOST_TILES", "CaptionUnit", "TileImages", "index", "plan", "rows"]

ROWS_AT_ONCE = 32

_KEPT_GROUPS = 6

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
    def scene_id(self) -> str:
        """The scene that the trees are of."""
        return self.name.rpartition("-")[0]

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


class TileImages:
    """Reads stored images one by one, in any order: a row group at a time, of which the last few are kept.

    Args:
        workspace: Where the tiles lie.
        unit: Whose images.
    """

    def __init__(self, workspace: Workspace, unit: CaptionUnit) -> None:
        self._workspace = workspace
        self._wanted = {tile_id for ids in unit.tiles.values() for tile_id in ids}
        self._files = unit.files
        self._places: dict[str, tuple[str, int, int]] = {}
        self._kept: OrderedDict[tuple[str, int], pa.ChunkedArray] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, tile_id: str) -> bytes:
        """Return a tile's image, as it is stored; safe to call from several threads.

        Raises:
            DataError: The tile is no longer there.
        """
        with self._lock:
            if not self._places:
                self._places = dict(self._found())
            if tile_id not in self._places:
                raise DataError("is no longer there", where=f"tile {tile_id}", fix="caption again")
            name, group, row = self._places[tile_id]
            return bytes(self._images(name, group)[row].as_py())

    def _found(self) -> Iterator[tuple[str, tuple[str, int, int]]]:
        for name in self._files:
            with self._opened(name) as file:
                for group in range(file.num_row_groups):
                    ids = file.read_row_group(group, columns=["tile_id"])["tile_id"].to_pylist()
                    yield from ((one, (name, group, row)) for row, one in enumerate(ids) if one in self._wanted)

    def _images(self, name: str, group: int) -> pa.ChunkedArray:
        if (name, group) not in self._kept:
            with self._opened(name) as file:
                self._kept[name, group] = file.read_row_group(group, columns=["image"])["image"]
        self._kept.move_to_end((name, group))
        while len(self._kept) > _KEPT_GROUPS:
            self._kept.popitem(last=False)
        return self._kept[name, group]

    def _opened(self, name: str) -> pq.ParquetFile:
        source = self._workspace.filesystem.open_input_file(self._workspace.path("tiles", name))
        return pq.ParquetFile(source)


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
