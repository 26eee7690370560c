"""Checkpoints wherever they lie: known by the digest of what computes, and fetched to the machine that computes."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pyarrow.fs as pafs

from knowlip.errors import CheckpointError
from knowlip.workspace import Workspace

__all__ = ["checkpoint_digest", "fetched_checkpoint", "local_checkpoint", "placed_checkpoint", "placed_digest"]

_APART = frozenset({"manifest.json", "queue.safetensors", "held_out.parquet"})
"""Files that do not change what the model computes."""


def checkpoint_digest(workspace: Workspace, folder: str) -> str:
    """Return 16 hex digits over the files of a checkpoint: weights, configuration, tokenizer, preprocessing.

    Args:
        workspace: Where it lies.
        folder: The checkpoint's folder below the workspace.

    Raises:
        CheckpointError: No checkpoint is there.
    """
    whole = hashlib.sha256()
    for name in _files(workspace, folder):
        if name in _APART:
            continue
        with workspace.filesystem.open_input_stream(workspace.path(folder, name)) as stream:
            part = hashlib.sha256()
            while chunk := stream.read(1 << 22):
                part.update(chunk)
        whole.update(f"{name}:{part.hexdigest()}\n".encode())
    return whole.hexdigest()[:16]


def fetched_checkpoint(workspace: Workspace, folder: str) -> Path:
    """Return a folder of this machine that holds a checkpoint; one on an object store is copied once a digest.

    Raises:
        CheckpointError: No checkpoint is there.
    """
    names = _files(workspace, folder)
    if workspace.is_local:
        return workspace.local(folder)
    target = Path(tempfile.gettempdir()) / f"knowlip-checkpoint-{checkpoint_digest(workspace, folder)}"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            copy = Path(scratch) / "checkpoint"
            for name in names:
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                pafs.copy_files(
                    workspace.path(folder, name),
                    str(copy / name),
                    source_filesystem=workspace.filesystem,
                    destination_filesystem=pafs.LocalFileSystem(),
                )
            try:
                copy.rename(target)
            except OSError:
                # Another replica on this machine was first; its copy is the same.
                if not target.exists():
                    raise
    return target


def local_checkpoint(place: str) -> Path:
    """Return a folder of this machine that holds a checkpoint.

    Args:
        place: A folder of this machine, which is returned as it is, or one on an object store, such as ``s3://b/c``.

    Raises:
        CheckpointError: No checkpoint is on the object store.
    """
    if "://" not in place:
        return Path(place)
    root, _, folder = place.rstrip("/").rpartition("/")
    return fetched_checkpoint(Workspace(root), folder)


def placed_digest(place: str) -> str:
    """Return the digest of a checkpoint that lies where `placed_checkpoint` says.

    Raises:
        CheckpointError: No checkpoint is there.
    """
    root, _, folder = place.rstrip("/").rpartition("/")
    return checkpoint_digest(Workspace(root), folder)


def placed_checkpoint(workspace: Workspace, place: str) -> str:
    """Return where a checkpoint lies, as workers on other machines find it too.

    Args:
        workspace: Where it may lie.
        place: A folder below the workspace, of this machine, or of an object store.

    Raises:
        CheckpointError: No checkpoint is there.
    """
    found = place
    if "://" not in place and not Path(place).is_absolute() and workspace.exists(place):
        found = str(workspace.local(place)) if workspace.is_local else workspace.uri(place)
    if not (local_checkpoint(found) / "config.json").exists():
        raise CheckpointError("is no checkpoint folder", where=found, fix="run jobs.pretrain or give another")
    return found


def _files(workspace: Workspace, folder: str) -> list[str]:
    root = workspace.path(folder)
    infos = workspace.filesystem.get_file_info(pafs.FileSelector(root, recursive=True, allow_not_found=True))
    names = sorted(info.path[len(root) :].lstrip("/") for info in infos if info.type == pafs.FileType.File)
    if "model.safetensors" not in names:
        raise CheckpointError(
            "holds no checkpoint", where=workspace.uri(folder), fix="train one (jobs.pretrain) or name another --run"
        )
    return names
