"""What a ledger may ask for beyond this machine's own leftovers: only what the project's readiness.toml says.

A ledger lies in a folder of evidence, and such folders are handed around: unpacked from an archive, fetched from a CI,
kept where others may write. By itself one can ask for nothing but the end of what a run of ours left on this machine.
To run a command, or to speak to a fault proxy elsewhere, is more than that, so it is done only if

- readiness.toml of the project in which we heal says that very command, or names that machine; and
- for a command, the ledger is the caller's own file, in a folder of its own, that nobody else could have written.

A guardian is told what that is by the run which it watches over, before anything is hurt.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import FaultError, MissingError
from harness.faults.undo import order_of
from harness.spec.address import ON_THIS_MACHINE
from harness.spec.external import HALVES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.faults.ledger import Entry
    from harness.spec.system import System
    from harness.stack.elsewhere import Order

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Permission:
    """What may be done elsewhere.

    Attributes:
        commands: Those that undo, each the folder in which it runs, its program and its arguments.
        hosts: Machines whose fault proxies may be told to heal.
    """

    commands: frozenset[tuple[str, ...]] = frozenset()
    hosts: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """Return it as `permission_in` reads it."""
        return json.dumps({"commands": sorted(self.commands), "hosts": sorted(self.hosts)})


NOTHING = Permission()


def permission_in(text: str) -> Permission:
    """Return the permission that a text says, which another process of ours has written."""
    said = json.loads(text)
    return Permission(frozenset(map(tuple, said["commands"])), frozenset(said["hosts"]))


def permitted_by(system: System, project: Path) -> Permission:
    """Return what readiness.toml of a project permits.

    Args:
        system: As that file describes it.
        project: The folder that holds it.
    """
    return Permission(frozenset(_undoing(system, project)), frozenset(system.allowed_hosts))


def _undoing(system: System, project: Path) -> Iterator[tuple[str, ...]]:
    from harness.stack.backends.elsewhere import orders_of  # noqa: PLC0415 - no guardian needs its client

    for name, described in system.subject.processes.items():
        with suppress(MissingError):  # what is not there cannot be run either
            orders = dict(orders_of(name, described, project))
            yield from (_told(order) for key, order in orders.items() if key in HALVES.values())


def _told(order: Order) -> tuple[str, ...]:
    """Return a command with where it runs: the same words mean something else elsewhere."""
    return (order.folder, *order.argv)


def check_permitted(entry: Entry, ledger: Path, permission: Permission) -> None:
    """See that what an entry asks for may be done.

    Args:
        entry: What is to be undone.
        ledger: The file that says so.
        permission: What may be done elsewhere.

    Raises:
        FaultError: If it may not; it says why, and what can be done by hand.
    """
    if entry.kind == "command":
        _check_command(entry, ledger, permission)
    elif entry.kind in ("toxic", "disabled"):
        host = str(entry.facts.get("api_host", ""))
        if host not in ON_THIS_MACHINE and host.lower() not in permission.hosts:
            what = (
                f"the ledger asks to heal a fault proxy on another machine, {host}, which readiness.toml does not name"
            )
            fix = f'where it is yours, heal where readiness.toml says allowed_hosts = ["{host}"]'
            raise FaultError(what, where=str(ledger), fix=fix)


def _check_command(entry: Entry, ledger: Path, permission: Permission) -> None:
    order = order_of(entry)
    by_hand = f"if it is yours, run it yourself: {order}; then delete that ledger"
    if _told(order) not in permission.commands:
        what = f"the ledger asks for a command that readiness.toml does not say here, and it was not run: {order}"
        raise FaultError(what, where=str(ledger), fix=by_hand)
    if why := why_not_ours(ledger):
        raise FaultError(f"the ledger asks for a command, and {why}", where=str(ledger), fix=by_hand)


def why_not_ours(ledger: Path) -> str:
    """Say why somebody else could have written a ledger; nothing if only this user could."""
    for path in (ledger, ledger.parent):
        said = path.lstat()
        if stat.S_ISLNK(said.st_mode):
            return f"{path} is a link"
        if said.st_uid != os.geteuid():
            return f"{path} belongs to another user"
        if said.st_mode & _OTHERS_MAY_WRITE:
            return f"others may write to {path} ({stat.filemode(said.st_mode)})"
    return f"{ledger} has another name elsewhere" if ledger.lstat().st_nlink > 1 else ""


def check_is_ours(ledger: Path) -> None:
    """See, before anything is hurt by commands, that a ledger can be healed by which they are undone.

    Raises:
        FaultError: If it could not.
    """
    if why := why_not_ours(ledger):
        fix = f"chmod go-w {ledger.parent} {ledger}, or choose a folder of your own: --out FOLDER"
        raise FaultError(
            f"commands are undone by no ledger that others can write, and {why}", where=str(ledger), fix=fix
        )
