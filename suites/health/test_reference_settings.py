"""The settings of the reference service: every variable, what holds without it, and where it stops making sense."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import SecretStr

from fixtures.reference.core.breaker import BreakerPolicy
from fixtures.reference.core.cache import READ_HEAVY, WRITE_HEAVY, CachePolicy
from fixtures.reference.core.limiter import FailPolicy, LimiterPolicy
from fixtures.reference.core.pool import PoolPolicy
from fixtures.reference.core.redis_link import RedisLinkPolicy
from fixtures.reference.core.store import StorePolicy
from fixtures.reference.core.store.settings import StoreSettings
from fixtures.reference.parts import Design, build
from fixtures.reference.settings import Settings
from suites.support.reference import values_of

# What holds without it, the furthest that is accepted, and what no longer is.
VARIABLES = {
    "REFERENCE_REPLICA": ("replica-1", ["blue"], []),
    "REFERENCE_REPLICAS": (2, ["1"], ["0", "1.5", "two"]),
    "REFERENCE_SEED_ITEMS": (2000, ["0", "1000000"], ["-1", "1000001"]),
    "REFERENCE_HEALTH_TIMEOUT_S": (0.25, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_SHUTDOWN_S": (3.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_REDIS_HOST": ("127.0.0.1", ["redis"], []),
    "REFERENCE_REDIS_PORT": (6379, ["1", "65535"], ["0", "65536", "tcp://10.0.0.1:6379"]),
    "REFERENCE_REDIS_TIMEOUT_S": (0.05, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_REDIS_CONNECTIONS": (64, ["2"], ["1"]),
    "REFERENCE_POSTGRES_HOST": ("127.0.0.1", ["postgres"], []),
    "REFERENCE_POSTGRES_PORT": (5432, ["1", "65535"], ["0", "65536"]),
    "REFERENCE_POSTGRES_USER": ("postgres", ["reference"], []),
    "REFERENCE_POSTGRES_PASSWORD": (SecretStr(""), ["hunter2"], []),
    "REFERENCE_POSTGRES_PASSWORD_FILE": (None, [], []),
    "REFERENCE_POSTGRES_DATABASE": ("postgres", ["reference"], []),
    "REFERENCE_POSTGRES_SSL": ("prefer", ["disable", "verify-full"], ["true", "verify_full", ""]),
    "REFERENCE_POSTGRES_TIMEOUT_S": (1.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_POOL_PRESET": ("small", ["large"], ["tiny", ""]),
    "REFERENCE_POOL_MAX_CONNECTIONS": (None, [], ["0"]),
    "REFERENCE_POOL_MIN_IDLE": (None, [], ["-1"]),
    "REFERENCE_POOL_ACQUIRE_TIMEOUT_S": (5.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_POOL_CONNECT_TIMEOUT_S": (0.5, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_POOL_CLOSE_TIMEOUT_S": (1.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_POOL_IDLE_MAX_S": (300.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_POOL_LIFETIME_S": (1800.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_POOL_JITTER_RATIO": (0.1, ["0", "0.999"], ["-0.001", "1", "nan"]),
    "REFERENCE_POOL_VALIDATE_AFTER_S": (30.0, ["0"], ["-0.001", "nan", "inf"]),
    "REFERENCE_CACHE_PRESET": ("none", ["none"], ["", "read_heavy", "both"]),
    "REFERENCE_CACHE_MAX_BYTES": (64_000_000, ["10000"], ["9999"]),
    "REFERENCE_CACHE_TTL_S": (60.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_CACHE_L1_TTL_S": (5.0, ["0.001", "5"], ["0", "5.001", "nan"]),
    "REFERENCE_CACHE_GRACE_S": (60.0, ["0"], ["-0.001", "nan", "inf"]),
    "REFERENCE_CACHE_REFRESH_RATIO": (0.8, ["0.001", "1"], ["0", "1.001", "nan"]),
    "REFERENCE_CACHE_LEASE_S": (1.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_LIMITER_RATE_PER_S": (10_000.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_LIMITER_BURST": (20_000.0, ["1"], ["0.999", "nan", "inf"]),
    "REFERENCE_LIMITER_ON_FAILURE": (FailPolicy.LOCAL, ["open", "closed"], ["LOCAL", ""]),
    "REFERENCE_BREAKER_FAILURES": (5, ["1"], ["0"]),
    "REFERENCE_BREAKER_WINDOW_S": (5.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_BREAKER_MIN_CALLS": (0, ["0"], ["-1"]),
    "REFERENCE_BREAKER_MIN_FAILURE_RATE": (0.1, ["0", "1"], ["-0.001", "1.001", "nan"]),
    "REFERENCE_BREAKER_RECOVERY_S": (1.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_BREAKER_RECOVERY_MAX_S": (2.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_BREAKER_JITTER_RATIO": (0.1, ["0", "0.999"], ["-0.001", "1", "nan"]),
    "REFERENCE_BREAKER_PROBES": (3, ["1"], ["0"]),
    "REFERENCE_BREAKER_SUCCESSES": (None, [], ["0", "4"]),
    "REFERENCE_BREAKER_PROBE_MAX_S": (30.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_BREAKER_SLOW_CALL_S": (None, [], ["0", "nan", "inf"]),
}
DEFAULTS = {name: default for name, (default, _, _) in VARIABLES.items()}
ACCEPTED = [(name, value) for name, (_, accepted, _) in VARIABLES.items() for value in accepted]
REFUSED = [(name, value) for name, (_, _, refused) in VARIABLES.items() for value in refused]


def test_settings_are_these_with_these_defaults():
    """A variable that is renamed or dropped breaks deployments, and so does another default."""
    assert values_of(Settings()) == DEFAULTS


@pytest.mark.parametrize(("name", "value"), ACCEPTED)
def test_settings_make_a_service_at_the_edge_of_what_they_accept(monkeypatch, name, value):
    """What a group accepts the policy of its part accepts too, so that no replica falls after its settings stood."""
    monkeypatch.setenv(name, value)

    settings = Settings()

    assert build(settings, Design()).settings == settings
    assert values_of(settings) == {**DEFAULTS, name: type(DEFAULTS[name])(value)}


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_settings_refuse_what_would_break_a_promise(monkeypatch, name, value):
    """It is told at the start, by its key; what a replica would only notice later never starts it."""
    monkeypatch.setenv(name, value)

    with pytest.raises(ValueError, match="1 validation error for Settings") as refused:
        Settings()

    (mistake,) = refused.value.errors()
    assert "_".join(mistake["loc"]) == name.removeprefix("REFERENCE_").lower()


def test_settings_tell_all_mistakes_at_once(monkeypatch):
    """Three variables of three groups are repaired in one go."""
    wrong = ["REFERENCE_REPLICAS", "REFERENCE_CACHE_TTL_S", "REFERENCE_BREAKER_PROBES"]
    for name in wrong:
        monkeypatch.setenv(name, "0")

    with pytest.raises(ValueError, match="3 validation errors for Settings") as refused:
        Settings()

    assert [".".join(each["loc"]) for each in refused.value.errors()] == ["replicas", "cache.ttl_s", "breaker.probes"]


def test_settings_reach_the_parts_they_are_for():
    """Each value arrives under its own name: a swapped or a forgotten one would leave a default in force."""
    settings = Settings(
        replica="green",
        replicas=4,
        redis={"host": "r", "port": 1, "timeout_s": 0.11, "connections": 12},
        postgres={
            "host": "p",
            "port": 2,
            "user": "u",
            "password": "w",
            "database": "d",
            "ssl": "require",
            "timeout_s": 0.21,
        },
        pool={"max_connections": 24, "min_idle": 23, "connect_timeout_s": 0.22},
        cache={
            "max_bytes": 31_000,
            "ttl_s": 32,
            "l1_ttl_s": 3.3,
            "grace_s": 34,
            "refresh_ratio": 0.35,
            "lease_s": 36,
        },
        limiter={"rate_per_s": 41, "burst": 42, "on_failure": "closed"},
        breaker={
            "failures": 51,
            "window_s": 52,
            "min_failure_rate": 0.53,
            "recovery_s": 54,
            "recovery_max_s": 55,
            "probes": 56,
        },
    )
    parts = build(settings, Design())

    assert settings.redis.policy() == RedisLinkPolicy(host="r", port=1, op_timeout_s=0.11, connections=12)
    assert settings.postgres.policy() == StorePolicy(
        host="p",
        port=2,
        user="u",
        password="w",  # noqa: S106 - made up
        database="d",
        ssl="require",
        op_timeout_s=0.21,
    )
    assert parts.store.pool.policy == PoolPolicy(max_connections=24, min_idle=23, connect_timeout_s=0.22)
    cache_policy = CachePolicy(
        max_bytes=31_000, ttl_s=32, l1_ttl_s=3.3, grace_s=34, refresh_ratio=0.35, lease_s=36, replicas=4
    )
    assert parts.limiter._policy == LimiterPolicy(
        rate_per_s=41, burst=42, on_failure=FailPolicy.CLOSED, share_ratio=0.25
    )
    assert {breaker.name: breaker.policy for breaker in parts.breakers} == dict.fromkeys(
        ["redis", "postgres"],
        BreakerPolicy(failures=51, window_s=52, min_failure_rate=0.53, recovery_s=54, recovery_max_s=55, probes=56),
    )
    assert (parts.memory.max_bytes, parts.debts._ttl_s, parts.watermark._replica) == (31_000, 32, "green")
    assert parts.cache._policy == parts.shared._policy == cache_policy
    assert (parts.link._op_timeout_s, parts.link._pool.max_connections) == (0.11, 12)
    assert parts.store._policy == settings.postgres.policy()


@pytest.mark.parametrize(
    ("preset", "policy"), [("read-heavy", READ_HEAVY), ("write-heavy", WRITE_HEAVY)], ids=["read-heavy", "write-heavy"]
)
def test_settings_begin_with_a_preset(monkeypatch, preset, policy):
    """500 MB and 300 s, or 100 MB and 60 s; what is said besides holds instead of it."""
    monkeypatch.setenv("REFERENCE_CACHE_PRESET", preset)
    assert Settings().cache.policy(replicas=3) == replace(policy, replicas=3)

    monkeypatch.setenv("REFERENCE_CACHE_TTL_S", "7")
    assert Settings().cache.policy(replicas=3) == replace(policy, replicas=3, ttl_s=7)
    assert (policy.max_bytes, policy.ttl_s) == {"read-heavy": (500e6, 300), "write-heavy": (100e6, 60)}[preset]


@pytest.mark.parametrize("group", ["REDIS", "POSTGRES", "POOL", "CACHE", "LIMITER", "BREAKER"])
def test_settings_refuse_a_variable_that_no_group_knows(monkeypatch, group):
    """A misspelt lifetime is not the default one, and a misspelt password is not shown."""
    monkeypatch.setenv(f"REFERENCE_{group}_PASWORD", "hunter2")

    with pytest.raises(ValueError, match="1 validation error for Settings") as refused:
        Settings()

    assert refused.value.errors()[0]["loc"] == (group.lower(), "pasword")
    assert "hunter2" not in str(refused.value)


def test_settings_refuse_a_whole_group_in_one_variable(monkeypatch):
    """There is one way to say each value."""
    monkeypatch.setenv("REFERENCE_CACHE", '{"ttl_s": 3}')

    with pytest.raises(ValueError, match="1 validation error for Settings"):
        Settings()


def test_settings_refuse_a_pool_that_is_smaller_than_what_it_keeps(monkeypatch):
    """Two numbers that contradict each other are told at the start, by name."""
    monkeypatch.setenv("REFERENCE_POOL_MAX_CONNECTIONS", "1")

    with pytest.raises(ValueError, match="min_idle 5 is above max_connections 1"):
        Settings()


def test_settings_keep_the_password_to_themselves(monkeypatch):
    """The password is not in what a log of the settings would show."""
    monkeypatch.setenv("REFERENCE_POSTGRES_PASSWORD", "hunter2")

    settings = Settings()

    assert "hunter2" not in repr(settings)
    assert "hunter2" not in repr(settings.postgres.policy())


def test_settings_of_the_store_alone_keep_the_password_to_themselves():
    """The group is taken along without the service's own settings, and what is refused shows no input either."""
    with pytest.raises(ValueError, match="greater than or equal to 1") as refused:
        StoreSettings(password="hunter2", port=0)  # noqa: S106 - made up

    assert "hunter2" not in str(refused.value)


def test_settings_take_the_password_from_a_file(monkeypatch, tmp_path):
    """As a container's secret: the newline at its end is none of it, and nothing shows it."""
    (tmp_path / "secret").write_text("hunter2\n")
    monkeypatch.setenv("REFERENCE_POSTGRES_PASSWORD_FILE", str(tmp_path / "secret"))

    settings = Settings()

    assert settings.postgres.policy().options()["password"] == "hunter2"  # noqa: S105 - made up
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("holds", "password", "said"),
    [
        pytest.param(None, "", "cannot be read", id="no file"),
        pytest.param("\n", "", "is empty", id="an empty file"),
        pytest.param("hunter2", "correct horse", "both set", id="two passwords"),
    ],
)
def test_settings_refuse_a_password_that_is_none_or_two(monkeypatch, tmp_path, holds, password, said):
    """Said at the start, with no password in the message."""
    if holds is not None:
        (tmp_path / "secret").write_text(holds)
    monkeypatch.setenv("REFERENCE_POSTGRES_PASSWORD_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("REFERENCE_POSTGRES_PASSWORD", password)

    with pytest.raises(ValueError, match=said) as refused:
        Settings()

    assert "input_value" not in str(refused.value)  # where pydantic would show it
