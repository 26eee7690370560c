"""What waits for a model is computed together."""

from __future__ import annotations

import asyncio
import threading

import pytest

from serve_apps.batching import Batched


class Recorder:
    """A computation that holds on until it is let go, and keeps what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go, self.at_once, self.most_at_once = threading.Event(), 0, 0

    def __call__(self, numbers: list[int]) -> list[int]:
        self.batches.append(numbers)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.go.wait(10)
        self.at_once -= 1
        if -1 in numbers:
            raise ValueError("a number below zero")
        return [10 * number for number in numbers]


async def started(recorder: Recorder, count: int) -> None:
    """Wait until so many batches have begun."""
    async with asyncio.timeout(10):
        while len(recorder.batches) < count:
            await asyncio.sleep(0.001)


def test_what_waits_while_a_batch_is_computed_goes_together():
    recorder = Recorder()

    async def crowd() -> list[int]:
        batched = Batched(recorder, asyncio.Lock(), most=4)
        first = asyncio.create_task(batched(0))
        await started(recorder, 1)
        others = []
        for number in range(1, 7):  # one after the other, each in a turn of the loop of its own
            others.append(asyncio.create_task(batched(number)))
            await asyncio.sleep(0.005)
        recorder.go.set()
        return await asyncio.gather(first, *others)

    assert asyncio.run(crowd()) == [0, 10, 20, 30, 40, 50, 60]
    assert recorder.batches == [[0], [1, 2, 3, 4], [5, 6]]


def test_a_batch_that_fails_tells_all_of_it_and_nobody_else():
    recorder = Recorder()

    async def crowd() -> list[object]:
        batched = Batched(recorder, asyncio.Lock(), most=2)
        first = asyncio.create_task(batched(0))
        await started(recorder, 1)
        others = [asyncio.create_task(batched(number)) for number in (1, -1, 3, 4)]
        await asyncio.sleep(0)
        recorder.go.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    first, one, other, *later = asyncio.run(crowd())
    assert first == 0
    assert later == [30, 40]
    for failed in (one, other):
        with pytest.raises(ValueError, match="below zero"):
            raise failed


def test_who_no_longer_waits_is_not_computed_for():
    recorder = Recorder()

    async def crowd() -> list[int]:
        batched = Batched(recorder, asyncio.Lock(), most=8)
        first = asyncio.create_task(batched(0))
        await started(recorder, 1)
        gone, here = asyncio.create_task(batched(1)), asyncio.create_task(batched(2))
        await asyncio.sleep(0)
        gone.cancel()
        recorder.go.set()
        return await asyncio.gather(first, here)

    assert asyncio.run(crowd()) == [0, 20]
    assert recorder.batches == [[0], [2]]


def test_several_at_once_take_their_places_and_come_back_in_order():
    recorder = Recorder()
    recorder.go.set()

    async def crowd() -> list[object]:
        batched = Batched(recorder, asyncio.Lock(), most=4)
        return await asyncio.gather(batched.each(range(6)), batched(6), batched.each([]))

    assert asyncio.run(crowd()) == [[0, 10, 20, 30, 40, 50], 60, []]
    assert recorder.batches == [[0, 1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("left", [True, False], ids=["nobody waits", "one failed"])
def test_what_is_left_of_several_costs_nothing_once_it_is_of_no_use(left):
    recorder = Recorder()

    async def crowd() -> int:
        batched = Batched(recorder, asyncio.Lock(), most=2)
        several = asyncio.create_task(batched.each([0, 1 if left else -1, 2, 3, 4]))
        await started(recorder, 1)
        if left:
            several.cancel()
        here = asyncio.create_task(batched(5))
        await asyncio.sleep(0)
        recorder.go.set()
        with pytest.raises(asyncio.CancelledError if left else ValueError):
            await several
        return await here

    assert asyncio.run(crowd()) == 50
    assert 4 not in [number for batch in recorder.batches for number in batch]


def test_computations_that_share_a_turn_never_run_at_once():
    recorder = Recorder()
    recorder.go.set()

    async def crowd() -> list[int]:
        turn = asyncio.Lock()
        both = Batched(recorder, turn, most=1), Batched(recorder, turn, most=1)
        return await asyncio.gather(*(batched(number) for number in range(20) for batched in both))

    assert asyncio.run(crowd()) == [10 * number for number in range(20) for _ in range(2)]
    assert recorder.most_at_once == 1
    assert len(recorder.batches) == 40
