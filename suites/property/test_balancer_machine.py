"""The balancer under any order of calls, outcomes, hosts and time, against a few plain facts."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fixtures.reference.core.balancer import Balancer, BalancerPolicy, Choice, HostState, Lease
from harness.clock import FakeClock

PATHS = {
    HostState.SERVING: {HostState.EJECTED},
    HostState.EJECTED: {HostState.PROBING},
    HostState.PROBING: {HostState.EJECTED, HostState.SERVING},
}


class BalancerMachine(RuleBasedStateMachine):
    """Compare a balancer with what was seen of it: who got which call, how it ended, and what was told of each host."""

    @initialize(
        hosts=st.integers(1, 5),
        choice=st.sampled_from(Choice),
        failures=st.integers(1, 3),
        probes=st.integers(1, 3),
        max_ejected_ratio=st.sampled_from([0.0, 0.5, 1.0]),
        panic_ratio=st.sampled_from([0.0, 0.5, 1.0]),
        slow_start_s=st.sampled_from([0.0, 5.0]),
    )
    def build(self, hosts: int, **chosen) -> None:
        self.policy = BalancerPolicy(ejection_s=10, ejection_max_s=25, interval_s=10, probe_max_s=8, **chosen)
        self.clock = FakeClock(500.0)
        self.state = {f"host-{n}": HostState.SERVING for n in range(hosts)}
        self.since_s = dict.fromkeys(self.state, 500.0)
        self.ejections = dict.fromkeys(self.state, 0)
        self.in_a_row = dict.fromkeys(self.state, 0)
        self.period = dict.fromkeys(self.state, 0)
        self.probes_ok = dict.fromkeys(self.state, 0)
        self.warm_calls: dict[str, list[float]] = {}  # of a host that starts slowly: its calls, and its share of all
        self.under_way: list[tuple[Lease, str, int, float]] = []
        self.ended: list[Lease] = []
        self.names = hosts
        self.overflows = 0
        self.balancer = Balancer(
            dict.fromkeys(self.state, 1), self.policy, clock=self.clock, random=Random(3), on_change=self.on_change
        )

    def on_change(self, host: str, old: HostState, new: HostState) -> None:
        """Changes form a path of the table; a rest is as long as it should be (LB3), and not too many rest."""
        assert old is self.state[host]
        assert new in PATHS[old]
        now_s = self.clock.now()
        lasted_s = now_s - self.since_s[host]
        if old is HostState.SERVING:
            away = sum(state is not HostState.SERVING for state in self.state.values())
            assert (away + 1) / len(self.state) <= self.policy.max_ejected_ratio
            self.ejections[host] = max(0, self.ejections[host] - int(lasted_s / self.policy.interval_s))
        if old is HostState.EJECTED:
            assert lasted_s >= self.rest_s(host)
        if new is HostState.EJECTED:
            self.ejections[host] += 1
        if new is HostState.SERVING:
            assert self.probes_ok[host] == self.policy.probes
            self.warm_calls[host] = [0, 0.0]
        else:
            self.warm_calls.pop(host, None)
        self.state[host], self.since_s[host] = new, now_s
        self.period[host] += 1
        self.in_a_row[host] = self.probes_ok[host] = 0

    def rest_s(self, host: str) -> float:
        """Return the shortest rest of a host, in seconds."""
        return min(self.policy.ejection_max_s, self.policy.ejection_s * self.ejections[host])

    def probing(self, host: str) -> list[float]:
        """Return when each probe of this period that is under way began."""
        return [at_s for _, name, period, at_s in self.under_way if (name, period) == (host, self.period[host])]

    @precondition(lambda self: self.state)
    @rule(key=st.integers(0, 50))
    def call(self, key: int) -> None:
        now_s = self.clock.now()
        rested = {
            host
            for host, state in self.state.items()
            if state is HostState.EJECTED and now_s > self.since_s[host] + self.rest_s(host) * 1.1
        }
        hung = {
            host
            for host, state in self.state.items()
            if state is HostState.PROBING and any(now_s - at_s > 8 for at_s in self.probing(host))
        }
        panics = self.balancer.panics
        lease = self.balancer.pick(str(key))
        host = lease.host
        assert all(self.state[each] is not HostState.EJECTED for each in rested)  # its time comes (LB3)
        assert all(self.state[each] is HostState.EJECTED for each in hung)
        serving = [each for each, state in self.state.items() if state is HostState.SERVING]
        if self.balancer.panics == panics:
            assert self.state[host] is not HostState.EJECTED  # LB3
            assert self.state[host] is HostState.SERVING or len(self.probing(host)) < self.policy.probes
            assert len(serving) / len(self.state) >= self.policy.panic_ratio  # LB5
        else:
            assert not serving or len(serving) / len(self.state) < self.policy.panic_ratio
        self.note_share(host, serving, now_s, is_panic=self.balancer.panics != panics)
        self.under_way.append((lease, host, self.period[host], now_s))

    def note_share(self, host: str, serving: list[str], now_s: float, *, is_panic: bool) -> None:
        """A host in its slow start has had no more than its share, and two calls (LB6), unless all start slowly."""
        for each in list(self.warm_calls):
            if now_s - self.since_s[each] >= self.policy.slow_start_s:
                del self.warm_calls[each]
        for each, had in self.warm_calls.items():
            had[1] += 1 / len(serving)
            if each == host and not is_panic and set(self.warm_calls) < set(serving):
                had[0] += 1
                assert had[0] <= had[1] + 2

    @precondition(lambda self: self.under_way)
    @rule(
        which=st.randoms(use_true_random=False), outcome=st.sampled_from(["succeeded", "failed", "failed", "released"])
    )
    def end(self, which, outcome: str) -> None:
        lease, host, period, _ = self.under_way.pop(which.randrange(len(self.under_way)))
        self.ended.append(lease)
        is_current = self.period.get(host) == period and self.state[host] is not HostState.EJECTED
        before = dict(self.state)
        expected = self.expected(host, outcome) if is_current else None
        getattr(self.balancer, outcome)(lease)
        if is_current and expected is not None:
            assert self.state[host] is expected
        if not is_current:
            assert self.state == before

    def expected(self, host: str, outcome: str) -> HostState:
        """Return the state that this outcome must lead to, and note it."""
        state = self.state[host]
        if outcome == "succeeded":
            self.in_a_row[host] = 0
            self.probes_ok[host] += state is HostState.PROBING
            return HostState.SERVING if self.probes_ok[host] >= self.policy.probes else state
        if outcome == "released":
            return state
        if state is HostState.PROBING:
            return HostState.EJECTED
        self.in_a_row[host] += 1
        if self.in_a_row[host] < self.policy.failures:
            return state
        self.in_a_row[host] = 0
        away = sum(each is not HostState.SERVING for each in self.state.values())
        if (away + 1) / len(self.state) <= self.policy.max_ejected_ratio:
            return HostState.EJECTED
        self.overflows += 1
        return state

    @precondition(lambda self: self.ended)
    @rule(outcome=st.sampled_from(["succeeded", "failed", "released"]))
    def end_again(self, outcome: str) -> None:
        """A call that is reported twice counts once (LB1)."""
        before, stale = (dict(self.state), self.balancer.hosts()), self.balancer.stale
        getattr(self.balancer, outcome)(self.ended[-1])
        assert (self.state, self.balancer.hosts()) == before
        assert self.balancer.stale == stale + 1

    @rule()
    def add(self) -> None:
        host = f"host-{self.names}"
        self.names += 1
        self.state[host], self.since_s[host] = HostState.SERVING, self.clock.now()
        self.ejections[host] = self.in_a_row[host] = self.period[host] = self.probes_ok[host] = 0
        self.warm_calls[host] = [0, 0.0]
        self.balancer.add(host)

    @precondition(lambda self: len(self.state) > 1)
    @rule(which=st.randoms(use_true_random=False))
    def remove(self, which) -> None:
        host = which.choice(sorted(self.state))
        for facts in (self.state, self.since_s, self.ejections, self.in_a_row, self.period, self.probes_ok):
            del facts[host]
        self.warm_calls.pop(host, None)
        self.balancer.remove(host)

    @rule(seconds=st.sampled_from([0.01, 1.0, 5.0, 9.0, 10.0, 11.0, 28.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def every_call_is_accounted_for(self) -> None:
        """What is in flight is what has not ended (LB1), and the states are those that were told."""
        views = {view.name: view for view in self.balancer.hosts()}
        for host, state in self.state.items():
            view = views[host]
            assert view.in_flight == sum(name == host for _, name, _, _ in self.under_way)
            assert view.picks == view.succeeded + view.failed + view.released + view.in_flight
            assert view.state is state
        assert views.keys() == self.state.keys()
        assert self.balancer.overflows == self.overflows


TestBalancerMachine = BalancerMachine.TestCase
