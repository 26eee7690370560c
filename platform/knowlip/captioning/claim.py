"""One run at a time on an object store, where nothing can be locked: a claim that its holder renews while it lives."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow.fs as pafs

from knowlip.errors import WorkspaceError
from knowlip.workspace import Workspace

__all__ = ["claimed"]

STALE_S = 60.0
"""A claim that was not renewed for so long is of a run that died."""

_RENEWED_S = 15.0


@contextmanager
def claimed(workspace: Workspace, artefact: str, *, stale_s: float = STALE_S) -> Iterator[None]:
    """Keep a second run off an artefact that costs money; on a disk `Workspace.lock` does that already.

    Two runs that begin in the same moment may both be turned away, never both let in.

    Args:
        workspace: Where the artefact lies.
        artefact: Its name.
        stale_s: Seconds after which a claim that is not renewed counts no more.

    Raises:
        WorkspaceError: Another run holds the artefact.
    """
    if workspace.is_local:
        yield
        return
    folder, mine = (".locks", artefact), uuid.uuid4().hex
    workspace.write_bytes(b"", *folder, mine)
    ended = threading.Event()
    try:
        if _others(workspace, folder, mine, stale_s):
            raise WorkspaceError(
                "another run is writing it",
                where=workspace.uri(artefact),
                fix=f"wait for it; when it was killed, its claim ends after {stale_s:.0f} s",
            )
        threading.Thread(target=_renew, args=(workspace, folder, mine, ended), daemon=True).start()
        yield
    finally:
        ended.set()
        workspace.delete(*folder, mine)


def _others(workspace: Workspace, folder: tuple[str, str], mine: str, stale_s: float) -> bool:
    """Whether another claim is alive, by the store's own clock; those that are not are cleared away."""
    found = workspace.filesystem.get_file_info(pafs.FileSelector(workspace.path(*folder), allow_not_found=True))
    times = {info.base_name: info.mtime.timestamp() for info in found if info.mtime is not None}
    now_s = times.get(mine, max(times.values(), default=0.0))
    alive = [name for name, at_s in times.items() if name != mine and now_s - at_s < stale_s]
    for name in times.keys() - set(alive) - {mine}:
        workspace.delete(*folder, name)
    return bool(alive)


def _renew(workspace: Workspace, folder: tuple[str, str], mine: str, ended: threading.Event) -> None:
    while not ended.wait(_RENEWED_S):
        with contextlib.suppress(WorkspaceError):  # the store does not answer: the next time it may
            workspace.write_bytes(b"", *folder, mine)
    workspace.delete(*folder, mine)  # if it was renewed in the moment in which it was given up
