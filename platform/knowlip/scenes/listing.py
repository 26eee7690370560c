"""Which rasters a person means: files, folders, globs, list files, archives and URIs become scene paths."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from glob import glob, has_magic
from pathlib import Path

import pyarrow.fs as pafs

from knowlip.errors import SettingsError
from knowlip.workspace import Workspace

__all__ = ["find_scenes", "is_sidecar"]

_RASTERS = frozenset({".tif", ".tiff", ".img", ".jp2", ".vrt", ".nc", ".ntf", ".dat"})
_LISTS = frozenset({".txt", ".lst"})
_SIDECAR = re.compile(
    r"(\.aux\.xml|\.ovr|\.msk|\.tfw|\.truth\.geojson|\.landcover\.tiff?|"
    r"(^|[-_.])(quick-?look|ql|preview|browse|thumb(nail)?|overview)([-_]?\d+)?\.[a-z0-9]+)$",
    re.IGNORECASE,
)
_SAFE_MEASUREMENT = re.compile(r"\.SAFE/measurement/[^/]+\.tiff?$", re.IGNORECASE)


def is_sidecar(name: str) -> bool:
    """Whether a file goes with a scene and is none itself: statistics, overviews, truth, land cover, quicklooks."""
    return bool(_SIDECAR.search(name))


def find_scenes(wanted: Iterable[str]) -> list[str]:
    """Expand what a person named into paths of candidate scenes, sorted, each once.

    - A file is taken as it is, whatever its suffix; a ``.txt`` or ``.lst`` is read as a list of paths, one a line.
    - A folder is searched through for rasters; in a ``.SAFE`` folder or zip, the measurement files count.
    - ``*``, ``?`` and ``**`` match as in a shell.
    - ``s3://bucket/prefix/`` is searched like a folder.

    Sidecars found on the way are left out; whether a candidate really is a scene shows when it is opened.

    Raises:
        SettingsError: A path names nothing, or nothing that could be a raster.
    """
    found: set[str] = set()
    for path in wanted:
        matched = set(_expand(path))
        if not matched:
            raise SettingsError("no raster found", where=path, fix="name files, a folder, a glob or a list of paths")
        found |= matched
    return sorted(found)


def _expand(path: str) -> Iterator[str]:
    if "://" in path:
        yield from _remote(path)
    elif has_magic(path) and not Path(path).exists():
        for match in glob(path, recursive=True):  # noqa: PTH207 (Path.glob takes no absolute patterns)
            if not is_sidecar(match):
                yield from _expand(match)
    elif path.startswith("/vsi"):
        yield path
    elif Path(path).is_dir():
        yield from _folder(Path(path))
    elif Path(path).suffix.lower() == ".zip":
        yield from _archive(Path(path))
    elif Path(path).suffix.lower() in _LISTS and Path(path).is_file():
        yield from _listed(Path(path))
    elif Path(path).exists():
        yield path


def _folder(folder: Path) -> Iterator[str]:
    for file in sorted(folder.rglob("*")):
        text = file.as_posix()
        in_safe = ".SAFE/" in text or folder.suffix == ".SAFE"
        if is_sidecar(file.name) or file.name.startswith(".") or file.is_dir():
            continue
        if in_safe and not _SAFE_MEASUREMENT.search(file.absolute().as_posix()):
            continue
        if file.suffix.lower() in _RASTERS:
            yield str(file)
        elif file.suffix.lower() == ".zip":
            yield from _archive(file)


def _archive(file: Path) -> Iterator[str]:
    """Offer the measurement files of a product's zip; a broken zip is offered itself, and its opening will tell."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        yield str(file)
        return
    safe = [name for name in names if _SAFE_MEASUREMENT.search(name)]
    rasters = [name for name in names if Path(name).suffix.lower() in _RASTERS and not is_sidecar(name)]
    for name in safe or rasters:
        yield f"/vsizip/{file.absolute().as_posix()}/{name}"


def _listed(file: Path) -> Iterator[str]:
    for line in file.read_text().splitlines():
        path = line.strip()
        if path and not path.startswith("#"):
            near = file.parent / path
            yield from _expand(str(near) if "://" not in path and near.exists() else path)


def _remote(uri: str) -> Iterator[str]:
    if Path(uri).suffix.lower() in _RASTERS:
        yield uri
        return
    workspace = Workspace(uri.rstrip("/"))
    base = workspace.path()
    selector = pafs.FileSelector(base, recursive=True, allow_not_found=True)
    for info in workspace.filesystem.get_file_info(selector):
        if info.type == pafs.FileType.File and Path(info.path).suffix.lower() in _RASTERS and not is_sidecar(info.path):
            yield workspace.uri(info.path.removeprefix(base).lstrip("/"))
