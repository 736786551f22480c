"""`readiness` and its commands: all are listed, and one alone is imported when it is asked for."""

from __future__ import annotations

import subprocess
import sys

from typer.testing import CliRunner

from harness.cli import COMMANDS, app
from suites.support.servers import PROJECT


def test_help_lists_every_command_with_a_sentence():
    """In the order of the table; a group as well as a function."""
    said = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout

    rows = [line.strip("│ ").split(maxsplit=1) for line in said.partition("Commands")[2].splitlines() if "│" in line]
    assert [row[0] for row in rows] == list(COMMANDS)
    assert all(len(row) == 2 and row[1].rstrip(" │").endswith((".", ":")) for row in rows), rows


def test_a_slip_in_a_command_is_told_with_the_nearest():
    """Its name is enough for that; nothing is imported."""
    assert "Did you mean 'verify'?" in CliRunner().invoke(app, ["verfy"]).output


def test_a_command_imports_no_other(tmp_path):
    """`heal` is wanted in a hurry: it waits for no plots, no pytest and no report."""
    code = """
import sys
from harness.cli import main
try:
    main(["heal"])
finally:
    print(sorted(name for name in sys.modules if name.startswith("harness.cli.")))
    print([name for name in ("pytest", "matplotlib", "jinja2", "pyarrow") if name in sys.modules])
"""
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, check=True
    )  # fmt: skip

    assert told.stdout.splitlines() == [
        "nothing to undo",
        "['harness.cli.faultproxy', 'harness.cli.heal', 'harness.cli.options']",
        "[]",
    ]
