"""Faults as they may be wished for: only such as can be told from none."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.faults.network.latency import LOW_TOLERANCE
from harness.spec.faults import (
    Bandwidth,
    ClockSkew,
    ConnectBlackhole,
    Cpu,
    CrashLoop,
    Descriptors,
    DiskFull,
    Failover,
    Flush,
    HalfOpen,
    Latency,
    LimitData,
    Lock,
    Memory,
    PauseClients,
    Reload,
    Reset,
    Restart,
    RollingRestart,
    Slicer,
    StaleConnections,
)


def wished(delay, jitter="0ms"):
    return Latency(kind="latency", target="redis", delay=delay, jitter=jitter)


@pytest.mark.parametrize(
    ("delay", "jitter"), [("5ms", "0ms"), ("7ms", "2ms"), ("400ms", "100ms"), ("1s", "900ms"), ("1.001s", "0s")]
)
def test_no_dose_of_nothing_passes_for_a_latency_that_may_be_asked_for(delay, jitter):
    """The least that counts as delivered is more than an edge without a fault ever adds."""
    fault = wished(delay, jitter)

    least_s = fault.delay - fault.jitter - max(LOW_TOLERANCE[0], LOW_TOLERANCE[1] * fault.delay)

    assert least_s >= 0.003 - 1e-9


@pytest.mark.parametrize(
    ("delay", "jitter", "said"),
    [
        ("2ms", "0ms", r"`redis \+2ms` may be 2ms, which cannot be told from no fault; delay less jitter must be 5ms"),
        ("100ms", "96ms", "may be 4ms.*must be 10ms"),
        ("1s", "990ms", "may be 10ms.*must be 100ms"),
        ("50ms", "60ms", "may be 0s"),
        ("400us", "0ms", "cannot be told from no fault"),
        ("5400us", "0ms", "whole milliseconds"),
        ("100ms", "500us", "whole milliseconds"),
    ],
)
def test_one_that_could_not_be_seen_is_refused(delay, jitter, said):
    with pytest.raises(ValidationError, match=said):
        wished(delay, jitter)


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        (HalfOpen, {"stream": "both"}, "upstream"),
        (HalfOpen, {}, "stream"),
        (Reset, {"after": "1500us"}, "whole milliseconds"),
        (Reset, {"after": "61s"}, "less than or equal to 60"),
        (Bandwidth, {"rate": "999B/s"}, "greater than or equal to 1000"),
        (Bandwidth, {"rate": "1.5KB/s"}, "whole KB/s"),
        (Bandwidth, {"rate": "1001KB/s"}, "less than or equal to 1000000"),
        (Slicer, {"size": "0B", "delay": "10ms"}, "greater than or equal to 1"),
        (Slicer, {"size": "1001B", "delay": "10ms"}, "less than or equal to 1000"),
        (Slicer, {"size": "10B", "delay": "4ms"}, "greater than or equal to 0.005"),
        (Slicer, {"size": "10B", "delay": "5500us"}, "whole milliseconds"),
        (CrashLoop, {"every": "499ms"}, "greater than or equal to 0.5"),
        (LimitData, {"size": "0B"}, "greater than or equal to 1"),
        (LimitData, {"size": "50.001KB"}, "less than or equal to 50000"),
        (Cpu, {"strangers": 0}, "greater than or equal to 1"),
        (Cpu, {"strangers": 65}, "less than or equal to 64"),
        (Cpu, {}, "strangers"),
        (ClockSkew, {}, "no clock would be off"),
        (ClockSkew, {"wall": "1h"}, "not an offset: '1h'; write a duration with its sign"),
        (ClockSkew, {"wall": 3600}, "not an offset"),
        (ClockSkew, {"wall": "+1.9s"}, "less than 2s cannot be told"),
        (ClockSkew, {"wall": "-1.9s"}, "less than 2s cannot be told"),
        (ClockSkew, {"wall": "+1h", "monotonic": "1s"}, "less than 2s cannot be told"),
        (ClockSkew, {"monotonic": "-1h"}, "not a duration"),
        (ClockSkew, {"wall": "-169h"}, "greater than or equal to -604800"),
        (Memory, {"room": "1"}, "not a size"),
        (Memory, {}, "room"),
        (Descriptors, {"leaving": -1}, "greater than or equal to 0"),
        (DiskFull, {"size": "99.999MB"}, "greater than or equal to 100000000"),
        (DiskFull, {"leaving": "10.001MB"}, "less than or equal to 10000000"),
    ],
)
def test_a_dose_that_no_look_would_see_or_no_proxy_can_do_is_refused(kind, given, said):
    """A pause that is told from none, a rate that a short transfer shows, a cut that an answer is long enough for."""
    (word,) = kind.model_fields["kind"].annotation.__args__

    with pytest.raises(ValidationError, match=said):
        kind.model_validate({"kind": word, "target": "redis", **given})


@pytest.mark.parametrize(
    ("fault", "look_s", "sentence"),
    [
        (HalfOpen(kind="half-open", target="redis", stream="upstream"), 1.0, "redis accepts and hears nothing"),
        (HalfOpen(kind="half-open", target="redis", stream="downstream"), 1.0, "redis accepts and answers nothing"),
        (Reset(kind="reset", target="redis"), 0.0, "redis resets"),
        (Reset(kind="reset", target="redis", after="2s"), 2.0, "redis resets after 2s"),
        (Bandwidth(kind="bandwidth", target="redis", rate="64KB/s"), 1.0, "redis at 64KB/s"),
        (Slicer(kind="slicer", target="redis", size="1KB", delay="300ms"), 12.0, "redis answers in pieces of 1KB every 300ms"),
        (LimitData(kind="limit-data", target="redis", size="1.5KB"), 0.0, "redis ends after 1.5KB"),
        (Restart(kind="restart", target="redis"), 5.0, "redis restarted"),
        (RollingRestart(kind="rolling-restart", target="replicas"), 5.0, "replicas restarted one by one"),
        (CrashLoop(kind="crash-loop", target="redis", every="2s"), 0.0, "redis killed every 2s"),
        (Reload(kind="reload", target="nginx", at="1s"), 2.0, "nginx reloaded at 1s"),
        (Reload(kind="reload", target="nginx", without="replica-2"), 2.0, "nginx reloaded without replica-2"),
        (ConnectBlackhole(kind="connect-blackhole", target="redis"), 1.0, "redis lets no connection in"),
        (StaleConnections(kind="stale-connections", target="redis"), 1.0, "redis is silent on open connections"),
        (Cpu(kind="cpu", target="machine", strangers=1), 0.5, "machine has 1 stranger computing"),
        (Cpu(kind="cpu", target="machine", strangers=3), 0.5, "machine has 3 strangers computing"),
        (ClockSkew(kind="clock-skew", target="replica-1", wall="+2s"), 0.0, "replica-1 with its wall clock +2s"),
        (ClockSkew(kind="clock-skew", target="replica-1", monotonic="1h"), 0.0, "replica-1 with its monotonic clock +3600s"),
        (ClockSkew(kind="clock-skew", target="replica-1", wall="-1min", monotonic="1h"), 0.0, "replica-1 with its wall clock -60s and its monotonic clock +3600s"),
        (Memory(kind="memory", target="redis", room="16MB"), 0.0, "redis has 16MB of memory left"),
        (Descriptors(kind="descriptors", target="redis"), 0.0, "redis has no descriptors left"),
        (Descriptors(kind="descriptors", target="redis", leaving=4), 0.0, "redis has 4 descriptors left"),
        (DiskFull(kind="disk-full", target="postgres"), 0.0, "postgres has no room left on its disk"),
        (DiskFull(kind="disk-full", target="postgres", leaving="2MB"), 0.0, "postgres has 2MB left on its disk"),
        (Failover(kind="failover", target="redis"), 5.0, "redis fails over after 2s"),
        (Failover(kind="failover", target="redis", takes="0s", at="1s"), 3.0, "redis fails over after 0s at 1s"),
        (Failover(kind="failover", target="redis", how="planned"), 8.0, "redis fails over, handed over in order"),
    ],
)  # fmt: skip
def test_a_fault_says_what_it_does_and_how_long_a_look_takes(fault, look_s, sentence):
    """A window is refused that is too short for its look."""
    assert fault.look_s == pytest.approx(look_s)
    assert str(fault) == sentence


def paused(**said):
    return PauseClients.model_validate({"kind": "pause-clients", "target": "redis", **said})


def test_a_pause_of_everything_says_how_long_it_is():
    """Redis is told so beforehand, and the profile's stretch with it; one of writes may be as long as its phase."""
    with pytest.raises(ValidationError, match="say `for` or `until`, or `blocks: writes`"):
        paused(at="1s")

    assert paused(at="1s", until="4s").lasts_s == 3
    assert paused(at="1s", **{"for": "4s"}).stretched(1.5).lasts_s == 6
    assert paused(blocks="writes").lasts_s is None


def test_a_phase_with_what_happens_once_does_not_go_on():
    """What is missed is loaded anew meanwhile: a longer phase would be an easier one."""
    assert not Flush(kind="flush", target="redis").spans
    assert not Reload(kind="reload", target="nginx").spans
    assert not Failover(kind="failover", target="redis").spans
    assert paused(blocks="writes").spans


def test_nobody_waits_for_the_notice_of_a_handover():
    """It is decided on; what is said of a crash alone would be heard by nobody."""
    with pytest.raises(ValidationError, match="nobody dies when `how` is `planned`"):
        Failover(kind="failover", target="redis", how="planned", takes="2s")


@pytest.mark.parametrize("table", ["items", "shop.items", "_x1"])
def test_a_table_may_be_named_with_its_schema(table):
    assert Lock(kind="lock", target="postgres", table=table).table == table


@pytest.mark.parametrize(
    "table", ["", "Items", "a.b.c", 'items"; DROP TABLE items; --', "items ", "1st", "x" * 64, "a."]
)
def test_a_table_is_a_name_and_nothing_else(table):
    """It is put into a statement."""
    with pytest.raises(ValidationError, match="table"):
        Lock(kind="lock", target="postgres", table=table)


@pytest.mark.parametrize(
    ("fault", "least_s"),
    [
        (wished("1s"), 3.0),
        (Restart(kind="restart", target="redis"), 5.0),
        (RollingRestart(kind="rolling-restart", target="replicas"), 12.4),
        (RollingRestart(kind="rolling-restart", target="replicas", settles="0s"), 10.4),
        (CrashLoop(kind="crash-loop", target="redis", every="2s"), 2.2),
    ],
)
def test_a_fault_says_how_long_it_must_last_to_be_seen(fault, least_s):
    """One look, if that is all it takes; two where the second sees the rest, and two deaths for a loop."""
    assert fault.least_s == pytest.approx(least_s)
