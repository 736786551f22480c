"""Faults of a process that take several steps: what is due when, on a clock that tests move."""

from __future__ import annotations

import pytest

from harness.clock import FakeClock
from harness.errors import StackError
from harness.faults.action import Site
from harness.faults.process.crash_loop import CrashLoopAction
from harness.faults.process.reload import ReloadAction
from harness.faults.process.restart import GracefulRestart
from harness.faults.process.rolling_restart import RollingRestartAction
from harness.spec.faults import CrashLoop, Reload, RollingRestart
from harness.stack.stack import Stack


class Part:
    """A service that does what it is told, and ends `ends_after_s` after it is asked, if it ever does."""

    ready_within_s = 30.0

    def __init__(self, clock, name="replica-1", *, ends_after_s=0.0, ready_after_s=0.0):
        self.name, self._clock = name, clock
        self._ends_after_s, self._ready_after_s = ends_after_s, ready_after_s
        self._ends_s, self._started_s, self._lives, self._is_alive = float("inf"), clock.now(), 1, True
        self.told = []

    def is_alive(self):
        return self._is_alive and self._clock.now() < self._ends_s

    def is_ready(self):
        return self.is_alive() and self._clock.now() >= self._started_s + self._ready_after_s

    def life(self):
        if not self.is_alive():
            raise StackError("it does not run", where=self.name, fix="start it")
        return str(self._lives)

    def ask_to_end(self):
        self.told.append(("ask", self._clock.now()))
        self._ends_s = self._clock.now() + self._ends_after_s

    def kill(self):
        self.told.append(("kill", self._clock.now()))
        self._is_alive = False

    def start(self):
        assert not self.is_alive()
        self.told.append(("start", self._clock.now()))
        self._lives += 1
        self._is_alive, self._ends_s, self._started_s = True, float("inf"), self._clock.now()


def site(clock, *parts):
    services = {part.name: part for part in parts}
    stack = Stack(backend="embedded", services=services, edges=(), proxy=None, entry=None, startup=())
    return Site("fault-1", stack, clock)


def lived(clock, proceed, until_s, every_s=0.25):
    """Let time pass as the timeline does, asking what is due."""
    while clock.now() < until_s:
        clock.advance(every_s)
        proceed()


def test_what_ends_by_itself_is_started_once_it_is_gone_and_not_before():
    """Nobody insists, and it is ready as long after its start as it takes."""
    clock = FakeClock()
    part = Part(clock, ends_after_s=2.0, ready_after_s=1.0)
    restart = GracefulRestart(part, clock)
    assert not restart.has_new_life()

    lived(clock, restart.proceed, 10.0)

    assert part.told == [("ask", 0.0), ("start", 2.0)]
    assert restart.ended == "ended after 2.0 s"
    assert restart.ready_after_s == 3.0
    assert restart.has_new_life()
    assert str(restart) == "replica-1 ended after 2.0 s, was started and was ready after 3.0 s"


def test_what_does_not_end_is_killed_after_five_seconds_and_not_before():
    """An operator insists as well."""
    clock = FakeClock()
    part = Part(clock, ends_after_s=60.0)
    restart = GracefulRestart(part, clock)

    lived(clock, restart.proceed, 5.0)
    assert part.told == [("ask", 0.0)]
    assert str(restart) == "replica-1 has not ended"
    lived(clock, restart.proceed, 6.0)

    assert part.told == [("ask", 0.0), ("kill", 5.25), ("start", 5.25)]
    assert restart.ended == "was killed after 5.2 s"


@pytest.mark.parametrize(("settles", "asked_s"), [("0s", [0.0, 3.0, 6.0]), ("2s", [0.0, 5.0, 10.0])])
def test_the_next_replica_has_its_turn_when_the_one_before_has_served(settles, asked_s):
    """At no moment are two of them down, nor while a load balancer may not have found the one before again."""
    clock = FakeClock()
    parts = [Part(clock, f"replica-{number}", ends_after_s=1.0, ready_after_s=2.0) for number in (1, 2, 3)]
    fault = RollingRestart(kind="rolling-restart", target="replicas", settles=settles)
    action = RollingRestartAction(fault, site(clock, Part(clock, "redis"), *parts))
    action.begin(None)

    lived(clock, action.proceed, 20.0)

    assert [part.told for part in parts] == [[("ask", at_s), ("start", at_s + 1)] for at_s in asked_s]
    assert action.observe().seen.startswith("3 of 3 had their turn: replica-1 ended after 1.0 s")


@pytest.mark.parametrize(("hangs", "is_first", "is_last"), [(0, False, False), (1, True, False), (None, True, True)])
def test_a_roll_is_seen_to_begin_and_then_to_have_gone_round(hangs, is_first, is_last):
    """The first look asks for one new life, and any later one for all, ready: one that never is stops the roll."""
    clock = FakeClock()
    parts = [
        Part(clock, f"replica-{number + 1}", ends_after_s=0.5, ready_after_s=1e9 if number == hangs else 0.5)
        for number in (0, 1)
    ]
    fault = RollingRestart(kind="rolling-restart", target="replicas")
    action = RollingRestartAction(fault, site(clock, *parts))
    assert not action.observe().is_delivered
    action.begin(None)
    if hangs == 0:
        parts[0].start = lambda: None  # its new life never begins

    first, last = action.observe(), action.observe()

    assert (first.is_delivered, last.is_delivered) == (is_first, is_last)


def looping(every, clock, part):
    action = CrashLoopAction(CrashLoop(kind="crash-loop", target=part.name, every=every), site(clock, part))
    action.begin(None)
    return action


def test_a_crash_loop_kills_at_once_and_at_the_times_of_its_grid():
    """However late one death is, the next comes when it would have come anyway."""
    clock = FakeClock()
    part = Part(clock)
    action = looping("2s", clock, part)
    lived(clock, action.proceed, 4.5)
    clock.advance(1.75)
    lived(clock, action.proceed, 8.0)

    assert [at_s for what, at_s in part.told if what == "kill"] == [0.0, 2.0, 4.0, 6.5, 8.0]
    assert action.observe().seen == "replica-1 killed 5 times in 8s"
    assert action.observe().is_delivered


@pytest.mark.parametrize(
    ("asleep_s", "awake_s", "is_dose"),
    [(2.0, 0.0, True), (3.0, 0.0, False), (3.0, 8.0, False), (3.0, 20.0, True), (4.0, 20.0, False)],
)
def test_deaths_that_never_came_are_no_dose(asleep_s, awake_s, is_dose):
    """One may be missing, or a tenth: a machine that was busy elsewhere is told, not made up for."""
    clock = FakeClock()
    action = looping("1s", clock, Part(clock))
    clock.advance(asleep_s)

    lived(clock, action.proceed, asleep_s + awake_s)

    assert action.observe().is_delivered == is_dose


def test_one_that_was_left_alone_or_stays_dead_is_no_crash_loop():
    """Before it begins, after it has ended, and where its start fails."""
    clock = FakeClock()
    part = Part(clock)
    action = looping("1s", clock, part)
    part.kill()
    assert not action.observe().is_delivered
    action.end(None)

    assert part.told[-1][0] == "start"
    assert action.observe().seen == "replica-1 is left alone"
    assert not action.observe().is_delivered
    clock.advance(5.0)
    action.proceed()
    assert part.told[-1] == ("start", 0.0), "it is not killed any more"


class Balancer(Part):
    """A load balancer that has a new worker `takes_s` after it was told, beside those that still finish."""

    def __init__(self, clock, former, *, takes_s):
        super().__init__(clock, "nginx")
        self._former, self._takes_s, self._told_s = former, takes_s, float("inf")

    def children(self):
        has_new = self._clock.now() - self._told_s + 1e-6 >= self._takes_s
        return frozenset(range(self._former)) | (frozenset({100}) if has_new else frozenset())

    def reload(self):
        self._told_s = self._clock.now()


@pytest.mark.parametrize(
    ("former", "takes_s", "is_dose", "new"),
    [(1, 1.9, True, 1), (1, 2.1, False, 0), (3, 1.9, True, 1), (3, 2.1, False, 0)],
)
def test_a_reload_is_waited_for_two_seconds_until_a_new_worker_is_there(former, takes_s, is_dose, new):
    """One is all that answers: two more are of earlier configurations, and have no successors."""
    clock = FakeClock()
    action = ReloadAction(Reload(kind="reload", target="nginx"), site(clock, Balancer(clock, former, takes_s=takes_s)))
    action.begin(None)

    seen = action.observe()

    assert seen.is_delivered == is_dose
    assert seen.seen == f"nginx has {new} new of 1 workers, and {former} of the former finish"
