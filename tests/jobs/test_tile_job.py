"""The tile job from its command line and from Python: whole, repeatable, and honest about what it set aside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from moto.server import ThreadedMotoServer

from jobs.command import run
from jobs.tile import TileSettings, tile
from knowlip.errors import SceneError, SettingsError, WorkspaceError
from knowlip.manifest import Manifest
from knowlip.records import REJECTED, SCENES, TILES
from knowlip.workspace import Workspace

pytestmark = pytest.mark.ray

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"extent_m": 64.0, "medium": 2.0, "large": 4.0, "strip_mpx": 0.05}


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A quilt of bright and dark fields, with open sea in the east."""
    rng = np.random.default_rng(0)
    field = np.kron(rng.uniform(0.3, 3.0, (16, 12)), np.ones((32, 32)))
    field[:, 256:] = 0.2
    pixels = (field * np.sqrt(rng.gamma(4, 0.25, field.shape))).astype(np.float32)
    return write(tmp_path / "in" / "quilt_vv.tif", pixels)


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pixels.shape
    place = {"crs": "EPSG:32611", "transform": Affine(1, 0, 390_000, 0, -1, 3_740_000)}
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=1, dtype=pixels.dtype, **place
    ) as sink:
        sink.write(pixels, 1)
        sink.update_tags(quantity="amplitude")
    return path


def spoil(folder: Path, good: Path) -> None:
    """Put beside a good scene what people really have in their folders."""
    (folder / "empty.tif").touch()
    (folder / "notes.tif").write_text("see attached")
    (folder / "cut.tif").write_bytes(good.read_bytes()[:200_000])


def settings_for(root: str, *scenes: Path, **changes: object) -> TileSettings:
    return TileSettings.model_validate(
        {"workspace": root, "scenes": {"paths": [str(path) for path in scenes]}, "tiling": SMALL, **changes}
    )


def contents(root: str) -> dict[str, dict[str, object]]:
    """All that a run made, as it can be compared: rows by id."""
    workspace = Workspace(root)
    return {
        artefact: {row["tile_id"]: row for row in workspace.read_table(artefact).to_pylist()}
        for artefact in ("tiles", "tiles/_rejected")
    }


def test_a_scene_becomes_tiles_with_all_that_belongs_to_them(
    scene: Path, workspace_root: str, ray_cluster: None
) -> None:
    summary = tile(settings_for(workspace_root, scene))
    workspace = Workspace(workspace_root)
    tiles, rejected = workspace.read_table("tiles"), workspace.read_table("tiles/_rejected")
    assert tiles.schema.equals(TILES)
    assert rejected.schema.equals(REJECTED)
    assert {scale: summary.counts[f"kept {scale}"] for scale in "LMS"}["S"] == tiles["scale"].to_pylist().count("S")
    planned = 6 * 8 + 3 * 4 + 1 * 2 + 2  # 384 × 512 pixels in 64, 128 and 256; the last large column is shifted
    assert tiles.num_rows + rejected.num_rows == planned
    assert set(rejected["reason"].to_pylist()) <= {"low_structure", "no_kept_child"}
    assert len(workspace.files("tiles")) > 1
    (row,) = workspace.read_table("tiles/_scenes").to_pylist()
    assert (row["status"], row["kept"], row["rejected"]) == ("tiled", tiles.num_rows, rejected.num_rows)
    manifest = Manifest.read(workspace, "tiles")
    assert manifest is not None
    assert manifest.inputs == {"quilt_vv.tif": row["scene_id"]}
    assert "paths" not in manifest.settings["scenes"]
    frame = geopandas.read_parquet(workspace.path("tiles", workspace.files("tiles")[0]))
    assert frame.crs == "EPSG:4326"


def test_a_second_run_does_nothing_and_a_lost_unit_is_made_again(
    scene: Path, workspace_root: str, ray_cluster: None
) -> None:
    settings = settings_for(workspace_root, scene)
    tile(settings)
    before = contents(workspace_root)
    workspace = Workspace(workspace_root)
    paths = [workspace.local("tiles", name) for name in workspace.files("tiles")]
    stamps = [path.stat().st_mtime_ns for path in paths]
    tile(settings)
    assert [path.stat().st_mtime_ns for path in paths] == stamps
    paths[0].unlink()
    tile(settings)
    assert [path.stat().st_mtime_ns for path in paths][1:] == stamps[1:]
    assert contents(workspace_root) == before


def test_more_scenes_are_added_and_other_settings_refused(scene: Path, workspace_root: str, ray_cluster: None) -> None:
    tile(settings_for(workspace_root, scene))
    alone = contents(workspace_root)["tiles"]
    with rasterio.open(scene) as source:
        other = write(scene.with_name("other.tif"), source.read(1)[::-1])
    tile(settings_for(workspace_root, other))
    both = contents(workspace_root)["tiles"]
    assert alone.items() <= both.items()
    assert len(both) > len(alone)
    with pytest.raises(WorkspaceError, match="other settings"):
        tile(settings_for(workspace_root, scene, scenes={"paths": [str(scene)], "clip_high": 99.0}))


def test_bad_files_are_listed_and_the_good_one_is_tiled(scene: Path, workspace_root: str, ray_cluster: None) -> None:
    spoil(scene.parent, scene)
    summary = tile(settings_for(workspace_root, scene.parent))
    assert summary.counts["scenes tiled"] == 1
    assert summary.counts["scenes set aside"] == 3
    assert summary.counts["kept S"] > 0
    log = {row["scene_name"]: row for row in Workspace(workspace_root).read_table("tiles/_scenes").to_pylist()}
    assert {name: row["reason"] for name, row in log.items()} == {
        "quilt_vv.tif": None,
        "empty.tif": "empty_file",
        "notes.tif": "unreadable",
        "cut.tif": "truncated",
    }
    for name in ("empty.tif", "notes.tif", "cut.tif"):
        assert any(line.startswith(f"{name}: ") for line in summary.set_aside)
    assert Workspace(workspace_root).read_table("tiles/_scenes").schema.equals(SCENES)


def test_the_same_bytes_under_two_names_are_one_scene_and_it_is_said(scene: Path, workspace_root: str) -> None:
    shutil.copy(scene, scene.with_name("twin_vv.tif"))
    summary = tile(settings_for(workspace_root, scene.parent, dry_run=True))
    assert list(summary.counts) == ["quilt_vv.tif"]
    assert summary.set_aside == ["twin_vv.tif: has the same bytes as quilt_vv.tif, which stands for both"]


def test_strict_stops_with_exit_code_2(scene: Path, workspace_root: str, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(scene.parent, scene)
    with pytest.raises(SystemExit) as stopped:
        run(TileSettings, tile, ["--workspace", workspace_root, "--scenes", str(scene.parent), "--strict"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not Workspace(workspace_root).exists("tiles")
    with pytest.raises(SceneError):
        tile(settings_for(workspace_root, scene.parent, strict=True))


def test_a_dry_run_writes_nothing(scene: Path, workspace_root: str, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--tiling.extent-m", "64", "--tiling.medium", "2", "--tiling.large", "0"]
    run(TileSettings, tile, ["--workspace", workspace_root, "--scenes", str(scene), "--dry-run", *flags])
    assert "12 M, 48 S" in capsys.readouterr().out
    assert not Workspace(workspace_root).exists()


def test_no_scene_at_all_is_said(workspace_root: str) -> None:
    with pytest.raises(SettingsError, match="no raster"):
        tile(TileSettings(workspace=workspace_root))


def test_a_second_run_at_once_is_kept_off(scene: Path, workspace_root: str) -> None:
    with Workspace(workspace_root).lock("tiles"), pytest.raises(WorkspaceError, match="another run"):
        tile(settings_for(workspace_root, scene))


def test_tiles_do_not_depend_on_workers_or_strips(scene: Path, tmp_path: Path, ray_cluster: None) -> None:
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    tile(settings_for(one, scene))
    tile(settings_for(other, scene, tiling={**SMALL, "strip_mpx": 50.0}))
    assert contents(one) == contents(other)


def long_scene(folder: Path) -> Path:
    """A scene of some forty strips."""
    rng = np.random.default_rng(1)
    field = np.kron(rng.uniform(0.3, 3.0, (64, 32)), np.ones((32, 32)))
    pixels = (field * np.sqrt(rng.gamma(4, 0.25, field.shape))).astype(np.float32)
    return write(folder / "in" / "long.tif", pixels)


def started(root: str, scenes: str) -> subprocess.Popen[str]:
    """Start the job as a person does."""
    flags = [f"--tiling.{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    command = [sys.executable, "-m", "jobs.tile", "--workspace", root, "--scenes", scenes, *flags]
    environment = {**os.environ, "PYTHONPATH": "platform", "RAY_ADDRESS": "local"}
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **pipes)


def wait_for_units(running: subprocess.Popen[str], root: str) -> None:
    """Wait until a run has published a few units."""
    deadline = time.monotonic() + 400
    while len(Workspace(root).files("tiles")) < 3 and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_the_same(tmp_path: Path, ray_cluster: None) -> None:
    """`kill -9` in the middle, then again: the same rows as an undisturbed run, no unit torn."""
    scene = long_scene(tmp_path)
    killed, whole = str(tmp_path / "killed"), str(tmp_path / "whole")
    running = started(killed, str(scene))
    wait_for_units(running, killed)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert Manifest.read(Workspace(killed), "tiles") is None
    tile(settings_for(killed, scene))
    tile(settings_for(whole, scene))
    assert contents(killed) == contents(whole)
    assert json.loads(Workspace(killed).read_bytes("tiles", "manifest.json"))["counts"]["kept S"] > 100


@pytest.mark.slow
def test_an_outage_of_the_object_store_in_the_middle_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scene and tiles lie in a bucket; its server dies once tiles come in, and is back seconds later."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    scene = long_scene(tmp_path)
    boto3.client("s3").upload_file(str(scene), bucket, "in/long.tif")
    root, whole = f"s3://{bucket}/workspace", str(tmp_path / "whole")
    running = started(root, f"s3://{bucket}/in/")
    wait_for_units(running, root)
    server.stop()
    time.sleep(5.0)
    assert running.poll() is None
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    at_outage = len(Workspace(root).files("tiles"))
    _, said = running.communicate(timeout=600)
    assert running.returncode == 0, said[-2000:]
    assert started(whole, str(scene)).wait(timeout=600) == 0
    assert at_outage < len(Workspace(whole).files("tiles"))
    assert contents(root) == contents(whole)
    server.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Function that gives a disk of so many bytes, or makes it larger."""
    place = tmp_path / "disk"
    place.mkdir()

    def sized(size: str) -> Path:
        again = ["-o", "remount"] if place.is_mount() else []
        command = ["mount", *again, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a small disk cannot be mounted here")
        return place

    yield sized
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_stops_the_run_and_more_room_lets_it_go_on(
    scene: Path,
    tmp_path: Path,
    small_disk: Callable[[str], Path],
    ray_cluster: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = str(small_disk("120k") / "workspace")
    flags = [f"--tiling.{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    arguments = ["--workspace", root, "--scenes", str(scene), *flags]
    with pytest.raises(SystemExit) as stopped:
        run(TileSettings, tile, arguments)
    assert stopped.value.code == 2
    assert "there is no room to write it" in capsys.readouterr().err.splitlines()[-1]
    until = time.monotonic() + 30  # other tasks are still at it when the first one fails
    while half := [path for path in Path(root).rglob(".*.parquet*") if path.is_file()]:
        assert time.monotonic() < until, half
        time.sleep(0.1)
    small_disk("64m")
    run(TileSettings, tile, arguments)
    whole = str(tmp_path / "whole")
    tile(settings_for(whole, scene))
    assert contents(root) == contents(whole)
