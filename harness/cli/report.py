"""`readiness report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import OUT
from harness.cli.signals import interruptible
from harness.report import Progress, rebuild


def report(folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or its id.")]) -> None:
    """Write a finished run's pages again, from its evidence."""
    place = folder if folder.is_dir() else OUT / folder
    with interruptible():
        for line in rebuild(place, say=Progress().message):
            typer.echo(line)
