"""Searches that wait for the index go through it together, and only with those that ask for the same."""

from __future__ import annotations

import asyncio
import gc

import numpy as np
import pytest

from knowlip.archive import Archive, Filters, Version
from knowlip.errors import DataError
from serve_apps.index import Index
from serve_apps.messages import Embedded


@pytest.fixture
def index(served_workspace):
    return Index.func_or_class(served_workspace)


@pytest.fixture
def seen(monkeypatch):
    """How many queries the archive is asked at once, and for how many tiles, call by call."""
    calls = []
    search_each = Archive.search_each

    def watched(archive, vectors, k=10, filters=None, **named):
        calls.append((len(vectors), k))
        return search_each(archive, vectors, k, filters, **named)

    monkeypatch.setattr(Archive, "search_each", watched)
    return calls


def queries(served_workspace, count):
    version = Version.in_use(served_workspace)
    vectors = np.random.default_rng(0).normal(size=(count, version.width)).astype(np.float32)
    return [Embedded(vector, version) for vector in vectors]


def test_what_waits_with_the_same_filters_is_searched_at_once(index, seen, served_workspace):
    asked = queries(served_workspace, 12)
    places = [Filters(), Filters(bbox=(-99, 33, -98, 34)), Filters(scales=("S",))]

    async def crowd():
        return await asyncio.gather(
            *(index.search(query, 3, places[number % 3]) for number, query in enumerate(asked)),
            index.search(asked[0], 5, places[0]),
        )

    found = asyncio.run(crowd())
    # The four of each filter together; another k is another search.
    assert sorted(seen) == [(1, 5), (4, 3), (4, 3), (4, 3)]
    archive = Archive.open(served_workspace)
    for number, (query, hits) in enumerate(zip(asked, found, strict=False)):
        assert hits == archive.search(query.vector, 3, places[number % 3])
    assert len(found[-1]) == 5


def test_a_search_that_fails_spoils_no_other(index, served_workspace):
    good, other = queries(served_workspace, 2)
    bad = Embedded(np.zeros(good.version.width, np.float32), good.version)

    async def crowd():
        return await asyncio.gather(
            index.search(bad, 3, Filters(scales=("S",))), index.search(other, 3, Filters()), return_exceptions=True
        )

    failed, hits = asyncio.run(crowd())
    assert isinstance(failed, DataError)
    assert len(hits) == 3


def test_nothing_is_kept_of_filters_that_nobody_asks_for_any_more(index, served_workspace):
    asked = queries(served_workspace, 20)

    async def crowd():
        for number, query in enumerate(asked):
            await index.search(query, 3, Filters(gsd_max_m=1.0 + number))

    asyncio.run(crowd())
    gc.collect()
    assert not len(index._alike)
