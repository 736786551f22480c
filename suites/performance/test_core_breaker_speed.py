"""What a breaker adds to a call, in bare calls of the same run; other breakers beside it."""

from __future__ import annotations

import threading
from random import Random

import aiobreaker
import circuitbreaker
import purgatory
import pybreaker
import pytest

from fixtures.reference.core.breaker import Breaker, BreakerPolicy, CircuitOpen
from suites.support.race import race, race_tasks

TIMES = 200
FAILURES = (OSError,)
CALM = BreakerPolicy()


@pytest.fixture
def breaker(clock):
    """A closed one, as a service has it."""
    return Breaker("any", CALM, clock=clock, random=Random(1))


@pytest.fixture
def resting(clock):
    """One that has tripped."""
    breaker = Breaker(
        "any", BreakerPolicy(failures=1, recovery_s=3600.0, recovery_max_s=3600.0), clock=clock, random=Random(1)
    )
    breaker.failed(breaker.admit())
    return breaker


def operation() -> int:
    return 1


async def awaited() -> int:
    return 1


def raising() -> None:
    raise OSError("away")


def bare() -> None:
    for _ in range(TIMES):
        operation()


def refused() -> None:
    """What a refusal costs at least: an exception raised by what is called, and caught by its caller."""
    for _ in range(TIMES):
        try:  # noqa: SIM105 - as a caller would, and `suppress` takes longer
            raising()
        except OSError:
            pass


async def bare_awaiting() -> None:
    for _ in range(TIMES):
        await awaited()


def test_a_closed_breaker_costs_a_call_a_third_of_a_microsecond(breaker, figures):
    """300 ns where a bare call takes 29: counts, window and clock included, and no lock."""
    theirs = circuitbreaker.CircuitBreaker(name="any", expected_exception=OSError)(operation)
    oldest = pybreaker.CircuitBreaker()

    def ours() -> None:
        call = breaker.call_sync
        for _ in range(TIMES):
            call(operation, failures=FAILURES)

    def circuit() -> None:
        for _ in range(TIMES):
            theirs()

    def py() -> None:
        for _ in range(TIMES):
            oldest.call(operation)

    best = race({"bare": bare, "ours": ours, "circuitbreaker": circuit, "pybreaker": py}, operations=TIMES)

    beside = {name: best[name] for name in ("circuitbreaker", "pybreaker")}
    figures.at_most(
        "breaker", "closed, sync", best["ours"], ("bare call", best["bare"]), 300 / 29, "300 ns : 29 ns", **beside
    )


async def test_a_closed_breaker_costs_an_awaited_call_less_than_half_a_microsecond(breaker, figures):
    """450 ns where awaiting a coroutine takes 80."""
    decorated = circuitbreaker.CircuitBreaker(name="any", expected_exception=OSError)(awaited)
    aio = aiobreaker.CircuitBreaker()
    context = await purgatory.AsyncCircuitBreakerFactory().get_breaker("any")

    async def ours() -> None:
        call = breaker.call
        for _ in range(TIMES):
            await call(awaited, failures=FAILURES)

    async def circuit() -> None:
        for _ in range(TIMES):
            await decorated()

    async def aiobreaking() -> None:
        for _ in range(TIMES):
            await aio.call_async(awaited)

    async def purging() -> None:
        for _ in range(TIMES):
            async with context:
                await awaited()

    ways = {
        "bare": bare_awaiting,
        "ours": ours,
        "circuitbreaker": circuit,
        "aiobreaker": aiobreaking,
        "purgatory": purging,
    }
    best = await race_tasks(ways, operations=TIMES)

    beside = {name: best[name] for name in ("circuitbreaker", "aiobreaker", "purgatory")}
    figures.at_most(
        "breaker", "closed, async", best["ours"], ("await", best["bare"]), 450 / 80, "450 ns : 80 ns", **beside
    )


def test_an_open_breaker_refuses_within_one_and_a_half_microseconds(resting, figures):
    """1.5 µs where raising and catching takes 437 ns."""
    theirs = circuitbreaker.CircuitBreaker(1, 3600, OSError, name="any")(raising)
    with pytest.raises(OSError, match="away"):
        theirs()

    def ours() -> None:
        call = resting.call_sync
        for _ in range(TIMES):
            try:  # noqa: SIM105 - `suppress` costs more than what is measured
                call(operation, failures=FAILURES)
            except CircuitOpen:
                pass

    def circuit() -> None:
        for _ in range(TIMES):
            try:  # noqa: SIM105 - `suppress` costs more than what is measured
                theirs()
            except circuitbreaker.CircuitBreakerError:
                pass

    best = race({"bare": refused, "ours": ours, "circuitbreaker": circuit}, operations=TIMES)

    assert resting.rejected >= TIMES
    assert resting.admitted == 1
    figures.at_most(
        "breaker",
        "open, refusing",
        best["ours"],
        ("raise and catch", best["bare"]),
        1500 / 437,
        "1.5 µs : 437 ns",
        circuitbreaker=best["circuitbreaker"],
    )


def test_eight_threads_hold_no_lock_up(breaker, figures):
    """Eight threads through one closed breaker take less than twice as long as one does for the same number of calls."""
    each = 20 * TIMES  # so that starting the threads is the least of it

    def ours(times: int) -> None:
        call = breaker.call_sync
        for _ in range(times):
            call(operation, failures=FAILURES)

    def eight() -> None:
        threads = [threading.Thread(target=ours, args=(each,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    best = race({"one": lambda: ours(8 * each), "eight": eight}, operations=8 * each)

    figures.at_most(
        "breaker", "closed, 8 threads", best["eight"], ("one thread", best["one"]), 2.0, "as for the cache's hit"
    )
    assert breaker.successes == breaker.admitted
