"""A disk that is full: what a server on it refuses and keeps, and who can make room."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from psycopg.errors import DiskFull as Refused

from harness.clock import SystemClock, is_met_within
from harness.errors import FaultError
from harness.faults.action import Site
from harness.faults.data import disk_full
from harness.faults.data.doors import Answer
from harness.faults.disk_room import free_bytes, is_filled
from harness.faults.healing import heal
from harness.faults.injection import action_for, injected, unavailable
from harness.faults.ledger import read_ledger
from harness.spec.faults import DiskFull
from harness.stack.backends.choice import standing
from harness.stack.blueprint import Blueprint
from harness.stack.components.postgres import DATABASE, USER
from harness.testing import check_action
from suites.support.servers import workspace_for
from suites.support.stack import DUMMY

CLOCK = SystemClock()
FULL = DiskFull(kind="disk-full", target="postgres")
ROOM = "INSERT INTO things SELECT repeat('x', 1000) FROM generate_series(1, 500)"


@pytest.fixture(scope="module")
def stack(backend, tmp_path_factory):
    """One whose PostgreSQL has a small disk for itself."""
    if reason := unavailable(FULL, backend):
        pytest.skip(reason)
    system, logs = DUMMY.model_copy(update={"replicas": 1}), tmp_path_factory.mktemp("logs-disk")
    blueprint = Blueprint(system=system, seed=1, disks={"postgres": FULL.size})
    with (
        workspace_for(logs) as workspace,
        standing(backend, blueprint, workspace=workspace, clock=CLOCK) as running,
    ):
        yield running


def session(stack):
    at = stack.services["postgres"].direct
    return psycopg.connect(host=at.host, port=at.port, user=USER, dbname=DATABASE, autocommit=True)


@pytest.fixture
def things(stack):
    """A session, and a table with one row, which has room beside it for others of its size."""
    with session(stack) as connection:
        connection.execute("DROP TABLE IF EXISTS things")
        connection.execute("CREATE TABLE things AS SELECT 'kept' AS name")
        yield connection


def names(connection):
    return [name for (name,) in connection.execute("SELECT name FROM things ORDER BY name")]


@pytest.mark.parametrize("leaving", ["0B", "2MB"])
def test_a_full_disk_is_a_fault_like_every_other(stack, ledger, leaving):
    """Seen on the disk and by what the server says, noted before it is filled, and gone by its entry alone."""
    fault = FULL.model_copy(
        update={"leaving": DiskFull.model_validate({**FULL.model_dump(), "leaving": leaving}).leaving}
    )

    assert check_action(fault, stack, ledger, CLOCK) is None

    assert not read_ledger(ledger.path).left


def test_what_needs_room_is_refused_and_what_has_some_is_not(stack, ledger, things):
    """Reads go on, and what was acknowledged is there; afterwards there is room for all that was refused."""
    with injected(FULL, into=stack, ledger=ledger, clock=CLOCK) as injection:
        seen = injection.observe()
        with pytest.raises(Refused):
            things.execute(ROOM)
        things.execute("UPDATE things SET name = 'kept anew'")
        assert names(things) == ["kept anew"]
        assert injection.observe().is_delivered

    assert seen.seen == "postgres has 0B left on its disk, replica-1.postgres refuses a write (53100)"
    things.execute(ROOM)
    assert names(things)[0] == "kept anew"


def test_so_much_is_left_as_is_to_be_and_a_write_that_fits_is_taken(stack, ledger, things):
    """To the block, of which the disk has 4 KB."""
    fault = DiskFull(kind="disk-full", target="postgres", leaving="3MB")
    with injected(fault, into=stack, ledger=ledger, clock=CLOCK) as injection:
        (entry,) = [each for each in read_ledger(ledger.path).left if each.kind == "disk"]
        assert 3_000_000 <= free_bytes(entry.facts) < 3_000_000 + 4096
        things.execute(ROOM)
        seen = injection.observe()

    assert seen.is_delivered, seen.seen


def test_room_that_somebody_makes_is_noticed(stack, ledger):
    """The server takes writes again, and the dose is not there any more."""
    with injected(FULL, into=stack, ledger=ledger, clock=CLOCK) as injection:
        heal(read_ledger(ledger.path))
        seen = injection.observe()

    assert not seen.is_delivered
    assert "MB left on its disk" in seen.seen


def test_a_write_that_is_refused_for_another_reason_is_no_dose(stack, ledger, monkeypatch):
    """Nor is one that is taken, though nothing is left by the disk's own account."""
    said = [Answer((), "53300"), Answer((), None)]
    with injected(FULL, into=stack, ledger=ledger, clock=CLOCK) as injection:
        monkeypatch.setattr(disk_full, "ask_postgres", lambda *_: said.pop(0))
        refused, taken = injection.observe(), injection.observe()

    assert (refused.is_delivered, taken.is_delivered) == (False, False)
    assert refused.seen.endswith("replica-1.postgres refuses a write (53300)")
    assert taken.seen.endswith("replica-1.postgres takes a write")


def test_a_server_that_ends_for_want_of_a_log_is_started_again_with_all_that_it_acknowledged(stack, ledger, things):
    """What it had reserved is used up: it cannot even recover before there is room."""
    postgres = stack.services["postgres"]
    with injected(FULL, into=stack, ledger=ledger, clock=CLOCK):
        things.execute("UPDATE things SET name = 'acknowledged'")
        with pytest.raises(psycopg.OperationalError):
            for _ in range(20):  # each asks for another segment; a checkpoint may have left it some
                things.execute("SELECT pg_switch_wal(), pg_logical_emit_message(true, 'test', repeat('x', 8000))")
        assert is_met_within(lambda: not postgres.is_alive(), deadline_s=20, clock=CLOCK, every_s=0.1)

    assert postgres.is_ready()
    with session(stack) as again:
        assert names(again) == ["acknowledged"]


def test_a_server_that_is_killed_comes_back_to_its_disk_and_to_what_it_had(stack, ledger, things):
    """The disk goes with what keeps it, and not with the server; what a fault of another life filled is undone."""
    postgres = stack.services["postgres"]
    action = action_for(FULL, Site("fault-1", stack, CLOCK))
    action.begin(ledger)
    (entry,) = [each for each in read_ledger(ledger.path).left if each.kind == "disk"]
    postgres.restart()
    heal(read_ledger(ledger.path))
    action.end(ledger)

    assert not is_filled(entry.facts)
    with session(stack) as again:
        assert names(again) == ["kept"]


def test_a_component_without_a_disk_for_itself_is_no_target(stack):
    """Nothing of the machine's own disk is ever filled."""
    with pytest.raises(FaultError, match="nothing to hit: postgres has no disk for itself"):
        action_for(FULL, Site("fault-1", replace(stack, disks={}), CLOCK))
