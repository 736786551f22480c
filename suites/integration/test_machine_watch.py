"""What the machine gives, read off a real kernel beside processes that are ours and processes that are not."""

from __future__ import annotations

import gc
import os
import shlex
import signal
import socket
import subprocess
import sys
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from harness.clock import SystemClock, is_met_within
from harness.errors import StackError
from harness.stack.machine import Machine, MachineWatch, second_between

CLOCK = SystemClock()
BUSY = "import time\nuntil = time.monotonic() + 20\nwhile time.monotonic() < until: pass"
"""Ends by itself, should nothing end it."""
PARENT = f"""
import os, sys
child = os.fork()
if not child:
    os.setsid()
    os.close(1)
    {BUSY.replace(chr(10), chr(10) + "    ")}
    os._exit(0)
print(child, flush=True)
sys.stdin.read()
"""
"""Has a busy child in a session of its own, and leaves it alone at the end of its input."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/schedstat").is_file(), reason="the kernel does not count it")


def judged(process):
    """Return a service, as far as a `Machine` asks."""
    return SimpleNamespace(name="replica-1", identity=lambda: {"pid": process.pid, "started_s": 0.0})


@contextmanager
def busy():
    child = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield child
    finally:
        child.kill()
        child.wait()


HOLDING = """
import socket, sys
connections = [socket.create_connection(("127.0.0.1", int(port))) for port in sys.argv[1:]]
files = [open("/dev/null") for _ in range(7)]
memory = b"1" * 2**25
print("holds", flush=True)
sys.stdin.readline()
for each in (*connections, *files): each.close()
del memory
print("let go", flush=True)
sys.stdin.readline()
"""
"""Holds connections to the ports that it is told, seven files and 32 MiB, until it reads a line."""


@contextmanager
def listening(count):
    """Yield as many sockets that listen, and let all that they took go at the end."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


@contextmanager
def left_alone(*, before):
    """Yield a busy process and what ends its parent, which is done `before` or by whoever is inside."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())

    def leave():
        parent.stdin.close()
        parent.wait()

    try:
        if before:
            leave()
        yield child, leave
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        leave()
        parent.stdout.close()


TICK_S = 1 / os.sysconf("SC_CLK_TCK")
"""What the kernel's counts of a process may each be behind."""


def used_s(pid):
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def seen_while(machine, pid, *, uses_s=0.4):
    """Return what the machine gave while a process used so much processor time."""
    before, began_s = machine.read(), used_s(pid)
    assert is_met_within(lambda: used_s(pid) - began_s >= uses_s, deadline_s=60, clock=CLOCK)
    return second_between(before, machine.read(), origin_s=before.at_s)


def test_a_process_of_another_is_a_stranger():
    """It is no child of ours, whoever started it."""
    with left_alone(before=True) as (stranger, _):
        seen = seen_while(Machine([], [], CLOCK.now), stranger)

    assert seen.strangers_s >= 0.3
    assert seen.at_s == seen.lasted_s


def test_a_process_that_was_ours_stays_ours_when_its_parent_ends():
    """A service whose main process is killed must not make a stranger of what it leaves."""
    machine = Machine([], [], CLOCK.now)
    with left_alone(before=False) as (child, leave):
        machine.read()
        leave()
        seen = seen_while(machine, child)

    assert seen.own_s >= 0.35


def test_the_judged_service_is_asked_how_long_it_ran_and_waited():
    """Two processes share a core: each waits about as long as it runs."""
    core = {min(os.sched_getaffinity(0))}
    with busy() as child, busy() as rival:
        for each in (child, rival):
            os.sched_setaffinity(each.pid, core)
        seen = seen_while(Machine([judged(child)], [judged(child)], CLOCK.now), child.pid)

    assert seen.judged_s == pytest.approx(0.4, abs=0.2)
    assert seen.waited_s >= 0.2
    assert seen.own_s >= 0.7


SHORT_LIVED = """
import os, sys, threading, time

def burn():
    until = time.thread_time() + 0.2
    while time.thread_time() < until: pass

print("ready", flush=True)
sys.stdin.readline()
thread = threading.Thread(target=burn)
thread.start()
thread.join()
child = os.fork()
if not child:
    burn()
    os._exit(0)
os.waitpid(child, 0)
print("done", flush=True)
sys.stdin.readline()
"""
"""Computes for 0.2 s in a thread and for 0.2 s in a child, both of which are gone by the next look."""


def test_what_a_service_spent_in_what_has_ended_since_is_known():
    """A service may have a thread, or a process, for each request: what they used is its own, and in no list any more."""
    command = [sys.executable, "-c", SHORT_LIVED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        machine = Machine([judged(child)], [judged(child)], CLOCK.now)
        before = machine.read()
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        seen = second_between(before, machine.read(), origin_s=0.0)
        child.communicate(b"\n")

    assert seen.spent_s == pytest.approx(0.42, abs=0.06)
    assert seen.judged_s < 0.2


def test_what_a_service_spent_is_not_known_of_the_second_in_which_it_was_started_anew():
    """What it had used until then is lost; afterwards it is counted from where the new one is."""
    with busy() as child, busy() as other:
        running = [child]
        service = SimpleNamespace(
            name="replica-1", identity=lambda: {"pid": running[-1].pid, "started_s": 0.0}, is_alive=lambda: True
        )
        machine = Machine([service], [service], CLOCK.now)
        before = machine.read()
        running.append(other)
        changed, used_before_s = machine.read(), used_s(other.pid)
        seen = seen_while(machine, other.pid)
        used = used_s(other.pid) - used_before_s

    assert second_between(before, changed, origin_s=0.0).spent_s is None
    assert 0.4 - 2 * TICK_S <= seen.spent_s <= used + 2 * TICK_S


def test_a_service_that_does_not_run_just_now_is_not_known():
    """As while it is down by a fault."""

    def identity():
        raise StackError("it does not run", where="here", fix="start it")

    gone = SimpleNamespace(name="replica-1", identity=identity)
    machine = Machine([gone], [gone], CLOCK.now)

    with busy() as child:
        seen = seen_while(machine, child.pid, uses_s=0.1)

    assert (seen.judged_s, seen.waited_s, seen.spent_s) == (None, None, None)


def test_what_a_replica_holds_is_counted():
    """With all its processes: files, memory, and connections through its own doors, also one that was closed over there."""
    with listening(3) as (redis, postgres, elsewhere):
        ports = [each.getsockname()[1] for each in (redis, redis, postgres, elsewhere)]
        command = " ".join([sys.executable, "-c", shlex.quote(HOLDING), *map(str, ports)])
        child = subprocess.Popen(["sh", "-c", f"{command}; true"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        doors = {"replica-1": {ports[0]: "redis", ports[2]: "postgres"}}
        machine = Machine([judged(child)], [judged(child)], CLOCK.now, doors=doors)
        try:
            child.stdout.readline()
            redis.accept()[0].close()
            (before,) = machine.read().held
            child.stdin.write(b"\n")
            child.stdin.flush()
            child.stdout.readline()
            (after,) = machine.read().held
        finally:
            child.communicate(b"\n")
        gone = machine.read().held

    assert (before.replica, before.connections) == ("replica-1", {"redis": 2, "postgres": 1})
    assert after.connections == {"redis": 0, "postgres": 0}
    assert before.descriptors - after.descriptors == 4 + 7
    assert before.resident_bytes - after.resident_bytes == pytest.approx(2**25, rel=0.1)
    assert gone == ()


def test_a_thread_that_ends_meanwhile_leaves_no_folder_open(tmp_path):
    """Where a file of /proc is gone as soon as it is looked for, as those of a replica are that is killed."""
    own = tmp_path / str(os.getpid())
    for folder in ("task/1", "task/2", "fd"):
        (own / folder).mkdir(parents=True)
    (tmp_path / "stat").write_text(Path("/proc/stat").read_text())
    (own / "stat").write_text(Path("/proc/self/stat").read_text())
    machine = Machine([judged(psutil.Process())], [judged(psutil.Process())], CLOCK.now, proc=tmp_path)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        seen = machine.read()
        gc.collect()

    assert (seen.threads, seen.held) == (None, ())
    assert not [str(each.message) for each in warned]


def test_the_second_has_what_was_held_at_its_end():
    """As it is written down."""
    with busy() as child:
        machine = Machine([judged(child)], [judged(child)], CLOCK.now)
        before = machine.read()
        after = machine.read()

    seen = second_between(before, after, origin_s=0.0).held

    assert seen == after.held
    assert [each.replica for each in seen] == ["replica-1"]
    assert seen[0].connections == {}


def test_a_system_without_counters_says_so_and_one_started_elsewhere(tmp_path):
    """As macOS; nothing is read, and nothing fails."""
    assert Machine([], [], CLOCK.now, proc=tmp_path).why_not() == "this system does not count it in /proc"
    assert Machine([], [], CLOCK.now).why_not() == "the service was started elsewhere"
    assert not Machine([judged(psutil.Process())], [], CLOCK.now).why_not()


def test_it_is_looked_at_on_whole_seconds_of_the_run():
    """Like the generator's heartbeats; a last look right after another shows nothing."""
    watch = MachineWatch(Machine([], [], CLOCK.now), origin_s=100.25)

    assert watch.due_in_s(103.5) == pytest.approx(0.75)
    assert watch.due_in_s(100.0) == pytest.approx(0.25)
    watch.look()
    assert watch.seconds == []
