"""The policies of all parts: what holds by default, and the edge of what makes sense."""

from __future__ import annotations

from dataclasses import fields
from math import inf, nan

import pytest

from fixtures.reference.core.balancer import BalancerPolicy, Choice
from fixtures.reference.core.batch import BatchPolicy, WhenFull
from fixtures.reference.core.breaker import BUSY, BreakerPolicy
from fixtures.reference.core.cache import READ_HEAVY, WRITE_HEAVY, CachePolicy
from fixtures.reference.core.checkpoint import CheckpointPolicy
from fixtures.reference.core.deadletter import AtCap, DeadLetterPolicy
from fixtures.reference.core.limiter import GENEROUS, STRICT, FailPolicy, LimiterPolicy
from fixtures.reference.core.pool import LARGE, SMALL, PoolPolicy
from fixtures.reference.core.query import QueryPolicy
from fixtures.reference.core.redis_link import RedisLinkPolicy
from fixtures.reference.core.shared_breaker import SharedBreakerPolicy
from fixtures.reference.core.store import StorePolicy
from fixtures.reference.core.worker import WorkerPolicy

NEEDED = {
    LimiterPolicy: {"rate_per_s": 1, "burst": 1},
    RedisLinkPolicy: {"host": "redis", "port": 6379},
    StorePolicy: {"host": "postgres", "port": 5432, "user": "any", "password": "hunter2", "database": "any"},
}
TINY = 1e-9
# The furthest that is accepted, and what no longer is. Not a number is never accepted.
EDGES = [
    (BalancerPolicy, "choice", ["round_robin"], ["", "random"]),
    (BalancerPolicy, "failures", [1], [0]),
    (BalancerPolicy, "ejection_s", [TINY], [0, nan]),
    (BalancerPolicy, "ejection_max_s", [TINY, inf], [0, nan]),
    (BalancerPolicy, "jitter_ratio", [0, 1], [-TINY, 1 + TINY, nan]),
    (BalancerPolicy, "max_ejected_ratio", [0, 1], [-TINY, 1 + TINY, nan]),
    (BalancerPolicy, "interval_s", [TINY], [0, nan]),
    (BalancerPolicy, "outlier_min_calls", [1], [0]),
    (BalancerPolicy, "outlier_min_hosts", [2], [1]),
    (BalancerPolicy, "outlier_stdevs", [TINY], [0, nan]),
    (BalancerPolicy, "probes", [1], [0]),
    (BalancerPolicy, "probe_max_s", [TINY, inf], [0, nan]),
    (BalancerPolicy, "panic_ratio", [0, 1], [-TINY, 1 + TINY, nan]),
    (BalancerPolicy, "slow_start_s", [0], [-TINY, inf, nan]),
    (BalancerPolicy, "slow_start_min_ratio", [TINY, 1], [0, 1 + TINY, nan]),
    (BalancerPolicy, "max_load_ratio", [1], [1 - TINY, inf, nan]),
    (BalancerPolicy, "latency_decay_s", [TINY], [0, nan]),
    (BreakerPolicy, "failures", [1], [0]),
    (BreakerPolicy, "window_s", [TINY], [0, -1, nan]),
    (BreakerPolicy, "min_calls", [0], [-1]),
    (BreakerPolicy, "min_failure_rate", [0, 1], [-TINY, 1 + TINY, nan]),
    (BreakerPolicy, "recovery_s", [TINY], [0, nan]),
    (BreakerPolicy, "recovery_max_s", [TINY, inf], [0, nan]),
    (BreakerPolicy, "jitter_ratio", [0, 1 - TINY], [-TINY, 1, nan]),
    (BreakerPolicy, "probes", [1], [0]),
    (BreakerPolicy, "successes", [1, 3, None], [0, 4]),
    (BreakerPolicy, "slow_call_s", [TINY, inf], [0, nan]),
    (BreakerPolicy, "probe_max_s", [TINY, inf], [0, nan]),
    (CachePolicy, "max_bytes", [1], [0]),
    (CachePolicy, "ttl_s", [TINY], [0, -1, nan]),
    (CachePolicy, "l1_ttl_s", [TINY, 5], [0, -1, 5 + TINY, nan]),
    (CachePolicy, "grace_s", [0], [-TINY, nan]),
    (CachePolicy, "jitter_ratio", [0, 1 - TINY], [-TINY, 1, nan]),
    (CachePolicy, "refresh_ratio", [TINY, 1], [0, 1 + TINY, nan]),
    (CachePolicy, "lease_s", [TINY], [0, nan]),
    (CachePolicy, "max_body_bytes", [1], [0]),
    (CachePolicy, "replicas", [1], [0]),
    (CheckpointPolicy, "ttl_s", [0.001], [0.0009, 0, -1, inf, nan]),
    (DeadLetterPolicy, "retention_s", [0.001], [0.0009, 0, -1, inf, nan]),
    (DeadLetterPolicy, "max_entries", [1], [0]),
    (DeadLetterPolicy, "archive", [False], [True]),
    (DeadLetterPolicy, "look_at", [1, 49], [0, 50]),
    (DeadLetterPolicy, "act_at", [11], [10]),
    (LimiterPolicy, "rate_per_s", [1 / (366 * 86_400)], [0, -1, inf, nan]),
    (LimiterPolicy, "burst", [1, 366 * 86_400], [1 - TINY, inf, nan]),
    (LimiterPolicy, "share_ratio", [TINY, 1], [0, 1 + TINY, nan]),
    (LimiterPolicy, "max_keys", [1], [0]),
    (BatchPolicy, "max_items", [1, 10_000], [0, 10_001]),
    (BatchPolicy, "max_age_s", [0, inf], [-TINY, nan]),
    (BatchPolicy, "concurrency", [1], [0]),
    (BatchPolicy, "max_queued", [100], [99]),
    (BatchPolicy, "when_full", ["wait", "reject"], ["", "drop"]),
    (PoolPolicy, "max_connections", [5], [4, 0]),
    (PoolPolicy, "min_idle", [0, 20], [-1, 21]),
    (PoolPolicy, "acquire_timeout_s", [TINY, inf], [0, nan]),
    (PoolPolicy, "connect_timeout_s", [TINY, inf], [0, nan]),
    (PoolPolicy, "close_timeout_s", [TINY, inf], [0, nan]),
    (PoolPolicy, "idle_max_s", [TINY, inf], [0, nan]),
    (PoolPolicy, "lifetime_s", [TINY, inf], [0, nan]),
    (PoolPolicy, "jitter_ratio", [0, 1 - TINY], [-TINY, 1, nan]),
    (PoolPolicy, "validate_after_s", [0, inf], [-TINY, nan]),
    (QueryPolicy, "slow_s", [TINY], [0, nan]),
    (QueryPolicy, "slow_p99_factor", [1], [1 - TINY, inf, nan]),
    (QueryPolicy, "slow_p99_min_calls", [1], [0]),
    (QueryPolicy, "slow_p99_min_s", [0], [-TINY, nan]),
    (QueryPolicy, "window_s", [TINY], [0, nan]),
    (QueryPolicy, "repeats", [2], [1]),
    (QueryPolicy, "min_rows", [0], [-1]),
    (QueryPolicy, "min_gain_ratio", [TINY, 1 - TINY], [0, 1, nan]),
    (QueryPolicy, "lock_timeout_s", [0.001], [0.001 - TINY, nan]),
    (QueryPolicy, "build_timeout_s", [0.001], [0.001 - TINY, nan]),
    (QueryPolicy, "max_table_bytes", [1], [0]),
    (QueryPolicy, "max_statements", [1], [0]),
    (QueryPolicy, "max_texts", [1], [0]),
    (QueryPolicy, "max_chars", [1], [0]),
    (QueryPolicy, "max_findings", [1], [0]),
    (QueryPolicy, "max_in_scope", [1], [0]),
    (RedisLinkPolicy, "port", [1, 65535], [0, 65536]),
    (RedisLinkPolicy, "op_timeout_s", [TINY], [0, nan]),
    (RedisLinkPolicy, "connections", [1], [0]),
    (SharedBreakerPolicy, "look_every_s", [TINY, inf], [0, -1, nan]),
    (StorePolicy, "port", [1, 65535], [0, 65536]),
    (StorePolicy, "ssl", ["disable", "verify-full"], ["", "true", "verify_full"]),
    (StorePolicy, "op_timeout_s", [TINY], [0, nan]),
    (WorkerPolicy, "concurrency", [1], [0]),
    (WorkerPolicy, "timeout_s", [TINY, inf], [0, nan]),
    (WorkerPolicy, "max_attempts", [1], [0]),
    (WorkerPolicy, "backoff_s", [TINY], [0, inf, nan]),
    (WorkerPolicy, "backoff_max_s", [TINY], [0, inf, nan]),
    (WorkerPolicy, "jitter_ratio", [0, 1 - TINY], [-TINY, 1, nan]),
    (WorkerPolicy, "lease_s", [0.01], [0.009, inf, nan]),
    (WorkerPolicy, "poll_s", [TINY], [0, inf, nan]),
    (WorkerPolicy, "drain_s", [0, inf], [-TINY, nan]),
    (WorkerPolicy, "full_s", [TINY], [0, inf, nan]),
    (WorkerPolicy, "kept_s", [0.001], [0.0009, inf, nan]),
]
DEFAULTS = {
    BalancerPolicy: {
        "choice": Choice.TWO_CHOICES,
        "failures": 5,
        "ejection_s": 30.0,
        "ejection_max_s": 300.0,
        "jitter_ratio": 0.1,
        "max_ejected_ratio": 0.5,
        "interval_s": 10.0,
        "outlier_min_calls": 100,
        "outlier_min_hosts": 5,
        "outlier_stdevs": 1.9,
        "probes": 3,
        "probe_max_s": 30.0,
        "panic_ratio": 0.5,
        "slow_start_s": 10.0,
        "slow_start_min_ratio": 0.1,
        "max_load_ratio": 1.25,
        "latency_decay_s": 10.0,
    },
    BreakerPolicy: {
        "failures": 5,
        "window_s": 60.0,
        "min_calls": 0,
        "min_failure_rate": 0.0,
        "recovery_s": 60.0,
        "recovery_max_s": 600.0,
        "jitter_ratio": 0.1,
        "probes": 3,
        "successes": None,
        "probe_max_s": 30.0,
        "slow_call_s": inf,
    },
    CachePolicy: {
        "max_bytes": 64_000_000,
        "ttl_s": 60.0,
        "l1_ttl_s": 5.0,
        "grace_s": 60.0,
        "jitter_ratio": 0.1,
        "refresh_ratio": 0.8,
        "lease_s": 1.0,
        "max_body_bytes": 16_000_000,
        "replicas": 1,
    },
    CheckpointPolicy: {"ttl_s": 7 * 86_400.0},
    DeadLetterPolicy: {
        "retention_s": 30 * 86_400.0,
        "max_entries": 10_000,
        "at_cap": AtCap.REJECT_ALERT,
        "archive": False,
        "look_at": 10,
        "act_at": 50,
    },
    LimiterPolicy: {"on_failure": FailPolicy.LOCAL, "share_ratio": 1.0, "max_keys": 100_000},
    BatchPolicy: {
        "max_items": 100,
        "max_age_s": 0.02,
        "concurrency": 4,
        "max_queued": 10_000,
        "when_full": WhenFull.WAIT,
    },
    PoolPolicy: {
        "max_connections": 20,
        "min_idle": 5,
        "acquire_timeout_s": 5.0,
        "connect_timeout_s": 2.0,
        "close_timeout_s": 1.0,
        "idle_max_s": 300.0,
        "lifetime_s": 1800.0,
        "jitter_ratio": 0.1,
        "validate_after_s": 30.0,
    },
    QueryPolicy: {
        "slow_s": 0.1,
        "slow_p99_factor": 3.0,
        "slow_p99_min_calls": 100,
        "slow_p99_min_s": 0.005,
        "window_s": 300.0,
        "repeats": 5,
        "min_rows": 10_000,
        "min_gain_ratio": 0.2,
        "lock_timeout_s": 0.1,
        "build_timeout_s": 30.0,
        "max_table_bytes": 1024**3,
        "max_statements": 1000,
        "max_texts": 2000,
        "max_chars": 10_000,
        "max_findings": 200,
        "max_in_scope": 1000,
        "skip_modules": (),
    },
    RedisLinkPolicy: {"op_timeout_s": 0.05, "connections": 64},
    SharedBreakerPolicy: {"breaker": BreakerPolicy(), "look_every_s": 1.0},
    StorePolicy: {"ssl": "prefer", "op_timeout_s": 1.0},
    WorkerPolicy: {
        "concurrency": 8,
        "timeout_s": 60.0,
        "max_attempts": 5,
        "backoff_s": 1.0,
        "backoff_max_s": 300.0,
        "jitter_ratio": 0.5,
        "lease_s": 30.0,
        "poll_s": 0.1,
        "drain_s": 10.0,
        "full_s": 60.0,
        "kept_s": 7 * 86_400.0,
    },
}


@pytest.mark.parametrize("policy", DEFAULTS)
def test_what_holds_where_nothing_is_chosen(policy):
    """A default that changes unseen changes every user of the part."""
    chosen = policy(**NEEDED.get(policy, {}))

    assert {name: getattr(chosen, name) for name in DEFAULTS[policy]} == DEFAULTS[policy]
    assert {field.name for field in fields(policy)} == DEFAULTS[policy].keys() | NEEDED.get(policy, {}).keys()


@pytest.mark.parametrize(
    ("preset", "policy", "chosen"),
    [
        pytest.param(BUSY, BreakerPolicy, {"window_s": 30.0, "min_failure_rate": 0.1}, id="a busy service"),
        pytest.param(READ_HEAVY, CachePolicy, {"max_bytes": 500_000_000, "ttl_s": 300.0}, id="much is read"),
        pytest.param(
            WRITE_HEAVY,
            CachePolicy,
            {"max_bytes": 100_000_000, "ttl_s": 60.0, "l1_ttl_s": 1.0, "grace_s": 10.0, "refresh_ratio": 1.0},
            id="much is written",
        ),
        pytest.param(GENEROUS, LimiterPolicy, {"rate_per_s": 100, "burst": 500}, id="what is cheap"),
        pytest.param(STRICT, LimiterPolicy, {"rate_per_s": 10, "burst": 50}, id="what is dear"),
        pytest.param(SMALL, PoolPolicy, {"max_connections": 20, "min_idle": 5}, id="a small pool"),
        pytest.param(LARGE, PoolPolicy, {"max_connections": 100, "min_idle": 20}, id="a large pool"),
    ],
)
def test_presets_say_what_they_are_known_for(preset, policy, chosen):
    """And what they do not say holds by default."""
    assert preset == policy(**chosen)


@pytest.mark.parametrize(("policy", "name", "value"), [(*edge[:2], each) for edge in EDGES for each in edge[2]])
def test_policy_takes_what_makes_sense(policy, name, value):
    """The edge itself is inside."""
    chosen = policy(**{**NEEDED.get(policy, {}), name: value})

    assert getattr(chosen, name) == value


@pytest.mark.parametrize(("policy", "name", "value"), [(*edge[:2], each) for edge in EDGES for each in edge[3]])
def test_policy_refuses_what_makes_no_sense_and_names_it(policy, name, value):
    """Before anything is built with it; a time to live of nothing is a mistake and not "for ever" (C7)."""
    with pytest.raises(ValueError, match=rf"needs [^(]*\b{name}\b[^(]*, not {policy.__name__}") as refused:
        policy(**{**NEEDED.get(policy, {}), name: value})

    assert "hunter2" not in str(refused.value)


def test_policy_of_a_limiter_that_never_refills_is_refused():
    """A bucket that takes longer than a year to fill belongs into a database, and Redis would not keep it (L5)."""
    LimiterPolicy(rate_per_s=1, burst=366 * 86_400)
    with pytest.raises(ValueError, match="a limiter needs burst / rate_per_s <= 366 days, not"):
        LimiterPolicy(rate_per_s=1, burst=366 * 86_400 + 1)


def test_policy_names_all_broken_rules_at_once():
    """Three values of one breaker are repaired in one go; the others are not mentioned."""
    with pytest.raises(ValueError, match=r"^a breaker needs failures >= 1, recovery_s > 0, probes >= 1, not Breaker"):
        BreakerPolicy(failures=0, recovery_s=-1, probes=0)


def test_policy_of_a_pool_without_connections_is_refused():
    """None at most would agree with none at least, and no caller would ever get one."""
    with pytest.raises(ValueError, match="a pool needs max_connections >= 1, not"):
        PoolPolicy(min_idle=0, max_connections=0)


def test_policy_of_dead_letters_keeps_an_archive_of_what_it_drops():
    """What it refuses needs none; an archive that stays empty would look like nothing was dropped."""
    assert DeadLetterPolicy(at_cap=AtCap.DROP_OLDEST, archive=True).archive
