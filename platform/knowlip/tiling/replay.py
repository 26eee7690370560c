"""Screen tiles again from their tables alone: new thresholds or labels, and no raster is read (section 3.1, step 5).

What is turned away now is *shelved*: its row moves to ``tiles/_rejected`` and is kept whole, images included, in
``tiles/_shelved``, so that a later replay brings it back. A tile that was turned away when its scene was cut never had
an image: where it would be kept now it stays rejected with the reason ``no_image``, and only cutting its scene again
brings it in. Tiles at a corrupt block stay rejected whatever the thresholds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from knowlip.records import IMAGE_COLUMNS, REJECTED, SCALES, TILES, conform
from knowlip.tiling.geoparquet import with_geometry
from knowlip.tiling.ledger import REJECTED_TILES
from knowlip.tiling.ledger import TILES as KEPT_TILES
from knowlip.tiling.ordering import ROW_GROUP_TILES
from knowlip.tiling.screening import Rejection, ScreeningSettings, screen
from knowlip.tiling.texture import Quality
from knowlip.workspace import Workspace

__all__ = ["SHELVED_TILES", "Scored", "judge_again", "replay", "scored_tiles"]

SHELVED_TILES = "tiles/_shelved"

_FINAL = frozenset({"corrupt_block", "low_structure_region", "outside_region"})
_NO_IMAGE = Rejection("no_image", float("nan"), float("nan"))

Verdicts = Mapping[str, Rejection | None]


@dataclass(frozen=True)
class Scored:
    """What is known of a tile without its image.

    Attributes:
        tile_id: Which.
        scale: L, M or S.
        parent_id: Tile of the next larger scale.
        quality: Its scores; none where it was never cut.
        residual_m: Misfit of its footprint.
        reason: Why it is set aside now; empty where it is kept.
    """

    tile_id: str
    scale: str
    parent_id: str | None
    quality: Quality | None
    residual_m: float
    reason: str


def scored_tiles(workspace: Workspace) -> list[Scored]:
    """Return every tile of a workspace once, kept or set aside, from the tables' small columns."""
    found: dict[str, Scored] = {}
    # A run that died while it moved a row may have left it in two places; the first of these counts.
    for artefact in (KEPT_TILES, REJECTED_TILES, SHELVED_TILES):
        for row in _small_columns(workspace, artefact):
            found.setdefault(
                row["tile_id"],
                Scored(
                    row["tile_id"],
                    row["scale"],
                    row["parent_id"],
                    Quality(**row["quality"]) if row["quality"] else None,
                    row.get("residual_m") or 0.0,
                    row.get("reason", ""),
                ),
            )
    return list(found.values())


def judge_again(
    tiles: Iterable[Scored], settings: ScreeningSettings, labels: Mapping[str, bool] | None = None
) -> dict[str, Rejection | None]:
    """Return for every tile why it is set aside, or nothing where it is kept; no order or grouping matters.

    Args:
        tiles: All tiles of a workspace.
        settings: Thresholds.
        labels: What a person said of small tiles; it outdoes every score but a corrupt block.
    """
    verdicts: dict[str, Rejection | None] = {}
    needed: set[str] = set()
    for tile in sorted(tiles, key=lambda one: SCALES[::-1].index(one.scale)):
        if tile.scale == "S":
            verdict = _judge_small(tile, settings, labels or {})
        else:
            verdict = None if tile.tile_id in needed else Rejection("no_kept_child", 0.0, 1.0)
        if verdict is None and tile.parent_id:
            needed.add(tile.parent_id)
        verdicts[tile.tile_id] = verdict
    return verdicts


def replay(workspace: Workspace, verdicts: Verdicts, *, dry_run: bool = False) -> dict[str, int]:
    """Move rows between ``tiles/``, ``tiles/_rejected`` and ``tiles/_shelved`` until they say what the verdicts say.

    Args:
        workspace: Where the tiles are.
        verdicts: By `judge_again`.
        dry_run: Count only.

    Returns:
        How many tiles are kept, were set aside, came back, and would be kept but have no image.
    """
    counts: Counter[str] = Counter({"kept": 0, "set aside now": 0, "brought back": 0, "no image": 0})
    for name in sorted({*workspace.files(KEPT_TILES), *workspace.files(REJECTED_TILES)}):
        counts += _replay_unit(workspace, name, verdicts, dry_run=dry_run)
    return {name: counts[name] for name in ("kept", "set aside now", "brought back", "no image")}


def _judge_small(tile: Scored, settings: ScreeningSettings, labels: Mapping[str, bool]) -> Rejection | None:
    if tile.reason in _FINAL or tile.quality is None:
        return Rejection(tile.reason, 1.0, 0.0)
    if tile.tile_id in labels:
        return None if labels[tile.tile_id] else Rejection("label", 0.0, 1.0)
    return screen(tile.quality, settings, residual_m=tile.residual_m)


def _small_columns(workspace: Workspace, artefact: str) -> Iterator[dict[str, Any]]:
    if workspace.files(artefact):
        dataset = workspace.dataset(artefact)
        wanted = ("tile_id", "scale", "parent_id", "quality", "residual_m", "reason")
        for batch in dataset.to_batches(columns=[name for name in wanted if name in dataset.schema.names]):
            yield from batch.to_pylist()


def _replay_unit(workspace: Workspace, name: str, verdicts: Verdicts, *, dry_run: bool) -> Counter[str]:
    """Bring one unit's three files in line; each step leaves every row in at least one of them."""
    kept = _table(workspace, KEPT_TILES, name, TILES)
    rejected = _table(workspace, REJECTED_TILES, name, REJECTED)
    shelved = _table(workspace, SHELVED_TILES, name, TILES)
    whole = _first_of_each(pa.concat_tables([kept, shelved]))
    keeping = pa.array([verdicts[tile] is None for tile in whole["tile_id"].to_pylist()], pa.bool_())
    now_kept, now_shelved = whole.filter(keeping), whole.filter(pc.invert(keeping))
    imaged, before = set(whole["tile_id"].to_pylist()), set(kept["tile_id"].to_pylist())
    now_rejected = _rejected_rows(rejected, now_shelved, now_kept, verdicts)
    missing = [tile for tile in now_rejected["tile_id"].to_pylist() if verdicts[tile] is None]
    after = set(now_kept["tile_id"].to_pylist())
    if not dry_run and not (before == after and now_rejected.equals(rejected)):
        moving = pa.array([tile not in before & after for tile in whole["tile_id"].to_pylist()], pa.bool_())
        _write(workspace, SHELVED_TILES, name, whole.filter(moving))
        _write(workspace, REJECTED_TILES, name, now_rejected)
        _write(workspace, KEPT_TILES, name, now_kept)
        _write(workspace, SHELVED_TILES, name, now_shelved)
    return Counter(
        {
            "kept": len(after),
            "set aside now": len(before - after),
            "brought back": len(after & imaged - before),
            "no image": len(missing),
        }
    )


def _rejected_rows(rejected: pa.Table, shelved: pa.Table, kept: pa.Table, verdicts: Verdicts) -> pa.Table:
    """Return the rows of a unit that are set aside, with the reasons of now."""
    back = kept["tile_id"]
    rows = rejected.filter(pc.invert(pc.is_in(rejected["tile_id"], value_set=back.combine_chunks())))
    fresh = shelved.filter(pc.invert(pc.is_in(shelved["tile_id"], value_set=rows["tile_id"].combine_chunks())))
    fresh = fresh.append_column("thumbnail", fresh["view"]).append_column("reason", pa.array([""] * len(fresh)))
    for name in ("score", "threshold"):
        fresh = fresh.append_column(name, pa.nulls(len(fresh), pa.float64()))
    table = pa.concat_tables([rows, fresh.select(REJECTED.names).cast(rows.schema)])
    why = [verdicts[tile] or _NO_IMAGE for tile in table["tile_id"].to_pylist()]
    for name in ("reason", "score", "threshold"):
        values = pa.array([getattr(one, name) for one in why], REJECTED.field(name).type, from_pandas=True)
        table = table.set_column(table.schema.get_field_index(name), REJECTED.field(name), values)
    return table


def _table(workspace: Workspace, artefact: str, name: str, schema: pa.Schema) -> pa.Table:
    if not workspace.exists(artefact, name):
        return schema.empty_table().replace_schema_metadata(None)
    table = workspace.read_table(artefact, name)
    for field in schema:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return conform(table, schema, where=workspace.uri(artefact, name)).replace_schema_metadata(None)


def _first_of_each(table: pa.Table) -> pa.Table:
    places = {tile: at for at, tile in reversed(list(enumerate(table["tile_id"].to_pylist())))}
    return table.take(sorted(places.values()))


def _write(workspace: Workspace, artefact: str, name: str, table: pa.Table) -> None:
    if artefact == SHELVED_TILES and not len(table):
        workspace.delete(artefact, name)
    else:
        workspace.write_table(
            with_geometry(table),
            artefact,
            name,
            row_group_size=ROW_GROUP_TILES,
            use_dictionary=False,
            packed=IMAGE_COLUMNS,
        )
