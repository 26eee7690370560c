"""How good texts are, in numbers: length, diversity, repetition, tokens, doubts, and what they are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from knowlip.captioning.textgroups import CaptionTexts
from knowlip.captioning.textstats import COMPARED_WORDS
from knowlip.records import FAMILIES, SUBTEXTS
from knowlip.reporting.bars import Bar, bars
from knowlip.reporting.elements import Card, Cards, Element, Figure, Paragraph, Section, Table
from knowlip.reporting.histograms import Values, histograms
from knowlip.reporting.scatter import scatter

__all__ = ["doubts_section", "features_section", "figures_sections", "lengths_section", "samples_section"]

_WORDS = 24
_SHOWN = {
    "captions": "captions",
    "words_a_caption": "words a caption",
    "words_a_text": "words a text",
    "vocabulary": "different words",
    "mtld": "MTLD",
    "mtld_a_caption": "MTLD of one caption",
    "distinct_1": "distinct-1",
    "distinct_2": "distinct-2",
    "distinct_3": "distinct-3",
    "duplicate_captions": "captions said before",
    "duplicate_texts": "texts said before",
    "tokens_a_caption": "tokens a caption",
    "captions_cut": "captions cut",
    "tokens_cut": "tokens cut",
}
_TITLES = {
    "all": ("All texts", ""),
    "scale": ("By scale", ""),
    "family": ("By instruction family", ""),
    "prompts": ("By prompt version", "Replies of earlier prompts and of other models come from the journal."),
    "compared": (
        "Held against other text",
        "Templates name what annotations hold, as RemoteCLIP does; human sentences are about optical images.",
    ),
}


def figures_sections(figures: pa.Table) -> list[Section]:
    """Return a table a kind of group.

    Args:
        figures: Rows of group, name, figure and value.
    """
    sections = []
    for kind, (title, about) in _TITLES.items():
        names: dict[str, dict[str, float]] = {}
        for row in figures.to_pylist():
            if row["group"] == kind:
                names.setdefault(row["name"], {})[row["figure"]] = row["value"]
        shown = [figure for figure in _SHOWN if any(figure in values for values in names.values())]
        rows = [(name, *(_counted(figure, values.get(figure)) for figure in shown)) for name, values in names.items()]
        elements: list[Element] = [Paragraph(about)] if about else []
        elements.append(Table((kind if kind != "all" else "", *(_SHOWN[figure] for figure in shown)), rows))
        if kind == "all":
            note = f"Distinct-n is counted on captions of {COMPARED_WORDS:,} words together, or on all there are."
            elements.append(Paragraph(f"{note} MTLD is the length over which a vocabulary repeats itself, in words."))
        if rows:
            sections.append(Section(title, elements))
    return sections


def _counted(figure: str, value: float | None) -> float | int | None:
    return int(value) if value is not None and figure in ("captions", "vocabulary") else value


def lengths_section(captions: CaptionTexts, tokens: Values | None) -> Section:
    """Return the most frequent words and the lengths of each family (Fig. 8)."""
    families = {name: places for kind, name, places in captions.groups() if kind == "family"}
    texts = {name: captions.texts.select(places) for name, places in families.items()}
    frequent = {_named(name): [Bar(word, count) for word, count in one.frequent(_WORDS)] for name, one in texts.items()}
    panels: dict[str, Mapping[str, Values]] = {
        "words a caption": {_named(name): one.lengths().astype(np.float64) for name, one in texts.items()},
        "words a text": {_named(name): one.text_lengths().astype(np.float64) for name, one in texts.items()},
    }
    if tokens is not None:
        panels["tokens a caption"] = {_named(name): tokens[places] for name, places in families.items()}
    return Section(
        "Words and lengths",
        [
            Figure(bars(frequent, "words"), "The most frequent words of each family, without function words"),
            Figure(histograms(panels, "lengths"), "One half per cent at each end is drawn in the outermost bin"),
        ],
    )


def _named(family: str) -> str:
    return family.replace("_", " ") if family in FAMILIES else family or "none"


def doubts_section(captions: CaptionTexts) -> Section | None:
    """Return how many claims the fact check doubts, by sub-text and kind of check; nothing where nobody checked."""
    if not captions.checked:
        return None
    kinds = sorted({kind for _, kind in captions.doubts})
    rows = [
        (name.replace("_", " "), *(captions.doubts.get((name, kind), 0) for kind in kinds))
        for name in SUBTEXTS
        if any(captions.doubts.get((name, kind)) for kind in kinds)
    ]
    told = f"{captions.checked:,} captions were held against measurements and geography; "
    total = sum(captions.doubts.values())
    if not total:
        return Section("Doubted claims", [Paragraph(f"{told}no claim is doubted.")])
    about = f"{told}{total:,} claims are doubted. Each stands in the column flags of captions/, with the evidence."
    return Section("Doubted claims", [Paragraph(about), Table(("sub-text", *kinds), rows)])


def features_section(planes: Mapping[str, Values], told: Sequence[tuple[str, float, float]]) -> Section:
    """Return a t-SNE of image and text features (Fig. 10).

    Args:
        planes: Points (N, 2) by label.
        told: For each kind of text its name, the mean cosine with its own image, and the share that finds it first.
    """
    table = Table(("text", "cosine with its image", "finds its image first"), told, "In the model's own space")
    return Section("Features", [Figure(scatter(planes, "features"), "t-SNE of unit features, by cosine"), table])


def samples_section(cards: Sequence[Card]) -> Section | None:
    """Return tiles with their texts."""
    return Section("Samples", [Cards(cards)]) if cards else None
