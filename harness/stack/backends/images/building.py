"""Making the images that are not there: pulled where a registry answers, else built from what this machine has."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from harness.clock import SystemClock
from harness.errors import MissingError, SpecError, StackError, nearest
from harness.stack.backends.engine import speaking
from harness.stack.backends.images import sources
from harness.stack.backends.images.context import Piece, archive, folder
from harness.stack.backends.images.plan import REQUIREMENTS, ROLE_LABEL, Plan
from harness.stack.backends.images.registry import Registries, pull
from harness.stack.backends.images.resolving import ANSWER_WITHIN_S, Search
from harness.stack.backends.images.table import BASE, DEBIAN, ROLES, SERVERS, SERVICE, roles_of
from harness.stack.image import Module

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from docker import DockerClient

    from harness.clock import Clock
    from harness.spec.system import System

FREE_BYTES_NEEDED = {"base": 600 << 20}
"""Room for the work by role: Debian twice, as files and as a tar (measured: 390 MB)."""

_FREE_BYTES_NEEDED = 200 << 20
"""For the other roles: what a server is made of and a tar of it, or the build of Toxiproxy (measured: 80 MB)."""

_BUILD_WITHIN_S = 600.0
_SILENT_FOR_S = 180.0
"""Between two lines of a build: unpacking wheels on a busy machine takes seconds, a user's own build maybe minutes."""

_TAIL = 12
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # of what a step writes to stderr


@dataclass(frozen=True, slots=True)
class Made:
    """What became of one role.

    Attributes:
        role: Which.
        reference: Its image.
        how: `kept`, `pulled` or `built`.
        took_s: Seconds.
    """

    role: str
    reference: str
    how: str
    took_s: float

    @property
    def is_kept(self) -> bool:
        """Tell whether it was there before."""
        return self.how == "kept"


def made(
    client: DockerClient,
    system: System,
    project: Path,
    *,
    roles: Collection[str] | None = None,
    asks_registries: bool = True,
    say: Callable[[str], object],
) -> Iterator[Made]:
    """Make the images of `roles` as far as they are not there, and the base if they need it; tell each as it is done.

    Args:
        client: Of the engine.
        system: The judged service with what it depends on.
        project: The folder that holds readiness.toml.
        roles: Some of ROLES; None for those that the system needs.
        asks_registries: Whether to look for the official images; without, what is not there is built.
        say: Told what is being done.

    Raises:
        SpecError: If a role is unknown, or readiness.toml names neither an image nor a Dockerfile of the service.
        StackError: If one can neither be pulled nor built; says why, with the last words of what failed.
    """
    roles = roles_of(system) if roles is None else roles
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise SpecError(f"unknown role {unknown[0]!r}", where="--role", fix=nearest(unknown[0], list(ROLES)))
    clock = SystemClock()
    search = Search.of(client, system, project, allows_nothing=SERVICE not in roles)
    registries = Registries(client, within_s=ANSWER_WITHIN_S, clock=clock) if asks_registries else None
    needs_base = any(role == BASE or not _is_module(role) for role in roles)
    for role in ROLES:
        if role in roles or (role == BASE and needs_base):
            yield _made(role, search, registries, clock, say)


def _is_module(role: str) -> bool:
    """Tell whether ours is made of a Go module, and so on nothing."""
    image = SERVERS.get(role)
    return image is not None and isinstance(image.made_of, Module)


def _made(role: str, search: Search, registries: Registries | None, clock: Clock, say: Callable[[str], object]) -> Made:
    began_s, how = clock.now(), "kept"
    found = search.present(role)
    if found is None:
        how = _make(role, search, registries, say)
        found = search.present(role)
    if found is None:  # it was removed at once
        raise StackError(f"the image of {role} is gone again", where="the Docker engine", fix="make it again")
    return Made(role, found.reference, how, clock.now() - began_s)


def _make(role: str, search: Search, registries: Registries | None, say: Callable[[str], object]) -> str:
    official = search.official(role)
    if official and registries:
        reason = registries.why_not(official)
        if not reason:
            say(f"{role}: pulling {official}")
            pull(search.client, official)
            return "pulled"
        say(f"{role}: {reason}")
    if search.is_ready_made(role):
        fix = f"build it or load it: docker build --tag {official} …"
        raise MissingError(f"there is no {official}", where="the Docker engine", fix=fix)
    build(search.plan(role), search, say)
    return "built"


def build(plan: Plan, search: Search, say: Callable[[str], object]) -> None:
    """Build one image in a folder of its own, which is gone on any exit.

    Raises:
        StackError: If there is no room for it, or a step fails, with the build's last words.
    """
    with tempfile.TemporaryDirectory(prefix=f"readiness-image-{plan.role}-") as place:
        work = Path(place)
        _check_room(work, FREE_BYTES_NEEDED.get(plan.role, _FREE_BYTES_NEEDED))
        if plan.role == BASE:
            sources.import_debian(search.client, plan.reference, DEBIAN, work, say)
            return
        pieces = (*plan.pieces, *_fetched(plan, search, work, say))
        say(f"{plan.role}: building {plan.reference}")
        with (work / "context.tar").open("w+b") as context:
            archive(pieces, context)
            context.seek(0)
            _build_in_engine(plan, search.client, context)


def _fetched(plan: Plan, search: Search, work: Path, say: Callable[[str], object]) -> tuple[Piece, ...]:
    """Return what a build needs beside what its name was made of: what the name's parts ask for, no more."""
    if plan.module:
        say(f"{plan.role}: go install {plan.module.module}")
        program = sources.go_program(plan.module, work, role=plan.role)
        return (Piece(plan.module.program, program, is_program=True),)
    requirements = str(Path(plan.dockerfile).with_name(REQUIREMENTS))
    listed = [search.order.project / piece.name for piece in plan.pieces if piece.name == requirements]
    if plan.role != SERVICE or not listed:
        return ()
    say(f"service: downloading the wheels of {requirements}")
    wheels = sources.wheels(search.client, plan.base, listed[0], search.order.architecture, work)
    return folder(wheels, "wheels")


def _build_in_engine(plan: Plan, client: DockerClient, context: IO[bytes]) -> None:
    """Build and name one image; a build that fails leaves no container behind.

    Raises:
        StackError: If a step fails, with the build's last words; or if it takes too long.
    """
    clock = SystemClock()
    until_s, words, why = clock.now() + _BUILD_WITHIN_S, deque[str](maxlen=_TAIL), ""
    with speaking(f"build the image of {plan.role}"):
        steps = client.api.build(
            fileobj=context,
            custom_context=True,
            dockerfile=plan.dockerfile,
            buildargs={**({"BASE": plan.base} if plan.base else {}), **plan.args},
            target=plan.target,
            tag=plan.reference,
            labels={ROLE_LABEL: plan.role},
            # Ours need no network, and this proves it; a user's own service may need one.
            network_mode=None if plan.is_theirs else "none",
            rm=True,
            forcerm=True,
            decode=True,
            timeout=_SILENT_FOR_S,
        )
        for step in steps:
            words.extend(_COLOUR.sub("", str(step.get("stream", ""))).splitlines())
            why = str(step.get("error", why))  # the last word; read to its end, so that the connection is given back
            if clock.now() > until_s:
                raise _broke(plan, f"it took longer than {_BUILD_WITHIN_S:.0f} s", words)
    if why:
        raise _broke(plan, why, words)


def _broke(plan: Plan, why: str, words: Iterable[str]) -> StackError:
    lines = "\n".join(f"    | {line}" for line in words if line.strip())
    fix = "make room on its disk: docker system df" if "no space left" in why else "its last words say why"
    where = f"{plan.dockerfile} of {plan.role}, in the Docker engine"
    return StackError(f"the image of {plan.role} cannot be built: {why}", where=where, fix=f"{fix}:\n{lines}")


def _check_room(work: Path, needed_bytes: int) -> None:
    """See that the work fits before it begins.

    Raises:
        StackError: If it does not.
    """
    free_bytes = shutil.disk_usage(work).free
    if free_bytes < needed_bytes:
        raise StackError(
            f"no room: {free_bytes >> 20} MiB are free, making an image needs {needed_bytes >> 20} MiB",
            where=str(work),
            fix="make room there, or point TMPDIR elsewhere",
        )
