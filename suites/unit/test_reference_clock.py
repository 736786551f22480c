"""How long a process says that it has lived."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from fixtures.reference import clock
from suites.support.servers import PROJECT

SAYS = """
import time
running_s = time.monotonic()
from fixtures.reference.clock import lived_s
lived_s = lived_s()  # first: what passes before the clock is read makes it begin later, and not before it was started
print(running_s, time.monotonic() - lived_s)
"""


def test_a_process_began_when_it_was_started():
    """Not when it was asked, nor when it had imported what can say it; and never before."""
    started_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", SAYS], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60
    )
    running_s, began_s = map(float, done.stdout.split())

    assert started_s <= began_s <= running_s + 2 * clock.TICK_S


def test_a_system_that_cannot_say_it_is_given_the_shortest_life(monkeypatch, tmp_path):
    """Too short is safe."""
    monkeypatch.setattr(clock, "STAT", tmp_path / "none")

    assert clock.lived_s() == 0.0


@pytest.mark.parametrize("name", ["python", "a name (of all) kinds"])
def test_a_name_is_no_number(monkeypatch, tmp_path, name):
    """What stands between brackets is the program's own choice."""
    fields = ["S", *map(str, range(1, 19)), "200", "21"]
    stat = tmp_path / "stat"
    stat.write_text(f"12 ({name}) {' '.join(fields)}")
    monkeypatch.setattr(clock, "STAT", stat)

    began_s = time.clock_gettime(time.CLOCK_BOOTTIME) - clock.lived_s()
    assert 200 * clock.TICK_S <= began_s < 1.0 + 201 * clock.TICK_S
