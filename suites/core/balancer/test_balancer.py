"""The balancer against its table of states and its choices; what any balancer must keep is in suites/contract/core."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from fixtures.reference.core.balancer import Balancer, BalancerPolicy, Choice, HostState, NoHost
from fixtures.reference.core.balancer.settings import BalancerSettings
from harness.clock import FakeClock
from suites.support.dice import dice_of
from suites.support.servers import PROJECT

EXACT = BalancerPolicy(choice=Choice.ROUND_ROBIN, jitter_ratio=0.0, slow_start_s=0)


class Service:
    """A balancer on a fake clock, what it told of its hosts, and which hosts are down."""

    def __init__(self, hosts: int | dict[str, int] = 4, policy: BalancerPolicy = EXACT) -> None:
        self.clock = FakeClock(1000.0)
        self.told: list[tuple[str, HostState, HostState]] = []
        self.down: set[str] = set()
        weights = hosts if isinstance(hosts, dict) else {f"host-{n}": 1 for n in range(hosts)}
        self.balancer = Balancer(
            weights, policy, clock=self.clock, random=Random(1), on_change=lambda *change: self.told.append(change)
        )

    def serve(self, calls: int, *, every_s: float = 0.0, lasts_s: float = 0.0) -> Counter[str]:
        """Make calls one after the other; those to hosts that are down fail. Return what each host got."""
        seen: Counter[str] = Counter()
        for _ in range(calls):
            lease = self.balancer.pick()
            seen[lease.host] += 1
            self.clock.advance(lasts_s)
            (self.balancer.failed if lease.host in self.down else self.balancer.succeeded)(lease)
            self.clock.advance(every_s)
        return seen

    def eject(self, host: str) -> None:
        """Let a host fail until it is ejected."""
        self.down.add(host)
        self.serve(5 * len(self.balancer.hosts()))
        assert self.view(host).state is HostState.EJECTED

    def home_of(self, key: str) -> str:
        """Return the host of a key's call, which ends at once."""
        lease = self.balancer.pick(key)
        self.balancer.succeeded(lease)
        return lease.host

    def view(self, host: str):
        return next(view for view in self.balancer.hosts() if view.name == host)


def test_balancer_ejects_at_the_fifth_failure_in_a_row_and_not_before():
    """Four leave it in, a success in between starts over."""
    service = Service(2)
    service.down = {"host-1"}

    service.serve(8)
    assert service.view("host-1").state is HostState.SERVING
    service.down = set()
    service.serve(2)
    service.down = {"host-1"}
    service.serve(8)
    assert service.view("host-1").state is HostState.SERVING

    service.serve(2)
    assert service.view("host-1").state is HostState.EJECTED
    assert service.told == [("host-1", HostState.SERVING, HostState.EJECTED)]


def test_balancer_says_how_long_a_host_rests_and_keeps_to_it():
    """30 s from the last failure; a moment before it gets nothing, then it is probed (LB3)."""
    service = Service(2)
    service.eject("host-1")

    service.clock.advance(10)
    assert service.view("host-1").retry_after_s == 20
    service.clock.advance(19.999)
    assert service.serve(10)["host-1"] == 0
    assert service.view("host-1").state is HostState.EJECTED

    service.clock.advance(0.001)
    service.down = set()
    assert service.serve(2)["host-1"] == 1
    assert service.view("host-1").state is HostState.PROBING
    assert service.view("host-1").retry_after_s == 0


def test_balancer_rests_a_host_longer_at_each_ejection_up_to_the_longest():
    """30, 60, 90 … 300, 300 s."""
    service = Service(2, BalancerPolicy(choice=Choice.ROUND_ROBIN, jitter_ratio=0.0))
    service.eject("host-1")

    rests = [service.view("host-1").retry_after_s]
    for _ in range(10):
        service.clock.advance(rests[-1])
        service.serve(2)
        rests.append(service.view("host-1").retry_after_s)

    assert rests == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300]


@pytest.mark.parametrize(
    ("served_s", "rest_s"),
    [
        pytest.param(9.9, 90, id="less than an interval takes nothing off"),
        pytest.param(10.0, 60, id="an interval takes one off"),
        pytest.param(20.0, 30, id="two intervals take both off"),
        pytest.param(600.0, 30, id="more than there were leaves the first"),
    ],
)
def test_balancer_forgets_ejections_while_a_host_serves(served_s, rest_s):
    """A host that was ejected twice and then served is, at its next failure, multiplied by what is left and one."""
    service = Service(2)
    service.eject("host-1")
    service.clock.advance(30)
    service.serve(2)  # the probe fails
    service.clock.advance(60)
    service.down = set()
    service.serve(6)  # the probes succeed
    assert service.view("host-1").state is HostState.SERVING

    service.clock.advance(served_s)
    service.eject("host-1")

    assert service.view("host-1").retry_after_s == rest_s


def test_balancer_lengthens_a_rest_by_the_jitter_only():
    """With 10 % jitter rests differ, and are from 30 to 33 s: never before its time (LB3)."""
    service = Service(40, BalancerPolicy(choice=Choice.ROUND_ROBIN))
    service.down = {f"host-{n}" for n in range(20)}

    service.serve(200)

    rests = {service.view(host).retry_after_s for host in service.down}
    assert all(30 <= rest_s <= 33 for rest_s in rests)
    assert len(rests) == 20


def test_balancer_lets_a_host_serve_after_three_good_probes():
    """Two are not enough; while it is probed no more than three run there, those that succeeded included."""
    service = Service(2)
    service.eject("host-1")
    service.down = set()
    service.clock.advance(30)

    service.serve(4)
    assert service.view("host-1").state is HostState.PROBING
    service.serve(2)

    assert service.view("host-1").state is HostState.SERVING
    assert [change[1:] for change in service.told] == [
        (HostState.SERVING, HostState.EJECTED),
        (HostState.EJECTED, HostState.PROBING),
        (HostState.PROBING, HostState.SERVING),
    ]


def test_balancer_counts_probes_that_succeeded_among_the_three():
    """After two good probes one more may run, not three (LB3)."""
    service = Service(2)
    service.eject("host-1")
    service.down = set()
    service.clock.advance(30)
    service.serve(4)

    under_way = Counter(service.balancer.pick().host for _ in range(20))

    assert under_way["host-1"] == 1


def test_balancer_gives_the_permits_of_cancelled_probes_back():
    """However many probes are cancelled, a good call gets in afterwards."""
    service = Service(2)
    service.eject("host-1")
    service.down = set()
    service.clock.advance(30)

    for _ in range(50):
        service.balancer.released(service.balancer.pick())
    service.serve(6)

    assert service.view("host-1").state is HostState.SERVING


def test_balancer_ejects_a_host_whose_probe_hangs():
    """After 30 s without an answer, not at 30 s; a hung host is not healthy."""
    service = Service(2)
    service.eject("host-1")
    service.clock.advance(30)
    hung = [lease for lease in [service.balancer.pick() for _ in range(6)] if lease.host == "host-1"]
    assert len(hung) == 3

    service.clock.advance(30)
    service.serve(1)
    assert service.view("host-1").state is HostState.PROBING

    service.clock.advance(0.001)
    service.serve(1)
    assert service.view("host-1").state is HostState.EJECTED
    assert service.view("host-1").retry_after_s == 60


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "released"])
def test_balancer_ignores_what_an_older_period_reports(outcome):
    """Calls that were under way when a host was ejected end while it is probed: no state changes, no permit is freed."""
    service = Service(2)
    late = [lease for lease in [service.balancer.pick() for _ in range(20)] if lease.host == "host-1"]
    service.eject("host-1")
    service.clock.advance(30)
    probes = [lease for lease in [service.balancer.pick() for _ in range(20)] if lease.host == "host-1"]
    assert len(probes) == 3

    for lease in late:
        getattr(service.balancer, outcome)(lease)

    assert service.view("host-1").state is HostState.PROBING
    assert service.view("host-1").in_flight == 3
    assert service.balancer.stale == 10
    assert Counter(service.balancer.pick().host for _ in range(20))["host-1"] == 0


def test_balancer_ejects_once_for_a_crowd_of_failures():
    """Fifty calls under way fail together: one ejection, one rest."""
    service = Service(2)
    crowd = [lease for lease in [service.balancer.pick() for _ in range(100)] if lease.host == "host-1"]

    for lease in crowd:
        service.balancer.failed(lease)

    assert service.told == [("host-1", HostState.SERVING, HostState.EJECTED)]
    assert service.view("host-1").retry_after_s == 30


@pytest.mark.parametrize(
    ("hosts", "ratio", "ejected"), [(4, 0.5, 2), (5, 0.5, 2), (1, 0.5, 0), (100, 0.29, 29), (3, 1, 3)]
)
def test_balancer_ejects_no_more_than_a_share(hosts, ratio, ejected):
    """With all hosts down at most half are ejected; what was due beyond is counted."""
    policy = BalancerPolicy(choice=Choice.ROUND_ROBIN, max_ejected_ratio=ratio, panic_ratio=0, jitter_ratio=0.0)
    service = Service(hosts, policy)
    service.down = {f"host-{n}" for n in range(hosts)}

    service.serve(20 * hosts)

    assert sum(view.state is HostState.EJECTED for view in service.balancer.hosts()) == ejected
    assert (service.balancer.overflows > 0) == (ejected < hosts)


def test_balancer_without_room_takes_as_many_failures_again():
    """Five more failures in a row, as Envoy: the host goes when another has come back."""
    service = Service(2)
    service.eject("host-0")
    service.down = {"host-1"}
    service.serve(5)
    assert service.balancer.overflows == 1
    service.serve(4)
    assert service.balancer.overflows == 1
    service.serve(1)
    assert service.balancer.overflows == 2


def test_balancer_ejects_the_host_whose_success_rate_is_far_below_the_others():
    """Every fourth call of one of five hosts fails, never five in a row: it is ejected after the interval."""
    service = Service(5)
    service.serve(1)
    for call in range(600):
        service.down = {"host-3"} if call // 5 % 4 == 0 else set()
        service.serve(1)
    service.down = set()
    assert service.told == []

    service.clock.advance(10)
    service.serve(1)

    assert service.told == [("host-3", HostState.SERVING, HostState.EJECTED)]


@pytest.mark.parametrize(
    ("hosts", "calls", "after_s"),
    [
        pytest.param(4, 100, 10, id="four hosts"),
        pytest.param(5, 99, 10, id="99 calls a host"),
        pytest.param(5, 100, 9.9, id="before the interval is over"),
    ],
)
def test_balancer_compares_success_rates_only_with_enough_to_compare(hosts, calls, after_s):
    """Fewer than five hosts, or fewer than a hundred calls, prove nothing, however far one is from the others."""
    service = Service(hosts, replace(EXACT, outlier_stdevs=1.0))
    for call in range(calls):
        service.down = {"host-1"} if call % 2 else set()
        service.serve(hosts)

    service.clock.advance(after_s)
    service.serve(1)

    assert service.told == []


def test_balancer_counts_success_rates_anew_in_each_interval():
    """Fifty calls a host in each of two intervals are not a hundred."""
    service = Service(5)
    service.serve(1)
    for _ in range(2):
        for call in range(50):
            service.down = {"host-1"} if call % 2 else set()
            service.serve(5)
        service.clock.advance(10)
        service.serve(1)

    assert service.told == []


def test_balancer_panics_when_fewer_than_half_are_left_and_keeps_ejected_hosts_ejected():
    """Two of four away and a third removed: all are used, answers of an ejected host do not end its rest (LB5)."""
    service = Service(4)
    service.eject("host-0")
    service.eject("host-1")
    assert service.serve(20).keys() == {"host-2", "host-3"}
    assert service.balancer.panics == 0

    service.balancer.remove("host-2")
    service.down = set()
    seen = service.serve(30)

    assert seen == {"host-0": 10, "host-1": 10, "host-3": 10}
    assert service.balancer.panics == 30
    assert service.view("host-0").state is HostState.EJECTED
    assert service.view("host-0").retry_after_s == 30


def test_failures_of_a_host_that_panic_chose_prolong_no_rest():
    """It is away already: five more of them do not eject it again (LB5)."""
    service = Service(3, replace(EXACT, panic_ratio=1.0, max_ejected_ratio=1.0))
    service.eject("host-0")
    service.clock.advance(10)

    assert service.serve(15)["host-0"] == 5

    assert service.view("host-0").retry_after_s == 20
    assert service.told == [("host-0", HostState.SERVING, HostState.EJECTED)]


def test_balancer_ends_its_panic_when_hosts_come_back():
    """Once the rests are over and the probes good, all serve, and no call is a panic."""
    service = Service(3)
    service.eject("host-0")
    service.balancer.remove("host-1")
    service.balancer.remove("host-2")
    service.down = set()
    service.serve(1)
    assert service.balancer.panics == 1

    service.clock.advance(30)
    service.serve(10)
    panics = service.balancer.panics
    service.serve(10)

    assert service.view("host-0").state is HostState.SERVING
    assert service.balancer.panics == panics


def test_balancer_without_hosts_says_so():
    """No host is an error, and the only one."""
    service = Service({})

    with pytest.raises(NoHost, match="no host to choose from"):
        service.balancer.pick()

    service.balancer.add("host-1")
    assert service.serve(1) == {"host-1": 1}


def test_balancer_refuses_hosts_that_make_no_sense():
    """A second of one name, a weight of nothing, and one to remove that is not there."""
    service = Service(1)

    with pytest.raises(ValueError, match="there is a host 'host-0' already"):
        service.balancer.add("host-0")
    with pytest.raises(ValueError, match="'host-1' has 0"):
        service.balancer.add("host-1", 0)
    with pytest.raises(ValueError, match="no host 'host-2' to remove; there are host-0"):
        service.balancer.remove("host-2")
    with pytest.raises(ValueError, match="'b' has -1"):
        Service({"a": 1, "b": -1})


def test_balancer_lets_calls_end_at_a_host_that_was_removed():
    """Its old calls end without a trace, and a new host of the same name starts from nothing."""
    service = Service(2)
    old = [lease for lease in [service.balancer.pick() for _ in range(20)] if lease.host == "host-1"]

    service.balancer.remove("host-1")
    service.balancer.add("host-1")
    for lease in old:
        service.balancer.failed(lease)

    assert service.view("host-1").in_flight == 0
    assert service.view("host-1").failed == 0
    assert service.told == []
    assert service.balancer.stale == 10


def test_balancer_forgets_that_a_removed_host_was_ejected():
    """Its place among the ejected is free again, and its rest is never ended."""
    service = Service(3)
    service.eject("host-0")
    service.balancer.remove("host-0")
    service.down = {"host-1"}
    service.serve(20)
    assert service.view("host-1").state is HostState.EJECTED

    service.clock.advance(29)
    service.serve(1)

    assert [change[0] for change in service.told] == ["host-0", "host-1"]


def test_balancer_accounts_for_every_call():
    """What a host got is what succeeded, failed, was released, or is under way, and the hosts' sum is all calls."""
    service = Service(3)
    random = dice_of(5)
    for call in range(300):
        lease = service.balancer.pick()
        outcome = random.choice(["succeeded", "failed", "released", None])
        if outcome is not None:
            getattr(service.balancer, outcome)(lease)
        if call % 50 == 49:
            service.clock.advance(40)

    views = service.balancer.hosts()
    assert sum(view.picks for view in views) == 300
    assert all(view.picks == view.succeeded + view.failed + view.released + view.in_flight for view in views)


@pytest.mark.parametrize("error", [None, OSError, ValueError, asyncio.CancelledError])
async def test_balancer_call_hands_the_lease_back_whatever_happens(error):
    """An answer, a failure, an error that says nothing of the host, and a cancelled caller (LB1)."""
    service = Service(1)

    async def operation(host: str) -> str:
        assert service.view(host).in_flight == 1
        if error is not None:
            raise error
        return host

    if error is None:
        assert await service.balancer.call(operation, failures=(OSError,)) == "host-0"
    else:
        with pytest.raises(error):
            await service.balancer.call(operation, failures=(OSError,))

    view = service.view("host-0")
    assert view.in_flight == 0
    assert (view.succeeded, view.failed, view.released) == (
        error is None,
        error is OSError,
        error not in {None, OSError},
    )


async def test_balancer_takes_cancelling_for_neither_success_nor_failure():
    """After four failures and any number of cancelled calls the fifth ejects, and no cancelled call does."""
    service = Service(2)
    service.down = {"host-1"}
    service.serve(8)

    for _ in range(20):
        call = asyncio.create_task(service.balancer.call(lambda _host: asyncio.Event().wait(), failures=(OSError,)))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert service.view("host-1").state is HostState.SERVING

    service.serve(2)
    assert service.view("host-1").state is HostState.EJECTED


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError])
def test_listener_that_fails_hurts_no_call(error, caplog):
    """The calls go on, the state is what it should be, and the error is in the log."""
    clock = FakeClock()

    def listen(host: str, old: HostState, new: HostState) -> None:
        raise error(f"cannot hear {host}")

    balancer = Balancer({"a": 1, "b": 1}, EXACT, clock=clock, random=Random(1), on_change=listen)
    for _ in range(10):
        lease = balancer.pick()
        (balancer.failed if lease.host == "a" else balancer.succeeded)(lease)

    assert [view.state for view in balancer.hosts()] == [HostState.EJECTED, HostState.SERVING]
    assert "cannot hear a" in caplog.text


def test_listener_may_ask_the_balancer():
    """It is told outside the lock: asking there does not hang."""
    seen = []
    clock = FakeClock()
    balancer = Balancer(
        {"a": 1, "b": 1},
        EXACT,
        clock=clock,
        random=Random(1),
        on_change=lambda *_: seen.append([view.state for view in balancer.hosts()]),
    )
    for _ in range(10):
        lease = balancer.pick()
        (balancer.failed if lease.host == "a" else balancer.succeeded)(lease)

    assert seen == [[HostState.EJECTED, HostState.SERVING]]


def test_listener_may_cause_another_change():
    """It hears of it once it has returned, and waits for nothing that only it could end."""
    told = []
    policy = replace(EXACT, max_ejected_ratio=1.0)

    def listen(host: str, _old: HostState, new: HostState) -> None:
        for lease in leases["b"] if host == "a" else []:
            balancer.failed(lease)
        told.append((host, new))

    balancer = Balancer({"a": 1, "b": 1}, policy, clock=FakeClock(), random=Random(1), on_change=listen)
    leases = {"a": [], "b": []}
    for lease in [balancer.pick() for _ in range(10)]:
        leases[lease.host].append(lease)
    failing = threading.Thread(target=lambda: [balancer.failed(lease) for lease in leases["a"]], daemon=True)
    failing.start()
    failing.join(10)

    assert not failing.is_alive()
    assert told == [("a", HostState.EJECTED), ("b", HostState.EJECTED)]


def test_listeners_hear_changes_in_order_from_many_threads():
    """Each host's changes form a path, however many threads cause and tell them."""
    states: dict[str, HostState] = {}
    broken = []

    def listen(host: str, old: HostState, new: HostState) -> None:
        if states.get(host, HostState.SERVING) is not old:
            broken.append((host, old, new))
        states[host] = new

    clock = FakeClock()
    policy = BalancerPolicy(failures=1, ejection_s=0.001, max_ejected_ratio=1, probes=1, slow_start_s=0)
    balancer = Balancer({f"host-{n}": 1 for n in range(8)}, policy, clock=clock, random=Random(1), on_change=listen)

    def use(seed: int) -> None:
        random = dice_of(seed)
        for _ in range(400):
            lease = balancer.pick()
            (balancer.failed if random.random() < 0.5 else balancer.succeeded)(lease)
            clock.advance(0.001)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert broken == []
    assert len(states) == 8


def test_least_in_flight_chooses_the_least_for_its_weight():
    """With weights 3 and 1 the large host has three times as much under way."""
    service = Service({"large": 3, "small": 1}, BalancerPolicy(choice=Choice.LEAST_IN_FLIGHT))

    for _ in range(40):
        service.balancer.pick()

    assert service.view("large").in_flight == 30


def test_two_choices_reads_two_different_hosts():
    """Of two hosts both are always read: the busy one is never chosen."""
    service = Service(2, BalancerPolicy(choice=Choice.TWO_CHOICES))
    first = service.balancer.pick().host

    seen = service.serve(200)

    assert seen[first] == 0


def test_peak_ewma_prefers_the_quick_host_and_asks_the_slow_one_again_in_time():
    """One of two takes 1 s and not 10 ms: hardly any call goes there, until its latency has decayed."""
    service = Service(2, BalancerPolicy(choice=Choice.PEAK_EWMA))
    for _ in range(2):
        slow = service.balancer.pick()
        service.clock.advance(1.0 if slow.host == "host-1" else 0.01)
        service.balancer.succeeded(slow)

    assert service.serve(100, lasts_s=0.01)["host-1"] == 0

    service.clock.advance(60)
    service.serve(1, lasts_s=0.01)  # host-0, or host-1 at once: after 60 s either is as good as unknown
    assert service.serve(100, lasts_s=0.01)["host-1"] > 0


def test_peak_ewma_takes_a_slower_answer_at_once_and_a_quicker_one_slowly():
    """One answer of 1 s after many of 10 ms turns calls away; one of 10 ms after it does not bring them back."""
    service = Service(2, BalancerPolicy(choice=Choice.PEAK_EWMA))
    service.serve(50, lasts_s=0.01)
    lease = service.balancer.pick()
    spared = {"host-0": "host-1", "host-1": "host-0"}[lease.host]
    service.clock.advance(1.0)
    service.balancer.succeeded(lease)

    assert service.serve(50, lasts_s=0.01) == {spared: 50}


@pytest.mark.parametrize("outcome", ["failed", "released"])
def test_peak_ewma_is_not_taken_in_by_calls_that_end_early(outcome):
    """A host that refuses, or whose callers give up, is not the quickest for it."""
    service = Service(2, BalancerPolicy(choice=Choice.PEAK_EWMA, failures=10_000))
    service.serve(50, lasts_s=0.01)
    slow = service.balancer.pick()
    service.clock.advance(1.0)
    service.balancer.succeeded(slow)
    kept = [service.balancer.pick() for _ in range(3)]  # host by host the other becomes as costly
    lease = next((lease for lease in kept if lease.host == slow.host), None)
    while lease is None:
        kept.append(service.balancer.pick())
        lease = kept[-1] if kept[-1].host == slow.host else None
    getattr(service.balancer, outcome)(lease)  # at once: 0 s
    for other in kept:
        if other is not lease:
            service.balancer.released(other)

    assert service.serve(20, lasts_s=0.01)[slow.host] == 0


@pytest.mark.parametrize("outcome", ["failed", "released"])
def test_peak_ewma_learns_nothing_from_a_call_that_ended_sooner_than_it_would_have(outcome):
    """After 1 s and 20 s of decay a host is worth 0.13 s, and the other 0.2 s: giving up after 0.3 s changes neither."""
    service = Service(2, BalancerPolicy(choice=Choice.PEAK_EWMA, failures=10_000))
    once_slow, other = service.balancer.pick(), service.balancer.pick()
    service.balancer.released(other)
    service.clock.advance(1.0)
    service.balancer.succeeded(once_slow)
    service.clock.advance(20)
    assert service.serve(1, lasts_s=0.2) == {other.host: 1}

    early = service.balancer.pick()
    assert early.host == once_slow.host
    service.clock.advance(0.3)
    getattr(service.balancer, outcome)(early)

    assert service.balancer.pick().host == once_slow.host


def test_peak_ewma_counts_what_is_under_way():
    """Of two hosts that are as quick each gets every second call while none ends."""
    service = Service(2, BalancerPolicy(choice=Choice.PEAK_EWMA))
    service.serve(20, lasts_s=0.01)
    for host in ("host-0", "host-1"):
        assert service.view(host).picks > 0

    for _ in range(40):
        service.balancer.pick()

    assert {service.view(host).in_flight for host in ("host-0", "host-1")} == {20}


def test_consistent_hash_needs_a_key():
    """A call without one would always go to one host."""
    service = Service(2, BalancerPolicy(choice=Choice.CONSISTENT_HASH))

    with pytest.raises(ValueError, match="consistent_hash chooses by a key"):
        service.balancer.pick()


def test_consistent_hash_keeps_to_weights():
    """A host of three times the weight has three times the keys."""
    service = Service({"large": 3, "small": 1}, BalancerPolicy(choice=Choice.CONSISTENT_HASH))
    homes = Counter(service.home_of(str(key)) for key in range(4000))

    assert 2850 <= homes["large"] <= 3150


def test_consistent_hash_is_the_same_in_every_process():
    """Replicas agree on a key's host: the hash seed of a process does not matter (LB4)."""
    program = """
from random import Random
from fixtures.reference.core.balancer import Balancer, BalancerPolicy, Choice
class Still:
    now = staticmethod(lambda: 0.0)
balancer = Balancer({"a": 1, "b": 1, "c": 1}, BalancerPolicy(choice=Choice.CONSISTENT_HASH), clock=Still(), random=Random())
for key in range(40):
    lease = balancer.pick(f"key-{key}")
    print(lease.host, end="")
    balancer.succeeded(lease)
"""
    first, second = (
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    )

    assert first == second
    assert set(first) == {"a", "b", "c"}


def test_consistent_hash_brings_a_key_back_when_its_host_has_room_again():
    """The load bound sends a key elsewhere for as long as it lasts."""
    service = Service(4, BalancerPolicy(choice=Choice.CONSISTENT_HASH))
    home = service.balancer.pick("key")
    away = service.balancer.pick("key")
    assert away.host != home.host

    service.balancer.succeeded(home)
    service.balancer.succeeded(away)

    assert service.balancer.pick("key").host == home.host


class Slow(str):
    """A key that lets other threads run while it is looked at."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        time.sleep(0.0005)
        return str.encode(self)


def test_threads_choose_one_after_the_other():
    """What is in flight does not change between the look at the loads and the choice: no host is above its bound."""
    service = Service(4, BalancerPolicy(choice=Choice.CONSISTENT_HASH))
    gate, failed = threading.Barrier(8), []

    def use() -> None:
        gate.wait(10)
        try:
            for _ in range(20):
                service.balancer.pick(Slow("key"))
        except ValueError as error:
            failed.append(error)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failed == []
    assert max(view.in_flight for view in service.balancer.hosts()) <= 1.25 * 160 / 4


def test_new_host_is_given_its_share_by_and_by():
    """A tenth of its share at first, then more and more: by 10 s it has had about half of it (LB6)."""
    service = Service(4, BalancerPolicy(choice=Choice.LEAST_IN_FLIGHT))
    service.balancer.add("new")

    seconds = [service.serve(100, every_s=0.01)["new"] for _ in range(12)]

    assert seconds[0] <= 4
    assert 60 <= sum(seconds[:10]) <= 120
    assert seconds[2] < seconds[5] < seconds[8]
    assert 15 <= seconds[11] <= 25


def test_host_that_comes_back_starts_slowly_as_well():
    """After its probes it gets a tenth of its share, not all of it (LB6)."""
    service = Service(4, BalancerPolicy(choice=Choice.ROUND_ROBIN, jitter_ratio=0.0))
    service.eject("host-1")
    service.down = set()
    service.clock.advance(30)
    service.serve(12)
    assert service.view("host-1").state is HostState.SERVING

    assert service.serve(100)["host-1"] <= 4
    service.clock.advance(10)
    assert service.serve(100)["host-1"] == 25


def test_new_host_saves_no_calls_up():
    """For 9 s no key is its own, then every key is: it gets two calls, and the others go to the next host (LB6)."""
    service = Service(4, BalancerPolicy(choice=Choice.CONSISTENT_HASH))
    settled = Service({**{f"host-{n}": 1 for n in range(4)}, "new": 1}, service.balancer.policy)
    own = next(key for key in map(str, range(100)) if settled.home_of(key) == "new")
    other = next(key for key in map(str, range(100)) if settled.home_of(key) != "new")
    service.balancer.add("new")

    for _ in range(900):
        assert service.home_of(other) != "new"
        service.clock.advance(0.01)

    assert [service.home_of(own) == "new" for _ in range(4)] == [True, True, False, False]


def test_new_host_owes_no_calls_that_panic_sent():
    """In a panic it gets its part of all calls; afterwards its start goes on from there (LB6)."""
    policy = BalancerPolicy(choice=Choice.ROUND_ROBIN, panic_ratio=1.0, ejection_s=1.0, jitter_ratio=0.0)
    service = Service(2, policy)
    service.balancer.add("new")
    service.eject("host-0")
    service.serve(90, every_s=0.01)
    assert service.view("new").picks >= 20
    service.down = set()
    service.clock.advance(0.5)
    service.serve(12)
    assert service.view("host-0").state is HostState.SERVING

    assert service.serve(200, every_s=0.01)["new"] >= 5


def test_new_host_that_is_the_only_one_takes_everything():
    """There is none to spare it."""
    service = Service(1, BalancerPolicy())
    service.balancer.add("new")
    service.balancer.remove("host-0")

    assert service.serve(50) == {"new": 50}


def test_balancer_that_starts_gives_all_hosts_their_share_at_once():
    """All are equally new."""
    service = Service(4, BalancerPolicy(choice=Choice.ROUND_ROBIN))

    assert set(service.serve(100).values()) == {25}


def test_settings_say_all_of_the_policy_that_they_name():
    """Each setting reaches the policy, and its default is the policy's."""
    chosen = {
        "choice": Choice.PEAK_EWMA,
        "failures": 7,
        "ejection_s": 11.0,
        "ejection_max_s": 99.0,
        "max_ejected_ratio": 0.25,
        "panic_ratio": 0.75,
        "slow_start_s": 3.0,
        "max_load_ratio": 1.5,
    }
    assert BalancerSettings.model_fields.keys() == chosen.keys()

    assert BalancerSettings(**chosen).policy() == BalancerPolicy(**chosen)
    assert BalancerSettings().policy() == BalancerPolicy()
