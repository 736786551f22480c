"""tcp: any program that listens, known by what it answers, by its greeting, or by no more than that it accepts."""

from __future__ import annotations

import shlex
import socket
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import MissingError, SpecError
from harness.stack.component import Component
from harness.stack.health_probe import HealthProbe
from harness.stack.placeholders import placeholders_in, unknown_in
from harness.stack.ports import reserve
from harness.stack.recipe import READY_WITHIN_S, ContainerRecipe, Recipe
from harness.stack.subjects.command import filled_in, found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.spec.system import Part
    from harness.stack.service import Address, Workspace

PORT = 9000
"""Where it would listen in a container."""

PLACEHOLDERS = ("host", "port", "data")

_ANSWERS_WITHIN_S = 1.0
_WHERE = "readiness.toml: system.components"
_COMMAND = 'say what runs: command = ["./ledger", "--listen", "{host}:{port}"] (docs/system.md)'


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectProgram:
    """The program of a command, as the judged service's commands have it.

    Attributes:
        name: The first word: looked for in the project if it has a slash, else beside our Python and on PATH.
    """

    name: str | None

    def find(self, project: Path | None = None) -> Path:
        """Return its path.

        Raises:
            MissingError: If it is not there, or none is named.
        """
        if self.name is None:
            raise MissingError("a tcp is told nothing to run", where=_WHERE, fix=_COMMAND)
        return Path(found(self.name, project or Path.cwd(), where=_WHERE, beside=Path(sys.executable).parent))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How to talk to it.

    Attributes:
        asks: What it is asked; nothing, where it greets or is asked nothing.
        says: What is in its answer when it is well.
        ends: What it ends the connection at.
    """

    asks: bytes = b""
    says: bytes = b""
    ends: bytes = b""

    def is_answering(self, address: Address) -> bool:
        """Tell whether it accepts, and says what it should."""
        return self.says in _heard(address, self.asks, self.says)

    def long_question(self, length_bytes: int) -> bytes:
        """Return so many questions that their answers are as long, and what ends the connection."""
        return self.asks * (length_bytes // len(self.says) + 1) + self.ends

    def probe(self, version: str) -> HealthProbe:
        """Return how it is known."""
        is_whole = self.asks and self.says and self.ends
        return HealthProbe(
            is_answering=self.is_answering,
            question=self.asks,
            long_question=self.long_question if is_whole else None,
            version=partial(_version, version),
            greets=bool(self.says and not self.asks),
        )


def _version(text: str, address: Address) -> str:
    """Return what runs; raises OSError if it does not accept."""
    _heard(address, b"", b"")
    return text


def _heard(address: Address, asked: bytes, wanted: bytes) -> bytes:
    """Return what came until `wanted` did, or nothing more within a second."""
    heard, until_s = b"", time.perf_counter() + _ANSWERS_WITHIN_S
    with socket.create_connection((address.host, address.port), timeout=_ANSWERS_WITHIN_S) as connection:
        connection.sendall(asked)
        while wanted not in heard and (left_s := until_s - time.perf_counter()) > 0:
            connection.settimeout(left_s)
            piece = connection.recv(1 << 12)
            if not piece:
                break
            heard += piece
    return heard


def local(name: str, program: Path, workspace: Workspace, part: Part | None = None) -> Recipe:
    """Describe it as a local process, which runs in the project's folder as the service's commands do."""
    command = (part.command if part else None) or ()
    data, address = workspace.work / name, reserve()
    data.mkdir(mode=0o700)
    known = {"host": address.host, "port": str(address.port), "data": str(data)}
    return Recipe(
        name=name,
        argv=[str(program), *filled_in(command[1:], known)],
        address=address,
        probe=_probe(part),
        cwd=workspace.project,
        data=data,
        ready_within_s=(part.ready_within if part else None) or READY_WITHIN_S,
    )


def contained(name: str, image: str) -> ContainerRecipe:
    """Describe it as a container, which it is not: no image of it is known."""
    return ContainerRecipe(name=name, image=image, port=PORT, published={PORT: reserve()}, command=(), probe=PROBE)


def fitted(part: Part) -> Component:
    """Return the one that runs the command of a part, and is known as it says."""
    program = ProjectProgram(name=part.command[0] if part.command else None)
    return replace(COMPONENT, program=program, local=partial(local, part=part), probe=_probe(part))


def _probe(part: Part | None) -> HealthProbe:
    if part is None:
        return PROBE
    said = (part.asks, part.says, part.ends)
    asks, says, ends = ((text or "").encode() for text in said)
    return Manners(asks=asks, says=says, ends=ends).probe(f"tcp: {shlex.join(part.command or ())}")


def mistakes(part: Part, project: Path, place: Callable[[str], str]) -> Iterator[SpecError]:  # noqa: ARG001 - of the seam
    """Find out whether it can be started, and whether what is said of its answers hangs together."""
    if part.command is None:
        yield SpecError("a tcp is told nothing to run", where=place("command"), fix=_COMMAND)
        return
    if "port" not in {word for text in part.command for word in placeholders_in(text)}:
        fix = "add {port} to an argument: it must listen there"
        yield SpecError("the command is not told where to listen", where=place("command"), fix=fix)
    for text in part.command:
        yield from unknown_in(text, PLACEHOLDERS, where=place("command"))
    if part.asks and not part.says:
        fix = 'say what is in a good answer: says = "PONG"'
        yield SpecError("it is asked, and any answer would do", where=place("asks"), fix=fix)
    if part.ends and not part.asks:
        fix = 'say what it is asked before: asks = "PING\\r\\n"'
        yield SpecError("it is told to end, and asked nothing", where=place("ends"), fix=fix)


PROBE = Manners().probe("tcp")

COMPONENT = Component(
    kind="tcp",
    program=ProjectProgram(name=None),
    local=local,
    image=None,  # what is to run is the project's own, and an image of it is not known
    port=PORT,
    probe=PROBE,
    contained=contained,
    gives={"address": "{host}:{port}"},
    keys=("command", "asks", "says", "ends", "ready_within"),
    fitted=fitted,
    mistakes=mistakes,
)
