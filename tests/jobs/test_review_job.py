"""Review: a sheet that works in a browser without a network, and judgements that become figures."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from jobs.review import ReviewSettings, review
from knowlip.errors import DataError
from knowlip.records import SUBTEXTS
from knowlip.workspace import Workspace

# What a person does: names herself, calls a text correct and one wrong, skips one, takes a verdict back, and
# judges the rest of the tile, which leads to the next one; then saves. What would be downloaded lands in the title.
TYPED = """
<script>
URL.createObjectURL = (blob) => { blob.text().then((text) => { document.title = text; }); return "#"; };
const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
document.getElementById("reviewer").value = "Ada";
document.querySelector("#texts li").focus();
for (const key of ["c", "w", "ArrowDown", "u", "ArrowUp", "x", "2", "c", "c", "c", "w"]) press(key);
press("w");
document.getElementById("save").click();
</script>
"""


@pytest.fixture
def captioned(workspace_root: str, write_tiles: Callable) -> Workspace:
    workspace = Workspace(workspace_root)
    write_tiles(workspace, count=6, row_off=0, col_off=0, height=64, width=64)
    return workspace


def sheet_of(workspace: Workspace, **changes: object) -> tuple[str, str]:
    """Draw a sheet; returns its id and its page."""
    summary = review(ReviewSettings(workspace=workspace.root, **changes))
    path = Path(summary.where)
    return path.stem, path.read_text()


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script id="sheet" type="application/json">(.*?)</script>', page, re.DOTALL)[1])


def saved(folder: Path, sheet: str, reviewer: str, judgements: dict) -> str:
    path = folder / f"{reviewer}.json"
    path.write_text(json.dumps({"sheet": sheet, "reviewer": reviewer, "judgements": judgements}))
    return str(path)


def test_the_sheet_holds_pictures_maps_and_texts_and_loads_nothing(captioned: Workspace) -> None:
    sheet, page = sheet_of(captioned, share=0.5)
    data = data_of(page)
    assert data["id"] == sheet
    assert sorted(tile["id"] for tile in data["tiles"]) != [tile["id"] for tile in data["tiles"]]
    scales = {re.search(r"scale (\w)", " ".join(tile["facts"]))[1] for tile in data["tiles"]}
    assert scales == {"L", "M", "S"}
    for tile in data["tiles"]:
        assert tile["picture"].startswith("data:image/webp;base64,")
        assert list(tile["texts"]) == list(SUBTEXTS)
        drawn = data["maps"][tile["map"]]
        assert drawn["land"]
        assert all(drawn["box"][0] <= lon <= drawn["box"][2] for lon, _ in tile["outline"])
        assert (tile["parent"] == "") == (tile["facts"][1] == "scale L")
    assert [code for code, _, _ in next(iter(data["maps"].values()))["sites"]] == ["LGB"]
    assert not re.search(r"(?:src|href)=[\"']?https?:", page)
    assert sheet_of(captioned, share=0.5) == (sheet, page)
    assert sheet_of(captioned, share=0.5, seed=1)[0] != sheet


def test_keys_judge_and_the_button_saves(captioned: Workspace, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on the PATH")
    sheet, page = sheet_of(captioned, share=1.0)
    typed = tmp_path / "typed.html"
    typed.write_text(page.replace("</body>", f"{TYPED}</body>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [browser, *flags, "--virtual-time-budget=3000", "--dump-dom", typed.as_uri()]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    document = json.loads(unescape(re.search(r"<title>(.*?)</title>", seen, re.DOTALL)[1]))
    first, second = (tile["id"] for tile in data_of(page)["tiles"][:2])
    said = ["correct", "wrong", None, "wrong", "correct", "correct", "correct", "wrong"]
    expected = {kind: verdict for kind, verdict in zip(SUBTEXTS, said, strict=True) if verdict}
    assert document == {
        "sheet": sheet,
        "reviewer": "Ada",
        "judgements": {first: expected, second: {SUBTEXTS[0]: "wrong"}},
    }
    assert "8 of 48 texts judged" in seen
    path = tmp_path / "ada.json"
    path.write_text(json.dumps(document))
    assert (
        review(ReviewSettings(workspace=captioned.root, action="score", judgements=(str(path),))).counts["texts judged"]
        == len(expected) + 1
    )


def test_scores_have_intervals_and_agreement(captioned: Workspace, tmp_path: Path) -> None:
    sheet, page = sheet_of(captioned, share=1.0)
    ids = [tile["id"] for tile in data_of(page)["tiles"]]
    everything = {tile_id: dict.fromkeys(SUBTEXTS, "correct") for tile_id in ids}
    doubtful = {tile_id: dict(said) for tile_id, said in everything.items()}
    doubtful[ids[0]] = dict.fromkeys(SUBTEXTS, "wrong")
    files = (saved(tmp_path, sheet, "ada", everything), saved(tmp_path, sheet, "bob", doubtful))
    summary = review(ReviewSettings(workspace=captioned.root, action="score", judgements=files))
    assert summary.counts["all"].startswith("100.0%")  # together, a tile on which they differ counts neither way
    assert summary.counts["kappa of ada and bob"] == pytest.approx(0.0)
    rows = captioned.read_table("captions", "_review", f"{sheet}-accuracy.parquet").to_pylist()
    (bob,) = [row for row in rows if (row["reviewer"], row["group"], row["kind"]) == ("bob", "all", "all")]
    assert (bob["correct"], bob["wrong"]) == (40, 8)
    assert bob["accuracy"] == pytest.approx(40 / 48)
    assert bob["low"] < bob["accuracy"] < bob["high"]
    assert "Cohen" in Path(summary.where).read_text()


def test_judgements_of_another_sheet_are_refused(captioned: Workspace, tmp_path: Path) -> None:
    sheet, _ = sheet_of(captioned)
    other = saved(tmp_path, "feedfeed", "ada", {})
    with pytest.raises(DataError, match="feedfeed"):
        review(ReviewSettings(workspace=captioned.root, action="score", judgements=(other,)))
    with pytest.raises(DataError, match="no judgements"):
        review(ReviewSettings(workspace=captioned.root, action="score"))
    twice = (saved(tmp_path, sheet, "ada", {}), saved(tmp_path, sheet, "ada", {}))
    with pytest.raises(DataError, match="one reviewer"):
        review(ReviewSettings(workspace=captioned.root, action="score", judgements=twice))
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(DataError, match=r"x\.json"):
        review(ReviewSettings(workspace=captioned.root, action="score", judgements=(str(tmp_path / "x.json"),)))
