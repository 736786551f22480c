"""`readiness check`: what can be judged before anything runs."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.deployment.compose import read_compose
from harness.deployment.project import VALUES, has_values, read_project
from harness.deployment.rules import RULES, findings
from harness.errors import SpecError
from harness.evidence.documents import json_text
from harness.evidence.redaction import line
from harness.spec.document import MAX_BYTES
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from harness.deployment.compose import Compose

check = typer.Typer(help="Judge deployment files before anything runs.", no_args_is_help=True)

_STANDARD_INPUT = Path("-")


@check.callback()
def _group() -> None:
    """Judge deployment files before anything runs."""


@check.command()
def compose(
    file: Annotated[Path, typer.Argument(help="A compose file; - reads standard input.")],
    *,
    alone: Annotated[
        bool, typer.Option("--alone", help="Leave the file's override out, as docker compose -f FILE does.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Judge a compose file: health checks, restarts, limits, secrets, networks, privileges. See docs/deployment.md.

    What runs with it is judged with it: compose.override.yaml and the values of .env beside it.

    Exit codes: 0 if no rule is broken, 1 if one is, 3 for a file that is no compose file.
    """
    is_piped = file == _STANDARD_INPUT
    judged = _piped() if is_piped else read_project(file, alone=alone)
    found = findings(judged)
    taken = _taken(judged, has_values=not is_piped and has_values(file))
    if json:
        told = {"file": str(file), "judged": taken, "findings": [dataclasses.asdict(each) for each in found]}
        typer.echo(json_text(told), nl=False)
    else:
        for each in found:
            typer.echo(line(f"{each.file}:{each.line}: {each.service}: {each.rule}: {each.seen}"))
            typer.echo("    " + line(f"{each.why}; {each.fix}"))
        end = f"{len(found)} findings by {len(RULES)} rules" if found else f"all of {len(RULES)} rules hold"
        typer.echo(line(f"{end}; judged together: {', '.join(taken)}") if len(taken) > 1 else end)
    raise typer.Exit(Outcome.FAIL.exit_code if found else 0)


def _piped() -> Compose:
    name = "standard input"
    try:
        text = sys.stdin.buffer.read(MAX_BYTES + 1).decode()
    except UnicodeDecodeError as error:
        raise SpecError("it is not UTF-8", where=name, fix="pipe a compose file into it") from error
    return read_compose(text, name=name)


def _taken(judged: Compose, *, has_values: bool) -> list[str]:
    """Return the files that were judged together."""
    first = Path(judged.files[0][1])
    return [name for _, name in judged.files] + ([str(first.parent / VALUES)] if has_values else [])
