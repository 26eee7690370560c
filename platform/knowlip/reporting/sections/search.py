"""What the archive answers to a few queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knowlip.archive import Archive, Hit, read_picture
from knowlip.errors import WorkspaceError
from knowlip.reporting.elements import Card, Cards, Element, Paragraph, Section
from knowlip.reporting.sections.tiles import tile_card

__all__ = ["search_section"]

Encode = Callable[[Sequence[str]], NDArray[np.floating[Any]]]


def search_section(archive: Archive, queries: Sequence[str], encode: Encode, *, k: int = 4) -> Section:
    """Return the best tiles for each query.

    Args:
        archive: The index.
        queries: What to look for, in words.
        encode: Texts to embeddings, shape ``(N, width)``: the checkpoint that made the index.
        k: Tiles a query.
    """
    said = f"{len(archive):,} tiles, indexed by {archive.version.checkpoint} ({archive.version.digest})."
    elements: list[Element] = [Paragraph(said)]
    for query, vector in zip(queries, encode(queries), strict=True):
        cards = [_card(archive, hit) for hit in archive.search(vector, k)]
        elements.append(Cards(cards, heading=f"“{query}”", small=True))
    return Section("Search by words", elements)


def _card(archive: Archive, hit: Hit) -> Card:
    entry = hit.entry
    try:
        view = read_picture(archive.workspace, entry, "view")
    except WorkspaceError as error:
        return Card(title=entry.tile_id, note=error.what)
    shown = {name: text for name, text in entry.texts.items() if name in {"target_category", "regional_function"}}
    return tile_card({"tile_id": entry.tile_id, **entry.facts}, view, shown, note=f"similarity {hit.score:.3f}")
