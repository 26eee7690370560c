"""Pairs of simulated tiles and texts whose truth is known word for word, with as much noise as asked for.

Every sub-text states one fact that can be read off the truth: a land cover, a use, a count, a place. Since each fact
has its own sentences, a sentence can be read back, and it is known of every sub-text, also of one that a model wrote,
whether it is true.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from knowlip.records import CORPUS, SUBTEXTS, conform
from knowlip.scenes.simulate import LANDCOVER, SimulationSettings, simulate

__all__ = ["SENTENCES", "TruthfulTile", "corpus_table", "fact_of", "swapped", "truthful_tiles"]

TILE_PX = 64
GSD_M = 4.0
TARGETS = ("ship", "aircraft", "building", "tank")
SAME_FACTS = 4
"""Most tiles that share all eight facts."""

_COVERS = ("water", "open", "forest", "built", "paved")
_COVER_OF = {"water": 0, "grass": 1, "crops": 1, "bare": 1, "forest": 2, "built_up": 3, "paved": 4}
"""The simulator's land covers, those together that look alike at this size."""

SENTENCES: dict[str, dict[str, str]] = {
    "scene_background": {name: f"mainly {name}" for name in _COVERS},
    "regional_function": {name: f"{name} area" for name in ("airport", "harbour", "sea", "town", "hamlet", "country")},
    "terrain_structure": {"plain": "uniform ground", **{f"{name} beside": f"{name} beside" for name in _COVERS}},
    "target_category": {"none": "no target", **{name: f"{name}s shown" for name in TARGETS}},
    "target_quantity": {name: f"{name} counted" for name in ("none", "one", "few", "many", "crowd")},
    "target_location": {
        "none": "nowhere",
        **{name: f"{name} part" for name in ("north west", "north east", "south west", "south east", "spread")},
    },
    "target_structure": {"none": "sizeless", **{name: f"{name} bodies" for name in ("small", "medium", "large")}},
    "spatial_layout": {name: f"{name} side" for name in ("even", "north", "south", "west", "east")},
}
"""The facts of each kind of sub-text, and the sentence that states each."""


@dataclass(frozen=True)
class TruthfulTile:
    """A simulated tile and what is true of it.

    Attributes:
        tile_id: Scene and place in it.
        view: The picture, 8 bit, as PNG.
        facts: The eight facts, in the order of `SUBTEXTS`.
    """

    tile_id: str
    view: bytes
    facts: tuple[str, ...]


def truthful_tiles(seeds: Sequence[int], *, size_px: int = 1024) -> list[TruthfulTile]:
    """Simulate scenes of every kind, cut them, and state each tile's facts; of tiles that look alike only some stay.

    Args:
        seeds: One scene of each kind a seed.
        size_px: Pixels a side of a scene.
    """
    kept: list[TruthfulTile] = []
    alike: dict[tuple[str, ...], int] = {}
    for seed in seeds:
        for kind in ("airport", "port", "city", "sea", "countryside"):
            settings = SimulationSettings(
                kind=kind, gsd_m=GSD_M, looks=16, size_px=(size_px, size_px), seed=seed, sensor="Gaofen-3"
            )
            for tile in _tiles(settings):
                alike[tile.facts] = alike.get(tile.facts, 0) + 1
                if alike[tile.facts] <= SAME_FACTS * len(seeds):
                    kept.append(tile)
    return kept


def corpus_table(tiles: Sequence[TruthfulTile], facts: Sequence[Sequence[str]], split: str) -> pa.Table:
    """Return the pairs as rows of a corpus; the facts of a tile may be others than its true ones."""
    rows = []
    for tile, stated in zip(tiles, facts, strict=True):
        texts = {kind: SENTENCES[kind][fact] for kind, fact in zip(SUBTEXTS, stated, strict=True)}
        rows.append(
            {"tile_id": tile.tile_id, "scale": "S", "place": "simulated", "split": split, "view": tile.view, **texts}
        )
    return conform(pa.Table.from_pylist(rows, CORPUS), CORPUS, where="truthful pairs")


def swapped(tiles: Sequence[TruthfulTile], share: float, seed: int) -> tuple[list[tuple[str, ...]], NDArray[np.bool_]]:
    """Swap a share of the sub-texts with another tile's.

    Returns:
        What is stated of each tile, and where that is no longer true (N, 8): a swap that changes no fact is no noise.
    """
    random = np.random.default_rng(seed)
    swap = random.random((len(tiles), len(SUBTEXTS))) < share
    donor = random.integers(0, len(tiles), swap.shape)
    stated = [
        tuple(tiles[donor[row, kind]].facts[kind] if swap[row, kind] else fact for kind, fact in enumerate(tile.facts))
        for row, tile in enumerate(tiles)
    ]
    wrong = np.array([[a != b for a, b in zip(s, t.facts, strict=True)] for s, t in zip(stated, tiles, strict=True)])
    return stated, wrong


def fact_of(kind: str, text: str) -> str | None:
    """Read a sub-text back into its fact; None where it is no sentence of ours."""
    words = " ".join(text.lower().split())
    return next((fact for fact, sentence in SENTENCES[kind].items() if words == sentence), None)


def _tiles(settings: SimulationSettings) -> Iterator[TruthfulTile]:
    scene = simulate(settings)
    grey = np.clip(scene.amplitude * 320.0, 1, 255).astype(np.uint8)
    objects = [
        (one["properties"]["class"], *one["properties"]["centre_px"], float(one["properties"]["length_m"] or 0.0))
        for one in scene.features
    ]
    kinds = np.array([one[0].replace("storage_", "") for one in objects], dtype=object)
    places = np.array([one[1:] for one in objects], dtype=np.float64).reshape(-1, 3)
    cells = (places[:, :2] // TILE_PX).astype(np.int64)
    for row in range(grey.shape[0] // TILE_PX):
        for column in range(grey.shape[1] // TILE_PX):
            window = np.s_[row * TILE_PX : (row + 1) * TILE_PX, column * TILE_PX : (column + 1) * TILE_PX]
            here = (cells[:, 1] == row) & (cells[:, 0] == column)
            inside = places[here] - [column * TILE_PX, row * TILE_PX, 0.0]
            facts = _facts(scene.landcover[window], kinds[here], inside)
            yield TruthfulTile(f"{settings.kind}-{settings.seed}-{row:02d}-{column:02d}", _png(grey[window]), facts)


def _facts(codes: NDArray[np.uint8], kinds: NDArray[np.object_], places: NDArray[np.float64]) -> tuple[str, ...]:
    names = _COVERS
    cover = np.array([_COVER_OF.get(LANDCOVER.get(code, ""), 1) for code in range(max(LANDCOVER) + 1)])[codes]
    shares = np.bincount(cover.ravel(), minlength=len(names)) / cover.size
    first, second = np.argsort(-shares, kind="stable")[:2]
    target = np.isin(kinds, TARGETS)
    found, where = kinds[target], places[target]
    counts = {kind: int((found == kind).sum()) for kind in TARGETS}
    mixed = shares[second] >= 0.1
    return (
        names[first],
        _function(dict(zip(names, shares, strict=True)), kinds, counts),
        f"{names[second]} beside" if mixed else "plain",
        max(counts, key=lambda kind: counts[kind]) if len(found) else "none",
        _quantity(len(found)),
        _location(where),
        _size(where),
        _side(cover == second) if mixed else "even",
    )


def _function(shares: Mapping[str, float], kinds: NDArray[np.object_], counts: Mapping[str, int]) -> str:
    if counts["aircraft"] or np.isin(kinds, ("runway", "taxiway", "apron")).any():
        return "airport"
    if shares["water"] > 0.9:
        return "sea"
    if shares["water"] > 0.1 and shares["paved"] + shares["built"] > 0.1:
        return "harbour"
    if shares["built"] > 0.25 or counts["building"] > 12:
        return "town"
    return "hamlet" if counts["building"] else "country"


def _quantity(count: int) -> str:
    for name, most in (("none", 0), ("one", 1), ("few", 4), ("many", 12)):
        if count <= most:
            return name
    return "crowd"


def _location(places: NDArray[np.float64]) -> str:
    if not len(places):
        return "none"
    east, south = places[:, 0] >= TILE_PX / 2, places[:, 1] >= TILE_PX / 2
    counts = np.bincount(2 * south + east, minlength=4)
    if counts.max() < 0.6 * len(places):
        return "spread"
    return ("north west", "north east", "south west", "south east")[int(counts.argmax())]


def _size(places: NDArray[np.float64]) -> str:
    if not len(places):
        return "none"
    longest = places[:, 2].max()
    return "small" if longest < 30 else "medium" if longest < 80 else "large"


def _side(mask: NDArray[np.bool_]) -> str:
    rows, columns = np.nonzero(mask)
    down, right = rows.mean() / TILE_PX - 0.5, columns.mean() / TILE_PX - 0.5
    if max(abs(down), abs(right)) < 0.08:
        return "even"
    if abs(down) > abs(right):
        return "south" if down > 0 else "north"
    return "east" if right > 0 else "west"


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
