"""Fixtures that every test may use: the real data, one Ray cluster, and an empty workspace."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def knowlip_data() -> Path:
    """Folder of real radar data (`KNOWLIP_DATA`); the test is skipped where there is none."""
    folder = Path(os.environ.get("KNOWLIP_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "README.md").exists():
        pytest.skip(f"no real data at {folder}: set KNOWLIP_DATA")
    return folder


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One small Ray cluster for the whole session."""
    from jobs.cluster import connected

    with connected():
        yield


@pytest.fixture
def workspace_root(tmp_path: Path) -> str:
    """An empty workspace of the test's own."""
    return str(tmp_path / "workspace")
