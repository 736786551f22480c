"""What a signal does to a command: it ends it, after everything is undone."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from harness.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Interruption:
    """The signal that came, if one did.

    Attributes:
        error: It; what healing raised may have taken its place on the way up.
    """

    error: Interrupted | None = None

    def check(self) -> None:
        """Begin nothing new after a signal.

        Raises:
            Interrupted: If one has come.
        """
        if self.error is not None:
            raise self.error


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into `Interrupted`; later ones must not cut the healing short.

    Raises:
        typer.Exit: With the signal's exit code, once everything inside is undone; typer itself makes 130 of each.
    """
    came = Interruption()

    def interrupt(number: int, frame: object) -> None:  # noqa: ARG001 - the signature that `signal` calls
        for each in numbers:
            signal.signal(each, _say_healing)
        came.error = Interrupted(number)
        raise came.error

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield came
        came.check()
    except Interrupted as error:
        raise typer.Exit(error.exit_code) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_healing(number: int, frame: object) -> None:  # noqa: ARG001 - the signature that `signal` calls
    sys.stderr.write("healing; a moment\n")
