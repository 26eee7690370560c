"""Writing the journal: many callers, one thread, one fsync for all replies that came meanwhile."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from typing import BinaryIO

from knowlip.captioning.journal import FOLDER, Entry
from knowlip.errors import WorkspaceError
from knowlip.workspace import Workspace

__all__ = ["JournalWriter"]

SEAL_S = 5.0
"""On an object store, replies are sealed into a segment at most so long after they came."""

_SEAL_BYTES = 4_000_000

_Waiting = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


@dataclass
class JournalWriter:
    """Appends replies to files of its own.

    On a disk `append` returns when the reply is on the platter. On an object store it returns at once, and the reply is
    safe `SEAL_S` later, or when `close` returns.

    Args:
        workspace: Where the journal lies.
        seal_s: Seconds between segments on an object store.
        folder: Where the journal lies below the workspace.
    """

    workspace: Workspace
    seal_s: float = SEAL_S
    folder: tuple[str, ...] = FOLDER
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    _queue: queue.SimpleQueue[tuple[str, bytes, _Waiting | None] | None] = field(
        default_factory=queue.SimpleQueue, repr=False
    )
    _thread: threading.Thread | None = field(default=None, repr=False)
    _files: dict[str, BinaryIO] = field(default_factory=dict, repr=False)
    _segments: int = 0
    _failure: Exception | None = field(default=None, repr=False)

    async def append(self, scene_id: str, entry: Entry) -> None:
        """Make a reply durable.

        Raises:
            WorkspaceError: It could not be written.
        """
        if self._failure:
            raise self._failure
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
            self._thread.start()
        if not self.workspace.is_local:
            self._queue.put((scene_id, entry.to_line(), None))
            return
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._queue.put((scene_id, entry.to_line(), (loop, done)))
        await done

    async def flush(self) -> None:
        """Return when all that was appended is safe; on an object store, by sealing a segment now.

        Raises:
            WorkspaceError: It could not be written.
        """
        if self._thread is not None and not self.workspace.is_local:
            loop = asyncio.get_running_loop()
            done: asyncio.Future[None] = loop.create_future()
            self._queue.put(("", b"", (loop, done)))
            await done

    async def close(self) -> None:
        """Write what is open and end the thread.

        Raises:
            WorkspaceError: It could not be written.
        """
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None
        if self._failure:
            raise self._failure

    def _write(self) -> None:
        ended = False
        while not ended:
            lines, waiting, ended = self._gather()
            failure = self._store(lines)
            for loop, done in waiting:
                loop.call_soon_threadsafe(_resolve, done, failure)
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _gather(self) -> tuple[dict[str, list[bytes]], list[_Waiting], bool]:
        """Wait for a reply and take all that are there; on an object store, all that come before a segment is due."""
        lines: dict[str, list[bytes]] = defaultdict(list)
        waiting: list[_Waiting] = []
        item = self._queue.get()
        due_s, size = time.monotonic() + (0.0 if self.workspace.is_local else self.seal_s), 0
        while item is not None:
            scene_id, line, waiter = item
            if waiter:
                waiting.append(waiter)
            if not line:  # someone wants all that came so far to be safe
                return lines, waiting, False
            lines[scene_id].append(line)
            size += len(line)
            try:
                left_s = due_s - time.monotonic() if size < _SEAL_BYTES else 0.0
                item = self._queue.get(block=left_s > 0, timeout=max(left_s, 0.0) or None)
            except queue.Empty:
                return lines, waiting, False
        return lines, waiting, True

    def _store(self, lines: dict[str, list[bytes]]) -> Exception | None:
        try:
            for scene_id, found in lines.items():
                (self._append if self.workspace.is_local else self._seal)(scene_id, b"".join(found))
        except Exception as error:  # whoever waits for it gets it, and the next who asks
            self._failure = _named(error, self.workspace.uri(*self.folder))
        return self._failure

    def _append(self, scene_id: str, data: bytes) -> None:
        file = self._files.get(scene_id)
        if file is None:
            folder = self.workspace.local(*self.folder, scene_id)
            folder.mkdir(parents=True, exist_ok=True)
            file = self._files[scene_id] = (folder / f"{self.name}.jsonl").open("ab")
            _sync_folder(str(folder))
        file.write(data)
        file.flush()
        os.fsync(file.fileno())

    def _seal(self, scene_id: str, data: bytes) -> None:
        self._segments += 1
        self.workspace.write_bytes(data, *self.folder, scene_id, f"{self.name}-{self._segments:06d}.jsonl")


def _named(error: Exception, where: str) -> Exception:
    if isinstance(error, WorkspaceError):
        return error
    return WorkspaceError(
        f"could not be written ({error})",
        where=where,
        fix="make room or mend the disk, and run again: what is finished is kept",
        code="unwritable",
    )


def _sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _resolve(done: asyncio.Future[None], failure: Exception | None) -> None:
    if done.done():
        return
    if failure:
        done.set_exception(failure)
    else:
        done.set_result(None)
