"""Scenes in an object store: how GDAL reaches them, and what to do when the store does not answer for a while."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pyarrow.fs as pafs
import rasterio

from knowlip.errors import SceneError, WorkspaceError
from knowlip.workspace import Workspace

__all__ = ["CACHE_BYTES", "gdal_environment", "gdal_path", "is_local", "is_remote", "object_uri", "outlast"]

log = logging.getLogger(__name__)

_GDAL_PREFIX = {"s3": "/vsis3/", "gs": "/vsigs/"}
_INSIDE = re.compile(r"/vsi(?P<scheme>s3|gs)/(?P<key>.+?)(?:(?<=\.zip)/.*)?$", re.IGNORECASE)

CACHE_BYTES = 256 << 20
"""GDAL's cache of blocks a process, at most (rasterio takes bytes, where GDAL's own option takes megabytes): its
default, a twentieth of the machine's memory, would grow with the scene."""

_TRIES = 3
"""Requests an attempt."""


_DELAYS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Waits between attempts to reach a store that does not answer: a minute altogether."""


def is_local(path: str) -> bool:
    """Whether a scene's path is a plain path of this machine: no archive, no object store."""
    return not path.startswith("/vsi") and "://" not in path


def is_remote(path: str) -> bool:
    """Whether a scene, or the archive it is in, lies in an object store."""
    return bool(object_uri(path))


def object_uri(path: str) -> str:
    """Return the URI of the object that holds a scene (``s3://bucket/product.zip``); empty where none does."""
    if urlsplit(path).scheme in _GDAL_PREFIX:
        return path
    inside = _INSIDE.search(path)
    return f"{inside['scheme'].lower()}://{inside['key']}" if inside else ""


def gdal_path(path: str) -> str:
    """Return a path as GDAL opens it: ``s3://bucket/key`` becomes ``/vsis3/bucket/key``."""
    scheme, separator, key = path.partition("://")
    return f"{_GDAL_PREFIX[scheme]}{key}" if separator and scheme in _GDAL_PREFIX else path


@contextmanager
def gdal_environment(path: str) -> Iterator[None]:
    """Keep GDAL's cache small, and let it reach the store that a path lies in.

    Of an object store, ``AWS_ENDPOINT_URL`` is honoured, and no folder is listed.
    """
    if not is_remote(path):
        # Rows that are stored plainly are read past the cache.
        with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, GTIFF_DIRECT_IO="YES" if is_local(path) else "NO"):
            yield
        return
    options = {
        "GDAL_CACHEMAX": CACHE_BYTES,
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_HTTP_MAX_RETRY": "3",
        "GDAL_HTTP_RETRY_DELAY": "1",
    }
    endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL", ""))
    if endpoint.netloc:
        options["AWS_S3_ENDPOINT"] = endpoint.netloc
        options["AWS_HTTPS"] = "YES" if endpoint.scheme == "https" else "NO"
        options["AWS_VIRTUAL_HOSTING"] = "FALSE"
    with rasterio.Env(session=rasterio.session.DummySession(), **options):
        yield


def outlast(path: str) -> bool:
    """Wait until the store that a scene lies in answers, so that an outage is never taken for a broken scene.

    Returns:
        Whether there was anything to wait for; not where the store answers at once.

    Raises:
        SceneError: It does not answer within a minute (``unreachable``), or no longer has the scene (``missing``).
    """
    uri = object_uri(path)
    problem = ""
    for attempt, delay_s in enumerate((0.0, *_DELAYS_S)):
        time.sleep(delay_s)
        try:
            found = _look(uri)
        except (OSError, WorkspaceError) as error:
            problem = str(error)
            log.warning("%s does not answer (attempt %d)", uri, attempt + 1)
            continue
        if not found:
            raise SceneError("is not there", where=uri, fix="check the bucket and key", code="missing")
        return attempt > 0
    raise SceneError(
        f"its store does not answer ({problem[:120]})",
        where=uri,
        fix="run again when it does: what is finished is kept",
        code="unreachable",
    )


def _look(uri: str) -> bool:
    folder, _, name = uri.rpartition("/")
    workspace = Workspace(folder, tries=_TRIES)
    info = workspace.filesystem.get_file_info(workspace.path(name))
    return bool(info.type == pafs.FileType.File)
