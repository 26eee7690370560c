"""Templated text made from annotations, as RemoteCLIP turns boxes into captions: the foil of HCoT (Fig. 10)."""

from __future__ import annotations

import random

from knowlip.benchmark.content import Content
from knowlip.captioning.wording import plural

__all__ = ["templated"]

_CENTRE = 5
_MANY = 10
_COUNTED = 3


def templated(content: Content, *, tile_id: str, seed: int = 0) -> list[str]:
    """Write five sentences about a tile's annotations (box to caption, RemoteCLIP section III-B).

    The first says what lies in the middle, the second what lies elsewhere, and three say how many there are of a
    category that is drawn; more than ten are "many" or "a lot of". A tile without targets is named by its landform.

    Args:
        content: What the tile holds.
        tile_id: The tile, which with the seed decides what is drawn.
        seed: Seed of the set.
    """
    rng = random.Random(f"{seed}:{tile_id}")
    counts = content.counts
    if not counts:
        landform = content.landforms[0][0] if content.landforms else "land"
        return [f"A radar image of {landform}."] * (2 + _COUNTED)
    middle = [kind for kind, region in content.targets if region == _CENTRE]
    around = [kind for kind, region in content.targets if region != _CENTRE]
    texts = [
        _listed(middle, rng, "in the center of the image"),
        _listed(around, rng, "at the edge of the image"),
    ]
    for _ in range(_COUNTED):
        kind = rng.choice(sorted(counts))
        texts.append(f"There {_are(counts[kind])} {_number(counts[kind], kind, rng)} in the image.")
    return texts


def _listed(kinds: list[str], rng: random.Random, where: str) -> str:
    if not kinds:
        return f"There is no target {where}."
    counts = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    listed = " and ".join(_number(number, kind, rng) for kind, number in counts.items())
    return f"There {_are(next(iter(counts.values())))} {listed} {where}."


def _number(number: int, kind: str, rng: random.Random) -> str:
    if number == 1:
        return f"one {kind}"
    return f"{rng.choice(('many', 'a lot of')) if number > _MANY else number} {plural(kind)}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
