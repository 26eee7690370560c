"""Every query of the dashboard names a figure that is exported, under the name and the tags that it has there."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import httpx
import pytest
import ray
from prometheus_client.parser import text_string_to_metric_families

from jobs.metrics import METRICS, count, exported_name, observe
from serve_apps.meters import Meters

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "knowlip.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
LEGENDS = [target["legendFormat"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
NAME = re.compile(r"\b(?:ray_)?knowlip_\w+")


def served() -> set[str]:
    """Names of the samples that the gateway exports."""
    meters = Meters()
    meters.requests.labels("GET", "/", "200").inc()
    meters.seconds.labels("GET", "/").observe(0.1)
    families = text_string_to_metric_families(meters.text().decode())
    return {sample.name for family in families for sample in family.samples}


def test_every_query_names_a_figure_that_exists():
    known = {exported_name(name) for name in METRICS} | served()
    asked = {name for query in QUERIES for name in NAME.findall(query)}
    assert asked <= known
    assert {exported_name(name) for name in METRICS} <= asked, "a figure that nobody looks at"


@pytest.mark.parametrize(("query", "legend"), list(zip(QUERIES, LEGENDS, strict=True)))
def test_queries_group_by_tags_that_the_figure_has(query, legend):
    names = [name.removeprefix("ray_").removesuffix("_total") for name in NAME.findall(query)]
    tags = {tag for name in names if name in METRICS for tag in METRICS[name].tags}
    tags |= {"method", "route", "status", "le"} if any("request" in name for name in names) else set()
    by = {tag.strip() for group in re.findall(r"by \(([^)]*)\)", query) for tag in group.split(",")}
    assert by <= tags
    assert set(re.findall(r"{{(\w+)}}", legend)) <= tags


@pytest.mark.ray
def test_ray_exports_the_figures_under_these_names(ray_cluster):
    for name, metric in METRICS.items():
        tags = dict.fromkeys(metric.tags, "test")
        count(name, 3, **tags) if metric.kind == "counter" else observe(name, 3, **tags)
    node = ray.nodes()[0]
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    wanted = {exported_name(name) for name in METRICS}
    until, found = time.monotonic() + 60, set()
    while not wanted <= found and time.monotonic() < until:
        families = text_string_to_metric_families(httpx.get(address, timeout=10).text)
        found = {sample.name for family in families for sample in family.samples}
        time.sleep(0.5)
    assert wanted <= found, sorted(name for name in found if "knowlip" in name)


def test_panels_lie_side_by_side():
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    for number, one in enumerate(places):
        assert one["x"] + one["w"] <= 24
        for other in places[:number]:
            apart = one["y"] >= other["y"] + other["h"] or other["y"] >= one["y"] + one["h"]
            assert apart or one["x"] >= other["x"] + other["w"] or other["x"] >= one["x"] + one["w"]
