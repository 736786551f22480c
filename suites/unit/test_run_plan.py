"""What a run makes of a scenario before anything starts: its promises, its length, and how sure its verdict must be."""

from __future__ import annotations

import pytest

from harness.clock import SystemClock
from harness.errors import SpecError
from harness.options import Options
from harness.plan import check_faults, plan_of, planned, read_source
from harness.report.terminal import Progress
from harness.run import opened
from harness.spec.parser import read_settings
from harness.spec.scenario import Scenario
from harness.spec.system import Settings, Subject, System, Worker
from harness.stack.blueprint import Blueprint, processes_of
from suites.support.made import Stretch, history_of, scenario_of
from suites.support.servers import PROJECT

OURS = read_settings(PROJECT / "readiness.toml")
SETTINGS = Settings.model_validate(
    {
        "system": {"name": "made", "subject": {"app": "made:create_app"}},
        "objectives": [{"sli": "errors", "max": "0.1%"}],
        "profiles": {"quick": {"stretch": 1.0}, "release": {"stretch": 1.0, "confidence": 0.99}},
    }
)


@pytest.mark.parametrize("profile", OURS.profiles)
@pytest.mark.parametrize("path", sorted((PROJECT / "scenarios").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_scenario_of_ours_can_conclude_in_every_profile(path, profile):
    """Also at the confidence of a release."""
    assert planned(read_source(path).scenario, OURS, profile).objectives


def test_a_scenario_that_promises_nothing_is_refused():
    """V9: no phase that the defaults speak of, and no objective of its own."""
    scenario = Scenario.model_validate(
        {
            "scenario": "silent",
            "story": "Nobody promises anything here.",
            "load": {"arrivals_per_s": 100},
            "phases": [{"name": "flood", "lasts": "60s"}],
        }
    )

    with pytest.raises(SpecError, match="promises nothing") as refused:
        planned(scenario, SETTINGS, "quick")

    assert "name a phase `baseline`" in refused.value.fix


@pytest.mark.parametrize(("profile", "confidence"), [("quick", 0.95), ("release", 0.99)])
def test_a_profile_may_ask_for_more_confidence(profile, confidence):
    """0.99 for a release: 0.1 % then takes 4 603 error-free requests instead of 2 995."""
    scenario = scenario_of(faults=False).model_copy(
        update={"load": scenario_of().load.model_copy(update={"arrivals_per_s": 120.0})}
    )

    assert SETTINGS.confidence_of(profile) == confidence
    if profile == "quick":
        assert planned(scenario, SETTINGS, profile).lasts_s == 30
    else:
        with pytest.raises(SpecError, match="needs 4 603 error-free requests, this profile sends 3 600"):
            planned(scenario, SETTINGS, profile)


def written(folder, *targets):
    """A scenario file that hurts these targets, one a line."""
    faults = "".join(f"      - {{kind: {kind}, target: {target}}}\n" for kind, target in targets)
    path = folder / "hurt.yaml"
    path.write_text(
        "scenario: hurt\nstory: Something is hurt for a while.\nload: {arrivals_per_s: 200}\nphases:\n"
        "  - {name: baseline, lasts: 30s}\n  - name: fault\n    lasts: 13s\n    faults:\n"
        f"{faults}  - {{name: recovery, lasts: 8s}}\nobjectives:\n  - {{sli: recovery, within: 5s}}\n"
    )
    return read_source(path)


def test_every_target_that_is_not_there_is_refused_with_its_line(tmp_path):
    """Before anything starts: a mistyped target used to cost a start and a whole baseline."""
    source = written(
        tmp_path, ("down", "reddis"), ("down", "redis"), ("kill", "replica-3"), ("down", "replica-1.redsi")
    )

    with pytest.raises(SpecError) as refused:
        plan_of(source, SETTINGS, profile="quick", seed=1)

    said = str(refused.value).replace(str(tmp_path), "")
    assert said.count("has nothing to hit") == 3
    assert "/hurt.yaml:9: phases[1].faults[0].target\n  fix:   did you mean 'redis'? known: " in said
    assert "/hurt.yaml:11: phases[1].faults[2].target\n  fix:   did you mean 'replica-2'? known: " in said
    assert "/hurt.yaml:12: phases[1].faults[3].target\n  fix:   did you mean 'replica-1.redis'? known: " in said


def test_a_target_of_another_kind_is_refused_with_what_the_fault_is_for(tmp_path):
    """A PostgreSQL cannot be flushed; where there is no Redis at all, it says how to have one."""
    source = written(tmp_path, ("flush", "postgres"))
    bare = SETTINGS.model_copy(update={"system": SETTINGS.system.model_copy(update={"components": {}})})

    with pytest.raises(SpecError) as refused:
        plan_of(source, SETTINGS, profile="quick", seed=1)
    with pytest.raises(SpecError) as refused_too:
        plan_of(source, bare, profile="quick", seed=1)

    assert str(refused.value).replace(str(tmp_path), "") == (
        "the fault `postgres flushed` has nothing to hit: there is no redis called 'postgres'\n"
        "  where: /hurt.yaml:9: phases[1].faults[0].target\n  fix:   known: redis"
    )
    assert refused_too.value.fix == "add a redis to readiness.toml (`[system.components.redis]`), or leave it out"


def timed(folder, *faults, lasts="10s"):
    """A scenario file whose phase has these faults, one a line from line 9 on."""
    lines = "".join(f"      - {{{fault}}}\n" for fault in faults)
    path = folder / "timed.yaml"
    path.write_text(
        "scenario: timed\nstory: Something is hurt for a while.\nload: {arrivals_per_s: 200}\nphases:\n"
        f"  - {{name: baseline, lasts: 30s}}\n  - name: fault\n    lasts: {lasts}\n    faults:\n"
        f"{lines}  - {{name: recovery, lasts: 8s}}\nobjectives:\n  - {{sli: recovery, within: 5s}}\n"
    )
    return path


@pytest.mark.parametrize(
    ("fault", "what", "where"),
    [
        pytest.param("until: 11s", "would end 11s after the beginning of a phase of 10s", "faults[0].until", id="until too late"),
        pytest.param("at: 4s, for: 7s", "would end 11s after", "faults[0].for", id="for too long"),
        pytest.param("at: 10s", "would begin when its phase, which lasts 10s, is over", "faults[0].at", id="at too late"),
        pytest.param("for: 1s", "over before its dose is seen, which takes 1.2s", "faults[0].for", id="not seen in time"),
        pytest.param("at: 4s, until: 5s", "over before its dose is seen", "faults[0].until", id="not seen in time, later"),
        pytest.param("for: 1s, until: 2s", "`for` and `until` both say when it ends", "faults[0]", id="both"),
        pytest.param("at: 4s, until: 4s", "it would end at 4s and begin at 4s", "faults[0]", id="no time at all"),
        pytest.param("for: 0s", "greater than 0", "faults[0].for", id="for nothing"),
        pytest.param("until: 0s", "greater than 0", "faults[0].until", id="until nothing"),
        pytest.param("fro: 3s", "unknown key 'fro'", "faults[0].fro\n  fix:   did you mean 'for'?", id="mistyped"),
        pytest.param("at: -1s", "not a duration", "faults[0].at", id="before its phase"),
    ],
)  # fmt: skip
def test_a_window_that_cannot_be_is_refused_with_its_key(tmp_path, fault, what, where):
    """Before anything starts, with the file, the line and the key."""
    path = timed(tmp_path, f"kind: latency, target: redis, delay: 400ms, {fault}")

    with pytest.raises(SpecError) as refused:
        plan_of(read_source(path), SETTINGS, profile="quick", seed=1)

    said = str(refused.value)
    assert what in said
    assert said.count("where:") == 1, "one mistake is told once"
    assert f"timed.yaml:9: phases[1].{where}" in said


@pytest.mark.parametrize(
    ("faults", "late"),
    [
        pytest.param(["kind: latency, target: redis, delay: 3s"], [], id="9.2 s of looks fit 10 s"),
        pytest.param(
            ["kind: latency, target: redis, delay: 3s", "kind: latency, target: postgres, delay: 3s"],
            ["9: phases[1].faults[0]: `redis +3s` would end 8.4 s late", "10: phases[1].faults[1]: `postgres +3s` would end 8.4 s late"],
            id="one after the other they do not",
        ),
        pytest.param(
            ["kind: latency, target: redis, delay: 1s", "kind: latency, target: replica-1.redis, delay: 1s"],
            ["9: phases[1].faults[0]: `redis +1s` would end 2.4 s late", "10: phases[1].faults[1]: `replica-1.redis +1s` would end 2.4 s late"],
            id="on one edge each waits for both",
        ),
        pytest.param(
            ["kind: latency, target: redis, delay: 400ms", "kind: latency, target: redis, delay: 100ms"], [], id="short ones fit"
        ),
        pytest.param(
            ["kind: latency, target: redis, delay: 1s", "kind: latency, target: postgres, delay: 1s"], [], id="on two edges it does not"
        ),
        pytest.param(
            ["kind: latency, target: redis, delay: 2s", "kind: down, target: postgres, at: 2s, for: 5s"],
            ["10: phases[1].faults[1]: `postgres down at 2s for 5s` would begin 4.2 s late"],
            id="what is due while another is looked at waits",
        ),
        pytest.param(
            ["kind: latency, target: redis, delay: 2s, for: 7s", "kind: down, target: postgres, at: 7s"], [], id="after it, it does not"
        ),
        pytest.param(
            ["kind: latency, target: redis, delay: 2s", "kind: spike, times: 2, at: 2s, for: 5s"], [], id="the load waits for no look"
        ),
        pytest.param(
            ["kind: latency, target: redis, delay: 2s", "kind: down, target: postgres, at: 5800ms"], [], id="a tenth of its window late"
        ),
        pytest.param(
            ["kind: latency, target: redis, delay: 2s", "kind: down, target: postgres, at: 5500ms"],
            ["10: phases[1].faults[1]: `postgres down at 5.5s` would begin 0.7 s late"],
            id="more than that",
        ),
    ],
)  # fmt: skip
def test_looks_that_do_not_fit_are_refused_before_anything_starts(tmp_path, faults, late):
    """They are one after the other, and what is due meanwhile waits: a fault would be healed in the next phase."""
    source = read_source(timed(tmp_path, *faults))

    try:
        check_faults(source, SETTINGS, "quick")
        told = []
    except SpecError as refused:
        told = list(getattr(refused, "mistakes", [refused]))

    said = [
        f"{each.where.rpartition('timed.yaml:')[2]}: {each.what.removeprefix('the fault ').partition(': so')[0]}"
        for each in told
    ]
    assert said == late
    assert all("let its phase last longer" in each.fix for each in told)


@pytest.mark.parametrize(
    ("target", "rate", "is_seen"),
    [
        ("nginx.replica-1", "100KB/s", True),
        ("nginx.replica-1", "101KB/s", False),
        ("replica-2", "1MB/s", False),
        ("redis", "1MB/s", True),
    ],
)
def test_a_path_into_a_replica_that_is_hardly_narrowed_is_refused(tmp_path, target, rate, is_seen):
    """A replica makes the answers that would have to come slower no faster than that."""
    source = read_source(timed(tmp_path, f"kind: bandwidth, target: {target}, rate: {rate}"))

    if is_seen:
        check_faults(source, SETTINGS, "quick")
        return
    with pytest.raises(SpecError, match="cannot be told from no fault") as refused:
        check_faults(source, SETTINGS, "quick")
    assert refused.value.where.endswith("timed.yaml:9: phases[1].faults[0].rate")
    assert refused.value.fix.startswith("write 100KB/s or less")


def test_a_window_that_ends_with_its_phase_does_so_in_any_profile(tmp_path):
    """Stretched one by one, `at` and `for` may add up to a hair more than the phase: that is no window beyond it."""
    source = read_source(timed(tmp_path, "kind: down, target: redis, at: 0.1s, for: 9.9s"))
    stretches = [1 + number / 37 for number in range(200)]
    stretched = [source.scenario.stretched(factor).phases[1] for factor in stretches]
    beyond = [phase for phase in stretched if phase.faults[0].ends_after_s(phase.lasts) > phase.lasts]

    assert beyond, "none of them is a hair too long, so this shows nothing"
    for factor in stretches:
        profiles = {"any": SETTINGS.profiles["quick"].model_copy(update={"stretch": factor})}
        check_faults(source, SETTINGS.model_copy(update={"profiles": profiles}), "any")


@pytest.mark.parametrize(
    ("faults", "is_seen"),
    [
        (("kind: latency, target: redis, delay: 400ms", "kind: down, target: replica-1.redis"), False),
        (("kind: latency, target: redis, delay: 400ms, for: 4s", "kind: down, target: redis, at: 4s"), True),
        (("kind: latency, target: redis, delay: 400ms", "kind: latency, target: redis, delay: 100ms"), True),
        (("kind: latency, target: redis, delay: 400ms", "kind: down, target: postgres"), True),
        (("kind: blackhole, target: replica-1.redis", "kind: pause, target: redis"), False),
        (("kind: blackhole, target: redis", "kind: latency, target: redis, delay: 100ms"), False),
        (("kind: blackhole, target: redis", "kind: blackhole, target: replica-1.redis"), True),
        (("kind: down, target: redis", "kind: down, target: replica-1.redis"), True),
        (("kind: down, target: redis", "kind: kill, target: redis"), True),
        (("kind: down, target: redis", "kind: kill, target: proxy"), False),
        (("kind: reset, target: redis", "kind: pause, target: redis"), False),
        (("kind: reset, target: redis", "kind: reset, target: replica-1.redis, after: 1s"), False),
        (("kind: reset, target: redis", "kind: reset, target: postgres"), True),
        (("kind: reset, target: redis", "kind: latency, target: redis, delay: 100ms"), False),
        (("kind: half-open, target: redis, stream: upstream", "kind: blackhole, target: redis"), False),
        (("kind: half-open, target: redis, stream: upstream", "kind: latency, target: redis, delay: 1s"), False),
        (("kind: bandwidth, target: redis, rate: 10KB/s", "kind: latency, target: redis, delay: 100ms"), False),
        (("kind: bandwidth, target: redis, rate: 10KB/s", "kind: bandwidth, target: redis, rate: 20KB/s"), False),
        (("kind: bandwidth, target: redis, rate: 10KB/s", "kind: limit-data, target: redis, size: 1KB"), False),
        (("kind: bandwidth, target: replica-1.redis, rate: 9KB/s", "kind: latency, target: replica-2.redis, delay: 1s"), True),
        (("kind: slicer, target: redis, size: 9B, delay: 9ms", "kind: latency, target: redis, delay: 100ms"), False),
        (("kind: slicer, target: redis, size: 9B, delay: 9ms", "kind: half-open, target: redis, stream: upstream"), False),
        (("kind: limit-data, target: redis, size: 1KB", "kind: latency, target: redis, delay: 100ms"), True),
        (("kind: limit-data, target: redis, size: 1KB", "kind: limit-data, target: redis, size: 2KB"), False),
        (("kind: limit-data, target: redis, size: 1KB", "kind: down, target: replica-2.redis"), False),
        (("kind: connect-blackhole, target: redis", "kind: latency, target: redis, delay: 100ms"), False),
        (("kind: connect-blackhole, target: redis", "kind: down, target: redis"), False),
        (("kind: connect-blackhole, target: redis", "kind: connect-blackhole, target: replica-1.redis"), True),
        (("kind: connect-blackhole, target: redis", "kind: stale-connections, target: redis"), False),
        (("kind: stale-connections, target: redis", "kind: latency, target: redis, delay: 100ms"), True),
        (("kind: stale-connections, target: redis", "kind: reset, target: redis"), False),
        (("kind: stale-connections, target: redis", "kind: kill, target: redis"), False),
        (("kind: restart, target: redis", "kind: crash-loop, target: redis, every: 1s"), False),
        (("kind: restart, target: redis", "kind: crash-loop, target: postgres, every: 1s"), True),
        (("kind: kill, target: replica-2", "kind: rolling-restart, target: replicas, settles: 0s"), False),
        (("kind: kill, target: redis", "kind: rolling-restart, target: replicas, settles: 0s"), True),
        (("kind: latency, target: nginx.replica-1, delay: 1s", "kind: rolling-restart, target: replicas, settles: 0s"), False),
        (("kind: latency, target: replica-1.redis, delay: 1s", "kind: rolling-restart, target: replicas, settles: 0s"), True),
        (("kind: kill, target: redis", "kind: pause, target: redis"), False),
        (("kind: reload, target: nginx", "kind: restart, target: nginx"), False),
        (("kind: reload, target: nginx", "kind: reload, target: nginx, at: 3s"), False),
        (("kind: reload, target: nginx, for: 3s", "kind: reload, target: nginx, at: 3s"), True),
        (("kind: reload, target: nginx", "kind: latency, target: replica-1, delay: 1s"), True),
        (("kind: kill, target: redis", "kind: pause, target: replica-1"), True),
        (("kind: slow-start, target: redis, delay: 3s", "kind: pause, target: redis, at: 4s, for: 3s"), True),
        (("kind: flush, target: redis", "kind: flush, target: redis, at: 2s"), True),
        (("kind: flush, target: redis", "kind: latency, target: redis, delay: 400ms, jitter: 99ms"), True),
        (("kind: flush, target: redis", "kind: latency, target: redis, delay: 400ms, jitter: 100ms"), False),
        (("kind: flush, target: redis", "kind: latency, target: postgres, delay: 3s"), True),
        (("kind: flush, target: redis", "kind: down, target: replica-2.redis"), False),
        (("kind: flush, target: redis", "kind: blackhole, target: replica-2.redis"), False),
        (("kind: flush, target: redis", "kind: blackhole, target: postgres"), True),
        (("kind: flush, target: redis", "kind: bandwidth, target: redis, rate: 9KB/s"), False),
        (("kind: flush, target: redis", "kind: stale-connections, target: redis"), True),
        (("kind: flush, target: redis", "kind: kill, target: redis"), False),
        (("kind: flush, target: redis", "kind: kill, target: replica-1"), True),
        (("kind: flush, target: redis", "kind: kill, target: proxy"), False),
        (("kind: flush, target: redis", "kind: pause-clients, target: redis, blocks: writes"), False),
        (("kind: pause-clients, target: redis, for: 3s", "kind: pause-clients, target: redis, blocks: writes"), False),
        (("kind: pause-clients, target: redis, for: 3s", "kind: latency, target: replica-1.redis, delay: 40ms"), False),
        (("kind: pause-clients, target: redis, for: 3s", "kind: latency, target: postgres, delay: 40ms"), True),
        (("kind: pause-clients, target: redis, for: 3s", "kind: blackhole, target: redis, at: 4s"), True),
        (("kind: pause-clients, target: redis, blocks: writes", "kind: latency, target: redis, delay: 40ms"), True),
        (("kind: evict, target: redis, keep: 50%", "kind: full, target: redis, at: 4s"), False),
        (("kind: full, target: redis", "kind: flush, target: redis, at: 4s"), False),
        (("kind: full, target: redis, for: 4s", "kind: flush, target: redis, at: 4s"), True),
        (("kind: full, target: redis", "kind: latency, target: redis, delay: 40ms"), True),
        (("kind: lock, target: postgres, table: items", "kind: long-transaction, target: postgres, table: items"), False),
        (("kind: read-only, target: postgres", "kind: long-transaction, target: postgres, table: items"), True),
        (("kind: read-only, target: postgres", "kind: read-only, target: postgres, at: 4s"), False),
        (("kind: read-only, target: postgres", "kind: lock, target: postgres, table: items"), True),
        (("kind: read-only, target: postgres", "kind: connections, target: postgres, leaving: 5"), False),
        (
            ("kind: lock, target: postgres, table: items", "kind: lock, target: postgres, table: items, blocks: rows"),
            False,
        ),
        (("kind: lock, target: postgres, table: items", "kind: lock, target: postgres, table: letters"), True),
        (("kind: connections, target: postgres", "kind: connections, target: postgres, at: 2s"), False),
        (("kind: connections, target: postgres", "kind: latency, target: postgres, delay: 40ms"), True),
        (("kind: connections, target: postgres", "kind: flush, target: redis"), True),
        (("kind: connections, target: postgres", "kind: half-open, target: postgres, stream: upstream"), False),
        (("kind: limit-data, target: redis, size: 9B", "kind: pause-clients, target: redis, blocks: writes, at: 4s"), False),
        (("kind: down, target: redis, at: 4s", "kind: pause-clients, target: redis, for: 4s"), True),
        (("kind: cpu, target: machine, strangers: 2", "kind: cpu, target: machine, strangers: 1, at: 4s"), True),
        (("kind: cpu, target: machine, strangers: 2", "kind: kill, target: proxy"), True),
        (("kind: cpu, target: machine, strangers: 2", "kind: latency, target: redis, delay: 40ms"), True),
        (("kind: descriptors, target: redis", "kind: descriptors, target: redis, leaving: 9, at: 4s"), False),
        (("kind: descriptors, target: redis", "kind: descriptors, target: postgres"), True),
        (("kind: descriptors, target: redis", "kind: memory, target: redis, room: 1MB"), True),
        (("kind: memory, target: replica-1, room: 1MB", "kind: pause, target: replica-1"), False),
        (("kind: memory, target: replica-1, room: 1MB", "kind: kill, target: replica-2"), True),
        (("kind: memory, target: replica-1, room: 1MB", "kind: kill, target: proxy"), True),
        (("kind: memory, target: replica-2, room: 1MB", "kind: rolling-restart, target: replicas, settles: 0s"), False),
        (("kind: flush, target: redis", "kind: descriptors, target: redis"), False),
        (("kind: flush, target: redis", "kind: descriptors, target: replica-1"), True),
        (("kind: latency, target: replica-1.redis, delay: 40ms", "kind: descriptors, target: redis"), False),
        (("kind: latency, target: replica-1.redis, delay: 40ms", "kind: descriptors, target: replica-1"), True),
        (("kind: down, target: redis", "kind: descriptors, target: redis"), True),
        (("kind: disk-full, target: postgres", "kind: disk-full, target: postgres, at: 4s"), False),
        (("kind: disk-full, target: postgres", "kind: read-only, target: postgres, at: 4s"), False),
        (("kind: disk-full, target: postgres, for: 4s", "kind: read-only, target: postgres, at: 4s"), True),
        (("kind: disk-full, target: postgres", "kind: kill, target: postgres, at: 4s"), False),
        (("kind: disk-full, target: postgres", "kind: descriptors, target: postgres"), False),
        (("kind: disk-full, target: postgres", "kind: down, target: replica-1.postgres"), False),
        (("kind: disk-full, target: postgres", "kind: latency, target: postgres, delay: 40ms"), True),
        (("kind: disk-full, target: postgres", "kind: flush, target: redis"), True),
        (("kind: clock-skew, target: replica-1, wall: +1h", "kind: clock-skew, target: replica-1, wall: -1h, at: 4s"), False),
        (("kind: clock-skew, target: replica-1, wall: +1h", "kind: clock-skew, target: replica-2, wall: -1h, at: 4s"), True),
        (("kind: clock-skew, target: replica-1, wall: +1h", "kind: pause, target: replica-1"), False),
        (("kind: clock-skew, target: replica-1, wall: +1h", "kind: descriptors, target: replica-1"), False),
        (("kind: clock-skew, target: replica-1, wall: +1h", "kind: descriptors, target: replica-2"), True),
        (("kind: clock-skew, target: replica-1, wall: +1h", "kind: down, target: redis"), True),
        (("kind: clock-skew, target: replica-1, wall: +1h", "kind: flush, target: redis"), True),
        (("kind: clock-skew, target: replica-1, wall: +1h", "kind: latency, target: replica-1, delay: 1s"), True),
    ],
)  # fmt: skip
def test_a_fault_that_another_one_hides_is_refused(tmp_path, faults, is_seen):
    """While both are there; which one, and beside which."""
    source = read_source(timed(tmp_path, *faults, lasts="11s"))

    if is_seen:
        assert len(plan_of(source, SETTINGS, profile="quick", seed=1).actions) == 2
    else:
        with pytest.raises(SpecError, match="cannot be seen while") as refused:
            plan_of(source, SETTINGS, profile="quick", seed=1)
        assert "timed.yaml:9: phases[1].faults[0]" in str(refused.value) or "(line 9)" in str(refused.value)


def standing_by(folder, *faults, standbys="{redis: asynchronous, postgres: synchronous}"):
    """The scenario file of `timed`, with these standbys in line 4."""
    path = timed(folder, *faults, lasts="24s")
    path.write_text(path.read_text().replace("phases:\n", f"standbys: {standbys}\nphases:\n", 1))
    return read_source(path)


@pytest.mark.parametrize(
    ("faults", "is_seen"),
    [
        (("kind: failover, target: redis", "kind: failover, target: postgres"), True),
        (("kind: failover, target: redis", "kind: kill, target: redis"), False),
        (("kind: failover, target: redis", "kind: pause, target: redis-standby, at: 12s"), False),
        (("kind: failover, target: redis", "kind: pause, target: postgres-standby"), True),
        (("kind: failover, target: redis", "kind: kill, target: proxy"), False),
        (("kind: failover, target: redis", "kind: kill, target: replica-1"), True),
        (("kind: failover, target: redis", "kind: flush, target: redis, at: 12s"), False),
        (("kind: failover, target: redis", "kind: read-only, target: postgres"), True),
        (("kind: failover, target: redis", "kind: down, target: replica-1.redis"), False),
        (("kind: failover, target: redis", "kind: down, target: redis-standby.redis"), True),
        (("kind: failover, target: redis", "kind: latency, target: redis-standby.redis, delay: 1s"), False),
        (("kind: failover, target: redis", "kind: latency, target: redis, delay: 40ms"), False),
        (("kind: failover, target: redis, for: 12s", "kind: latency, target: redis, delay: 40ms, at: 12s"), True),
        (("kind: failover, target: redis, for: 12s", "kind: kill, target: redis, at: 12s"), True),
        (("kind: blackhole, target: redis", "kind: down, target: redis-standby.redis"), True),
        (("kind: failover, target: redis", "kind: hot-key, share: 50%"), True),
    ],
)
def test_a_failover_hides_and_is_hidden_as_a_death_is(tmp_path, faults, is_seen):
    """Of both servers; but a standby that is cut off from its primary is what makes a failover lose something."""
    source = standing_by(tmp_path, *faults)

    if is_seen:
        assert len(plan_of(source, OURS, profile="quick", seed=1).actions) == 2
    else:
        with pytest.raises(SpecError, match="cannot be seen while"):
            plan_of(source, OURS, profile="quick", seed=1)


@pytest.mark.parametrize(
    "later",
    [
        "kind: failover, target: redis, how: planned, at: 12s",
        "kind: kill, target: redis-standby, at: 12s",
        "kind: down, target: redis-standby.redis, at: 12s",
    ],
)
def test_a_standby_that_was_promoted_is_none_any_more(tmp_path, later):
    """It goes by its component's name, and has none itself; told with the line of the failover."""
    source = standing_by(tmp_path, "kind: failover, target: redis, for: 12s", later)

    with pytest.raises(
        SpecError, match=r"has no standby to hit any more after `redis fails over[^`]*` \(line 10\)"
    ) as told:
        plan_of(source, OURS, profile="quick", seed=1)

    assert "timed.yaml:11: phases[1].faults[1]" in str(told.value)
    assert "it goes by the name of redis from then on" in told.value.fix


@pytest.mark.parametrize(
    ("standbys", "what", "fix"),
    [
        ("{reddis: asynchronous}", "there is no component called 'reddis'", "did you mean 'redis'?"),
        ("{redis: synchronous}", "a redis does not wait for its standby", "`redis: asynchronous`"),
    ],
)
def test_a_standby_that_cannot_be_is_refused_with_its_line(tmp_path, standbys, what, fix):
    """Before anything starts, and without a second mistake for the fault that needs it."""
    source = standing_by(tmp_path, "kind: down, target: redis", standbys=standbys)

    with pytest.raises(SpecError, match=what) as refused:
        plan_of(source, OURS, profile="quick", seed=1)

    assert "timed.yaml:4: standbys." in str(refused.value)
    assert fix in refused.value.fix


def test_a_standby_takes_no_name_that_is_taken_and_a_kind_without_one_has_none(tmp_path):
    """A cache of memcached, and a second Redis that is called as the standby of the first would be."""
    parts = {"redis": {}, "redis-standby": {"kind": "redis"}, "memcached": {}}
    system = {"name": "made", "subject": {"app": "made:create_app"}, "components": parts}
    settings = Settings.model_validate({**SETTINGS.model_dump(), "system": system})
    source = standing_by(
        tmp_path, "kind: down, target: redis", standbys="{redis: asynchronous, memcached: asynchronous}"
    )

    with pytest.raises(SpecError, match="2 mistakes") as refused:
        plan_of(source, settings, profile="quick", seed=1)

    assert "there is a component called 'redis-standby' already" in str(refused.value)
    assert "a memcached has no standby" in str(refused.value)


def test_a_failover_without_a_standby_is_told_how_to_have_one(tmp_path):
    """In the scenario's own file, so that no other one pays for it."""
    source = read_source(timed(tmp_path, "kind: failover, target: redis"))

    with pytest.raises(SpecError, match="there is no component with a standby called 'redis'") as refused:
        plan_of(source, OURS, profile="quick", seed=1)

    assert refused.value.fix == "give it one, in this file: standbys: {redis: asynchronous}"


def test_a_service_that_runs_already_has_no_standbys(tmp_path):
    """What it depends on is not the harness's."""
    system = {"name": "made", "subject": {"external": "http://127.0.0.1:8000"}}
    settings = Settings.model_validate({**SETTINGS.model_dump(), "system": system})

    with pytest.raises(SpecError, match="what it depends on is not the harness's"):
        plan_of(standing_by(tmp_path, "kind: kill, target: proxy"), settings, profile="quick", seed=1)


def test_a_window_without_one_is_written_as_before_there_were_any(tmp_path):
    """What a scenario says of its faults is compared with what older evidence says; and it is read back as it was."""
    source = read_source(timed(tmp_path, "kind: down, target: redis", "kind: kill, target: redis, at: 1s, for: 2s"))
    bare, windowed = source.scenario.model_dump(mode="json")["phases"][1]["faults"]

    assert bare == {"kind": "down", "target": "redis"}
    assert windowed == {"kind": "kill", "target": "redis", "at": "1s", "for": "2s"}
    assert type(source.scenario).model_validate(source.scenario.model_dump(mode="json")) == source.scenario


@pytest.mark.parametrize(
    ("kind", "target", "is_there"),
    [
        ("down", "replica-2.postgres", True),
        ("down", "nginx.replica-1", True),
        ("down", "nginx", False),  # nothing of ours leads into it
        ("down", "replica-3.postgres", False),  # there are two
        ("kill", "nginx", True),
        ("kill", "replica-1.redis", False),  # an edge is no process
        ("flush", "redis", True),
        ("flush", "postgres", False),  # it is no Redis
        ("read-only", "postgres", True),
        ("read-only", "redis", False),
        ("flush", "replica-1.redis", False),  # an edge holds nothing
        ("rolling-restart", "replicas", True),
        ("rolling-restart", "replica-1", False),  # one is no group
        ("restart", "replicas", False),  # nor is a group one process
        ("reload", "nginx", True),
        ("reload", "replica-1", False),  # it reads no configuration again
    ],
)
def test_what_a_fault_can_hit_depends_on_its_kind(tmp_path, kind, target, is_there):
    """A process for those of processes, a way into a service for those of the network, a component for those of data."""
    source = written(tmp_path, (kind, target))

    if is_there:
        assert plan_of(source, SETTINGS, profile="quick", seed=1).scenario.faults[0].target == target
    else:
        with pytest.raises(SpecError, match="has nothing to hit"):
            plan_of(source, SETTINGS, profile="quick", seed=1)


@pytest.mark.parametrize(
    ("without", "replicas", "said"),
    [
        ("replica-2", 2, None),
        ("replica-2", 1, "there is no replica-2"),
        ("replica-1", 1, "nothing is left without replica-1"),
        ("replica-3", 2, "there is no replica-3"),
    ],
)
def test_a_load_balancer_leaves_out_one_of_several(tmp_path, without, replicas, said):
    """One that is there, and not the only one: else the story is another than its file tells."""
    source = written(tmp_path, ("reload", f"nginx, without: {without}"))
    settings = SETTINGS.model_copy(update={"system": SETTINGS.system.model_copy(update={"replicas": replicas})})

    if said is None:
        plan_of(source, settings, profile="quick", seed=1)
    else:
        with pytest.raises(SpecError, match=f"{said}[\\s\\S]*hurt.yaml:9: phases.1..faults.0..without"):
            plan_of(source, settings, profile="quick", seed=1)


CAUGHT = SETTINGS.model_copy(
    update={
        "system": SETTINGS.system.model_copy(
            update={"subject": SETTINGS.system.subject.model_copy(update={"defects": {"never-opens": "it waits"}})}
        )
    }
)


@pytest.mark.parametrize(
    ("catch", "what", "place"),
    [
        pytest.param("defect: never-opens, by: errors", None, None, id="by a default"),
        pytest.param("defect: never-opens, by: recovery", None, None, id="by an objective of its own"),
        pytest.param("defect: never-opens, by: hits", "to be caught by 'hits', which is not promised", "by", id="by nothing"),
        pytest.param("defect: never-open, by: errors", "unknown defect 'never-open'", "defect", id="unknown"),
    ],
)  # fmt: skip
def test_a_defect_is_caught_by_a_promise_that_is_made_here(tmp_path, catch, what, place):
    """With the defaults of readiness.toml, which are known at collection."""
    path = timed(tmp_path, "kind: down, target: redis")
    path.write_text(f"{path.read_text()}catches:\n  - {{{catch}}}\n")
    source = read_source(path)

    if what is None:
        assert plan_of(source, CAUGHT, profile="quick", seed=1).scenario.catches
    else:
        with pytest.raises(SpecError, match=what) as refused:
            plan_of(source, CAUGHT, profile="quick", seed=1)
        assert f"timed.yaml:14: catches[0].{place}\n" in str(refused.value)
        assert "did you mean 'never-opens'?" in str(refused.value) or "known: errors, recovery" in str(refused.value)


def test_a_subject_without_defects_is_told_where_to_list_them(tmp_path):
    """A list of nothing would help nobody."""
    path = timed(tmp_path, "kind: down, target: redis")
    path.write_text(f"{path.read_text()}catches:\n  - {{defect: any, by: errors}}\n")

    with pytest.raises(SpecError, match="unknown defect 'any'") as refused:
        plan_of(read_source(path), SETTINGS, profile="quick", seed=1)

    assert "[system.subject.defects]" in refused.value.fix


def test_all_mistakes_of_a_plan_are_told_at_once(tmp_path):
    """Of its targets, of what it can prove, and of what it claims to catch; each with its line."""
    path = timed(tmp_path, "kind: down, target: reddis")
    path.write_text(
        f"{path.read_text()}  - {{sli: errors, max: 0.01%, during: fault}}\n"
        "catches:\n  - {defect: never-opens, by: hits}\n"
    )

    with pytest.raises(SpecError, match="3 mistakes") as refused:
        plan_of(read_source(path), CAUGHT, profile="quick", seed=1)

    said = str(refused.value).replace(f"{path}", "timed.yaml")
    assert [line.strip() for line in said.splitlines() if "where:" in line] == [
        "where: timed.yaml:9: phases[1].faults[0].target",
        "where: timed.yaml:13: objectives[1]",
        "where: timed.yaml:15: catches[0].by",
    ]


def test_a_file_that_changes_in_mid_run_changes_nothing(tmp_path):
    """What was read at collection is what is judged, and what the evidence keeps."""
    options = Options(
        project=PROJECT, profile="full", backend="embedded", defect=None, seed=1, out=tmp_path, run_id="plan"
    )
    source = written(tmp_path, ("down", "redis"))
    text = source.path.read_text()
    plan = plan_of(source, OURS, profile="full", seed=1)
    source.path.write_text("scenario: another\n")
    with opened(options, OURS, clock=SystemClock(), listener=Progress()) as run:
        history = history_of(plan.scenario, [Stretch(lasts_s=plan.scenario.lasts_s)])
        verdict = run._keep(plan, run.folder / "made", history).verdict

    assert (tmp_path / "plan/made/scenario.yaml").read_text() == text
    assert verdict.scenario == "hurt"
    assert verdict.confidence == OURS.confidence_of("full") == 0.99


TOLD = {"app": "made:create_app", "environment": {"REDIS_URL": "redis://{redis.host}:{redis.port}", "LIMIT": "5"}}


def telling(folder, *lines, subject):
    """What is planned of a scenario with these lines in its environment, from line 4 on."""
    path = folder / "telling.yaml"
    path.write_text(
        "scenario: telling\nstory: The service is told something.\nenvironment:\n"
        + "".join(f"  {line}\n" for line in lines)
        + "load: {arrivals_per_s: 200}\nphases: [{name: baseline, lasts: 30s}]\n"
    )
    system = {"name": "made", "subject": subject}
    settings = Settings.model_validate({**SETTINGS.model_dump(), "system": system})
    return plan_of(read_source(path), settings, profile="quick", seed=1), settings.system


def test_a_scenario_may_tell_its_service_something_else(tmp_path):
    """What readiness.toml says of the same variable gives way, and nothing else does."""
    plan, system = telling(tmp_path, "LIMIT: '1'", "NEW: x", subject=TOLD)

    told = system.with_environment(plan.scenario.environment).subject.environment
    assert told == {**TOLD["environment"], "LIMIT": "1", "NEW": "x"}
    assert system.subject.environment == TOLD["environment"]


@pytest.mark.parametrize(
    ("line", "change", "what"),
    [
        pytest.param("REDIS_URL: redis://127.0.0.1", {}, "would lead past the fault proxy", id="past the proxy"),
        pytest.param("LIMIT: '{redis.port}'", {}, "has a placeholder", id="a placeholder"),
        pytest.param("TOKEN: x", {"secrets": ["TOKEN"]}, "TOKEN is a secret", id="a secret"),
    ],
)
def test_what_a_service_cannot_be_told_is_refused_with_its_line(tmp_path, line, change, what):
    with pytest.raises(SpecError, match=what) as refused:
        telling(tmp_path, "FIRST: fine", line, subject={**TOLD, **change})

    assert f"telling.yaml:5: environment.{line.partition(':')[0]}" in str(refused.value)


def test_a_service_that_runs_already_is_told_nothing(tmp_path):
    with pytest.raises(SpecError, match="runs already, and hears of no variable"):
        telling(tmp_path, "LIMIT: '1'", subject={"external": "http://127.0.0.1:8000"})


MAILING = TOLD | {"workers": {"mailer": {"command": ["mail"], "count": 0}, "sweeper": {"command": ["sweep"]}}}
HURT = """\
scenario: hurt
story: A worker is killed.
workers: {mailer: 2}
load: {arrivals_per_s: 200}
phases:
  - {name: baseline, lasts: 30s}
  - name: fault
    lasts: 5s
    faults:
      - {kind: kill, target: mailer-2}
  - {name: recovery, lasts: 8s}
objectives:
  - {sli: recovery, within: 2s}
"""


def hurting(folder, text=HURT):
    (folder / "hurt.yaml").write_text(text)
    settings = Settings.model_validate(
        {**SETTINGS.model_dump(), "system": {"name": "made", "subject": MAILING, "components": {}}}
    )
    return plan_of(read_source(folder / "hurt.yaml"), settings, profile="quick", seed=1), settings.system


def test_a_scenario_may_have_workers_that_no_other_has(tmp_path):
    """Faults hit them by name; those that it does not name stay as many as they are."""
    plan, system = hurting(tmp_path)

    assert (plan.scenario.workers, processes_of(system)[2:-2]) == ({"mailer": 2}, ["sweeper-1"])
    assert processes_of(system.with_workers(plan.scenario.workers))[2:-2] == ["mailer-1", "mailer-2", "sweeper-1"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param("{mailer: 2}", "{mialer: 2}", "hurt.yaml:3: workers.mialer", id="unknown"),
        pytest.param("{mailer: 2}", "{mailer: 1}", "hurt.yaml:10: phases[1].faults[0].target", id="one too few"),
        pytest.param("{mailer: 2}", "{mailer: 17}", "hurt.yaml:3: workers.mailer", id="too many"),
    ],
)
def test_workers_that_there_are_not_are_refused_with_their_line(tmp_path, old, new, said):
    with pytest.raises(SpecError) as refused:
        hurting(tmp_path, HURT.replace(old, new))

    assert said in str(refused.value)


def test_a_defect_is_the_workers_as_well():
    """Where a program is named that has it; any other is told of it by its environment."""
    workers = {"mailer": Worker(command=("mail",), defect_command=("broken",)), "other": Worker(command=("other",))}
    system = System(name="made", subject=Subject(app="made:create_app", workers=workers))

    def commands(defect):
        return [each.command for each in Blueprint(system=system, seed=1, defect=defect).workers]

    assert commands(None) == [("mail",), ("other",)]
    assert commands("slow") == [("broken",), ("other",)]
