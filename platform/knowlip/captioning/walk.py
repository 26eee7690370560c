"""A tree of tiles, walked as its parts become ready: a child starts when its parent is done, not when all are."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from knowlip.captioning.caption import Caption
from knowlip.captioning.chain import Observation
from knowlip.captioning.gate import Stopped

__all__ = ["describe_all", "walk"]

ResultT = TypeVar("ResultT")


async def walk(
    parents: Mapping[str, str], visit: Callable[[str], Awaitable[ResultT]], *, width: int
) -> tuple[dict[str, ResultT], bool]:
    """Visit every node after its parent, depth first, so that few are open at a time.

    Args:
        parents: Node to parent; a parent that is no node makes a root.
        visit: What is done at a node. When it raises `Stopped`, no further node is begun.
        width: Most visits at a time.

    Returns:
        The results in the order in which they came, and whether all nodes were visited.
    """
    children: defaultdict[str, list[str]] = defaultdict(list)
    for node, parent in parents.items():
        children[parent if parent in parents else ""].append(node)
    ready, running, done = deque(children[""]), dict[asyncio.Future[ResultT], str](), dict[str, ResultT]()
    stopped = False
    try:
        while running or (ready and not stopped):
            while ready and not stopped and len(running) < width:
                node = ready.popleft()
                running[asyncio.ensure_future(visit(node))] = node
            finished, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                node = running.pop(task)
                try:
                    done[node] = task.result()
                except Stopped:
                    stopped = True
                else:
                    ready.extendleft(reversed(children[node]))
    finally:
        for task in running:
            task.cancel()
    return done, len(done) == len(parents)


async def describe_all(
    observations: Sequence[Observation],
    image: Callable[[str], bytes],
    ask: Callable[[Observation, bytes, Caption | None], Awaitable[Caption]],
    *,
    model: str,
    width: int,
) -> tuple[list[Caption], bool]:
    """Describe observed tiles, each with its parent's text.

    Args:
        observations: The tiles, parents first.
        image: Reads a tile's stored image.
        ask: Describes one tile by its image and its parent's caption.
        model: Who writes, for tiles that nobody can describe.
        width: Most tiles at a time.

    Returns:
        Captions in the order of the observations, and whether all tiles have one.
    """
    seen = {one.facts.tile_id: one for one in observations}
    captions: dict[str, Caption] = {}

    async def visit(tile_id: str) -> Caption:
        one = seen[tile_id]
        if one.measured is None:
            caption = Caption(tile_id, "", model, one.facts.scale, "", parent_id=one.facts.parent_id, status=one.status)
        else:
            png = await asyncio.to_thread(image, tile_id)
            caption = await ask(one, png, captions.get(one.facts.parent_id))
        captions[tile_id] = caption
        return caption

    _, whole = await walk({one.facts.tile_id: one.facts.parent_id for one in observations}, visit, width=width)
    return [captions[tile_id] for tile_id in seen if tile_id in captions], whole
