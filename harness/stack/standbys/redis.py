"""A Redis that follows another one, and can take its place.

Redis acknowledges a write before its replica has it, so that a crash may lose some; one that is asked to end waits for
its replicas first (`shutdown-timeout`, 10 s; Redis 8.2, redis.conf).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import redis

from harness.stack.components.redis import PORT, PROBE, client_of, options_of
from harness.stack.ports import reserve
from harness.stack.replication import Replication
from harness.stack.service import ANYWHERE, Address

if TYPE_CHECKING:
    from harness.spec.standby import Replicates
    from harness.stack.recipe import ContainerRecipe, Recipe
    from harness.stack.service import Workspace

AT_ONCE = ("--repl-diskless-sync-delay", "0")
"""Else a primary waits 5 s for further replicas before the first one gets its copy (measured)."""


def local_primary(recipe: Recipe, standby: str, replicates: Replicates) -> Recipe:
    """Let its replica come at once."""
    del standby, replicates
    return replace(recipe, argv=[*recipe.argv, *AT_ONCE])


def local_standby(name: str, primary: Recipe, door: Address, workspace: Workspace) -> Recipe:
    """Describe a replica as a local process."""
    address = reserve()
    program, folder = str(primary.argv[0]), ("--dir", str(workspace.work))
    return replace(
        primary, name=name, argv=[program, *options_of(address), *folder, *_following(name, door)], address=address,
        probe=STANDBY_PROBE,
    )  # fmt: skip


def contained_primary(recipe: ContainerRecipe, standby: str, replicates: Replicates) -> ContainerRecipe:
    """Let its replica come at once."""
    del standby, replicates
    return replace(recipe, command=[*(recipe.command or ()), *AT_ONCE])


def contained_standby(name: str, primary: ContainerRecipe, door: Address) -> ContainerRecipe:
    """Describe a replica as a container; its network is the run's own."""
    words = [*options_of(Address(ANYWHERE, PORT)), "--protected-mode", "no", *_following(name, door)]
    return replace(
        primary, name=name, published={PORT: reserve()}, command=["redis-server", *words], probe=STANDBY_PROBE
    )


def _following(name: str, door: Address) -> list[str]:
    """Return what makes it a replica, whose copy never touches a file that its primary would read."""
    copied = ("--repl-diskless-load", "on-empty-db", "--dbfilename", f"{name}.rdb")
    return ["--replicaof", door.host, str(door.port), *AT_ONCE, *copied]


def position(address: Address) -> int:
    """Return its replication offset: what a primary has written, and what a replica has received."""
    try:
        with client_of(address) as client:
            said = client.info("replication")
    except redis.RedisError as error:
        raise ConnectionError(str(error)) from error
    return int(said["master_repl_offset"] if said["role"] == "master" else said["slave_repl_offset"])


def promote(address: Address) -> None:
    """Make it a primary, which it is at once."""
    try:
        with client_of(address) as client:
            client.replicaof("NO", "ONE")
    except redis.RedisError as error:
        raise ConnectionError(str(error)) from error


def is_answering(address: Address) -> bool:
    """Tell whether it follows its primary, or is one by now."""
    try:
        with client_of(address) as client:
            said = client.info("replication")
    except redis.RedisError:
        return False
    return bool(said["role"] == "master" or said["master_link_status"] == "up")


STANDBY_PROBE = replace(PROBE, is_answering=is_answering)

REPLICATION = Replication(
    modes=("asynchronous",),
    local_primary=local_primary,
    local_standby=local_standby,
    contained_primary=contained_primary,
    contained_standby=contained_standby,
    position=position,
    promote=promote,
)
