"""`readiness check`: what can be judged before anything runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from harness.deployment.compose import read_compose
from harness.deployment.rules import RULES, findings
from harness.evidence.documents import json_text
from harness.evidence.redaction import line
from harness.spec.parser import text_of
from harness.verdict.outcome import Outcome

check = typer.Typer(help="Judge deployment files before anything runs.", no_args_is_help=True)


@check.callback()
def _group() -> None:
    """Judge deployment files before anything runs."""


@check.command()
def compose(
    file: Annotated[Path, typer.Argument(help="A compose file.")],
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Judge a compose file: health checks, restarts, limits, secrets, networks, privileges. See docs/deployment.md.

    Exit codes: 0 if no rule is broken, 1 if one is, 3 for a file that is no compose file.
    """
    found = findings(read_compose(text_of(file), name=str(file)))
    if json:
        told = {"file": str(file), "findings": [dataclasses.asdict(each) for each in found]}
        typer.echo(json_text(told), nl=False)
    else:
        for each in found:
            typer.echo(line(f"{file}:{each.line}: {each.service}: {each.rule}: {each.seen}"))
            typer.echo("    " + line(f"{each.why}; {each.fix}"))
        typer.echo(f"{len(found)} findings by {len(RULES)} rules" if found else f"all of {len(RULES)} rules hold")
    raise typer.Exit(Outcome.FAIL.exit_code if found else 0)
