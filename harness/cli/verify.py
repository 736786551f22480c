"""`readiness verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import OUT
from harness.evidence import verified_run
from harness.verdict.outcome import worst


def verify(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, its id, or one experiment's.")],
) -> None:
    """See that a run's evidence is unchanged, and judge it again: the same verdict, byte for byte.

    Exit codes are the verdict's own; 3 if an experiment or a file is missing, cut short or changed, or the verdict
    would be another.
    """
    verdicts = verified_run(folder if folder.is_dir() else OUT / folder)
    for place, verdict in verdicts.items():
        typer.echo(f"{place.name}: evidence unchanged, judged again the same: {verdict.sentence}")
    raise typer.Exit(worst(verdict.outcome for verdict in verdicts.values()).exit_code)
