"""The journal of replies: what was paid for is durable before more is asked, and is never asked again.

`captions/_journal/SCENE/` holds append-only JSON lines while a job runs (one file a writer; on an object store, where
nothing can be appended, small sealed segments), and Parquet once it has ended. Every reply stays, whatever becomes of
the captions that were made of it: other settings find what they share with the old ones.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs

from knowlip.captioning.budget import Hold
from knowlip.captioning.caption import OK
from knowlip.workspace import Workspace

__all__ = ["ENTRIES", "FOLDER", "Entry", "Journal"]

FOLDER = ("captions", "_journal")
_PACKED = "replies.parquet"

ENTRIES = pa.schema(
    [
        pa.field("entry_id", pa.string(), nullable=False),
        pa.field("tile_id", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("prompts", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("finish_reason", pa.string()),
        pa.field("raw", pa.string()),
        pa.field("problem", pa.string()),
        pa.field("asked", pa.int64()),
        pa.field("prompt_tokens", pa.int64()),
        pa.field("completion_tokens", pa.int64()),
        pa.field("cost_usd", pa.float64()),
        pa.field("latency_s", pa.float64()),
        pa.field("at", pa.string()),
    ]
)
"""Table of `captions/_journal/SCENE/`."""


@dataclass(frozen=True)
class Entry:
    """One reply, or one request that came to nothing.

    Attributes:
        tile_id: The tile.
        key: Digest of the rendered prompt, the image, the model and the sampling.
        model: Who was asked.
        prompts: Digest of the prompt files.
        status: `knowlip.captioning.OK`, or why it was set aside.
        finish_reason: Why the reply ended, as the endpoint says.
        raw: The reply.
        problem: What was wrong with it.
        asked: Requests that were made for it.
        prompt_tokens: Tokens read, over these requests.
        completion_tokens: Tokens written.
        cost_usd: Price.
        latency_s: Seconds from asking to answer.
        at: UTC time.
        entry_id: Its own name.
    """

    tile_id: str
    key: str
    model: str
    prompts: str
    status: str
    finish_reason: str = ""
    raw: str = ""
    problem: str = ""
    asked: int = 1
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    latency_s: float = 0.0
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    entry_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def ok(self) -> bool:
        """Whether it may be used."""
        return self.status == OK

    def to_line(self) -> bytes:
        """Return the line of a journal file."""
        return json.dumps(asdict(self), ensure_ascii=False).encode("utf-8", "replace") + b"\n"


@dataclass(frozen=True)
class Journal:
    """The replies of a workspace.

    Args:
        workspace: Where they lie.
        folder: Below it.
    """

    workspace: Workspace
    folder: tuple[str, ...] = FOLDER

    def scenes(self) -> list[str]:
        """Return the scenes that have replies."""
        selector = pafs.FileSelector(self.workspace.path(*self.folder), allow_not_found=True)
        found = self.workspace.filesystem.get_file_info(selector)
        names = [info.base_name for info in found if info.type == pafs.FileType.Directory]
        return sorted(name for name in names if name[0] not in "._")

    def read(self, scene_id: str, tiles: Iterable[str] | None = None) -> dict[str, Entry]:
        """Return the replies of a scene by key: of several with one key a usable one, else the last.

        Args:
            scene_id: The scene.
            tiles: Only of these tiles.
        """
        wanted = None if tiles is None else set(tiles)
        found: dict[str, Entry] = {}
        for entry in sorted(self._entries(scene_id, wanted), key=lambda entry: (entry.ok, entry.at)):
            found[entry.key] = entry
        return found

    def compact(self, scene_id: str) -> int:
        """Turn what lies open for a scene into Parquet; returns how many replies the scene has."""
        place = (*self.folder, scene_id)
        open_files = self.workspace.files(*place, suffix=".jsonl")
        if open_files:
            in_order = sorted(self._entries(scene_id, None), key=lambda entry: entry.at)
            entries = {entry.entry_id: asdict(entry) for entry in in_order}  # a later state replaces an earlier one
            table = pa.Table.from_pylist(sorted(entries.values(), key=lambda row: row["tile_id"]), schema=ENTRIES)
            self.workspace.write_table(table, *place, _PACKED, row_group_size=1024)
            for name in open_files:
                self.workspace.delete(*place, name)
        return self._packed_rows(scene_id)

    def pack(self) -> None:
        """Compact every scene."""
        for scene_id in self.scenes():
            self.compact(scene_id)

    def spent(self) -> Hold:
        """Return what all replies together have cost; call it when everything is compacted."""
        tokens, usd = 0, 0.0
        for scene_id in self.scenes():
            if self._packed_rows(scene_id):
                columns = ["prompt_tokens", "completion_tokens", "cost_usd"]
                table = self.workspace.read_table(*self.folder, scene_id, _PACKED, columns=columns)
                tokens += sum(pc.sum(table[name]).as_py() or 0 for name in columns[:2])
                usd += pc.sum(table["cost_usd"]).as_py() or 0.0
        return Hold(tokens, usd)

    def _packed_rows(self, scene_id: str) -> int:
        place = (*self.folder, scene_id, _PACKED)
        return int(self.workspace.dataset(*place).count_rows()) if self.workspace.exists(*place) else 0

    def _entries(self, scene_id: str, wanted: set[str] | None) -> Iterator[Entry]:
        place = (*self.folder, scene_id)
        if self.workspace.exists(*place, _PACKED):
            where = None if wanted is None else pc.field("tile_id").isin(pa.array(sorted(wanted), pa.string()))
            for row in self.workspace.read_table(*place, _PACKED, where=where).to_pylist():
                yield Entry(**row)
        for name in self.workspace.files(*place, suffix=".jsonl"):
            for line in self.workspace.read_bytes(*place, name).splitlines():
                entry = _parsed(line)
                if entry and (wanted is None or entry.tile_id in wanted):
                    yield entry


def _parsed(line: bytes) -> Entry | None:
    """Read a line; the last one of a writer that was killed may be torn, and was then never relied upon."""
    try:
        return Entry(**json.loads(line))
    except (ValueError, TypeError):
        return None
