"""The Arrow schema of every table, in one place.

Readers select columns by these names and writers are checked against them (`conform`), so a table that reaches a
workspace always has the shape that the next job expects.
"""

from __future__ import annotations

import pyarrow as pa

from knowlip.errors import DataError

__all__ = [
    "CAPTIONS",
    "CORPUS",
    "EXAMPLES",
    "FAMILIES",
    "FIGURES",
    "HELD_OUT",
    "LAYERS",
    "METRICS",
    "PAIRED",
    "QUALITY",
    "REJECTED",
    "RESULTS",
    "SCALES",
    "SCENES",
    "SPLITS",
    "SUBTEXTS",
    "TILES",
    "TRIALS",
    "VERDICTS",
    "conform",
]

SCALES = ("L", "M", "S")
"""Large, medium and small tiles, parents first (section 3.2)."""

SPLITS = ("train", "val", "test")

SUBTEXTS = (
    "scene_background",
    "regional_function",
    "terrain_structure",
    "target_category",
    "target_quantity",
    "target_location",
    "target_structure",
    "spatial_layout",
)
"""The eight sub-texts of a tile, in the order in which they are joined (section 3.4, phase 1)."""

LAYERS = ("earth_cognition", "social_priors", "sar_theory", "instance_discrimination", "calibration")
"""The five reasoning layers of HCoT (section 3.2)."""

FAMILIES = ("ground_target", "marine_target", "terrain")
"""The three instruction families (section 4.2)."""


def _field(name: str, kind: pa.DataType, about: str, *, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"about": about})


_TIMESTAMP = pa.timestamp("us", tz="UTC")
_PLACE = pa.list_(
    pa.struct([("code", pa.string()), ("name", pa.string()), ("lon", pa.float64()), ("lat", pa.float64())])
)
_BBOX = pa.struct([(edge, pa.float64()) for edge in ("xmin", "ymin", "xmax", "ymax")])

QUALITY = pa.struct(
    [
        ("contrast", pa.float32()),
        ("homogeneity", pa.float32()),
        ("energy", pa.float32()),
        ("correlation", pa.float32()),
        ("entropy", pa.float32()),
        ("saturation", pa.float32()),
        ("nodata_share", pa.float32()),
        ("enl", pa.float32()),
        ("dynamic_range_db", pa.float32()),
        ("bright_density", pa.float32()),
        ("structure", pa.float32()),
    ]
)
"""Texture and statistics by which tiles are screened (section 3.1, step 5)."""

_BOXES = pa.list_(
    pa.struct([("category", pa.string()), *[(edge, pa.float32()) for edge in ("xmin", "ymin", "xmax", "ymax")]])
)

_FLAGS = pa.list_(pa.struct([(name, pa.string()) for name in ("subtext", "kind", "claim", "evidence")]))

_TRANSFER = pa.struct(
    [
        ("quantity", pa.string()),
        ("decided_by", pa.string()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("curve", pa.string()),
    ]
)

_TILE_FIELDS = [
    _field("tile_id", pa.string(), "content address: scene digest, scale, window", nullable=False),
    _field("scene_id", pa.string(), "digest of the scene's bytes", nullable=False),
    _field("scene_name", pa.string(), "the scene's file name"),
    _field("series", pa.string(), "polarisation band or composite of the scene that the tile shows"),
    _field("scale", pa.string(), "L, M or S", nullable=False),
    _field("parent_id", pa.string(), "the tile of the next larger scale that contains this one's centre"),
    _field("row_off", pa.int32(), "window in scene pixels"),
    _field("col_off", pa.int32(), "window in scene pixels"),
    _field("height", pa.int32(), "window in scene pixels"),
    _field("width", pa.int32(), "window in scene pixels"),
    _field("extent_m", pa.float64(), "ground extent asked for, metres on the ellipsoid"),
    _field("gsd_m", pa.float64(), "ground sampling distance of the stored image, metres a pixel"),
    _field("crs", pa.string(), "authority code or WKT of the affine's CRS"),
    _field("affine", pa.list_(pa.float64(), 6), "a b c d e f of the stored image: pixel (col, row) to CRS"),
    _field("georeference", pa.string(), "affine, gcps, rpcs or none"),
    _field("residual_m", pa.float64(), "misfit of an affine that was fitted to control points or RPCs; 0 for its own"),
    _field("geometry", pa.binary(), "WGS84 footprint, WKB polygon (GeoParquet 1.1)"),
    _field("bbox", _BBOX, "bounds of the footprint, degrees"),
    _field("lon", pa.float64(), "centre, degrees east"),
    _field("lat", pa.float64(), "centre, degrees north"),
    _field("sensor", pa.string(), "satellite"),
    _field("band", pa.string(), "radar band letter(s)"),
    _field("polarisation", pa.string(), "HH, HV, VH, VV or empty"),
    _field("time", _TIMESTAMP, "acquisition start"),
    _field("city", pa.string(), "nearest named place"),
    _field("admin", pa.string(), "first-level administrative area"),
    _field("country", pa.string(), "ISO 3166-1 alpha-2"),
    _field("airports", _PLACE, "airports whose reference point lies within"),
    _field("ports", _PLACE, "sea ports within"),
    _field("transfer", _TRANSFER, "how 8-bit values map back to the measured quantity"),
    _field("quality", QUALITY, "texture and statistics"),
]

TILES = pa.schema(
    [
        *_TILE_FIELDS,
        _field("image", pa.binary(), "8-bit PNG at full resolution; 0 is no data", nullable=False),
        _field("view", pa.binary(), "8-bit PNG, at most 256 px a side, for training", nullable=False),
    ]
)
"""`tiles/`: one row a kept tile."""

IMAGE_COLUMNS = ("image", "view")
"""Columns of tiles that hold PNG, which no second compression makes smaller."""

REJECTED = pa.schema(
    [
        *_TILE_FIELDS,
        _field("thumbnail", pa.binary(), "8-bit PNG, at most 64 px a side, to look at the decision"),
        _field("reason", pa.string(), "reason code", nullable=False),
        _field("score", pa.float64(), "the score that decided"),
        _field("threshold", pa.float64(), "what the score was held against"),
    ]
)
"""`tiles/_rejected/`: one row a tile that was set aside."""

SCENES = pa.schema(
    [
        _field("scene_id", pa.string(), "digest of the scene's bytes; empty when it could not be read"),
        _field("scene_name", pa.string(), "the scene's file name", nullable=False),
        _field("status", pa.string(), "tiled or rejected", nullable=False),
        _field("reason", pa.string(), "reason code of a rejected scene"),
        _field("detail", pa.string(), "one line a person can act on"),
        _field("kept", pa.int64(), "tiles kept"),
        _field("rejected", pa.int64(), "tiles set aside"),
    ]
)
"""`tiles/_scenes/`: one row a scene that was offered, tiled or not."""

CAPTIONS = pa.schema(
    [
        _field("tile_id", pa.string(), "the tile that is described", nullable=False),
        _field("prompt_digest", pa.string(), "digest of the rendered prompt and image", nullable=False),
        _field("model", pa.string(), "who wrote it: `measured` or a model name", nullable=False),
        _field("prompts", pa.string(), "digest of the prompt files, or the measured captioner's wording"),
        _field("scale", pa.string(), "L, M or S"),
        _field("family", pa.string(), "instruction family"),
        *[_field(name, pa.string(), "sub-text") for name in SUBTEXTS],
        *[_field(f"reasoning_{layer}", pa.string(), "reasoning of one HCoT layer") for layer in LAYERS],
        _field("parent_id", pa.string(), "tile whose text went into this prompt (eq. 2, 3)"),
        _field("parent_digest", pa.string(), "digest of the parent's text that was used; null when none was"),
        _field("prompt_tokens", pa.int64(), "tokens read"),
        _field("completion_tokens", pa.int64(), "tokens written"),
        _field("cost_usd", pa.float64(), "price of the call"),
        _field("latency_s", pa.float64(), "seconds from asking to answer"),
        _field("raw", pa.string(), "the raw reply"),
        _field("flags", _FLAGS, "claims that measurements or geography speak against; null where nothing was checked"),
        _field("status", pa.string(), "ok or the reason why it was set aside", nullable=False),
    ]
)
"""`captions/`: one row a tile, prompt and model."""

CORPUS = pa.schema(
    [
        _field("tile_id", pa.string(), "the pair's key", nullable=False),
        _field("scale", pa.string(), "L, M or S"),
        _field("split", pa.string(), "train, val or test; tiles of one place share it", nullable=False),
        _field("place", pa.string(), "the group that the split kept together"),
        _field("view", pa.binary(), "8-bit PNG", nullable=False),
        *[_field(name, pa.string(), "sub-text", nullable=False) for name in SUBTEXTS],
    ]
)
"""`corpus/`: shuffled image-text pairs in shards sized for streaming."""

EXAMPLES = pa.schema(
    [
        _field("example_id", pa.string(), "key", nullable=False),
        _field("tile_id", pa.string(), "the tile or source image", nullable=False),
        _field("split", pa.string(), "train, val or test", nullable=False),
        _field("view", pa.binary(), "8-bit PNG", nullable=False),
        _field("label", pa.string(), "class name (classification)"),
        _field("question", pa.string(), "what is asked (VQA)"),
        _field("answer", pa.string(), "the right answer (VQA)"),
        _field("kind", pa.string(), "kind of question"),
        _field("texts", pa.list_(pa.string()), "right descriptions (retrieval, captioning)"),
        _field("boxes", _BOXES, "targets, in pixels of the view (detection)"),
        _field("mask", pa.binary(), "8-bit PNG as large as the view: code of each pixel, 0 unknown (segmentation)"),
        _field("group", pa.string(), "near-identical examples or examples of one place; never parted by a split"),
    ]
)
"""`datasets/NAME/`: labelled examples of a downstream task, built from truth, annotations or measurements."""

HELD_OUT = pa.schema(
    [
        _field("example_id", pa.string(), "of the held-out example", nullable=False),
        _field("record", pa.string(), "what was right and what was given, JSON", nullable=False),
    ]
)
"""`runs/NAME/checkpoint/held_out.parquet`: what a tuned model gave; retrieval has several rows an example."""

FIGURES = pa.schema(
    [
        _field("metric", pa.string(), "figure, as knowlip.benchmark.metrics calls it", nullable=False),
        _field("value", pa.float64(), "share, 0 to 1 (CIDEr up to 10)", nullable=False),
        _field("low", pa.float64(), "where its 95 % bootstrap interval begins", nullable=False),
        _field("high", pa.float64(), "where it ends", nullable=False),
    ]
)
"""`figures.parquet` of a run or an evaluation: held-out figures with intervals that resample groups."""

VERDICTS = pa.schema(
    [
        _field("tile_id", pa.string(), "the pair", nullable=False),
        _field("round", pa.int32(), "SCIO round, from 1", nullable=False),
        _field("subtext", pa.string(), "which of the eight", nullable=False),
        _field("delta_itc", pa.float32(), "eq. 10: below zero where removing the sub-text helps alignment"),
        _field("delta_itm", pa.float32(), "eq. 11: above zero where removing it raises the matching score"),
        _field("noise", pa.bool_(), "both conditions hold"),
        _field("original", pa.string(), "the sub-text as it was; only for noise"),
        _field("reconstruction", pa.string(), "what the decoder wrote (eq. 13); only for noise"),
        _field("reconstruction_delta_itc", pa.float32(), "eq. 14"),
        _field("reconstruction_delta_itm", pa.float32(), "eq. 15"),
        _field("accepted", pa.bool_(), "the reconstruction replaces the original; null until reconstructed"),
    ]
)
"""`runs/NAME/verdicts.parquet`: what SCIO decided about every sub-text."""

METRICS = pa.schema(
    [
        _field("phase", pa.string(), "train phase, `val` or `test`"),
        _field("epoch", pa.int32(), "from 1"),
        _field("step", pa.int64(), "optimiser steps since the run began"),
        _field("metric", pa.string(), "name", nullable=False),
        _field("value", pa.float64(), "value"),
    ]
)
"""`runs/NAME/metrics.parquet`: one row a figure."""

TRIALS = pa.schema(
    [
        _field("trial", pa.int32(), "in the order in which they were drawn, from 0", nullable=False),
        _field("status", pa.string(), "finished, stopped (given up by the scheduler) or failed", nullable=False),
        _field("epoch", pa.int32(), "epochs done"),
        _field("value", pa.float64(), "what it reached; of a finished trial its best epoch's"),
        _field("seconds", pa.float64(), "how long it took, of its last start"),
        _field("error", pa.string(), "why it failed"),
        _field("settings", pa.string(), "JSON: dotted names of settings of jobs.finetune, and their values"),
    ]
)
"""`runs/NAME/trials.parquet`: one row a trial of a sweep."""


RESULTS = pa.schema(
    [
        _field("name", pa.string(), "the benchmark's task, such as classification_port", nullable=False),
        _field("task", pa.string(), "kind of task", nullable=False),
        _field("data", pa.string(), "data set", nullable=False),
        _field("row", pa.string(), "what was compared: ours, scratch, mae, a floor …", nullable=False),
        _field("seed", pa.int64(), "of the run; null for floors"),
        _field("fold", pa.int64(), "that was tested; null where no frozen split was chosen"),
        _field("run", pa.string(), "its name below runs/; null for floors"),
        _field("metric", pa.string(), "figure, as knowlip.benchmark.metrics calls it", nullable=False),
        _field("value", pa.float64(), "share, 0 to 1 (CIDEr up to 10)", nullable=False),
        _field("low", pa.float64(), "where its 95 % bootstrap interval begins; null for floors"),
        _field("high", pa.float64(), "where it ends"),
        _field("held_out", pa.int64(), "examples that it was measured on"),
        _field("checkpoint", pa.string(), "digest of the first weights"),
        _field("examples", pa.string(), "digest of the data set"),
        _field("split", pa.string(), "SHA-256 of the frozen split, where one was chosen"),
        _field("settings", pa.string(), "the run's settings, JSON"),
        _field("recipe", pa.string(), "digest of settings and inputs"),
        _field("commit", pa.string(), "of the code"),
        _field("libraries", pa.string(), "versions, JSON"),
        _field("hardware", pa.string(), "machine it ran on"),
        _field("seconds", pa.float64(), "of the run"),
        _field("made_at", _TIMESTAMP, "when it ended"),
    ]
)
"""`benchmark/results.parquet`: one row a figure of a run of the benchmark."""

PAIRED = pa.schema(
    [
        _field("name", pa.string(), "the benchmark's task, such as classification_port", nullable=False),
        _field("task", pa.string(), "kind of task", nullable=False),
        _field("row", pa.string(), "what was compared", nullable=False),
        _field("other", pa.string(), "with what", nullable=False),
        _field("value", pa.float64(), "the row's figure less the other's, over all seeds and folds", nullable=False),
        _field("low", pa.float64(), "where its paired 95 % bootstrap interval begins", nullable=False),
        _field("high", pa.float64(), "where it ends", nullable=False),
    ]
)
"""`benchmark/paired.parquet`: one row a task and pair of rows that answered the same held-out examples."""


def conform(table: pa.Table, schema: pa.Schema, *, where: str) -> pa.Table:
    """Return the table with exactly the schema's columns, in its order and types.

    Args:
        table: Rows to write.
        schema: One of this module's schemas.
        where: What the table is, for the error line.

    Raises:
        DataError: A column is missing, unknown, or holds values of another type, or nulls where none may be.
    """
    missing = [name for name in schema.names if name not in table.column_names]
    unknown = [name for name in table.column_names if name not in schema.names]
    if missing or unknown:
        raise DataError(f"columns missing {missing}, unknown {unknown}", where=where, fix="see knowlip.records")
    try:
        cast = table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise DataError(str(error), where=where, fix="see knowlip.records") from error
    for field in schema:
        if not field.nullable and cast[field.name].null_count:
            raise DataError(f"column {field.name!r} has nulls", where=where, fix="every row needs it")
    return cast.replace_schema_metadata(table.schema.metadata or schema.metadata)
