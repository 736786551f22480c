"""Every fault: its dose is seen while it is there, and nothing of it is left afterwards."""

from __future__ import annotations

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from redis import Redis

from harness.clock import SystemClock, is_met_within
from harness.errors import FaultError, StackError
from harness.faults.action import Observation, Site
from harness.faults.injection import action_for, injected, unavailable
from harness.faults.ledger import read_ledger
from harness.faults.process.pause import PauseAction
from harness.spec.faults import (
    Bandwidth,
    Blackhole,
    ClockSkew,
    ConnectBlackhole,
    Connections,
    Cpu,
    CrashLoop,
    Descriptors,
    Down,
    Evict,
    Flush,
    Full,
    HalfOpen,
    Kill,
    Latency,
    LimitData,
    Lock,
    LongTransaction,
    Memory,
    Pause,
    PauseClients,
    ReadOnly,
    Reload,
    Reset,
    Restart,
    RollingRestart,
    Slicer,
    SlowStart,
    StaleConnections,
)
from harness.stack.components.postgres import DATABASE, USER
from harness.stack.ready import wait_until_ready
from harness.testing import actions, check_action

CLOCK = SystemClock()
FAULTS = [
    pytest.param(Down(kind="down", target="redis"), id="redis down"),
    pytest.param(Down(kind="down", target="replica-1.postgres"), id="one edge down"),
    pytest.param(Latency(kind="latency", target="redis", delay="120ms"), id="redis slow"),
    pytest.param(Latency(kind="latency", target="postgres", delay="80ms", jitter="20ms"), id="postgres slow"),
    pytest.param(Latency(kind="latency", target="replica-2", delay="60ms"), id="replica slow"),
    pytest.param(Kill(kind="kill", target="replica-1"), id="replica killed"),
    pytest.param(Kill(kind="kill", target="redis"), id="redis killed"),
    pytest.param(Blackhole(kind="blackhole", target="redis"), id="redis blackholed"),
    pytest.param(Blackhole(kind="blackhole", target="nginx.replica-1"), id="one edge blackholed"),
    pytest.param(HalfOpen(kind="half-open", target="redis", stream="upstream"), id="redis hears nothing"),
    pytest.param(HalfOpen(kind="half-open", target="postgres", stream="downstream"), id="postgres answers nothing"),
    pytest.param(Reset(kind="reset", target="redis"), id="redis resets"),
    pytest.param(Reset(kind="reset", target="nginx.replica-1", after="120ms"), id="one edge resets late"),
    pytest.param(Bandwidth(kind="bandwidth", target="redis", rate="200KB/s"), id="redis narrow"),
    pytest.param(Bandwidth(kind="bandwidth", target="postgres", rate="50KB/s"), id="postgres narrow"),
    pytest.param(Bandwidth(kind="bandwidth", target="nginx.replica-2", rate="20KB/s"), id="one edge narrow"),
    pytest.param(Slicer(kind="slicer", target="redis", size="50B", delay="20ms"), id="redis in pieces"),
    pytest.param(Slicer(kind="slicer", target="nginx.replica-1", size="10B", delay="5ms"), id="one edge in pieces"),
    pytest.param(LimitData(kind="limit-data", target="postgres", size="2KB"), id="postgres ends in mid-answer"),
    pytest.param(LimitData(kind="limit-data", target="replica-1", size="99B"), id="replica ends in mid-answer"),
    pytest.param(ConnectBlackhole(kind="connect-blackhole", target="redis"), id="redis lets nobody in"),
    pytest.param(StaleConnections(kind="stale-connections", target="postgres"), id="postgres forgets its connections"),
    pytest.param(Pause(kind="pause", target="redis"), id="redis paused"),
    pytest.param(Pause(kind="pause", target="postgres"), id="postgres paused, with all its processes"),
    pytest.param(Pause(kind="pause", target="replica-1"), id="replica paused"),
    pytest.param(Restart(kind="restart", target="postgres"), id="postgres restarted"),
    pytest.param(Restart(kind="restart", target="nginx"), id="load balancer restarted"),
    pytest.param(Reload(kind="reload", target="nginx"), id="load balancer reloaded"),
    pytest.param(Reload(kind="reload", target="nginx", without="replica-2"), id="load balancer reloaded without one"),
    pytest.param(RollingRestart(kind="rolling-restart", target="replicas"), id="replicas restarted one by one"),
    pytest.param(CrashLoop(kind="crash-loop", target="redis", every="500ms"), id="redis dies again and again"),
    pytest.param(SlowStart(kind="slow-start", target="replica-1", delay="1s"), id="replica starts late"),
    pytest.param(SlowStart(kind="slow-start", target="postgres", delay="1s"), id="postgres starts late"),
    pytest.param(Flush(kind="flush", target="redis"), id="redis flushed"),
    pytest.param(
        PauseClients.model_validate({"kind": "pause-clients", "target": "redis", "for": "500ms"}),
        id="redis pauses clients",
    ),
    pytest.param(PauseClients(kind="pause-clients", target="redis", blocks="writes"), id="redis pauses writes"),
    pytest.param(Evict(kind="evict", target="redis", keep="50%"), id="redis evicts"),
    pytest.param(Full(kind="full", target="redis"), id="redis full"),
    pytest.param(ReadOnly(kind="read-only", target="postgres"), id="postgres read-only"),
    pytest.param(Lock(kind="lock", target="postgres", table="things"), id="table locked"),
    pytest.param(
        Lock(kind="lock", target="postgres", table="public.things", blocks="writes"), id="table locked for writes"
    ),
    pytest.param(Lock(kind="lock", target="postgres", table="things", blocks="rows"), id="rows locked"),
    pytest.param(LongTransaction(kind="long-transaction", target="postgres", table="things"), id="long transaction"),
    pytest.param(Connections(kind="connections", target="postgres"), id="no connections left"),
    pytest.param(Connections(kind="connections", target="postgres", leaving=3), id="three connections left"),
    pytest.param(Cpu(kind="cpu", target="machine", strangers=1), id="a stranger computes"),
    pytest.param(ClockSkew(kind="clock-skew", target="replica-1", wall="+1h"), id="replica an hour ahead"),
    pytest.param(
        ClockSkew(kind="clock-skew", target="replica-2", wall="-1h", monotonic="1h"), id="replica an hour behind"
    ),
    pytest.param(Memory(kind="memory", target="replica-1", room="8MB"), id="replica short of memory"),
    pytest.param(Descriptors(kind="descriptors", target="replica-1", leaving=8), id="replica short of descriptors"),
    pytest.param(Descriptors(kind="descriptors", target="redis"), id="redis without a descriptor"),
]


@pytest.fixture
def keys(stack):
    """What faults of data need of a Redis: something to lose."""
    at = stack.services["redis"].direct
    with Redis(host=at.host, port=at.port) as client:
        client.mset({f"key-{number}": "x" * 1000 for number in range(1000)})
        yield
        client.flushall()


@pytest.fixture(scope="module")
def things(stack):
    """What they need of a PostgreSQL: a table with rows."""
    at = stack.services["postgres"].direct
    with psycopg.connect(host=at.host, port=at.port, user=USER, dbname=DATABASE) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS things AS SELECT generate_series(1, 3) AS id, '' AS name")


@pytest.fixture
def can_be_done(backend, fault):
    """Skip what a backend cannot do, for the reason that it gives."""
    if reason := unavailable(fault, backend):
        pytest.skip(reason)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("things", "keys")
def test_every_kind_of_fault_keeps_what_is_asked_of_one(stack, backend, ledger, fault):
    """Each kind that there is, in the line that a new one's author writes; afterwards nothing of it is left."""
    reason = check_action(fault, stack, ledger, CLOCK)

    assert reason == unavailable(fault, backend)
    assert not [toxic for edge in stack.edges for toxic in stack.proxy.toxics(edge.name)]
    assert all(stack.proxy.is_enabled(edge.name) for edge in stack.edges)
    assert not read_ledger(ledger.path).left


class ForgetsToThaw(PauseAction):
    """It notes, and undoes nothing."""

    def end(self, ledger):
        """Strike what is still there."""
        while self._noted:
            ledger.strike(self._noted.pop())


class ActsFirst(PauseAction):
    """What it did would outlive a run that dies before the note."""

    def begin(self, ledger):
        """Freeze, then note."""
        self._service.pause()
        super().begin(ledger)


class SaysSoAlways(PauseAction):
    """It does not look."""

    def observe(self):
        """See whatever is wished for."""
        return Observation(is_delivered=True, seen="frozen")


class DoesNothing(PauseAction):
    """A dose that is never there."""

    def begin(self, ledger):
        """Do not."""


class NotesTooLittle(PauseAction):
    """Its entry does not undo it: another process is named."""

    def begin(self, ledger):
        """Note one that is not the service's."""
        self._noted.append(ledger.note("paused", "x", pid=1, started_s=0.0))
        self._service.pause()

    def end(self, ledger):
        """Thaw it all the same."""
        self._service.resume()
        super().end(ledger)


@pytest.mark.parametrize(
    ("flawed", "said"),
    [
        (ForgetsToThaw, "its dose is still seen after its end"),
        (ActsFirst, "it is done though it could not be noted"),
        (SaysSoAlways, "its dose is seen before it begins"),
        (DoesNothing, "its dose is not seen: redis answered"),
        (NotesTooLittle, "it is still there when all its ledger entries are undone"),
    ],
)
def test_a_kind_of_fault_that_does_not_keep_it_is_told(embedded_stack, ledger, monkeypatch, flawed, said):
    """The check is as good as what it notices."""
    redis = embedded_stack.services["redis"]
    made = actions.action_for
    monkeypatch.setattr(
        actions,
        "action_for",
        lambda fault, site: (flawed if fault.target == "redis" else made)(fault, site),
    )

    with pytest.raises(AssertionError, match=said):
        check_action(Pause(kind="pause", target="redis"), embedded_stack, ledger, CLOCK)

    redis.resume()
    wait_until_ready([redis], clock=CLOCK)


@pytest.mark.parametrize("questions", [0, 7])
def test_what_crosses_a_fault_is_counted_and_our_own_looks_are_not(stack, ledger, questions):
    """Each question to Redis is one PING of six bytes, through the edge that a replica uses."""
    fault = Latency(kind="latency", target="redis", delay="20ms")
    (edge,) = [each for each in stack.edges if each.name == "replica-1.redis"]
    with injected(fault, into=stack, ledger=ledger, clock=CLOCK) as injection:
        with socket.create_connection((edge.listen.host, edge.listen.port), timeout=5) as replica:
            for _ in range(questions):
                replica.sendall(b"PING\r\n")
                assert replica.recv(64) == b"+PONG\r\n"
        injection.observe()
        injection.observe()

    assert injection.mark().crossed_bytes == 6 * questions


def test_two_latencies_on_one_target_add_up_and_end_one_by_one(stack, ledger):
    """Each is seen beside the other, whichever ends first, and the other one stays until its own end."""
    first = Latency(kind="latency", target="redis", delay="200ms")
    second = Latency(kind="latency", target="replica-1.redis", delay="300ms")

    with ExitStack() as one, ExitStack() as other:
        slow = one.enter_context(injected(first, fault_id="fault-1", into=stack, ledger=ledger, clock=CLOCK))
        slower = other.enter_context(injected(second, fault_id="fault-2", into=stack, ledger=ledger, clock=CLOCK))
        assert slow.observe().is_delivered, slow.doses
        assert slower.observe().is_delivered, slower.doses
        one.close()
        assert slower.observe().is_delivered, slower.doses
        assert [toxic.name for toxic in stack.proxy.toxics("replica-1.redis")] == ["fault-2"]
        assert stack.proxy.toxics("replica-2.redis") == []

    assert slow.crossed_bytes == slower.crossed_bytes == 0, "looks at one fault are no traffic for the other"
    assert stack.proxy.toxics("replica-1.redis") == []


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_two_cuts_of_one_edge_hold_until_both_have_ended(stack, ledger, first_to_end):
    """`down redis` and `down replica-1.redis` share an edge: the end of one must not heal the other."""
    targets = ["redis", "replica-1.redis"]
    ends = [ExitStack(), ExitStack()]
    cuts = [
        end.enter_context(
            injected(Down(kind="down", target=each), fault_id=each, into=stack, ledger=ledger, clock=CLOCK)
        )
        for each, end in zip(targets, ends, strict=True)
    ]

    ends[first_to_end].close()
    assert cuts[1 - first_to_end].observe().is_delivered
    assert stack.proxy.is_enabled("replica-2.redis") == (first_to_end == 0)
    ends[1 - first_to_end].close()

    assert all(stack.proxy.is_enabled(edge.name) for edge in stack.edges)
    assert not read_ledger(ledger.path).left


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("can_be_done", "things", "keys")
def test_a_fault_is_undone_when_its_scenario_breaks_off(stack, ledger, fault):
    """Whatever is raised inside travels on, after healing."""
    with pytest.raises(KeyboardInterrupt), injected(fault, into=stack, ledger=ledger, clock=CLOCK):
        raise KeyboardInterrupt

    assert all(service.is_ready() for service in stack.services.values())
    assert not read_ledger(ledger.path).left


@pytest.mark.parametrize(
    "fault",
    [Down(kind="down", target="memcached"), Latency(kind="latency", target="redis.redis", delay="1s"), Kill(kind="kill", target="replica-9")],
    ids=str,
)  # fmt: skip
def test_a_fault_that_hits_nothing_is_an_error(stack, ledger, fault):
    """An empty selection must never look like a survived fault; the error lists what could be hit."""
    with pytest.raises(FaultError, match=r"has nothing to hit[\s\S]*targets here: .*replica-1"):
        with injected(fault, into=stack, ledger=ledger, clock=CLOCK):
            pass


def test_a_dose_that_wears_off_is_noticed(stack, ledger):
    """Somebody removes the toxic behind our back: the second look says so."""
    fault = Latency(kind="latency", target="redis", delay="120ms")

    with injected(fault, into=stack, ledger=ledger, clock=CLOCK) as injection:
        for edge in stack.edges_into("redis"):
            stack.proxy.remove(edge.name, "fault-1")
        assert not injection.observe().is_delivered

    assert not injection.mark().is_delivered


@pytest.mark.parametrize("actual_ms", [60, 240])
def test_a_wrong_dose_is_noticed(stack, ledger, actual_ms):
    """Half of it, or twice of it, is not it."""
    fault = Latency(kind="latency", target="redis", delay="120ms")

    with injected(fault, into=stack, ledger=ledger, clock=CLOCK) as injection:
        injection.action._fault = Latency(kind="latency", target="redis", delay=f"{actual_ms}ms")
        assert not injection.observe().is_delivered


def reset(after):
    return Reset(kind="reset", target="redis", after=after)


def narrow(rate):
    return Bandwidth(kind="bandwidth", target="redis", rate=rate)


def sliced(size, delay):
    return Slicer(kind="slicer", target="redis", size=size, delay=delay)


def limited(size):
    return LimitData(kind="limit-data", target="redis", size=size)


def half_open(stream):
    return HalfOpen(kind="half-open", target="redis", stream=stream)


@pytest.mark.parametrize(
    ("asked", "there", "seen"),
    [
        pytest.param(half_open("upstream"), half_open("downstream"), "its answer is lost", id="the other direction"),
        pytest.param(half_open("downstream"), half_open("upstream"), "hears nothing", id="the other direction, turned"),
        pytest.param(half_open("downstream"), limited("3B"), "answered 3 bytes", id="no half-open, but a limit"),
        pytest.param(half_open("upstream"), Down(kind="down", target="redis"), "does not accept|its answer is lost", id="no half-open, but down"),
        pytest.param(reset("300ms"), reset("0s"), "(reset|closed) after", id="reset too early"),
        pytest.param(reset("0s"), reset("310ms"), "(reset|closed) after 3", id="reset too late"),
        pytest.param(reset("0s"), limited("3B"), "answered 3 bytes", id="no reset, but a limit"),
        pytest.param(reset("0s"), Down(kind="down", target="redis"), "does not accept", id="no reset, but down"),
        pytest.param(narrow("100KB/s"), narrow("200KB/s"), "KB/s", id="too wide"),
        pytest.param(narrow("100KB/s"), narrow("40KB/s"), "KB/s", id="too narrow"),
        pytest.param(narrow("50KB/s"), limited("3KB"), "times as long as direct", id="not narrow, but limited"),
        pytest.param(narrow("50KB/s"), reset("30ms"), "reset after 0B|at 0.0KB/s", id="not narrow, but reset"),
        pytest.param(sliced("50B", "40ms"), sliced("50B", "12ms"), "pieces", id="pauses too short"),
        pytest.param(sliced("50B", "10ms"), sliced("50B", "110ms"), "pieces", id="pauses too long"),
        pytest.param(sliced("50B", "20ms"), sliced("100B", "20ms"), "pieces", id="pieces too large"),
        pytest.param(sliced("50B", "20ms"), limited("30B"), "answers in 1 pieces", id="not sliced, but limited"),
        pytest.param(limited("2KB"), limited("1999B"), "closed after 1.999KB", id="a byte too little"),
        pytest.param(limited("2KB"), limited("2001B"), "closed after 2.001KB", id="a byte too much"),
        pytest.param(limited("2KB"), half_open("upstream"), "silent after 0B", id="no limit, but silence"),
        pytest.param(limited("2KB"), Down(kind="down", target="redis"), "does not answer|(closed|reset) after 0B", id="no limit, but down"),
    ],
)  # fmt: skip
def test_a_dose_of_another_size_or_kind_is_noticed(stack, ledger, asked, there, seen):
    """What is looked for is not there, and something like it is: the look says what was seen instead.

    An engine passes a reset on as an end, and its port accepts for a proxy that does not: there the look sees that.
    """
    if stack.backend == "containers" and (asked.kind, there.kind) == ("reset", "down"):
        pytest.skip("an engine's port resets whoever comes where its proxy does not listen: that is a reset")
    with injected(there, into=stack, ledger=ledger, clock=CLOCK):
        observation = action_for(asked, Site("fault-1", stack, CLOCK)).observe()

    assert not observation.is_delivered, observation.seen
    assert re.search(seen, observation.seen), observation.seen


@pytest.mark.parametrize("fault", [half_open("upstream"), half_open("downstream")], ids=str)
def test_a_service_that_is_silent_itself_is_no_half_open_path(stack, ledger, fault):
    """Its process is frozen behind the fault: neither direction can be told."""
    redis = stack.services["redis"]
    with injected(fault, into=stack, ledger=ledger, clock=CLOCK) as injection:
        redis.pause()
        dose = injection.observe()
        redis.resume()

    assert not dose.is_delivered
    assert "but so is redis itself" in dose.seen


def test_what_is_sent_into_a_reset_is_not_done(embedded_stack, ledger):
    """The question is lost, not its answer: a client may ask again."""
    (edge,) = embedded_stack.edges_into("replica-1.redis")
    with injected(reset("100ms"), into=embedded_stack, ledger=ledger, clock=CLOCK):
        with socket.create_connection((edge.listen.host, edge.listen.port), timeout=5) as client:
            client.sendall(b"SET sent-into-a-reset 1\r\n")
            with pytest.raises(ConnectionResetError):
                client.recv(64)

    with Redis(port=embedded_stack.services["redis"].direct.port) as direct:
        assert direct.get("sent-into-a-reset") is None


def test_a_reset_meets_idle_connections_of_a_pool_too(embedded_stack, ledger):
    """What a pool keeps is reset though nothing is asked; on the real Toxiproxy it would be at its next question."""
    (edge,) = embedded_stack.edges_into("replica-1.redis")
    with socket.create_connection((edge.listen.host, edge.listen.port), timeout=5) as pooled:
        pooled.sendall(b"PING\r\n")
        assert pooled.recv(64) == b"+PONG\r\n"
        with (
            injected(reset("0s"), into=embedded_stack, ledger=ledger, clock=CLOCK),
            pytest.raises(ConnectionResetError),
        ):
            pooled.recv(64)


@pytest.mark.parametrize("kind", [ConnectBlackhole, StaleConnections])
def test_new_connections_and_open_ones_are_told_apart(embedded_stack, ledger, kind):
    """One of the two works as ever while the other is lost; a pooled connection that is silent ends with the fault."""
    (edge,) = embedded_stack.edges_into("replica-1.redis")
    place, (word,) = (edge.listen.host, edge.listen.port), kind.model_fields["kind"].annotation.__args__
    with socket.create_connection(place, timeout=0.5) as pooled:
        pooled.sendall(b"PING\r\n")
        assert pooled.recv(64) == b"+PONG\r\n"
        with injected(kind(kind=word, target="redis"), into=embedded_stack, ledger=ledger, clock=CLOCK):
            assert _is_answered(pooled) == (kind is ConnectBlackhole)
            if kind is ConnectBlackhole:
                with pytest.raises(TimeoutError):
                    socket.create_connection(place, timeout=0.5)
            else:
                with socket.create_connection(place, timeout=0.5) as new:
                    assert _is_answered(new)
        assert _is_answered(pooled) == (kind is ConnectBlackhole)


def _is_answered(connection):
    try:
        connection.sendall(b"PING\r\n")
        return connection.recv(64) == b"+PONG\r\n"
    except OSError:
        return False


def test_a_stale_connection_that_was_only_ended_is_no_dose(embedded_stack, ledger):
    """The toxic is removed behind our back, which ends what it had silenced: an end is silence only while it is there."""
    fault = StaleConnections(kind="stale-connections", target="replica-1.redis")
    with injected(fault, into=embedded_stack, ledger=ledger, clock=CLOCK) as injection:
        assert injection.observe().is_delivered
        embedded_stack.proxy.remove("replica-1.redis", "fault-1-upstream")
        dose = injection.observe()

    assert not dose.is_delivered
    assert "open ones were ended" in dose.seen


def test_a_cut_that_does_not_cut_is_noticed(stack, ledger):
    """One edge listens again: the look says which."""
    with injected(Down(kind="down", target="redis"), into=stack, ledger=ledger, clock=CLOCK) as injection:
        stack.proxy.enable("replica-2.redis")
        dose = injection.observe()

    assert not dose.is_delivered
    assert dose.seen == "replica-1.redis refuses, replica-2.redis still answers"


def test_a_death_that_did_not_happen_is_noticed(stack, ledger):
    """Somebody starts the service again in mid-fault."""
    with injected(Kill(kind="kill", target="replica-1"), into=stack, ledger=ledger, clock=CLOCK) as injection:
        stack.services["replica-1"].start()
        assert is_met_within(stack.services["replica-1"].is_ready, deadline_s=10, clock=CLOCK)
        assert not injection.observe().is_delivered


def test_a_dead_server_is_no_cut(stack, ledger):
    """Nobody answers either, but the way is open: that is another fault than the one that was asked for."""
    redis = stack.services["redis"]
    with injected(Down(kind="down", target="redis"), into=stack, ledger=ledger, clock=CLOCK) as injection:
        redis.kill()
        for edge in stack.edges_into("redis"):
            stack.proxy.enable(edge.name)
        dose = injection.observe()
        redis.start()
        wait_until_ready([redis], clock=CLOCK)

    assert not dose.is_delivered


def test_a_blackhole_keeps_its_connections_and_swallows_what_is_sent(stack, ledger):
    """A pooled connection stays open and hears nothing; what was sent into it is counted, and lost."""
    (edge,) = stack.edges_into("replica-1.redis")
    with socket.create_connection((edge.listen.host, edge.listen.port), timeout=5) as pooled:
        pooled.sendall(b"PING\r\n")
        assert pooled.recv(64) == b"+PONG\r\n"
        with injected(Blackhole(kind="blackhole", target="redis"), into=stack, ledger=ledger, clock=CLOCK) as injection:
            pooled.sendall(b"PING\r\n")
            pooled.settimeout(0.5)
            with pytest.raises(TimeoutError):
                pooled.recv(64)
            injection.observe()
        pooled.settimeout(5)
        assert pooled.recv(64) == b"", "its bytes are missing, so it is closed when the fault ends"

    assert injection.mark().crossed_bytes == 6


@pytest.mark.parametrize(
    ("fault", "undo", "seen"),
    [
        pytest.param(Pause(kind="pause", target="redis"), "resume", "redis answered after", id="thawed"),
        pytest.param(Pause(kind="pause", target="redis"), "kill", "redis is not there", id="killed"),
        pytest.param(SlowStart(kind="slow-start", target="redis", delay="1s"), "resume", "redis answers at", id="let go"),
        pytest.param(SlowStart(kind="slow-start", target="redis", delay="1s"), "kill", "redis is not there at all", id="dead"),
        pytest.param(Blackhole(kind="blackhole", target="redis"), "pause", "but so is redis itself", id="silent itself"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("can_be_done")
def test_silence_of_another_kind_is_noticed(stack, ledger, fault, undo, seen):
    """The service is made to answer, or to die, behind the fault's back: the next look says what is there instead."""
    redis = stack.services["redis"]
    with injected(fault, into=stack, ledger=ledger, clock=CLOCK) as injection:
        getattr(redis, undo)()
        if undo == "resume":
            assert is_met_within(redis.is_ready, deadline_s=10, clock=CLOCK)
        dose = injection.observe()
        redis.resume()
        if not redis.is_alive():
            redis.start()
        wait_until_ready([redis], clock=CLOCK)

    assert not dose.is_delivered
    assert seen in dose.seen


RELOADED = Reload(kind="reload", target="nginx")


def wait_for_one_worker(stack):
    """Those of an earlier reload have finished."""
    assert is_met_within(lambda: len(stack.services["nginx"].children()) == 1, deadline_s=5, clock=CLOCK)


def test_what_is_under_way_when_the_load_balancer_reloads_is_answered(stack, ledger):
    """By the worker that took it, which was told to end, and does so when it has answered."""
    wait_for_one_worker(stack)
    slow = Latency(kind="latency", target="replica-1", delay="2s")
    with ExitStack() as leaving, ThreadPoolExecutor() as clients:
        for number in (1, 2):
            fault = slow.model_copy(update={"target": f"nginx.replica-{number}"})
            leaving.enter_context(injected(fault, fault_id=f"slow-{number}", into=stack, ledger=ledger, clock=CLOCK))
        before_bytes = stack.sent_bytes("nginx")
        asked = clients.submit(httpx.get, stack.base_url, trust_env=False)
        assert is_met_within(lambda: stack.sent_bytes("nginx") > before_bytes, deadline_s=5, clock=CLOCK)
        reload = leaving.enter_context(injected(RELOADED, fault_id="reload", into=stack, ledger=ledger, clock=CLOCK))
        first = reload.observe()

        assert first.is_delivered
        assert first.seen == "nginx has 1 new of 1 workers, and 1 of the former finish"
        assert asked.result().status_code == 200

        def have_finished():
            return reload.observe().seen.endswith("and 0 of the former finish")

        assert is_met_within(have_finished, deadline_s=5, clock=CLOCK)
    assert reload.mark().before_bytes > 0, "the load needs what is reloaded"


def test_a_replica_that_the_load_balancer_leaves_out_gets_nothing_until_the_fault_ends(stack, ledger):
    """Each question goes to the other one; and to both again, when another reload has brought it back."""

    def asked_of():  # a worker that was told to end may take another connection before it looks
        wait_for_one_worker(stack)
        before = [stack.sent_bytes(f"nginx.replica-{number}") for number in (1, 2)]
        for _ in range(6):
            assert httpx.get(stack.base_url, trust_env=False).status_code == 200
        return [stack.sent_bytes(f"nginx.replica-{number}") > then for number, then in zip((1, 2), before, strict=True)]

    fault = RELOADED.model_copy(update={"without": "replica-2"})
    with injected(fault, into=stack, ledger=ledger, clock=CLOCK) as reload:
        dose = reload.observe()
        assert asked_of() == [True, False]
    assert asked_of() == [True, True]

    assert dose.is_delivered
    assert dose.seen.endswith("; it leaves out replica-2")


def test_a_replica_that_is_asked_again_behind_the_faults_back_is_noticed(stack, ledger):
    """Somebody else reloads it, by another configuration."""
    fault = RELOADED.model_copy(update={"without": "replica-2"})
    with injected(fault, into=stack, ledger=ledger, clock=CLOCK) as reload:
        stack.configure(())
        stack.services["nginx"].reload()
        assert is_met_within(lambda: not reload.observe().is_delivered, deadline_s=5, clock=CLOCK)

    assert reload.doses[-1].seen.endswith("; it still asks replica-2")


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_load_balancer_that_ended_is_no_reload(stack, ledger, how):
    """Its workers are new ones as well, and every connection was cut: the main process tells."""
    nginx = stack.services["nginx"]
    with injected(RELOADED, into=stack, ledger=ledger, clock=CLOCK) as injection:
        getattr(nginx, how)()
        dose = injection.observe()
        if how == "kill":
            nginx.start()

    assert not dose.is_delivered
    assert dose.seen == "nginx ended, where its workers should have"


def test_a_configuration_that_is_refused_is_no_reload(embedded_stack, ledger):
    """The main process says so in its log and keeps its workers."""
    argv = psutil.Process(embedded_stack.services["nginx"].identity()["pid"]).cmdline()
    path = Path(argv[argv.index("-c") + 1]) if "-c" in argv else Path(re.search(r"-c (\S+)", " ".join(argv))[1])
    kept = path.read_text()
    path.write_text(f"{kept}\nnot a directive;\n")
    try:
        with injected(RELOADED, into=embedded_stack, ledger=ledger, clock=CLOCK) as injection:
            dose = injection.observe()
    finally:
        path.write_text(kept)

    assert not dose.is_delivered
    assert dose.seen == "nginx has 0 new of 1 workers, and 1 of the former finish"
    assert "unknown directive" in embedded_stack.services["nginx"].logs()


@pytest.mark.parametrize(("name", "why"), [("redis", "it knows no such order"), ("nginx", "it does not run")])
def test_what_cannot_read_its_configuration_again_says_why(stack, name, why):
    """A signal that ends it, or reaches nobody, must not pass for a reload."""
    service = stack.services[name]
    if name == "nginx":
        service.kill()
    with pytest.raises(StackError, match=f"{name} cannot read its configuration again: {why}"):
        service.reload()
    if name == "nginx":
        assert service.children() == frozenset()
        service.start()
    wait_until_ready([service], clock=CLOCK)


def test_a_pause_freezes_every_process_of_a_service(embedded_stack, ledger):
    """A connection that Postgres has handed to a process of its own is as silent as a new one."""
    postgres = embedded_stack.services["postgres"]
    with psycopg.connect(host="127.0.0.1", port=postgres.direct.port, user=USER, dbname=DATABASE) as held:
        with injected(Pause(kind="pause", target="postgres"), into=embedded_stack, ledger=ledger, clock=CLOCK):
            family = psutil.Process(postgres.identity()["pid"]).children(recursive=True)
            assert len(family) > 3

            def are_all_stopped():  # a signal is sent at once, and arrives when a process is next looked at
                return {process.status() for process in family} == {psutil.STATUS_STOPPED}

            assert is_met_within(are_all_stopped, deadline_s=5.0, clock=CLOCK)

        assert held.execute("select 1").fetchone() == (1,)
