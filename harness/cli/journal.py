"""`readiness journal`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import OUT, write_new
from harness.errors import SpecError
from harness.evidence.bundle import check_unchanged, experiments_in
from harness.evidence.documents import read_json
from harness.evidence.experiment import read_experiment
from harness.exchange.journal import journal_text
from harness.layout import SYSTEM_FILE


def journal(
    bundle: Annotated[
        Path, typer.Argument(metavar="RUN/SCENARIO", help="One experiment's folder, or below a run's id.")
    ],
    to: Annotated[Path | None, typer.Option(help="The journal's file; without it the journal is printed.")] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace the journal's file if it is there.")] = False,
) -> None:
    """Write a finished experiment as a Chaos Toolkit journal. See docs/exchange.md.

    Exit codes: 0 written, whatever the verdict; 3 if the evidence cannot be read or was changed.

    Example:
      readiness journal 20261123-185928-e856/redis-down --to journal.json
    """
    folder = bundle if bundle.is_dir() else OUT / bundle
    places = experiments_in(folder)
    if places != [folder]:
        names = ", ".join(place.name for place in places)
        raise SpecError(
            "a journal is of one experiment", where=str(bundle), fix=f"write {bundle}/SCENARIO; there are {names}"
        )
    check_unchanged(folder)
    text = journal_text(read_experiment(folder)[0], system=read_json(folder / SYSTEM_FILE))
    if to is None:
        typer.echo(text, nl=False)
    else:
        write_new(to, text, force=force)
        typer.echo(f"journal: {to}")
