"""What detection sets have in common: finding the image that an annotation names, and boxes that must lie in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from knowlip.benchmark.layouts.entry import IMAGE_SUFFIXES, Box, Entry, Listing, pictures_below
from knowlip.errors import DataError

__all__ = ["Pictures", "detection_listing", "fitted"]

ROUNDING_PX = 1.0
"""How far a box may reach over the edge: annotations count pixels from 0 or 1, and some round."""


class Pictures:
    """The image files of a folder, found by how annotations name them.

    Args:
        source: The set's folder.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in pictures_below(source):
            self._by_stem[path.stem].append(path)

    def find(self, named: str, *, split: str | None, where: str) -> Path:
        """Return the file that an annotation means.

        Args:
            named: Its name, with or without folders and suffix.
            split: The annotation's split, which decides between files of one name.
            where: The annotation, for the error line.

        Raises:
            DataError: There is none (code ``missing_image``), or several fit (``ambiguous_image``).
        """
        wanted = PurePosixPath(named.replace("\\", "/"))
        stem = wanted.stem if wanted.suffix.lower() in IMAGE_SUFFIXES else wanted.name
        found = self._by_stem.get(stem, [])
        if len(found) > 1:
            exact = [path for path in found if path.relative_to(self.source).as_posix().endswith(wanted.as_posix())]
            inside = [path for path in exact or found if split and split in str(path.relative_to(self.source).parent)]
            found = inside or exact or found
        if not found:
            raise DataError(
                f"names the image {named!r}, which is not there",
                where=where,
                fix="add the image, or --skip-bad",
                code="missing_image",
            )
        if len(found) > 1:
            raise DataError(
                f"names the image {named!r}, of which there are {len(found)}",
                where=where,
                fix="name its folder, or --skip-bad",
                code="ambiguous_image",
            )
        return found[0]


def detection_listing(source: Path, entries: Iterable[Entry], categories: Iterable[str] = ()) -> Listing:
    """Return the listing of some annotated images.

    Args:
        source: The set's folder.
        entries: They.
        categories: Categories that are declared; otherwise those that occur.

    Raises:
        DataError: No image has a box.
    """
    kept = tuple(sorted(entries, key=lambda entry: entry.name))
    occurring = {box.category for entry in kept for box in entry.boxes or ()}
    if not occurring:
        raise DataError("no image has a box", where=str(source), fix="check --layout and the annotations")
    classes = tuple(name for name in dict.fromkeys(categories) if name in occurring) or tuple(sorted(occurring))
    return Listing("detection", kept, classes)


def fitted(boxes: Iterable[Box], height: int, width: int, *, where: str) -> tuple[Box, ...]:
    """Return the boxes, cut at the image's edge where they reach over it by rounding.

    Raises:
        DataError: A box lies outside (code ``box_outside``) or has no area (``empty_box``).
    """
    kept = []
    for box in boxes:
        low, high = min(box.xmin, box.ymin), (box.xmax - width, box.ymax - height)
        spelt = f"{box.category} ({box.xmin:g}, {box.ymin:g}, {box.xmax:g}, {box.ymax:g})"
        if low < -ROUNDING_PX or max(high) > ROUNDING_PX:
            raise DataError(
                f"box {spelt} reaches outside the image of {width} × {height}",
                where=where,
                fix="mend the annotation, or --skip-bad",
                code="box_outside",
            )
        cut = Box(box.category, max(box.xmin, 0.0), max(box.ymin, 0.0), min(box.xmax, width), min(box.ymax, height))
        if not (cut.xmax > cut.xmin and cut.ymax > cut.ymin):
            raise DataError(
                f"box {spelt} has no area", where=where, fix="mend the annotation, or --skip-bad", code="empty_box"
            )
        kept.append(cut)
    return tuple(kept)
