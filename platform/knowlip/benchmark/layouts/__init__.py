"""Published data sets as they lie on disk: which images there are, and what is known of each.

A *layout* lists a folder without decoding pixels (`list_folder`); `load` then makes one example of one entry. What is
wrong with either is a `DataError` of one line.
"""

from knowlip.benchmark.layouts.choice import LAYOUTS, Layout, LayoutOptions, list_folder
from knowlip.benchmark.layouts.entry import Box, Entry, Faults, Listing
from knowlip.benchmark.layouts.loading import Loaded, load
from knowlip.benchmark.layouts.pictures import padded

__all__ = [
    "LAYOUTS",
    "Box",
    "Entry",
    "Faults",
    "Layout",
    "LayoutOptions",
    "Listing",
    "Loaded",
    "list_folder",
    "load",
    "padded",
]
