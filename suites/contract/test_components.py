"""The seam of components: what each of them promises, with real processes; its check is the public one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import MissingError
from harness.spec.system import Part
from harness.stack.components import COMPONENTS, redis
from harness.stack.image import Image, Pin, Wheel
from harness.testing import check_component

TOLD = [kind for kind, component in COMPONENTS.items() if component.keys]
REDIS = ("--bind", "{host}", "--port", "{port}", "--save", "", "--dir", "{data}")


@pytest.mark.parametrize("kind", [kind for kind in COMPONENTS if kind not in TOLD])
def test_every_component_keeps_the_seam(kind):
    """Where its program is; the wheels are always there, memcached, MariaDB and RabbitMQ are Debian's."""
    try:
        check_component(COMPONENTS[kind])
    except MissingError as error:
        pytest.skip(error.what)


@pytest.mark.parametrize("kind", TOLD)
def test_so_does_each_that_must_be_told_something(kind, tmp_path):
    """A third party's API with one answer, and a Redis that is nothing but a program with an address."""
    (tmp_path / "answers.toml").write_text('[[answers]]\npath = "/"\n')
    command = (str(redis.COMPONENT.program.find()), *REDIS)
    parts = {
        "http-stub": Part(answers="answers.toml"),
        "tcp": Part(command=command, asks="PING\r\n", says="PONG", ends="QUIT\r\n"),
    }

    check_component(COMPONENTS[kind], parts[kind], tmp_path)


def named_always(_name, program, workspace):
    return redis.local("redis", program, workspace)


def on_every_address(name, program, workspace):
    recipe = redis.local(name, program, workspace)
    argv = ["0.0.0.0" if word == recipe.address.host else word for word in recipe.argv]  # noqa: S104 - what is to be seen
    return replace(recipe, argv=[*argv, "--protected-mode", "no"])


def unversioned(_address):
    return "Redis"


WRONG = {
    "not listed": ({"kind": "rediss"}, "'rediss' is not listed"),
    "a placeholder": ({"gives": {"url": "redis://{{nothing}}"}}, "first.url holds a placeholder"),
    "its name": ({"local": named_always}, "it is called 'redis', whatever name it is given"),
    "everywhere": ({"local": on_every_address}, "it listens on 0.0.0.0:"),
    "its port": ({"port": 6380}, "in a container it listens on 6379, not on 6380"),
    "latest": ({"image": Image(official=Pin("redis", "latest"))}, "another image tomorrow"),
    "root": ({"image": Image(official=Pin("redis", "8"), made_of=Wheel(wheel="x", take=()), dockerfile="USER 0")}, "does not end as the user"),
    "a shell": ({"image": Image(official=Pin("redis", "8"), made_of=Wheel(wheel="x", take=()), dockerfile="USER 10001:10001\nCMD redis")}, "through a shell"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_breaks_the_seam_is_told(change, said, monkeypatch):
    """Each mistake by a sentence of its own."""
    broken = replace(redis.COMPONENT, **change)
    if "kind" not in change:
        monkeypatch.setitem(COMPONENTS, "redis", broken)

    with pytest.raises(AssertionError) as caught:
        check_component(broken)

    assert said in str(caught.value)


def test_a_component_without_a_version_is_told(monkeypatch):
    """A run's evidence names what it ran on."""
    probe = replace(redis.PROBE, version=unversioned)
    silent = replace(
        redis.COMPONENT,
        local=lambda name, program, workspace: replace(redis.local(name, program, workspace), probe=probe),
    )
    monkeypatch.setitem(COMPONENTS, "redis", silent)

    with pytest.raises(AssertionError, match="says no version"):
        check_component(silent)
