"""`readiness catalogue`: all scenarios on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.evidence.redaction import plain
from harness.library.catalogue import catalogue_of
from harness.options import check_profile, settings_of


def catalogue(
    profile: Annotated[str, typer.Option(help="A profile of readiness.toml, whose times are told.")] = "quick",
) -> None:
    """Print a page of all scenarios in Markdown: story, timeline, promises, and what each must turn red for."""
    project = Path.cwd()
    settings = settings_of(project)
    check_profile(settings, profile)
    typer.echo(plain(catalogue_of(project, settings, profile)), nl=False)
