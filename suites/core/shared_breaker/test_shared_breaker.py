"""One circuit for several processes, through a real Redis; here each process is a breaker of its own in one test."""

from __future__ import annotations

import asyncio
from itertools import count
from random import Random

import pytest

from fixtures.reference.core.breaker import BreakerPolicy, CircuitOpen, DependencyFailed, Reason, State, Unavailable
from fixtures.reference.core.redis_link import Script
from fixtures.reference.core.shared_breaker import SharedBreaker, SharedBreakerPolicy
from fixtures.reference.core.shared_breaker._shared_breaker import Permit
from harness.clock import FakeClock
from suites.support.core.breakers import EXACT, SteppedLink

CLOSED, OPEN, HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN
PTTLS = Script("local all = {} for _, key in ipairs(KEYS) do all[#all + 1] = redis.call('PTTL', key) end return all")
FORGET = Script("return redis.call('DEL', unpack(KEYS))")
names = count()


class Replica:
    """One process: its breaker, and what it saw."""

    def __init__(self, circuit: Shared, number: int) -> None:
        self.path: list[tuple[State, State]] = []
        self.breaker = SharedBreaker(
            circuit.name,
            SharedBreakerPolicy(breaker=circuit.policy),
            link=circuit.link,
            clock=circuit.clock,
            random=Random(number),
            on_transition=lambda _, old, new: self.path.append((old, new)),
        )
        self.entered = 0
        self._begun: list[asyncio.Task] = []

    async def succeed(self, times: int = 1) -> None:
        for _ in range(times):
            await self.call(None)

    async def fail(self, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(OSError, match="gone"):
                await self.call(OSError("gone"))

    async def call(self, error: Exception | None, **more) -> str:
        async def operation() -> str:
            self.entered += 1
            if error:
                raise error
            return "answer"

        return await self.breaker.call(operation, failures=(OSError,), **more)

    async def is_refused(self) -> CircuitOpen | None:
        """Make a call that says nothing; return the refusal if it was refused."""
        try:
            await self.call(ValueError())
        except CircuitOpen as refusal:
            return refusal
        except ValueError:
            return None
        raise AssertionError("neither")

    async def begin(self) -> tuple[asyncio.Task, asyncio.Event]:
        """Make a call that stays inside until its event is set."""
        inside, end = asyncio.Event(), asyncio.Event()

        async def operation() -> str:
            inside.set()
            await end.wait()
            return "answer"

        task = asyncio.create_task(self.breaker.call(operation, failures=(OSError,)))
        self._begun.append(task)
        waiting = asyncio.create_task(inside.wait())
        await asyncio.wait([task, waiting], timeout=10, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            await task
        return task, end

    async def end(self) -> None:
        """Cancel what is still inside, and let that be told."""
        for task in self._begun:
            task.cancel()
        await asyncio.gather(*self._begun, return_exceptions=True)
        await self.breaker.settle()

    def cut_off(self, link: SteppedLink) -> None:
        """Let Redis be out of reach from now on, by a link to where nothing listens; or in reach again."""
        self.breaker._ledger._link = link


class Shared:
    """A circuit that replicas share; Redis goes by `redis_clock`, they by `clock`."""

    def __init__(self, make, policy: BreakerPolicy, dead_port: int) -> None:
        self.name, self.policy = f"shared-{next(names)}", policy
        self.clock = FakeClock(5000.0)
        self.link = make(kind=SteppedLink)
        self.dead_link = make(kind=SteppedLink, port=dead_port)
        self.link.clock = self.dead_link.clock = self.redis_clock = FakeClock(1_700_000_000.0)
        self.made: list[Replica] = []

    def replicas(self, times: int = 2) -> list[Replica]:
        made = [Replica(self, number) for number in range(times)]
        self.made += made
        return made

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.redis_clock.advance(seconds)

    def asked(self) -> int:
        """How often Redis was asked, count."""
        return self.link.breaker.admitted

    @property
    def keys(self) -> list[str]:
        return [f"cb1:{{{self.name}}}{part}" for part in ("", ":failures", ":probes", ":successes")]


@pytest.fixture
async def shared(linked, dead_port):
    """Make shared circuits."""
    made = []

    def make(policy: BreakerPolicy = EXACT) -> Shared:
        made.append(Shared(linked, policy, dead_port))
        return made[-1]

    yield make
    for circuit in made:
        for replica in circuit.made:
            await replica.end()


async def test_healthy_calls_ask_redis_once_a_second(shared):
    """A closed circuit and a call that succeeds cost no round trip; one look a second says how it stands."""
    circuit = shared()
    (replica,) = circuit.replicas(1)

    await replica.succeed(500)
    assert circuit.asked() == 1
    circuit.advance(0.999)
    await replica.succeed(500)
    assert circuit.asked() == 1
    circuit.advance(0.001)
    await replica.succeed(500)

    assert circuit.asked() == 2


async def test_a_refusal_while_it_rests_asks_redis_once_a_second_too(shared):
    """An outage must not become a load on Redis (B2)."""
    circuit = shared()
    (replica,) = circuit.replicas(1)
    await replica.fail(5)
    asked = circuit.asked()

    for _ in range(10):
        for _ in range(50):
            assert await replica.is_refused()
        circuit.advance(0.5)

    assert circuit.asked() - asked in (4, 5)


async def test_failures_of_all_replicas_add_up(shared):
    """Three here and two there are five, though all are of one microsecond (B5)."""
    one, other = shared().replicas()

    await one.fail(3)
    await other.fail(1)
    assert (one.breaker.state, other.breaker.state) == (CLOSED, CLOSED)
    await other.fail(1)

    assert other.breaker.state is OPEN
    assert other.breaker.standing().recent_failures == 5


async def test_a_trip_is_seen_by_all_within_a_second(shared):
    """What one replica has learned the others go by when they next look; until then a few calls may get through (B2)."""
    circuit = shared()
    one, other = circuit.replicas()
    await other.succeed()
    await one.fail(5)

    circuit.advance(0.999)
    assert await other.is_refused() is None
    circuit.advance(0.001)
    refusal = await other.is_refused()

    assert refusal.reason is Reason.OPEN
    assert refusal.retry_after_s == pytest.approx(59)
    assert one.path == other.path == [(CLOSED, OPEN)]


async def test_a_replica_that_was_idle_asks_nothing_of_a_dependency_that_rests(shared):
    """Its first call after a pause looks before it goes on."""
    circuit = shared()
    one, idle = circuit.replicas()
    await idle.succeed()
    circuit.advance(1)
    await one.fail(5)

    assert await idle.is_refused()

    assert idle.entered == 1


async def test_three_probes_get_in_over_all_replicas(shared):
    """Five replicas with ten callers each ask at once (B1)."""
    circuit = shared()
    replicas = circuit.replicas(5)
    await replicas[0].fail(5)
    circuit.advance(60)

    begun = await asyncio.gather(*(each.begin() for each in replicas for _ in range(10)), return_exceptions=True)
    inside = [each for each in begun if not isinstance(each, BaseException)]

    assert len(inside) == 3
    assert {type(each) for each in begun if isinstance(each, BaseException)} == {CircuitOpen}
    for _, end in inside:
        end.set()
    await asyncio.gather(*(task for task, _ in inside))
    circuit.advance(1)
    for each in replicas:
        await each.succeed()
    assert {each.breaker.state for each in replicas} == {CLOSED}


async def test_probes_of_different_replicas_close_it_together(shared):
    """Each of three has one good probe; the third closes it for all."""
    circuit = shared()
    replicas = circuit.replicas(3)
    await replicas[0].fail(5)
    circuit.advance(60)

    for each in replicas[:2]:
        await each.succeed()
        assert each.breaker.state is HALF_OPEN
    await replicas[2].succeed()

    assert replicas[2].breaker.state is CLOSED
    assert replicas[2].path == [(CLOSED, HALF_OPEN), (HALF_OPEN, CLOSED)]  # it was not there when it opened


async def test_a_probe_of_a_replica_that_died_is_a_hung_one(shared):
    """Its permit is held by no living process, and after thirty seconds opens the circuit instead of blocking it."""
    circuit = shared(BreakerPolicy(probes=1, jitter_ratio=0.0))
    dead, other = circuit.replicas()
    await dead.fail(5)
    circuit.advance(60)
    task, _ = await dead.begin()

    circuit.advance(30)
    assert (await other.is_refused()).reason is Reason.PROBING
    circuit.advance(0.1)
    assert (await other.is_refused()).reason is Reason.OPEN

    circuit.advance(120)
    await other.succeed()
    assert other.breaker.state is CLOSED
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await dead.breaker.settle()
    assert dead.breaker.standing().stale == 1


async def test_a_caller_cancelled_while_it_asks_leaves_no_permit_behind(shared):
    """Redis may have granted what nobody waits for any longer (B4)."""
    circuit = shared()
    (replica,) = circuit.replicas(1)
    await replica.fail(5)
    circuit.advance(60)
    assert await replica.is_refused() is None  # half open from here on, and looked at
    run = circuit.link.run

    for _ in range(3):
        granted = asyncio.Event()

        async def held_up(*arguments, granted=granted):
            await run(*arguments)
            granted.set()
            await asyncio.Event().wait()

        circuit.link.run = held_up
        task = asyncio.create_task(replica.call(None))
        await granted.wait()
        circuit.link.run = run
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await replica.breaker.settle()

    await replica.succeed(3)
    assert replica.breaker.state is CLOSED


async def test_what_a_caller_saw_is_told_though_it_is_cancelled_while_telling(shared):
    """The fifth failure opens the circuit, whether or not its caller waited for that."""
    circuit = shared()
    one, other = circuit.replicas()
    await one.fail(4)

    async def operation() -> None:
        task.cancel()  # arrives while the failure is being told
        raise OSError

    task = asyncio.create_task(one.breaker.call(operation, failures=(OSError,)))
    with pytest.raises(asyncio.CancelledError):
        await task
    await one.breaker.settle()

    assert one.breaker.state is OPEN
    assert await other.is_refused()


async def test_a_share_of_failures_is_one_of_all_calls_of_all_replicas(shared):
    """Ninety successes of one replica, told when it looks, keep nine failures of another below one in ten."""
    circuit = shared(BreakerPolicy(min_failure_rate=0.1, jitter_ratio=0.0))
    one, other = circuit.replicas()
    await one.succeed(90)
    circuit.advance(1)
    await one.is_refused()  # looks, and tells

    await other.fail(9)
    assert other.breaker.state is CLOSED
    assert other.breaker.standing().recent_calls == 99
    await other.fail(1)

    assert other.breaker.state is OPEN


async def test_successes_are_told_with_a_failure_and_age_like_it(shared):
    """Those of this process count at once; a window later none of them does."""
    circuit = shared(BreakerPolicy(min_failure_rate=0.5, window_s=10, jitter_ratio=0.0))
    (replica,) = circuit.replicas(1)
    await replica.succeed(20)
    await replica.fail(5)
    assert replica.breaker.standing().recent_calls == 25
    assert replica.breaker.state is CLOSED

    circuit.advance(11.1)
    await replica.fail(5)

    assert replica.breaker.standing().recent_calls == 5
    assert replica.breaker.state is OPEN


async def test_steady_successes_of_a_shared_circuit_age(shared):
    """Ten windows of one call each half second are never counted as more than one window of them."""
    circuit = shared(BreakerPolicy(window_s=10))
    (replica,) = circuit.replicas(1)

    for _ in range(200):
        await replica.succeed()
        circuit.advance(0.5)
        assert replica.breaker.standing().recent_calls <= 23

    assert replica.breaker.standing().recent_calls >= 17


async def test_nothing_is_kept_in_redis_for_ever(shared):
    """A service that is gone leaves nothing behind (each key has a time to live, whatever happened last)."""
    circuit = shared()
    (replica,) = circuit.replicas(1)

    for step in ("successes", "failures", "open", "probe", "closed", "forced"):
        match step:
            case "successes":
                await replica.succeed(3)
                circuit.advance(1)
                await replica.succeed()
            case "failures":
                await replica.fail(4)
            case "open":
                await replica.fail(1)
            case "probe":
                circuit.advance(60)
                await replica.begin()
            case "closed":
                await replica.succeed(2)
            case "forced":
                await replica.breaker.force_open()
        left_ms = await circuit.link.run(_timed(PTTLS), circuit.keys, [])
        assert -1 not in left_ms, step
        assert 86_340_000 <= max(left_ms) <= 86_400_000, step  # a day, and a minute for a busy machine


def _timed(script: Script) -> Script:
    """A stepped link wants every script to ask for the time."""
    return Script("local _ = redis.call('TIME') " + script.text)


async def test_what_redis_forgot_is_a_closed_circuit_and_old_reports_stay_old(shared):
    """Redis was restarted without what it held; a call of the generation before says nothing of the new one (B3)."""
    circuit = shared()
    one, other = circuit.replicas()
    late, end = await one.begin()
    await one.fail(5)
    circuit.advance(60)
    probe, probe_end = await one.begin()

    await circuit.link.run(_timed(FORGET), circuit.keys, [])
    circuit.advance(1)
    await one.succeed()
    assert (one.breaker.state, one.path[-1]) == (CLOSED, (HALF_OPEN, CLOSED))

    probe_end.set()
    await probe
    assert one.breaker.standing().stale == 1
    await other.fail(5)
    assert other.breaker.state is OPEN
    end.set()
    await late
    assert one.breaker.state is not HALF_OPEN


async def test_without_redis_each_replica_goes_on_alone(shared):
    """It keeps what it knew: the rest that is left, the next rest's length; then it probes and closes by itself."""
    circuit = shared()
    (replica,) = circuit.replicas(1)
    await replica.fail(5)
    circuit.advance(60)
    await replica.fail(1)
    circuit.advance(20)

    replica.cut_off(circuit.dead_link)
    assert (await replica.is_refused()).retry_after_s == pytest.approx(100)
    await replica.breaker.settle()
    assert replica.breaker.is_alone
    circuit.advance(100)
    await replica.fail(1)
    assert replica.breaker.retry_after_s() == pytest.approx(240)
    circuit.advance(240)
    await replica.succeed(3)

    assert replica.breaker.state is CLOSED
    assert replica.path == [
        (CLOSED, OPEN),
        (OPEN, HALF_OPEN),
        (HALF_OPEN, OPEN),
        (OPEN, HALF_OPEN),
        (HALF_OPEN, OPEN),
        (OPEN, HALF_OPEN),
        (HALF_OPEN, CLOSED),
    ]


async def test_without_redis_five_failures_open_the_local_breaker(shared):
    """From the first call on, and every outcome counts once, whoever counted it (B5, B10)."""
    circuit = shared()
    (replica,) = circuit.replicas(1)
    replica.cut_off(circuit.dead_link)

    await replica.succeed(2)
    await replica.fail(5)
    assert await replica.is_refused()

    standing = replica.breaker.standing()
    assert (standing.state, standing.trips) == ("open", 1)
    assert (standing.admitted, standing.rejected) == (7, 1)
    assert (standing.successes, standing.failures, standing.stale) == (2, 5, 0)


@pytest.mark.parametrize(("under_way", "stale"), [(5, 0), (7, 2)])
async def test_calls_that_redis_let_in_and_that_fail_while_it_is_away_count_here(shared, under_way, stale):
    """The fifth failure opens the local breaker, those after it are too late, and no call is counted twice (B10)."""
    circuit = shared()
    (replica,) = circuit.replicas(1)
    ends, insides = asyncio.Event(), [asyncio.Event() for _ in range(under_way)]

    def failing_at_the_end(inside: asyncio.Event):
        async def operation() -> None:
            inside.set()
            await ends.wait()
            raise OSError

        return operation

    await replica.succeed()
    calls = [
        asyncio.create_task(replica.breaker.call(failing_at_the_end(each), failures=(OSError,))) for each in insides
    ]
    await asyncio.gather(*(inside.wait() for inside in insides))
    replica.cut_off(circuit.dead_link)
    ends.set()
    await asyncio.gather(*calls, return_exceptions=True)

    standing = replica.breaker.standing()
    assert (standing.state, standing.failures, standing.stale) == ("open", 5, stale)
    assert (standing.admitted, standing.rejected) == (1 + under_way, 0)


async def test_a_probe_that_ends_while_redis_is_away_counts_here(shared):
    """One good probe of three was counted by Redis, which the local breaker cannot know: it wants three of its own."""
    circuit = shared()
    (replica,) = circuit.replicas(1)
    await replica.fail(5)
    circuit.advance(60)
    task, end = await replica.begin()

    replica.cut_off(circuit.dead_link)
    end.set()
    assert await task == "answer"
    assert (replica.breaker.is_alone, replica.breaker.state) == (True, HALF_OPEN)
    await replica.succeed(2)

    assert replica.breaker.state is CLOSED
    standing = replica.breaker.standing()
    assert (standing.admitted, standing.successes, standing.failures) == (8, 3, 5)


async def test_redis_that_is_away_is_asked_once_a_second(shared):
    """By one call; what that costs is bounded by the link, and the link has a breaker of its own."""
    circuit = shared()
    (replica,) = circuit.replicas(1)
    replica.cut_off(circuit.dead_link)

    for _ in range(4):
        await asyncio.gather(*(replica.call(None) for _ in range(50)))
        await replica.breaker.settle()
        circuit.advance(1)

    assert circuit.dead_link.breaker.admitted == 4


async def test_redis_that_is_back_is_believed_again(shared):
    """What the others agreed on meanwhile is what holds, and it is told as one transition."""
    circuit = shared()
    one, other = circuit.replicas()
    one.cut_off(circuit.dead_link)
    await one.fail(5)
    assert one.breaker.state is OPEN

    one.cut_off(circuit.link)
    circuit.advance(1)
    assert await one.is_refused()  # by what it knows; no call waits for a Redis that was away
    await one.breaker.settle()
    await one.succeed()
    assert (one.breaker.is_alone, one.breaker.state) == (False, CLOSED)
    await other.fail(5)
    circuit.advance(1)
    assert await one.is_refused()

    assert one.path == [(CLOSED, OPEN), (OPEN, CLOSED), (CLOSED, OPEN)]


async def test_what_is_held_by_hand_is_held_for_all_and_without_redis_too(shared):
    """Open, closed, and let go again; a replica that loses Redis keeps to what it was told."""
    circuit = shared()
    one, other = circuit.replicas()
    await other.succeed()

    await one.breaker.force_open()
    circuit.advance(1e6)
    refusal = await other.is_refused()
    assert (refusal.reason, refusal.retry_after_s) == (Reason.FORCED, 60)
    other.cut_off(circuit.dead_link)
    circuit.advance(1e6)
    assert (await other.is_refused()).reason is Reason.FORCED
    other.cut_off(circuit.link)

    await one.breaker.force_close()
    circuit.advance(1)
    assert await other.is_refused()
    await other.breaker.settle()
    await other.fail(20)
    assert (other.breaker.state, other.breaker.standing().is_forced) == (CLOSED, True)

    await one.breaker.reset()
    circuit.advance(1)
    await other.fail(4)
    assert (other.breaker.state, other.breaker.standing().is_forced) == (CLOSED, False)
    await other.fail(1)
    assert other.breaker.state is OPEN


async def test_a_hand_that_does_not_reach_redis_is_told(shared):
    """A circuit that only this process holds open would be believed to be held by all."""
    circuit = shared()
    (replica,) = circuit.replicas(1)
    replica.cut_off(circuit.dead_link)

    with pytest.raises(DependencyFailed):
        await replica.breaker.force_open()

    await replica.succeed()


@pytest.mark.parametrize("state", [OPEN, HALF_OPEN, CLOSED])
async def test_the_clock_of_redis_may_step_back(shared, state):
    """By an hour: no rest lasts longer than it was meant to, no failure counts for an hour, no probe hangs for one (T2)."""
    circuit = shared()
    (replica,) = circuit.replicas(1)
    await replica.fail(4 if state is CLOSED else 5)
    if state is HALF_OPEN:
        circuit.advance(60)
        await replica.begin()

    circuit.redis_clock.now_s -= 3600

    if state is CLOSED:
        circuit.advance(1)
        await replica.fail(1)
        assert replica.breaker.state is CLOSED
        assert replica.breaker.standing().recent_failures == 1
    elif state is OPEN:
        circuit.advance(1)
        assert (await replica.is_refused()).retry_after_s == pytest.approx(60)
        circuit.advance(60)
        await replica.succeed(3)
        assert replica.breaker.state is CLOSED
    else:
        circuit.advance(1)
        await replica.succeed()  # the permit of the other is as old as this now
        circuit.advance(30.1)
        assert (await replica.is_refused()).reason is Reason.OPEN


async def test_an_answer_that_was_overtaken_changes_nothing(shared):
    """A look that found it closed, told only after a failure has opened it, must not close it again (B2)."""
    circuit = shared()
    (replica,) = circuit.replicas(1)
    await replica.fail(4)
    found, told = asyncio.Event(), asyncio.Event()
    run = circuit.link.run

    async def held_up(*arguments):
        reply = await run(*arguments)
        found.set()
        await told.wait()
        return reply

    circuit.link.run = held_up
    circuit.advance(1)
    look = asyncio.create_task(replica.call(None))
    await found.wait()
    circuit.link.run = run
    await replica.breaker._tell_of_failure(Permit(0, 0.0))  # as a call tells that was under way
    told.set()
    await asyncio.wait([look])

    assert replica.breaker.state is OPEN


async def test_a_slow_answer_counts_for_all(shared):
    """Five of them, two here and three there; their callers have them all the same."""
    circuit = shared(BreakerPolicy(slow_call_s=1, jitter_ratio=0.0))
    one, other = circuit.replicas()

    async def slowly() -> str:
        circuit.advance(1.1)
        return "answer"

    for replica in (one, one, other, other, other):
        assert await replica.breaker.call(slowly, failures=(OSError,)) == "answer"

    assert other.breaker.state is OPEN
    assert (one.breaker.standing().slow, other.breaker.standing().slow) == (2, 3)
    assert (one.breaker.standing().failures, one.breaker.standing().successes) == (2, 0)


async def test_rests_are_varied_by_the_replica_that_trips_it(shared):
    """By a tenth at most, and the rest is one for all of them."""
    rests = set()
    for seed in range(20):
        circuit = shared(BreakerPolicy(failures=1))
        _, replica = circuit.replicas()
        replica.breaker._ledger._random.seed(seed)
        await replica.fail(1)
        rests.add(replica.breaker.retry_after_s())

    assert len(rests) > 15
    assert 54 <= min(rests) < 58
    assert 62 < max(rests) <= 66


async def test_a_fallback_serves_what_is_refused_and_what_fails(shared):
    """As it does for a breaker of one process."""
    (replica,) = shared().replicas(1)

    async def old(_: Exception) -> str:
        return "old"

    answers = [await replica.call(OSError("gone"), fallback=old) for _ in range(7)]

    assert answers == ["old"] * 7
    standing = replica.breaker.standing()
    assert (standing.failures, standing.rejected, standing.fallbacks) == (5, 2, 7)
    with pytest.raises(ValueError, match="mine"):
        await shared().replicas(1)[0].call(ValueError("mine"), fallback=old)


async def test_a_listener_that_raises_replaces_no_result(shared):
    """The others are told, it is counted, and the call has its own error."""
    (replica,) = shared().replicas(1)
    seen = []
    replica.breaker.subscribe(lambda *_: 1 / 0)
    replica.breaker.subscribe(lambda *told: seen.append(told))

    await replica.fail(5)

    assert seen == [(replica.breaker.name, CLOSED, OPEN)]
    assert replica.breaker.standing().listener_failures == 1


async def test_standing_is_that_of_all_and_the_calls_of_this_one(shared):
    """Where it stands, and since when this process knows; what this process counted."""
    circuit = shared()
    one, other = circuit.replicas()
    await one.succeed(3)
    await one.fail(5)
    circuit.advance(10)
    assert await other.is_refused()
    circuit.advance(5)

    shown = other.breaker.standing()

    assert (shown.name, shown.state, shown.is_forced) == (circuit.name, "open", False)
    assert (shown.trips, shown.openings) == (1, 1)
    assert (shown.in_state_s, shown.retry_after_s) == (5, pytest.approx(45))
    assert (shown.admitted, shown.rejected, shown.successes, shown.failures) == (0, 1, 0, 0)
    assert (shown.recent_failures, shown.recent_calls) == (5, 8)
    assert one.breaker.standing().successes == 3


async def test_circuits_of_two_names_have_nothing_in_common(shared):
    """One rests, the other does not."""
    one, other = shared(), shared()
    (tripped,), (well,) = one.replicas(1), other.replicas(1)

    await tripped.fail(5)
    other.advance(1)

    await well.succeed()


async def test_unavailable_never_reaches_a_caller(shared):
    """Redis is refused from the first call on, and each caller has its own answer or error."""
    circuit = shared()
    (replica,) = circuit.replicas(1)
    replica.cut_off(circuit.dead_link)

    answers = await asyncio.gather(
        *(replica.call(error) for error in [None, OSError("gone"), ValueError("mine")] * 1), return_exceptions=True
    )

    assert [type(each) for each in answers] == [str, OSError, ValueError]
    assert not any(isinstance(each, Unavailable) for each in answers)
