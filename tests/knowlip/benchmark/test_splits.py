"""Frozen splits: what they keep together, what they spread, that nothing moves them, and groups by likeness."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowlip.benchmark.grouping import Seen, conflicts, groups_of
from knowlip.benchmark.splits import FrozenSplit, Member, SplitChoice, deal, read_split, write_split
from knowlip.errors import DataError, WorkspaceError
from knowlip.tiling.duplicates import perceptual_hash
from knowlip.workspace import Workspace


def members(groups: int = 60, seed: int = 0, **changes: object) -> list[Member]:
    """Groups of one to four examples of three classes."""
    rng = np.random.default_rng(seed)
    found = []
    for group in range(groups):
        label = "abc"[group % 3]
        found += [Member(f"{label}/{group}-{n}", label, f"g{group}", **changes) for n in range(rng.integers(1, 5))]
    return found


def dealt(some: list[Member], scheme: str, *, folds: int = 5, seed: int = 0) -> FrozenSplit:
    return FrozenSplit.parsed(deal(some, folds=folds, seed=seed)[scheme])


@pytest.mark.parametrize("scheme", ["random", "grouped"])
def test_a_fifth_is_tested_and_every_example_once(scheme: str) -> None:
    some = members()
    split = dealt(some, scheme)
    tested: Counter[str] = Counter()
    for fold in range(5):
        found = split.members(SplitChoice(fold=fold))
        assert found.keys() == {one.example_id for one in some}
        counts = Counter(found.values())
        assert counts["test"] / len(some) == pytest.approx(0.2, abs=0.05)
        assert counts["val"] / (counts["val"] + counts["train"]) == pytest.approx(0.1, abs=0.05)
        labels = Counter(name[0] for name, part in found.items() if part == "test")
        assert max(labels.values()) - min(labels.values()) <= 6
        tested.update(name for name, part in found.items() if part == "test")
    assert set(tested.values()) == {1}


@settings(max_examples=25)
@given(st.integers(0, 50), st.integers(0, 4), st.floats(0.05, 1.0), st.integers(2, 5))
def test_groups_are_never_parted(seed: int, fold: int, fraction: float, folds: int) -> None:
    some = members(24, seed)
    found = dealt(some, "grouped", folds=folds, seed=seed).members(
        SplitChoice(fold=fold % folds, label_fraction=max(fraction, 0.2), val_share=0.2)
    )
    parts = defaultdict(set)
    for one in some:
        parts[one.group].add(found.get(one.example_id))
    assert all(len(held) == 1 for held in parts.values())


def test_a_smaller_fraction_lies_within_a_larger() -> None:
    split = dealt(members(300), "grouped")
    taken = [
        {name for name, part in split.members(SplitChoice(label_fraction=share)).items() if part == "train"}
        for share in (0.1, 0.2, 1.0)
    ]
    assert taken[0] < taken[1] < taken[2]
    assert len(taken[1]) / len(taken[2]) == pytest.approx(0.2, abs=0.03)
    tests = [
        {name for name, part in split.members(SplitChoice(label_fraction=share)).items() if part != "train"}
        for share in (0.1, 1.0)
    ]
    assert tests[0] == tests[1]  # what is held out stays


def test_a_random_split_parts_groups() -> None:
    some = members()
    found = dealt(some, "random").members(SplitChoice())
    parts = defaultdict(set)
    for one in some:
        parts[one.group].add(found[one.example_id])
    assert any(len(held) > 1 for held in parts.values())


def test_the_same_seed_gives_the_same_files_in_any_order() -> None:
    some = members()
    assert deal(some, folds=5, seed=1) == deal(some[::-1], folds=5, seed=1)
    assert deal(some, folds=5, seed=1) != deal(some, folds=5, seed=2)


def test_published_splits_and_folds_are_taken_over() -> None:
    some = [Member(f"{n}", "ab"[n % 2], f"g{n}", "test" if n < 4 else "train", n % 5) for n in range(40)]
    published = dealt(some, "published").members(SplitChoice())
    assert {name for name, part in published.items() if part == "test"} == {"0", "1", "2", "3"}
    assert Counter(published.values())["val"] == 4
    grouped = dealt(some, "grouped").members(SplitChoice(fold=3))
    assert {name for name, part in grouped.items() if part == "test"} == {f"{n}" for n in range(3, 40, 5)}
    with pytest.raises(DataError, match="test is empty"):
        dealt([Member(f"{n}", "a", f"g{n}", "train") for n in range(9)], "published").members(SplitChoice())


def test_too_little_to_deal() -> None:
    with pytest.raises(DataError, match="9 examples in 3 groups cannot be dealt to 5 folds"):
        deal([Member(f"{n}", "a", f"g{n % 3}") for n in range(9)], folds=5, seed=0)
    with pytest.raises(DataError, match="has no fold 7; use 0 to 4"):
        dealt(members(), "random").members(SplitChoice(fold=7))
    with pytest.raises(DataError, match=r"train is empty .* add examples"):
        dealt([Member(f"{n}", "a", f"g{n}") for n in range(2)], "random", folds=2).members(SplitChoice())


def test_rare_labels_do_not_stop_dealing() -> None:
    found = dealt([Member(f"{n}", f"label {n}", f"g{n}") for n in range(10)], "grouped").members(SplitChoice())
    assert Counter(found.values())["test"] == 2


def test_a_split_is_known_by_its_digest(workspace_root: str) -> None:
    workspace = Workspace(workspace_root)
    data = deal(members(), folds=5, seed=0)["grouped"]
    digest = write_split(workspace, "datasets/x", "grouped", data)
    assert read_split(workspace, "datasets/x", "grouped", sha256=digest) == FrozenSplit.parsed(data)
    write_split(workspace, "datasets/x", "grouped", data.replace(b'"seed":0', b'"seed":7'))
    with pytest.raises(DataError, match="was changed: its SHA-256 is"):
        read_split(workspace, "datasets/x", "grouped", sha256=digest)
    with pytest.raises(WorkspaceError):
        read_split(workspace, "datasets/x", "published")


def test_repeats_are_one_group_and_clashes_are_listed() -> None:
    rng = np.random.default_rng(0)
    chips = [rng.gamma(4, 20, (64, 64)).clip(1, 255).astype(np.uint8) for _ in range(4)]
    for place, pixels in enumerate(chips):
        pixels[8 * place : 8 * place + 16, 20:44] = 250
    copy = (chips[0] * 0.8).astype(np.uint8)
    seen = [Seen(f"{n}", "ab"[n % 2], f"d{n}", perceptual_hash(pixels)) for n, pixels in enumerate([*chips, copy])]
    groups = groups_of(seen)
    assert groups["4"] == groups["0"]
    assert len(set(groups.values())) == 4
    told = groups_of([Seen("5", "a", "d5", 0, group="7"), Seen("6", "b", "d6", 1 << 40, group="7"), *seen])
    assert told["5"] == told["6"] != told["0"]
    clashing = [Seen("x", "a", "same", 0), Seen("y", "b", "same", 0), Seen("z", "a", "other", 0)]
    assert conflicts([*clashing, Seen("w", "a", "other", 0)]) == ((("x", "a"), ("y", "b")),)
