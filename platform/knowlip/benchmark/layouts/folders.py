"""One folder a class: SAR-ACD, FUSAR-AIR, FUSAR-SHIP, OpenSARShip chips, and any other set so published.

``SOURCE/CLASS/…/image``, or ``SOURCE/train/CLASS/…/image``. FUSAR-SHIP nests kinds in categories
(``Cargo/BulkCarrier``): ``label_depth`` says which names the class.
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath

from knowlip.benchmark.layouts.entry import Entry, Faults, Listing, pictures_below, split_named
from knowlip.errors import DataError

__all__ = ["list_class_folders", "list_opensarship"]

GROUPS, FOLDS = "groups.json", "folds_grouped.json"
_CHIP = re.compile(r"(?:visual_)?(?P<label>.+?)_x\d+_y\d+", re.IGNORECASE)


def list_class_folders(source: Path, faults: Faults, *, label_depth: int = 1) -> Listing:
    """List a set with one folder a class.

    ``groups.json`` and ``folds_grouped.json`` beside the folders (file to group, file to fold) are taken over.

    Args:
        source: The set's folder.
        faults: Takes what is wrong.
        label_depth: How many folders below the source, or below its split folder, name the class.

    Raises:
        DataError: Nothing is there, or fewer than two classes are.
    """
    pictures = pictures_below(source)
    groups, folds = _sidecar(source / GROUPS), _sidecar(source / FOLDS)
    entries = []
    for path in pictures:
        name = path.relative_to(source).as_posix()
        split = split_named(name)
        folders = PurePosixPath(name).parts[:-1][1 if split else 0 :]
        if len(folders) < label_depth:
            message = f"lies in {len(folders)} folders, and the class is the name of number {label_depth}"
            faults.add(DataError(message, where=name, fix="move it, or --skip-bad", code="no_label"))
            continue
        label = folders[label_depth - 1]
        group, fold = groups.get(name), folds.get(name)
        entries.append(
            Entry(name, path, label=label, split=split, group="" if group is None else str(group), fold=fold)
        )
    present = {entry.label for entry in entries}
    faults.extend(
        DataError("is a class without images", where=str(path), fix="remove it, or --skip-bad", code="empty_class")
        for path in sorted(source.iterdir())
        if label_depth == 1 and path.is_dir() and path.name not in present and not split_named(f"{path.name}/x")
    )
    return _listing(source, entries)


def list_opensarship(source: Path, faults: Faults) -> Listing:
    """List OpenSARShip chips that lie together: the class is in the name (``Visual_Cargo_x10615_y4996_VH.tif``).

    Raises:
        DataError: Nothing is there, or fewer than two classes are.
    """
    entries = []
    for path in pictures_below(source):
        name = path.relative_to(source).as_posix()
        found = _CHIP.match(path.stem)
        if found is None:
            message = "is not named CLASS_xNUMBER_yNUMBER"
            faults.add(DataError(message, where=name, fix="rename it, or --skip-bad", code="no_label"))
            continue
        entries.append(Entry(name, path, label=found["label"].lower(), split=split_named(name)))
    return _listing(source, entries)


def _listing(source: Path, entries: list[Entry]) -> Listing:
    classes = tuple(sorted({entry.label for entry in entries if entry.label}))
    if len(classes) < 2:
        raise DataError(f"holds {len(classes)} classes", where=str(source), fix="a folder for each of two or more")
    return Listing("classification", tuple(entries), classes)


def _sidecar(path: Path) -> dict[str, int]:
    """Read numbers of files, or nothing where the file is not."""
    if not path.exists():
        return {}
    try:
        return {str(name): int(number) for name, number in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(f"is no JSON from files to numbers ({error})", where=str(path), fix="mend it") from error
