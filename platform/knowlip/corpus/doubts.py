"""What becomes of sub-texts whose claims the fact check doubts (the column ``flags`` of `captions/`)."""

from __future__ import annotations

import pyarrow as pa

from knowlip.corpus.pairs import usable
from knowlip.records import SUBTEXTS

__all__ = ["text_columns", "worded"]


def text_columns(*, doubted: bool) -> list[str]:
    """Name the columns of `captions/` that `worded` needs."""
    return ["tile_id", "status", *SUBTEXTS] if doubted else ["tile_id", "status", *SUBTEXTS, "flags"]


def worded(captions: pa.Table, *, doubted: bool) -> pa.Table:
    """Return the captions that may be trained on; without ``doubted``, sub-texts that have a flag are emptied.

    A tile of which nothing would be left keeps its texts: doubts about all eight say more about the measurements.

    Args:
        captions: Rows with the columns of `text_columns`.
        doubted: Keep sub-texts that the fact check doubts.
    """
    captions = captions.filter(usable())
    if doubted:
        return captions
    flagged = [{flag["subtext"] for flag in flags or ()} for flags in captions["flags"].to_pylist()]
    flagged = [set() if len(names) == len(SUBTEXTS) else names for names in flagged]
    for name in SUBTEXTS:
        texts = captions[name].to_pylist()
        kept = ["" if name in names else text for text, names in zip(texts, flagged, strict=True)]
        captions = captions.set_column(captions.column_names.index(name), name, pa.array(kept, pa.string()))
    return captions
