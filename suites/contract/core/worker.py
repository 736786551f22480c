"""What a queue of tasks and its workers must keep, for any implementation: no task is lost, none is done twice in effect.

A suite derives from `WorkerContract` and gives it a fixture `tasks`, an adapter as `Adapter` says. The invariants are
those of checkpoints and dead letters (K, D), seen from the outside.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from suites.support.dice import dice_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager


class StateAdapter(Protocol):
    """What is known of a task."""

    state: str
    attempts: int
    result: bytes


class WorkingAdapter(Protocol):
    """A worker that works."""

    def drain(self) -> None:
        """Tell it to take no more, and to end what it has."""

    async def crash(self) -> None:
        """End it as SIGKILL does: nothing that it has under way is sent any more."""


class Adapter(Protocol):
    """An implementation of a queue and its workers; it shares nothing with other tests."""

    async def submit(self, kind: str, payload: bytes = b"") -> str:
        """Put a task into the queue; return its id."""

    def working(
        self, handlers: Mapping[str, Callable[..., Any]], **policy: Any
    ) -> AbstractAsyncContextManager[WorkingAdapter]:
        """Let a worker work, with such a policy; it has drained in the end, unless it was crashed.

        A handler is given a task (`id`, `payload`, `attempt`) and a claim, whose `step(name, effect, idempotent=…)` lets an
        effect happen once.
        """

    async def state(self, task: str) -> StateAdapter:
        """Return what is known of a task: `queued`, `running`, `resting`, `done` or `dead`."""

    async def ended(self, *tasks: str) -> list[StateAdapter]:
        """Wait until tasks are done or dead; return what is known of them."""


class Receiver:
    """What effects happen to; it acts once for each idempotency key."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.acted: Counter[str] = Counter()
        self._seen: set[str] = set()

    def effect(self, name: str) -> Callable[[str], Any]:
        """Return an effect of this name."""

        async def arrive(key: str) -> bytes:
            self.calls[name] += 1
            if key not in self._seen:
                self._seen.add(key)
                self.acted[name] += 1
            await asyncio.sleep(0)
            return b"done"

        return arrive


async def echo(task, _claim) -> bytes:
    """Return the payload."""
    return task.payload


async def poison(_task, _claim) -> bytes:
    """Fail always."""
    raise ValueError("poison")


class WorkerContract:
    """The invariants of a queue and its workers."""

    async def test_each_task_is_done_once_by_one_of_several_workers(self, tasks: Adapter):
        """Whoever takes it: no other has it too, as long as nothing breaks (D1)."""
        tried: Counter[str] = Counter()

        async def count(task, _claim) -> bytes:
            tried[task.id] += 1
            await asyncio.sleep(0.001)
            return task.payload

        ids = [await tasks.submit("count", b"%d" % number) for number in range(40)]
        async with AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(tasks.working({"count": count}))
            ended = await tasks.ended(*ids)

        assert tried == dict.fromkeys(ids, 1)
        assert [each.state for each in ended] == ["done"] * 40
        assert [each.result for each in ended] == [b"%d" % number for number in range(40)]

    async def test_task_that_failed_is_tried_again(self, tasks: Adapter):
        """Until it is done; it is told how often that was (D1)."""

        async def third_time(task, _claim) -> bytes:
            if task.attempt < 3:
                raise OSError
            return b"%d" % task.attempt

        task = await tasks.submit("third_time")
        async with tasks.working({"third_time": third_time}, max_attempts=5):
            (ended,) = await tasks.ended(task)

        assert (ended.state, ended.attempts, ended.result) == ("done", 3, b"3")

    async def test_poison_is_dead_after_exactly_so_many_attempts(self, tasks: Adapter):
        """And nothing else suffers for it (D1)."""
        tried: list[int] = []

        async def fail(task, _claim) -> bytes:
            tried.append(task.attempt)
            raise ValueError

        task, others = await tasks.submit("fail"), [await tasks.submit("echo") for _ in range(5)]
        async with tasks.working({"fail": fail, "echo": echo}, max_attempts=3):
            ended, *beside = await tasks.ended(task, *others)

        assert (ended.state, ended.attempts, tried) == ("dead", 3, [1, 2, 3])
        assert [(each.state, each.attempts) for each in beside] == [("done", 1)] * 5

    async def test_rests_grow_and_are_never_cut_short(self, tasks: Adapter):
        """After the first failure 40 ms, then 80, then the longest of 100; jitter takes at most half of each."""
        tried_s: list[float] = []

        async def fail(_task, _claim) -> bytes:
            tried_s.append(time.monotonic())
            raise ValueError

        task = await tasks.submit("fail")
        async with tasks.working({"fail": fail}, max_attempts=4, backoff_s=0.04, backoff_max_s=0.1, jitter_ratio=0.5):
            await tasks.ended(task)

        rests_s = [later - earlier for earlier, later in pairwise(tried_s)]
        assert all(rest_s >= least_s - 0.002 for rest_s, least_s in zip(rests_s, [0.02, 0.04, 0.05], strict=True))

    async def test_attempt_that_takes_too_long_is_ended_and_tried_again(self, tasks: Adapter):
        """It is told so by a cancellation, and counts as a failure (D1)."""
        ended: list[int] = []

        async def hang_once(task, _claim) -> bytes:
            if task.attempt == 1:
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.append(task.attempt)
            return b""

        task = await tasks.submit("hang_once")
        async with tasks.working({"hang_once": hang_once}, timeout_s=0.05):
            (known,) = await tasks.ended(task)

        assert (known.state, known.attempts, ended) == ("done", 2, [1])

    async def test_task_that_outlasts_its_lease_stays_its_worker_s(self, tasks: Adapter):
        """As long as that one is alive, however idle the others are (D1)."""
        tried: list[str] = []

        async def long(task, _claim) -> bytes:
            tried.append(task.id)
            await asyncio.sleep(2.2)
            return b""

        task = await tasks.submit("long")
        async with tasks.working({"long": long}, lease_s=1.0), tasks.working({"long": long}, lease_s=1.0):
            (ended,) = await tasks.ended(task)

        assert tried == [task]
        assert (ended.state, ended.attempts) == ("done", 1)

    async def test_task_of_a_worker_that_died_is_taken_over(self, tasks: Adapter):
        """After one lease, and its steps go on where they were: what is done does not happen again (D1, K1)."""
        receiver, entered = Receiver(), asyncio.Event()

        async def two_steps(task, claim) -> bytes:
            await claim.step("first", receiver.effect("first"), idempotent=False)
            if task.attempt == 1:
                entered.set()
                await asyncio.Event().wait()
            await claim.step("second", receiver.effect("second"), idempotent=False)
            return b"both"

        task = await tasks.submit("two_steps")
        async with tasks.working({"two_steps": two_steps}, lease_s=0.5) as first:
            await asyncio.wait_for(entered.wait(), 30)
            await first.crash()
            assert (await tasks.state(task)).state == "running"
            async with tasks.working({"two_steps": two_steps}):
                (ended,) = await tasks.ended(task)

        assert (ended.state, ended.attempts, ended.result) == ("done", 2, b"both")
        assert receiver.calls == {"first": 1, "second": 1}

    async def test_task_that_kills_its_workers_is_dead_in_the_end(self, tasks: Adapter):
        """An attempt of which nothing more was heard counts, or it would go round for ever (D1)."""
        tried: list[int] = []
        entered = asyncio.Event()

        async def deadly(task, _claim) -> bytes:
            tried.append(task.attempt)
            entered.set()
            await asyncio.Event().wait()
            return b""

        task = await tasks.submit("deadly")
        for _ in range(2):
            entered.clear()
            async with tasks.working({"deadly": deadly}, lease_s=0.5, max_attempts=2) as working:
                await asyncio.wait_for(entered.wait(), 30)
                await working.crash()
        async with tasks.working({"deadly": deadly}, max_attempts=2):
            (ended,) = await tasks.ended(task)

        assert (ended.state, tried) == ("dead", [1, 2])

    async def test_never_more_at_a_time_than_agreed(self, tasks: Adapter):
        """And as many, where there are enough tasks."""
        running, most = 0, 0

        async def busy(_task, _claim) -> bytes:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.02)
            running -= 1
            return b""

        ids = [await tasks.submit("busy") for _ in range(12)]
        async with tasks.working({"busy": busy}, concurrency=3):
            await tasks.ended(*ids)

        assert most == 3

    async def test_worker_that_drains_ends_what_it_has_and_takes_no_more(self, tasks: Adapter):
        """What it did not take is there for the next (D1)."""
        entered, leave = asyncio.Event(), asyncio.Event()

        async def wait(_task, _claim) -> bytes:
            entered.set()
            await leave.wait()
            return b"ended"

        ids = [await tasks.submit("wait") for _ in range(4)]
        async with tasks.working({"wait": wait}, concurrency=1) as working:
            await asyncio.wait_for(entered.wait(), 30)
            working.drain()
            await asyncio.sleep(0.05)
            leave.set()

        assert [(await tasks.state(task)).state for task in ids] == ["done", "queued", "queued", "queued"]

    async def test_worker_that_must_stop_gives_back_what_did_not_end(self, tasks: Adapter):
        """At once, not after its lease, and without an attempt lost (D1)."""
        entered, tried = asyncio.Event(), []

        async def slow_once(task, _claim) -> bytes:
            tried.append(task.attempt)
            if len(tried) == 1:
                entered.set()
                await asyncio.Event().wait()
            return b""

        task = await tasks.submit("slow_once")
        async with tasks.working({"slow_once": slow_once}, lease_s=600.0, drain_s=0.01, max_attempts=1) as working:
            await asyncio.wait_for(entered.wait(), 30)
            working.drain()
        async with tasks.working({"slow_once": slow_once}, lease_s=600.0, max_attempts=1):
            (ended,) = await tasks.ended(task)

        assert (ended.state, ended.attempts, tried) == ("done", 1, [1, 1])

    @pytest.mark.parametrize("seed", range(3))
    async def test_nothing_is_lost_or_happens_twice_whatever_dies_when(self, tasks: Adapter, seed):
        """Workers that crash at moments drawn by lot: each task ends as it should, each effect happens once (D1, K1)."""
        dice, receiver = dice_of(seed), Receiver()

        async def order(task, claim) -> bytes:
            for name in ("reserve", "charge", "ship"):
                await claim.step(name, receiver.effect(f"{task.id}:{name}"), idempotent=True)
            return task.id.encode()

        handlers = {"order": order, "poison": poison}
        policy = {"lease_s": 0.1, "max_attempts": 30, "backoff_s": 0.001, "backoff_max_s": 0.002, "concurrency": 3}
        orders = [await tasks.submit("order") for _ in range(12)]
        bad = [await tasks.submit("poison") for _ in range(2)]
        for _ in range(6):
            async with tasks.working(handlers, **policy) as working:
                for _ in range(dice.randrange(60)):
                    await asyncio.sleep(0)
                await asyncio.sleep(dice.random() * 0.01)
                await working.crash()
        async with tasks.working(handlers, **policy):
            ended = await tasks.ended(*orders, *bad)

        assert [each.state for each in ended] == ["done"] * 12 + ["dead"] * 2
        assert [each.result.decode() for each in ended[:12]] == orders
        assert receiver.acted == {f"{task}:{name}": 1 for task in orders for name in ("reserve", "charge", "ship")}
