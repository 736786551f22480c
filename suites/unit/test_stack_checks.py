"""What of a system is refused before anything starts: with file, line, key and the nearest known word."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.options import settings_of
from harness.spec.faults import Down, Kill
from harness.stack.blueprint import targets_of
from harness.stack.components import COMPONENTS

PROJECT = Path(__file__).parents[2]

SETTINGS = """\
[system]
name = "shop"
[system.subject]
app = "shop:app"
{subject}
{components}
[[objectives]]
sli = "errors"
max = "1%"
[profiles.quick]
stretch = 1.0
"""


def settings(folder, *, subject="", components=""):
    (folder / "readiness.toml").write_text(SETTINGS.format(subject=subject, components=components))
    return settings_of(folder)


def refusal(folder, **parts):
    with pytest.raises(SpecError) as caught:
        settings(folder, **parts)
    return str(caught.value).replace(f"{folder}/", "")


def test_an_unchanged_file_means_redis_and_postgres(tmp_path):
    """As it did before components had names."""
    assert settings(tmp_path).system.kinds == {"redis": "redis", "postgres": "postgres"}
    assert settings_of(PROJECT).system.kinds == {"redis": "redis", "postgres": "postgres"}


def test_only_what_is_named_is_there(tmp_path):
    """Also nothing at all."""
    assert settings(tmp_path, components="[system.components.redis]").system.kinds == {"redis": "redis"}
    assert settings(tmp_path, components="[system.components]").system.kinds == {}


def test_a_component_that_is_not_there_is_told(tmp_path):
    """Where it stands, and which one it may be."""
    assert refusal(tmp_path, components="[system.components.rediss]") == (
        "unknown component 'rediss'\n  where: readiness.toml:6: system.components.rediss\n"
        f"  fix:   did you mean 'redis'? known: {', '.join(COMPONENTS)}"
    )
    assert refusal(tmp_path, components='[system.components.cache]\nkind = "postgre"').startswith(
        "unknown component 'postgre'\n  where: readiness.toml:7: system.components.cache.kind\n"
        "  fix:   did you mean 'postgres'?"
    )


@pytest.mark.parametrize("name", ["nginx", "proxy", "replica-2"])
def test_a_component_cannot_take_a_name_of_the_stack(tmp_path, name):
    """Two services of one name would be one for every fault."""
    told = refusal(tmp_path, components=f'[system.components.{name}]\nkind = "redis"')

    assert f"cannot be called {name!r}" in told
    assert f"readiness.toml:6: system.components.{name}" in told


def test_a_placeholder_that_stands_for_nothing_is_told(tmp_path):
    """Each of them, with the line of its variable; in time, for nothing has been started yet."""
    told = refusal(
        tmp_path,
        subject='[system.subject.environment]\nURL = "{redis.prot}"\nHOST = "{postgres.host}"\nNAME = "{replica}"',
        components="[system.components.redis]",
    )

    assert "2 mistakes" in told
    assert "unknown placeholder {redis.prot}\n  where: readiness.toml:6: system.subject.environment.URL" in told
    assert "did you mean 'redis.port'?" in told
    assert "unknown placeholder {postgres.host}\n  where: readiness.toml:7: system.subject.environment.HOST" in told


def test_a_second_one_of_a_kind_has_placeholders_and_targets_of_its_own(tmp_path):
    """By its name."""
    system = settings(
        tmp_path,
        subject='[system.subject.environment]\nURL = "{sessions.url}{redis.url}"',
        components='[system.components.redis]\n[system.components.sessions]\nkind = "redis"',
    ).system

    assert "sessions" in targets_of(Kill(kind="kill", target="x"), system)
    assert "replica-2.sessions" in targets_of(Down(kind="down", target="x"), system)
    assert "postgres" not in targets_of(Kill(kind="kill", target="x"), system)


def test_a_mistake_of_the_file_itself_has_its_line_too(tmp_path):
    """As in a scenario."""
    assert "unknown key 'kindd'\n  where: readiness.toml:7: system.components.redis.kindd" in refusal(
        tmp_path, components='[system.components.redis]\nkindd = "redis"'
    )
