"""The reference core's breakers, as the contract of breakers asks for them."""

from __future__ import annotations

from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

from fixtures.reference.core.breaker import Breaker, BreakerPolicy, CircuitOpen, State
from fixtures.reference.core.redis_link import RedisLink, Script
from fixtures.reference.core.shared_breaker import SharedBreaker, SharedBreakerPolicy
from harness.clock import FakeClock
from suites.contract.core.breaker import (
    FAILURES,
    PROBE_MAX_S,
    PROBES,
    RECOVERY_MAX_S,
    RECOVERY_S,
    WINDOW_S,
    Refused,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

EXACT = BreakerPolicy(
    failures=FAILURES,
    window_s=WINDOW_S,
    recovery_s=RECOVERY_S,
    recovery_max_s=RECOVERY_MAX_S,
    jitter_ratio=0.0,
    probes=PROBES,
    probe_max_s=PROBE_MAX_S,
)
SPEAKS_AGAINST_IT = (OSError, CircuitOpen)  # the second to no effect, whatever it is called


class Ours:
    """The breaker of one process."""

    probes = PROBES
    offers = frozenset(
        [
            "async",
            "sync",
            "window",
            "permits",
            "generations",
            "backoff",
            "neutral",
            "hung",
            "nested",
            "events",
            "counts",
            "retry_after",
        ]
    )

    def build(self) -> OurCircuit:
        """Return a closed breaker on a fake clock."""
        return OurCircuit()


class OurCircuit:
    """A breaker on a fake clock."""

    def __init__(self) -> None:
        self._clock = FakeClock(1000.0)
        self._path: list[tuple[str, str]] = []
        self._breaker = Breaker("any", EXACT, clock=self._clock, random=Random(1), on_transition=self._note)

    async def call(self, operation: Callable[[], Awaitable[Any]]) -> Any:
        inside = Inside()
        try:
            return await self._breaker.call(inside.awaiting(operation), failures=SPEAKS_AGAINST_IT)
        except CircuitOpen as refusal:
            inside.tell(refusal)
            raise

    def call_sync(self, operation: Callable[[], Any]) -> Any:
        inside = Inside()
        try:
            return self._breaker.call_sync(inside.calling(operation), failures=SPEAKS_AGAINST_IT)
        except CircuitOpen as refusal:
            inside.tell(refusal)
            raise

    async def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)

    async def settle(self) -> None:
        """It does nothing in the background."""

    def state(self) -> str:
        return self._breaker.state.value

    def path(self) -> list[tuple[str, str]]:
        return self._path

    def counts(self) -> tuple[int, int]:
        return self._breaker.admitted, self._breaker.rejected

    def _note(self, _name: str, old: State, new: State) -> None:
        self._path.append((old.value, new.value))


class SteppedLink(RedisLink):
    """A link whose scripts are told the time of a fake clock where they ask Redis for it."""

    clock: FakeClock

    async def run(self, script: Script, keys: Any, arguments: Any) -> Any:
        us = round(self.clock.now() * 1_000_000)
        told = script.text.replace("redis.call('TIME')", f"{{'{us // 1_000_000}', '{us % 1_000_000}'}}")
        assert told != script.text, "it asks for no time, or by another word"
        return await super().run(Script(told), keys, arguments)


class OursShared:
    """The breaker of all processes, as one of them has it; Redis is real, and its time is that of the fake clock."""

    probes = PROBES
    offers = Ours.offers

    def __init__(self, link: SteppedLink) -> None:
        self._link, self._names = link, count()

    def build(self) -> SharedCircuit:
        """Return a closed breaker, of a name of its own."""
        return SharedCircuit(self._link, f"contract-{id(self)}-{next(self._names)}")


class SharedCircuit:
    """A shared breaker on the clock of its link."""

    def __init__(self, link: SteppedLink, name: str) -> None:
        self._clock = link.clock
        self._path: list[tuple[str, str]] = []
        self._breaker = SharedBreaker(
            name,
            SharedBreakerPolicy(breaker=EXACT),
            link=link,
            clock=self._clock,
            random=Random(1),
            on_transition=self._note,
        )

    async def call(self, operation: Callable[[], Awaitable[Any]]) -> Any:
        inside = Inside()
        try:
            return await self._breaker.call(inside.awaiting(operation), failures=SPEAKS_AGAINST_IT)
        except CircuitOpen as refusal:
            inside.tell(refusal)
            raise

    async def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)

    async def settle(self) -> None:
        await self._breaker.settle()

    def state(self) -> str:
        return self._breaker.state.value

    def path(self) -> list[tuple[str, str]]:
        return self._path

    def counts(self) -> tuple[int, int]:
        standing = self._breaker.standing()
        return standing.admitted, standing.rejected

    def _note(self, _name: str, old: State, new: State) -> None:
        self._path.append((old.value, new.value))


class Inside:
    """Tell a refusal of the breaker under test from one that its operation raised."""

    def __init__(self) -> None:
        self._entered = False

    def awaiting(self, operation: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
        async def entering() -> Any:
            self._entered = True
            return await operation()

        return entering

    def calling(self, operation: Callable[[], Any]) -> Callable[[], Any]:
        def entering() -> Any:
            self._entered = True
            return operation()

        return entering

    def tell(self, refusal: CircuitOpen) -> None:
        """Raise what the contract calls it, if it is the breaker's own."""
        if not self._entered:
            raise Refused(reason=refusal.reason.value, retry_after_s=refusal.retry_after_s) from refusal
