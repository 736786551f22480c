"""`readiness verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import OUT
from harness.report import experiments_in, verified
from harness.verdict.outcome import worst


def verify(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, its id, or one experiment's.")],
) -> None:
    """See that a run's evidence is unchanged, and judge it again: the same verdict, byte for byte.

    Exit codes are the verdict's own; 3 if a file is missing, cut short or changed, or the verdict would be another.
    """
    outcomes = []
    for place in experiments_in(folder if folder.is_dir() else OUT / folder):
        verdict = verified(place)
        outcomes.append(verdict.outcome)
        typer.echo(f"{place.name}: evidence unchanged, judged again the same: {verdict.sentence}")
    raise typer.Exit(worst(outcomes).exit_code)
