"""Splits that do not leak: tiles that share ground share their split.

A *group* is a tree of tiles of some scale with its descendants, together with whatever else shows the same ground
(repeat passes, other scenes). Groups are dealt to the splits. The scale whose trees are dealt is the coarsest that
meets the fractions: large trees keep neighbours together, and only an archive of many large tiles can be dealt by them.
A tile that still shares ground with another split (a large tile whose medium tiles were dealt apart) is left out.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from knowlip.manifest import digest
from knowlip.records import SCALES, SPLITS

__all__ = ["Allotment", "Ground", "allot"]

SAME_GROUND = 0.25
"""Two tiles of which the smaller one shares this part of its ground show one place."""

LEAK = 0.01
"""Shared ground up to this part of the smaller tile is the rounding of neighbouring footprints, not a leak."""

TOLERANCE = 0.04
"""How far a split's share may lie from its fraction before a finer scale is tried."""


_DEALS = 128
"""Random deals of which the best is taken."""


@dataclass(frozen=True)
class Ground:
    """What a split needs to know of a tile.

    Attributes:
        tile_id: The tile.
        scene_id: Its scene: the ground of tiles without a footprint.
        scale: ``L``, ``M`` or ``S``.
        parent_id: The tile that contains it, or empty.
        footprint: WGS84 polygon, or none where the scene has no georeference.
        name: What its place is called.
    """

    tile_id: str
    scene_id: str
    scale: str
    parent_id: str = ""
    footprint: shapely.Geometry | None = None
    name: str = ""


@dataclass(frozen=True)
class Allotment:
    """Who goes where.

    Attributes:
        split: Split of each tile that was kept.
        place: Group of each tile that was kept.
        left_out: Tiles that share ground with another split.
        level: Scale whose trees were dealt.
    """

    split: Mapping[str, str]
    place: Mapping[str, str]
    left_out: tuple[str, ...]
    level: str


def allot(tiles: Iterable[Ground], fractions: Mapping[str, float], seed: int = 0) -> Allotment:
    """Deal tiles to the splits by place.

    Every split with a fraction above zero gets tiles where there are at least as many groups as splits; an archive of
    one single small tile is all ``train``.

    Args:
        tiles: The tiles, in any order.
        fractions: Wanted part of each split of `knowlip.records.SPLITS`; they sum to one.
        seed: Changes which places go where.
    """
    ordered = sorted(tiles, key=lambda tile: tile.tile_id)
    overlaps = _overlaps(ordered)
    best: Allotment | None = None
    least = float("inf")
    for level in SCALES:
        if not any(tile.scale == level for tile in ordered):
            continue
        found = _dealt(ordered, overlaps, level, fractions, seed)
        error = _error(found, len(ordered), fractions)
        if error < least:
            best, least = found, error
        if least <= TOLERANCE:
            break
    return best or Allotment({}, {}, (), SCALES[-1])


def _dealt(
    tiles: Sequence[Ground],
    overlaps: Sequence[tuple[int, int, float]],
    level: str,
    fractions: Mapping[str, float],
    seed: int,
) -> Allotment:
    """Deal the trees of one scale."""
    groups = _groups(tiles, overlaps, level)
    scene_of = {key: min(tiles[place].scene_id for place in members) for key, members in groups.items()}
    dealt = _deal(groups, scene_of, fractions, seed)
    group_of = {member: key for key, members in groups.items() for member in members}
    # What is coarser than the trees stays only where all that lies in it went to one split.
    for place, keys in _above(tiles, group_of).items():
        if len({dealt[key] for key in keys}) == 1:
            group_of[place] = min(keys)
    split = {place: dealt[key] for place, key in group_of.items()}
    out = _leaking(tiles, overlaps, split)
    kept = [place for place in range(len(tiles)) if place in split and place not in out]
    names = {key: _name(tiles, members, key) for key, members in groups.items()}
    return Allotment(
        split={tiles[place].tile_id: split[place] for place in kept},
        place={tiles[place].tile_id: names[group_of[place]] for place in kept},
        left_out=tuple(tile.tile_id for place, tile in enumerate(tiles) if place not in split or place in out),
        level=level,
    )


def _overlaps(tiles: Sequence[Ground]) -> list[tuple[int, int, float]]:
    """Return pairs (i < j) of tiles that share ground, and the shared part of the smaller one."""
    located = [place for place, tile in enumerate(tiles) if tile.footprint is not None]
    if not located:
        return []
    shapes = np.array([tiles[place].footprint for place in located], dtype=object)
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    first, second = first[first < second], second[first < second]
    shared = shapely.area(shapely.intersection(shapes[first], shapes[second]))
    areas = shapely.area(shapes)
    part = shared / np.maximum(np.minimum(areas[first], areas[second]), 1e-18)
    found = part > LEAK
    triples = zip(first[found], second[found], part[found], strict=True)
    return [(located[left], located[right], float(value)) for left, right, value in triples]


def _groups(tiles: Sequence[Ground], overlaps: Sequence[tuple[int, int, float]], level: str) -> dict[str, list[int]]:
    """Join tiles of a scale and finer: child with parent, and what shows the same ground."""
    parents = {tile.parent_id for tile in tiles}
    fine = [
        place
        for place, tile in enumerate(tiles)
        if SCALES.index(tile.scale) >= SCALES.index(level) or tile.tile_id not in parents
    ]
    chosen = set(fine)
    by_id = {tiles[place].tile_id: place for place in fine}
    links = [(place, by_id[tiles[place].parent_id]) for place in fine if tiles[place].parent_id in by_id]
    links += [
        (left, right) for left, right, part in overlaps if part >= SAME_GROUND and left in chosen and right in chosen
    ]
    links += _unlocated(tiles, fine)
    ends = np.array(links, dtype=np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(tiles), len(tiles)))
    _, labels = connected_components(graph, directed=False)
    members: dict[int, list[int]] = defaultdict(list)
    for place in fine:
        members[int(labels[place])].append(place)
    return {digest([tiles[place].tile_id for place in group])[:8]: group for group in members.values()}


def _unlocated(tiles: Sequence[Ground], places: Sequence[int]) -> list[tuple[int, int]]:
    """Chain the tiles of each scene that has no georeference: they are one ground."""
    by_scene: dict[str, list[int]] = defaultdict(list)
    for place in places:
        if tiles[place].footprint is None:
            by_scene[tiles[place].scene_id].append(place)
    return [pair for members in by_scene.values() for pair in pairwise(members)]


def _deal(
    groups: Mapping[str, Sequence[int]], scene_of: Mapping[str, str], fractions: Mapping[str, float], seed: int
) -> dict[str, str]:
    """Deal the groups at random some times, and take the deal that is best.

    That is one within `TOLERANCE` of the fractions where there is one, and of these the one that holds out ground of
    most scenes: else a scene of another kind than the rest could be trained on only, or tested on only.
    """
    draws = random.Random(seed)
    total = sum(len(members) for members in groups.values())
    wanted = {split: fractions[split] for split in SPLITS if fractions.get(split, 0.0) > 0}
    divisible = [scene for scene, trees in Counter(scene_of.values()).items() if trees >= len(wanted)]

    def faults(dealt: Mapping[str, str]) -> tuple[float, int, float]:
        held = Counter(dict.fromkeys(wanted, 0))
        for key, split in dealt.items():
            held[split] += len(groups[key])
        error = max(abs(held[split] / max(total, 1) - wanted[split]) for split in wanted)
        there = {(scene_of[key], split) for key, split in dealt.items()}
        lacking = sum((scene, split) not in there for scene in divisible for split in wanted)
        return max(error - TOLERANCE, 0.0), lacking, error

    return min((_dealt_once(groups, wanted, total, draws) for _ in range(_DEALS)), key=faults)


def _dealt_once(
    groups: Mapping[str, Sequence[int]], wanted: Mapping[str, float], total: int, draws: random.Random
) -> dict[str, str]:
    """Deal the groups in random order, each to the split that lacks most; none is left empty if that can be."""
    order = sorted(groups)
    draws.shuffle(order)
    held = dict.fromkeys(wanted, 0)
    dealt: dict[str, str] = {}
    for place, key in enumerate(order):
        empty = [split for split in wanted if not held[split]]
        choices = empty if empty and len(order) - place <= len(empty) else list(wanted)
        chosen = max(choices, key=lambda split: (wanted[split] * total - held[split], -SPLITS.index(split)))
        held[chosen] += len(groups[key])
        dealt[key] = chosen
    return dealt


def _above(tiles: Sequence[Ground], group_of: Mapping[int, str]) -> dict[int, set[str]]:
    """Return the groups below each tile that is coarser than the trees."""
    by_id = {tile.tile_id: place for place, tile in enumerate(tiles)}
    above: dict[int, set[str]] = defaultdict(set)
    for place, key in group_of.items():
        parent = by_id.get(tiles[place].parent_id)
        while parent is not None:
            if parent not in group_of:
                above[parent].add(key)
            parent = by_id.get(tiles[parent].parent_id)
    return above


def _leaking(tiles: Sequence[Ground], overlaps: Sequence[tuple[int, int, float]], split: Mapping[int, str]) -> set[int]:
    """Choose tiles to leave out until no two splits share ground: the coarser of a pair, or the one to train on."""

    def loss(place: int) -> tuple[int, int, str]:
        return SCALES.index(tiles[place].scale), SPLITS.index(split[place]), tiles[place].tile_id

    clashes = [
        sorted((left, right), key=loss)
        for left, right, _ in overlaps
        if left in split and right in split and split[left] != split[right]
    ]
    out: set[int] = set()
    for first, second in sorted(clashes, key=lambda pair: loss(pair[0])):
        if first not in out and second not in out:
            out.add(first)
    return out


def _name(tiles: Sequence[Ground], members: Sequence[int], key: str) -> str:
    names = sorted({tiles[place].name for place in members if tiles[place].name})
    return f"{names[0]} {key}" if names else key


def _error(found: Allotment, total: int, fractions: Mapping[str, float]) -> float:
    """Largest distance of a split's share from its fraction; what was left out counts as missing."""
    counts = dict.fromkeys(SPLITS, 0)
    for split in found.split.values():
        counts[split] += 1
    starved = any(fractions.get(split, 0.0) > 0 and not counts[split] for split in SPLITS)
    return max(abs(counts[split] / max(total, 1) - fractions.get(split, 0.0)) for split in SPLITS) + starved
