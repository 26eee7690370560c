from __future__ import annotations

import base64
import io
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
import shapely
from PIL import Image

from knowlip.manifest import Manifest
from knowlip.records import METRICS, REJECTED, RESULTS, SCENES, SUBTEXTS, VERDICTS, conform
from knowlip.reporting import (
    Card,
    Cards,
    Figure,
    Footprint,
    Paragraph,
    Section,
    Table,
    data_uri,
    footprint_map,
    metric_curves,
    neighbourhoods,
    render,
    thumbnail,
)
from knowlip.reporting.sections import (
    answers_section,
    benchmark_section,
    map_section,
    overview_section,
    rejected_section,
    run_sections,
    scio_section,
    tiles_section,
)
from knowlip.workspace import Workspace

VOID = {"meta", "img", "br", "hr", "link", "input", "image", "path", "use"}
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


class Page(HTMLParser):
    """What a browser would see: tags that match, texts, pictures, and everything that names another place."""

    def __init__(self, page):
        super().__init__()
        self.open, self.texts, self.pictures, self.outside, self.ids = [], [], [], [], []
        self.tags, self.targets = [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self._look(attrs)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self._look(attrs)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def _look(self, attrs):
        for name, value in attrs:
            value = value or ""
            if name == "id":
                self.ids.append(value)
            if name in {"href", "xlink:href"} and value.startswith("#"):
                self.targets.append(value[1:])
            elif value.startswith("data:image/"):
                self.pictures.append(value)
            elif name in {"src", "href", "xlink:href", "srcset", "action"}:
                self.outside.append(value)
            if "://" in value and value not in NAMESPACES:
                self.outside.append(value)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def png(side=40, seed=0):
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(1, 255, (side, side), dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def checked(page):
    """Parse a page and check what holds for every report."""
    seen = Page(page)
    assert seen.outside == []
    assert "script" not in seen.tags
    assert "url(http" not in page
    assert "@import" not in page
    assert len(seen.ids) == len(set(seen.ids))
    assert set(seen.targets) <= set(seen.ids)
    for picture in seen.pictures:
        Image.open(io.BytesIO(base64.b64decode(re.sub(r"\s", "", picture.split(",", 1)[1])))).load()
    return seen


def squares(count, lon, kind="S"):
    return [
        Footprint(
            outline=shapely.to_wkb(shapely.box(lon + 0.01 * n, 10, lon + 0.01 * (n + 1), 10.01)),
            kind=kind,
            city="Long <Beach> $x$",
            sites={"L&B": (lon + 0.002, 10.002)},
            picture=png(),
        )
        for n in range(count)
    ]


def test_a_page_holds_every_kind_of_element_and_nothing_from_elsewhere():
    metrics = pa.Table.from_pylist(
        [
            {"phase": phase, "epoch": 1, "step": step, "metric": name, "value": 1.0 / (step + 1)}
            for phase in ("phase1", "val")
            for step in range(5)
            for name in ("itc", "mlm", "t2i_r1", "loss")
        ],
        METRICS,
    )
    page = render(
        "Title & more",
        [
            Section("One", [Paragraph("a <b> paragraph"), Table(("name", "n"), [("x", 12345), ("y", 0.00012)])]),
            Section("Two pictures", [Cards([Card("c", data_uri(png()), ("fact",), {"scene_background": "T"}, "n")])]),
            Section("Three", [Figure(footprint_map(squares(4, 5.0), "map0"), "where")]),
            Section("Four", [Figure(metric_curves(metrics, ["itc", "mlm", "loss", "t2i_r1"], "run-a"), "curves")]),
            Section("Five", [Table(("a",), [(None,)], "more", folded=True)]),
        ],
        made_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    )
    seen = checked(page)
    assert "a <b> paragraph" in seen.text
    assert "12,345" in seen.text
    assert "0.00012" in seen.text
    assert "Long <Beach> $x$" in seen.text
    assert "2026-01-02 03:04 UTC" in seen.text
    assert seen.tags.count("svg") == 2
    assert seen.tags.count("b") == 0
    assert len(seen.pictures) == 2  # the card's, and the map's as one
    assert "#0102" not in page


def test_colours_of_drawings_follow_the_page():
    svg = footprint_map(squares(2, 0.0, "L"), "m")
    assert "var(--series-2)" in svg
    assert "currentColor" in svg


def test_the_same_inputs_draw_the_same_map():
    assert footprint_map(squares(3, 0.0), "m") == footprint_map(squares(3, 0.0), "m")


def test_places_far_apart_get_maps_of_their_own():
    groups = neighbourhoods([*squares(3, 0.0), *squares(5, 40.0), *squares(2, -100.0)])
    assert [len(group) for group in groups] == [5, 3, 2]
    assert all(np.ptp([footprint.bounds[0] for footprint in group]) < 1 for group in groups)
    assert neighbourhoods([]) == []


def test_thumbnails_shrink_and_small_ones_stay():
    assert Image.open(io.BytesIO(thumbnail(png(100), 30))).size == (30, 30)
    assert thumbnail(png(20), 30) == png(20)


@pytest.fixture
def workspace(workspace_root):
    return Workspace(workspace_root)


def test_an_empty_workspace_has_no_sections(workspace):
    sections = (overview_section, answers_section, map_section, rejected_section, scio_section, tiles_section)
    assert [section(workspace) for section in sections] == [None] * 6
    assert run_sections(workspace) == []


def test_tiles_are_shown_from_large_to_small_with_their_texts(workspace, write_tiles):
    write_tiles(workspace, "los", count=5)
    section = tiles_section(workspace)
    (family,) = [element for element in section.elements if isinstance(element, Cards)]
    assert [card.facts[0] for card in family.cards] == ["scale L", "scale M", "scale S"]
    assert all(list(card.texts) == list(SUBTEXTS) for card in family.cards)
    checked(render("t", [section, map_section(workspace)]))


def test_what_was_set_aside_is_counted_by_reason(workspace, write_tiles):
    tiles = write_tiles(workspace, "los", count=6, captions=False)
    rejected = [
        {name: row.get(name) for name in REJECTED.names} | {"reason": reason, "score": 0.1, "threshold": 0.5}
        for row, reason in zip(tiles.to_pylist(), ["flat", "flat", "no_data", "flat", "flat", "no_data"], strict=True)
    ]
    table = conform(pa.Table.from_pylist(rejected, REJECTED), REJECTED, where="test")
    workspace.write_table(table, "tiles", "_rejected", "los.parquet")
    scenes = [
        {
            "scene_id": "",
            "scene_name": "bad.tif",
            "status": "rejected",
            "reason": "empty_file",
            "detail": "copy it again",
        }
    ]
    workspace.write_table(pa.Table.from_pylist(scenes, SCENES), "tiles", "_scenes", "scenes.parquet")
    section = rejected_section(workspace)
    assert section.elements[0].rows == [("bad.tif", "empty_file", "copy it again")]
    assert section.elements[1].rows == [("flat", 4, "33.3 %"), ("no_data", 2, "16.7 %")]
    text = checked(render("t", [section, map_section(workspace)])).text
    assert "6 set aside" in text


def test_runs_show_their_curves_and_last_figures(workspace):
    rows = [
        {"phase": phase, "epoch": step, "step": step, "metric": metric, "value": float(10 - step)}
        for step in (1, 2, 3)
        for phase, metric in (("phase1", "loss"), ("phase1", "itc"), ("val", "t2i_r1"))
    ]
    workspace.write_table(pa.Table.from_pylist(rows, METRICS), "runs", "pretrain", "metrics.parquet")
    workspace.write_table(pa.Table.from_pylist(rows[:1], METRICS), "runs", "classification", "metrics.parquet")
    Manifest(artefact="runs/pretrain", job="jobs.pretrain", settings={}, counts={"pairs": 7}).write(workspace)
    sections = run_sections(workspace)
    assert [section.title for section in sections] == ["Training: pretrain", "Training: classification"]
    last = next(element for element in sections[0].elements if isinstance(element, Table))
    assert last.rows == [("t2i_r1", 7.0)]
    text = checked(render("t", sections[:1])).text
    assert "t2i_r1" in text
    assert "pairs 7" in text


def test_verdicts_are_counted_and_shown_before_and_after(workspace):
    def verdict(number, subtext, noise, after=None, accepted=None):
        return {
            **dict.fromkeys(VERDICTS.names),
            "tile_id": f"t{number}",
            "round": 1,
            "subtext": subtext,
            "delta_itc": -0.1 * number,
            "delta_itm": 0.2,
            "noise": noise,
            "original": "a wrong text" if noise else None,
            "reconstruction": after,
            "accepted": accepted,
        }

    rows = [
        verdict(1, "target_category", True, "a right text", True),
        verdict(2, "target_category", True, "a worse text", False),
        verdict(3, "spatial_layout", False),
    ]
    workspace.write_table(pa.Table.from_pylist(rows, VERDICTS), "runs", "pretrain", "verdicts.parquet")
    rounds, kinds, examples = scio_section(workspace).elements
    assert rounds.rows == [(1, 3, 2, 2, 1)]
    assert {row[0]: row[1:] for row in kinds.rows}["target category"] == (2, 2, 2, 1)
    assert examples.cards[0].texts == {"before": "a wrong text", "after": "a right text"}
    checked(render("t", [scio_section(workspace)]))


def test_manifests_say_what_was_made(workspace):
    for artefact, job in (("tiles", "jobs.tile"), ("runs/pretrain", "jobs.pretrain"), ("index", "jobs.index")):
        manifest = Manifest(artefact=artefact, job=job, settings={}, counts={"rows": 1234}, seconds=2.5)
        manifest.write(workspace)
    rows = overview_section(workspace).elements[0].rows
    assert [row[:4] for row in rows] == [
        ("tiles/", "jobs.tile", "1,234 rows", 2.5),
        ("runs/pretrain/", "jobs.pretrain", "1,234 rows", 2.5),
        ("index/", "jobs.index", "1,234 rows", 2.5),
    ]


def test_answers_are_shown_with_the_right_ones(workspace, write_tiles):
    write_tiles(workspace, "los", count=3)
    feature = {"id": "los-0002", "properties": {"scale": "S", "city": "Long Beach", "score": 0.5}}
    question = {"question": "How many?", "answer": "two", "confidence": 0.75, "right": "three", "tile_id": "los-0001"}
    answers = {"searches": [{"text": "runway", "features": [feature]}], "questions": [question]}
    workspace.write_bytes(json.dumps(answers).encode(), "answers", "answers.json")
    text = checked(render("t", [answers_section(workspace)])).text
    assert "two (75% sure)" in text
    assert "three" in text
    assert "los-0002" in text


def test_the_benchmark_stands_beside_the_papers_tables(workspace):
    assert benchmark_section(workspace) is None
    kinds = {"chips": "classification", "boats": "detection", "answers": "vqa"}
    figures = {"classification": "top1", "detection": "map50", "vqa": "accuracy"}
    rows = [
        {**dict.fromkeys(RESULTS.names), "name": name, "task": task, "data": name, "row": row, "seed": 0}
        | {"metric": figures[task], "value": value}
        for name, task in kinds.items()
        for row, value in (("scratch", 0.4), ("ours", 0.7), *((("text only", 0.5),) if task == "vqa" else ()))
    ]
    workspace.write_table(pa.Table.from_pylist(rows, RESULTS), "benchmark", "results.parquet")
    section = benchmark_section(workspace)
    ours, circle, *beside, note = section.elements
    assert ours.columns == ("task", "figure", "scratch", "ours", "text only")
    assert ours.rows[2] == ("answers", "accuracy", "40.0 ▼", "70.0", "50.0")
    assert "Figures of scratch, ours: chips, boats, answers" in circle.svg
    by_task = {table.caption.partition(":")[0]: table.rows for table in beside}
    assert ("top1", "SAR-ACD", 91.11, "MoCo v3 71.87") in {row[:4] for row in by_task["classification"]}
    assert by_task["classification"][0][4:] == ("chips", "scratch 40.0, ours 70.0")
    assert [row[:3] for row in by_task["detection"]] == [
        ("map50", "FU-AS", 74.36),
        ("map50", "FU-SS", 85.87),
        ("map50", "AIR-F", 73.04),
    ]
    assert "beside, not against" in note.text
    checked(render("t", [section]))
