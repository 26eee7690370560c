"""Embedding in Ray Data: the actor that turns files of tiles into files of vectors."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from knowlip.archive import Version, fetched_checkpoint
from knowlip.workspace import Workspace
from models import KnowlipModel, load

__all__ = ["EmbedTiles"]


class EmbedTiles:
    """A Ray Data actor that holds the model and turns one file of tiles into one file of vectors.

    Args:
        workspace: Where tiles, checkpoint and index lie.
        version: The index that the vectors are for.
        batch_size: Views that go through the model at once.
        device: Where the model goes.
    """

    def __init__(self, workspace: Workspace, version: Version, *, batch_size: int, device: str) -> None:
        self.workspace, self.version = workspace, version
        self.batch_size, self.device = batch_size, device

    @cached_property
    def _model(self) -> KnowlipModel:
        folder = fetched_checkpoint(self.workspace, self.version.checkpoint)
        return load(folder, self.device)

    def __call__(self, unit: dict[str, Any]) -> dict[str, Any]:
        """Embed the tiles of one file; the file of their vectors appears whole."""
        name = str(unit["item"])
        ids, vectors = [], [np.zeros((0, self.version.width), np.float32)]
        rows = self.workspace.dataset("tiles", name).scanner(
            ["tile_id", "view"], batch_size=self.batch_size, batch_readahead=2
        )
        for batch in rows.to_batches():
            if batch.num_rows:
                ids += batch["tile_id"].to_pylist()
                vectors.append(self._model.encode_image(batch["view"].to_pylist()))
        column = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(vectors).ravel()), self.version.width)
        table = pa.table({"tile_id": pa.array(ids, pa.string()), "vector": column})
        self.workspace.write_table(table, self.version.vectors, name)
        return {"file": name, "tiles": len(ids)}
