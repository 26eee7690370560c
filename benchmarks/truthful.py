"""Pairs of simulated tiles and texts whose truth is known word for word, with as much noise as asked for.

A tile is drawn from eight facts and imaged by the scene simulator: its ground, a route across it, a belt of another
land cover along one side, and targets of one kind, number and place, walled in or not. Every fact can be seen at the
size of the tile, so that a text that contradicts the image is wrong and not merely unlucky. No fact follows from the
others: what the rest of a text says anyway can be left out at no loss, so leaving it out (eq. 10 and 11) cannot tell
whether it is true. Each sub-text states one fact in a sentence of its own, so a sentence can be read back, and it is
known of every sub-text, also of one that a model wrote, whether it is true.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from PIL import Image
from shapely.geometry.base import BaseGeometry

from knowlip.records import CORPUS, SUBTEXTS, conform
from knowlip.scenes.simulate.canvas import Canvas, Floats, Frame
from knowlip.scenes.simulate.imaging import image
from knowlip.scenes.simulate.structures import Boxes, draw_boxes
from knowlip.scenes.simulate.surfaces import Illumination

__all__ = ["SENTENCES", "Facts", "TruthfulTile", "corpus_table", "fact_of", "swapped", "truthful_tiles"]

Facts = tuple[str, ...]
"""Eight facts, in the order of `SUBTEXTS`."""

TILE_PX = 32
GSD_M = 6.0
LOOKS = 8.0
_EXTENT_M = TILE_PX * GSD_M
_GREY_AT_ONE = 320.0
"""Grey value of an amplitude of one."""

_GROUNDS = {"concrete": "apron", "grass": "grass", "field": "crop_4"}
_BELTS = {"forest": "forest", "lake": "calm_water", "scree": "rock"}
_ROUTES = {"northbound": (True, False), "eastbound": (False, True), "crossing": (True, True), "no": (False, False)}
_QUARTERS = {"north west": (0, 0), "north east": (1, 0), "south west": (0, 1), "south east": (1, 1)}

SENTENCES: dict[str, dict[str, str]] = {
    "scene_background": {name: f"{name} ground" for name in _GROUNDS},
    "regional_function": {name: f"{name} route" for name in _ROUTES},
    "terrain_structure": {name: f"{name} belt" for name in _BELTS},
    "target_category": {name: f"{name} shown" for name in ("buildings", "ponds")},
    "target_quantity": {name: name for name in ("one", "three")},
    "target_location": {name: name for name in _QUARTERS},
    "target_structure": {name: f"{name} bodies" for name in ("walled", "open")},
    "spatial_layout": {name: f"{name} side" for name in ("north", "south", "west", "east")},
}
"""The facts of each kind of sub-text, and the sentence that states each."""


@dataclass(frozen=True)
class TruthfulTile:
    """A simulated tile and what is true of it.

    Attributes:
        tile_id: Seed and number.
        view: The picture, 8 bit, as PNG.
        facts: What it shows.
    """

    tile_id: str
    view: bytes
    facts: Facts


def truthful_tiles(count: int, *, seed: int = 0) -> list[TruthfulTile]:
    """Simulate tiles.

    Args:
        count: How many.
        seed: Decides them; the first ones of a longer list are the same.
    """
    tiles: list[TruthfulTile] = []
    random = np.random.default_rng(seed)
    illumination = Illumination(wavelength_m=0.0555, incidence_deg=38.0, polarisation="HH")
    while len(tiles) < count:
        facts = _drawn_facts(random)
        drawn = (_drawn(facts, random) for _ in range(_TRIES))
        canvas = next((found for found in drawn if found is not None), None)
        if canvas is None:
            continue  # so many of that size hardly find room there
        amplitude, _ = image(canvas, illumination, LOOKS)
        grey = np.clip(amplitude * _GREY_AT_ONE, 1, 255).astype(np.uint8)
        tiles.append(TruthfulTile(f"simulated-{seed}-{len(tiles):05d}", _png(grey), facts))
    return tiles


def corpus_table(tiles: Sequence[TruthfulTile], stated: Iterable[Facts], split: str) -> pa.Table:
    """Return the pairs as rows of a corpus; what is stated of a tile may differ from its facts."""
    rows = []
    for tile, facts in zip(tiles, stated, strict=True):
        texts = {kind: SENTENCES[kind][fact] for kind, fact in zip(SUBTEXTS, facts, strict=True)}
        rows.append(
            {"tile_id": tile.tile_id, "scale": "S", "place": "simulated", "split": split, "view": tile.view, **texts}
        )
    return conform(pa.Table.from_pylist(rows, CORPUS), CORPUS, where="truthful pairs")


def swapped(tiles: Sequence[TruthfulTile], share: float, seed: int) -> tuple[list[Facts], NDArray[np.bool_]]:
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


def _drawn_facts(random: np.random.Generator) -> Facts:
    """Draw each fact by itself."""
    return tuple(str(random.choice(list(SENTENCES[kind]))) for kind in SUBTEXTS)


def _drawn(facts: Facts, random: np.random.Generator) -> Canvas | None:
    """Draw a tile, or nothing where its targets find no room."""
    ground, route, belt, category, quantity, location, structure, side = facts
    frame = Frame(TILE_PX, TILE_PX, GSD_M, look=(0.98, -0.2), incidence_deg=38.0)
    canvas = Canvas(frame, int(random.integers(2**31)), _GROUNDS[ground])
    strip = _strip(side, _EXTENT_M * random.uniform(0.25, 0.3))
    canvas.paint(strip, _BELTS[belt])
    canvas.paint(_routes(route, _EXTENT_M * random.uniform(0.45, 0.55)), _BRIGHT)
    east, south = (_EXTENT_M / 2 * step for step in _QUARTERS[location])
    quarter = shapely.box(east, south, east + _EXTENT_M / 2, south + _EXTENT_M / 2)
    if structure == "walled":
        yard = quarter.buffer(-GSD_M)
        canvas.paint(yard.difference(yard.buffer(-2 * GSD_M)), _BRIGHT)
    area = quarter.difference(strip).buffer(-GSD_M).intersection(frame.box.buffer(-_HALF_TARGET_M))
    return canvas if _filled(canvas, category, 1 if quantity == "one" else 3, area, random) else None


_BRIGHT = "rock"
"""What routes and walls are made of: brighter than any ground."""

_HALF_TARGET_M = 24.0
"""How far a target's middle stays from the edge of the tile."""

_TRIES = 10
"""Drawings of one set of facts before it is given up: facts that were given up often would depend on each other."""


def _routes(route: str, middle_m: float) -> list[BaseGeometry]:
    """Return straight routes through the tile, one pixel wide."""
    near, far = middle_m - GSD_M / 2, middle_m + GSD_M / 2
    both = shapely.box(near, 0, far, _EXTENT_M), shapely.box(0, near, _EXTENT_M, far)
    return [line for line, there in zip(both, _ROUTES[route], strict=True) if there]


def _strip(side: str, depth_m: float) -> BaseGeometry:
    far = _EXTENT_M - depth_m
    corners = {
        "north": (0, 0, _EXTENT_M, depth_m),
        "south": (0, far, _EXTENT_M, _EXTENT_M),
        "west": (0, 0, depth_m, _EXTENT_M),
        "east": (far, 0, _EXTENT_M, _EXTENT_M),
    }
    return shapely.box(*corners[side])


def _filled(canvas: Canvas, category: str, wanted: int, area: BaseGeometry, random: np.random.Generator) -> bool:
    """Put so many targets with their middles in an area; tell whether they all found room."""
    if area.is_empty:
        return False
    x0, y0, x1, y1 = area.bounds
    drawn = 0
    for _ in range(15 * wanted):
        if drawn == wanted:
            break
        middle = random.uniform(0, 1, 2) * (x1 - x0, y1 - y0) + (x0, y0)
        if area.contains(shapely.Point(middle)):
            drawn += _target(canvas, category, middle, random)
    return drawn == wanted


def _target(canvas: Canvas, category: str, middle: Floats, random: np.random.Generator) -> bool:
    heading = float(random.uniform(0, 360))
    if category == "ponds":
        pond = shapely.Point(middle).buffer(float(random.uniform(15, 18)))
        if canvas.take(pond, 4.0):
            canvas.paint(pond, "calm_water")
            return True
        return False
    length = float(random.uniform(46, 54))
    width, height = length * float(random.uniform(0.3, 0.4)), float(random.uniform(10, 14))
    block = Boxes.one(middle, length, width, height, heading, "block")
    return canvas.take(shapely.polygons(block.corners())[0], 4.0) and draw_boxes(canvas, block, random) == 1


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
