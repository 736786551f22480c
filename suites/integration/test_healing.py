"""What a run that was killed has left is found in its ledger and undone, and nothing else is touched."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import psutil
import pytest

from harness.clock import SystemClock, is_met_within
from harness.errors import FaultError
from harness.faults.guardian import guarded
from harness.faults.healing import IN_TURN, check_clean, heal, marked_processes
from harness.faults.ledger import Kind, Ledger, close_ledger, read_ledger
from harness.stack.backends.process import RUN_MARK, is_gone
from harness.stack.proxy import Toxic
from suites.support.servers import PROJECT

CLOCK = SystemClock()
SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def sleeper():
    """A process that belongs to nobody's run."""
    child = subprocess.Popen(SLEEPER)
    yield child
    child.kill()
    child.wait()


def test_what_is_noted_and_not_struck_is_left(ledger):
    """Newest first: the order of undoing."""
    first = ledger.note("disabled", "a", edge="a")
    ledger.note("folder", "b", path="/nowhere")
    ledger.note("toxic", "c", edge="c", toxic="t")
    ledger.strike(first)

    page = read_ledger(ledger.path)

    assert [entry.name for entry in page.left] == ["c", "b"]
    assert page.is_running()


def test_a_closed_ledger_has_nothing_left(ledger):
    """A run that ended in order."""
    ledger.strike(ledger.note("folder", "b", path="/nowhere"))
    ledger.note_process("redis", os.getpid())
    ledger.close()

    assert read_ledger(ledger.path).is_closed
    assert read_ledger(ledger.path).left == ()


def test_half_a_last_line_is_no_entry(ledger):
    """What had not reached the disk had not been done."""
    ledger.note("folder", "whole", path="/nowhere")
    with ledger.path.open("a") as file:
        file.write('{"do": {"number": 2, "kind": "fol')

    page = read_ledger(ledger.path)

    assert [entry.name for entry in page.left] == ["whole"]
    close_ledger(page)
    assert read_ledger(ledger.path).is_closed


def test_a_ledger_without_a_whole_line_asks_for_nothing(tmp_path):
    """Its run was killed before it had noted anything, and so before it had done anything."""
    (tmp_path / "ledger.jsonl").write_text('{"pid": 1')

    page = read_ledger(tmp_path / "ledger.jsonl")

    assert (page.is_closed, page.is_running(), heal(page)) == (True, False, [])


def test_a_full_disk_is_told_with_what_to_do():
    """What cannot be noted is an error, so that it is not done."""
    with pytest.raises(FaultError, match=r"cannot write the ledger: No space left on device[\s\S]*make room"):
        Ledger(Path("/dev/full"), "full")


@contextmanager
def no_file_longer_than(length_bytes):
    """Refuse to make files longer than that, which is as near to a full disk as one comes without a disk of one's own."""
    usual, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length_bytes, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (usual, most))


def test_an_entry_that_found_no_room_spoils_nothing(ledger):
    """Half of it was written already: it is taken back, and what is noted before and after can be read."""
    ledger.note("folder", "before", path="/nowhere")
    with no_file_longer_than(ledger.path.stat().st_size + 10):
        with pytest.raises(FaultError, match="cannot write the ledger: File too large"):
            ledger.note("folder", "meanwhile", path="/nowhere")
    ledger.note("folder", "after", path="/nowhere")

    assert [entry.name for entry in read_ledger(ledger.path).left] == ["after", "before"]


@pytest.mark.parametrize(
    "line", ['{"do": {"number": 1, "kind": "shell", "name": "rm", "facts": {}}}', "[1]", "not json", '{"do": 5}']
)
def test_a_ledger_that_says_something_else_is_refused(ledger, line):
    """The vocabulary is closed."""
    with ledger.path.open("a") as file:
        file.write(line + "\n")

    with pytest.raises(FaultError, match="cannot read the ledger"):
        read_ledger(ledger.path)


def test_noted_processes_and_their_children_are_ended(ledger):
    """Also a child that hides the mark, as redis and nginx do."""
    script = f"import subprocess, sys, time; subprocess.Popen({SLEEPER!r}); print('up', flush=True); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    parent.stdout.readline()
    family = [psutil.Process(parent.pid), *psutil.Process(parent.pid).children()]
    ledger.note_process("parent", parent.pid)

    lines = heal(read_ledger(ledger.path))

    assert len(family) == 2
    assert all(map(is_gone, family))
    assert len(lines) == 2
    parent.wait()
    parent.stdout.close()


def test_marked_processes_are_ended_though_nobody_noted_them(ledger):
    """A child whose parent died between starting it and noting it."""
    child = subprocess.Popen(SLEEPER, env={**os.environ, RUN_MARK: ledger.run_id})
    assert is_met_within(lambda: bool(list(marked_processes(ledger.run_id))), deadline_s=5, clock=CLOCK)

    heal(read_ledger(ledger.path))

    assert child.wait(5) == -signal.SIGKILL


def test_a_process_id_that_was_given_to_somebody_else_is_left_alone(ledger, sleeper):
    """Same id, other start time."""
    ledger.note("process", "old", pid=sleeper.pid, started_s=psutil.Process(sleeper.pid).create_time() - 100)

    assert heal(read_ledger(ledger.path)) == []
    assert sleeper.poll() is None


def test_work_folders_are_removed_and_no_other(ledger, tmp_path):
    """Only `<temp>/readiness-…`: a ledger cannot ask for your home."""
    work = Path(tempfile.mkdtemp(prefix="readiness-"))
    (work / "data").mkdir()
    ledger.note("folder", "work", path=str(work))
    assert heal(read_ledger(ledger.path)) == [f"removed {work}"]
    assert not work.exists()

    ledger.note("folder", "home", path=str(tmp_path))
    with pytest.raises(FaultError, match="no work folder"):
        heal(read_ledger(ledger.path))
    assert tmp_path.exists()


def test_faults_on_a_living_proxy_are_healed(stack, ledger):
    """A proxy that outlives the run does not stay hurt."""
    api = {"api_host": stack.proxy.api.host, "api_port": stack.proxy.api.port}
    ledger.note("toxic", "x", edge="replica-1.redis", toxic="left", **api)
    stack.proxy.add(Toxic("replica-1.redis", "left", "latency", {"latency": 10}))
    ledger.note("disabled", "y", edge="replica-2.redis", **api)
    stack.proxy.disable("replica-2.redis")

    heal(read_ledger(ledger.path))

    assert stack.proxy.toxics("replica-1.redis") == []
    assert stack.proxy.is_enabled("replica-2.redis")


def test_every_kind_of_entry_is_healed_in_its_turn():
    """A kind that no turn names would be read, and then be left as it is."""
    assert sorted(kind for kinds in IN_TURN for kind in kinds) == sorted(get_args(Kind))


def test_what_is_frozen_is_thawed(stack, ledger):
    """By its main process or its container, with all below it; another run's is left alone."""
    redis = stack.services["redis"]
    ledger.note("paused", "redis", **redis.identity())
    redis.pause()

    assert heal(read_ledger(ledger.path)) == [f"healed {read_ledger(ledger.path).left[0]}"]

    assert is_met_within(redis.is_ready, deadline_s=5, clock=CLOCK)


def test_what_cannot_be_undone_keeps_nothing_else_from_being_undone(ledger, tmp_path):
    """The newest entry is refused; the one before it is undone all the same, and the refusal is told."""
    work = Path(tempfile.mkdtemp(prefix="readiness-"))
    ledger.note("folder", "work", path=str(work))
    ledger.note("folder", "home", path=str(tmp_path))

    with pytest.raises(FaultError, match="no work folder"):
        heal(read_ledger(ledger.path))

    assert not work.exists()


def test_healing_twice_is_harmless(ledger):
    """The guardian may have been first."""
    ledger.note("folder", "gone", path=str(Path(tempfile.gettempdir()) / "readiness-not-there"))
    ledger.note("toxic", "x", edge="e", toxic="t", api_host="127.0.0.1", api_port=1)

    assert heal(read_ledger(ledger.path)) == []


def test_what_is_still_open_is_left_to_the_guardian(ledger, tmp_path):
    """A run that could not undo all of it must not say that it did."""
    work = Path(tempfile.mkdtemp(prefix="readiness-"))
    with guarded(ledger.path):
        ledger.note("folder", "work", path=str(work))
        ledger.close()
        assert not read_ledger(ledger.path).is_closed

    assert not work.exists()
    assert read_ledger(ledger.path).is_closed, "and nobody heals against whoever comes next"


def test_a_run_id_is_taken_once(ledger):
    """Two runs in one ledger would hide each other's doings."""
    with pytest.raises(FaultError, match="a run called again has been here"):
        Ledger(ledger.path, "again")


def test_the_guardian_goes_quietly_when_all_is_well(ledger):
    """Nothing left, nothing done."""
    with guarded(ledger.path):
        ledger.close()

    assert ledger.path.with_name("guardian.log").read_text() == ""


KILLED = """
import os, signal, subprocess, sys, tempfile
from pathlib import Path
from harness.faults.guardian import guarded
from harness.faults.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), "killed")
with guarded(ledger.path):
    work = tempfile.mkdtemp(prefix="readiness-")
    ledger.note("folder", "work", path=work)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    ledger.note_process("child", child.pid)
    print(work, child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_guardian_undoes_what_a_killed_run_left(tmp_path):
    """Within ten seconds of a SIGKILL: no process, no folder."""
    path = tmp_path / "ledger.jsonl"
    said = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    work, pid = said.stdout.split()

    assert said.returncode == -signal.SIGKILL
    assert is_met_within(lambda: not Path(work).exists(), deadline_s=10, clock=CLOCK)
    assert not psutil.pid_exists(int(pid)) or is_gone(psutil.Process(int(pid)))
    assert json.loads(path.read_text().splitlines()[0])["run"] == "killed"
    assert not read_ledger(path).is_running()


LIVES_ON = KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "signal.pause()")


def readiness_heal(out):
    """Run the command as people do."""
    command = [sys.executable, "-c", "from harness.cli import main; main()", "heal", "--out", str(out)]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60)


def test_the_command_undoes_what_even_the_guardian_did_not(tmp_path):
    """Run and guardian are killed: what they left is named and undone, whatever other ledgers there are."""
    for name, text in (("a-garbled", "not json\n"), ("b-empty", ""), ("c-killed", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ledger.jsonl").write_text(text)
    run = subprocess.Popen(
        [sys.executable, "-c", LIVES_ON, str(tmp_path / "c-killed/ledger.jsonl")], cwd=PROJECT, stdout=subprocess.PIPE
    )
    work, pid = run.stdout.readline().decode().split()
    child = psutil.Process(int(pid))
    (guardian,) = [each for each in child.parent().children() if "harness.faults.guardian" in each.cmdline()]
    guardian.kill()
    run.kill()
    run.wait()  # not communicate(): the child holds the pipe, too
    run.stdout.close()

    said = readiness_heal(tmp_path)

    ended, *rest = said.stdout.splitlines()
    assert ended.startswith(f"killed: ended process {pid} (")
    assert rest == [f"killed: removed {work}", "undone: 2"]
    assert is_gone(child)
    assert not Path(work).exists()
    assert said.returncode == 3
    assert "cannot read the ledger" in said.stderr
    assert "a-garbled" in said.stderr
    assert "b-empty" not in said.stderr

    (tmp_path / "a-garbled/ledger.jsonl").unlink()
    again = readiness_heal(tmp_path)
    assert (again.returncode, again.stdout) == (0, "nothing to undo\n")


def test_a_ledger_knows_whether_its_run_is_alive(tmp_path, ledger):
    """An id that now belongs to another process is not that run."""
    lines = ledger.path.read_text().replace('"started_s": ', '"started_s": 1')
    (tmp_path / "old.jsonl").write_text(lines)

    assert Ledger(tmp_path / "mine.jsonl", "mine").run_id == "mine"
    assert read_ledger(tmp_path / "mine.jsonl").is_running()
    assert not read_ledger(tmp_path / "old.jsonl").is_running()


def dead_ledger(folder, write):
    """Let a run note something, and die."""
    folder.mkdir(parents=True)
    ledger = Ledger(folder / "ledger.jsonl", folder.name)
    write(ledger)
    head, *rest = ledger.path.read_text().splitlines()
    gone = {**json.loads(head), "started_s": 1.0}  # its number is another process's by now
    ledger.path.write_text("\n".join([json.dumps(gone), *rest, ""]))


def test_what_a_dead_run_has_left_keeps_the_next_one_from_starting(tmp_path, sleeper, monkeypatch):
    """With the command that undoes it; once it is undone, nothing is in the way."""
    monkeypatch.setattr("harness.faults.healing.HEALED_WITHIN_S", 0.2)
    dead_ledger(tmp_path / "20260101-a", lambda ledger: ledger.note_process("redis", sleeper.pid))

    with pytest.raises(FaultError) as caught:
        check_clean(tmp_path, CLOCK)

    assert "the run 20260101-a died and left something: process redis" in caught.value.what
    assert caught.value.fix == f"undo it first: readiness heal --out {tmp_path}"
    sleeper.kill()
    sleeper.wait()
    check_clean(tmp_path, CLOCK)


def test_only_what_can_still_be_seen_of_a_dead_run_is_in_the_way(tmp_path):
    """A folder that is gone, a proxy that is gone, a process that ended; and a run that is alive keeps its own."""
    api = {"api_host": "127.0.0.1", "api_port": 9, "edge": "a.b"}

    def write(ledger):
        ledger.note("folder", "b", path=str(tmp_path / "nowhere"))
        ledger.note("toxic", "t", toxic="t", **api)
        ledger.note("disabled", "a.b", **api)
        ledger.note("process", "redis", pid=os.getpid(), started_s=1.0)
        ledger.note("paused", "redis", pid=os.getpid(), started_s=1.0)

    dead_ledger(tmp_path / "dead", write)
    (tmp_path / "alive").mkdir()
    Ledger(tmp_path / "alive/ledger.jsonl", "alive").note("folder", "b", path=str(tmp_path))

    check_clean(tmp_path, CLOCK)


def test_a_folder_of_a_dead_run_is_in_the_way(tmp_path, monkeypatch):
    """It may hold what a server that still runs writes."""
    monkeypatch.setattr("harness.faults.healing.HEALED_WITHIN_S", 0.2)
    dead_ledger(tmp_path / "dead", lambda ledger: ledger.note("folder", "work", path=str(tmp_path)))

    with pytest.raises(FaultError, match="folder work"):
        check_clean(tmp_path, CLOCK)
