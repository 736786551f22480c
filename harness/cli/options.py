"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.errors import SpecError

OUT = Path("reports/runs")
"""Where runs leave their folders by default."""

Out = Annotated[Path, typer.Option("--out", help="Folder for the runs' folders.")]


def write_new(path: Path, text: str, *, force: bool) -> None:
    """Write a file that was not there; one that was is replaced only if that is asked for.

    Raises:
        SpecError: If it is there, and is not to be replaced.
        OSError: If it cannot be written.
    """
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise SpecError("the file is there already", where=str(path), fix="write another, or --force") from error


WORKER_TOKEN = "READINESS_WORKER_TOKEN"  # noqa: S105 - the variable's name
"""The variable that holds what a worker must know; better than an option, which others on the machine can read."""
