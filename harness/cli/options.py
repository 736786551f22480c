"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

OUT = Path("reports/runs")
"""Where runs leave their folders, unless somebody says otherwise."""

Out = Annotated[Path, typer.Option("--out", help="Folder for the runs' folders.")]
