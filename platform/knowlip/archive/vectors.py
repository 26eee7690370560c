"""Files of vectors, one a file of tiles, and of which state of its tiles each was made.

A screening that is replayed and a scene that is cut again rewrite a file of tiles under its name: then other tiles are
in it, or other pixels, and its vectors have to be made anew.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from knowlip.archive.versions import Version
from knowlip.manifest import digest
from knowlip.workspace import Workspace

__all__ = ["files_to_embed", "source_of", "tiles_digest", "write_vectors"]

_SOURCE = b"tiles"
_AT_ONCE = 16
"""Files looked at side by side: on an object store, each look waits for several answers."""


def tiles_digest(workspace: Workspace, name: str) -> str:
    """Return 16 hex digits that tell one state of a file of tiles from another, wherever it is copied to.

    They are of its footer, which knows the size of every column of every few tiles: the images need not be read.

    Raises:
        WorkspaceError: It is not there, or cannot be read.
    """
    return digest(workspace.read_footer("tiles", name))


def write_vectors(workspace: Workspace, version: Version, name: str, rows: pa.Table, *, source: str) -> None:
    """Publish the vectors of a file of tiles.

    Args:
        workspace: Where the index lies.
        version: The index that the vectors are for.
        name: The file of tiles.
        rows: ``tile_id`` and ``vector``.
        source: `tiles_digest` before the tiles were read.
    """
    workspace.write_table(rows.replace_schema_metadata({_SOURCE: source}), version.vectors, name)


def source_of(vectors: pa.Schema) -> str:
    """Return the digest of the tiles that vectors were made of; empty where they do not say it."""
    return str((vectors.metadata or {}).get(_SOURCE, b""), "utf-8")


def files_to_embed(workspace: Workspace, version: Version) -> list[str]:
    """Return the files of tiles without vectors, and those that are no longer what their vectors were made of.

    Raises:
        WorkspaceError: A file cannot be read.
    """
    held = set(workspace.files(version.vectors))

    def is_done(name: str) -> bool:
        return name in held and source_of(workspace.dataset(version.vectors, name).schema) == tiles_digest(
            workspace, name
        )

    files = workspace.files("tiles")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [name for name, done in zip(files, pool.map(is_done, files), strict=True) if not done]
