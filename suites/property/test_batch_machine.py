"""The batch processor under any order of items, keys, cancellations, bad items, time and ends, against what was handled."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fixtures.reference.core.batch import BatchClosed, BatchFull, BatchPolicy, BatchProcessor, WhenFull
from suites.support.core.simulated import SimulatedLoop, until_settled

AGE_S = 0.5
CALL_S = {"quick": 0.0, "slow": 2.0}


class Poisoned(Exception):  # noqa: N818 - an item's
    """An item that cannot be borne."""


class BatchMachine(RuleBasedStateMachine):
    """Submitters with and without keys, who leave at any moment; a handler that is quick or slow, and cannot bear some."""

    @initialize(
        items=st.integers(1, 4),
        concurrency=st.integers(1, 3),
        spare=st.integers(0, 3),
        when_full=st.sampled_from(WhenFull),
    )
    def build(self, items: int, concurrency: int, spare: int, when_full: WhenFull) -> None:
        self.loop = SimulatedLoop()
        self.policy = BatchPolicy(
            max_items=items,
            max_age_s=AGE_S,
            concurrency=concurrency,
            max_queued=items + spare,
            when_full=when_full,
        )
        self.pace = "quick"
        self.keys: list[str | None] = []
        self.poison: set[int] = set()
        self.entered_s: dict[int, float] = {}
        self.submitters: list[asyncio.Task] = []
        self.handled: Counter[int] = Counter()
        self.order: dict[str, list[int]] = defaultdict(list)
        self.running = 0
        self.in_call: dict[int, str | None] = {}
        self.free_s = 0.0  # since when a batch may begin
        self.processor = BatchProcessor(
            "any", self._handle, self.policy, key=lambda item: self.keys[item], poison=(Poisoned,)
        )

    async def _handle(self, items):
        assert 0 < len(items) <= self.policy.max_items
        self.running += 1
        assert self.running <= self.policy.concurrency  # Q7
        keys = [self.keys[item] for item in items if self.keys[item] is not None]
        assert not set(keys) & set(self.in_call.values())  # Q6: no key is in two calls at a time
        self.in_call |= {item: self.keys[item] for item in items if self.keys[item] is not None}
        try:
            await asyncio.sleep(CALL_S[self.pace])
            if self.poison & set(items):
                raise Poisoned
            for item in items:
                self.handled[item] += 1
                if self.keys[item] is not None:
                    self.order[self.keys[item]].append(item)
            return items
        finally:
            self.running -= 1
            self.free_s = self.loop.time()
            for item in items:
                self.in_call.pop(item, None)

    def run(self, work) -> None:
        self.loop.run_until_complete(work)

    def unanswered(self) -> list[int]:
        return [item for item, submitter in enumerate(self.submitters) if not submitter.done()]

    @rule(
        key=st.sampled_from([None, None, "a", "b"]),
        is_poison=st.sampled_from([False, False, True]),
        turns=st.integers(1, 3),
    )
    def submit(self, key: str | None, turns: int, *, is_poison: bool) -> None:
        async def act() -> None:
            item = len(self.keys)
            self.keys.append(key)
            if is_poison:
                self.poison.add(item)
            self.submitters.append(asyncio.create_task(self.processor.submit(item)))
            await until_settled(turns)

        self.run(act())

    @precondition(lambda self: self.unanswered())
    @rule(which=st.integers(0, 9), turns=st.integers(0, 2))
    def leave(self, which: int, turns: int) -> None:
        async def act() -> None:
            if unanswered := self.unanswered():  # the loop went on after the precondition was asked
                self.submitters[unanswered[which % len(unanswered)]].cancel()
            await until_settled(turns)

        self.run(act())

    @rule(pace=st.sampled_from(sorted(CALL_S)))
    def handler_becomes(self, pace: str) -> None:
        self.pace = pace

    @rule(seconds=st.sampled_from([0.1, 0.4, 0.6, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @invariant()
    def nothing_is_handled_twice(self) -> None:
        """Nor what cannot be borne at all, and the order of each key is that of asking (Q1, Q6)."""
        assert all(times == 1 for times in self.handled.values())
        assert not self.poison & set(self.handled)
        assert all(items == sorted(items) for items in self.order.values())

    @invariant()
    def counts_tell_the_truth(self) -> None:
        stats = self.processor.stats()
        assert stats.submitted == stats.queued + stats.in_flight + stats.handled + stats.failed + stats.withdrawn
        assert stats.queued <= self.policy.max_queued
        assert stats.running <= self.policy.concurrency
        assert stats.handled <= sum(self.handled.values())
        assert stats.waiting_for_room == 0 or self.policy.when_full is WhenFull.WAIT

    @rule()
    def none_has_waited_too_long(self) -> None:
        """Where a batch may begin, and no key holds an item back, none is older than it may be (Q2)."""
        self.run(until_settled())
        stats = self.processor.stats()
        ready = [entry for entry in self.processor._ready if entry.place == "ready" and not entry.future.done()]
        if stats.running < self.policy.concurrency and ready:
            assert self.loop.time() - min(entry.entered_s for entry in ready) <= AGE_S
            assert len(ready) < self.policy.max_items

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        self.run(self._end())
        self.loop.close()

    async def _end(self) -> None:
        """Every submitter has an answer, and it is the true one (Q1, Q3, Q4, Q5)."""
        began_s = self.loop.time()
        await until_settled()
        await self.processor.close(within_s=4.0)
        assert self.loop.time() - began_s <= 4.2
        answers = await asyncio.gather(*self.submitters, return_exceptions=True)
        for item, answer in enumerate(answers):
            if isinstance(answer, Poisoned):
                assert item in self.poison
            elif isinstance(answer, BatchFull):
                assert self.policy.when_full is WhenFull.REJECT
                assert not self.handled[item]
            elif isinstance(answer, BatchClosed):
                assert not self.handled[item]
            elif not isinstance(answer, asyncio.CancelledError):
                assert answer == item
                assert self.handled[item] == 1
        stats = self.processor.stats()
        assert (stats.queued, stats.in_flight, stats.waiting_for_room) == (0, 0, 0)


TestBatchMachine = BatchMachine.TestCase
TestBatchMachine.settings = settings(max_examples=settings().max_examples // 2, stateful_step_count=30)
