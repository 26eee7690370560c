"""Where each artefact lives, on a disk or an object store, behind one root URI.

An artefact is a folder of files; a job's *unit of work* is one file. A file becomes visible only whole (written under
a hidden name, then published), so a unit is done exactly when its file exists: a killed job starts again, sees what
is there, and does the rest.
"""

from __future__ import annotations

import errno
import fcntl
import posixpath
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from knowlip.errors import WorkspaceError
from knowlip.objectstore import TRIES, open_root

__all__ = ["Workspace"]

Read = TypeVar("Read")

_WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
"""Waits between readings, seconds."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Workspace:
    """A root folder or bucket prefix that holds every artefact; cheap to pickle and to make.

    Args:
        root: A path, or a URI that pyarrow knows (``s3://bucket/prefix``, ``gs://…``, ``file:///…``).
            ``AWS_ENDPOINT_URL`` is honoured for ``s3://``.
        tries: Attempts a request to S3 before the store counts as unreachable.
    """

    root: str
    tries: int = TRIES

    @cached_property
    def _opened(self) -> tuple[pafs.FileSystem, str]:
        try:
            return open_root(self.root, tries=self.tries)
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            raise WorkspaceError(
                f"cannot be opened ({error})",
                where=f"workspace {self.root}",
                fix="give a folder or an s3:// or gs:// URI",
            ) from error

    def __getstate__(self) -> dict[str, str | int]:
        """Leave open connections behind when pickled, and a relative path: workers run in folders of their own."""
        return {"root": self.path() if self.is_local else self.root, "tries": self.tries}

    @property
    def filesystem(self) -> pafs.FileSystem:
        """The pyarrow filesystem of the root."""
        return self._opened[0]

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    def path(self, *parts: str) -> str:
        """Join parts below the root, as the filesystem wants them."""
        return posixpath.join(self._opened[1], *parts)

    def uri(self, *parts: str) -> str:
        """Join parts below the root, as a person or another library wants them."""
        return posixpath.join(self.root, *parts)

    def local(self, *parts: str) -> Path:
        """Return a path of this machine.

        Raises:
            WorkspaceError: The workspace is an object store.
        """
        if not self.is_local:
            raise WorkspaceError("is not on a local disk", where=f"workspace {self.root}", fix="give a folder")
        return Path(self.path(*parts))

    def exists(self, *parts: str) -> bool:
        """Whether a file or folder is there."""
        info = self.filesystem.get_file_info(self.path(*parts))
        return bool(info.type != pafs.FileType.NotFound)

    def files(self, *parts: str, suffix: str = ".parquet") -> list[str]:
        """List the published files directly below a folder, as sorted names without the folder.

        Hidden names (``.`` and ``_`` first) are unpublished or belong to a sub-artefact, and are left out.
        """
        selector = pafs.FileSelector(self.path(*parts), allow_not_found=True)
        found = self.filesystem.get_file_info(selector)
        names = [info.base_name for info in found if info.type == pafs.FileType.File]
        return sorted(name for name in names if name.endswith(suffix) and name[0] not in "._")

    def write_bytes(self, data: bytes, *parts: str) -> None:
        """Publish a file: it is there whole, or not at all.

        Raises:
            WorkspaceError: The disk is full (code ``disk_full``), or the store does not answer (``unreachable``).
        """
        with self._publishing(*parts) as stream:
            stream.write(data)

    def write_folder(self, folder: Path, *parts: str) -> None:
        """Publish every file of a folder of this machine, each whole.

        Unlike pyarrow's ``copy_files``, which says nothing of an upload that fails.

        Raises:
            WorkspaceError: As `write_bytes`.
        """
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.write_bytes(path.read_bytes(), *parts, path.relative_to(folder).as_posix())

    def read_bytes(self, *parts: str) -> bytes:
        """Read a file whole.

        Raises:
            WorkspaceError: It is not there, or cannot be read (code ``unreadable``).
        """

        def read() -> bytes:
            with self.filesystem.open_input_stream(self.path(*parts)) as stream:
                return bytes(stream.read())

        return self._read(read, *parts)

    def write_table(
        self,
        table: pa.Table,
        *parts: str,
        row_group_size: int | None = None,
        use_dictionary: bool = True,
        packed: Collection[str] = (),
    ) -> None:
        """Publish a Parquet file (zstd).

        Args:
            table: What is written.
            parts: Where.
            row_group_size: Rows a row group.
            use_dictionary: Look for values that repeat.
            packed: Columns of bytes that are compressed already (images), stored as they are.

        Raises:
            WorkspaceError: As `write_bytes`.
        """
        codecs: dict[str, Any] = {"compression": "zstd"}
        if packed:
            paths = _column_paths(table.schema.remove_metadata())
            codecs["compression"] = {path: "none" if path in packed else "zstd" for path in paths}
            codecs["write_statistics"] = [path for path in paths if path not in packed]
        with self._publishing(*parts) as stream:
            pq.write_table(table, stream, row_group_size=row_group_size, use_dictionary=use_dictionary, **codecs)

    def read_table(
        self, *parts: str, columns: list[str] | None = None, where: pds.Expression | None = None
    ) -> pa.Table:
        """Read a Parquet file, or all the files of a folder, as one table.

        Raises:
            WorkspaceError: Nothing is there, or it cannot be read (code ``unreadable``).
        """
        dataset = self.dataset(*parts)
        return self._read(lambda: dataset.to_table(columns=columns, filter=where), *parts)

    def read_footer(self, *parts: str) -> bytes:
        """Read the footer of a Parquet file: what its columns are, how large, and where in it.

        Raises:
            WorkspaceError: It is not there, or cannot be read (code ``unreadable``).
        """

        def read() -> bytes:
            with self.filesystem.open_input_file(self.path(*parts)) as file:
                # The last eight bytes are the footer's length and a mark.
                file.seek(file.size() - 8)
                file.seek(file.size() - 8 - int.from_bytes(file.read(4), "little"))
                return bytes(file.read())

        return self._read(read, *parts)

    def dataset(self, *parts: str) -> pds.Dataset:
        """Open a Parquet file or the published files of a folder, lazily.

        Raises:
            WorkspaceError: Nothing is there, or it cannot be read.
        """
        info = self.filesystem.get_file_info(self.path(*parts))
        if info.type == pafs.FileType.File:
            sources = [self.path(*parts)]
        else:
            sources = [self.path(*parts, name) for name in self.files(*parts)]
        if not sources:
            raise self._absent(*parts)
        return self._read(lambda: pds.dataset(sources, filesystem=self.filesystem, format="parquet"), *parts)

    def delete(self, *parts: str) -> None:
        """Remove a file or a folder with all in it; nothing happens where nothing is.

        Raises:
            WorkspaceError: It lies outside the workspace.
        """
        self._check_within(*parts)
        info = self.filesystem.get_file_info(self.path(*parts))
        with suppress(FileNotFoundError):  # somebody else removes it at the same time
            if info.type == pafs.FileType.Directory:
                self.filesystem.delete_dir(self.path(*parts))
            elif info.type == pafs.FileType.File:
                self.filesystem.delete_file(self.path(*parts))

    @contextmanager
    def lock(self, artefact: str) -> Iterator[None]:
        """Keep a second job off an artefact while one writes it; freed when the holder ends, however it ends.

        On an object store there is no lock: units are idempotent there, so two runs waste work but lose nothing.

        Raises:
            WorkspaceError: Another run holds it.
        """
        if not self.is_local:
            yield
            return
        place = self.local(".locks")
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise WorkspaceError(
                f"cannot be made ({reason})", where=self.root, fix="give another --workspace"
            ) from error
        with (place / artefact.replace("/", "-")).open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise WorkspaceError(
                    "another run is writing it",
                    where=self.uri(artefact),
                    fix="wait for it, or use another --workspace",
                ) from error
            yield

    @contextmanager
    def _publishing(self, *parts: str) -> Iterator[pa.NativeFile]:
        self._check_within(*parts)
        target = self.path(*parts)
        folder, name = posixpath.split(target)
        if not self.is_local:
            # Whatever closes an upload completes it, also half of one: so it is put together here and uploaded as one.
            whole = pa.BufferOutputStream()
            yield whole
            self._upload(whole.getvalue(), *parts)
            return
        self.filesystem.create_dir(folder, recursive=True)
        hidden = posixpath.join(folder, f".{name}.{uuid.uuid4().hex[:8]}")
        try:
            with self.filesystem.open_output_stream(hidden) as stream:
                yield stream
            Path(hidden).replace(target)
        except BaseException as error:
            Path(hidden).unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                raise WorkspaceError(
                    "there is no room to write it",
                    where=self.uri(*parts),
                    fix="free some space and run again: what is finished is kept",
                    code="disk_full",
                ) from error
            raise

    def _upload(self, data: pa.Buffer, *parts: str) -> None:
        """Put an object in its place; one whose upload does not complete is never seen."""
        try:
            with self.filesystem.open_output_stream(self.path(*parts)) as stream:
                stream.write(data)
        except OSError as error:
            raise WorkspaceError(
                f"could not be written ({str(error)[:200]})",
                where=self.uri(*parts),
                fix="run again when the store answers: what is finished is kept",
                code="unreachable",
            ) from error

    def _check_within(self, *parts: str) -> None:
        """Refuse to change what lies elsewhere: names may come from tables that strangers made."""
        if not posixpath.normpath(self.path(*parts)).startswith(f"{self.path().rstrip('/')}/"):
            raise WorkspaceError("lies outside the workspace", where=posixpath.join(*parts), fix="use plain names")

    def _read(self, read: Callable[[], Read], *parts: str) -> Read:
        """Read, and again where a store fails: its refusals of small reads are not tried again by pyarrow itself."""
        waits_s = [] if self.is_local else list(_WAITS_S[: self.tries - 1])
        while True:
            try:
                return read()
            except FileNotFoundError as error:
                raise self._absent(*parts) from error
            except (pa.ArrowException, OSError) as error:
                if not waits_s or not isinstance(error, OSError):
                    raise WorkspaceError(
                        f"cannot be read ({str(error)[:200]})",
                        where=self.uri(*parts),
                        fix="run again; if a file is damaged, delete it and run the job that makes it",
                        code="unreadable",
                    ) from error
            time.sleep(waits_s.pop(0))

    def _absent(self, *parts: str) -> WorkspaceError:
        stage = parts[0] if parts else "anything"
        return WorkspaceError("is not there", where=self.uri(*parts), fix=f"run the job that makes {stage} first")


@lru_cache(maxsize=16)
def _column_paths(schema: pa.Schema) -> tuple[str, ...]:
    """Return what Parquet calls the leaves of a schema (``bbox.xmin``), as a table without rows shows."""
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    found = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    return tuple(found.column(index).path for index in range(len(found.names)))
