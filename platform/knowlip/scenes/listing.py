"""Which rasters a person means: files, folders, globs, list files, STAC items, archives and URIs become scene paths."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from glob import glob, has_magic
from pathlib import Path, PurePosixPath

import pyarrow.fs as pafs

from knowlip.errors import SettingsError, WorkspaceError
from knowlip.scenes.stac import asset_paths
from knowlip.scenes.store import gdal_path, object_uri
from knowlip.workspace import Workspace

__all__ = ["find_scenes", "is_sidecar"]

_RASTERS = frozenset({".tif", ".tiff", ".img", ".jp2", ".vrt", ".nc", ".ntf", ".dat"})
_LISTS = frozenset({".txt", ".lst"})
_STAC = frozenset({".json", ".geojson"})
_SIDECAR = re.compile(
    r"(\.aux\.xml|\.ovr|\.msk|\.tfw|\.truth\.geojson|\.landcover\.tiff?|"
    r"(^|[-_.])(quick-?look|ql|preview|browse|thumb(nail)?|overview)([-_]?\d+)?\.[a-z0-9]+)$",
    re.IGNORECASE,
)
_SAFE = re.compile(r"\.SAFE/", re.IGNORECASE)
_SAFE_MEASUREMENT = re.compile(r"\.SAFE/measurement/[^/]+\.tiff?$", re.IGNORECASE)


def is_sidecar(name: str) -> bool:
    """Whether a file goes with a scene and is none itself: statistics, overviews, truth, land cover, quicklooks."""
    return bool(_SIDECAR.search(name))


def find_scenes(wanted: Iterable[str]) -> list[str]:
    """Expand what a person named into paths of candidate scenes, sorted, each once.

    - A file is taken as it is, whatever its suffix; but ``.txt`` and ``.lst`` are read as lists of paths, one a line,
      ``.json`` and ``.geojson`` as STAC items (`knowlip.scenes.stac`), and a ``.zip`` is searched like a folder.
    - A folder is searched through for rasters, and zips in it too; in a ``.SAFE``, only measurement files count.
    - ``*``, ``?`` and ``**`` match as in a shell.
    - ``s3://bucket/prefix/`` is searched like a folder; a ``*`` in a URI matches across slashes.
    - ``/vsi…`` paths are GDAL's own; ``http`` addresses are not fetched (their opening says how to ask for that).

    Sidecars found on the way are left out; whether a candidate really is a scene shows when it is opened.

    Raises:
        SettingsError: A path names nothing, or nothing that could be a raster; or a list or STAC file is none.
    """
    found: set[str] = set()
    for path in wanted:
        matched = set(_expand(path))
        if not matched:
            raise SettingsError("no raster found", where=path, fix="name files, a folder, a glob or a list of paths")
        found |= matched
    return sorted(found)


def _expand(path: str) -> Iterator[str]:
    if path.startswith(("/vsi", "http://", "https://")):
        yield path
    elif "://" in path:
        yield from _remote(path)
    elif has_magic(path) and not Path(path).exists():
        for match in glob(path, recursive=True):  # noqa: PTH207 (Path.glob takes no absolute patterns)
            # A glob over everything meets documents that are no lists of scenes; only a pattern for them takes them.
            suffix = Path(match).suffix.lower()
            if not is_sidecar(match) and (suffix not in _STAC or path.lower().endswith(suffix)):
                yield from _expand(match)
    elif Path(path).is_dir():
        yield from _folder(Path(path))
    elif Path(path).suffix.lower() in _LISTS | _STAC and Path(path).is_file():
        yield from _listed(_text(Path(path)), path)
    elif Path(path).suffix.lower() == ".zip":
        yield from _archive(path)
    elif Path(path).exists():
        yield path


def _could_be_scene(path: str) -> bool:
    """Whether a file found in a folder or archive is worth opening, by its whole path."""
    name = PurePosixPath(path).name
    if is_sidecar(name) or name.startswith(".") or (_SAFE.search(path) and not _SAFE_MEASUREMENT.search(path)):
        return False
    return PurePosixPath(name).suffix.lower() in _RASTERS


def _folder(folder: Path) -> Iterator[str]:
    for file in sorted(folder.rglob("*")):
        if file.is_dir():
            continue
        if _could_be_scene(file.absolute().as_posix()):
            yield str(file)
        elif file.suffix.lower() == ".zip":
            yield from _archive(str(file))


def _archive(path: str) -> Iterator[str]:
    """Offer the scenes in a product's zip; a broken zip is offered itself, and its opening will tell."""
    try:
        if "://" in path:
            folder, _, name = path.rpartition("/")
            store = Workspace(folder)
            with store.filesystem.open_input_file(store.path(name)) as stream, zipfile.ZipFile(stream) as archive:
                names = archive.namelist()
        else:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        yield path
        return
    inside = gdal_path(path) if "://" in path else Path(path).absolute().as_posix()
    for name in names:
        if _could_be_scene(name):
            yield f"/vsizip/{inside}/{name}"


def _listed(text: str, where: str) -> Iterator[str]:
    """Expand the paths in a list or STAC document; relative ones lie beside it."""
    base = where.rpartition("/")[0]
    if PurePosixPath(where).suffix.lower() in _STAC:
        for path in asset_paths(text, where=where):
            yield from _named(path)
        return
    for line in text.splitlines():
        path = line.strip()
        if path and not path.startswith("#"):
            near = path if "://" in path or path.startswith("/") else f"{base}/{path}" if base else path
            beside = "://" in near or has_magic(near) or Path(near).exists()
            yield from _named(near if beside else path)


def _named(path: str) -> Iterator[str]:
    """Expand a path that a document names; one that is not there is offered, and its opening will tell."""
    matched = list(_expand(path))
    yield from matched or [path]


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot be read as text ({error})", where=str(file), fix="give a text file") from error


def _remote(uri: str) -> Iterator[str]:
    suffix = PurePosixPath(uri).suffix.lower()
    if has_magic(uri):
        prefix = re.split(r"[*?[]", uri, maxsplit=1)[0].rpartition("/")[0]
        yield from (path for path in _remote(f"{prefix}/") if fnmatch(_outer(path), uri))
    elif suffix == ".zip":
        yield from _archive(uri)
    elif suffix in _LISTS | _STAC:
        folder, _, name = uri.rpartition("/")
        yield from _listed(Workspace(folder).read_bytes(name).decode(), uri)
    elif suffix in _RASTERS and not uri.endswith("/"):
        yield uri
    else:
        yield from _prefix(Workspace(uri.rstrip("/")))


def _prefix(store: Workspace) -> Iterator[str]:
    base = store.path()
    try:
        infos = store.filesystem.get_file_info(pafs.FileSelector(base, recursive=True, allow_not_found=True))
    except OSError as error:
        raise WorkspaceError(
            f"cannot be listed ({str(error)[:200]})", where=store.root, fix="check the endpoint and credentials"
        ) from error
    for info in infos:
        uri = store.uri(info.path.removeprefix(base).lstrip("/"))
        if info.type == pafs.FileType.File and _could_be_scene(uri):
            yield uri
        elif info.type == pafs.FileType.File and info.extension.lower() == "zip":
            yield from _archive(uri)


def _outer(path: str) -> str:
    """Return the URI that a pattern is held against: that of the archive for what lies in one."""
    return object_uri(path) or path
