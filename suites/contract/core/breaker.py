"""What every circuit breaker must keep: B1 to B10, written once for any of them, in async and in sync style.

An adapter builds a breaker with a clock that can be stepped and says what it offers; what it does not offer is skipped as
such and no failure. A suite of one breaker is a subclass with its adapter. `OSError` speaks against the dependency,
`ValueError` and cancelling do not.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

F = TypeVar("F", bound=Any)

FAILURES, WINDOW_S, RECOVERY_S, RECOVERY_MAX_S, PROBES, PROBE_MAX_S = 5, 60.0, 60.0, 600.0, 3, 30.0
"""What an adapter sets; without jitter."""

SOON_S = 1e-3
"""Just before or after a moment. Redis and the peers tell time to milliseconds or better, but for those in whole seconds."""

LONG_S = 20.0
"""What is neither admitted nor refused by then never is: it waits for another call."""

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"


class Refused(Exception):  # noqa: N818 - what happened to the call, not an error of ours
    """The breaker did not make the call; what an adapter makes of the library's own error.

    Attributes:
        reason: `open` or `probing`, where it is told.
        retry_after_s: When asking again may help, where it is told.
    """

    def __init__(self, *, reason: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(f"refused: {reason}")
        self.reason, self.retry_after_s = reason, retry_after_s


class Circuit(Protocol):
    """One breaker under test."""

    async def call(self, operation: Callable[[], Awaitable[Any]]) -> Any:
        """Await `operation()` through the breaker, or raise `Refused`."""

    def call_sync(self, operation: Callable[[], Any]) -> Any:
        """Call `operation()` through the breaker, or raise `Refused`."""

    async def advance(self, seconds: float) -> None:
        """Let time pass for the breaker."""

    async def settle(self) -> None:
        """Wait for what it still does in the background."""

    def state(self) -> str:
        """Return `closed`, `open` or `half_open`."""

    def path(self) -> list[tuple[str, str]]:
        """Return the transitions that a listener was told of; asked where `events` is offered."""

    def counts(self) -> tuple[int, int]:
        """Return the calls admitted and those rejected; asked where `counts` is offered."""


class BreakerAdapter(Protocol):
    """How a breaker is built.

    Attributes:
        probes: How many get in, and must succeed, when it is half open: `PROBES` where that can be chosen.
        offers: Of `window` (failures count for a time), `permits` (probes are bounded), `generations`, `backoff`, `neutral`
            (a cancelled call and an error that is not the dependency's count for nothing), `hung` (a probe has a time
            limit), `nested`, `events`, `counts`, `retry_after`.
    """

    probes: int
    offers: frozenset[str]

    def build(self) -> Circuit:
        """Return a closed breaker."""


class Held:
    """A call that is inside its operation, until it is told how that ends."""

    def __init__(self, circuit: Circuit, running: asyncio.Future[Any], outcome: Future[str]) -> None:
        self._circuit, self._running, self._outcome = circuit, running, outcome

    async def succeed(self) -> None:
        """Let the operation return, and see its result."""
        self._outcome.set_result("answer")
        assert await self._running == "answer"

    async def fail(self, error: BaseException | None = None) -> None:
        """Let the operation raise, `OSError` unless another is given, and see it raised."""
        error = error or OSError("gone")
        self._outcome.set_exception(error)
        with pytest.raises(type(error)):
            await self._running

    async def cancel(self) -> None:
        """Cancel the caller; in sync style, where that cannot be, raise an error that says nothing of the dependency."""
        if isinstance(self._running, asyncio.Task):
            self._running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await self._running
            await self._circuit.settle()
        else:
            await self.fail(ValueError())

    async def give_up(self) -> None:
        """End it whatever it holds, so that no thread is left."""
        if not self._outcome.done():
            self._outcome.set_result("answer")
        await asyncio.wait([self._running], timeout=LONG_S)


class Caller:
    """Makes calls through a breaker in one style.

    Attributes:
        entered: Operations that were called, count.
        refused: Calls that were not made, count.
    """

    def __init__(self, circuit: Circuit, style: str) -> None:
        self.circuit, self._style = circuit, style
        self.entered = self.refused = 0
        self._held: list[Held] = []

    async def begin(self) -> Held:
        """Make a call that stays inside its operation; raise `Refused` if it gets there never."""
        entered: Future[None] = Future()
        outcome: Future[str] = Future()
        running = self._started(entered, outcome)
        inside = asyncio.wrap_future(entered)
        await asyncio.wait([running, inside], timeout=LONG_S, return_when=asyncio.FIRST_COMPLETED)
        if entered.done():
            self.entered += 1
            self._held.append(Held(self.circuit, running, outcome))
            return self._held[-1]
        inside.cancel()
        assert running.done(), f"neither admitted nor refused within {LONG_S:g} s: it waits for another call"
        self.refused += 1
        return await running

    async def begin_many(self, times: int) -> list[Held]:
        """Make so many calls at once; return those that got in."""
        results = await asyncio.gather(*(self.begin() for _ in range(times)), return_exceptions=True)
        for error in results:
            if isinstance(error, BaseException) and not isinstance(error, Refused):
                raise error
        return [each for each in results if isinstance(each, Held)]

    async def succeed(self, times: int = 1) -> None:
        """Make calls that succeed, one after the other."""
        for _ in range(times):
            await (await self.begin()).succeed()

    async def fail(self, times: int = 1) -> None:
        """Make calls that fail, one after the other."""
        for _ in range(times):
            await (await self.begin()).fail()

    async def cancel(self, times: int = 1) -> None:
        """Make calls that are cancelled, one after the other."""
        for _ in range(times):
            await (await self.begin()).cancel()

    async def is_refused(self) -> bool:
        """Make a call; tell whether it was refused. One that was not is cancelled."""
        try:
            held = await self.begin()
        except Refused:
            return True
        await held.cancel()
        return False

    async def open(self) -> None:
        """Fail until it opens."""
        await self.fail(FAILURES)
        assert self.circuit.state() == OPEN

    async def half_open(self) -> Held:
        """Open it, let the first rest pass, and return the first probe."""
        await self.open()
        await self.circuit.advance(RECOVERY_S + SOON_S)
        return await self.begin()

    async def close(self) -> None:
        """End all calls that are still inside."""
        for held in self._held:
            await held.give_up()
        await self.circuit.settle()

    def _started(self, entered: Future[None], outcome: Future[str]) -> asyncio.Future[Any]:
        if self._style == "async":

            async def operation_async() -> str:
                entered.set_result(None)
                return await asyncio.wrap_future(outcome)

            return asyncio.ensure_future(self.circuit.call(operation_async))

        def operation() -> str:
            entered.set_result(None)
            return outcome.result(2 * LONG_S)

        return asyncio.wrap_future(_in_thread(lambda: self.circuit.call_sync(operation)))


def _in_thread(work: Callable[[], Any]) -> Future[Any]:
    """Run work in a thread of its own, which holds up nobody's exit; a pool would bound how many are inside."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is the call's, and raised where the call is awaited
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def needs(*offered: str) -> Callable[[F], F]:
    """Skip a test where the adapter does not offer all of this."""

    def noted(test: F) -> F:
        test.needs = offered
        return test

    return noted


class BreakerContract:
    """Subclass it with an adapter, and with the styles that its breaker has."""

    adapter: BreakerAdapter
    styles = ("async", "sync")

    def pytest_generate_tests(self, metafunc):
        """Make every test once in each style."""
        metafunc.parametrize("style", self.styles)

    @pytest.fixture
    async def caller(self, request, style):
        """Make calls through a new breaker."""
        if missing := {*getattr(request.function, "needs", ())} - self.adapter.offers:
            pytest.skip(f"not offered: {', '.join(sorted(missing))}")
        caller = Caller(self.adapter.build(), style)
        yield caller
        await caller.close()

    async def test_four_failures_leave_it_closed_and_the_fifth_opens_it(self, caller):
        """Not one earlier and not one later (B5)."""
        await caller.fail(FAILURES - 1)
        assert caller.circuit.state() == CLOSED

        await caller.fail(1)

        assert caller.circuit.state() == OPEN
        assert await caller.is_refused()

    @needs("window")
    async def test_failures_count_as_long_as_the_window(self, caller):
        """Five within sixty seconds open it, the first of them just inside (B5)."""
        await caller.fail(1)
        await caller.circuit.advance(WINDOW_S - SOON_S)

        await caller.fail(FAILURES - 1)

        assert caller.circuit.state() == OPEN

    @needs("window")
    async def test_failures_older_than_the_window_do_not_count(self, caller):
        """The first of five is just outside, and then so is every one but the last four (B5)."""
        await caller.fail(1)
        await caller.circuit.advance(WINDOW_S + SOON_S)

        await caller.fail(FAILURES - 1)
        assert caller.circuit.state() == CLOSED

        await caller.circuit.advance(WINDOW_S + SOON_S)
        await caller.fail(FAILURES - 1)
        assert caller.circuit.state() == CLOSED

    @needs("window")
    async def test_a_failure_now_and_then_never_opens_it(self, caller):
        """Forty failures, each a quarter of the window after the other, are no outage (B5)."""
        for _ in range(40):
            await caller.fail(1)
            await caller.circuit.advance(WINDOW_S / 4 + SOON_S)

        assert caller.circuit.state() == CLOSED

    @needs("window")
    async def test_successes_between_failures_calm_nothing(self, caller):
        """Fail, succeed, fail, succeed opens it at the fifth failure all the same (B5)."""
        for _ in range(FAILURES - 1):
            await caller.fail(1)
            await caller.succeed(2)
        assert caller.circuit.state() == CLOSED

        await caller.fail(1)

        assert caller.circuit.state() == OPEN

    @needs("neutral")
    async def test_cancelled_calls_neither_open_nor_calm_it(self, caller):
        """After four failures no number of cancelled calls opens it, and one more failure still does (B5)."""
        await caller.cancel(FAILURES + 1)
        await caller.fail(FAILURES - 1)
        await caller.cancel(FAILURES + 1)
        assert caller.circuit.state() == CLOSED

        await caller.fail(1)

        assert caller.circuit.state() == OPEN

    @needs("neutral")
    async def test_errors_that_are_not_the_dependencys_count_for_nothing(self, caller):
        """They reach their caller and leave no mark."""
        for _ in range(FAILURES + 1):
            await (await caller.begin()).fail(ValueError())

        assert caller.circuit.state() == CLOSED

    async def test_nothing_is_called_while_it_rests(self, caller):
        """From the moment it opens to just before its time; at its time one gets in (B2)."""
        await caller.open()
        entered = caller.entered

        for waits_s in (0, RECOVERY_S / 2, RECOVERY_S / 2 - SOON_S):
            await caller.circuit.advance(waits_s)
            assert await caller.begin_many(10) == []
        assert caller.entered == entered

        await caller.circuit.advance(2 * SOON_S)
        await (await caller.begin()).succeed()

    @needs("retry_after")
    async def test_a_refusal_says_why_and_for_how_long(self, caller):
        """What is left of the rest, and that it is no probe that stands in the way (B2)."""
        await caller.open()
        await caller.circuit.advance(RECOVERY_S / 4)

        with pytest.raises(Refused) as refusal:
            await caller.begin()

        assert refusal.value.reason == OPEN
        assert refusal.value.retry_after_s == pytest.approx(RECOVERY_S * 3 / 4, abs=2 * SOON_S)

    @needs("retry_after", "permits")
    async def test_a_refusal_beside_probes_has_another_reason(self, caller):
        """Users confuse the two when they share one name."""
        await caller.half_open()
        await caller.begin_many(self.adapter.probes - 1)

        with pytest.raises(Refused) as refusal:
            await caller.begin()

        assert refusal.value.reason == "probing"

    @needs("permits")
    async def test_three_of_fifty_get_in_when_its_rest_is_over(self, caller):
        """Fifty callers ask at once; the dependency sees three of them (B1)."""
        await caller.open()
        await caller.circuit.advance(RECOVERY_S + SOON_S)

        assert len(await caller.begin_many(50)) == self.adapter.probes

    @needs("permits")
    async def test_probes_that_have_succeeded_take_their_permits_along(self, caller):
        """In one half-open period three get in, not three at a time (B1)."""
        if self.adapter.probes == 1:
            pytest.skip("not offered: several probes")
        first = await caller.half_open()
        await first.succeed()

        others = await caller.begin_many(10)

        assert len(others) == self.adapter.probes - 1
        assert caller.circuit.state() == HALF_OPEN

    @needs("permits")
    async def test_it_closes_when_all_probes_have_succeeded(self, caller):
        """Two are not enough; once it is closed everything gets in."""
        *early, last = [await caller.half_open(), *await caller.begin_many(self.adapter.probes - 1)]
        for each in early:
            await each.succeed()
        assert caller.circuit.state() == HALF_OPEN

        await last.succeed()

        assert caller.circuit.state() == CLOSED
        assert len(await caller.begin_many(10)) == 10

    @needs("permits")
    async def test_it_opens_when_one_probe_fails(self, caller):
        """At once, however the others fare, and their late answers change nothing (B3)."""
        failing, *others = [await caller.half_open(), *await caller.begin_many(self.adapter.probes - 1)]
        for each in others[:1]:
            await each.succeed()

        await failing.fail()
        assert caller.circuit.state() == OPEN
        for each in others[1:]:
            await each.succeed()

        assert caller.circuit.state() == OPEN
        assert await caller.is_refused()

    @needs("permits", "neutral")
    async def test_cancelled_probes_never_leave_it_stuck(self, caller):
        """However many are cancelled, as many get in after them, and good ones close it (B1, B4)."""
        await (await caller.half_open()).cancel()
        await caller.cancel(10 * self.adapter.probes)
        assert caller.circuit.state() == HALF_OPEN

        held = await caller.begin_many(10)
        assert len(held) == self.adapter.probes
        for each in held:
            await each.succeed()

        assert caller.circuit.state() == CLOSED

    @needs("permits", "neutral")
    async def test_a_cancelled_probe_is_no_good_one(self, caller):
        """One cancelled and two good ones do not close it (B4)."""
        await (await caller.half_open()).cancel()

        await caller.succeed(self.adapter.probes - 1)
        assert caller.circuit.state() == HALF_OPEN

        await caller.succeed(1)
        assert caller.circuit.state() == CLOSED

    @needs("generations")
    @pytest.mark.parametrize("outcome", ["succeed", "fail", "cancel"])
    async def test_what_began_before_it_opened_changes_nothing_while_it_rests(self, caller, outcome):
        """A late success does not close it, a late failure does not prolong its rest (B3)."""
        late = await caller.begin_many(10)
        await caller.open()
        await caller.circuit.advance(RECOVERY_S / 2)

        for each in late:
            await getattr(each, outcome)()

        assert caller.circuit.state() == OPEN
        await caller.circuit.advance(RECOVERY_S / 2 - SOON_S)
        assert await caller.is_refused()
        await caller.circuit.advance(2 * SOON_S)
        await (await caller.begin()).succeed()

    @needs("generations", "permits")
    @pytest.mark.parametrize("outcome", ["succeed", "fail", "cancel"])
    async def test_what_began_before_it_opened_changes_nothing_while_it_probes(self, caller, outcome):
        """It neither closes nor opens it, and frees no permit (B3)."""
        late = await caller.begin_many(10)
        await caller.half_open()
        await caller.begin_many(self.adapter.probes - 1)

        for each in late:
            await getattr(each, outcome)()

        assert caller.circuit.state() == HALF_OPEN
        assert await caller.begin_many(10) == []

    @needs("generations", "permits")
    @pytest.mark.parametrize("outcome", ["succeed", "fail", "cancel"])
    async def test_a_probe_of_an_earlier_period_says_nothing_of_this_one(self, caller, outcome):
        """It was let in, the circuit opened and is half open again; only then it reports (B3)."""
        late = await caller.half_open()
        await caller.fail(1)
        await caller.circuit.advance(2 * RECOVERY_S + SOON_S)
        await caller.begin_many(self.adapter.probes)

        await getattr(late, outcome)()

        assert caller.circuit.state() == HALF_OPEN
        assert await caller.begin_many(10) == []

    @needs("generations", "permits")
    async def test_failures_from_before_an_outage_do_not_count_after_it(self, caller):
        """Four that were under way all the time and four new ones are four (B3, B5)."""
        late = await caller.begin_many(FAILURES - 1)
        await (await caller.half_open()).succeed()
        await caller.succeed(self.adapter.probes - 1)

        for each in late:
            await each.fail()
        await caller.fail(FAILURES - 1)
        assert caller.circuit.state() == CLOSED

        await caller.fail(1)
        assert caller.circuit.state() == OPEN

    @needs("backoff")
    async def test_each_trip_in_a_row_doubles_the_rest_up_to_the_longest(self, caller):
        """60, 120, 240, 480, 600, 600 s: just before, nothing gets in; just after, one does (B6)."""
        await caller.open()

        for rest_s in (60, 120, 240, 480, 600, 600):
            await caller.circuit.advance(rest_s - SOON_S)
            assert await caller.is_refused()
            await caller.circuit.advance(2 * SOON_S)
            await caller.fail(1)
            assert caller.circuit.state() == OPEN

    @needs("backoff", "permits")
    async def test_once_closed_the_next_rest_is_the_first_again(self, caller):
        """Two trips, an end, and a new outage (B6)."""
        await (await caller.half_open()).fail()
        await caller.circuit.advance(2 * RECOVERY_S + SOON_S)
        await caller.succeed(self.adapter.probes)

        await caller.open()
        await caller.circuit.advance(RECOVERY_S + SOON_S)

        await (await caller.begin()).succeed()

    @needs("hung", "permits")
    async def test_a_probe_that_hangs_is_a_failed_one(self, caller):
        """After thirty seconds, and not before, it opens for the second rest, so that it can be tried again."""
        await caller.half_open()
        await caller.begin_many(self.adapter.probes - 1)
        await caller.circuit.advance(PROBE_MAX_S - SOON_S)
        assert await caller.is_refused()
        assert caller.circuit.state() == HALF_OPEN

        await caller.circuit.advance(1)
        assert await caller.is_refused()
        assert caller.circuit.state() == OPEN

        await caller.circuit.advance(2 * RECOVERY_S + SOON_S)
        assert len(await caller.begin_many(10)) == self.adapter.probes

    @needs("nested")
    async def test_the_refusal_of_a_breaker_further_inside_is_neutral(self, caller):
        """It says nothing of this dependency, whatever speaks against it: as a call, and as a probe (B4)."""
        refusal = await _refusal_of(self.adapter.build(), caller)
        for _ in range(2 * FAILURES):
            await (await caller.begin()).fail(refusal)
        assert caller.circuit.state() == CLOSED

        await (await caller.half_open()).fail(refusal)
        await caller.succeed(self.adapter.probes)

        assert caller.circuit.state() == CLOSED

    @needs("events", "permits", "neutral")
    async def test_what_listeners_are_told_is_the_way_it_went(self, caller):
        """Each transition once, in order, and none for what is no transition (B7)."""
        await (await caller.half_open()).fail()
        await caller.circuit.advance(2 * RECOVERY_S + SOON_S)
        await caller.cancel(2)
        await caller.succeed(self.adapter.probes)
        await caller.succeed(3)

        assert caller.circuit.path() == list(itertools.pairwise([CLOSED, OPEN, HALF_OPEN, OPEN, HALF_OPEN, CLOSED]))

    async def test_nothing_is_locked_while_a_call_runs(self, caller):
        """Thirty callers are inside at the same time (B8)."""
        assert len(await caller.begin_many(30)) == 30

    @pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
    async def test_the_wall_clock_decides_nothing(self, caller, monkeypatch, step_s):
        """Stepped an hour either way, it neither ends a rest nor prolongs it (B9, T1)."""
        await caller.open()
        wall, wall_ns = time.time, time.time_ns

        monkeypatch.setattr(time, "time", lambda: wall() + step_s)
        monkeypatch.setattr(time, "time_ns", lambda: wall_ns() + int(step_s * 1e9))

        assert await caller.is_refused()
        await caller.circuit.advance(RECOVERY_S + SOON_S)
        await (await caller.begin()).succeed()

    @needs("counts")
    async def test_admitted_and_rejected_are_all_calls(self, caller):
        """And the dependency saw the admitted ones only (B10)."""
        for _ in range(20):
            for each in await caller.begin_many(3):
                await each.fail()
            await caller.circuit.advance(RECOVERY_S / 3)

        assert caller.circuit.counts() == (caller.entered, caller.refused)
        assert caller.entered > FAILURES
        assert caller.refused > FAILURES


async def _refusal_of(circuit: Circuit, like: Caller) -> BaseException:
    """Return what the library itself raises where it refuses, as an inner breaker would raise it."""
    inner = Caller(circuit, like._style)
    await inner.open()
    with pytest.raises(Refused) as refusal:
        await inner.begin()
    return refusal.value.__cause__ or refusal.value
