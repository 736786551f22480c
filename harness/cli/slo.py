"""`readiness slo`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import OUT
from harness.compare.slo import judged_against
from harness.evidence.documents import json_text
from harness.report.terminal import outcome_table
from harness.spec.openslo import read_openslo
from harness.verdict.outcome import worst


def slo(
    file: Annotated[Path, typer.Argument(help="OpenSLO v1 documents (YAML): SLO, with SLI inside or beside it.")],
    bundle: Annotated[Path, typer.Option(metavar="RUN", help="A run's folder, its id, or one experiment's.")],
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Judge OpenSLO objectives against a finished run: the same bounds, offline. See docs/openslo.md.

    Exit codes are those of a run: 0 pass, 1 fail, 2 inconclusive, 3 for a file that cannot be honoured.

    Example:
      readiness slo slo.yaml --bundle 20261123-185928-e856
    """
    promises = read_openslo(file)
    kept = judged_against(promises, bundle if bundle.is_dir() else OUT / bundle)
    outcome = worst(each.outcome for each in kept)
    if json:
        told = [dataclasses.asdict(each) for each in kept]
        typer.echo(json_text({"outcome": outcome, "exit_code": outcome.exit_code, "objectives": told}), nl=False)
    else:
        outcome_table("slo", [(each.outcome, f"{each.slo} ({each.scenario or '–'})", each.sentence) for each in kept])
    raise typer.Exit(outcome.exit_code)
