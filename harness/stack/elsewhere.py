"""A process that runs elsewhere, as faults know it: the commands that hit it and undo that, and whether it serves."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from harness.clock import Clock


class Saw(Enum):
    """What a look saw."""

    SERVES = auto()
    """It says that it serves."""
    UNWELL = auto()
    """Something answers for it, and says that it does not."""
    REFUSES = auto()
    """Nothing listens there, or what does ends the connection."""
    SILENT = auto()
    """No answer came in time."""
    UNKNOWN = auto()
    """It could not be asked."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a process that runs elsewhere.

    Attributes:
        saw: What was seen.
        said: The same in a clause, with what was asked.
    """

    saw: Saw
    said: str


@dataclass(frozen=True, slots=True)
class Order:
    """A command as it is run; no shell reads it.

    Attributes:
        argv: Its program, by its path, and its arguments.
        folder: Where it runs.
        within_s: How long it may take.
    """

    argv: tuple[str, ...]
    folder: str
    within_s: float

    def __str__(self) -> str:
        return shlex.join(self.argv)


class Elsewhere(Protocol):
    """A process that runs elsewhere; it is no service of the stack, since nobody here is its parent."""

    @property
    def name(self) -> str:
        """Its name in readiness.toml."""

    def order(self, word: str) -> Order:
        """Return the command called so, which readiness.toml says: `kill`, or `restore`."""

    def look(self) -> Look:
        """Ask whether it serves."""

    def wait_until_it_serves(self, clock: Clock, when: str) -> None:
        """Wait for it; one of which nothing tells is not waited for.

        Args:
            clock: The time.
            when: Of what moment the error says that it does not serve: `before the load`.

        Raises:
            NotReadyError: If it does not say so in its time; it names what was seen last.
        """
