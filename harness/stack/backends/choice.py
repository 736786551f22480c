"""What a stack runs on: containers where a Docker engine answers and has the images, else local processes."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import SpecError, StackError
from harness.stack.backends.external import external_stack
from harness.stack.backends.processes import embedded_stack

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from docker import DockerClient

    from harness.clock import Clock
    from harness.spec.system import System
    from harness.stack.blueprint import Blueprint
    from harness.stack.service import Workspace
    from harness.stack.stack import Stack

BACKEND_VARIABLE = "READINESS_BACKEND"
"""Says it where no option does."""

AUTO, CONTAINERS, EMBEDDED = BACKENDS = ("auto", "containers", "embedded")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which backend, and why; both in one line."""

    backend: str
    why: str

    def __str__(self) -> str:
        return f"backend: {self.backend}, {self.why}"


def choose(wanted: str, system: System, project: Path) -> Choice:
    """Decide what `wanted`, one of BACKENDS, means on this machine.

    `auto` never waits for long and never fails: where containers cannot be had at once, local processes are taken.

    Raises:
        SpecError: If containers are asked for and the subject runs already, or local processes for a compose file.
    """
    if system.compose is not None:
        if wanted == EMBEDDED:
            what, where = "a compose file runs in containers only", "readiness.toml: system.compose"
            raise SpecError(what, where=where, fix="use --backend containers, or leave the choice to auto")
        return Choice(CONTAINERS, "the system is a compose file")
    if system.subject.external is not None:
        if wanted == CONTAINERS:
            what, where = "an external subject runs in no container of ours", "readiness.toml: system.subject.external"
            raise SpecError(what, where=where, fix="use --backend embedded, or leave the choice to auto")
        return Choice(EMBEDDED, "the subject runs already")
    if wanted != AUTO:
        return Choice(wanted, "as asked for")
    why_not = _why_no_containers(system, project)
    if why_not is None:
        return Choice(CONTAINERS, "an engine answers and has the images")
    return Choice(EMBEDDED, why_not)


def prepare(choice: Choice, system: System, project: Path, say: Callable[[str], object]) -> None:
    """Have what the chosen backend needs before anything is started: images that are missing are pulled or built.

    Raises:
        SpecError: If readiness.toml names neither an image nor a Dockerfile of the service.
        StackError: If no engine answers, or an image cannot be had; it says why.
    """
    if choice.backend != CONTAINERS:
        return
    from harness.stack.backends import images  # noqa: PLC0415 - a Docker client, only where it is asked for

    try:
        client = _connected()
    except StackError as error:
        if system.compose is None:
            raise
        fix = "start one on this machine: a compose file runs in containers only"
        raise StackError(error.what, where=error.where, fix=fix) from error
    with closing(client):
        for each in images.made(client, system, project, say=say):
            if not each.is_kept:
                say(f"{each.role}: {each.how} {each.reference} in {each.took_s:.0f} s")
        for note in system.composed.notes if system.composed else ():
            say(note)
        for sentence in images.had(client, system, project, say):
            say(sentence)


def _connected() -> DockerClient:
    """Return a client of an engine whose containers can be reached from here.

    Raises:
        StackError: If there is none; it says why.
    """
    from harness.stack.backends import engine  # noqa: PLC0415 - as above

    engine.check_is_here(engine.address())
    client = engine.connect()
    try:
        engine.check_is_reached(client)
    except StackError:
        client.close()
        raise
    return client


def _why_no_containers(system: System, project: Path) -> str | None:
    from harness.stack.backends import images  # noqa: PLC0415 - as above

    try:
        with closing(_connected()) as client:
            missing = images.missing(client, system, project)
    except StackError as error:
        return error.what
    if missing:
        return f"an engine answers, but has no image of {', '.join(missing)} (nox -s images)"
    return None


def standing(
    backend: str, blueprint: Blueprint, *, workspace: Workspace, clock: Clock
) -> AbstractContextManager[Stack]:
    """Return the stack of `backend`, to be entered; see `embedded_stack` for the arguments."""
    stack: Callable[..., AbstractContextManager[Stack]]
    if blueprint.subject.external is not None:
        stack = external_stack
    elif backend == CONTAINERS:
        from harness.stack.backends.composed import composed_stack  # noqa: PLC0415 - as above
        from harness.stack.backends.containers import containers_stack  # noqa: PLC0415 - as above

        stack = composed_stack if blueprint.system.composed else containers_stack
    else:
        stack = embedded_stack
    return stack(blueprint, workspace=workspace, clock=clock)
