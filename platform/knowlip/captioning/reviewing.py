"""Experts' judgements of texts: which tiles are judged, and what the judgements say (section 4.2, Fig. 9)."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from knowlip.errors import DataError
from knowlip.records import SUBTEXTS

__all__ = ["VERDICTS", "Agreement", "Review", "Tally", "agreements", "drawn", "parse_review", "tallies", "together"]

VERDICTS = ("correct", "wrong", "unsure")
"""What a reviewer says of one sub-text."""

TOGETHER = "together"
ALL = "all"


@dataclass(frozen=True)
class Review:
    """What one reviewer says of a sheet.

    Attributes:
        reviewer: Name.
        sheet: The sheet's id.
        verdicts: For each tile, what is said of its sub-texts; those that are not judged are left out.
    """

    reviewer: str
    sheet: str
    verdicts: Mapping[str, Mapping[str, str]]

    @property
    def judged(self) -> int:
        """Number of verdicts."""
        return sum(map(len, self.verdicts.values()))


@dataclass(frozen=True)
class Tally:
    """Verdicts of one reviewer on one kind of text in one group of tiles.

    Attributes:
        reviewer: Who judged; `TOGETHER` for what all of them say.
        group: ``all``, or a family or scale.
        kind: A sub-text, or ``all``.
        correct: Number of verdicts.
        wrong: Number of verdicts.
        unsure: Number of verdicts; they count neither way.
    """

    reviewer: str
    group: str
    kind: str
    correct: int
    wrong: int
    unsure: int

    @property
    def accuracy(self) -> float | None:
        """Share of correct ones among those that are settled; none when nothing is."""
        return self.correct / (self.correct + self.wrong) if self.correct + self.wrong else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the accuracy; none when nothing is settled."""
        if not self.correct + self.wrong:
            return None
        found = binomtest(self.correct, self.correct + self.wrong).proportion_ci(0.95, method="wilson")
        return float(found.low), float(found.high)


@dataclass(frozen=True)
class Agreement:
    """How far two reviewers agree.

    Attributes:
        reviewers: Their names.
        kind: A sub-text, or ``all``.
        both: Texts that both judged.
        same: Of these, those of which both said the same.
        kappa: Cohen's kappa over the three verdicts; none where chance cannot be told from agreement, because nothing
            was judged by both or every verdict was the same.
    """

    reviewers: tuple[str, str]
    kind: str
    both: int
    same: int
    kappa: float | None


def drawn(rows: Sequence[Mapping[str, str]], share: float, seed: int) -> list[str]:
    """Draw tiles by family and scale, in proportion, at least one of each.

    Args:
        rows: ``tile_id``, ``family`` and ``scale`` of the captions.
        share: Part of each stratum.
        seed: What is drawn, and the order in which it is shown.
    """
    strata: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        strata[row["family"], row["scale"]].append(row["tile_id"])
    rng = random.Random(seed)
    chosen = [
        tile_id
        for key in sorted(strata)
        for tile_id in rng.sample(sorted(strata[key]), min(len(strata[key]), max(1, round(share * len(strata[key])))))
    ]
    rng.shuffle(chosen)
    return chosen


def parse_review(document: Any, *, where: str) -> Review:
    """Read what a review sheet saved.

    Args:
        document: Decoded JSON.
        where: The file, for the error line.

    Raises:
        DataError: It is not what a sheet saves.
    """
    fix = "give a file that a review sheet saved"
    if not isinstance(document, Mapping) or not isinstance(document.get("judgements"), Mapping):
        raise DataError("holds no judgements", where=where, fix=fix)
    reviewer, sheet = str(document.get("reviewer") or "").strip(), str(document.get("sheet") or "")
    if not reviewer or not sheet:
        raise DataError("names no reviewer or no sheet", where=where, fix=fix)
    for tile_id, verdicts in document["judgements"].items():
        for kind, verdict in verdicts.items() if isinstance(verdicts, Mapping) else [("", "")]:
            if kind not in SUBTEXTS or verdict not in VERDICTS:
                raise DataError(f"says {verdict!r} of {kind!r} of tile {tile_id}", where=where, fix=fix)
    return Review(reviewer, sheet, {str(tile): dict(said) for tile, said in document["judgements"].items()})


def together(reviews: Sequence[Review]) -> Review:
    """Return what the reviewers say together: the verdict of most; where as many say the other, unsure."""
    said: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for review in reviews:
        for tile_id, verdicts in review.verdicts.items():
            for kind, verdict in verdicts.items():
                said[tile_id][kind].append(verdict)
    settled = {
        tile_id: {kind: _settled(Counter(verdicts)) for kind, verdicts in kinds.items()}
        for tile_id, kinds in said.items()
    }
    return Review(TOGETHER, reviews[0].sheet if reviews else "", settled)


def _settled(said: Counter[str]) -> str:
    if said["correct"] == said["wrong"]:
        return "unsure"
    return "correct" if said["correct"] > said["wrong"] else "wrong"


def tallies(review: Review, tiles: Mapping[str, Mapping[str, str]]) -> Iterator[Tally]:
    """Count a review: all tiles, then each family and each scale; all sub-texts together, then each.

    Args:
        review: The verdicts.
        tiles: ``family`` and ``scale`` of each tile of the sheet.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    for tile_id, verdicts in review.verdicts.items():
        tile = tiles.get(tile_id)
        for group in (ALL, tile["family"], tile["scale"]) if tile else ():
            for kind, verdict in verdicts.items():
                counts[group, kind, verdict] += 1
                counts[group, ALL, verdict] += 1
    groups = sorted({group for group, _, _ in counts}, key=lambda group: (group != ALL, len(group) == 1, group))
    for group in groups:
        for kind in (ALL, *SUBTEXTS):
            numbers = [counts[group, kind, verdict] for verdict in VERDICTS]
            if sum(numbers):
                yield Tally(review.reviewer, group, kind, *numbers)


def agreements(reviews: Sequence[Review]) -> Iterator[Agreement]:
    """Compare every two reviewers, on all sub-texts together and on each."""
    for one, other in combinations(reviews, 2):
        pairs = [
            (kind, said, other.verdicts[tile_id][kind])
            for tile_id, verdicts in one.verdicts.items()
            for kind, said in verdicts.items()
            if kind in other.verdicts.get(tile_id, {})
        ]
        for wanted in (ALL, *SUBTEXTS):
            mine = [(said, answered) for kind, said, answered in pairs if wanted in (ALL, kind)]
            if mine:
                same = sum(said == answered for said, answered in mine)
                yield Agreement((one.reviewer, other.reviewer), wanted, len(mine), same, _kappa(mine))


def _kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    if len({verdict for pair in pairs for verdict in pair}) < 2:
        return None
    kappa = float(cohen_kappa_score(*zip(*pairs, strict=True), labels=VERDICTS))
    return kappa if math.isfinite(kappa) else None
