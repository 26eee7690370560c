"""What downstream tasks are scored by: each metric is a function from records, one a test example, to named figures.

A record is a plain mapping that says what was given for one example and what was right, in as much detail as the figure
needs and no more; so figures of resampled records are as cheap as figures of all (`intervals`), and records travel
between workers and into files.
"""

from knowlip.benchmark.metrics.answering import answering_scores
from knowlip.benchmark.metrics.captions import caption_records, caption_scores
from knowlip.benchmark.metrics.classification import classification_scores
from knowlip.benchmark.metrics.detection import detection_record, detection_scores
from knowlip.benchmark.metrics.intervals import Interval, differences, intervals
from knowlip.benchmark.metrics.records import Record, Scorer
from knowlip.benchmark.metrics.retrieval import retrieval_scores
from knowlip.benchmark.metrics.segmentation import segmentation_record, segmentation_scores

__all__ = [
    "SCORERS",
    "Interval",
    "Record",
    "Scorer",
    "answering_scores",
    "caption_records",
    "caption_scores",
    "classification_scores",
    "detection_record",
    "detection_scores",
    "differences",
    "intervals",
    "retrieval_scores",
    "segmentation_record",
    "segmentation_scores",
]

SCORERS: dict[str, Scorer] = {
    "classification": classification_scores,
    "detection": detection_scores,
    "segmentation": segmentation_scores,
    "retrieval": retrieval_scores,
    "captioning": caption_scores,
    "vqa": answering_scores,
}
"""What each kind of task is scored by."""
