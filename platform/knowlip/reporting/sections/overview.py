"""What was made, out of what, and how long it took: from the manifests."""

from __future__ import annotations

import pyarrow.fs as pafs

from knowlip.manifest import Manifest
from knowlip.reporting.elements import Paragraph, Section, Table
from knowlip.workspace import Workspace

__all__ = ["overview_section", "subfolders"]

_ROAD = ("scenes", "tiles", "captions", "corpus", "datasets/*", "runs/*", "index", "answers")
"""Artefacts in the order in which they are made; a star stands for every folder below."""


def overview_section(workspace: Workspace) -> Section | None:
    """Return one row an artefact that says how it was made."""
    names = [name for artefact in _ROAD for name in _spelled_out(workspace, artefact)]
    manifests = [manifest for name in names if (manifest := Manifest.read(workspace, name)) is not None]
    if not manifests:
        return None
    rows = [
        (
            f"{manifest.artefact}/",
            manifest.job,
            ", ".join(f"{_shown(value)} {name}" for name, value in manifest.counts.items()),
            round(manifest.seconds, 1),
            manifest.made_at.strftime("%d %b, %H:%M"),
        )
        for manifest in manifests
    ]
    newest = max(manifests, key=lambda manifest: manifest.made_at)
    libraries = ", ".join(f"{name} {version}" for name, version in newest.libraries.items())
    return Section(
        "What was made",
        [
            Table(("where it lies", "made by", "what is in it", "seconds", "finished, UTC"), rows),
            Paragraph(f"Code {newest.code.get('knowlip', '')} ({newest.code.get('commit', '')}); {libraries}."),
        ],
    )


def _spelled_out(workspace: Workspace, artefact: str) -> list[str]:
    folder = artefact.removesuffix("/*")
    return [f"{folder}/{name}" for name in subfolders(workspace, folder)] if folder != artefact else [artefact]


def subfolders(workspace: Workspace, *parts: str) -> list[str]:
    """Return the names of the folders directly below a folder."""
    found = workspace.filesystem.get_file_info(pafs.FileSelector(workspace.path(*parts), allow_not_found=True))
    names = [info.base_name for info in found if info.type == pafs.FileType.Directory]
    return sorted(name for name in names if name[0] not in "._")


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
