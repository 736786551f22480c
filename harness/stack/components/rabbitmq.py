"""RabbitMQ: a node of its own, which no other node knows; with it no daemon of Erlang's is started.

A node that has a name starts `epmd`, which is to tell others where it listens, and which outlives it. This one listens
for no others (`-dist_listen false`), and what would be asked of epmd is said to it (`-erl_epmd_port`). Once a minute
RabbitMQ starts an Erlang of its own, so that epmd is there; that one inherits the same (`ERL_AFLAGS`), and starts none.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from harness.stack.component import Component, Traces
from harness.stack.health_probe import HealthProbe
from harness.stack.image import Image, Pin
from harness.stack.ports import reserve
from harness.stack.program import Program
from harness.stack.recipe import ContainerRecipe, Recipe
from harness.stack.service import ANYWHERE, Address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.stack.service import Workspace

PORT = 5672
"""Where it listens in a container."""

USER = PASSWORD = "guest"  # noqa: S105 - of a server that is alone with its test
"""Its own first user, which it lets in from loopback only unless it is told otherwise."""

HOME = "/var/lib/rabbitmq"
"""Where its data is in the image."""

READY_WITHIN_S = 90.0
"""Ten times what it takes on two cores that have nothing else to do (measured 2026-11: 6 s of a core, each start)."""

_ANSWERS_WITHIN_S = 2.0
_NO_OTHERS_PORT = 25672
"""What is said in epmd's place to whoever asks for the node; nothing listens there."""

HEADER = b"AMQP\x00\x00\x09\x01"
"""What a client says first, answered with Connection.Start. Source: AMQP 0-9-1, 4.2.2 Protocol Header."""

_CHANNELS_MAX, _FRAME_BYTES_MAX = 2047, 128 << 10
"""What RabbitMQ offers by itself; it takes no more for an answer, and 0 is more."""

_METHOD, _FRAME_END = 1, 0xCE
_CONNECTION = 10
_OPEN_OK, _CLOSE_OK = (_CONNECTION, 41), (_CONNECTION, 51)


def local(name: str, program: Path, workspace: Workspace) -> Recipe:
    """Describe a node as a local process, with all that it keeps in a folder of its own."""
    home, address = workspace.work / name, reserve()
    home.mkdir(mode=0o700)
    config, plugins = home / "rabbitmq.conf", home / "plugins"
    config.write_text(configuration(address))
    plugins.write_text("[].\n")
    node = f"{name}@localhost"
    return Recipe(
        name=name,
        argv=[str(program)],
        address=address,
        probe=PROBE,
        environment={
            "HOME": str(home),  # its cookie is made there
            "RABBITMQ_NODENAME": node,
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "none"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_PLUGINS_EXPAND_DIR": str(home / "expanded"),
            "RABBITMQ_DIST_PORT": str(_NO_OTHERS_PORT),  # its own port and 20000 more may be none
            "RABBITMQ_ALLOW_INPUT": "true",  # its script becomes Erlang then, where it would wait for it as a child
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-noinput -sname {node}",
            "ERL_AFLAGS": f"-dist_listen false -start_epmd false -erl_epmd_port {_NO_OTHERS_PORT}",
        },
        ready_within_s=READY_WITHIN_S,
    )


def contained(name: str, image: str) -> ContainerRecipe:
    """Describe a node as a container."""
    return ContainerRecipe(
        name=name,
        image=image,
        port=PORT,
        published={PORT: reserve()},
        command=["rabbitmq-server"],
        files={"/etc/rabbitmq/conf.d/50-readiness.conf": configuration(Address(ANYWHERE, PORT))},
        memory_mib=512,
        data=HOME,
        probe=PROBE,
        ready_within_s=READY_WITHIN_S,
    )


def configuration(address: Address) -> str:
    """Return what every node of this kind is told, as rabbitmq.conf has it."""
    return f"""\
listeners.tcp.1 = {address.host}:{address.port}
loopback_users = none
log.console = true
log.console.level = error
log.file = false
"""


def is_answering(address: Address) -> bool:
    """Tell whether it lets its user in and opens its virtual host, which it does not while it starts."""
    return _OPEN_OK in methods(_said(address))


def version(address: Address) -> str:
    """Return `RabbitMQ 3.10.8`, off the properties that it begins with.

    Raises:
        OSError: If it does not answer.
    """
    said = _said(address)
    return f"{_property(said, b'product')} {_property(said, b'version')}"


def _property(said: bytes, name: bytes) -> str:
    """Return a property of the server: its name, `S` for a long string, and its length in four bytes."""
    _, key, after = said.partition(bytes([len(name)]) + name + b"S")
    if not key or len(after) < 4:
        raise ConnectionError("it does not say what it is")
    (length,) = struct.unpack_from(">I", after)
    return after[4 : 4 + length].decode("ascii", "replace")


def _said(address: Address) -> bytes:
    """Return all that it says in a session, whose end it leaves to the client: it never ends one but by a reset."""
    said = b""
    with socket.create_connection((address.host, address.port), timeout=_ANSWERS_WITHIN_S) as connection:
        connection.sendall(SESSION)
        while _CLOSE_OK not in methods(said) and (piece := connection.recv(1 << 12)):
            said += piece
    return said


def methods(said: bytes) -> Iterator[tuple[int, int]]:
    """Yield the class and the method of each frame that is whole and is one of a method."""
    at = 0
    while at + 8 <= len(said):
        kind, _, length = struct.unpack_from(">BHI", said, at)
        if at + 8 + length > len(said) or said[at + 7 + length] != _FRAME_END:
            return
        if kind == _METHOD:
            yield struct.unpack_from(">HH", said, at + 7)
        at += 8 + length


def _session() -> bytes:
    """Return a whole session: its user is let in, and says goodbye. None of it needs what is answered before.

    Source: AMQP 0-9-1, 1.4 Connection: Start-Ok (an empty table, PLAIN, its response, a locale), Tune-Ok (what
    RabbitMQ offers by itself, and no heartbeats), Open, Close (all is well, no text, and no method to blame).
    """
    response = f"\0{USER}\0{PASSWORD}".encode()
    start_ok = struct.pack(">I", 0) + _short("PLAIN") + struct.pack(">I", len(response)) + response + _short("en_US")
    return HEADER + b"".join(
        _frame(method, arguments)
        for method, arguments in (
            (11, start_ok),
            (31, struct.pack(">HIH", _CHANNELS_MAX, _FRAME_BYTES_MAX, 0)),
            (40, _short("/") + _short("") + b"\0"),
            (50, struct.pack(">HBHH", 200, 0, 0, 0)),
        )
    )


def _frame(method: int, arguments: bytes) -> bytes:
    """Return a frame of channel 0 with a method of the connection."""
    body = struct.pack(">HH", _CONNECTION, method) + arguments
    return struct.pack(">BHI", _METHOD, 0, len(body)) + body + bytes([_FRAME_END])


def _short(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


SESSION = _session()

PROBE = HealthProbe(is_answering=is_answering, question=HEADER, long_question=None, version=version)

COMPONENT = Component(
    kind="rabbitmq",
    program=Program(
        name="rabbitmq-server",
        folders=("/usr/lib/rabbitmq/bin", "/usr/sbin"),  # Debian's on PATH wants to be root, or its own user
        fix="put {name} on PATH: apt-get install rabbitmq-server, or brew install rabbitmq",
    ),
    local=local,
    image=Image(official=Pin("rabbitmq", "3.13.7")),  # no wheel has it, so that it can only be pulled
    port=PORT,
    probe=PROBE,
    contained=contained,
    gives={"user": USER, "password": PASSWORD, "url": f"amqp://{USER}:{PASSWORD}@{{host}}:{{port}}/%2F"},
    traces=Traces(
        packages=(
            "pika",
            "aio-pika",
            "amqp",
            "kombu",
            "amqplib",
            "amqp-connection-manager",
            "github.com/rabbitmq/amqp091-go",
        ),
        images=("rabbitmq", "rabbitmq-management"),
        variables={
            r"(\w+_)?(RABBITMQ|RABBIT|AMQP|CLOUDAMQP)(_\w+)?_(URL|URI|DSN)": "{url}",
            r"(CELERY_)?BROKER_URL": "{url}",
            r"(RABBITMQ|RABBIT|AMQP)_?HOST(NAME)?": "{host}",
            r"(RABBITMQ|RABBIT|AMQP)_?PORT": "{port}",
            r"(RABBITMQ|RABBIT|AMQP)_?(DEFAULT_)?USER(NAME)?": "{user}",
            r"(RABBITMQ|RABBIT|AMQP)_?(DEFAULT_)?PASS(WORD)?": "{password}",
        },
        scheme="amqp",
    ),
)
