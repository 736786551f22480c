"""`readiness report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import OUT
from harness.report import rebuild


def report(folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or its id.")]) -> None:
    """Write a finished run's pages again, from its evidence."""
    place = folder if folder.is_dir() else OUT / folder
    for line in rebuild(place):
        typer.echo(line)
