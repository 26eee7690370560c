"""The paper's figures as data: Tables 4, 6, 7 and 8 (sections 4.3 to 4.6), in per cent as printed.

They stand beside ours in reports, with a note wherever data or splits differ. Columns are called as our metrics are.
"""

# ruff: noqa: E501 - a row stays on its line

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["DOUBTS", "OURS", "TABLES", "Column", "Row", "Table", "published"]

OURS = "SAR-KnowLIP"
"""What the paper calls the method."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        task: The downstream task.
        data: The data set as the paper calls it; empty where it names none.
        metric: The figure as `knowlip.benchmark.metrics` calls it.
    """

    task: str
    data: str
    metric: str


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        model: What was pretrained, or on what.
        backbone: Its vision backbone; empty where the paper gives none.
        values: One figure a column, per cent.
    """

    model: str
    backbone: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Table:
    """One table of the paper.

    Attributes:
        number: The paper's.
        title: What it shows.
        columns: Its columns.
        rows: Its rows.
    """

    number: int
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def published(task: str, metric: str, data: str = "") -> Iterator[tuple[int, Row, float]]:
    """Yield the paper's figures of one kind: table number, row and value in per cent.

    Args:
        task: The downstream task.
        metric: The figure as `knowlip.benchmark.metrics` calls it.
        data: Only of this data set of the paper's.
    """
    for table in TABLES.values():
        for place, column in enumerate(table.columns):
            if (column.task, column.metric) == (task, metric) and data in ("", column.data):
                yield from ((table.number, row, row.values[place]) for row in table.rows)


_KINDS = ("count", "category", "region", "main_landform", "landforms", "region_landform")
_ANSWERS = tuple(Column("vqa", "", f"accuracy_{kind}") for kind in _KINDS)

# fmt: off
_VISION = (
    Row("RemoteCLIP", "ViT-Base", (66.76, 87.68, 64.63, 95.27, 44.57, 82.73, 65.36, 81.41, 51.31, 78.38, 38.09, 68.12, 44.18)),
    Row("GeoRSCLIP", "ViT-Base", (59.64, 83.97, 65.05, 92.86, 44.57, 83.88, 67.94, 81.51, 53.83, 78.03, 37.64, 64.29, 44.43)),
    Row("BAN", "ViT-Base", (65.28, 85.9, 65.79, 95.27, 37.0, 76.64, 67.97, 80.47, 51.94, 78.56, 38.15, 64.74, 44.53)),
    Row("ChangeCLIP", "ViT-Base", (56.97, 83.08, 65.79, 95.06, 33.22, 71.38, 66.98, 81.77, 50.96, 78.28, 38.05, 66.63, 43.31)),
    Row("Prithvi", "ViT-Base", (67.5, 89.31, 64.63, 93.28, 54.93, 91.61, 57.66, 78.38, 35.87, 78.59, 38.05, 63.28, 36.03)),
    Row("SkyScript", "ViT-Base", (62.31, 85.45, 65.58, 95.48, 54.11, 88.48, 66.91, 80.86, 55.99, 78.58, 38.19, 64.89, 41.79)),
    Row("CLIP", "ViT-Base", (62.61, 85.6, 64.21, 94.12, 38.65, 83.05, 66.82, 81.57, 48.43, 78.39, 38.41, 74.35, 50.48)),
    Row("BLIP", "ViT-Base", (64.98, 86.05, 65.58, 94.27, 56.25, 92.59, 67.86, 83.18, 52.84, 79.32, 40.69, 51.88, 20.05)),
    Row("SAR-JEPA", "ViT-Base", (74.33, 90.94, 63.69, 94.54, 69.4, 95.72, 54.72, 78.65, 48.02, 78.63, 38.15, 64.61, 35.98)),
    Row("MAE", "ViT-Base", (66.32, 87.83, 67.89, 94.22, 63.81, 92.43, 67.05, 82.31, 58.01, 79.65, 41.23, 72.46, 46.27)),
    Row("MoCo v3", "ViT-Base", (75.51, 90.65, 64.21, 93.17, 71.87, 95.72, 67.84, 82.2, 58.9, 79.53, 40.71, 74.55, 50.37)),
    Row("SAR-KnowLIP", "ViT-Base", (81.9, 93.32, 69.15, 96.54, 91.11, 99.84, 74.36, 85.87, 73.04, 81.37, 43.01, 76.75, 51.75)),
    Row("RemoteCLIP", "ViT-Large", (65.28, 87.38, 61.69, 92.54, 45.55, 87.0, 58.87, 77.01, 51.56, 61.93, 19.87, 62.65, 30.82)),
    Row("BAN", "ViT-Large", (65.87, 87.38, 55.71, 90.97, 51.31, 89.14, 59.25, 77.06, 49.82, 78.48, 38.13, 61.64, 33.48)),
    Row("GeoChat", "ViT-Large", (62.46, 86.35, 60.7, 91.81, 43.25, 80.92, 59.01, 77.13, 41.17, 76.15, 38.11, 44.8, 19.7)),
    Row("VHM", "ViT-Large", (60.68, 84.12, 61.69, 92.75, 30.92, 69.73, 57.83, 78.08, 44.19, 67.18, 27.34, 47.66, 17.56)),
    Row("SkyScript", "ViT-Large", (65.13, 86.5, 65.58, 94.59, 47.53, 89.47, 58.72, 77.87, 45.93, 72.6, 31.76, 66.02, 43.2)),
    Row("BITA", "ViT-Large", (62.61, 86.94, 57.08, 89.92, 37.0, 80.26, 62.35, 77.25, 45.8, 58.78, 16.34, 65.4, 44.58)),
    Row("SAR-KnowLIP", "ViT-Large", (75.96, 90.35, 66.84, 95.14, 77.46, 98.02, 68.14, 82.54, 68.97, 79.13, 38.41, 70.62, 46.29)),
)
_LANGUAGE = (
    Row("RemoteCLIP", "ViT-Base", (8.07, 14.91, 21.12, 5.34, 25.34, 37.76, 18.76, 73.53, 50.09, 76.24, 49.45, 55.48, 72.49, 28.68, 85.79, 38.8, 76.09)),
    Row("GeoRSCLIP", "ViT-Base", (9.32, 16.77, 25.47, 9.32, 26.34, 43.48, 21.78, 73.88, 49.18, 71.88, 48.52, 55.7, 77.01, 16.58, 84.7, 44.81, 73.36)),
    Row("BAN", "ViT-Base", (9.32, 19.88, 24.84, 9.69, 26.83, 37.76, 21.39, 76.98, 50.75, 93.67, 50.72, 53.96, 62.91, 17.76, 82.51, 44.26, 76.5)),
    Row("ChangeCLIP", "ViT-Base", (10.56, 18.01, 28.57, 7.08, 26.83, 41.49, 22.09, 72.95, 50.89, 67.65, 48.32, 55.7, 22.11, 22.24, 85.79, 47.54, 77.6)),
    Row("Prithvi", "ViT-Base", (6.21, 11.8, 14.29, 2.61, 13.66, 22.98, 11.93, 77.62, 50.54, 73.66, 51.16, 52.01, 50.5, 8.55, 78.69, 17.49, 73.5)),
    Row("SkyScript", "ViT-Base", (8.7, 22.36, 32.92, 10.31, 34.78, 49.94, 26.5, 72.68, 48.71, 67.92, 48.2, 54.18, 75.81, 14.47, 86.34, 20.77, 76.64)),
    Row("CLIP", "ViT-Base", (14.29, 19.88, 23.6, 9.44, 24.84, 34.53, 21.1, 75.05, 51.8, 67.79, 49.06, 56.13, 69.99, 26.58, 86.37, 42.08, 76.37)),
    Row("BLIP", "ViT-Base", (15.53, 29.19, 39.75, 15.53, 52.05, 65.96, 36.34, 76.52, 56.28, 104.36, 49.55, 76.66, 89.55, 79.76, 82.51, 39.34, 77.19)),
    Row("SAR-KnowLIP", "ViT-Base", (20.5, 38.51, 50.93, 20.25, 49.57, 68.45, 41.37, 80.01, 57.68, 113.46, 51.4, 98.7, 96.43, 97.89, 99.45, 89.07, 93.58)),
    Row("RemoteCLIP", "ViT-Large", (11.8, 18.01, 24.22, 8.7, 33.04, 45.84, 23.6, 76.96, 50.18, 80.63, 51.01, 55.27, 87.72, 29.72, 82.51, 43.72, 70.9)),
    Row("BAN", "ViT-Large", (9.32, 18.63, 24.22, 12.17, 29.94, 44.84, 23.19, 72.88, 50.56, 4.66, 47.28, 53.42, 60.4, 16.32, 86.89, 9.84, 75.82)),
    Row("VHM", "ViT-Large", (9.32, 13.66, 17.39, 7.45, 26.34, 38.26, 18.74, 76.96, 49.96, 79.07, 50.67, 52.23, 62.34, 8.68, 86.89, 30.05, 75.68)),
    Row("GeoChat", "ViT-Large", (5.59, 11.8, 21.12, 6.21, 21.99, 35.9, 17.1, 76.47, 50.14, 83.48, 49.41, 52.66, 73.31, 8.68, 79.78, 30.05, 77.46)),
    Row("SkyScript", "ViT-Large", (8.07, 14.91, 23.6, 10.31, 26.83, 42.36, 21.01, 77.26, 50.28, 76.79, 50.95, 52.77, 85.65, 18.34, 84.7, 43.72, 78.55)),
    Row("BITA", "ViT-Large", (6.83, 11.18, 18.01, 6.71, 23.23, 33.91, 16.65, 77.41, 50.15, 80.6, 50.93, 52.33, 78.13, 8.95, 86.33, 19.13, 77.73)),
    Row("SAR-KnowLIP", "ViT-Large", (26.7, 39.13, 51.55, 29.81, 61.86, 75.9, 47.49, 79.64, 58.66, 117.83, 52.11, 98.91, 93.36, 98.16, 90.89, 96.72, 81.42)),
)
_GENERAL = (
    Row("GPT-4o", "", (33.0, 66.0, 28.0, 53.0, 47.0, 44.0)),
    Row("Gemini-2.5", "", (12.0, 38.0, 43.0, 56.0, 73.0, 38.0)),
    Row("Grok-3", "", (19.0, 27.0, 54.0, 33.0, 65.0, 48.0)),
    Row("Qwen2.5-VL", "", (36.0, 47.0, 29.0, 51.0, 33.0, 39.0)),
    Row("SAR-KnowLIP", "", (98.0, 96.0, 97.0, 99.0, 89.0, 93.0)),
)
_ABLATION = (
    Row("SARLANG", "ViT-Base", (71.12, 86.24, 92.24, 94.54, 83.61, 78.96)),
    Row("SAR-GEOVL", "ViT-Base", (92.83, 93.86, 93.68, 96.17, 86.34, 85.52)),
    Row("SAR-GEOVL + screening", "ViT-Base", (97.18, 95.8, 94.61, 98.36, 87.43, 88.39)),
    Row("SAR-GEOVL + screening and reconstruction", "ViT-Base", (98.7, 96.43, 97.89, 99.45, 89.07, 93.58)),
)
# fmt: on

TABLES = {
    4: Table(
        4,
        "Target classification, detection and segmentation",
        (
            *(
                Column("classification", data, top)
                for data in ("FUSAR-AIR", "FUSAR-SHIP", "SAR-ACD")
                for top in ("top1", "top3")
            ),
            *(Column("detection", data, "map50") for data in ("FU-AS", "FU-SS", "AIR-F")),
            *(Column("segmentation", data, name) for data in ("FUSAR-MAP", "PoSAR-Seg") for name in ("oa", "miou")),
        ),
        _VISION,
    ),
    6: Table(
        6,
        "Image-text retrieval, captioning and visual question answering",
        (
            *(Column("retrieval", "", f"{way}_r{cut}") for way in ("t2i", "i2t") for cut in (1, 5, 10)),
            Column("retrieval", "", "retrieval_mean"),
            *(Column("captioning", "", name) for name in ("bleu4", "meteor", "cider", "spice")),
            *_ANSWERS,
        ),
        _LANGUAGE,
    ),
    7: Table(7, "General multimodal models on visual question answering", _ANSWERS, _GENERAL),
    8: Table(8, "Ablation of data and modules on visual question answering", _ANSWERS, _ABLATION),
}
"""The tables by the paper's number. CIDEr is printed a hundred times as large as its definition, as is usual."""

DOUBTS = (
    "Table 6 prints i2t R@5 of SAR-KnowLIP with ViT-Base (49.57) in bold, and BLIP's is higher (52.05).",
    "Table 6 gives BAN with ViT-Large a CIDEr of 4.66, between 79 and 84 for its neighbours.",
    "Tables 7 and 8 repeat the row of Table 6; Table 7 cuts its decimals.",
    "The splits of Table 4 are 4:1 and otherwise unstated; SAR-ACD leaks under a random one.",
)
"""What a reader of the paper's tables should know."""
