"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

OUT = Path("reports/runs")
"""Where runs leave their folders, unless somebody says otherwise."""

Out = Annotated[Path, typer.Option("--out", help="Folder for the runs' folders.")]

WORKER_TOKEN = "READINESS_WORKER_TOKEN"  # noqa: S105 - the variable's name
"""The variable that holds what a worker must know; better than an option, which others on the machine can read."""
