"""Hand tiles to other tools: ``python -m jobs.export --format stac --workspace W``.

Reads ``tiles/``; writes ``exports/FORMAT/``: Cloud Optimized GeoTIFFs (`cog`), the same with a STAC item collection
(`stac`), tars of PNG and JSON (`webdataset`), or Parquet with a card (`huggingface`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal

import pyarrow.compute as pc

from jobs.command import Summary, run
from knowlip.manifest import Manifest, inputs_digest
from knowlip.settings import JobSettings
from knowlip.tiling.duplicates import DUPLICATE_TILES
from knowlip.tiling.exports import cog_bytes, hub_card, hub_shard, item_collection, stac_item, tar_shard
from knowlip.tiling.ledger import TILES
from knowlip.workspace import Workspace

__all__ = ["ExportSettings", "export"]

_ROWS = 64


class ExportSettings(JobSettings):
    """Write tiles in a format that other tools read."""

    format: Literal["stac", "cog", "webdataset", "huggingface"] = "stac"
    """`cog`: GeoTIFFs; `stac`: the same with an item collection; `webdataset`: tars; `huggingface`: a dataset."""

    scales: tuple[Literal["L", "M", "S"], ...] = ("L", "M", "S")
    """Which scales."""

    duplicates: bool = False
    """Also export tiles that `jobs.screen duplicates` marked as repeating another."""

    licence: str = "other"
    """Licence of the images, for the card of a Hugging Face dataset."""


def export(settings: ExportSettings) -> Summary:
    """Run the job: one shard a file of tiles, each written whole."""
    started, workspace = time.monotonic(), settings.opened()
    artefact = f"exports/{settings.format}"
    shards = list(enumerate(workspace.files(TILES)))
    dataset = workspace.dataset(TILES)
    if settings.dry_run:
        chosen = dataset.count_rows(filter=pc.field("scale").isin(settings.scales))
        return Summary("tiles that would be exported", {"tiles": chosen}, where=workspace.uri(artefact))
    with workspace.lock(artefact):
        workspace.delete(artefact)
        write = partial(_export_unit, settings=settings, workspace=workspace, artefact=artefact, shards=len(shards))
        with ThreadPoolExecutor() as pool:
            parts = list(pool.map(write, shards))
        facts = [fact for part in parts for fact in part]
        _finish(settings, workspace, artefact, facts)
        nowhere = sum(fact["item"] is None for fact in facts) if settings.format == "stac" else 0
        counts = {"tiles": len(facts), "scenes": len({fact["scene"] for fact in facts}), "without a place": nowhere}
        manifest = Manifest(artefact=artefact, job="jobs.export", settings=settings.shaping(), counts=counts)
        changes = {"inputs": inputs_digest(workspace, TILES), "seconds": time.monotonic() - started}
        manifest.model_copy(update=changes).write(workspace)
    return Summary(f"tiles as {settings.format}", counts, where=workspace.uri(artefact))


def _export_unit(
    shard: tuple[int, str], settings: ExportSettings, workspace: Workspace, artefact: str, shards: int
) -> list[dict[str, Any]]:
    """Write one file of tiles; return what the closing document needs of each."""
    number, name = shard
    stem = f"{number:05d}-of-{shards:05d}"
    rows = _rows(settings, workspace, name)
    if settings.format in ("stac", "cog"):
        facts = []
        for row in rows:
            workspace.write_bytes(cog_bytes(row), artefact, "cogs", f"{row['tile_id']}.tif")
            placed = settings.format == "stac" and row["geometry"]
            item = stac_item(row, f"./cogs/{row['tile_id']}.tif") if placed else None
            facts.append({"scene": row["scene_id"], "item": item})
        return facts
    whole = list(rows)
    if whole and settings.format == "webdataset":
        workspace.write_bytes(tar_shard(whole), artefact, f"tiles-{stem}.tar")
    elif whole:
        workspace.write_table(hub_shard(whole), artefact, "data", f"train-{stem}.parquet", row_group_size=_ROWS)
    return [{"scene": row["scene_id"], "item": None} for row in whole]


def _rows(settings: ExportSettings, workspace: Workspace, name: str) -> Iterator[dict[str, Any]]:
    wanted = pc.field("scale").isin(settings.scales)
    if not settings.duplicates and workspace.files(DUPLICATE_TILES):
        repeats = workspace.read_table(DUPLICATE_TILES, columns=["tile_id"])["tile_id"].combine_chunks()
        wanted &= ~pc.field("tile_id").isin(repeats)
    for batch in workspace.dataset(TILES, name).to_batches(filter=wanted, batch_size=_ROWS):
        yield from batch.to_pylist()


def _finish(settings: ExportSettings, workspace: Workspace, artefact: str, facts: list[dict[str, Any]]) -> None:
    """Write what stands beside the shards."""
    if settings.format == "stac":
        collection = item_collection(fact["item"] for fact in facts if fact["item"])
        workspace.write_bytes(json.dumps(collection).encode(), artefact, "items.json")
    elif settings.format == "huggingface":
        scenes = len({fact["scene"] for fact in facts})
        card = hub_card(tiles=len(facts), scenes=scenes, licence=settings.licence)
        workspace.write_bytes(card.encode(), artefact, "README.md")


if __name__ == "__main__":
    run(ExportSettings, export)
