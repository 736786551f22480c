"""The settings of the reference service: every variable, what holds without it, and where it stops making sense."""

from __future__ import annotations

import dataclasses
import inspect
import re
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from fixtures.reference.core.cache import READ_HEAVY, WRITE_HEAVY
from fixtures.reference.core.deadletter import AtCap
from fixtures.reference.core.limiter import FailPolicy
from fixtures.reference.core.store.settings import StoreSettings
from fixtures.reference.parts import Design, build
from fixtures.reference.settings import Settings, example
from fixtures.reference.watch import DATA_LAYER
from harness.clock import FakeClock
from suites.support.reference import values_of
from suites.support.servers import PROJECT

# What holds without it, the furthest that is accepted, and what no longer is.
VARIABLES = {
    "REFERENCE_REPLICA": ("replica-1", ["blue"], []),
    "REFERENCE_REPLICAS": (2, ["1"], ["0", "1.5", "two"]),
    "REFERENCE_SEED_ITEMS": (2000, ["0", "1000000"], ["-1", "1000001"]),
    "REFERENCE_HEALTH_TIMEOUT_S": (0.25, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_SHUTDOWN_S": (3.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_DRAIN_S": (0.0, ["0", "60"], ["-0.001", "nan", "inf"]),
    "REFERENCE_REQUEST_TIMEOUT_S": (5.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_GZIP_MIN_BYTES": (1024, ["1"], ["0"]),
    "REFERENCE_LOG_REQUESTS": (False, ["true"], ["maybe", ""]),
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
    "REFERENCE_TENANT_RATE_PER_S": (50_000.0, ["0.01"], ["0", "nan", "inf"]),
    "REFERENCE_TENANT_BURST": (100_000.0, ["1"], ["0.999", "nan", "inf"]),
    "REFERENCE_TENANT_ON_FAILURE": (FailPolicy.LOCAL, ["open", "closed"], ["LOCAL", ""]),
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
    "REFERENCE_WORKER_CONCURRENCY": (8, ["1"], ["0"]),
    "REFERENCE_WORKER_TIMEOUT_S": (60.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_WORKER_MAX_ATTEMPTS": (5, ["1"], ["0"]),
    "REFERENCE_WORKER_BACKOFF_S": (1.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_WORKER_BACKOFF_MAX_S": (300.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_WORKER_LEASE_S": (30.0, ["0.1"], ["0.099", "nan", "inf"]),
    "REFERENCE_WORKER_DRAIN_S": (8.0, ["0"], ["-0.001", "nan", "inf"]),
    "REFERENCE_CHECKPOINT_TTL_S": (604_800.0, ["60"], ["59.999", "nan", "inf"]),
    "REFERENCE_DEADLETTER_RETENTION_S": (2_592_000.0, ["60"], ["59.999", "nan", "inf"]),
    "REFERENCE_DEADLETTER_MAX_ENTRIES": (10_000, ["1"], ["0"]),
    "REFERENCE_DEADLETTER_AT_CAP": (AtCap.REJECT_ALERT, ["drop_oldest"], ["drop", ""]),
    "REFERENCE_DEADLETTER_ARCHIVE": (False, [], ["maybe"]),
    "REFERENCE_DEADLETTER_LOOK_AT": (10, ["1", "49"], ["0"]),
    "REFERENCE_DEADLETTER_ACT_AT": (50, ["11"], ["1"]),
    "REFERENCE_LIVE_MAX_CONNECTIONS": (1000, ["1"], ["0"]),
    "REFERENCE_LIVE_MAX_ITEMS": (100, ["1", "1000"], ["0", "1001"]),
    "REFERENCE_LIVE_QUEUE_MAX": (256, ["1"], ["0"]),
    "REFERENCE_LIVE_SEND_TIMEOUT_S": (5.0, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_QUERY_SLOW_S": (0.1, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_QUERY_SLOW_P99_FACTOR": (3.0, ["1"], ["0.999", "nan", "inf"]),
    "REFERENCE_QUERY_REPEATS": (5, ["2"], ["1"]),
    "REFERENCE_QUERY_MIN_ROWS": (10_000, ["0"], ["-1"]),
    "REFERENCE_QUERY_MIN_GAIN_RATIO": (0.2, ["0.001", "0.999"], ["0", "1", "nan"]),
    "REFERENCE_QUERY_BUILD_TIMEOUT_S": (0.5, ["0.001"], ["0", "nan", "inf"]),
    "REFERENCE_QUERY_MAX_STATEMENTS": (1000, ["1"], ["0"]),
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


GROUPS = {name: value for name, value in Settings() if isinstance(value, BaseModel)}
OF_GROUPS = [(group, field) for group, value in GROUPS.items() for field in type(value).model_fields]
OF_THE_SERVICE = [name for name in Settings.model_fields if name not in GROUPS]

RENAMED = {
    "redis.timeout_s": "op_timeout_s",
    "postgres.timeout_s": "op_timeout_s",
    "postgres.password_file": "password",
}
"""What a policy calls by another name than its settings."""

ALONG = {"deadletter.archive": {"at_cap": "drop_oldest"}}
"""What must be chosen as well, or the other value would make no sense."""

FELT = {
    "replica": "test_reference_endpoints.py::test_item_is_read_through_all_levels_and_says_so",
    "seed_items": "test_reference_endpoints.py::test_items_are_seeded_up_to_the_number_that_is_set",
    "health_timeout_s": "test_reference_outages.py::test_readiness_looks_for_no_longer_than_it_may",
    "shutdown_s": "test_reference_process.py::test_stop_waits_no_longer_than_it_may",
    "drain_s": "test_reference_process.py::test_replica_that_is_told_to_stop_is_unready_first",
    "request_timeout_s": "test_reference_requests.py::test_request_that_takes_too_long_is_ended_and_counted",
    "gzip_min_bytes": "test_reference_requests.py::test_size_from_which_answers_are_compressed_is_a_setting",
    "log_requests": "test_reference_requests.py::test_each_request_is_a_log_line_if_that_is_wanted",
}
"""What no part is built from: the service itself goes by it, and this test fails if it does not."""


def others(held: object, kind: object) -> list[Any]:
    """Return values of the same kind, some of which may be beyond what is accepted."""
    match held:
        case bool():
            found = [not held]
        case Enum():
            found = [member for member in type(held) if member is not held]
        case SecretStr():
            found = [SecretStr("another")]
        case int() | float():
            found = [held * 2, held + 1, held / 2, held - 1]
        case None if set(get_args(kind)) <= {int, float, type(None)}:
            found = [50, 1, 0.5]
        case str() if get_origin(kind) is Literal:
            found = [member for member in get_args(kind) if member != held]
        case str():
            found = [held + "-x"]
        case _:
            raise AssertionError(f"say here what could stand for {held!r}")
    return found


def another(model: BaseModel, field: str, folder) -> Any:
    """Return a value that the model accepts for a field, and that is not what holds already."""
    held = getattr(model, field)
    if field.endswith("_file"):
        (folder / "file").write_text("from a file")
        return str(folder / "file")
    candidates = others(held, type(model).model_fields[field].annotation)
    for candidate in candidates:
        try:
            if getattr(model.model_validate({**model.model_dump(exclude_unset=True), field: candidate}), field) != held:
                return candidate
        except ValidationError:
            continue
    raise AssertionError(f"none of {candidates} is accepted for {field}")


def plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def policy_of(settings: Settings, group: str) -> Any:
    """Return the policy that the settings of a group become."""
    model = getattr(settings, group)
    known = {"replicas": settings.replicas, "skip_modules": DATA_LAYER}
    return model.policy(**{name: known[name] for name in inspect.signature(model.policy).parameters})


def built_of(settings: Settings) -> dict[str, object]:
    """Return every plain value in what is built from settings, by the way that leads to it.

    The settings are left out, and the link's name, which is another each time.
    """
    parts = build(settings, Design(), clock=FakeClock(), random=Random(1))
    found: dict[str, object] = {}
    seen = {id(settings)}

    def look(at: object, way: str) -> None:
        if at is None or isinstance(at, (str, bytes, int, float, Enum)):
            found[way] = at
            return
        if id(at) in seen or isinstance(at, (type, Random)):
            return
        seen.add(id(at))
        slots = [slot for kind in type(at).__mro__ for slot in getattr(kind, "__slots__", ())]
        inside = {**getattr(at, "__dict__", {}), **{slot: getattr(at, slot, None) for slot in slots}}
        if isinstance(at, dict):
            inside = {str(key): value for key, value in at.items()}
        elif isinstance(at, (list, tuple)):
            inside = dict(enumerate(at))
        for name, value in inside.items():
            look(value, f"{way}.{name}")

    look(parts, "parts")
    return {way: value for way, value in found.items() if value != parts.link.name}


@pytest.mark.parametrize(
    ("group", "field"),
    [each for each in OF_GROUPS if each[1] != "preset"],  # which is many at once
)
def test_each_field_of_a_group_reaches_its_policy_and_nothing_else_of_it(group, field, tmp_path):
    """Its own name gets its own value: one that is ignored, or given to another, leaves a default in force."""
    along = ALONG.get(f"{group}.{field}", {})
    value = another(type(GROUPS[group])(**along), field, tmp_path)
    changed = Settings(**{group: {**along, field: value}})
    before, after = policy_of(Settings(**{group: along}), group), policy_of(changed, group)

    differ = {
        each.name: getattr(after, each.name)
        for each in dataclasses.fields(after)
        if getattr(after, each.name) != getattr(before, each.name)
    }

    assert differ == {RENAMED.get(f"{group}.{field}", field): plain(getattr(getattr(changed, group), field))}


def test_the_same_settings_build_the_same():
    """What differs between two builds by itself would hide a setting that is left out."""
    assert built_of(Settings()) == built_of(Settings())


@pytest.mark.parametrize(
    "name", [*(f"{group}.{field}" for group, field in OF_GROUPS), *(set(OF_THE_SERVICE) - FELT.keys())]
)
def test_each_setting_changes_what_is_built(name, tmp_path):
    """No field is left out when the parts are put together: with another value, some part is another."""
    group, _, field = name.rpartition(".")
    along = ALONG.get(name, {})
    model = type(GROUPS[group])(**along) if group else Settings()
    told = {**along, field: another(model, field, tmp_path)}

    before = Settings(**({group: along} if group else {}))
    assert built_of(Settings(**({group: told} if group else told))) != built_of(before)


@pytest.mark.parametrize("name", FELT)
def test_what_the_service_goes_by_itself_has_a_test_of_its_own(name):
    """The table names a setting, and a test that there is."""
    file, _, test = FELT[name].partition("::")

    assert name in OF_THE_SERVICE
    assert f"def {test}(" in (Path(__file__).parent / file).read_text()


@pytest.mark.parametrize("group", GROUPS)
def test_both_breakers_and_the_link_go_by_the_policies_of_their_groups(group):
    """The policy that a part holds is the one that its settings became."""
    settings = Settings(replicas=4)
    parts = build(settings, Design())
    held = {
        "redis": [parts.link._op_timeout_s, parts.link._pool.max_connections],
        "postgres": [parts.store._policy],
        "pool": [parts.store.pool.policy],
        "cache": [parts.cache._policy, parts.shared._policy],
        "limiter": [parts.limiter.policy],
        "tenant": [parts.tenants.policy],
        "worker": [parts.queue.policy],
        "checkpoint": [parts.checkpoints._policy],
        "deadletter": [parts.letters.policy],
        "live": [parts.hub.policy],
        "query": [parts.queries.policy],
        "breaker": [breaker.policy for breaker in parts.breakers],
    }

    policy = policy_of(settings, group)

    expected = [policy.op_timeout_s, policy.connections] if group == "redis" else [policy] * len(held[group])
    assert held[group] == expected


def test_the_share_of_a_limit_is_one_of_the_number_of_replicas():
    """Four replicas take a quarter each while Redis cannot say, of a client's limit and of a tenant's."""
    parts = build(Settings(replicas=4), Design())

    assert (parts.limiter.policy.share_ratio, parts.tenants.policy.share_ratio) == (0.25, 0.25)


@pytest.mark.parametrize(
    ("preset", "policy"), [("read-heavy", READ_HEAVY), ("write-heavy", WRITE_HEAVY)], ids=["read-heavy", "write-heavy"]
)
def test_settings_begin_with_a_preset(monkeypatch, preset, policy):
    """500 MB and 300 s, or 100 MB and 60 s; what is said besides holds instead of it."""
    monkeypatch.setenv("REFERENCE_CACHE_PRESET", preset)
    assert Settings().cache.policy(replicas=3) == dataclasses.replace(policy, replicas=3)

    monkeypatch.setenv("REFERENCE_CACHE_TTL_S", "7")
    assert Settings().cache.policy(replicas=3) == dataclasses.replace(policy, replicas=3, ttl_s=7)
    assert (policy.max_bytes, policy.ttl_s) == {"read-heavy": (500e6, 300), "write-heavy": (100e6, 60)}[preset]


@pytest.mark.parametrize("group", [name.upper() for name in GROUPS])
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


def test_example_of_an_environment_is_what_the_settings_write():
    """`.env.example` has every variable with its default and a word on it, and is never edited by hand."""
    written = (PROJECT / ".env.example").read_text()

    assert written == example(), "python -m fixtures.reference.settings > .env.example"


def test_example_of_an_environment_names_every_variable_with_its_default():
    """Each is commented out; without the comment signs it is an environment, which means what holds without it."""
    said = dict(re.findall(r"^#(REFERENCE_[A-Z0-9_]+)=(.*)$", example(), re.MULTILINE))
    shown = {name: value for name, value in DEFAULTS.items() if not name.endswith(("PASSWORD", "PASSWORD_FILE"))}

    assert said.keys() == DEFAULTS.keys()
    assert {name: read_as(said[name], value) for name, value in shown.items()} == shown


def read_as(said: str, value: object) -> object:
    """Read a word as a value of the same kind as another one."""
    if value is None:
        return said or None
    return said == "true" if isinstance(value, bool) else type(value)(said)


def test_example_of_an_environment_says_what_each_variable_of_the_service_means():
    """A line of its own before each, in the words of the settings' docstring."""
    before = dict(re.findall(r"^#   (.*)\n#(REFERENCE_[A-Z0-9_]+)=", example(), re.MULTILINE))

    assert {f"REFERENCE_{name}".upper() for name in OF_THE_SERVICE} <= set(before.values())
