"""The circuit breaker under any order of calls, outcomes, cancellations, hands and time, against a few plain facts."""

from __future__ import annotations

from collections import Counter
from math import inf
from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from fixtures.reference.core.breaker import Breaker, BreakerPolicy, CircuitOpen, Permit, Reason, State
from harness.clock import FakeClock

PATHS = {
    State.CLOSED: {State.OPEN},
    State.OPEN: {State.HALF_OPEN},
    State.HALF_OPEN: {State.OPEN, State.CLOSED},
}
OUTCOMES = ("succeeded", "failed", "released")
COUNTED_AS = {"succeeded": "successes", "failed": "failures", "released": "neutral"}
SLOW_S = 15.0


class BreakerMachine(RuleBasedStateMachine):
    """Compare a breaker with what was seen of it: when calls failed, and what happened since the last transition."""

    permits = Bundle("permits")

    @initialize(
        failures=st.integers(1, 4),
        probes=st.integers(1, 3),
        successes=st.integers(1, 3),
        recovery_s=st.integers(1, 20),
        is_timed=st.booleans(),
    )
    def build(self, *, failures: int, probes: int, successes: int, recovery_s: int, is_timed: bool) -> None:
        self.policy = BreakerPolicy(
            failures=failures,
            window_s=10,
            recovery_s=recovery_s,
            recovery_max_s=recovery_s * 5,
            probes=probes,
            successes=min(probes, successes),
            probe_max_s=30,
            slow_call_s=SLOW_S if is_timed else inf,
        )
        self.clock = FakeClock()
        self.breaker = Breaker("any", self.policy, clock=self.clock, random=Random(3), on_transition=self.on_transition)
        self.state = State.CLOSED
        self.is_forced = self.by_hand = False
        self.reports: Counter[str] = Counter()
        self.admitted_at: dict[int, float] = {}
        self.period = self.calls = self.admitted = self.rejected = self.trips = 0
        self.period_of: dict[int, int] = {}
        self.kept: list[Permit] = []  # alive, so that no id is used twice
        self.failed_at: list[float] = []
        self.began_s = 0.0
        self.running: dict[int, float] = {}  # probes of this period and when they began
        self.probes_admitted = self.probes_released = self.probes_ok = 0
        self.way: list[tuple[State, float]] = [(State.CLOSED, self.clock.now())]

    def on_transition(self, _name: str, old: State, new: State) -> None:
        """Each transition is told once, and together they form a path of the table (B7)."""
        assert old is self.state
        assert new is not old if self.by_hand else new in PATHS[old]
        self.trips += new is State.OPEN and not self.by_hand
        self.state = new
        self.way.append((new, self.clock.now()))
        self.begin()

    def begin(self) -> None:
        """A new period: nothing of before counts for it."""
        if self.state is State.CLOSED:
            self.trips = 0
        self.period, self.began_s = self.period + 1, self.clock.now()
        self.failed_at, self.running = [], {}
        self.probes_admitted = self.probes_released = self.probes_ok = 0

    @rule(target=permits)
    def ask(self):
        """Ask for leave to call."""
        self.calls += 1
        before, since_s = self.state, self.clock.now() - self.began_s
        hung = any(self.clock.now() - began_s > self.policy.probe_max_s for began_s in self.running.values())
        room = len(self.running) + self.probes_ok < self.policy.probes
        try:
            permit = self.breaker.admit()
        except CircuitOpen as refusal:
            self.rejected += 1
            assert before is not State.CLOSED
            says_forced = refusal.reason is Reason.FORCED
            assert says_forced == self.is_forced
            if self.is_forced:
                return multiple()
            # While it rests, and never a jitter longer (B2, B6); otherwise only for want of permits (B4).
            assert before is not State.OPEN or since_s <= self.rest_s() * 1.1
            assert before is not State.HALF_OPEN or hung or not room
            return multiple()
        self.admitted += 1
        assert before is State.CLOSED or not self.is_forced
        assert before is not State.OPEN or since_s >= self.rest_s(self.trips) * 0.9
        assert before is not State.HALF_OPEN or (room and not hung)
        self.kept.append(permit)
        self.period_of[id(permit)] = self.period
        self.admitted_at[id(permit)] = self.clock.now()
        if self.state is State.HALF_OPEN:
            self.probes_admitted += 1
            self.running[id(permit)] = self.clock.now()
        return permit

    def rest_s(self, trips: int | None = None) -> float:
        """Return the rest without its jitter, in seconds (B6)."""
        trips = self.trips if trips is None else trips
        return min(self.policy.recovery_max_s, self.policy.recovery_s * 2 ** (trips - 1))

    @rule(permit=permits, outcome=st.sampled_from(OUTCOMES))
    def report(self, permit: Permit, outcome: str) -> None:
        """Report an outcome, perhaps for a period long gone, perhaps again."""
        is_current = self.period_of[id(permit)] == self.period
        if self.state is State.HALF_OPEN:
            is_current = id(permit) in self.running
        if outcome == "succeeded" and self.clock.now() - self.admitted_at[id(permit)] > self.policy.slow_call_s:
            counted = "failed"  # too late is no better than never
        else:
            counted = outcome
        self.reports[COUNTED_AS[counted] if is_current else "stale"] += 1
        seen = (self.state, self.period, self.breaker.trips, self.breaker.recent())
        expected = self.expected(permit, counted) if is_current else self.state
        getattr(self.breaker, outcome)(permit)
        assert self.state is expected
        if not is_current:  # B3
            assert seen == (self.state, self.period, self.breaker.trips, self.breaker.recent())

    def expected(self, permit: Permit, outcome: str) -> State:
        """Return the state that this report must lead to, and note it (B5 for CLOSED)."""
        if self.state is State.CLOSED:
            if outcome == "failed":
                now_s = self.clock.now()
                self.failed_at = [at for at in [*self.failed_at, now_s] if at > now_s - self.policy.window_s]
            is_too_much = len(self.failed_at) >= self.policy.failures and not self.is_forced
            return State.OPEN if is_too_much else State.CLOSED
        del self.running[id(permit)]
        if outcome == "failed":
            return State.OPEN
        self.probes_released += outcome == "released"
        self.probes_ok += outcome == "succeeded"
        return State.CLOSED if self.probes_ok == self.policy.successes else State.HALF_OPEN

    @rule(how=st.sampled_from(["force_open", "force_close", "reset"]))
    def move_by_hand(self, how: str) -> None:
        """Hold it open or closed, or let it go; what began before is stale then (B3)."""
        self.by_hand, before = True, self.state
        getattr(self.breaker, how)()
        self.by_hand, self.is_forced = False, how != "reset"
        assert self.state is (State.OPEN if how == "force_open" else State.CLOSED)
        if self.state is before:  # not a transition, and a new period all the same
            self.begin()

    @rule(seconds=st.floats(0.01, 120, allow_nan=False))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def probes_are_bounded(self) -> None:
        """In one half-open period no more get in than permits and cancellations allow, nor at a time (B1)."""
        assert self.probes_admitted <= self.policy.probes + self.probes_released
        assert len(self.running) <= self.policy.probes

    @invariant()
    def its_way_is_remembered(self) -> None:
        """Each state with its beginning (B7), and what was let through in it that was not given back (B1)."""
        trace, now_s = self.breaker.trace(), self.clock.now()
        assert [(stay.state, now_s - stay.ago_s) for stay in trace.stays] == [
            (state, pytest.approx(at_s, abs=1e-6)) for state, at_s in self.way
        ]
        assert sum(stay.admitted for stay in trace.stays) == self.admitted - self.reports["neutral"]
        for stay in trace.stays:
            assert stay.admitted <= {"open": 0, "half_open": self.policy.probes}.get(stay.state, self.admitted)
            longest_s = self.policy.recovery_max_s * 1.1 + 1e-6
            assert stay.rest_s is None or (stay.state == "open" and 0 < stay.rest_s <= longest_s)

    @invariant()
    def every_call_is_accounted_for(self) -> None:
        """Admitted and rejected make up all calls (B10), and the state is the one that was told."""
        assert (self.breaker.admitted, self.breaker.rejected) == (self.admitted, self.rejected)
        assert self.breaker.admitted + self.breaker.rejected == self.calls
        assert self.breaker.state is self.state
        assert self.breaker.trips == self.trips
        counted = {name: getattr(self.breaker, name) for name in ("successes", "failures", "neutral", "stale")}
        assert counted == {name: self.reports[name] for name in counted}


TestBreakerMachine = BreakerMachine.TestCase
