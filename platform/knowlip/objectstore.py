"""Open a root, on a disk or in an object store, as a filesystem that waits for a store which is briefly away."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pyarrow.fs as pafs

__all__ = ["TRIES", "open_root"]

TRIES = 8
"""Attempts a request; the waits between them grow from under one to 20 seconds, half a minute or more altogether."""

_TAKEN = frozenset({"region", "scheme", "endpoint_override"})


def open_root(root: str, *, tries: int = TRIES) -> tuple[pafs.FileSystem, str]:
    """Open a root.

    ``AWS_ENDPOINT_URL`` is honoured for ``s3://``, and credentials come from where AWS's tools look for them.

    Args:
        root: A path, or a URI that pyarrow knows.
        tries: Attempts a request to S3 before it has failed.

    Returns:
        The filesystem, and the root as it wants it.

    Raises:
        ValueError: The URI holds credentials, or options that are not known.
        OSError: The store cannot be reached.
    """
    parts = urlsplit(root)
    if len(parts.scheme) < 2:
        return pafs.LocalFileSystem(), str(Path(root).expanduser().absolute())
    if "@" in parts.netloc:
        raise ValueError("a URI must hold no credentials: they come from the environment")
    if parts.scheme != "s3":
        filesystem, base = pafs.FileSystem.from_uri(root)
        return filesystem, base.rstrip("/")
    options = dict(parse_qsl(parts.query))
    unknown = sorted(options.keys() - _TAKEN)
    if unknown:
        raise ValueError(f"unknown options {', '.join(unknown)}; known are {', '.join(sorted(_TAKEN))}")
    endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL", ""))
    if endpoint.netloc:
        options = {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme, **options}
    if not {"region", "endpoint_override"} & options.keys() and not _region_of_environment():
        options["region"] = pafs.resolve_s3_region(parts.netloc)
    patient = pafs.AwsStandardS3RetryStrategy(max_attempts=tries)
    filesystem = pafs.S3FileSystem(retry_strategy=patient, **options)
    return filesystem, posixpath.join(parts.netloc, parts.path.strip("/")).rstrip("/")


def _region_of_environment() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
