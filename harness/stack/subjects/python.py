"""The Python that serves an application, and that `python` means in commands: the one that runs us, or the service's.

A service's packages may clash with ours. So we may stand in an environment of our own, and the service in its: then its
Python is asked which server it has, and nothing of it is imported here.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import MissingError
from harness.stack.subjects.command import found

if TYPE_CHECKING:
    from harness.spec.system import Subject

_KEY = "readiness.toml: system.subject.python"
_ASKED = "import importlib.metadata as m, platform, sys; print(m.version(sys.argv[1]), platform.python_version())"
_ANSWERS_WITHIN_S = 20.0


def python_of(subject: Subject, project: Path) -> str:
    """Return the path of the Python that a service is served by.

    Raises:
        MissingError: If it is not there.
    """
    if subject.python is None:
        return sys.executable
    path = str(project / subject.python)  # never resolved: by its name in its environment it knows that
    return found(path, project, where=_KEY, beside=Path(path).parent)


def served_by(package: str, python: str) -> str:
    """Return `uvicorn 0.54.0, Python 3.13.1`: what serves, and what runs that.

    Raises:
        MissingError: If that Python has no such package.
    """
    if python == sys.executable:
        return f"{_ours(package)}, Python {sys.version.split()[0]}"
    return _theirs(package, python)


def _ours(package: str) -> str:
    try:
        return f"{package} {version_of(package)}"
    except PackageNotFoundError as error:
        fix = "pip install 'readiness-harness[embedded]', beside the service's own packages"
        raise MissingError(f"there is no {package} to serve with", where=sys.prefix, fix=fix) from error


@cache
def _theirs(package: str, python: str) -> str:
    try:
        told = subprocess.run(
            [python, "-I", "-c", _ASKED, package],
            capture_output=True,
            text=True,
            check=False,
            timeout=_ANSWERS_WITHIN_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingError(f"{python} does not run as a Python: {error}", where=_KEY, fix="check its path") from error
    if told.returncode:
        fix = f"{python} -m pip install {package}, or say how it is served by `command`"
        raise MissingError(f"there is no {package} to serve with in {python}", where=_KEY, fix=fix)
    version, python_version = told.stdout.split()
    return f"{package} {version}, Python {python_version}"
