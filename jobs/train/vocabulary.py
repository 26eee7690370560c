"""The tokenizer of a run: the packaged one, a given one, or one learned from the corpus and kept with the run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.compute as pc
from pydantic import Field

from jobs.train.folder import RunFolder
from knowlip.records import SUBTEXTS
from knowlip.settings import Section
from models.text import Tokenizer

__all__ = ["TokenizerSettings", "tokenizer_folder"]

_PLACE = ("_tokenizer", "tokenizer.json")


class TokenizerSettings(Section):
    """Where WordPieces come from."""

    source: str = "package"
    """`package` for the 30,522 pieces of the `weights` extra, `corpus` to learn them from the training texts, or a
    folder with `tokenizer.json`."""

    vocab_size: int = Field(8000, ge=100)
    """Most pieces that are learned from a corpus."""


@contextmanager
def tokenizer_folder(folder: RunFolder, settings: TokenizerSettings) -> Iterator[str]:
    """Yield what `PretrainingSettings.tokenizer` names; a learned one is learned once a run."""
    if settings.source != "corpus":
        yield settings.source
        return
    workspace = folder.workspace
    with tempfile.TemporaryDirectory(prefix="knowlip-tokenizer-") as name:
        if workspace.exists(folder.artefact, *_PLACE):
            Path(name, _PLACE[-1]).write_bytes(workspace.read_bytes(folder.artefact, *_PLACE))
        else:
            train = pc.field("split") == "train"
            texts = workspace.read_table("corpus", columns=["tile_id", *SUBTEXTS], where=train).sort_by("tile_id")
            lines = (text for kind in SUBTEXTS for text in texts[kind].to_pylist() if text)
            Tokenizer.train(lines, settings.vocab_size).save(name)
            workspace.write_bytes(Path(name, _PLACE[-1]).read_bytes(), folder.artefact, *_PLACE)
        yield name
