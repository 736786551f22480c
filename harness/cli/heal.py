"""`readiness heal`."""

from __future__ import annotations

import typer

from harness.cli.options import OUT, Out
from harness.faults.healing import heal as heal_page
from harness.faults.ledger import FILE_NAME, close_page, read_ledger


def heal(out: Out = OUT) -> None:
    """Undo what killed runs left: faults, processes, folders. Harmless if there is nothing."""
    found = 0
    for path in sorted(out.glob(f"*/{FILE_NAME}")):
        page = read_ledger(path)
        if page.is_closed or page.is_running():
            continue
        for line in heal_page(page):
            found += 1
            typer.echo(f"{page.run_id}: {line}")
        close_page(page)
    typer.echo(f"undone: {found}" if found else "nothing to undo")
