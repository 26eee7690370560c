"""Index: embed every tile's view with a checkpoint, and make the tiles searchable by words."""

from __future__ import annotations

import time
from typing import ClassVar

import ray.data
from pydantic import Field

from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.embedding import EmbedTiles
from knowlip.archive import INDEX, Archive, Version, checkpoint_digest, files_to_embed, load_units
from knowlip.errors import WorkspaceError
from knowlip.manifest import Manifest, inputs_digest
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace
from models import KnowLIPConfig

__all__ = ["IndexSettings", "index"]


class IndexSettings(JobSettings):
    """Make the tiles of a workspace searchable by a trained model: tiles + checkpoint → index/.

    Tiles that were added since the last time are appended, and files of tiles that were screened or cut again are
    embedded again; another checkpoint builds its own index beside the old one, which is switched to when it is whole.
    """

    unshaping: ClassVar[frozenset[str]] = JobSettings.unshaping | {"batch_size", "actors", "gpus"}

    run: str = Field("pretrain", pattern=r"^[\w.-]+$")
    """Name of the training run whose checkpoint embeds the tiles."""
    batch_size: int = Field(64, ge=1)
    """Views that go through the model at once."""
    actors: int = Field(1, ge=1)
    """Copies of the model that work side by side."""
    gpus: float = Field(0, ge=0)
    """GPUs for each of them."""

    @property
    def checkpoint(self) -> str:
        """Folder of the checkpoint below the workspace."""
        return f"runs/{self.run}/checkpoint"


def index(settings: IndexSettings) -> Summary:
    """Build or extend the index, and switch readers to it.

    Raises:
        WorkspaceError: There are no tiles.
        CheckpointError: The run has no checkpoint.
    """
    started = time.monotonic()
    workspace = settings.opened()
    if not workspace.files("tiles"):
        raise WorkspaceError("is not there", where=workspace.uri("tiles"), fix="run the job that makes tiles first")
    version = _version(workspace, settings)
    if settings.dry_run:
        todo = files_to_embed(workspace, version)
        tiles = sum(workspace.dataset("tiles", name).count_rows() for name in todo)
        return Summary("Would index", {"files to embed": len(todo), "tiles to embed": tiles})
    with workspace.lock(INDEX):
        embedded = _embed(workspace, version, settings, files_to_embed(workspace, version))
        loaded = load_units(workspace, version)
        counts = {
            "tiles in the index": len(Archive.of_version(workspace, version)),
            "tiles embedded now": embedded,
            "tiles added or renewed": loaded.rows,
        }
        _finish(workspace, settings, version, counts, started)
    return Summary("Index", counts, where=workspace.uri(version.folder))


def _version(workspace: Workspace, settings: IndexSettings) -> Version:
    digest = checkpoint_digest(workspace, settings.checkpoint)
    config = KnowLIPConfig.model_validate_json(workspace.read_bytes(settings.checkpoint, "config.json"))
    return Version(digest=digest, checkpoint=settings.checkpoint, width=config.projection)


def _embed(workspace: Workspace, version: Version, settings: IndexSettings, files: list[str]) -> int:
    """Return how many tiles were embedded."""
    if not files:
        return 0
    with connected():
        units = ray.data.from_items(files, override_num_blocks=len(files)).map(
            EmbedTiles,
            fn_constructor_args=(workspace, version),
            fn_constructor_kwargs={"batch_size": settings.batch_size, "device": "cuda" if settings.gpus else "cpu"},
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=settings.actors),
            num_gpus=settings.gpus or None,
        )
        return sum(row["tiles"] for row in units.iter_rows())


def _finish(
    workspace: Workspace, settings: IndexSettings, version: Version, counts: dict[str, int], started: float
) -> None:
    """Switch readers to the index and say how it was made, unless both were done before."""
    manifest = Manifest(
        artefact=INDEX,
        job="jobs.index",
        settings=settings.shaping(),
        inputs=inputs_digest(workspace, "tiles", "captions") | {version.checkpoint: version.digest},
        counts=counts,
        seconds=time.monotonic() - started,
    )
    before = Manifest.read(workspace, INDEX)
    if before is None or before.recipe != manifest.recipe:
        version.publish(workspace)
        manifest.write(workspace)


if __name__ == "__main__":
    run(IndexSettings, index)
