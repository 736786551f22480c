"""A PostgreSQL as faults of data change it and set it right: known by the identifier of its cluster.

What is set survives a restart of its process, and is undone on that very cluster alone. It is spoken to as a replica
speaks: those have places of their own, so that one whose connections are exhausted can still be told to end some
(`max_wal_senders`; PostgreSQL 18, 19.6 Replication).
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.sql import SQL, Literal

from harness.clock import SystemClock, is_met_within
from harness.errors import FaultError
from harness.stack.components.postgres import PROBE, connection_to
from harness.stack.service import Address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

APPLICATION = "readiness-"
"""How the name of every session begins that a fault opens; no other session is ever ended."""

LONGEST_NAME = 63
"""Bytes that PostgreSQL keeps of a session's name (NAMEDATALEN less one)."""

DONE_WITHIN_S = 5.0
"""A setting reaches all sessions, and one that is ended is gone; both take milliseconds on a server that is well."""

_READ_ONLY = "default_transaction_read_only"
_ANSWERS_WITHIN_S = 1.0


def facts_of(address: Address) -> dict[str, Any]:
    """Return what another process needs to find the PostgreSQL that runs at `address`.

    Raises:
        FaultError: If it does not answer.
    """
    with changing(address) as server:
        return {"host": address.host, "port": address.port, "cluster": _cluster(server)}


@contextmanager
def changing(address: Address) -> Iterator[psycopg.Connection[Any]]:
    """Speak with the PostgreSQL at `address`, and turn every way to fail into one error.

    Raises:
        FaultError: If it does not do as it is told.
    """
    try:
        # A replica's connection speaks the simple protocol alone, so that nothing may be prepared.
        with connection_to(address, replication="database", autocommit=True, prepare_threshold=None) as server:
            yield server
    except psycopg.Error as error:
        fix = "see its log; it must run, and take commands of an administrator"
        raise FaultError(f"PostgreSQL does not do as it is told: {error}", where=str(address), fix=fix) from error


@contextmanager
def found_again(facts: Mapping[str, Any]) -> Iterator[psycopg.Connection[Any] | None]:
    """Speak with the very cluster that `facts` name; None if nothing is there, or another one.

    Raises:
        FaultError: If it is there and does not do as it is told.
    """
    address = Address(facts["host"], int(facts["port"]))
    if not _is_there(address):
        yield None
        return
    with changing(address) as server:
        yield server if _cluster(server) == facts["cluster"] else None


def read_only_facts(address: Address) -> dict[str, Any]:
    """Return what undoing `refuse_writes` needs: what was set before, if anything, and what held."""
    with changing(address) as server:
        was = server.execute(
            SQL(
                "SELECT setting FROM pg_file_settings WHERE name = {} AND sourcefile LIKE '%/postgresql.auto.conf'"
            ).format(Literal(_READ_ONLY))
        ).fetchone()
        return {**facts_of(address), "former": was and was[0], "held": _shown(server)}


def refuse_writes(address: Address) -> None:
    """Make every transaction read-only that does not say otherwise, also on connections that are open."""
    with changing(address) as server:
        server.execute(f"ALTER SYSTEM SET {_READ_ONLY} = on")
        _reload(server, address, until="on")


def restore_writes(facts: Mapping[str, Any]) -> bool:
    """Set what was set before `refuse_writes`, and return when it holds; tell whether the cluster is there."""
    with found_again(facts) as server:
        if server is None:
            return False
        if facts["former"] is None:
            server.execute(f"ALTER SYSTEM RESET {_READ_ONLY}")
        else:
            server.execute(SQL(f"ALTER SYSTEM SET {_READ_ONLY} = {{}}").format(Literal(facts["former"])))
        _reload(server, Address(facts["host"], int(facts["port"])), until=str(facts["held"]))
        return True


def holds(address: Address) -> str:
    """Return whether a new session is read-only: `on` or `off`.

    Raises:
        FaultError: If it does not answer, in which case nobody knows.
    """
    with changing(address) as server:
        return _shown(server)


def begin_segment(address: Address) -> None:
    """Begin a segment of its log, all of which is on the disk from then on: 16 MB that it can still write there.

    Where a log stood in its segment is chance, and a server that needs another one and has no room for it ends.
    Source: PostgreSQL 18, 28.4 WAL Configuration, and 27.6 Monitoring Disk Usage, "Disk Full Failure".
    """
    with changing(address) as server:
        server.execute("SELECT pg_switch_wal()")
        # Without a first record, which is written out at its commit, the segment would not be there yet.
        server.execute("SELECT pg_logical_emit_message(true, 'readiness', '')")


def session_name(fault_id: str, run_id: str) -> str:
    """Return what a fault's sessions are called: the run is known by it, also where a long id is cut."""
    return f"{APPLICATION}{fault_id}-{run_id}"[:LONGEST_NAME]


def stranger(address: Address, name: str) -> psycopg.Connection[Any]:
    """Open a session that is none of the judged service's; whoever runs it dies with the session's connection.

    Raises:
        psycopg.Error: If the server grants none.
    """
    options = "-c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0"
    return connection_to(address, application_name=name, options=options)


def sessions(server: psycopg.Connection[Any], name: str) -> int:
    """Return how many sessions of that name there are."""
    found = server.execute(
        SQL("SELECT count(*) FROM pg_stat_activity WHERE application_name = {}").format(Literal(name))
    ).fetchone()
    return int(found[0]) if found else 0


def free_connections(server: psycopg.Connection[Any]) -> int:
    """Return how many connections more the server would grant an administrator, whose last ones are reserved."""
    found = server.execute(
        "SELECT current_setting('max_connections')::int - count(*) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend'"
    ).fetchone()
    return int(found[0]) if found else 0


def end_sessions(facts: Mapping[str, Any]) -> bool:
    """End every session of the name that `facts` give, and return when none is left; tell whether there was one.

    Raises:
        FaultError: If it is no name of ours, or one does not end.
    """
    name, where = str(facts["application"]), f"{facts['host']}:{facts['port']}"
    if not name.startswith(APPLICATION):
        fix = "look at that ledger"
        raise FaultError(f"the ledger asks to end sessions called {name!r}, which no run opens", where=where, fix=fix)
    with found_again(facts) as server:
        if server is None or not sessions(server, name):
            return False
        end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = {}"
        server.execute(SQL(end).format(Literal(name)))
        if not is_met_within(lambda: not sessions(server, name), deadline_s=DONE_WITHIN_S, clock=SystemClock()):
            raise FaultError(f"sessions called {name!r} would not end", where=where, fix="see the log of PostgreSQL")
        return True


def _reload(server: psycopg.Connection[Any], address: Address, *, until: str) -> None:
    """Have the configuration read, and wait until this session, which is an old one, and a new one have it.

    Raises:
        FaultError: If they never do.
    """
    server.execute("SELECT pg_reload_conf()")

    def is_read() -> bool:
        with suppress(FaultError), changing(address) as another:
            return _shown(server) == _shown(another) == until
        return False

    if not is_met_within(is_read, deadline_s=DONE_WITHIN_S, clock=SystemClock()):
        said = f"{_READ_ONLY} is not {until} {DONE_WITHIN_S:g} s after the configuration was read"
        fix = "see its log; a setting on its command line, of a role or of a database is stronger"
        raise FaultError(said, where=str(address), fix=fix)


def _shown(server: psycopg.Connection[Any]) -> str:
    found = server.execute(f"SHOW {_READ_ONLY}").fetchone()
    return str(found[0]) if found else ""


def _cluster(server: psycopg.Connection[Any]) -> str:
    found = server.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
    return str(found[0]) if found else ""


def _is_there(address: Address) -> bool:
    """Tell whether anything is there to be told: what refuses, or closes at once, as an engine does, is gone.

    Raises:
        FaultError: If it is there and silent.
    """
    try:
        PROBE.round_trip_s(address, _ANSWERS_WITHIN_S)
    except TimeoutError as error:
        fix = "let it go on, if it is frozen, and run `readiness heal`"
        raise FaultError("PostgreSQL is there, and does not answer", where=str(address), fix=fix) from error
    except OSError:
        return False
    return True
