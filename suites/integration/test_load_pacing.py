"""Requests start on time because of a timer of the kernel; to do without it is possible, and is not done in silence."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from suites.support.servers import PROJECT

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="timerfd is Linux's own"), pytest.mark.alone]

LATENESS = """
import json, statistics, time
from harness.load.generator import pacing

TICK_S = 0.0037  # no multiple of a millisecond, to which libev rounds

def late_s(sleep_until):
    moment_s = time.monotonic() + TICK_S
    sleep_until(moment_s)
    return time.monotonic() - moment_s

timer, plain = pacing.sleeper(), pacing._sleep_until
pairs = [(late_s(timer), late_s(plain)) for _ in range(150)]  # in turns, so that both meet the same machine
print(json.dumps([timer is not plain, *map(statistics.median, zip(*pairs))]))
"""

WITHOUT = """
import json, os, resource, time
from harness.load.generator import pacing

import gevent
gevent.sleep(0)  # what gevent itself opens is open by now
highest = os.dup(0)
resource.setrlimit(resource.RLIMIT_NOFILE, (highest, highest))
os.close(highest)
taken = []
try:
    while True:
        taken.append(os.dup(0))
except OSError:
    pass
sleep_until = pacing.sleeper()
for descriptor in taken:
    os.close(descriptor)
began_s = time.monotonic()
sleep_until(began_s + 0.05)
print(json.dumps([sleep_until is pacing._sleep_until, time.monotonic() - began_s]))
"""


def ran(code):
    """Run Python of the generator's kind, in a process of its own: gevent stays out of this one."""
    return subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)


def test_a_timer_of_the_kernel_wakes_the_generator():
    """It is there, and it is earlier than sleeping in the median, side by side."""
    is_timer, timer_s, plain_s = json.loads(ran(LATENESS).stdout)

    assert is_timer
    assert timer_s < plain_s


def test_without_it_the_generator_sleeps_and_says_so():
    """No descriptor is left for one: it waits as long as it should, and the log knows why it is late."""
    told = ran(WITHOUT)
    is_plain, waited_s = json.loads(told.stdout)

    assert is_plain
    assert waited_s >= 0.05
    assert "no timerfd: Too many open files" in told.stderr
