"""A project's folder, read within limits: what was written by hand, and no more of it than a person would look at."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

FILES_MAX = 2000
"""A service that has more source files is found by what is said of it at the top: a Procfile, a compose file."""

FILE_BYTES_MAX = 256_000
"""A longer file was made by a program, or holds data."""

DEPTH_MAX = 5

_NOT_ITS_OWN = frozenset(
    (
        "__pycache__",
        "build",
        "dist",
        "env",
        "htmlcov",
        "node_modules",
        "reports",
        "scenarios",
        "site-packages",
        "target",
        "test",
        "tests",
        "vendor",
        "venv",
    )
)
"""Folders that hold what others wrote, what a program made, or what is no part of what serves; hidden ones beside."""


@dataclass(frozen=True)
class Folder:
    """A project's folder.

    Attributes:
        path: Where it is.
    """

    path: Path

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the files in it by their path from there, those nearest to the top first."""
        found = list[str]()
        for top, folders, files in os.walk(self.path):
            below = Path(top).relative_to(self.path)
            is_deep = len(below.parts) >= DEPTH_MAX
            folders[:] = [] if is_deep else sorted(each for each in folders if _is_its_own(each))
            found += [str(below / file) for file in files]
            if len(found) > FILES_MAX:
                break
        return tuple(sorted(found, key=lambda name: (name.count("/"), name))[:FILES_MAX])

    def matching(self, *patterns: str) -> tuple[str, ...]:
        """Return the files whose name, without its folder, matches one of `patterns`."""
        return tuple(name for name in self.names if any(fnmatch(name.rpartition("/")[2], each) for each in patterns))

    def has(self, name: str) -> bool:
        """Tell whether a file, or a link to one, is there."""
        return (self.path / name).is_file()

    def text(self, name: str) -> str:
        """Return what a file says; nothing of one that is not there, too long, or no text."""
        path = self.path / name
        try:
            return path.read_text(encoding="utf-8") if path.stat().st_size <= FILE_BYTES_MAX else ""
        except (OSError, UnicodeDecodeError):
            return ""


def _is_its_own(folder: str) -> bool:
    return not folder.startswith(".") and folder not in _NOT_ITS_OWN
