"""What a layout says of one image, and what is done about what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from knowlip.benchmark.layouts.legends import Legend
from knowlip.errors import DataError
from knowlip.records import SPLITS

__all__ = ["IMAGE_SUFFIXES", "Box", "Entry", "Faults", "Listing", "pictures_below", "split_named"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})

_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "train_set": "train",
    "val_set": "val",
    "test_set": "test",
}


@dataclass(frozen=True)
class Box:
    """A target: its category and its edges, in pixels of the image (the far ones exclusive)."""

    category: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float


@dataclass(frozen=True)
class Entry:
    """One image of a data set.

    Attributes:
        name: Its path below the source, with ``/``: the example's key.
        path: The image file.
        label: Its class (classification).
        boxes: Its targets (detection).
        mask: The file with the class of each pixel (segmentation).
        split: The split it was published in, or none.
        group: What must not be parted from it, as far as the source says; empty otherwise.
        fold: The group fold it was published in, or none.
        shape: Height and width as annotated, or none.
    """

    name: str
    path: Path
    label: str | None = None
    boxes: tuple[Box, ...] | None = None
    mask: Path | None = None
    split: str | None = None
    group: str = ""
    fold: int | None = None
    shape: tuple[int, int] | None = None


@dataclass(frozen=True)
class Listing:
    """A data set, before a pixel is decoded.

    Attributes:
        task: ``classification``, ``detection`` or ``segmentation``.
        entries: Its images, by name.
        classes: Its classes; of segmentation, the code of a class is its place counted from 1.
        legend: What the values of its masks mean (segmentation).
    """

    task: str
    entries: tuple[Entry, ...]
    classes: tuple[str, ...]
    legend: Legend | None = None


@dataclass
class Faults:
    """What becomes of bad input: the first stops, or all are counted and left out.

    Attributes:
        skip: Count and leave out.
        lines: One line each of what was left out.
        counts: How many there were of each code.
    """

    skip: bool = False
    lines: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, error: DataError) -> None:
        """Take note of an error.

        Raises:
            DataError: The error, where nothing is skipped.
        """
        if not self.skip:
            raise error
        self.counts[error.code] += 1
        self.lines.append(str(error))

    def extend(self, errors: Iterable[DataError]) -> None:
        """Take note of several."""
        for error in errors:
            self.add(error)


def pictures_below(source: Path) -> list[Path]:
    """Return the image files at any depth of a folder, sorted, hidden ones left out.

    Raises:
        DataError: There is no such folder, or no image in it.
    """
    if not source.is_dir():
        raise DataError("is no folder", where=str(source), fix="give the data set's folder by --source")
    found = sorted(path for path in source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    found = [path for path in found if not any(part.startswith(".") for part in path.relative_to(source).parts)]
    if not found:
        raise DataError("holds no images", where=str(source), fix=f"looked for {', '.join(sorted(IMAGE_SUFFIXES))}")
    return found


def split_named(path: str) -> str | None:
    """Return the split that a path's folders name (``train``, ``test_set``, ``JPEGImages_test``), or none."""
    for part in PurePosixPath(path).parts[:-1]:
        word = part.lower()
        found = _SPLIT_NAMES.get(word) or next((split for split in SPLITS if word.endswith(f"_{split}")), None)
        if found:
            return found
    return None
