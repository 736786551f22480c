"""A disk that is full: what a server on it refuses and keeps, who can make room, and that no disk is left behind."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import DiskFull as Refused

from harness.clock import SystemClock, is_met_within
from harness.errors import FaultError, StackError
from harness.faults.action import Site
from harness.faults.disk_room import free_bytes, is_filled
from harness.faults.healing import heal
from harness.faults.injection import action_for, injected, unavailable
from harness.faults.ledger import read_ledger
from harness.spec.faults import DiskFull
from harness.stack.backends import disk
from harness.stack.backends.choice import EMBEDDED, standing
from harness.stack.backends.process import spawn
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


def test_a_server_that_ends_for_want_of_a_log_is_started_again_with_all_that_it_acknowledged(stack, ledger, things):
    """What it had reserved is used up: it cannot even recover before there is room."""
    postgres = stack.services["postgres"]
    with injected(FULL, into=stack, ledger=ledger, clock=CLOCK):
        things.execute("UPDATE things SET name = 'acknowledged'")
        with pytest.raises(psycopg.OperationalError):
            for _ in range(3):  # each asks for another segment, and the first one for which there is no room is its end
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


# of local processes ---------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path):
    """A disk of one megabyte on a folder that has a file, which is not seen on it."""
    if reason := disk.why_no_disk():
        pytest.skip(reason)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "beneath").touch()
    with workspace_for(tmp_path) as workspace:
        keeper = disk.KeptDisk("postgres", folder, 1_000_000, user=None, workspace=workspace)
        yield keeper, keeper.wait(CLOCK), workspace
        keeper.kill()


def asked(workspace, program, disk=None):
    """Return what a program says that is started as a server is."""
    log = workspace.logs / "asked.log"
    log.unlink(missing_ok=True)
    child = spawn([sys.executable, "-c", program], workspace=workspace, log=log, disk=disk)
    child.wait(20)
    return log.read_text().strip()


def test_a_disk_is_seen_by_what_joins_it_and_by_nothing_else(kept):
    """The machine has no such mount, so that none can stay; what joins is where it was started."""
    keeper, found, workspace = kept
    look = f"import os; print(os.getcwd(), sorted(os.listdir({found.folder!r})))"

    assert asked(workspace, f"open({found.folder + '/written'!r}, 'w').close(); {look}", keeper.pid).endswith(
        "['written']"
    )
    assert asked(workspace, look, keeper.pid) == f"{workspace.work} ['written']"
    assert asked(workspace, look) == f"{workspace.work} ['beneath']"
    assert found.folder not in Path("/proc/self/mountinfo").read_text()


def test_a_disk_is_no_larger_than_it_says(kept):
    """To the block."""
    _, found, _ = kept

    assert 1_000_000 <= free_bytes({**found.keeper, "folder": found.folder}) < 1_000_000 + 4096


def test_a_disk_is_gone_with_what_keeps_it_and_nothing_can_join_it(kept):
    """To fill it, or to start a server on it, says so; to make room on it is done."""
    keeper, found, workspace = kept
    keeper.kill()
    facts = {**found.keeper, "folder": found.folder, "file": "x"}

    with pytest.raises(FaultError, match="the disk is gone"):
        free_bytes(facts)
    assert not is_filled(facts)
    assert "cannot join the disk of process" in asked(workspace, "print(1)", keeper.pid)


def test_a_disk_of_another_process_of_that_number_is_left_alone(kept):
    """Numbers are given again; it is told by when it was started."""
    _, found, _ = kept
    facts = {**found.keeper, "folder": found.folder, "file": "beneath"}

    with pytest.raises(FaultError, match="the disk is gone"):
        free_bytes({**facts, "started_s": float(found.keeper["started_s"]) - 0.1})


def test_where_no_disk_can_be_had_it_is_said_before_anything_starts(monkeypatch, tmp_path):
    """By the last words of what would keep it."""
    refuses = tmp_path / "keeper.py"
    refuses.write_text("import sys; sys.exit('no disk can be mounted for one process alone: Operation not permitted')")
    monkeypatch.setattr(disk, "_KEEPER", str(refuses))
    disk.why_no_disk.cache_clear()
    try:
        reason = unavailable(FULL, EMBEDDED)
        with workspace_for(tmp_path) as workspace:
            keeper = disk.KeptDisk("postgres", tmp_path, 1, user=None, workspace=workspace)
            with pytest.raises(StackError, match="no small disk can be had: no disk can be mounted for one process"):
                keeper.wait(CLOCK)
            keeper.kill()
    finally:
        disk.why_no_disk.cache_clear()

    assert reason == "no disk can be mounted for one process alone: Operation not permitted"


AS_NOBODY = """
import ctypes, os, pathlib, sys, time
folder, *scripts = sys.argv[1:]
keeper, launcher = [{"__name__": "read"} for _ in scripts]
for script, names in zip(scripts, (keeper, launcher)):
    exec(pathlib.Path(script).read_text(), names)
if os.getuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: as one that was never root
pid = os.fork()
if pid == 0:
    keeper["main"]([folder, "1000000", str(os.getuid()), str(os.getgid()), "keep"])
while os.waitpid(pid, os.WNOHANG) == (0, 0):
    if folder in pathlib.Path(f"/proc/{pid}/mountinfo").read_text():
        seen_through = f"/proc/{pid}/root{folder}"
        pathlib.Path(seen_through, "written").touch()
        launcher["_join"](str(pid))
        print(os.getuid() != 0, os.listdir(folder))
        os.kill(pid, 9)
        break
    time.sleep(0.01)
"""
"""Keeps a disk and joins it as a user who is not root, by the functions that the two scripts are made of."""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such namespaces")
def test_a_user_who_may_not_mount_has_a_disk_in_a_namespace_of_its_own():
    """What keeps it, what fills it and what joins it are that user."""
    scripts = [str(Path(disk.__file__).with_name(name)) for name in ("disk_keeper.py", "launcher.py")]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, folder, *scripts], capture_output=True, text=True, check=False, timeout=30
        )
    if "no disk can be mounted" in done.stderr:
        pytest.skip(f"this machine gives other users no namespace: {done.stderr.strip()}")

    assert done.stdout.strip() == "True ['written']", done.stderr
