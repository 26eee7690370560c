"""Archives and tables from strangers reach no file outside the folder they belong to."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from knowlip.errors import DataError, WorkspaceError
from knowlip.scenes.listing import find_scenes
from knowlip.tiling.exports.webdataset import tar_shard
from knowlip.tiling.grid import GridSettings
from knowlip.tiling.survey import SceneSettings, survey_scene
from knowlip.workspace import Workspace
from tests.builders import tile_row

IMAGE = np.full((8, 8), 9, np.uint8)
ELSEWHERE = ("../out", "a/../../out", "/tmp/out", "..", "scenes/../..", "")


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_a_zip_is_read_where_it_is_and_unpacks_nothing(tmp_path, monkeypatch):
    inside = tmp_path / "deep" / "below"
    inside.mkdir(parents=True)
    product = inside / "product.zip"
    with zipfile.ZipFile(product, "w") as archive:
        for name in ("../../escaped.tif", "/abs.tif", "a/../../b.tif", "plain.tif"):
            archive.writestr(zipfile.ZipInfo(name), b"II*\x00 no raster")
    monkeypatch.chdir(inside)
    for path in find_scenes([str(product)]):
        assert path.startswith(f"/vsizip/{product}")
        assert survey_scene(path, SceneSettings(), GridSettings()).reason
    assert files(tmp_path) == {product}


def test_a_tar_has_plain_names_only():
    with tarfile.open(fileobj=io.BytesIO(tar_shard([tile_row("abc", IMAGE)]))) as tar:
        assert tar.getnames() == ["abc.png", "abc.json"]
    for name in ("../abc", "/abc", "a/b", "a\\b"):
        with pytest.raises(DataError, match="no plain name"):
            tar_shard([tile_row(name, IMAGE)])


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_workspace_writes_and_deletes_within_itself(tmp_path, name):
    workspace = Workspace(str(tmp_path / "workspace"))
    (tmp_path / "out").write_text("not ours")
    with pytest.raises(WorkspaceError, match="outside the workspace"):
        workspace.write_bytes(b"x", name)
    with pytest.raises(WorkspaceError, match="outside the workspace"):
        workspace.delete(name)
    assert (tmp_path / "out").read_text() == "not ours"
