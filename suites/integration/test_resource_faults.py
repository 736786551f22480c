"""Faults of a resource, on real processes and a real kernel: what is refused, and that nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from harness.clock import SystemClock, is_met_within
from harness.errors import FaultError, StackError
from harness.faults.action import Site
from harness.faults.healing import heal
from harness.faults.injection import action_for, injected
from harness.faults.ledger import Ledger, read_ledger
from harness.faults.process_limits import DESCRIPTORS, MEMORY, soft_limit
from harness.faults.resource.cpu import Computed, CpuAction, seen_of
from harness.faults.undo import is_left
from harness.spec.faults import Cpu, Descriptors, Memory
from harness.stack.machine import Machine, second_between
from harness.stack.stack import Stack

CLOCK = SystemClock()
WORKER = """
import json, os, resource, sys
held = []
for line in sys.stdin:
    asked, number = json.loads(line)
    try:
        if asked == "open":
            for _ in range(number):
                held.append(open(os.devnull))
            answer = number
        elif asked == "close":
            held.pop(number).close()
            answer = True
        elif asked == "take":
            held.append(bytearray(number))
            answer = True
        elif asked == "limit":
            resource.setrlimit(resource.RLIMIT_NOFILE, (number, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            answer = True
        elif asked == "bear":
            ends, lives = os.pipe()
            answer = os.fork()
            if not answer:
                os.close(lives)
                os.read(ends, 1)
                os._exit(0)
            os.close(ends)
    except (OSError, MemoryError) as error:
        answer = type(error).__name__
    print(json.dumps(answer), flush=True)
"""
"""Opens, takes and bears what it is told to, and says what it was refused; a child lives as long as it does."""

MB = 1_000_000

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux changes a limit of a process that runs")


class Obeying:
    """A process that does what it is told, as the only service of a stack."""

    name, ready_within_s, direct = "replica-1", 5.0, "127.0.0.1:1"

    def __init__(self):
        self.start()

    def start(self):
        self._child = subprocess.Popen(
            [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ask("open", 0)

    def ask(self, asked, number=0):
        self._child.stdin.write(json.dumps([asked, number]) + "\n")
        self._child.stdin.flush()
        return json.loads(self._child.stdout.readline())

    @property
    def pid(self):
        return self._child.pid

    def identity(self):
        if self._child.poll() is not None:
            raise StackError("it does not run", where="here", fix="start it")
        return {"pid": self.pid, "started_s": psutil.Process(self.pid).create_time()}

    def is_alive(self):
        return self._child.poll() is None

    is_ready = is_alive

    def kill(self):
        self._child.kill()
        self._child.communicate()


@pytest.fixture
def worker():
    obeying = Obeying()
    yield obeying
    obeying.kill()


@contextmanager
def limited(fault, worker, ledger):
    """Yield a fault that is there."""
    stack = Stack(backend="embedded", services={"replica-1": worker}, edges=(), proxy=None, entry=None, startup=())
    with injected(fault, into=stack, ledger=ledger, clock=CLOCK) as injection:
        yield injection


def descriptors(leaving):
    return Descriptors(kind="descriptors", target="replica-1", leaving=leaving)


@pytest.mark.parametrize("leaving", [0, 3])
def test_so_many_descriptors_can_be_opened_as_are_left_and_those_that_are_closed(worker, ledger, leaving):
    """Gaps below the highest number count too; afterwards there are as many as before."""
    assert worker.ask("open", 6) == 6
    worker.ask("close", 1)
    former = soft_limit(worker.pid, DESCRIPTORS)

    with limited(descriptors(leaving), worker, ledger) as injection:
        dose = injection.observe()
        assert dose.is_delivered
        assert dose.seen.endswith(f"descriptors open and can open {leaving} more")
        assert worker.ask("open", leaving) == leaving
        assert worker.ask("open", 1) == "OSError"
        worker.ask("close", 0)
        assert worker.ask("open", 1) == 1
        assert injection.observe().seen.endswith("can open 0 more")

    assert worker.ask("open", 20) == 20
    assert soft_limit(worker.pid, DESCRIPTORS) == former


def limits_of(worker):
    """Return what the kernel says of each limit of a process, the soft one first."""
    lines = Path(f"/proc/{worker.pid}/limits").read_text().splitlines()[1:]
    return {line[:25].strip(): line[25:46].strip() for line in lines}


def test_memory_is_refused_beyond_the_room_and_granted_again_afterwards(worker, ledger):
    """A quarter of the room is, twice of it is not."""
    with limited(Memory(kind="memory", target="replica-1", room="16MB"), worker, ledger) as injection:
        assert worker.ask("take", 4 * MB) is True
        assert worker.ask("take", 32 * MB) == "MemoryError"
        assert "unlimited" not in limits_of(worker)["Max data size"]
        assert limits_of(worker)["Max address space"].startswith("unlimited")  # a thread reserves 64 MB of that
        dose = injection.observe()

    assert dose.is_delivered
    assert "MB that it may take" in dose.seen
    assert worker.ask("take", 32 * MB) is True
    assert soft_limit(worker.pid, MEMORY) == -1


def test_what_is_born_meanwhile_is_limited_as_well_and_undone_as_well(worker, ledger):
    """By the guardian, which has the ledger alone: a child has its parent's limit, and no entry."""
    former = soft_limit(worker.pid, DESCRIPTORS)
    with limited(descriptors(3), worker, ledger) as injection:
        child = worker.ask("bear")  # it holds one end of a pipe
        assert injection.observe().seen.endswith("can open 2 more, and 1 processes below it as little")
        (entry,) = read_ledger(ledger.path).left
        assert is_left(entry)

        assert heal(read_ledger(ledger.path)) == [f"healed {entry}"]

        assert not is_left(entry)
        assert {soft_limit(pid, DESCRIPTORS) for pid in (worker.pid, child)} == {former}
        assert heal(read_ledger(ledger.path)) == []
        assert not injection.observe().is_delivered


def test_each_process_of_a_service_keeps_what_it_has(worker, ledger):
    """Another one has opened more: it is limited to that, and gets back what it had itself."""
    child = worker.ask("bear")
    worker.ask("open", 9)
    former = soft_limit(worker.pid, DESCRIPTORS)

    with limited(descriptors(0), worker, ledger):
        limits = [soft_limit(pid, DESCRIPTORS) for pid in (worker.pid, child)]
        assert limits[0] == limits[1] + 9
        assert len(read_ledger(ledger.path).left) == 2

    assert [soft_limit(pid, DESCRIPTORS) for pid in (worker.pid, child)] == [former, former]


def test_a_limit_that_somebody_else_has_set_meanwhile_stays(worker, ledger):
    """And the dose is not there any more."""
    with limited(descriptors(0), worker, ledger) as injection:
        worker.ask("limit", 777)
        dose = injection.observe()

    assert (dose.is_delivered, dose.seen) == (False, "1 of 1 processes of replica-1 may have as much as before")
    assert soft_limit(worker.pid, DESCRIPTORS) == 777


def test_a_service_that_did_not_survive_is_started_again(worker, ledger):
    """It is no dose meanwhile: there is nothing that could lack anything."""
    with limited(descriptors(0), worker, ledger) as injection:
        worker.kill()
        dose = injection.observe()

    assert (dose.is_delivered, dose.seen) == (False, "replica-1 is not there: StackError")
    assert worker.ask("open", 20) == 20
    assert read_ledger(ledger.path).left == ()


def test_one_that_was_started_anew_has_its_descriptors_and_keeps_them(worker, ledger):
    """What is noted is of the process that is gone."""
    with limited(descriptors(0), worker, ledger) as injection:
        worker.kill()
        worker.start()
        assert not injection.observe().is_delivered
        former = soft_limit(worker.pid, DESCRIPTORS)

    assert soft_limit(worker.pid, DESCRIPTORS) == former


def test_a_limit_that_takes_nothing_away_is_an_error(worker, ledger):
    """It leaves more than there is."""
    with (
        pytest.raises(FaultError, match="may have no more than that already"),
        limited(descriptors(1_000_000), worker, ledger),
    ):
        pass  # fmt: skip

    assert read_ledger(ledger.path).left == ()


# cpu ------------------------------------------------------------------------------------------------------------------


EMPTY = Stack(backend="embedded", services={}, edges=(), proxy=None, entry=None, startup=())


@pytest.fixture
def strangers(ledger):
    """Two of them, and the action that has started them."""
    action = action_for(Cpu(kind="cpu", target="machine", strangers=2), Site("fault-1", EMPTY, CLOCK))
    action.begin(ledger)
    yield action
    action.end(ledger)


def processes(ledger):
    return [psutil.Process(entry.facts["pid"]) for entry in read_ledger(ledger.path).left]


@pytest.mark.alone
def test_strangers_of_a_fault_are_the_runs_own_and_give_no_alibi(ledger, strangers):
    """What they take is what was asked for: a service that breaks beside them broke a promise."""
    machine = Machine([], [], CLOCK.now)
    before = machine.read()
    dose = strangers.observe()
    seen = second_between(before, machine.read(), origin_s=0.0)

    assert dose.is_delivered, dose.seen
    had_cores = float(dose.seen.split(" had ")[1].split()[0])
    assert seen.own_s >= 0.8 * had_cores * seen.lasted_s
    assert had_cores >= 0.5


def test_each_is_in_a_session_of_its_own_and_carries_the_runs_mark(ledger, strangers):
    """A scheduler that shares by session gives each of them as much as the service."""
    found = processes(ledger)

    assert len({os.getsid(process.pid) for process in found} - {os.getsid(0)}) == 2
    assert {process.environ()["READINESS_RUN"] for process in found} == {ledger.run_id}


def test_the_guardian_ends_them(ledger, strangers):
    """By the ledger alone; afterwards nothing is seen of them."""
    ended = heal(read_ledger(ledger.path))

    assert len([line for line in ended if line.startswith("ended process")]) == 2
    assert strangers.observe().seen.startswith("0 of 2 strangers had 0.00 of")


def test_one_that_is_frozen_takes_nothing_and_is_noticed(ledger, strangers):
    """Two were asked for."""
    frozen, _ = processes(ledger)
    strangers.observe()
    frozen.send_signal(signal.SIGSTOP)
    try:
        assert is_met_within(lambda: frozen.status() == psutil.STATUS_STOPPED, deadline_s=20, clock=CLOCK)
        strangers.observe()
        dose = strangers.observe()
    finally:
        frozen.send_signal(signal.SIGCONT)

    assert not dose.is_delivered
    assert dose.seen.endswith("one was ready for 0% of it")


def test_a_stranger_that_cannot_be_noted_does_not_stay():
    """A run that died then would leave it to the kernel alone."""

    class Full(Ledger):
        def __init__(self):
            self.run_id, self.pids = "full", []

        def note_process(self, name, pid):  # noqa: ARG002 - nothing can be noted
            self.pids.append(pid)
            raise FaultError("cannot write the ledger", where="a test's ledger", fix="none")

    ledger = Full()
    action = CpuAction(Cpu(kind="cpu", target="machine", strangers=3), Site("fault-1", EMPTY, CLOCK))

    with pytest.raises(FaultError, match="cannot write"):
        action.begin(ledger)

    assert len(ledger.pids) == 1
    assert not psutil.pid_exists(ledger.pids[0])


def test_a_stranger_that_nobody_ends_ends_by_itself(ledger, monkeypatch):
    """Soon after the fault would have been over, however long the run goes on."""
    monkeypatch.setattr("harness.faults.resource.cpu._SPARE_S", 0.0)
    monkeypatch.setattr("harness.faults.resource.cpu._STARTED_S", 0.0)
    fault = Cpu.model_validate({"kind": "cpu", "target": "machine", "strangers": 1, "at": "5s", "for": "300ms"})
    action = CpuAction(fault, Site("fault-1", EMPTY, CLOCK))
    began_s = time.monotonic()

    action.begin(ledger)
    (stranger,) = processes(ledger)
    has_ended = is_met_within(lambda: stranger.status() == psutil.STATUS_ZOMBIE, deadline_s=20, clock=CLOCK)
    lasted_s = time.monotonic() - began_s
    action.end(ledger)

    assert has_ended
    assert lasted_s >= 0.3


GONE = None
FROM = [Computed(1.0, 2.0), Computed(5.0, 0.0)]


@pytest.mark.parametrize(
    ("after", "cores", "is_delivered", "seen"),
    [
        pytest.param([Computed(3, 2), Computed(7, 0)], 2, True, "2 of 2 strangers had 2.00 of 2 processors for 2.0 s", id="all"),
        pytest.param([Computed(1.5, 3.5), Computed(5.5, 1.5)], 2, True, "had 0.50 of 2 processors", id="a quarter, and ready"),
        pytest.param([Computed(1.4, 3.6), Computed(5.4, 1.6)], 2, False, "had 0.40 of 2 processors", id="less than a quarter"),
        pytest.param([Computed(1.3, 3.7), Computed(5.3, 1.7)], 1, True, "had 0.30 of 1 processors", id="of one there is"),
        pytest.param([Computed(1.5, 3.5), Computed(5.5, 1.5)], 8, True, "had 0.50 of 8 processors", id="two can have two"),
        pytest.param([Computed(2.81, 2.0), Computed(6.81, 0)], 2, True, "had 1.81", id="nine tenths of the time"),
        pytest.param([Computed(3, 2), Computed(6.7, 0)], 2, False, "one was ready for 85% of it", id="one paused a while"),
        pytest.param([Computed(3, 2), GONE], 2, False, "1 of 2 strangers had 1.00 of 2", id="one has ended"),
        pytest.param([GONE, GONE], 2, False, "0 of 2 strangers had 0.00 of 2", id="all have ended"),
    ],
)  # fmt: skip
def test_strangers_are_seen_that_are_ready_all_the_time_and_have_something(after, cores, is_delivered, seen):
    """One that sleeps is not ready, and one that has nothing hurts nobody."""
    observation = seen_of(FROM, after, lasted_s=2.0, cores=cores)

    assert observation.is_delivered is is_delivered
    assert seen in observation.seen


def test_strangers_are_looked_for_on_the_whole_machine(ledger):
    """What any client sends meets them."""
    edges = tuple(SimpleNamespace(name=name, server=name) for name in ("redis", "replica-1"))
    stack = Stack(backend="embedded", services={}, edges=edges, proxy=None, entry=None, startup=())

    assert stack.edges_into("machine") == edges
