"""Detection sets as COCO JSON: HRSID, SSDD's COCO edition, SAR-AIRcraft, FU-SS, FU-AS, and any other."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from knowlip.benchmark.layouts.boxes import Pictures, detection_listing
from knowlip.benchmark.layouts.entry import Box, Entry, Faults, Listing
from knowlip.errors import DataError
from knowlip.records import SPLITS

__all__ = ["list_coco"]


def list_coco(source: Path, faults: Faults, *, annotations: str = "") -> Listing:
    """List a COCO set.

    The annotation files are ``annotations.json``, or the JSON files of ``annotations/`` whose names hold one split
    (``train2017``, ``instances_test``; a ``train_test2017`` beside them only repeats). Images lie anywhere below.

    Args:
        source: The set's folder.
        faults: Takes what is wrong.
        annotations: The one annotation file to read, below the source.

    Raises:
        DataError: There are no annotations, or they are not COCO's.
    """
    pictures = Pictures(source)
    entries: dict[Path, Entry] = {}
    names: dict[str, None] = {}
    for path, split in _files(source, annotations):
        held = _read(path)
        categories = _categories(held, path)
        names |= dict.fromkeys(categories.values())
        for entry in _entries(held, categories, path, split, pictures, faults):
            known = entries.setdefault(entry.path, entry)
            if known.split != entry.split:
                message = f"lies in {known.split} and in {entry.split}"
                faults.add(
                    DataError(message, where=entry.name, fix="choose one by --options.annotations", code="two_splits")
                )
    return detection_listing(source, entries.values(), names)


def _files(source: Path, annotations: str) -> list[tuple[Path, str | None]]:
    if annotations:
        return [(source / annotations, None)]
    single = source / "annotations.json"
    if single.exists():
        return [(single, None)]
    found = sorted([*source.glob("annotations/*.json"), *source.glob("Annotations/*.json"), *source.glob("*.json")])
    named = [(path, _splits_in(path.stem)) for path in found]
    split = [(path, words[0]) for path, words in named if len(words) == 1]
    if split:
        # The shorter name first: `test.json` before `test_inshore.json`, which repeats a part of it.
        return sorted(split, key=lambda item: (len(item[0].name), item[0].name))
    if len(found) == 1:
        return [(found[0], None)]
    raise DataError(
        f"{len(found)} annotation files, none named after a split",
        where=str(source),
        fix="name one by --options.annotations, or put annotations.json there",
    )


def _splits_in(stem: str) -> list[str]:
    return [split for split in SPLITS if split in stem.lower()]


def _read(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        missing = [name for name in ("images", "annotations", "categories") if name not in held]
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"is no COCO JSON ({error})", where=str(path), fix="check --source and --layout") from error
    if missing:
        raise DataError(f"is no COCO JSON: {missing} missing", where=str(path), fix="check --source and --layout")
    return dict(held)


def _categories(held: dict[str, Any], path: Path) -> dict[int, str]:
    try:
        return {one["id"]: str(one["name"]) for one in held["categories"]}
    except (KeyError, TypeError) as error:
        message = f"is no COCO JSON: a category has no id or name ({error!r})"
        raise DataError(message, where=str(path), fix="check --source and --layout") from error


def _entries(
    held: dict[str, Any],
    categories: dict[int, str],
    path: Path,
    split: str | None,
    pictures: Pictures,
    faults: Faults,
) -> list[Entry]:
    boxes = _boxes(held, categories, path, faults)
    entries = []
    for image in held["images"]:
        try:
            where = f"{path.name}, image {image['id']}"
            shape = (int(image["height"]), int(image["width"])) if "height" in image and "width" in image else None
            found = pictures.find(str(image["file_name"]), split=split, where=where)
        except (KeyError, TypeError, ValueError) as error:
            message = f"an image has no id, name or size ({error!r})"
            faults.add(DataError(message, where=str(path), fix="mend it, or --skip-bad", code="annotation"))
        except DataError as error:
            faults.add(error)
        else:
            name = found.relative_to(pictures.source).as_posix()
            entries.append(Entry(name, found, boxes=tuple(boxes[image["id"]]), split=split, shape=shape))
    return entries


def _boxes(held: dict[str, Any], categories: dict[int, str], path: Path, faults: Faults) -> dict[int, list[Box]]:
    """Return the boxes of each image; crowds are no single targets and left out."""
    images = {image.get("id") for image in held["images"]}
    boxes: dict[int, list[Box]] = defaultdict(list)
    for one in held["annotations"]:
        if one.get("iscrowd"):
            continue
        where = f"{path.name}, annotation {one.get('id', '?')}"
        try:
            x, y, width, height = (float(value) for value in one["bbox"])
            category, image = categories[one["category_id"]], one["image_id"]
            listed = image in images
        except (KeyError, TypeError, ValueError) as error:
            message = f"has no box of a declared category in an image ({error!r})"
            faults.add(DataError(message, where=where, fix="mend it, or --skip-bad", code="annotation"))
            continue
        if not listed:
            message = f"names the image {image}, which is not listed"
            faults.add(DataError(message, where=where, fix="list it, or --skip-bad", code="missing_image"))
            continue
        boxes[image].append(Box(category, x, y, x + width, y + height))
    return boxes
