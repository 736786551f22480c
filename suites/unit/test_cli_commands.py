"""`readiness` and its commands: all are listed, and one alone is imported when it is asked for."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from harness.cli import COMMANDS, Commands, app
from suites.support.servers import PROJECT


def test_help_lists_every_command_with_its_own_first_sentence():
    """In the order of the table; a group as well as a function. The list reads it in a file that it does not import."""
    said = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout

    rows = [line.strip("│ ").split(maxsplit=1) for line in said.partition("Commands")[2].splitlines() if "│" in line]
    assert [row[0] for row in rows] == list(COMMANDS)
    own = {name: " ".join((Commands()[name].help or "").partition("\n\n")[0].split()) for name in COMMANDS}
    assert {row[0]: row[1].rstrip(" │") for row in rows} == own
    assert all(sentence.endswith(".") for sentence in own.values()), own


def test_help_and_version_import_no_command():
    """All of them take two seconds, and `--help` is what one asks for first."""
    code = """
import sys
from harness.cli import main
try:
    main([sys.argv[1]])
finally:
    print(sorted(name for name in sys.modules if name.startswith(("harness.cli.", "harness.spec"))))
"""
    for option in ("--help", "--version"):
        asked = [sys.executable, "-c", code, option]
        told = subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True, check=True)
        assert told.stdout.splitlines()[-1] == "['harness.cli.faultproxy']"


def test_the_version_is_that_of_the_distribution():
    """With Python's, which a report of a mistake wants as well."""
    said = CliRunner().invoke(app, ["--version"])

    assert said.stdout == f"readiness-harness {version('readiness-harness')}, Python {platform.python_version()}\n"
    assert said.exit_code == 0


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


@pytest.mark.parametrize(("encoding", "dash"), [("ascii", "–".encode()), ("latin-1", b"\\u2013")])
def test_what_a_terminal_cannot_show_is_said_all_the_same(encoding, dash):
    """A verdict that could not be printed would end as an error of the harness. ASCII is taken for a lack of settings."""
    told = subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main(['run', '--plan'])"],
        cwd=PROJECT, env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(PROJECT)}, capture_output=True, check=False,
    )  # fmt: skip

    assert told.returncode == 0, told.stderr
    assert dash in told.stdout
