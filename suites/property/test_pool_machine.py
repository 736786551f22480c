"""The pool under any order of callers, cancellations, outages and time, against what its server counts."""

from __future__ import annotations

import asyncio
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fixtures.reference.core.pool import Condition, Lease, Pool, PoolMisuse, PoolPolicy, PoolTimeout
from suites.support.core.pooled import Server
from suites.support.core.simulated import SimulatedLoop, until_settled

WAIT_S = 5.0
ENDS = (PoolTimeout, ConnectionRefusedError, asyncio.CancelledError)


class PoolMachine(RuleBasedStateMachine):
    """Callers that ask, hold, give back in any state, are cancelled at any moment; a server that goes and comes back."""

    @initialize(most=st.integers(1, 4), ready=st.integers(0, 2), close_s=st.sampled_from([0.0, 0.005, 3.0]))
    def build(self, most: int, ready: int, close_s: float) -> None:
        self.loop = SimulatedLoop()
        self.server = Server(close_s=close_s)
        self.policy = PoolPolicy(
            max_connections=most,
            min_idle=min(ready, most),
            acquire_timeout_s=WAIT_S,
            connect_timeout_s=1.0,
            close_timeout_s=1.0,
            idle_max_s=20.0,
            lifetime_s=60.0,
            validate_after_s=5.0,
        )
        self.pool = Pool("any", self.server, self.policy, clock=self.loop, random=Random(1))
        self.callers: list[asyncio.Task[None]] = []
        self.held: dict[int, Lease] = {}
        self.done: list[Lease] = []
        self.asked_s: dict[int, float] = {}
        self.served_s: dict[int, float] = {}
        self.run(self._open())

    async def _open(self) -> None:
        self.pool.open()

    def run(self, work) -> None:
        self.loop.run_until_complete(work)

    async def _caller(self, number: int) -> None:
        self.asked_s[number] = self.loop.time()
        lease = await self.pool.acquire()
        self.served_s[number] = self.loop.time()
        assert lease.connection not in [each.connection for each in self.held.values()]
        self.held[number] = lease

    def waiting(self) -> list[int]:
        return [number for number, caller in enumerate(self.callers) if not caller.done()]

    @rule(turns=st.integers(1, 3))
    def ask(self, turns: int) -> None:
        async def begin() -> None:
            self.callers.append(asyncio.create_task(self._caller(len(self.callers))))
            await until_settled(turns)

        self.run(begin())

    def give_back(self, which: int, condition: Condition, *, reuse: bool) -> None:
        lease = self.held.pop(sorted(self.held)[which % len(self.held)])
        if lease.connection.condition is Condition.CLEAN:
            lease.connection.condition = condition
        self.pool.release(lease, reuse=reuse)
        self.done.append(lease)

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 9), condition=st.sampled_from(Condition), reuse=st.booleans(), turns=st.integers(0, 3))
    def release(self, which: int, condition: Condition, turns: int, *, reuse: bool) -> None:
        async def act() -> None:
            self.give_back(which, condition, reuse=reuse)
            await until_settled(turns)

        self.run(act())

    @precondition(lambda self: self.held and self.waiting())
    @rule(which=st.integers(0, 9), victim=st.integers(0, 9))
    def release_and_cancel(self, which: int, victim: int) -> None:
        """Cancel a caller in the very moment in which a connection may have been handed to it."""

        async def act() -> None:
            self.give_back(which, Condition.CLEAN, reuse=True)
            if waiting := self.waiting():  # the loop went on after the precondition was asked
                self.callers[waiting[victim % len(waiting)]].cancel()
            await until_settled(2)

        self.run(act())

    @precondition(lambda self: self.waiting())
    @rule(victim=st.integers(0, 9), turns=st.integers(0, 2))
    def cancel(self, victim: int, turns: int) -> None:
        async def act() -> None:
            if waiting := self.waiting():  # the loop went on after the precondition was asked
                self.callers[waiting[victim % len(waiting)]].cancel()
            await until_settled(turns)

        self.run(act())

    @precondition(lambda self: self.done)
    @rule(which=st.integers(0, 9))
    def release_again(self, which: int) -> None:
        """It is an error and changes nothing, whoever has the connection now (P7)."""
        before = self.pool.stats()
        try:
            self.pool.release(self.done[which % len(self.done)])
        except PoolMisuse:
            assert self.pool.stats() == before
        else:
            raise AssertionError("a second return went unnoticed")

    @rule(says_so=st.booleans())
    def restart(self, *, says_so: bool) -> None:
        self.server.hang_up() if says_so else self.server.restart()

    @rule()
    def go_down(self) -> None:
        self.server.is_up = False
        self.server.hang_up()

    @rule()
    def come_up(self) -> None:
        self.server.is_up = True

    @rule(seconds=st.sampled_from([0.001, 0.008, 0.3, 1.0, 6.0, 25.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @invariant()
    def never_more_than_promised(self) -> None:
        """The server never counted more than it was promised (P1)."""
        stats = self.pool.stats()
        held = stats.in_use + stats.idle + stats.opening + stats.checking + stats.closing
        assert held <= self.policy.max_connections
        assert self.server.counted <= held  # an attempt that has not knocked yet is promised already
        assert self.server.most <= self.policy.max_connections

    @invariant()
    def counts_tell_the_truth(self) -> None:
        stats = self.pool.stats()
        assert stats.opened == len(self.server.wires)
        assert stats.opened + stats.failed <= len(self.server.knocks) <= stats.opened + stats.failed + stats.opening
        assert stats.opened - sum(stats.closed.values()) == stats.in_use + stats.idle + stats.checking
        assert stats.in_use >= len(self.held)

    @invariant()
    def none_waits_in_vain(self) -> None:
        """For each that waits a connection is under way, unless every place is taken (P2)."""
        stats = self.pool.stats()
        under_way = stats.opening + stats.checking
        taken = stats.in_use + stats.closing + under_way
        assert stats.waiting <= under_way or taken == self.policy.max_connections

    @invariant()
    def in_the_order_of_asking(self) -> None:
        """No caller was served after one that asked later (P4), and none waits for longer than it may."""
        served = [self.served_s[number] for number in sorted(self.served_s)]
        assert served == sorted(served)
        assert all(
            self.loop.time() - self.asked_s[number] <= WAIT_S for number in self.waiting() if number in self.asked_s
        )

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        self.run(self._end())
        self.loop.close()

    async def _end(self) -> None:
        self.server.is_up = True
        for caller in self.callers:
            caller.cancel()
        for ended in await asyncio.gather(*self.callers, return_exceptions=True):
            assert ended is None or isinstance(ended, ENDS), ended
        for lease in self.held.values():
            self.pool.release(lease)
        await asyncio.sleep(1.0 + self.policy.connect_timeout_s + self.policy.close_timeout_s)
        await self._is_whole()
        await self._closes()

    async def _is_whole(self) -> None:
        """All capacity is there (P2), and so are those that are to be ready (P5)."""
        stats = self.pool.stats()
        assert stats.in_use == 0
        assert stats.idle >= self.policy.min_idle
        leases = [await self.pool.acquire() for _ in range(self.policy.max_connections)]
        for lease in leases:
            self.pool.release(lease)

    async def _closes(self) -> None:
        """Within its time, and nothing is left at the server (P6)."""
        began_s = self.loop.time()
        await self.pool.close(within_s=2.0)
        assert self.loop.time() - began_s <= 2.0
        assert self.server.counted == 0


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=settings().max_examples // 2, stateful_step_count=30)
