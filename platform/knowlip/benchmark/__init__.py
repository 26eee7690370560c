"""The benchmark: data sets built from what tiles hold, answers and metrics."""

from knowlip.benchmark.answers import Answer, normalise, parse, same
from knowlip.benchmark.content import Content, SceneTruth, from_annotations, from_measurements, from_truth, read_truth
from knowlip.benchmark.datasets import TASKS, annotated, content_of, examples_of, shuffled
from knowlip.benchmark.sft import KINDS, captions, classification, questions
from knowlip.benchmark.templated import templated

__all__ = [
    "KINDS",
    "TASKS",
    "Answer",
    "Content",
    "SceneTruth",
    "annotated",
    "captions",
    "classification",
    "content_of",
    "examples_of",
    "from_annotations",
    "from_measurements",
    "from_truth",
    "normalise",
    "parse",
    "questions",
    "read_truth",
    "same",
    "shuffled",
    "templated",
]
