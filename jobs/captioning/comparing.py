"""Groups of texts as one table of figures, and the tiles on which they are held against templated text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from jobs.captioning.features import TokenCounts
from knowlip.benchmark.content import SceneTruth, read_truth
from knowlip.benchmark.datasets import content_of
from knowlip.benchmark.templated import templated
from knowlip.captioning.facts import COLUMNS
from knowlip.captioning.textgroups import CaptionTexts, read_replies
from knowlip.captioning.textstats import Texts, figures
from knowlip.errors import DataError
from knowlip.records import SUBTEXTS
from knowlip.reporting import Card
from knowlip.reporting.sections.tiles import tile_card
from knowlip.workspace import Workspace

__all__ = ["Sampled", "figure_table", "sampled"]

_WINDOW = ("row_off", "col_off", "height", "width", "crs", "image", "view")
_ROWS_AT_ONCE = 32
_FIGURES = pa.schema([("group", pa.string()), ("name", pa.string()), ("figure", pa.string()), ("value", pa.float64())])


@dataclass(frozen=True)
class Sampled:
    """A tile with both kinds of text.

    Attributes:
        card: How a page shows it.
        view: Its PNG.
        texts: The eight sub-texts.
        template: What its annotations give.
        source: ``truth`` or ``measured``: where the annotations come from.
    """

    card: Card
    view: bytes
    texts: tuple[str, ...]
    template: tuple[str, ...]
    source: str


def sampled(workspace: Workspace, wanted: set[str], *, truth: str, seed: int) -> list[Sampled]:
    """Read tiles with their captions, and write templated text from what is known of them.

    Args:
        workspace: Where tiles, captions and truth lie.
        wanted: Which tiles; those that are no longer there are left out.
        truth: Folder of the scenes' truth; scenes without one are measured.
        seed: Seed of the templates.
    """
    where = pc.field("tile_id").isin(pa.array(sorted(wanted), pa.string()))
    rows = workspace.read_table("captions", columns=["tile_id", *SUBTEXTS], where=where).to_pylist()
    texts = {row["tile_id"]: tuple(row[name] or "" for name in SUBTEXTS) for row in rows}

    @lru_cache(maxsize=8)
    def truth_of(scene_name: str) -> SceneTruth | None:
        return read_truth(workspace, truth, scene_name)

    found = {}
    source = workspace.dataset("tiles")
    for batch in source.to_batches(columns=[*COLUMNS, *_WINDOW], filter=where, batch_size=_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            tile_id = row["tile_id"]
            try:
                content = content_of(row, truth_of(row["scene_name"] or ""))
            except DataError:  # its image cannot be decoded: nothing is known of it
                continue
            template = tuple(templated(content, tile_id=tile_id, seed=seed))
            card = tile_card(row, row["view"], dict(zip(SUBTEXTS, texts[tile_id], strict=True)), " ".join(template))
            found[tile_id] = Sampled(card, row["view"], texts[tile_id], template, content.source)
    return [found[tile_id] for tile_id in sorted(found)]


def figure_table(
    workspace: Workspace,
    captions: CaptionTexts,
    samples: Sequence[Sampled],
    human: Mapping[str, Texts],
    counts: TokenCounts | None,
    seed: int,
) -> pa.Table:
    """Count every group.

    Args:
        workspace: Where the journal lies.
        captions: The captions.
        samples: Tiles that have templated text too.
        human: Human sentences by what they are called.
        counts: Tokens of the captions, if somebody counted them.
        seed: What is drawn.

    Returns:
        One row a figure: ``group``, ``name``, ``figure``, ``value``.
    """
    rows = []
    for kind, name, places in captions.groups():
        found = figures(captions.texts.select(places), seed=seed) | (counts.figures(places) if counts else {})
        rows += [(kind, name, figure, value) for figure, value in found.items()]
    known = {name for kind, name, _ in captions.groups() if kind == "prompts"}
    others = [("prompts", name, texts) for name, texts in read_replies(workspace, known).items()]
    others += [("compared", name, texts) for name, texts in _compared(samples, human)]
    for kind, name, texts in others:
        rows += [(kind, name, figure, value) for figure, value in figures(texts, seed=seed).items()]
    columns = list(zip(*rows, strict=True))
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, _FIGURES, strict=True)], _FIGURES)


def _compared(samples: Sequence[Sampled], human: Mapping[str, Texts]) -> Iterator[tuple[str, Texts]]:
    """Yield captions and templates of the same tiles, then human sentences."""
    for source in ("truth", "measured"):
        mine = [one for one in samples if one.source == source]
        if mine:
            described, named = Texts(), Texts()
            for one in mine:
                described.add(one.texts)
                named.add(one.template)
            tiles = "annotated tiles" if source == "truth" else "measured tiles"
            yield f"captions of {len(mine)} {tiles}", described
            yield f"templates of {len(mine)} {tiles}", named
    yield from human.items()
