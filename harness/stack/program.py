"""Where a server's program is: in a wheel beside us, else on PATH; nothing is downloaded."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.errors import MissingError


class Findable(Protocol):
    """What a server is run by, wherever that is."""

    def find(self, project: Path | None = None) -> Path:
        """Return its path.

        Args:
            project: The folder that holds readiness.toml; the current one if None.

        Raises:
            MissingError: If it is not there.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A server's program.

    Attributes:
        name: As it is called on PATH.
        package: The Python package that holds it, which need not be installed; None if no wheel has it.
        inside: Where it is below the package's folder, as a pattern.
        folders: Where it is looked for before PATH: where a distribution keeps it for root, or behind a script of its
            own that wants to be root.
        fix: How it is had where it is not there.
    """

    name: str
    package: str | None = None
    inside: str = ""
    folders: tuple[str, ...] = ()
    fix: str = "pip install 'readiness-harness[embedded]' (README lists the platforms), or put {name} on PATH"

    def find(self, project: Path | None = None) -> Path:  # noqa: ARG002 - of the seam
        """Return the program's path, of the wheel or of PATH.

        Raises:
            MissingError: If it is in neither.
        """
        in_wheel = _in_wheel(self.package, self.inside) if self.package else None
        if in_wheel:
            _make_executable(in_wheel)
            return in_wheel
        on_path = shutil.which(self.name, path=os.pathsep.join(self.folders)) or shutil.which(self.name)
        if on_path is None:
            machine = f"{sys.platform} {platform.machine()}, Python {platform.python_version()}"
            what, fix = f"there is no {self.name}", self.fix.format(name=self.name)
            raise MissingError(what, where=f"the embedded stack on {machine}", fix=fix)
        return Path(on_path)


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonModule:
    """A server that an installed package is, run by the Python that runs us: `python -m NAME`.

    Attributes:
        name: The package's.
        fix: How it is had where it is not installed.
    """

    name: str
    fix: str

    def find(self, project: Path | None = None) -> Path:  # noqa: ARG002 - of the seam
        """Return the path of our Python.

        Raises:
            MissingError: If it has no such package.
        """
        if importlib.util.find_spec(self.name) is None:
            raise MissingError(f"there is no {self.name}", where=sys.prefix, fix=self.fix)
        return Path(sys.executable)


def _in_wheel(package: str, pattern: str) -> Path | None:
    """Find a file of an installed package without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return next(Path(spec.submodule_search_locations[0]).glob(pattern), None)


def _make_executable(path: Path) -> None:
    """Restore the right to execute, which some installers lose when they unpack a wheel."""
    if not path.stat().st_mode & 0o100:
        path.chmod(0o755)
