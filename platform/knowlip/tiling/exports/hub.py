"""Tiles in the layout of a Hugging Face dataset: Parquet shards with an image column below ``data/``, and a card."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from knowlip.records import TILES
from knowlip.tiling.exports.facts import FACTS

__all__ = ["HUB", "hub_card", "hub_shard"]

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

HUB = pa.schema([pa.field("image", _IMAGE), *(pa.field(name, TILES.field(name).type) for name in FACTS)])
"""Columns of a shard: the image as the `datasets` library's ``Image`` holds it, and what is told of it."""


def hub_shard(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return tiles as a shard that ``datasets.load_dataset`` shows as pictures.

    Args:
        rows: Of `knowlip.records.TILES`.
    """
    shaped = [
        {"image": {"bytes": row["image"], "path": f"{row['tile_id']}.png"}, **{name: row[name] for name in FACTS}}
        for row in rows
    ]
    table = pa.Table.from_pylist(shaped, schema=HUB)
    # What the library does not find here it reads from the columns' own types.
    features = {"info": {"features": {name: _feature(HUB.field(name).type) for name in HUB.names}}}
    return table.replace_schema_metadata({b"huggingface": json.dumps(features).encode()})


def hub_card(*, tiles: int, scenes: int, licence: str) -> str:
    """Return the dataset's README with the header by which the library finds its files.

    Args:
        tiles: How many tiles.
        scenes: Of how many scenes.
        licence: Under which they may be used, as the Hub names it (``other`` where it is not known).
    """
    header = [
        "---",
        f"license: {licence}",
        "tags: [SAR, radar, remote-sensing]",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        "    path: data/train-*.parquet",
        "---",
    ]
    body = [
        "# SAR tiles",
        "",
        f"{tiles:,} tiles of {scenes:,} scenes, cut to equal ground by KnowLIP. `image` is 8 bit, 0 is no data;",
        "`transfer` says how values map back to decibels; `affine` and `crs` place the image on the ground.",
    ]
    return "\n".join([*header, "", *body, ""])


def _feature(kind: pa.DataType) -> Any:
    """Describe a column as the `datasets` library does."""
    if kind == _IMAGE:
        return {"_type": "Image"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        length = kind.list_size if pa.types.is_fixed_size_list(kind) else -1
        return {"feature": _feature(kind.value_type), "length": length, "_type": "List"}
    name = {"float": "float32", "double": "float64"}.get(str(kind), str(kind).replace(" ", ""))
    return {"dtype": name, "_type": "Value"}
