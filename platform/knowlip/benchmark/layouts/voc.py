"""Detection sets as Pascal VOC: SSDD, SAR-AIRcraft as published, FU-SS, FU-AS, and any other.

``Annotations/*.xml`` beside ``JPEGImages/``, splits by ``ImageSets/Main/*.txt`` or by folders (``Annotations_train``).
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from knowlip.benchmark.layouts.boxes import Pictures, detection_listing
from knowlip.benchmark.layouts.entry import Box, Entry, Faults, Listing, split_named
from knowlip.errors import DataError
from knowlip.records import SPLITS

__all__ = ["list_voc"]

_EDGES = ("xmin", "ymin", "xmax", "ymax")


def list_voc(source: Path, faults: Faults) -> Listing:
    """List a VOC set; coordinates are taken as they stand.

    Args:
        source: The set's folder.
        faults: Takes what is wrong.

    Raises:
        DataError: There are no annotations.
    """
    files = sorted(source.rglob("*.xml"))
    if not files:
        raise DataError("holds no .xml annotations", where=str(source), fix="check --source and --layout")
    pictures, sets = Pictures(source), _image_sets(source)
    entries: dict[Path, Entry] = {}
    for path in files:
        relative = path.relative_to(source).as_posix()
        try:
            entry = _entry(path, relative, sets.get(path.stem) or split_named(relative), pictures)
        except DataError as error:
            faults.add(error)
            continue
        known = entries.setdefault(entry.path, entry)
        if known.split != entry.split:
            message = f"lies in {known.split} and in {entry.split}"
            faults.add(DataError(message, where=entry.name, fix="remove one of the two", code="two_splits"))
    return detection_listing(source, entries.values())


def _image_sets(source: Path) -> dict[str, str]:
    """Return the split of each stem that ``ImageSets`` lists."""
    found: dict[str, str] = {}
    for split in SPLITS:
        for path in sorted(source.rglob(f"ImageSets/**/{split}.txt")):
            found |= {line.split()[0]: split for line in path.read_text(encoding="utf-8").splitlines() if line.split()}
    return found


def _entry(path: Path, relative: str, split: str | None, pictures: Pictures) -> Entry:
    try:
        root = parse(path).getroot()
        boxes = tuple(_box(one) for one in root.iter("object"))
        size = root.find("size")
        shape = None if size is None else (int(_text(size, "height")), int(_text(size, "width")))
    except (ParseError, DefusedXmlException, ValueError, OSError) as error:
        raise DataError(
            f"is no VOC annotation ({error})", where=relative, fix="mend it, or --skip-bad", code="annotation"
        ) from error
    named = path.stem
    try:
        found = pictures.find(named, split=split, where=relative)
    except DataError as error:
        # Some sets name the image in the file only.
        inside = (root.findtext("filename") or "").strip()
        if error.code != "missing_image" or not inside:
            raise
        found = pictures.find(inside, split=split, where=relative)
    return Entry(found.relative_to(pictures.source).as_posix(), found, boxes=boxes, split=split, shape=shape)


def _box(one: Element) -> Box:
    edges = one.find("bndbox")
    if edges is None:
        raise ValueError("an object has no bndbox")
    xmin, ymin, xmax, ymax = (float(_text(edges, edge)) for edge in _EDGES)
    return Box(_text(one, "name"), xmin, ymin, xmax, ymax)


def _text(element: Element, name: str) -> str:
    text = (element.findtext(name) or "").strip()
    if not text:
        raise ValueError(f"no {name}")
    return text
