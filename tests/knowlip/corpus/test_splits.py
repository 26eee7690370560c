"""No two splits share ground, whatever the archive looks like, and small archives still fill their splits."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from knowlip.corpus import Ground, allot, plan
from knowlip.errors import DataError

FRACTIONS = {"train": 0.8, "val": 0.1, "test": 0.1}


def _scene(name: str, west: float = 0.0, south: float = 0.0, *, step: float = 1.0, per_side: int = 4) -> list[Ground]:
    """One L, its M and S tiles; ``step`` below one makes neighbours overlap."""
    tiles = []
    for scale, size in (("L", per_side), ("M", 2), ("S", 1)):
        for row in range(0, per_side, size):
            for col in range(0, per_side, size):
                left, low = west + col * step, south + row * step
                above = {"L": "", "M": f"{name}-L-0-0", "S": f"{name}-M-{row // 2 * 2}-{col // 2 * 2}"}[scale]
                shape = shapely.box(left, low, left + size, low + size)
                tiles.append(Ground(f"{name}-{scale}-{row}-{col}", name, scale, above, shape, "Town"))
    return tiles


def _assert_no_leak(tiles: list[Ground], split: dict[str, str]) -> None:
    kept = [tile for tile in tiles if tile.tile_id in split and tile.footprint is not None]
    for one, other in combinations(kept, 2):
        if split[one.tile_id] != split[other.tile_id]:
            shared = shapely.intersection(one.footprint, other.footprint).area
            assert shared <= 0.0101 * min(one.footprint.area, other.footprint.area), (one, other)


def test_many_scenes_are_dealt_whole() -> None:
    tiles = [tile for number in range(30) for tile in _scene(f"s{number}", west=10.0 * number)]
    dealt = allot(tiles, FRACTIONS, seed=1)
    assert dealt.level == "L"
    assert not dealt.left_out
    assert all(len({dealt.split[t.tile_id] for t in tiles if t.scene_id == f"s{n}"}) == 1 for n in range(30))
    sizes = Counter(dealt.split.values())
    assert {name: size / len(tiles) for name, size in sizes.items()} == pytest.approx(FRACTIONS, abs=0.04)


def test_one_scene_is_dealt_by_finer_trees_and_its_large_tile_left_out() -> None:
    tiles = _scene("one", per_side=8)
    dealt = allot(tiles, FRACTIONS)
    assert dealt.level in ("M", "S")
    assert "one-L-0-0" in dealt.left_out
    assert set(dealt.split.values()) == {"train", "val", "test"}
    _assert_no_leak(tiles, dict(dealt.split))


@pytest.mark.parametrize("seed", range(5))
def test_every_scene_that_can_be_divided_is_learned_from_and_held_out(seed: int) -> None:
    tiles = [tile for number in range(3) for tile in _scene(f"s{number}", west=10.0 * number, per_side=6)]
    dealt = allot(tiles, FRACTIONS, seed=seed)
    assert dealt.level == "M"  # nine trees a scene
    there = {(tile.scene_id, dealt.split[tile.tile_id]) for tile in tiles if tile.tile_id in dealt.split}
    assert len(there) == 9


def test_which_ground_is_held_out_is_chance_and_not_its_size() -> None:
    sides = [2 + 2 * (number % 3) for number in range(30)]  # a third each of 6, 21 and 46 tiles
    tiles = [t for n, side in enumerate(sides) for t in _scene(f"s{n}", west=10.0 * n, per_side=side)]
    held = Counter()
    for seed in range(20):
        dealt = allot(tiles, FRACTIONS, seed=seed)
        held.update({tile.scene_id for tile in tiles if dealt.split.get(tile.tile_id) == "test"})
    assert len(held) > 20
    mean = sum(sides[int(scene[1:])] * times for scene, times in held.items()) / held.total()
    assert mean == pytest.approx(4, abs=0.6)


def test_two_passes_over_one_place_share_their_split() -> None:
    tiles = [tile for number in range(12) for tile in _scene(f"s{number}", west=10.0 * number)]
    again = [tile for number in range(12) for tile in _scene(f"r{number}", west=10.0 * number + 0.3, south=0.2)]
    dealt = allot(tiles + again, FRACTIONS)
    for number in range(12):
        splits = {dealt.split[t.tile_id] for t in tiles + again if t.scene_id in (f"s{number}", f"r{number}")}
        assert len(splits) == 1


def test_without_a_georeference_a_scene_is_one_ground() -> None:
    tiles = [
        Ground(tile.tile_id, tile.scene_id, tile.scale, tile.parent_id)
        for number in range(10)
        for tile in _scene(f"s{number}")
    ]
    dealt = allot(tiles, FRACTIONS)
    assert not dealt.left_out
    assert all(len({dealt.split[t.tile_id] for t in tiles if t.scene_id == f"s{n}"}) == 1 for n in range(10))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_tiny_archives(count: int) -> None:
    tiles = [Ground(f"t{n}", "s", "S", "", shapely.box(n, 0, n + 1, 1)) for n in range(count)]
    dealt = allot(tiles, FRACTIONS)
    assert len(dealt.split) == count
    filled = set(dealt.split.values())
    assert filled == ({"train", "val", "test"} if count >= 3 else filled)
    assert count == 0 or "train" in filled or count < 3


def test_a_split_of_nothing_gets_nothing() -> None:
    tiles = [tile for number in range(5) for tile in _scene(f"s{number}", west=10.0 * number)]
    assert set(allot(tiles, {"train": 0.5, "val": 0.5, "test": 0.0}).split.values()) == {"train", "val"}


@settings(max_examples=40, deadline=None)
@given(
    places=st.lists(st.tuples(st.floats(0, 12), st.floats(0, 12)), min_size=1, max_size=5),
    step=st.sampled_from([0.5, 0.9, 1.0]),
    seed=st.integers(0, 1000),
    order=st.randoms(use_true_random=False),
)
def test_no_two_splits_ever_share_ground(places, step, seed, order) -> None:
    tiles = [tile for n, (x, y) in enumerate(places) for tile in _scene(f"s{n}", x, y, step=step)]
    dealt = allot(tiles, FRACTIONS, seed)
    _assert_no_leak(tiles, dict(dealt.split))
    assert set(dealt.split) | set(dealt.left_out) == {tile.tile_id for tile in tiles}
    assert set(dealt.split) == set(dealt.place)
    shuffled = list(tiles)
    order.shuffle(shuffled)
    assert allot(shuffled, FRACTIONS, seed) == dealt


def test_a_plan_seats_every_captioned_tile_once() -> None:
    tiles = [tile for number in range(8) for tile in _scene(f"s{number}", west=10.0 * number)]
    captioned = {tile.tile_id for tile in tiles if tile.tile_id != "s0-S-0-0"}
    chosen = plan(tiles, captioned, fractions=FRACTIONS, shard_rows=50, seed=0)
    assert sorted(seat.position for seat in chosen.seats.values()) == list(range(len(chosen.seats)))
    assert chosen.left_out["no_caption"] == 1
    assert len(chosen.seats) + sum(chosen.left_out.values()) == len(tiles)
    assert Counter(seat.shard for seat in chosen.seats.values())[0] == 50
    assert chosen == plan(tiles[::-1], captioned, fractions=FRACTIONS, shard_rows=50, seed=0)
    with pytest.raises(DataError, match=r"jobs\.caption"):
        plan(tiles, set(), fractions=FRACTIONS, shard_rows=50, seed=0)
