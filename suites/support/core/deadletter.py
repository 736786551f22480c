"""Our dead letters as an adapter of their contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fixtures.reference.core.deadletter import DeadLetterPolicy, Failure, Held, QueueFull, Source
from fixtures.reference.parts import Design
from suites.support.core.fates import FatedLink, said

if TYPE_CHECKING:
    from collections.abc import Callable

    from fixtures.reference.core.deadletter import DeadLetters
    from fixtures.reference.core.redis_link import RedisLink

CONSUMER = "worker-1"


class OurLetters:
    """A stream with one consumer, and its dead letters.

    Attributes:
        stream: The source's key.
        link: Of the adapter itself; what dies has links of its own.
    """

    full = QueueFull

    def __init__(self, linked: Callable[..., RedisLink], queue: str, design: Design | None = None) -> None:
        self._linked, self._queue = linked, queue
        self._kind = (design or Design()).letters
        self.stream = f"queue:{{{queue}}}:tasks"
        self.source = Source(stream=self.stream, group="workers")
        self.link = linked()

    def letters(self, link: RedisLink | None = None, **policy) -> DeadLetters:
        """Return the dead letters with such a policy."""
        return self._kind(link or self.link, self._queue, self.source, DeadLetterPolicy(**policy))

    async def produce(self, *payloads: bytes) -> list[Held]:
        """Put tasks into the source and hand them to the consumer; return them as it holds them."""
        if not await said(self.link, "EXISTS", self.stream):
            await said(self.link, "XGROUP", "CREATE", self.stream, "workers", "0", "MKSTREAM")
        for payload in payloads:
            await said(self.link, "XADD", self.stream, "*", "kind", "any", "payload", payload)
        return await self.take()

    async def take(self) -> list[Held]:
        """Hand all new tasks of the source to the consumer."""
        found = await said(self.link, "XREADGROUP", "GROUP", "workers", CONSUMER, "STREAMS", self.stream, ">")
        return [Held(task.decode(), CONSUMER, 1) for task, _ in (found[0][1] if found else [])]

    async def bury(self, held: Held, *, dies_after: int | None = None, **policy) -> None:
        """Move a task that failed, in a process that dies before it has sent another command after so many."""
        link = self._linked(kind=FatedLink)
        if dies_after is not None:
            link.fates.extend([*["ok"] * dies_after, "dies"])
        await self.letters(link, **policy).move(held, Failure(error="ValueError", message="no", attempts=5))

    async def replay(self, entry: str, *, dies_after: int | None = None) -> None:
        """Put a dead letter back into its source; likewise."""
        link = self._linked(kind=FatedLink)
        if dies_after is not None:
            link.fates.extend([*["ok"] * dies_after, "dies"])
        await self.letters(link).replay(entry)

    async def dead(self) -> dict[str, bytes]:
        """Return the payloads of the dead letters by their ids."""
        return {entry.id: entry.payload for entry in await self.letters().entries(limit=20_000)}

    async def queued(self) -> list[bytes]:
        """Return the payloads of the tasks in the source, whether they were handed out or not."""
        found = await said(self.link, "XRANGE", self.stream, "-", "+")
        return [dict(zip(flat[::2], flat[1::2], strict=True))[b"payload"] for _, flat in found]

    async def dropped(self) -> int:
        """Return how many dead letters were dropped for want of room, as told."""
        return (await self.letters().statistics()).dropped
