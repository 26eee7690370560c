"""Segmentation sets: an image beside a mask, paired by their names.

FUSAR-MAP (``SAR_1024/…_SAR_001.tif`` and ``LAB_1024/…_LAB_001.tif``), AIR-PolarSAR-Seg (``test_set/X_HH.tiff`` and
``X_gt.png``), Sen1Floods11 (``X_S1Hand.tif`` and ``X_LabelHand.tif``), TerraMesh's land cover (``s1rtc/X.tif`` and
``lulc/X.tif``), and any pair of folders such as ``images/`` and ``masks/``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from knowlip.benchmark.layouts.entry import Entry, Faults, Listing, pictures_below, split_named
from knowlip.benchmark.layouts.legends import (
    AIR_POLARSAR_SEG,
    FUSAR_MAP,
    SEN1FLOODS11,
    TERRAMIND_LULC,
    Legend,
    read_legend,
)
from knowlip.errors import DataError

__all__ = ["PAIRINGS", "Pairing", "list_masks"]

LEGEND = "legend.json"
"""A legend beside the images, where a layout has none of its own."""


@dataclass(frozen=True)
class Pairing:
    """How the names of images and masks belong together.

    Attributes:
        image: Matches an image's path below the source, without its suffix.
        masks: What the match becomes in the mask's path; the first that is there counts.
        legend: What the values mean, or none: then a file must say it.
    """

    image: re.Pattern[str]
    masks: tuple[str, ...]
    legend: Legend | None = None


_FOLDER = r"(?P<before>^|.*/)(?:images?|imgs?|img_dir|jpegimages|sar)(?P<rest>/.*)"
_BESIDE = ("masks", "mask", "labels", "label", "gt", "ann_dir", "annotations", "segmentationclass")
_ENDINGS = ("", "_mask", "_label", "_gt")

PAIRINGS = {
    "image-mask": Pairing(
        re.compile(_FOLDER), tuple(rf"\g<before>{folder}\g<rest>{end}" for folder in _BESIDE for end in _ENDINGS)
    ),
    "sen1floods11": Pairing(
        re.compile(r"(?P<before>^|.*/)(?:s1hand/)?(?P<name>[^/]*)_s1hand"),
        (r"\g<before>\g<name>_labelhand", r"\g<before>labelhand/\g<name>_labelhand"),
        SEN1FLOODS11,
    ),
    "terramind-lulc": Pairing(
        re.compile(r"(?P<before>^|.*/)s1rtc(?P<rest>/.*)"), (r"\g<before>lulc\g<rest>",), TERRAMIND_LULC
    ),
    "fusar-map": Pairing(
        re.compile(r"(?P<before>^|.*/)sar(?P<size>_\d+)?/(?P<name>.*)_sar_(?P<number>\d+)"),
        (r"\g<before>lab\g<size>/\g<name>_lab_\g<number>",),
        FUSAR_MAP,
    ),
    "air-polarsar-seg": Pairing(re.compile(r"(?P<rest>.*)_hh"), (r"\g<rest>_gt",), AIR_POLARSAR_SEG),
}
"""Paths are compared in lower case."""


def list_masks(source: Path, faults: Faults, pairing: Pairing, *, legend: str = "") -> Listing:
    """List a set of images with masks.

    Args:
        source: The set's folder.
        faults: Takes what is wrong.
        pairing: How names belong together.
        legend: File that says what the values mean, instead of the layout's own legend or ``legend.json``.

    Raises:
        DataError: Nothing is there, no image matches, or nobody says what the values mean.
    """
    known = _legend(source, pairing, legend)
    paths = {_key(source, path): path for path in pictures_below(source)}
    entries = []
    for key, path in paths.items():
        if not pairing.image.fullmatch(key):
            continue
        name = path.relative_to(source).as_posix()
        candidates = [pairing.image.sub(template, key, count=1) for template in pairing.masks]
        mask = next((paths[each] for each in candidates if each in paths), None)
        if mask is None:
            message = f"has no mask (looked for {candidates[0]})"
            faults.add(DataError(message, where=name, fix="add it, or --skip-bad", code="missing_mask"))
            continue
        entries.append(Entry(name, path, mask=mask, split=split_named(name)))
    if not entries:
        raise DataError("holds no image with a mask in this layout", where=str(source), fix="check --layout")
    return Listing("segmentation", tuple(entries), known.classes, known)


def _legend(source: Path, pairing: Pairing, legend: str) -> Legend:
    if legend:
        return read_legend(Path(legend))
    if pairing.legend is not None:
        return pairing.legend
    if (source / LEGEND).exists():
        return read_legend(source / LEGEND)
    raise DataError(
        "does not say what its label values mean",
        where=str(source),
        fix=f'put {LEGEND} there or give --options.legend FILE, such as {{"0": null, "1": "water"}}',
    )


def _key(source: Path, path: Path) -> str:
    return path.relative_to(source).with_suffix("").as_posix().lower()
