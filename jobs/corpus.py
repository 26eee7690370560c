"""Corpus: image-text pairs with a split by place, shuffled into shards sized for streaming.

Views and texts of a shard meet in one task, after a shuffle when there are many shards. Shards are built aside and
published together, the manifest last: a reader never takes a half corpus for a whole one, and a killed run goes on.
"""

from __future__ import annotations

import time
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import ray
from pydantic import Field, model_validator

from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.units import units_of_work
from knowlip.corpus import (
    BUILDING,
    CorpusPlan,
    captioned,
    grounds,
    joined,
    plan,
    publish,
    seated,
    shard_file,
    sides,
    text_columns,
    worded,
)
from knowlip.manifest import Manifest, inputs_digest
from knowlip.settings import JobSettings, Section
from knowlip.workspace import Workspace

__all__ = ["CorpusSettings", "SplitSettings", "corpus"]

FEW_SHARDS = 8
"""So many shards are each read from all files; for more, one shuffle of everything is cheaper."""


class SplitSettings(Section):
    """How much of the ground goes to each split; ground is never shared between splits."""

    train: float = Field(default=0.8, gt=0, le=1)
    """Fraction to train on."""

    val: float = Field(default=0.1, ge=0, lt=1)
    """Fraction for validation."""

    test: float = Field(default=0.1, ge=0, lt=1)
    """Fraction held out to the end."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(self.train + self.val + self.test - 1.0) > 1e-6:
            raise ValueError("train, val and test must sum to 1")
        return self


class CorpusSettings(JobSettings):
    """Pair views with texts, split them by place and shuffle them into shards."""

    split: SplitSettings = SplitSettings()
    """Fractions of the splits."""

    shard_rows: int = Field(default=2048, ge=1, le=100_000)
    """Pairs a file."""

    doubted: Literal["keep", "drop"] = "keep"
    """Sub-texts with claims that the fact check doubts (`flags` of captions/): `drop` leaves them out."""

    seed: int = 0
    """Changes which places are held out, and the order."""


def corpus(settings: CorpusSettings) -> Summary:
    """Build the corpus of a workspace, or say that it is up to date."""
    started = time.monotonic()
    workspace = settings.opened()
    with workspace.lock("corpus"):
        tiles, with_caption = grounds(workspace), captioned(workspace)
        inputs = inputs_digest(workspace, "tiles", "captions")
        manifest = Manifest(artefact="corpus", job="jobs.corpus", settings=settings.shaping(), inputs=inputs)
        before = Manifest.read(workspace, "corpus")
        if before is not None and before.recipe == manifest.recipe and not settings.overwrite:
            return Summary("Corpus (up to date)", before.counts, where=workspace.uri("corpus"))
        fractions = settings.split.model_dump()
        chosen = plan(tiles, with_caption, fractions=fractions, shard_rows=settings.shard_rows, seed=settings.seed)
        sizes = {"pairs": len(chosen.seats), **chosen.sizes(), "shards": chosen.shards}
        summary = Summary(
            "Corpus", {**sizes, "split by trees of": chosen.level}, chosen.notes(), workspace.uri("corpus")
        )
        if settings.dry_run:
            return summary
        with connected():
            _build(workspace, chosen, manifest.recipe, doubted=settings.doubted == "keep")
        publish(workspace, manifest.recipe)
        seconds = time.monotonic() - started
        manifest.model_copy(update={"counts": summary.counts, "seconds": seconds}).write(workspace)
    return summary


def _build(workspace: Workspace, chosen: CorpusPlan, recipe: str, *, doubted: bool) -> None:
    """Write the shards that are not there yet; views and texts of a shard are brought together in its order."""
    building = f"{BUILDING}-{recipe}"
    there = set(workspace.files("corpus", building))
    missing = [shard for shard in range(chosen.shards) if shard_file(shard) not in there]
    seats = ray.put({one: seat for one, seat in chosen.seats.items() if seat.shard in set(missing)})

    def write(table: pa.Table) -> dict[str, Any]:
        shard, made = table["shard"][0].as_py(), joined(table, ray.get(seats))
        workspace.write_table(made, "corpus", building, shard_file(shard), row_group_size=256, use_dictionary=False)
        return {"rows": np.array([len(made)])}

    if len(missing) <= FEW_SHARDS:
        shards = units_of_work([{"shard": shard} for shard in missing])
        shards.map(lambda row: write(sides(workspace, ray.get(seats), row["shard"], doubted=doubted))).materialize()
    else:
        views = _read(workspace, "tiles", ["tile_id", "scale", "view"])
        texts = _read(workspace, "captions", text_columns(doubted=doubted))
        views = views.map_batches(lambda table: seated(table, ray.get(seats)), batch_format="pyarrow")
        texts = texts.map_batches(
            lambda table: seated(worded(table, doubted=doubted), ray.get(seats)), batch_format="pyarrow"
        )
        by_shard = views.union(texts).groupby("shard", num_partitions=min(len(missing), 64))
        by_shard.map_groups(write, batch_format="pyarrow").materialize()


def _read(workspace: Workspace, artefact: str, columns: list[str]) -> ray.data.Dataset:
    paths = [workspace.path(artefact, name) for name in workspace.files(artefact)]
    return ray.data.read_parquet(paths, filesystem=workspace.filesystem).select_columns(columns)


if __name__ == "__main__":
    run(CorpusSettings, corpus)
