"""`readiness heal`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import typer

from harness.cli.options import OUT, Out
from harness.errors import HarnessError
from harness.faults.healing import heal as heal_run
from harness.faults.ledger import close_ledger, read_ledger
from harness.faults.permission import NOTHING, Permission, permitted_by
from harness.layout import LEDGER_FILE, PAGES_LEDGER_FILE
from harness.verdict.outcome import Outcome


def heal(out: Out = OUT) -> None:
    """Undo what killed runs left: faults, processes, folders. Harmless if there is nothing.

    What is elsewhere is undone where readiness.toml stands that says so, by its own commands alone. What cannot be
    undone is told at once, and keeps nothing else from being undone; the exit code is 3 then.
    """
    found, troubles = 0, 0
    for path in sorted([*out.glob(f"*/{LEDGER_FILE}"), *out.glob(f"*/{PAGES_LEDGER_FILE}")]):
        try:
            lines = _healed(path)
        except HarnessError as error:
            troubles += 1
            typer.echo(f"error: {error}", err=True)
            continue
        found += len(lines)
        for line in lines:
            typer.echo(line)
    typer.echo(f"undone: {found}" if found or troubles else "nothing to undo")
    if troubles:
        raise typer.Exit(Outcome.ERROR.exit_code)


def _healed(path: Path) -> list[str]:
    """Undo what one run left, and close its ledger; return what was undone, a line each."""
    snapshot = read_ledger(path)
    if snapshot.is_closed or snapshot.is_running():
        return []
    lines = [f"{snapshot.run_id}: {line}" for line in heal_run(snapshot, _permission(Path.cwd()))]
    close_ledger(snapshot)
    return lines


@cache
def _permission(project: Path) -> Permission:
    """Return what readiness.toml permits of the project that we are called in, never of one that a ledger names."""
    from harness.options import SETTINGS_FILE, settings_of  # noqa: PLC0415 - a second to import, and seldom needed

    if not (project / SETTINGS_FILE).is_file():
        return NOTHING
    try:
        return permitted_by(settings_of(project).system, project)
    except HarnessError as error:
        typer.echo(f"error: {error}", err=True)
        return NOTHING
