"""`readiness`: one file per command; this one puts them together, and imports the one that is asked for.

Exit codes: 0 pass, 1 fail, 2 inconclusive, 3 error (of the harness, or of how it was called); 130 and 143 after a
signal, with everything healed and stopped.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from keyword import iskeyword
from typing import Any, cast

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from harness.cli.faultproxy import AS_GIVEN
from harness.errors import HarnessError, refusal
from harness.verdict.outcome import Outcome

COMMANDS = (
    "run", "explain", "lint", "catalogue", "schema", "heal", "report", "verify", "diff", "slo", "load", "worker",
    "images", "faultproxy", "baseline", "check", "import", "export", "journal",
)  # fmt: skip
"""In the order of `readiness --help`; each is a file beside this one, and the function or the group in it; one whose
name is a word of Python has a `_` behind it there."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Let what is made here, such as modules, stay to the end, and never search it for garbage.

    `readiness run` spent 1.1 s of 2.4 s on such searches while it imported and when it ended (CPython 3.11).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


class Commands(Mapping[str, Any]):
    """The commands by name; one is imported when it is asked for.

    All of them together take a second to import: much for `readiness heal`, which needs a fifth of that.
    """

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        word = f"{name}_" if iskeyword(name) else name
        with uncollected():
            command = getattr(import_module(f"harness.cli.{word}"), word)
        if not isinstance(command, typer.Typer):
            function, command = command, typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            command.command(context_settings=AS_GIVEN if name == "faultproxy" else None)(function)
        found = get_command(command)
        found.name = name
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Readiness(TyperGroup):
    """The group of all commands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": cast("dict[str, Any]", Commands())})


app = typer.Typer(
    name="readiness",
    cls=Readiness,
    help="Will it hold? Start a service with its real dependencies, load it, break it, and judge what was seen.",
    epilog="Exit codes: 0 pass, 1 fail, 2 inconclusive, 3 error, 130/143 after a signal.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.callback()(lambda: None)  # without one, Typer wants a command by now


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; the process ends with one of our exit codes."""
    try:
        status = app(arguments, standalone_mode=False)
    except HarnessError as error:
        typer.echo(f"error: {error}", err=True)
        status = Outcome.ERROR.exit_code
    except OSError as error:
        typer.echo(f"error: {refusal(error)}", err=True)
        status = Outcome.ERROR.exit_code
    except TyperException as error:
        typer.echo(f"error: {error.format_message()}\n  fix:   readiness --help lists what there is", err=True)
        status = Outcome.ERROR.exit_code  # the usual 2 would mean `inconclusive`
    except (KeyboardInterrupt, typer.Abort):
        status = 128 + signal.SIGINT
    sys.exit(status)
