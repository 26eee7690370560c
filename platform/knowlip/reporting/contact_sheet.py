"""A contact sheet: kept and rejected tiles side by side with the reasons, as a page to label on and as one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from PIL import Image, ImageDraw

from knowlip.manifest import digest
from knowlip.reporting.pictures import data_uri, thumbnail
from knowlip.workspace import Workspace

__all__ = ["SheetGroup", "SheetTile", "sheet_groups", "sheet_page", "sheet_picture"]

_SIDE_PX = 96
_CAPTION_PX = 14
_COLUMNS = 12


@dataclass(frozen=True)
class SheetTile:
    """One picture of the sheet.

    Attributes:
        title: The tile's id.
        png: Its thumbnail.
        facts: Short lines below it.
    """

    title: str
    png: bytes
    facts: tuple[str, ...] = ()

    @property
    def picture(self) -> str:
        """The thumbnail as a ``data:`` URI."""
        return data_uri(self.png)


@dataclass(frozen=True)
class SheetGroup:
    """Tiles that share a fate.

    Attributes:
        heading: Kept, or the reason code.
        total: How many there are.
        cards: Those that are shown.
    """

    heading: str
    total: int
    cards: tuple[SheetTile, ...]


def sheet_groups(workspace: Workspace, *, scale: str = "S", a_group: int = 48) -> list[SheetGroup]:
    """Return kept tiles and each reason's rejected ones; which are shown depends on their ids alone.

    Args:
        workspace: Where the tiles are.
        scale: L, M or S.
        a_group: How many of a group to show.
    """
    groups = []
    if workspace.files("tiles"):
        groups += _groups(workspace, "tiles", "view", scale, a_group)
    if workspace.files("tiles", "_rejected"):
        groups += _groups(workspace, "tiles/_rejected", "thumbnail", scale, a_group)
    return groups


def sheet_page(groups: Sequence[SheetGroup]) -> str:
    """Return the sheet as one HTML file: K keeps, R rejects, and a button saves the labels as JSON."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("knowlip.reporting", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("contact_sheet.html").render(groups=groups)


def sheet_picture(groups: Sequence[SheetGroup]) -> bytes:
    """Return the sheet as one PNG: a heading a group, then its thumbnails in rows."""
    rows = [-(-len(group.cards) // _COLUMNS) for group in groups]
    height = sum(_CAPTION_PX + 8 + count * (_SIDE_PX + 4) for count in rows) + 4
    sheet = Image.new("L", (_COLUMNS * (_SIDE_PX + 4) + 4, height), 255)
    draw = ImageDraw.Draw(sheet)
    top = 4
    for group in groups:
        draw.text((4, top), f"{group.heading} ({group.total})", fill=0)
        top += _CAPTION_PX + 4
        for index, card in enumerate(group.cards):
            with Image.open(io.BytesIO(card.png)) as image:
                shown = image.convert("L")
                shown.thumbnail((_SIDE_PX, _SIDE_PX))
                across, down = index % _COLUMNS, index // _COLUMNS
                sheet.paste(shown, (4 + across * (_SIDE_PX + 4), top + down * (_SIDE_PX + 4)))
        top += -(-len(group.cards) // _COLUMNS) * (_SIDE_PX + 4) + 4
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    return stream.getvalue()


def _groups(workspace: Workspace, artefact: str, picture: str, scale: str, a_group: int) -> list[SheetGroup]:
    dataset = workspace.dataset(artefact)
    small = [name for name in ("tile_id", "scale", "reason", "score", "threshold") if name in dataset.schema.names]
    rows = [row for row in dataset.to_table(columns=small).to_pylist() if row["scale"] == scale]
    chosen: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda one: digest(one["tile_id"])):
        chosen.setdefault(row.get("reason") or "kept", []).append(row)
    wanted = {row["tile_id"] for group in chosen.values() for row in group[:a_group]}
    pictures = _pictures(workspace, artefact, picture, wanted)
    return [
        SheetGroup(
            heading,
            len(group),
            tuple(
                SheetTile(row["tile_id"], pictures[row["tile_id"]], _facts(row))
                for row in group[:a_group]
                if row["tile_id"] in pictures
            ),
        )
        for heading, group in sorted(chosen.items(), key=lambda item: (item[0] != "kept", item[0]))
    ]


def _pictures(workspace: Workspace, artefact: str, column: str, wanted: set[str]) -> dict[str, bytes]:
    dataset = workspace.dataset(artefact)
    found: dict[str, bytes] = {}
    if column in dataset.schema.names:
        for batch in dataset.to_batches(columns=["tile_id", column], batch_size=256):
            for row in batch.to_pylist():
                if row["tile_id"] in wanted and row[column]:
                    found[row["tile_id"]] = thumbnail(row[column], _SIDE_PX)
    return found


def _facts(row: dict[str, Any]) -> tuple[str, ...]:
    if row.get("score") is None:
        return ()
    return (f"{row['score']:.3g} against {row['threshold']:.3g}",)
