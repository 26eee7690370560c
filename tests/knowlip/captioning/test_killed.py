"""Killed while it asks, a captioner asks again only what was in flight, and never what it had written down."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

from knowlip.captioning import Caption, Request
from knowlip.captioning.asking import EndpointCaptioner
from knowlip.captioning.endpoint import Endpoint, EndpointSettings
from knowlip.captioning.gate import LocalGate
from knowlip.captioning.journal import Entry, Journal
from knowlip.captioning.journal_writer import JournalWriter
from knowlip.captioning.secret import Key
from knowlip.workspace import Workspace
from tests.llm_server import LlmServer, digest_of

SLOTS = 3


def ask_all(url: str, folder: str, requests: list[Request]) -> list[Caption]:
    """Ask for all tiles, with what the journal holds at hand."""

    async def run() -> list[Caption]:
        workspace = Workspace(folder)
        known = Journal(workspace).read("scene")
        writer = JournalWriter(workspace)
        endpoint = Endpoint(EndpointSettings(base_url=url, model="stub"), Key(""), LocalGate())
        captioner = EndpointCaptioner(endpoint, writer, slots=SLOTS)
        captions = await asyncio.gather(*(captioner.caption(one, known) for one in requests))
        await writer.close()
        await endpoint.close()
        return list(captions)

    return asyncio.run(run())


def entries(folder: Path) -> list[Entry]:
    return list(Journal(Workspace(str(folder))).read("scene").values())


def test_kill_minus_nine(llm: LlmServer, tmp_path: Path, tiles_to_ask: list[Request]) -> None:
    llm.latency_s = 0.05
    image = {one.facts.tile_id: digest_of(one.image) for one in tiles_to_ask}
    rng, wasted = random.Random(0), 0
    forked = multiprocessing.get_context("fork")
    for kill in range(4):
        written = {entry.tile_id: llm.asked[image[entry.tile_id]] for entry in entries(tmp_path)}
        before = len(llm.arrivals)
        process = forked.Process(target=ask_all, args=(llm.url, str(tmp_path), tiles_to_ask))
        process.start()
        until = time.monotonic() + 30
        while len(llm.arrivals) < before + 2 and process.is_alive() and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 0.06))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        while llm.in_flight:
            time.sleep(0.01)
        # What was written down before is not asked again.
        assert {tile: llm.asked[image[tile]] for tile in written} == written
        wasted = llm.asked.total() - len(entries(tmp_path))
        assert wasted <= SLOTS * (kill + 1)
    asked = llm.asked.total()
    left = len(tiles_to_ask) - len(entries(tmp_path))
    captions = ask_all(llm.url, str(tmp_path), tiles_to_ask)
    assert [caption.status for caption in captions] == ["ok"] * len(tiles_to_ask)
    assert llm.asked.total() == asked + left
