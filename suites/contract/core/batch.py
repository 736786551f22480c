"""What a batch processor promises, Q1 to Q7, for every library, in simulated time.

A suite derives a class from `BatchContract`, and says with `offer` how a processor is made.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from suites.support.core.simulated import clock, in_simulated_time, until_settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence


class Processor(Protocol):
    """A batch processor that is running."""

    async def submit(self, item: Any) -> Any:
        """Have an item handled; return its result."""

    async def close(self, *, within_s: float) -> None:
        """Handle what is queued, fail what is left when the time is over."""


class Offer(Protocol):
    """One library's batch processor.

    Attributes:
        fulls, closings: What `submit` raises where there is no room and waiting is not wanted, and when it is closed.
    """

    fulls: tuple[type[BaseException], ...]
    closings: tuple[type[BaseException], ...]

    def make(
        self,
        handle: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]],
        *,
        max_items: int,
        max_age_s: float,
        concurrency: int,
        max_queued: int,
        waits: bool,
        key: Callable[[Any], Hashable],
    ) -> Processor:
        """Make one."""


class Handler:
    """Doubles numbers, takes its time, cannot bear some, and notes what it was asked.

    Attributes:
        calls: When each call began, seconds, and what it was given.
        effects: How often each item was handled.
        running, most: Calls at this moment, and the most ever.
    """

    def __init__(self, *, takes_s: float = 0.0, poison: Sequence[int] = ()) -> None:
        self.takes_s, self.poison = takes_s, set(poison)
        self.calls: list[tuple[float, list[int]]] = []
        self.effects: Counter[int] = Counter()
        self.order: list[int] = []
        self.running = self.most = 0

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.calls.append((clock().now(), list(items)))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.takes_s)
            if bad := self.poison & set(items):
                raise ValueError(f"cannot bear {sorted(bad)}")
            self.effects.update(items)
            self.order.extend(items)
            return [2 * item for item in items]
        finally:
            self.running -= 1


class BatchContract:
    """Derive, and say in `offer` what is held to it."""

    @pytest.fixture
    def offer(self) -> Offer:
        """Return what is held to the contract."""
        raise NotImplementedError

    @in_simulated_time
    async def test_each_item_is_handled_once_and_has_its_own_result(self, offer):
        """A thousand of them, with batches in parallel (Q1)."""
        handler = Handler(takes_s=0.01)
        async with running(offer, handler, max_items=7, concurrency=3) as processor:
            assert await asyncio.gather(*map(processor.submit, range(1000))) == [2 * item for item in range(1000)]

        assert handler.effects == Counter(range(1000))
        assert max(len(items) for _, items in handler.calls) == 7

    @in_simulated_time
    async def test_enough_items_are_handled_at_once(self, offer):
        """The last of them is what begins the batch."""
        handler = Handler()
        async with running(offer, handler, max_items=3, max_age_s=60) as processor:
            submitted = [asyncio.create_task(processor.submit(item)) for item in (1, 2)]
            await asyncio.sleep(1)
            assert handler.calls == []

            assert await processor.submit(3) == 6
            await asyncio.gather(*submitted)

        assert handler.calls == [(1.0, [1, 2, 3])]

    @in_simulated_time
    async def test_the_oldest_item_waits_no_longer_than_it_may(self, offer):
        """Its age counts from its own arrival, and not anew with each that joins it (Q2)."""
        handler = Handler()
        async with running(offer, handler, max_items=100, max_age_s=0.5) as processor:
            await asyncio.sleep(3)
            submitted = []
            for item in range(4):
                submitted.append(asyncio.create_task(processor.submit(item)))
                await asyncio.sleep(0.2)
            await asyncio.gather(*submitted)

        assert [(pytest.approx(when_s), items) for when_s, items in handler.calls] == [(3.5, [0, 1, 2]), (4.1, [3])]

    @in_simulated_time
    async def test_an_item_that_cannot_be_borne_fails_alone(self, offer):
        """Wherever it stands in the batch; the others are handled once (Q3, Q1)."""
        for poison in ([0], [9], [4], [3, 4], [0, 5, 9], list(range(10))):
            handler = Handler(poison=poison)
            async with running(offer, handler, max_items=10) as processor:
                outcomes = await asyncio.gather(*map(processor.submit, range(10)), return_exceptions=True)

            for item, outcome in enumerate(outcomes):
                if item in poison:
                    assert isinstance(outcome, ValueError)
                    assert str(outcome) == f"cannot bear [{item}]"
                else:
                    assert outcome == 2 * item
            assert handler.effects == Counter(set(range(10)) - set(poison))

    @in_simulated_time
    async def test_a_submitter_that_leaves_disturbs_no_other(self, offer):
        """Before its item is taken, and while it is being handled (Q4)."""
        handler = Handler(takes_s=1)
        async with running(offer, handler, max_items=10, max_age_s=0.1) as processor:
            submitted = [asyncio.create_task(processor.submit(item)) for item in range(4)]
            await asyncio.sleep(0.05)
            submitted[1].cancel()
            await asyncio.sleep(0.1)
            submitted[2].cancel()
            others = [submitted[0], submitted[3]]

            assert await asyncio.gather(*others) == [0, 6]

        assert all(submitted[left].cancelled() for left in (1, 2))
        assert handler.effects[0] == handler.effects[3] == 1

    @in_simulated_time
    async def test_closing_handles_what_waits(self, offer):
        """At once, without waiting for the age, and no further item is taken (Q5)."""
        handler = Handler(takes_s=0.1)
        async with running(offer, handler, max_items=4, max_age_s=60, concurrency=1) as processor:
            submitted = [asyncio.create_task(processor.submit(item)) for item in range(10)]
            await until_settled()

            await processor.close(within_s=5)

            assert clock().now() == pytest.approx(0.3)
            assert [task.result() for task in submitted] == [2 * item for item in range(10)]
            with pytest.raises(offer.closings):
                await processor.submit(1)

    @in_simulated_time
    async def test_closing_leaves_no_submitter_without_an_answer(self, offer):
        """When its time is over: those being handled, those that wait, and those that wait for room (Q5)."""
        handler = Handler(takes_s=3600)
        async with running(offer, handler, max_items=2, concurrency=1, max_queued=3) as processor:
            submitted = [asyncio.create_task(processor.submit(item)) for item in range(10)]
            await asyncio.sleep(1)

            await processor.close(within_s=2)

            assert clock().now() == pytest.approx(3, abs=0.2)
            for outcome in await asyncio.gather(*submitted, return_exceptions=True):
                assert isinstance(outcome, offer.closings)
        assert handler.running == 0

    @in_simulated_time
    async def test_items_with_one_key_keep_their_order(self, offer):
        """Whatever the concurrency, and however long one of them takes (Q6)."""

        class Uneven(Handler):
            async def __call__(self, items: Sequence[int]) -> list[int]:
                self.takes_s = 0.1 * (len(self.calls) % 3 == 0) + 0.01
                return await super().__call__(items)

        handler = Uneven()
        async with running(offer, handler, max_items=3, concurrency=4, key=lambda item: item % 12) as processor:
            submitted = []
            for item in range(90):
                submitted.append(asyncio.create_task(processor.submit(item)))
                await asyncio.sleep(0.003)
            await asyncio.gather(*submitted)

        by_key: dict[int, list[int]] = defaultdict(list)
        for item in handler.order:
            by_key[item % 12].append(item)
        assert by_key == {key: list(range(key, 90, 12)) for key in range(12)}
        assert handler.most > 1

    @in_simulated_time
    async def test_no_more_batches_run_than_may(self, offer):
        """And so many do where there is enough to handle (Q7)."""
        handler = Handler(takes_s=1)
        async with running(offer, handler, max_items=2, concurrency=3) as processor:
            await asyncio.gather(*map(processor.submit, range(50)))

        assert handler.most == 3

    @in_simulated_time
    async def test_a_full_queue_refuses_or_lets_wait(self, offer):
        """As chosen; those that wait are taken in the order of asking (Q6, Q1)."""
        handler = Handler(takes_s=1)
        async with running(offer, handler, max_items=2, concurrency=1, max_queued=2, waits=False) as processor:
            outcomes = await asyncio.gather(*map(processor.submit, range(6)), return_exceptions=True)
            assert [isinstance(outcome, offer.fulls) for outcome in outcomes] == [False] * 4 + [True] * 2

        handler = Handler(takes_s=1)
        async with running(offer, handler, max_items=2, concurrency=1, max_queued=2, key=lambda _: "one") as processor:
            assert await asyncio.gather(*map(processor.submit, range(20))) == [2 * item for item in range(20)]
        assert handler.order == list(range(20))


@asynccontextmanager
async def running(
    offer: Offer,
    handle: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]],
    *,
    max_items: int = 10,
    max_age_s: float = 0.02,
    concurrency: int = 2,
    max_queued: int = 10_000,
    waits: bool = True,
    key: Callable[[Any], Hashable] = lambda _item: None,
) -> AsyncIterator[Any]:
    """Make one; close it in the end."""
    processor = offer.make(
        handle,
        max_items=max_items,
        max_age_s=max_age_s,
        concurrency=concurrency,
        max_queued=max_queued,
        waits=waits,
        key=key,
    )
    try:
        yield processor
    finally:
        await processor.close(within_s=60)
