"""A PostgreSQL that follows another one's log, and can take its place.

Its cluster is a copy of the primary's (`pg_basebackup`), and a replication slot keeps what it has not got yet.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from harness.stack.components.postgres import PORT, PROBE, USER, connection_to, options_of
from harness.stack.ports import reserve
from harness.stack.recipe import Preparation
from harness.stack.replication import Replication
from harness.stack.service import ANYWHERE, Address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.spec.standby import Replicates
    from harness.stack.recipe import ContainerRecipe, Recipe
    from harness.stack.service import Workspace

_COPIED_WITHIN_S = 30.0
"""A hundred times what a copy of an empty cluster takes on two idle cores (0.27 s)."""

_PROMOTED_WITHIN_S = 5
"""In whole seconds, as `pg_promote` takes them; it takes 0.1 s (measured)."""

_HBA_PLACE = "/etc/readiness/pg_hba.conf"
_HBA = "local all all trust\nhost all all all trust\nhost replication all all trust\n"
"""In a container the standby comes from elsewhere, and `all` names every database but that of replication."""

_DATA = "/tmp/standby"  # noqa: S108 - its own
"""Where a container makes its copy: beside what its image made, which it does not touch."""


def local_primary(recipe: Recipe, standby: str, replicates: Replicates) -> Recipe:
    """Have it wait for its standby, if so."""
    return replace(recipe, argv=[*recipe.argv, *_waiting(standby, replicates)])


def local_standby(name: str, primary: Recipe, door: Address, workspace: Workspace) -> Recipe:
    """Describe the standby as a local process; its cluster is copied from the primary itself, before it starts."""
    address, data = reserve(), workspace.work / name
    data.mkdir(mode=0o700)
    if primary.user:
        shutil.chown(data, primary.user)
    programs = Path(primary.argv[0]).parent
    options = ("-D", str(data), *options_of(address), "-c", "unix_socket_directories=", *_following(name, door))
    copying = [str(programs / "pg_basebackup"), *_copying(primary.address, name, str(data))]
    return replace(
        primary,
        name=name,
        argv=[str(programs / "postgres"), *options],
        address=address,
        probe=STANDBY_PROBE,
        data=data,
        disk=None,  # a disk is its primary's own
        preparation=Preparation(name="pg_basebackup", argv=copying, within_s=_COPIED_WITHIN_S),
    )


def contained_primary(recipe: ContainerRecipe, standby: str, replicates: Replicates) -> ContainerRecipe:
    """Let its standby in, and have it wait for that, if so."""
    words = ["-c", f"hba_file={_HBA_PLACE}", *_waiting(standby, replicates)]
    return replace(recipe, command=[*(recipe.command or ()), *words], files={**recipe.files, _HBA_PLACE: _HBA})


def contained_standby(name: str, primary: ContainerRecipe, door: Address) -> ContainerRecipe:
    """Describe the standby as a container, which makes its copy when it starts for the first time.

    Its shell becomes the server, so that signals reach that. Both images call their unprivileged user so.
    """
    copy = " ".join(["pg_basebackup", *_copying(Address(primary.name, PORT), name, _DATA)])
    words = ("-c", f"hba_file={_HBA_PLACE}", *options_of(Address(ANYWHERE, PORT)), *_following(name, door))
    script = f'test -s {_DATA}/PG_VERSION || {copy} || exit 1; exec postgres -D {_DATA} "$@"'
    return replace(
        primary,
        name=name,
        published={PORT: reserve()},
        command=["sh", "-c", script, "sh", *words],
        files={_HBA_PLACE: _HBA},
        user="postgres",
        data=None,
        disk_bytes=None,
        probe=STANDBY_PROBE,
    )


def _waiting(standby: str, replicates: Replicates) -> Sequence[str]:
    """Name whom a commit waits for; a standby is known by what its session is called. The dash needs the quotes."""
    return ("-c", f'synchronous_standby_names="{standby}"') if replicates == "synchronous" else ()


def _following(name: str, door: Address) -> Sequence[str]:
    """Return what it is told of its primary, whatever the copy says."""
    conninfo = f"host={door.host} port={door.port} user={USER} application_name={name}"
    return ("-c", f"primary_conninfo={conninfo}", "-c", f"primary_slot_name={_slot(name)}")


def _copying(primary: Address, name: str, data: str) -> Sequence[str]:
    """Return how a copy is made that follows: `--write-recovery-conf` has it do so, and a slot keeps its log for it.

    A spread checkpoint would take as long as half of `checkpoint_timeout`, which is five minutes.
    """
    there = ("--host", primary.host, "--port", str(primary.port), "--username", USER, "--no-password")
    slot = ("--create-slot", "--slot", _slot(name), "--write-recovery-conf")
    return (*there, "--pgdata", data, *slot, "--checkpoint", "fast", "--no-sync")


def _slot(name: str) -> str:
    """Return its slot's name, which may have no dash."""
    return name.replace("-", "_")


def position(address: Address) -> int:
    """Return its place in the log: what a primary has written, and what a standby has received and flushed."""
    (at,) = _asked(
        address,
        "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END"
        " - '0/0'::pg_lsn",
    )
    return int(str(at))  # a numeric of PostgreSQL


def promote(address: Address) -> None:
    """Make it a primary, and wait until it takes writes."""
    (is_done,) = _asked(
        address, f"SELECT CASE WHEN pg_is_in_recovery() THEN pg_promote(true, {_PROMOTED_WITHIN_S}) ELSE true END"
    )
    if not is_done:
        raise TimeoutError(f"it was not promoted within {_PROMOTED_WITHIN_S} s")


def is_answering(address: Address) -> bool:
    """Tell whether it follows its primary, or is one by now."""
    try:
        (is_so,) = _asked(
            address,
            "SELECT NOT pg_is_in_recovery() OR EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')",
        )
    except OSError:
        return False
    return bool(is_so)


def _asked(address: Address, question: str) -> tuple[object, ...]:
    try:
        with connection_to(address, autocommit=True) as connection:
            answer = connection.execute(question).fetchone()
    except psycopg.Error as error:
        raise ConnectionError(str(error)) from error
    return tuple(answer or ())


STANDBY_PROBE = replace(PROBE, is_answering=is_answering)

REPLICATION = Replication(
    modes=("asynchronous", "synchronous"),
    local_primary=local_primary,
    local_standby=local_standby,
    contained_primary=contained_primary,
    contained_standby=contained_standby,
    position=position,
    promote=promote,
)
