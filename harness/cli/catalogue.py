"""`readiness catalogue`: all scenarios on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.evidence.redaction import plain
from harness.library.catalogue import catalogue_of
from harness.library.outcomes import OUTCOMES_FILE, measured_in, newer, outcomes_text, read_outcomes
from harness.options import check_profile, settings_of


def catalogue(
    profile: Annotated[str, typer.Option(help="A profile of readiness.toml, whose times are told.")] = "quick",
    runs: Annotated[
        list[Path] | None, typer.Option("--from", metavar="RUN", help="Runs whose outcomes are noted first, and told.")
    ] = None,
    commit: Annotated[str, typer.Option(help="The commit that those runs were of; evidence does not say.")] = "",
) -> None:
    """Print a page of all scenarios in Markdown: story, timeline, promises, what each must turn red for, how it ended.

    What `--from` names is noted in scenarios/outcomes.json, where a later run of a scenario takes an earlier one's
    place; the page tells what stands there.

    Example:
      readiness catalogue --from reports/runs/20261123-185928-e856 --commit 670236bb > docs/catalogue.md
    """
    project = Path.cwd()
    settings = settings_of(project)
    check_profile(settings, profile)
    if runs:
        noted = newer(read_outcomes(project), measured_in(runs, commit))
        (project / OUTCOMES_FILE).write_text(outcomes_text(noted), encoding="utf-8")
    typer.echo(plain(catalogue_of(project, settings, profile)), nl=False)
