"""`readiness explain`: a scenario told back, before it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.evidence.redaction import plain
from harness.library.story import explained, source_of
from harness.options import check_profile, settings_of
from harness.plan import plan_of


def explain(
    scenario: Annotated[str, typer.Argument(help="A scenario's file, or its name.")],
    profile: Annotated[str, typer.Option(help="A profile of readiness.toml.")] = "quick",
) -> None:
    """Tell a scenario's story back: its timeline, its promises and what each takes to be proved, what it catches.

    Nothing is started. What stands in the way of a run is told as `readiness run` would.
    """
    project = Path.cwd()
    settings = settings_of(project)
    check_profile(settings, profile)
    plan = plan_of(source_of(scenario, project), settings, profile=profile, seed=0)
    typer.echo(plain(explained(plan, settings)))
