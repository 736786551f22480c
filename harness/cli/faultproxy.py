"""`readiness faultproxy`: the fault proxy on its own, for any project."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

AS_GIVEN = {"ignore_unknown_options": True, "help_option_names": []}
"""Typer's settings for this command: its flags, `--help` among them, are the fault proxy's own."""


def faultproxy(
    flags: Annotated[list[str] | None, typer.Argument(help="Toxiproxy's flags; --help lists them.")] = None,
) -> None:
    """Start the fault proxy alone: Toxiproxy's API and flags, from Python. See docs/faultproxy.md.

    Example:
      readiness faultproxy -host 127.0.0.1 -port 8474
    """
    if sys.stdout is not None:  # the caller may have closed it
        sys.stdout.flush()
    # It becomes this process, so that signals, exit code and memory are its own.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "harness.faultproxy", *(flags or [])])  # noqa: S606 - no shell wanted
