"""MySQL, by MariaDB: a fresh data folder, one user without a password."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

from harness.stack.component import Component, Traces
from harness.stack.health_probe import HealthProbe
from harness.stack.image import Image, Pin
from harness.stack.ports import reserve
from harness.stack.program import Program
from harness.stack.recipe import ContainerRecipe, Preparation, Recipe
from harness.stack.service import ANYWHERE, Address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.stack.service import Workspace

PORT = 3306
"""Where it listens in a container."""

USER = "root"
DATABASE = "app"

HOME = "/var/lib/mysql"
"""Where its data is in the image."""

INSTALLED_WITHIN_S = 60.0
"""Fifty times what it takes on two cores (measured 2026-11: 1.1 s, and 114 MB on the disk)."""

READY_WITHIN_S = 60.0
"""In a container it starts twice: the image makes the data folder with a server of its own first."""

FIX = "put {name} on PATH: apt-get install mariadb-server-core mariadb-client-core, or brew install mariadb"
INSTALLER = Program(name="mariadb-install-db", fix=FIX)

_ANSWERS_WITHIN_S = 1.0

# CLIENT_LONG_PASSWORD, CLIENT_PROTOCOL_41, CLIENT_SECURE_CONNECTION, CLIENT_PLUGIN_AUTH.
_CAPABILITIES = 0x00000001 | 0x00000200 | 0x00008000 | 0x00080000
_PACKET_BYTES_MAX, _CHARSET = 1 << 24, 45  # utf8mb4_general_ci
_QUIT, _QUERY, _PING = b"\x01", b"\x03", b"\x0e"
_OK = 0x00


def local(name: str, program: Path, workspace: Workspace) -> Recipe:
    """Describe a server as a local process; `mariadb-install-db` makes its data folder first."""
    data, address = workspace.work / name, reserve()
    data.mkdir(mode=0o700)
    start = workspace.work / f"{name}.sql"
    start.write_text(f"CREATE DATABASE IF NOT EXISTS {DATABASE};\n")
    user = ["--user=root"] if os.geteuid() == 0 else []  # it refuses to run as root unless it is told to
    options = [
        f"--datadir={data}",
        "--socket=",  # none: a path in TMPDIR may be longer than a socket's can be
        f"--pid-file={data / 'own.pid'}",
        f"--init-file={start}",
        *options_of(address),
    ]
    return Recipe(
        name=name,
        argv=[str(program), "--no-defaults", *options, *user],
        address=address,
        probe=PROBE,
        preparation=Preparation(
            name="mariadb-install-db",
            argv=[
                str(INSTALLER.find()),
                "--no-defaults",
                f"--datadir={data}",
                "--auth-root-authentication-method=normal",  # any process of this machine is root there
                "--skip-test-db",
                *user,
            ],
            within_s=INSTALLED_WITHIN_S,
        ),
        data=data,
    )


def contained(name: str, image: str) -> ContainerRecipe:
    """Describe a server as a container: the official image makes its data folder at start."""
    return ContainerRecipe(
        name=name,
        image=image,
        port=PORT,
        published={PORT: reserve()},
        command=["mariadbd", *options_of(Address(ANYWHERE, PORT))],
        environment={  # its network is the run's own
            "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD": "1",
            "MARIADB_ROOT_HOST": "%",
            "MARIADB_DATABASE": DATABASE,
        },
        memory_mib=512,
        data=HOME,
        probe=PROBE,
        ready_within_s=READY_WITHIN_S,
    )


def options_of(address: Address) -> list[str]:
    """Return what every server of this kind is told."""
    return [
        f"--bind-address={address.host}",
        f"--port={address.port}",
        "--skip-name-resolve",  # also keeps it from shutting out a client whose connections a fault cuts
        "--innodb-buffer-pool-size=32M",
        "--innodb-log-file-size=16M",
        "--max-connections=100",
    ]


def is_answering(address: Address) -> bool:
    """Tell whether it lets its user in, and answers a ping."""
    greeting, *answers = packets(_said(address))
    return bool(greeting) and [answer[:1] for answer in answers] == [bytes([_OK])] * 2


def version(address: Address) -> str:
    """Return `MariaDB 10.11.19`.

    Source: MySQL's protocol, HandshakeV10: a byte 10, then the version, ended by a zero. MariaDB begins it with 5.5.5-,
    for clients that take a version 10 for an early one.

    Raises:
        OSError: If it does not answer.
    """
    for greeting in packets(_said(address)):
        number, word, *_ = [
            *greeting[1:].partition(b"\0")[0].decode("ascii", "replace").removeprefix("5.5.5-").split("-"),
            "",
        ]
        return f"{word or 'MySQL'} {number}"
    raise ConnectionError(f"{address} ended without a greeting")


def _said(address: Address) -> bytes:
    """Return all that it says to a login and a ping."""
    with socket.create_connection((address.host, address.port), timeout=_ANSWERS_WITHIN_S) as connection:
        connection.sendall(QUESTION)
        return connection.makefile("rb").read()


def packets(said: bytes) -> Iterator[bytes]:
    """Yield what is in each packet that is whole."""
    at = 0
    while at + 4 <= len(said):
        length = int.from_bytes(said[at : at + 3], "little")
        if at + 4 + length > len(said):
            return
        yield said[at + 4 : at + 4 + length]
        at += 4 + length


def _packet(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body


def session(*commands: bytes) -> bytes:
    """Return a whole session: a login, commands, and a farewell.

    The greeting need not be read first: without a password nothing of it is answered. So what comes is the greeting,
    an OK for the login, and the answers. Source: MySQL's protocol, HandshakeResponse41 and the text protocol.
    """
    head = struct.pack("<IIB23x", _CAPABILITIES, _PACKET_BYTES_MAX, _CHARSET)
    login = head + USER.encode() + b"\0" + b"\0" + b"mysql_native_password\0"
    return _packet(1, login) + b"".join(_packet(0, command) for command in (*commands, _QUIT))


def long_question(length_bytes: int) -> bytes:
    """Return a session with a query that is answered with so many bytes."""
    return session(_QUERY + f"SELECT REPEAT('x', {length_bytes})".encode())


QUESTION = session(_PING)

PROBE = HealthProbe(
    is_answering=is_answering, question=QUESTION, long_question=long_question, version=version, greets=True
)

COMPONENT = Component(
    kind="mysql",
    program=Program(name="mariadbd", folders=("/usr/sbin", "/usr/local/sbin"), fix=FIX),
    local=local,
    image=Image(official=Pin("mariadb", "10.11.19")),  # no wheel has it, so that it can only be pulled
    port=PORT,
    probe=PROBE,
    contained=contained,
    gives={"user": USER, "database": DATABASE, "url": f"mysql://{USER}@{{host}}:{{port}}/{DATABASE}"},
    traces=Traces(
        packages=(
            "mysqlclient",
            "pymysql",
            "aiomysql",
            "asyncmy",
            "mysql-connector-python",
            "mariadb",
            "mysql",
            "mysql2",
            "github.com/go-sql-driver/mysql",
        ),
        images=("mysql", "mariadb", "percona"),
        variables={
            r"(SQLALCHEMY_)?(DATABASE|DB|MYSQL|MARIADB)_(URL|URI|DSN)": "{url}",
            r"(MYSQL|MARIADB)_?HOST(NAME)?": "{host}",
            r"(MYSQL|MARIADB)_?PORT": "{port}",
            r"(MYSQL|MARIADB)_?USER(NAME)?": "{user}",
            r"(MYSQL|MARIADB)_?(DATABASE|NAME|DB|DBNAME)": "{database}",
            r"(MYSQL|MARIADB)_?PASS(WORD)?": "",
        },
        scheme="mysql",
    ),
)
