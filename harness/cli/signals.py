"""What a signal does to a command: it ends it, after everything is undone."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from harness.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into `Interrupted`; later ones must not cut the healing short.

    Raises:
        typer.Exit: With the signal's exit code, once everything inside is undone; typer itself makes 130 of each.
    """

    def interrupt(number: int, frame: object) -> None:  # noqa: ARG001 - the signature that `signal` calls
        for each in numbers:
            signal.signal(each, _say_healing)
        raise Interrupted(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    except Interrupted as error:
        raise typer.Exit(error.exit_code) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_healing(number: int, frame: object) -> None:  # noqa: ARG001 - the signature that `signal` calls
    sys.stderr.write("healing; a moment\n")
