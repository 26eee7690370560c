"""Embedding in Ray Data: the actor that turns files of tiles into files of vectors."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from knowlip.archive import Version, fetched_checkpoint, placed_digest, tiles_digest, write_vectors
from knowlip.workspace import Workspace
from models import KnowlipModel, load
from models.inference import inference

__all__ = ["EmbedTiles"]


class EmbedTiles:
    """A Ray Data actor that holds the model and turns one file of tiles into one file of vectors.

    Args:
        workspace: Where tiles, checkpoint and index lie.
        version: The index that the vectors are for.
        batch_size: Views that go through the model at once.
        device: Where the model goes.

    Raises:
        CheckpointError: At the first file: other weights lie in the checkpoint's place by now.
    """

    def __init__(self, workspace: Workspace, version: Version, *, batch_size: int, device: str) -> None:
        self.workspace, self.version = workspace, version
        self.batch_size, self.device = batch_size, device

    @cached_property
    def _model(self) -> KnowlipModel:
        folder = fetched_checkpoint(self.workspace, self.version.checkpoint)
        model = replace(load(folder, self.device), batch_size=self.batch_size)
        # After it was loaded: a training run may put other weights in their place at any time.
        self.version.check(self.workspace, placed_digest(str(folder)))
        return model

    def __call__(self, unit: dict[str, Any]) -> dict[str, Any]:
        """Embed the tiles of one file; the file of their vectors appears whole."""
        name = str(unit["item"])
        source = tiles_digest(self.workspace, name)
        # Whole, since what is read bit by bit comes in row groups: fewer tiles than a batch.
        tiles = self.workspace.read_table("tiles", name, columns=["tile_id", "view"])
        with inference(self.device):
            vectors = self._model.encode_image(tiles["view"].to_pylist())
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), self.version.width)
        table = pa.table({"tile_id": tiles["tile_id"], "vector": column})
        write_vectors(self.workspace, self.version, name, table, source=source)
        return {"file": name, "tiles": tiles.num_rows}
