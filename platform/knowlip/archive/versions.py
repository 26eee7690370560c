"""Which index is in use: one folder a checkpoint, and a small file that names the current one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from knowlip.errors import CheckpointError, WorkspaceError
from knowlip.workspace import Workspace

__all__ = ["INDEX", "Version"]

INDEX = "index"
"""Folder of the artefact below the workspace."""

_CURRENT = "current.json"


class Version(BaseModel):
    """An index of the tiles by one checkpoint.

    Attributes:
        digest: Digest of the checkpoint; also the name of the version's folder.
        checkpoint: Folder of the checkpoint below the workspace.
        width: Width of its embeddings.
        made_at: When it became current.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str = Field(pattern=r"^[0-9a-f]{16}$")
    checkpoint: str
    width: int = Field(gt=0)
    made_at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def folder(self) -> str:
        """Folder of this version below the workspace."""
        return f"{INDEX}/{self.digest}"

    @property
    def vectors(self) -> str:
        """Folder below the workspace with one file of vectors a file of tiles: ``tile_id`` and ``vector``."""
        return f"{self.folder}/vectors"

    def check(self, workspace: Workspace, checkpoint: str) -> None:
        """Refuse to compare embeddings of a checkpoint with this index, unless it made it.

        Args:
            workspace: Where the index lies.
            checkpoint: Digest of the checkpoint that embeds.

        Raises:
            CheckpointError: Another checkpoint made it: its vectors and the queries' would not be comparable.
        """
        if checkpoint != self.digest:
            raise CheckpointError(
                f"was made by checkpoint {self.digest} ({self.checkpoint}), not by {checkpoint}",
                where=workspace.uri(INDEX),
                fix="serve that checkpoint, or run the index job with this one",
            )

    def publish(self, workspace: Workspace) -> None:
        """Make this the version that readers open; they see the old one or this one, never a mixture."""
        workspace.write_bytes(self.model_dump_json(indent=2).encode(), INDEX, _CURRENT)

    @classmethod
    def current(cls, workspace: Workspace) -> Self | None:
        """Return the version in use, or nothing when no index was finished.

        Raises:
            WorkspaceError: The file that names it is damaged.
        """
        if not workspace.exists(INDEX, _CURRENT):
            return None
        try:
            return cls.model_validate_json(workspace.read_bytes(INDEX, _CURRENT))
        except ValidationError as error:
            raise WorkspaceError(
                "does not name an index version", where=workspace.uri(INDEX, _CURRENT), fix="run the index job again"
            ) from error

    @classmethod
    def in_use(cls, workspace: Workspace, *, checkpoint: str | None = None) -> Self:
        """Return the version in use.

        Args:
            workspace: Where the index lies.
            checkpoint: Digest of the checkpoint that will embed the queries.

        Raises:
            WorkspaceError: There is no index, or the file that names it is damaged.
            CheckpointError: Another checkpoint made it: its vectors and the queries' would not be comparable.
        """
        version = cls.current(workspace)
        if version is None:
            raise WorkspaceError("is not there", where=workspace.uri(INDEX), fix="run the index job first")
        if checkpoint is not None:
            version.check(workspace, checkpoint)
        return version
