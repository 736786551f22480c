"""memcached: a cache in memory, which loses everything when it ends."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from harness.stack.component import Component, Traces
from harness.stack.health_probe import HealthProbe
from harness.stack.image import Image, Pin
from harness.stack.ports import reserve
from harness.stack.program import Program
from harness.stack.recipe import ContainerRecipe, Recipe
from harness.stack.service import ANYWHERE, Address

if TYPE_CHECKING:
    from pathlib import Path

    from harness.stack.service import Workspace

PORT = 11211
"""Where it listens in a container."""

VERSION = b"version\r\n"
"""Answered with a line such as `VERSION 1.6.38`. Source: memcached 1.6, doc/protocol.txt."""


def local(name: str, program: Path, workspace: Workspace) -> Recipe:  # noqa: ARG001 - it needs no folder
    """Describe a server as a local process."""
    address = reserve()
    user = ["-u", "root"] if os.geteuid() == 0 else []  # it refuses to run as root unless it is told to
    return Recipe(name=name, argv=[str(program), *_options(address), *user], address=address, probe=PROBE)


def contained(name: str, image: str) -> ContainerRecipe:
    """Describe a server as a container."""
    command = ["memcached", *_options(Address(ANYWHERE, PORT))]
    return ContainerRecipe(name=name, image=image, port=PORT, published={PORT: reserve()}, command=command, probe=PROBE)


def _options(address: Address) -> list[str]:
    return ["-l", address.host, "-p", str(address.port), "-U", "0", "-m", "64"]


def is_answering(address: Address) -> bool:
    """Tell whether it says its version."""
    return _said(address).startswith("VERSION ")


def version(address: Address) -> str:
    """Return `memcached 1.6.38`.

    Raises:
        OSError: If it does not answer.
    """
    return _said(address).replace("VERSION", "memcached").strip()


def _said(address: Address) -> str:
    """Return the line that it answers with."""
    with socket.create_connection((address.host, address.port), timeout=1.0) as connection:
        connection.sendall(VERSION)
        return connection.makefile("r", encoding="ascii").readline()


def long_question(length_bytes: int) -> bytes:
    """Return so many questions for its version that their answers are as long, and a farewell."""
    shortest = len(b"VERSION 1\r\n")
    return VERSION * (length_bytes // shortest + 1) + b"quit\r\n"


PROBE = HealthProbe(is_answering=is_answering, question=VERSION, long_question=long_question, version=version)

COMPONENT = Component(
    kind="memcached",
    program=Program(name="memcached", fix="put {name} on PATH: apt-get install memcached, or brew install memcached"),
    local=local,
    image=Image(official=Pin("memcached", "1.6.38")),  # no wheel has it, so that it can only be pulled
    port=PORT,
    probe=PROBE,
    contained=contained,
    gives={"address": "{host}:{port}"},
    traces=Traces(
        packages=("pymemcache", "pylibmc", "aiomcache", "memcached", "memjs", "github.com/bradfitz/gomemcache"),
        images=("memcached",),
        variables={
            r"MEMCACHED?_(ADDR(ESS)?|SERVERS?|URL)": "{address}",
            r"MEMCACHED?_HOST": "{host}",
            r"MEMCACHED?_PORT": "{port}",
        },
    ),
)
