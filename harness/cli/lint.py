"""`readiness lint`: every mistake of every file, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.evidence.redaction import line
from harness.library.files import files_of
from harness.library.lint import linted
from harness.verdict.outcome import Outcome


def lint(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files or folders; scenarios/ if none.")] = None,
) -> None:
    """Tell every mistake of scenario files and of readiness.toml at once, each with its line and how to fix it.

    Exit codes: 0 if there is none, 1 if there is one, 3 for a path that is not there.
    """
    files = files_of(paths or [], Path.cwd())
    found = linted(files, Path.cwd())
    for mistake in found.mistakes:
        typer.echo(line(f"{mistake.where}: {mistake.what}"))
        typer.echo("    " + line(mistake.fix))
    count = len(found.mistakes)
    typer.echo(f"{count or 'no'} mistake{'' if count == 1 else 's'} in {len(files)} scenario files and readiness.toml")
    raise typer.Exit(Outcome.FAIL.exit_code if count else 0)
