"""What the environment may choose for each part: what holds without it, and the edges of what makes sense."""

from __future__ import annotations

from math import inf, nan

import pytest
from pydantic import SecretStr, ValidationError

from fixtures.reference.core.balancer import Choice
from fixtures.reference.core.balancer.settings import BalancerSettings
from fixtures.reference.core.batch import WhenFull
from fixtures.reference.core.batch.settings import BatchSettings
from fixtures.reference.core.breaker.settings import BreakerSettings
from fixtures.reference.core.cache.settings import CacheSettings
from fixtures.reference.core.checkpoint.settings import CheckpointSettings
from fixtures.reference.core.deadletter import AtCap
from fixtures.reference.core.deadletter.settings import DeadLetterSettings
from fixtures.reference.core.limiter import FailPolicy
from fixtures.reference.core.limiter.settings import LimiterSettings
from fixtures.reference.core.pool.settings import PoolSettings
from fixtures.reference.core.query.settings import QuerySettings
from fixtures.reference.core.redis_link.settings import RedisLinkSettings
from fixtures.reference.core.shared_breaker.settings import SharedBreakerSettings
from fixtures.reference.core.store.settings import StoreSettings
from fixtures.reference.core.worker.settings import WorkerSettings

TINY = 1e-9
# For each part and field: what holds where nothing is said, the furthest that is taken, and what no longer is. Neither
# infinity nor what is no number is ever taken.
FIELDS = {
    BalancerSettings: {
        "choice": (Choice.TWO_CHOICES, ["consistent_hash"], ["random"]),
        "failures": (5, [1], [0]),
        "ejection_s": (30.0, [TINY], [0]),
        "ejection_max_s": (300.0, [TINY], [0]),
        "max_ejected_ratio": (0.5, [0, 1], [-TINY, 1 + TINY]),
        "panic_ratio": (0.5, [0, 1], [-TINY, 1 + TINY]),
        "slow_start_s": (10.0, [0], [-TINY]),
        "max_load_ratio": (1.25, [1], [1 - TINY]),
    },
    BatchSettings: {
        "max_items": (100, [1, 10_000], [0]),
        "max_age_s": (0.02, [0], [-TINY]),
        "concurrency": (4, [1], [0]),
        "max_queued": (10_000, [100], [0]),
        "when_full": (WhenFull.WAIT, ["reject"], ["drop"]),
    },
    BreakerSettings: {
        "failures": (5, [1], [0]),
        "window_s": (5.0, [TINY], [0]),
        "min_calls": (0, [0], [-1]),
        "min_failure_rate": (0.1, [0, 1], [-TINY, 1 + TINY]),
        "recovery_s": (1.0, [TINY], [0]),
        "recovery_max_s": (2.0, [TINY], [0]),
        "jitter_ratio": (0.1, [0, 1 - TINY], [-TINY, 1]),
        "probes": (3, [1], [0]),
        "successes": (None, [1, 3], [0, 4]),
        "probe_max_s": (30.0, [TINY], [0]),
        "slow_call_s": (None, [TINY], [0]),
    },
    CacheSettings: {
        "preset": ("none", ["read-heavy", "write-heavy"], ["all"]),
        "max_bytes": (64_000_000, [10_000], [9999]),
        "ttl_s": (60.0, [TINY], [0]),
        "l1_ttl_s": (5.0, [TINY, 5], [0, 5 + TINY]),
        "grace_s": (60.0, [0], [-TINY]),
        "refresh_ratio": (0.8, [TINY, 1], [0, 1 + TINY]),
        "lease_s": (1.0, [TINY], [0]),
    },
    CheckpointSettings: {"ttl_s": (7 * 86_400.0, [60], [60 - TINY])},
    DeadLetterSettings: {
        "retention_s": (30 * 86_400.0, [60], [60 - TINY]),
        "max_entries": (10_000, [1], [0]),
        "at_cap": (AtCap.REJECT_ALERT, ["drop_oldest"], ["drop"]),
        "archive": (False, [False], []),
        "look_at": (10, [1, 49], [0]),
        "act_at": (50, [11], [1]),
    },
    LimiterSettings: {
        "rate_per_s": (10_000.0, [1], [0]),
        "burst": (20_000.0, [1], [1 - TINY]),
        "on_failure": (FailPolicy.LOCAL, ["open", "closed"], ["any"]),
    },
    PoolSettings: {
        "preset": ("small", ["large"], ["huge"]),
        "max_connections": (None, [5], [4, 0]),
        "min_idle": (None, [0, 20], [-1, 21]),
        "acquire_timeout_s": (5.0, [TINY], [0]),
        "connect_timeout_s": (0.5, [TINY], [0]),
        "close_timeout_s": (1.0, [TINY], [0]),
        "idle_max_s": (300.0, [TINY], [0]),
        "lifetime_s": (1800.0, [TINY], [0]),
        "jitter_ratio": (0.1, [0, 1 - TINY], [-TINY, 1]),
        "validate_after_s": (30.0, [0], [-TINY]),
    },
    QuerySettings: {
        "slow_s": (0.1, [TINY], [0]),
        "slow_p99_factor": (3.0, [1], [1 - TINY]),
        "repeats": (5, [2], [1]),
        "min_rows": (10_000, [0], [-1]),
        "min_gain_ratio": (0.2, [TINY, 1 - TINY], [0, 1]),
        "build_timeout_s": (0.5, [0.001], [0.001 - TINY]),
        "max_statements": (1000, [1], [0]),
    },
    RedisLinkSettings: {
        "host": ("127.0.0.1", ["redis"], []),
        "port": (6379, [1, 65535], [0, 65536]),
        "timeout_s": (0.05, [TINY], [0]),
        "connections": (64, [2], [1]),
    },
    SharedBreakerSettings: {"look_every_s": (1.0, [TINY], [0])},
    StoreSettings: {
        "host": ("127.0.0.1", ["postgres"], []),
        "port": (5432, [1, 65535], [0, 65536]),
        "user": ("postgres", ["app"], []),
        "password": (SecretStr(""), [], []),
        "password_file": (None, [], []),
        "database": ("postgres", ["app"], []),
        "ssl": ("prefer", ["disable", "verify-full"], ["true"]),
        "timeout_s": (1.0, [TINY], [0]),
    },
    WorkerSettings: {
        "concurrency": (8, [1], [0]),
        "timeout_s": (60.0, [TINY], [0]),
        "max_attempts": (5, [1], [0]),
        "backoff_s": (1.0, [TINY], [0]),
        "backoff_max_s": (300.0, [TINY], [0]),
        "lease_s": (30.0, [0.1], [0.1 - TINY]),
        "drain_s": (8.0, [0], [-TINY]),
    },
}
EACH = [(settings, name, *told) for settings, named in FIELDS.items() for name, told in named.items()]


@pytest.mark.parametrize("settings", FIELDS)
def test_what_holds_where_nothing_is_said(settings):
    """A default that changes unseen changes every service that has copied the part."""
    assert dict(settings()) == {name: default for name, (default, _, _) in FIELDS[settings].items()}


@pytest.mark.parametrize(("settings", "name", "value"), [(*each[:2], value) for each in EACH for value in each[3]])
def test_the_edge_itself_is_taken(settings, name, value):
    """As it is said."""
    assert getattr(settings(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        *((*each[:2], value) for each in EACH for value in each[4]),
        *((*each[:2], value) for each in EACH if isinstance(each[2], float) for value in (inf, nan)),
    ],
)
def test_what_lies_beyond_is_refused_at_the_start(settings, name, value):
    """Where the environment is read, and not where the part is built."""
    with pytest.raises(ValidationError):
        settings(**{name: value})


@pytest.mark.parametrize("settings", FIELDS)
def test_what_is_misspelt_is_refused(settings):
    """It would mean the default, silently."""
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        settings(tlt_s=1)
