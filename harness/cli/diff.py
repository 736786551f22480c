"""`readiness diff`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.options import OUT
from harness.compare.diff import Change, Difference, difference
from harness.evidence.bundle import check_unchanged, experiments_in
from harness.evidence.documents import json_text, read_json
from harness.evidence.experiment import read_experiment
from harness.layout import SYSTEM_FILE
from harness.report.terminal import change_table
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.evidence import Experiment


def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="A run's folder, its id, or one experiment's.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="The other run.")],
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Say what changed from run A to run B: settings, versions, verdicts, and what was measured.

    Exit codes: 0 if no verdict got worse, 1 if one did, 3 if a folder cannot be read, was
    changed, or has no scenario in common with the other. Whether a difference is more than
    chance is a question for `readiness baseline`.
    """
    found = difference(_experiments(before), _experiments(after))
    if json:
        typer.echo(json_text({**dataclasses.asdict(found), "is_worse": found.is_worse}), nl=False)
    else:
        _print(found)
    raise typer.Exit(Outcome.FAIL.exit_code if found.is_worse else 0)


def _experiments(folder: Path) -> list[tuple[Experiment, Mapping[str, Any]]]:
    places = experiments_in(folder if folder.is_dir() else OUT / folder)
    for place in places:
        check_unchanged(place)
    return [(read_experiment(place)[0], read_json(place / SYSTEM_FILE)) for place in places]


def _print(found: Difference) -> None:
    for title, changes in (("settings", found.settings), ("verdicts", found.verdicts), ("measured", found.estimates)):
        if changes:
            change_table(title, [_row(change) for change in changes])
        else:
            typer.echo(f"{title}: no difference")


def _row(change: Change) -> tuple[str, str, str, str]:
    return change.scenario, change.what, change.before or "–", change.after or "–"
