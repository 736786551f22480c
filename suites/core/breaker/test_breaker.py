"""The circuit breaker against its table of states; invariants B1 to B10 are named in the tests that hold them."""

from __future__ import annotations

import asyncio
import threading
import time
from random import Random

import pytest

from fixtures.reference.core.breaker import Breaker, BreakerPolicy, CircuitOpen, Permit, Reason, State, _trace
from harness.clock import FakeClock
from suites.support.dice import dice_of

EXACT = BreakerPolicy(failures=5, window_s=60, recovery_s=60, recovery_max_s=600, jitter_ratio=0.0)


class Circuit:
    """A breaker on a fake clock, and what it told of its transitions."""

    def __init__(self, policy: BreakerPolicy = EXACT) -> None:
        self.clock = FakeClock(1000.0)
        self.path: list[tuple[State, State]] = []
        self.breaker = Breaker(
            "redis",
            policy,
            clock=self.clock,
            random=Random(1),
            on_transition=lambda _, old, new: self.path.append((old, new)),
        )

    def fail(self, times: int = 1, *, every_s: float = 0.0) -> None:
        for _ in range(times):
            self.breaker.failed(self.breaker.admit())
            self.clock.advance(every_s)

    def succeed(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.succeeded(self.breaker.admit())

    def open(self) -> None:
        self.fail(self.breaker.policy.failures)
        assert self.breaker.state is State.OPEN

    def half_open(self) -> Permit:
        """Open it, wait, and return the permit of the first probe."""
        self.open()
        self.clock.advance(self.breaker.retry_after_s())
        return self.breaker.admit()


def test_breaker_opens_at_the_fifth_failure_and_not_before():
    """Four failures leave it closed, the fifth opens it (B5)."""
    circuit = Circuit()

    circuit.fail(4)
    assert circuit.breaker.state is State.CLOSED

    circuit.fail(1)
    assert circuit.breaker.state is State.OPEN


@pytest.mark.parametrize(
    ("age_s", "state"),
    [pytest.param(60.0, State.CLOSED, id="as old as the window"), pytest.param(59.999, State.OPEN, id="just younger")],
)
def test_breaker_counts_only_failures_inside_the_window(age_s, state):
    """The window is (now - 60 s, now]: a failure exactly as old as the window no longer counts (B5)."""
    circuit = Circuit()
    circuit.fail(1)

    circuit.clock.advance(age_s)
    circuit.fail(4)

    assert circuit.breaker.state is state


def test_breaker_is_not_calmed_by_successes_between_failures():
    """Fail, succeed, fail, succeed … opens it all the same (B5)."""
    circuit = Circuit()

    for _ in range(4):
        circuit.fail(1)
        circuit.succeed(3)
    circuit.fail(1)

    assert circuit.breaker.state is State.OPEN


def test_breaker_stays_closed_on_healthy_traffic_with_a_minimal_rate():
    """Nine failures in a hundred calls are no outage if a tenth of them must fail; one more is."""
    circuit = Circuit(BreakerPolicy(min_failure_rate=0.1))
    circuit.succeed(90)

    circuit.fail(9)
    assert circuit.breaker.state is State.CLOSED

    circuit.fail(1)
    assert circuit.breaker.state is State.OPEN


def test_breaker_forgets_successes_that_have_left_the_window():
    """A busy morning does not hide an outage in the evening."""
    circuit = Circuit(BreakerPolicy(min_failure_rate=0.5, window_s=10))
    circuit.succeed(1000)

    circuit.clock.advance(11.1)
    circuit.fail(5)

    assert circuit.breaker.state is State.OPEN


def test_breaker_needs_enough_calls_to_judge():
    """With fewer calls than `min_calls` nothing is proven."""
    circuit = Circuit(BreakerPolicy(min_calls=10))

    circuit.fail(9)
    assert circuit.breaker.state is State.CLOSED

    circuit.fail(1)
    assert circuit.breaker.state is State.OPEN


def test_breaker_refuses_while_open_and_says_for_how_long():
    """While it rests nothing is called, and the refusal carries the exact time that is left (B2)."""
    circuit = Circuit()
    circuit.open()

    circuit.clock.advance(20)
    with pytest.raises(CircuitOpen) as refusal:
        circuit.breaker.admit()

    assert refusal.value.reason is Reason.OPEN
    assert refusal.value.retry_after_s == 40
    assert circuit.breaker.rejected == 1


def test_breaker_admits_three_of_fifty_threads_when_half_open():
    """Fifty threads ask in the moment the rest ends; three are let through (B1)."""
    circuit = Circuit()
    circuit.open()
    circuit.clock.advance(60)
    gate, admitted, refused = threading.Barrier(50), [], []

    def ask() -> None:
        gate.wait(10)
        try:
            admitted.append(circuit.breaker.admit())
        except CircuitOpen as refusal:
            refused.append(refusal.reason)

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(admitted) == 3
    assert refused == [Reason.PROBING] * 47


async def test_breaker_admits_three_of_fifty_tasks_when_half_open():
    """Fifty tasks whose calls all hang: the backend sees three of them (B1, B10)."""
    circuit = Circuit()
    circuit.open()
    circuit.clock.advance(60)
    answer, called = asyncio.Event(), []

    async def operation() -> None:
        called.append(1)
        await answer.wait()

    calls = [asyncio.create_task(circuit.breaker.call(operation, failures=(OSError,))) for _ in range(50)]
    refused, hanging = await asyncio.wait(calls, return_when=asyncio.ALL_COMPLETED, timeout=0.05)
    answer.set()
    await asyncio.gather(*hanging)

    assert (len(called), len(hanging), len(refused)) == (3, 3, 47)
    assert all(isinstance(task.exception(), CircuitOpen) for task in refused)
    assert circuit.breaker.state is State.CLOSED


def test_breaker_closes_when_all_probes_succeed():
    """Two good probes are not enough, the third closes it; each transition is told once (B7)."""
    circuit = Circuit()
    circuit.breaker.succeeded(circuit.half_open())
    circuit.succeed(1)
    assert circuit.breaker.state is State.HALF_OPEN

    circuit.succeed(1)

    assert circuit.breaker.state is State.CLOSED
    assert circuit.path == [
        (State.CLOSED, State.OPEN),
        (State.OPEN, State.HALF_OPEN),
        (State.HALF_OPEN, State.CLOSED),
    ]


def test_breaker_starts_anew_after_closing():
    """Failures from before the outage do not count once it is closed again, however young they are."""
    circuit = Circuit(BreakerPolicy(recovery_s=1, jitter_ratio=0.0))
    circuit.breaker.succeeded(circuit.half_open())
    circuit.succeed(2)

    circuit.fail(4)

    assert circuit.breaker.state is State.CLOSED


def test_breaker_remembers_successes_for_the_whole_window():
    """Ten successes of the last ten seconds, whatever was before, keep five failures below one in two."""
    circuit = Circuit(BreakerPolicy(min_failure_rate=0.5, window_s=10))

    for _ in range(25):
        circuit.succeed(1)
        circuit.clock.advance(1)
    circuit.fail(5)

    assert circuit.breaker.state is State.CLOSED


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "released"])
def test_breaker_ignores_what_an_older_period_reports(outcome):
    """A call that began before the outage and ends while probes run changes neither state nor permits (B3)."""
    circuit = Circuit()
    late = circuit.breaker.admit()
    probe = circuit.half_open()

    getattr(circuit.breaker, outcome)(late)
    getattr(circuit.breaker, outcome)(late)

    assert circuit.breaker.state is State.HALF_OPEN
    assert circuit.breaker.stale == 2
    circuit.breaker.succeeded(probe)
    circuit.breaker.admit()
    circuit.breaker.admit()
    with pytest.raises(CircuitOpen):
        circuit.breaker.admit()


def test_breaker_ignores_a_second_report_of_one_probe():
    """A probe reported twice counts once."""
    circuit = Circuit()
    probe = circuit.half_open()

    for _ in range(3):
        circuit.breaker.succeeded(probe)

    assert circuit.breaker.state is State.HALF_OPEN


async def test_breaker_takes_cancelling_for_neither_success_nor_failure():
    """After four failures and any number of cancelled calls the fifth failure still opens it, and no cancel does."""
    circuit = Circuit()
    circuit.fail(4)

    for _ in range(10):
        await _cancelled_call(circuit.breaker)
    assert circuit.breaker.state is State.CLOSED

    circuit.fail(1)
    assert circuit.breaker.state is State.OPEN


async def test_breaker_is_never_stuck_by_cancelled_probes():
    """However many probes are cancelled, a good call gets in afterwards (B4)."""
    circuit = Circuit()
    circuit.breaker.released(circuit.half_open())

    for _ in range(20):
        await _cancelled_call(circuit.breaker)

    assert circuit.breaker.state is State.HALF_OPEN
    circuit.succeed(3)
    assert circuit.breaker.state is State.CLOSED


def test_breaker_doubles_its_rest_up_to_the_longest_and_starts_over_once_closed():
    """Failed probes wait 60, 120, 240, 480, 600, 600 s; after it was closed the first rest is 60 s again (B6)."""
    circuit = Circuit()
    circuit.open()

    rests = [circuit.breaker.retry_after_s()]
    for _ in range(5):
        circuit.clock.advance(rests[-1])
        circuit.fail(1)
        rests.append(circuit.breaker.retry_after_s())
    circuit.clock.advance(rests[-1])
    circuit.succeed(3)
    circuit.open()

    assert rests == [60, 120, 240, 480, 600, 600]
    assert circuit.breaker.retry_after_s() == 60


def test_breaker_survives_a_very_long_outage():
    """Two thousand trips in a row do not overflow the doubling."""
    circuit = Circuit()
    circuit.open()

    for _ in range(2000):
        circuit.clock.advance(circuit.breaker.retry_after_s())
        circuit.fail(1)

    assert circuit.breaker.retry_after_s() == 600


def test_breaker_varies_its_rest_by_the_jitter_only():
    """With 10 % jitter rests differ and stay within 54 to 66 s."""
    rests = set()
    for seed in range(50):
        breaker = Breaker("redis", BreakerPolicy(failures=1), clock=FakeClock(), random=Random(seed))
        breaker.failed(breaker.admit())
        rests.add(breaker.retry_after_s())

    assert len(rests) > 40
    assert 54 <= min(rests) < 57
    assert 63 < max(rests) <= 66


def test_breaker_gives_up_on_a_hung_probe():
    """Probes that never report hold all permits for 30 s and no longer: then it opens, and tries again later."""
    circuit = Circuit()
    hung = [circuit.half_open(), circuit.breaker.admit(), circuit.breaker.admit()]

    circuit.clock.advance(30.001)
    with pytest.raises(CircuitOpen) as refusal:
        circuit.breaker.admit()

    assert refusal.value.reason is Reason.OPEN
    assert refusal.value.retry_after_s == 120
    circuit.breaker.succeeded(hung[0])
    assert circuit.breaker.state is State.OPEN


def test_breaker_holds_no_lock_while_calls_run():
    """Eight threads can all be inside their call at the same time (B8)."""
    circuit = Circuit()
    everybody, met = threading.Barrier(8), []

    async def meet() -> None:
        met.append(everybody.wait(10))  # broken, and raises, unless all eight are inside

    def call() -> None:
        asyncio.run(circuit.breaker.call(meet, failures=(OSError,)))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert sorted(met) == list(range(8))


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
def test_breaker_does_not_look_at_the_wall_clock(monkeypatch, step_s):
    """Stepping the wall clock by an hour either way neither ends a rest nor prolongs it (T1, B9)."""
    circuit = Circuit()
    circuit.open()
    wall = time.time

    monkeypatch.setattr(time, "time", lambda: wall() + step_s)

    assert circuit.breaker.retry_after_s() == 60
    circuit.clock.advance(60)
    circuit.succeed(3)
    assert circuit.breaker.state is State.CLOSED


async def test_breaker_judges_by_the_kind_of_error():
    """Only the named errors speak against the dependency; others pass through without a mark."""
    circuit = Circuit()

    for error in [ValueError] * 9 + [OSError] * 4 + [ValueError] * 9:
        with pytest.raises(error):
            await circuit.breaker.call(_raising(error), failures=(OSError,))
    assert circuit.breaker.state is State.CLOSED

    with pytest.raises(OSError, match="by name"):
        await circuit.breaker.call(_raising(OSError), failures=(OSError,))
    assert circuit.breaker.state is State.OPEN


async def test_breaker_accounts_for_every_call():
    """Admitted and rejected make up all calls, and the backend sees the admitted ones only (B10)."""
    circuit = Circuit()
    seen = []

    async def backend() -> None:
        seen.append(1)
        raise OSError

    for _ in range(40):
        with pytest.raises((OSError, CircuitOpen)):
            await circuit.breaker.call(backend, failures=(OSError,))
        circuit.clock.advance(7)

    assert circuit.breaker.admitted + circuit.breaker.rejected == 40
    assert len(seen) == circuit.breaker.admitted
    assert 5 < len(seen) < 15


def test_breaker_can_be_closed_by_hand():
    """`reset` closes it at once, and reports of before are stale."""
    circuit = Circuit()
    probe = circuit.half_open()

    circuit.breaker.reset()
    circuit.breaker.failed(probe)

    assert circuit.breaker.state is State.CLOSED
    assert circuit.breaker.recent() == (0, 0)


@pytest.mark.parametrize("per_s", [1, 10, 1000])
def test_breaker_lets_steady_successes_age(per_s):
    """However long traffic goes on without a pause, the window holds what it is long, and a tenth of it more at most."""
    circuit = Circuit(BreakerPolicy(window_s=10))
    seen = []

    for tick in range(40 * per_s):
        circuit.succeed(1)
        circuit.clock.advance(1 / per_s)
        if tick % per_s == 0 and tick > 20 * per_s:
            seen.append(circuit.breaker.recent()[1])

    assert 10 * per_s - 1 <= min(seen)
    assert max(seen) <= 11 * per_s + 1


def test_breaker_opens_after_a_long_healthy_time_as_fast_as_after_a_short_one():
    """An hour without a failure does not count against an outage: it would be noticed an hour late."""
    circuit = Circuit(BreakerPolicy(min_failure_rate=0.5, window_s=10))
    for _ in range(3600):
        circuit.succeed(1)
        circuit.clock.advance(1)

    circuit.fail(9)
    assert circuit.breaker.state is State.CLOSED

    circuit.fail(1)
    assert circuit.breaker.state is State.OPEN


async def test_breaker_takes_no_refusal_from_within_for_a_failure():
    """What a breaker further inside refuses says nothing of this dependency, even where any error would count."""
    inner, outer = Circuit(), Circuit()
    inner.open()

    async def through_both() -> None:
        await inner.breaker.call(_raising(OSError), failures=(OSError,))

    for _ in range(20):
        with pytest.raises(CircuitOpen):
            await outer.breaker.call(through_both, failures=(Exception,))

    assert outer.breaker.state is State.CLOSED
    assert (outer.breaker.neutral, outer.breaker.recent()) == (20, (0, 0))


async def test_a_probe_refused_from_within_gives_its_permit_back():
    """Else three refusals of an inner breaker would keep the outer one half open for ever (B4)."""
    circuit = Circuit()
    circuit.breaker.released(circuit.half_open())

    def refused() -> None:
        raise CircuitOpen("inner", Reason.OPEN, retry_after_s=1)

    for _ in range(10):
        with pytest.raises(CircuitOpen, match="inner"):
            circuit.breaker.call_sync(refused, failures=(Exception,))

    circuit.succeed(3)
    assert circuit.breaker.state is State.CLOSED


def test_breaker_leaves_out_the_kinds_of_failure_that_it_is_told_to():
    """A file that is not there is an answer of the disk, though it is an `OSError`."""
    circuit = Circuit()

    def missing() -> None:
        raise FileNotFoundError

    for _ in range(10):
        with pytest.raises(FileNotFoundError):
            circuit.breaker.call_sync(missing, failures=(OSError,), neutral=(FileNotFoundError,))
    assert (circuit.breaker.neutral, circuit.breaker.failures) == (10, 0)

    for _ in range(5):
        with pytest.raises(FileNotFoundError):
            circuit.breaker.call_sync(missing, failures=(OSError,))
    assert circuit.breaker.state is State.OPEN


SLOW = BreakerPolicy(slow_call_s=1.0, probes=2, jitter_ratio=0.0)


def slowly(circuit: Circuit, took_s: float) -> str:
    def operation() -> str:
        circuit.clock.advance(took_s)
        return "answer"

    return circuit.breaker.call_sync(operation, failures=(OSError,))


@pytest.mark.parametrize(("took_s", "state"), [(1.0, State.CLOSED), (1.001, State.OPEN)])
def test_breaker_counts_calls_that_are_too_slow(took_s, state):
    """Five answers that took longer than they may open it; each caller has its answer all the same."""
    circuit = Circuit(SLOW)

    assert [slowly(circuit, took_s) for _ in range(5)] == ["answer"] * 5

    assert circuit.breaker.state is state
    assert circuit.breaker.slow == circuit.breaker.failures == (5 if state is State.OPEN else 0)
    assert circuit.breaker.successes + circuit.breaker.failures == 5


def test_breaker_opens_again_at_a_slow_probe():
    """A dependency that answers too late has not come back."""
    circuit = Circuit(SLOW)
    circuit.open()
    circuit.clock.advance(60)

    slowly(circuit, 0.9)
    slowly(circuit, 1.1)

    assert circuit.breaker.state is State.OPEN
    assert circuit.breaker.trips == 2


def test_breaker_times_each_call_by_itself():
    """A quick call beside a slow one is quick, and calls that overlap a transition are stale (B3)."""
    circuit = Circuit(SLOW)
    slow = circuit.breaker.admit()
    circuit.clock.advance(5)
    quick = circuit.breaker.admit()

    circuit.breaker.succeeded(quick)
    circuit.breaker.succeeded(slow)
    assert (circuit.breaker.successes, circuit.breaker.slow) == (1, 1)

    late = circuit.breaker.admit()
    circuit.fail(4)
    assert circuit.breaker.state is State.OPEN
    circuit.breaker.succeeded(late)
    assert circuit.breaker.stale == 1


def test_breaker_closes_after_as_many_good_probes_as_it_is_told():
    """Three may run, two that succeed are enough; the third is stale then."""
    circuit = Circuit(BreakerPolicy(probes=3, successes=2, jitter_ratio=0.0))
    probes = [circuit.half_open(), circuit.breaker.admit(), circuit.breaker.admit()]

    circuit.breaker.succeeded(probes[0])
    assert circuit.breaker.state is State.HALF_OPEN
    circuit.breaker.succeeded(probes[1])
    assert circuit.breaker.state is State.CLOSED

    circuit.breaker.failed(probes[2])
    assert (circuit.breaker.stale, circuit.breaker.recent()) == (1, (0, 0))


def test_breaker_held_open_refuses_until_it_is_reset():
    """No time ends it; the refusal says that it was a person, and when to ask again."""
    circuit = Circuit()
    early = circuit.breaker.admit()

    circuit.breaker.force_open()
    circuit.clock.advance(1e6)
    with pytest.raises(CircuitOpen) as refusal:
        circuit.breaker.admit()
    circuit.breaker.succeeded(early)

    assert (refusal.value.reason, refusal.value.retry_after_s) == (Reason.FORCED, 60)
    assert (circuit.breaker.state, circuit.breaker.is_forced, circuit.breaker.stale) == (State.OPEN, True, 1)
    circuit.breaker.reset()
    circuit.succeed(1)
    assert (circuit.breaker.state, circuit.breaker.is_forced) == (State.CLOSED, False)


def test_breaker_held_closed_lets_everything_through_until_it_is_reset():
    """Failures are counted and open nothing; after `reset` it judges anew, by what comes then."""
    circuit = Circuit()
    circuit.open()

    circuit.breaker.force_close()
    circuit.fail(50)
    assert (circuit.breaker.state, circuit.breaker.recent()) == (State.CLOSED, (50, 50))

    circuit.breaker.reset()
    circuit.fail(4)
    assert circuit.breaker.state is State.CLOSED
    circuit.fail(1)
    assert circuit.breaker.state is State.OPEN


@pytest.mark.parametrize("by_hand", ["force_open", "force_close", "reset"])
def test_breaker_moved_by_hand_makes_earlier_reports_stale(by_hand):
    """What began under another rule says nothing under this one (B3)."""
    circuit = Circuit()
    permits = [circuit.breaker.admit() for _ in range(5)]

    getattr(circuit.breaker, by_hand)()
    for permit in permits:
        circuit.breaker.failed(permit)

    assert (circuit.breaker.stale, circuit.breaker.failures) == (5, 0)
    assert circuit.breaker.state is (State.OPEN if by_hand == "force_open" else State.CLOSED)


def test_breaker_tells_only_real_changes_made_by_hand():
    """Closing what is closed is no transition (B7)."""
    circuit = Circuit()

    circuit.breaker.force_close()
    circuit.breaker.reset()
    circuit.breaker.force_open()
    circuit.breaker.force_open()
    circuit.breaker.reset()

    assert circuit.path == [(State.CLOSED, State.OPEN), (State.OPEN, State.CLOSED)]
    assert circuit.breaker.openings == 1


def test_breaker_held_open_by_hand_starts_with_the_first_rest_when_it_is_reset():
    """A hand is no trip: the next outage rests 60 s (B6)."""
    circuit = Circuit()
    circuit.breaker.force_open()
    circuit.breaker.reset()

    circuit.open()

    assert circuit.breaker.retry_after_s() == 60


async def test_breaker_serves_a_fallback_where_it_refuses_or_the_dependency_fails():
    """Degraded, not broken: each failure still counts, a refusal asks nothing, and the fallback is told what it was."""
    circuit, why = Circuit(), []

    async def from_memory(error: Exception) -> str:
        why.append(type(error))
        return "old"

    answers = [
        await circuit.breaker.call(_raising(OSError), failures=(OSError,), fallback=from_memory) for _ in range(7)
    ]

    assert answers == ["old"] * 7
    assert why == [OSError] * 5 + [CircuitOpen] * 2
    assert (circuit.breaker.failures, circuit.breaker.rejected, circuit.breaker.fallbacks) == (5, 2, 7)


def test_breaker_serves_a_fallback_in_sync_style_too():
    """The same promise for what blocks."""
    circuit = Circuit()

    def failing() -> str:
        raise OSError

    answers = [circuit.breaker.call_sync(failing, failures=(OSError,), fallback=lambda _: "old") for _ in range(7)]

    assert answers == ["old"] * 7
    assert (circuit.breaker.failures, circuit.breaker.rejected, circuit.breaker.fallbacks) == (5, 2, 7)


@pytest.mark.parametrize("style", ["async", "sync"])
@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, KeyboardInterrupt])
def test_breaker_hides_no_error_that_is_not_the_dependencys(style, error):
    """A mistake of the caller, an answer that is left out, an interrupt: no fallback may cover them."""
    circuit = Circuit()

    def operation() -> str:
        raise error("shown")

    async def operation_async() -> str:
        return operation()

    async def never(_: Exception) -> str:
        return "hidden"

    kinds = {"failures": (OSError,), "neutral": (FileNotFoundError,)}
    with pytest.raises(error, match="shown"):
        if style == "sync":
            circuit.breaker.call_sync(operation, **kinds, fallback=lambda _: "hidden")
        else:
            asyncio.run(circuit.breaker.call(operation_async, **kinds, fallback=never))

    assert (circuit.breaker.neutral, circuit.breaker.fallbacks) == (1, 0)


async def test_what_a_fallback_raises_is_raised_and_counts_for_nothing():
    """The dependency failed once; what stood in for it failed by itself."""
    circuit = Circuit()

    async def failing(_: Exception) -> None:
        raise OSError("the second")

    with pytest.raises(OSError, match="the second") as caught:
        await circuit.breaker.call(_raising(OSError), failures=(OSError,), fallback=failing)

    assert "by name" in str(caught.value.__context__)
    assert circuit.breaker.failures == 1


async def test_a_fallback_goes_on_to_the_next_one():
    """A chain of breakers: what is left when the second rests too is the third."""
    first, second = Circuit(), Circuit()
    first.open()
    second.open()

    async def third(_: Exception) -> str:
        return "third"

    async def next_one(_: Exception) -> str:
        return await second.breaker.call(_raising(OSError), failures=(OSError,), fallback=third)

    assert await first.breaker.call(_raising(OSError), failures=(OSError,), fallback=next_one) == "third"


def test_breaker_counts_every_report_once():
    """Successes, failures, neutral and stale ones make up all reports, and all that was admitted reported (B10)."""
    circuit = Circuit(BreakerPolicy(failures=3, probes=2, recovery_s=10))
    random, under_way, refused = dice_of(8), [], 0

    for outcome in random.choices(["succeeded", "failed", "released"], k=500):
        try:
            under_way.append(circuit.breaker.admit())
        except CircuitOpen:
            refused += 1
        if under_way and random.random() < 0.7:
            getattr(circuit.breaker, outcome)(under_way.pop(random.randrange(len(under_way))))
        circuit.clock.advance(random.choice([0, 1, 8]))

    standing = circuit.breaker.standing()
    reported = standing.successes + standing.failures + standing.neutral + standing.stale
    assert standing.admitted == reported + len(under_way)
    assert standing.admitted + standing.rejected == 500
    assert standing.rejected == refused
    assert min(standing.successes, standing.failures, standing.neutral, standing.stale, standing.rejected) > 0


def _raising(error: type[Exception]):
    async def operation() -> None:
        raise error("by name")

    return operation


async def _cancelled_call(breaker: Breaker) -> None:
    entered = asyncio.Event()

    async def hang() -> None:
        entered.set()
        await asyncio.Event().wait()

    call = asyncio.create_task(breaker.call(hang, failures=(OSError,)))
    async with asyncio.timeout(5):  # or a breaker that refuses would leave us waiting
        await entered.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


def test_breaker_remembers_its_way_and_what_it_let_through():
    """Each state, how long ago it began, the rest that it chose, and the calls that were not given back (B1, B7)."""
    circuit = Circuit()
    circuit.succeed(2)
    circuit.clock.advance(10)
    circuit.fail(5)
    circuit.clock.advance(61)
    probe = circuit.breaker.admit()
    circuit.breaker.released(circuit.breaker.admit())
    circuit.breaker.failed(probe)
    circuit.clock.advance(120)
    circuit.succeed(3)
    circuit.clock.advance(1)
    circuit.succeed(4)

    trace = circuit.breaker.trace()

    assert trace.forgotten == 0
    assert [(stay.state, stay.ago_s, stay.admitted, stay.rest_s) for stay in trace.stays] == [
        ("closed", 192.0, 7, None),
        ("open", 182.0, 0, 60.0),
        ("half_open", 121.0, 1, None),
        ("open", 121.0, 0, 120.0),
        ("half_open", 1.0, 3, None),
        ("closed", 1.0, 4, None),
    ]


def test_breaker_that_is_held_open_chose_no_rest():
    """Nobody knows when it will be reset; a state that it is in already is no other one."""
    circuit = Circuit()

    circuit.breaker.force_open()
    circuit.breaker.force_open()

    assert [(stay.state, stay.rest_s) for stay in circuit.breaker.trace().stays] == [("closed", None), ("open", None)]


def test_breaker_tells_the_rest_that_it_chose_however_long_it_took_to_open():
    """A process that is stopped in the middle of it has chosen no shorter one."""
    circuit = Circuit()
    circuit.breaker._now = lambda: circuit.clock.advance(0.5) or circuit.clock.now()

    circuit.fail(5)

    assert circuit.breaker.trace().stays[-1].rest_s == 60.0


def test_breaker_forgets_the_beginning_of_a_very_long_way(monkeypatch):
    """It keeps the last states, and says how many came before them."""
    monkeypatch.setattr(_trace, "KEPT", 3)
    circuit = Circuit()
    for _ in range(2):
        circuit.breaker.succeeded(circuit.half_open())
        circuit.succeed(2)

    trace = circuit.breaker.trace()

    assert trace.forgotten == 4
    assert [(stay.state, stay.admitted) for stay in trace.stays] == [("open", 0), ("half_open", 3), ("closed", 0)]
