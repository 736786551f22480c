"""`readiness`: one file per command; this one puts them together, and imports the one that is asked for.

Exit codes: 0 pass, 1 fail, 2 inconclusive, 3 error (of the harness, or of how it was called); 130 and 143 after a
signal, with everything healed and stopped.
"""

from __future__ import annotations

import ast
import gc
import platform
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from harness.cli.faultproxy import AS_GIVEN
from harness.errors import HarnessError, refusal

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

COMMANDS = (
    "init", "run", "explain", "lint", "catalogue", "schema", "heal", "report", "verify", "diff", "slo", "load",
    "worker", "images", "faultproxy", "baseline", "check", "import", "export", "journal",
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
        word = _word_of(name)
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

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        """List the commands by what their files say of them, and import none: that takes two seconds."""
        commands, self.commands = self.commands, {name: TyperCommand(name, help=_said_of(name)) for name in COMMANDS}
        try:
            super().format_help(ctx, formatter)
        finally:
            self.commands = commands


def _said_of(name: str) -> str:
    """Read the help of a command in its file: the docstring of its function, or what its group is given as `help`."""
    word = _word_of(name)
    for node in ast.parse(Path(__file__).with_name(f"{word}.py").read_bytes()).body:
        match node:
            case ast.FunctionDef(name=found) if found == word:
                return ast.get_docstring(node) or ""
            case ast.Assign(targets=[ast.Name(id=found)], value=ast.Call(keywords=given)) if found == word:
                return str(next(ast.literal_eval(each.value) for each in given if each.arg == "help"))
    raise LookupError(f"harness/cli/{word}.py defines no {word}")


def _word_of(name: str) -> str:
    return f"{name}_" if iskeyword(name) else name


app = typer.Typer(
    name="readiness",
    cls=Readiness,
    help="Will it hold? Start a service with its real dependencies, load it, break it, and judge what was seen.",
    epilog="Exit codes: 0 pass, 1 fail, 2 inconclusive, 3 error, 130/143 after a signal.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _told_version(is_asked: bool) -> None:  # noqa: FBT001 - Typer's
    if is_asked:
        typer.echo(f"readiness-harness {version('readiness-harness')}, Python {platform.python_version()}")
        raise typer.Exit


@app.callback()
def readiness(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_told_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Take what stands before a command."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; the process ends with one of our exit codes."""
    for stream in (sys.stdout, sys.stderr):  # one that takes Latin alone is told `\\u2713`: a verdict is always said
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = app(arguments, standalone_mode=False)
    except HarnessError as error:
        status = _refused(str(error))
    except OSError as error:
        status = _refused(str(refusal(error)))
    except TyperException as error:
        status = _refused(f"{error.format_message()}\n  fix:   readiness --help lists what there is")
    except (KeyboardInterrupt, typer.Abort):
        status = 128 + signal.SIGINT
    sys.exit(status)


def _refused(why: str) -> int:
    """Say why a command was not done, and return the code of an error: the usual 2 would mean `inconclusive`."""
    from harness.verdict.outcome import Outcome  # noqa: PLC0415 - it takes as long to import as `--help` to be written

    typer.echo(f"error: {why}", err=True)
    return Outcome.ERROR.exit_code
