"""The circuit breaker under any order of calls, outcomes, cancellations and time, against a few plain facts."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from fixtures.reference.core.breaker import Breaker, BreakerPolicy, CircuitOpen, Permit, State
from harness.clock import FakeClock

PATHS = {
    State.CLOSED: {State.OPEN},
    State.OPEN: {State.HALF_OPEN},
    State.HALF_OPEN: {State.OPEN, State.CLOSED},
}
OUTCOMES = ("succeeded", "failed", "released")


class BreakerMachine(RuleBasedStateMachine):
    """Compare a breaker with what was seen of it: when calls failed, and what happened since the last transition."""

    permits = Bundle("permits")

    @initialize(failures=st.integers(1, 4), probes=st.integers(1, 3), recovery_s=st.integers(1, 20))
    def build(self, failures: int, probes: int, recovery_s: int) -> None:
        self.policy = BreakerPolicy(
            failures=failures,
            window_s=10,
            recovery_s=recovery_s,
            recovery_max_s=recovery_s * 5,
            probes=probes,
            probe_max_s=30,
        )
        self.clock = FakeClock()
        self.breaker = Breaker("any", self.policy, clock=self.clock, random=Random(3), on_transition=self.on_transition)
        self.state = State.CLOSED
        self.period = self.calls = self.admitted = self.rejected = self.trips = 0
        self.period_of: dict[int, int] = {}
        self.kept: list[Permit] = []  # alive, so that no id is used twice
        self.failed_at: list[float] = []
        self.began_s = 0.0
        self.running: dict[int, float] = {}  # probes of this period and when they began
        self.probes_admitted = self.probes_released = self.probes_ok = 0

    def on_transition(self, _name: str, old: State, new: State) -> None:
        """Each transition is told once, and together they form a path of the table (B7)."""
        assert old is self.state
        assert new in PATHS[old]
        if new is State.OPEN:
            self.trips += 1
        if new is State.CLOSED:
            self.trips = 0
        self.state, self.period, self.began_s = new, self.period + 1, self.clock.now()
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
        except CircuitOpen:
            self.rejected += 1
            assert before is not State.CLOSED
            # While it rests, and never a jitter longer (B2, B6); otherwise only for want of permits (B4).
            assert before is not State.OPEN or since_s <= self.rest_s() * 1.1
            assert before is not State.HALF_OPEN or hung or not room
            return multiple()
        self.admitted += 1
        assert before is not State.OPEN or since_s >= self.rest_s(self.trips) * 0.9
        assert before is not State.HALF_OPEN or (room and not hung)
        self.kept.append(permit)
        self.period_of[id(permit)] = self.period
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
        seen = (self.state, self.period, self.breaker.trips, self.breaker.recent())
        expected = self.expected(permit, outcome) if is_current else self.state
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
            return State.OPEN if len(self.failed_at) >= self.policy.failures else State.CLOSED
        del self.running[id(permit)]
        if outcome == "failed":
            return State.OPEN
        self.probes_released += outcome == "released"
        self.probes_ok += outcome == "succeeded"
        return State.CLOSED if self.probes_ok == self.policy.probes else State.HALF_OPEN

    @rule(seconds=st.floats(0.01, 120, allow_nan=False))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def probes_are_bounded(self) -> None:
        """In one half-open period no more get in than permits and cancellations allow, nor at a time (B1)."""
        assert self.probes_admitted <= self.policy.probes + self.probes_released
        assert len(self.running) <= self.policy.probes

    @invariant()
    def every_call_is_accounted_for(self) -> None:
        """Admitted and rejected make up all calls (B10), and the state is the one that was told."""
        assert (self.breaker.admitted, self.breaker.rejected) == (self.admitted, self.rejected)
        assert self.breaker.admitted + self.breaker.rejected == self.calls
        assert self.breaker.state is self.state


TestBreakerMachine = BreakerMachine.TestCase
