"""What is told of transitions, and that telling never gets in the way of a call (B7)."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from random import Random

import pytest

from fixtures.reference.core.breaker import Breaker, BreakerPolicy, CircuitOpen, State
from harness.clock import FakeClock

CLOSED, OPEN, HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN
ONE_FAILURE = BreakerPolicy(failures=1, recovery_s=1, jitter_ratio=0.0, probes=1)


def breaker_told_to(*listeners, policy=ONE_FAILURE, clock=None) -> Breaker:
    first, *others = listeners
    breaker = Breaker("redis", policy, clock=clock or FakeClock(), random=Random(1), on_transition=first)
    for listener in others:
        breaker.subscribe(listener)
    return breaker


def fail(breaker: Breaker) -> None:
    breaker.failed(breaker.admit())


class Broken:
    """A listener that raises at each transition."""

    def __init__(self, error: BaseException) -> None:
        self.error, self.told = error, 0

    def __call__(self, *_: object) -> None:
        self.told += 1
        raise self.error


class Path:
    """A listener that notes what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[State, State]] = []

    def __call__(self, _name: str, old: State, new: State) -> None:
        self.seen.append((old, new))


@pytest.mark.parametrize("error", [RuntimeError("mine"), asyncio.CancelledError()], ids=["error", "cancelled"])
@pytest.mark.parametrize("style", ["async", "sync"])
def test_a_listener_that_raises_replaces_no_result(style, error):
    """Not that of the call that opened, nor that which was refused, nor that which closed; all listeners are told."""
    clock, broken, path = FakeClock(), Broken(error), Path()
    breaker = breaker_told_to(broken, path, clock=clock)

    def call(answer):
        def operation():
            if isinstance(answer, Exception):
                raise answer
            return answer

        async def operation_async():
            return operation()

        if style == "sync":
            return breaker.call_sync(operation, failures=(OSError,))
        return asyncio.run(breaker.call(operation_async, failures=(OSError,)))

    with pytest.raises(OSError, match="gone"):
        call(OSError("gone"))
    with pytest.raises(CircuitOpen):
        call("refused")
    clock.advance(1)
    assert call("good") == "good"

    assert path.seen == [(CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, CLOSED)]
    assert broken.told == breaker.standing().listener_failures == 3
    assert breaker.state is CLOSED


def test_a_refusal_stays_a_refusal_when_a_listener_raises():
    """A hung probe opens the circuit while the next call is being refused."""
    clock = FakeClock()
    breaker = breaker_told_to(Broken(RuntimeError()), clock=clock)
    fail(breaker)
    clock.advance(1)
    breaker.admit()

    clock.advance(31)
    with pytest.raises(CircuitOpen):
        breaker.admit()

    assert breaker.standing().listener_failures == 3


def test_what_a_listener_raised_is_logged_with_its_traceback(caplog):
    """An error that is swallowed in silence is never mended."""
    with caplog.at_level(logging.ERROR):
        fail(breaker_told_to(Broken(RuntimeError("a mistake of mine"))))

    (record,) = caplog.records
    assert "a mistake of mine" in caplog.text
    assert "redis" in record.getMessage()


def test_a_listener_may_ask_and_change_the_breaker_that_tells_it():
    """No lock is held while it runs; what it changes is told after what it was told, to every listener."""
    path, asked = Path(), []

    def meddling(_name, _old, new):
        asked.append(breaker.recent())
        if new is OPEN:
            breaker.reset()

    breaker = breaker_told_to(meddling, path)
    thread = threading.Thread(target=fail, args=(breaker,), daemon=True)  # a deadlock fails instead of hanging
    thread.start()
    thread.join(10)

    assert not thread.is_alive()
    assert asked == [(1, 1), (0, 0)]
    assert path.seen == [(CLOSED, OPEN), (OPEN, CLOSED)]


def test_transitions_of_many_threads_are_told_once_and_in_order():
    """Each old state is the one that was told before it, whatever threads caused and told them."""
    path = Path()
    breaker = breaker_told_to(path)
    gate = threading.Barrier(8)

    def force(times: int) -> None:
        gate.wait(10)
        for _ in range(times):
            breaker.force_open()
            breaker.force_close()

    threads = [threading.Thread(target=force, args=(200,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(path.seen) == breaker.openings * 2 > 200
    assert path.seen[0][0] is CLOSED
    assert all(earlier[1] is later[0] for earlier, later in itertools.pairwise(path.seen))


def test_no_transition_is_left_untold_when_two_threads_change_it_at_once():
    """News that comes while another thread is telling is told by that one, or by us."""
    entered, go_on, path = threading.Event(), threading.Event(), Path()

    def slow(_name, _old, new):
        if new is OPEN:
            entered.set()
            assert go_on.wait(10)

    breaker = breaker_told_to(slow, path)
    telling = threading.Thread(target=breaker.force_open)
    telling.start()
    assert entered.wait(10)

    breaker.reset()
    assert path.seen == []
    go_on.set()
    telling.join(10)

    assert path.seen == [(CLOSED, OPEN), (OPEN, CLOSED)]


def test_a_listener_is_told_from_the_moment_it_subscribes():
    """Not of what was before, and not instead of those that were there."""
    first, later = Path(), Path()
    breaker = breaker_told_to(first)
    fail(breaker)

    breaker.subscribe(later)
    breaker.reset()

    assert first.seen == [(CLOSED, OPEN), (OPEN, CLOSED)]
    assert later.seen == [(OPEN, CLOSED)]
