"""Our task queue and its workers as an adapter of their contract."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.checkpoint import CheckpointPolicy
from fixtures.reference.core.deadletter import DeadLetterPolicy
from fixtures.reference.core.worker import WorkerPolicy
from fixtures.reference.parts import Design
from suites.support.core.fates import Died, FatedLink, said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from fixtures.reference.core.checkpoint import Checkpoints
    from fixtures.reference.core.deadletter import DeadLetters
    from fixtures.reference.core.redis_link import RedisLink
    from fixtures.reference.core.worker import Depth, TaskQueue, TaskState, Worker

QUICK = {"poll_s": 0.005, "backoff_s": 0.02, "lease_s": 5.0, "drain_s": 5.0}
"""Of a policy: waits that a test can bear, and a lease that outlives a busy machine."""


@dataclass(kw_only=True)
class Working:
    """A worker that works, in what stands for a process of its own."""

    worker: Worker
    link: FatedLink
    run: asyncio.Task[None]

    def drain(self) -> None:
        """Tell it to stop."""
        self.worker.drain()

    async def crash(self) -> None:
        """End it as SIGKILL does: nothing that it has under way is sent any more."""
        self.link.fates.extend(["dies"] * 10_000)
        attempts = [running.attempt for running in self.worker._running.values()]
        for task in [self.run, *attempts]:
            task.cancel()
        await asyncio.gather(self.run, *attempts, return_exceptions=True)


class OurTasks:
    """A queue that no other test knows, with its checkpoints and dead letters."""

    def __init__(self, linked: Callable[..., RedisLink], name: str, design: Design | None = None) -> None:
        self._linked, self.name = linked, name
        self.design = design or Design()
        self.link = linked(kind=FatedLink)
        self.workers = 0

    def queue(self, link: RedisLink | None = None, **policy: Any) -> TaskQueue:
        """Return the queue, as seen over a link, with such a policy."""
        return self.design.queue(link or self.link, self.name, WorkerPolicy(**{**QUICK, **policy}))

    def letters(self, link: RedisLink | None = None, **policy: Any) -> DeadLetters:
        """Return its dead letters."""
        return self.design.letters(link or self.link, self.name, self.queue().source, DeadLetterPolicy(**policy))

    def checkpoints(self, link: RedisLink | None = None) -> Checkpoints:
        """Return what its tasks have done."""
        return self.design.checkpoints(link or self.link, CheckpointPolicy())

    def worker(
        self,
        handlers: Mapping[str, Callable[..., Any]],
        *,
        link: FatedLink | None = None,
        name: str = "",
        letters: Mapping[str, Any] | None = None,
        **policy: Any,
    ) -> Worker:
        """Return a worker that does not run yet; a handler is given the task and its claim."""
        link = link or self._linked(kind=FatedLink)
        self.workers += 1
        return self.design.worker(
            self.queue(link, **policy),
            self.checkpoints(link),
            self.letters(link, **(letters or {})),
            handlers,
            name=name or f"worker-{self.workers}",
            clock=MonotonicClock(),
            random=Random(self.workers),
        )

    @asynccontextmanager
    async def working(self, handlers: Mapping[str, Callable[..., Any]], **policy: Any) -> AsyncIterator[Working]:
        """Let a worker work; it has drained in the end, unless it was crashed."""
        link = self._linked(kind=FatedLink)
        worker = self.worker(handlers, link=link, **policy)
        working = Working(worker=worker, link=link, run=asyncio.create_task(worker.run()))
        try:
            yield working
        finally:
            worker.drain()
            with suppress(asyncio.CancelledError, Died):
                await working.run

    async def submit(self, kind: str, payload: bytes = b"") -> str:
        """Put a task into the queue; return its id."""
        return (await self.queue().submit(kind, payload)).task

    async def state(self, task: str) -> TaskState:
        """Return what is known of a task."""
        state = await self.queue().state(task)
        assert state is not None
        return state

    async def depth(self) -> Depth:
        """Count the tasks."""
        return await self.queue().depth()

    async def lapse(self) -> None:
        """Let the leases of all tasks that are held be over."""
        leases = self.queue().source.leases
        for held in await said(self.link, "ZRANGE", leases, 0, -1):
            await said(self.link, "ZADD", leases, 0, held)

    async def ended(
        self, *tasks: str, as_: tuple[str, ...] = ("done", "dead"), within_s: float = 100.0
    ) -> list[TaskState]:
        """Wait until tasks are done or dead; return what is known of them."""
        async with asyncio.timeout(within_s):
            while True:
                states = [await self.state(task) for task in tasks]
                if all(state.state in as_ for state in states):
                    return states
                await asyncio.sleep(0.01)
