"""The layouts by name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from knowlip.benchmark.layouts.coco import list_coco
from knowlip.benchmark.layouts.entry import Faults, Listing
from knowlip.benchmark.layouts.folders import list_class_folders, list_opensarship
from knowlip.benchmark.layouts.masks import PAIRINGS, list_masks
from knowlip.benchmark.layouts.voc import list_voc
from knowlip.settings import Section

__all__ = ["LAYOUTS", "Layout", "LayoutOptions", "list_folder"]

Layout = Literal[
    "class-folders",
    "opensarship",
    "coco",
    "voc",
    "image-mask",
    "fusar-map",
    "air-polarsar-seg",
    "sen1floods11",
    "terramind-lulc",
]

LAYOUTS: tuple[Layout, ...] = get_args(Layout)


class LayoutOptions(Section):
    """What a layout leaves open."""

    label_depth: int = Field(1, ge=1, le=4)
    """`class-folders`: which folder below the source names the class (FUSAR-SHIP: 1 its category, 2 its kind)."""

    annotations: str = ""
    """`coco`: the one annotation file to read, below the source; found by its name otherwise."""

    legend: str = ""
    """Segmentation: JSON file from label values or colours to classes, instead of the layout's or `legend.json`."""

    band: int = Field(1, ge=1)
    """Which band of images that have several."""


def list_folder(source: Path, layout: Layout, options: LayoutOptions, faults: Faults) -> Listing:
    """List the images of a published set and what is known of each.

    Args:
        source: The set's folder.
        layout: How it was published.
        options: What the layout leaves open.
        faults: Takes what is wrong with single entries.

    Raises:
        DataError: The folder does not hold a set of this layout.
    """
    if layout == "class-folders":
        return list_class_folders(source, faults, label_depth=options.label_depth)
    if layout == "opensarship":
        return list_opensarship(source, faults)
    if layout == "coco":
        return list_coco(source, faults, annotations=options.annotations)
    if layout == "voc":
        return list_voc(source, faults)
    return list_masks(source, faults, PAIRINGS[layout], legend=options.legend)
