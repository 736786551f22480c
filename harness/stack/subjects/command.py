"""`command`, `init` and `workers`: programs in any language, as argument lists that no shell reads."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from harness.errors import MissingError
from harness.stack.placeholders import substituted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def filled_in(command: Sequence[str], placeholders: Mapping[str, str]) -> list[str]:
    """Return a command with what its placeholders stand for."""
    return [substituted(word, placeholders) for word in command]


def found(program: str, folder: Path, *, where: str, beside: Path) -> str:
    """Return the path of a command's program.

    One with a slash is looked for below `folder`. Any other is looked for beside the Python of the service, so that
    `python` and what is installed for it are those of its environment, and then on PATH.

    Args:
        program: The first word of the command.
        folder: Where the command runs.
        where: The key of readiness.toml that names it.
        beside: The folder of the service's Python.

    Raises:
        MissingError: If it is not there, or may not be executed.
    """
    if "/" in program:
        path = shutil.which(str(folder / program))
        fix = f"it is looked for in {folder}; check its name and its right to execute"
    else:
        path = shutil.which(program, path=str(beside)) or shutil.which(program)
        fix = f"install it, or put it on PATH; it is also looked for in {beside}"
    if path is None:
        raise MissingError(f"there is no {program} to run", where=where, fix=fix)
    return path
