"""The sections of reports; those of the workspace's are there only where their artefact is."""

from knowlip.reporting.sections.answers import answers_section
from knowlip.reporting.sections.benchmark import benchmark_section
from knowlip.reporting.sections.overview import overview_section
from knowlip.reporting.sections.places import map_section
from knowlip.reporting.sections.rejected import rejected_section
from knowlip.reporting.sections.runs import run_sections
from knowlip.reporting.sections.scio import scio_section
from knowlip.reporting.sections.search import search_section
from knowlip.reporting.sections.sweep import sweep_section
from knowlip.reporting.sections.tiles import tiles_section

__all__ = [
    "answers_section",
    "benchmark_section",
    "map_section",
    "overview_section",
    "rejected_section",
    "run_sections",
    "scio_section",
    "search_section",
    "sweep_section",
    "tiles_section",
]
