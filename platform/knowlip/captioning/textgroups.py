"""The texts of a workspace in groups: all, by scale, family and prompt version; and what they are held against."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from knowlip.captioning.caption import OK
from knowlip.captioning.hcot import VERSION, prompts_digest
from knowlip.captioning.journal import Journal
from knowlip.captioning.parsing import parse
from knowlip.captioning.textstats import Texts
from knowlip.errors import DataError
from knowlip.records import FAMILIES, SCALES, SUBTEXTS
from knowlip.workspace import Workspace

__all__ = ["CaptionTexts", "prompt_name", "read_captions", "read_replies", "read_sentences"]

_COLUMNS = ("tile_id", "scale", "family", "model", "prompts", "status", "flags", *SUBTEXTS)
_GROUPED = {"scale": SCALES, "family": FAMILIES}


@dataclass
class CaptionTexts:
    """The captions of a workspace.

    Attributes:
        texts: Their words, in the order of ``rows``.
        rows: ``tile_id``, ``scale``, ``family``, ``model`` and ``prompts`` of each.
        set_aside: Number of captions by the reason why they cannot be used.
        doubts: Number of flags by sub-text and kind of check.
        checked: Number of captions that were checked.
    """

    texts: Texts = field(default_factory=Texts)
    rows: list[dict[str, str]] = field(default_factory=list)
    set_aside: dict[str, int] = field(default_factory=dict)
    doubts: dict[tuple[str, str], int] = field(default_factory=dict)
    checked: int = 0

    def groups(self) -> Iterator[tuple[str, str, list[int]]]:
        """Yield kind of group, name and places of its captions: all, then by scale, family and prompt version."""
        yield "all", "all", list(range(len(self.rows)))
        for kind, order in _GROUPED.items():
            places = self._by(kind)
            yield from ((kind, name, places[name]) for name in order if name in places)
        versions: defaultdict[str, list[int]] = defaultdict(list)
        for place, row in enumerate(self.rows):
            versions[prompt_name(row["model"], row["prompts"])].append(place)
        yield from (("prompts", name, versions[name]) for name in sorted(versions))

    def _by(self, column: str) -> dict[str, list[int]]:
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, row in enumerate(self.rows):
            places[row[column]].append(place)
        return places


def read_captions(workspace: Workspace) -> CaptionTexts:
    """Read the captions of a workspace, a batch at a time.

    Raises:
        WorkspaceError: There are none.
        DataError: They were made before captions had these columns.
    """
    found = CaptionTexts()
    source = workspace.dataset("captions")
    missing = [name for name in _COLUMNS if name not in source.schema.names]
    if missing:
        raise DataError(f"have no {missing}", where=workspace.uri("captions"), fix="run jobs.caption --overwrite")
    for batch in source.to_batches(columns=list(_COLUMNS)):
        for row in batch.to_pylist():
            _take(found, row)
    return found


def _take(found: CaptionTexts, row: Mapping[str, Any]) -> None:
    if row["status"] != OK:
        found.set_aside[row["status"]] = found.set_aside.get(row["status"], 0) + 1
        return
    found.texts.add(row[name] for name in SUBTEXTS)
    found.rows.append({name: row[name] or "" for name in ("tile_id", "scale", "family", "model", "prompts")})
    found.checked += row["flags"] is not None
    for flag in row["flags"] or ():
        key = flag["subtext"], flag["kind"]
        found.doubts[key] = found.doubts.get(key, 0) + 1


def read_replies(workspace: Workspace, known: Sequence[str]) -> dict[str, Texts]:
    """Read what the journal holds of other prompt versions and models, so that an edit of the prompts can be judged.

    Args:
        workspace: Where the journal lies.
        known: Names (`prompt_name`) that are left out.
    """
    journal, found = Journal(workspace), dict[str, Texts]()
    for scene_id in journal.scenes():
        for entry in journal.read(scene_id).values():
            name = prompt_name(entry.model, entry.prompts)
            if entry.ok and name not in known:
                parsed = parse(entry.raw, finish_reason=entry.finish_reason)
                found.setdefault(name, Texts()).add(parsed.subtexts.get(kind, "") for kind in SUBTEXTS)
    return dict(sorted(found.items()))


def read_sentences(path: str) -> Texts:
    """Read a file of human sentences, one a line; each counts as a caption of one text.

    Raises:
        DataError: The file cannot be read, or is empty.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read ({error})", where=path, fix="give a text file, one sentence a line") from error
    texts = Texts()
    for line in filter(str.strip, lines):
        texts.add([line.strip()])
    if not texts.captions:
        raise DataError("holds no sentence", where=path, fix="give a text file, one sentence a line")
    return texts


def prompt_name(model: str, prompts: str) -> str:
    """Name a model and its prompts: the version where they are today's, else their digest."""
    if not prompts:
        return model
    return f"{model}, {f'prompts {VERSION}' if prompts == prompts_digest() else prompts}"
