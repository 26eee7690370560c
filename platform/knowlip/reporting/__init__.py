"""The pieces of every HTML report: sections, pictures, maps, curves, tables and one template."""

from knowlip.reporting.curves import metric_curves
from knowlip.reporting.elements import Card, Cards, Element, Figure, Paragraph, Section, Table
from knowlip.reporting.maps import Footprint, footprint_map, neighbourhoods
from knowlip.reporting.pictures import data_uri, thumbnail
from knowlip.reporting.report import render

__all__ = [
    "Card",
    "Cards",
    "Element",
    "Figure",
    "Footprint",
    "Paragraph",
    "Section",
    "Table",
    "data_uri",
    "footprint_map",
    "metric_curves",
    "neighbourhoods",
    "render",
    "thumbnail",
]
