"""The corpus: image-text pairs for training, and splits that do not leak."""

from knowlip.corpus.doubts import text_columns, worded
from knowlip.corpus.pairs import CorpusPlan, Seat, captioned, grounds, plan, usable
from knowlip.corpus.shards import BUILDING, joined, publish, seated, shard_file, sides
from knowlip.corpus.splits import Allotment, Ground, allot

__all__ = [
    "BUILDING",
    "Allotment",
    "CorpusPlan",
    "Ground",
    "Seat",
    "allot",
    "captioned",
    "grounds",
    "joined",
    "plan",
    "publish",
    "seated",
    "shard_file",
    "sides",
    "text_columns",
    "usable",
    "worded",
]
