"""The load generator: reads a plan on standard input, presses, and says a JSON line a second on standard output.

in   the plan; then {"begins_s": M}, a moment of CLOCK_MONOTONIC; then nothing: the end of input ends us
out  {"ready": true}; {"beat": …} each second; {"tally": …} at the end, without which nothing counts
"""

# ruff: noqa: I001 - locust patches sockets when imported, so it comes before whatever uses them
from __future__ import annotations

import locust

import ctypes
import json
import math
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gevent
from gevent.fileobject import FileObject
from locust.env import Environment

from harness.history.samples import SampleOutcome
from harness.load.arrivals import Course, course_of
from harness.load.child.pacing import sleeper
from harness.load.child.recorder import Recorder
from harness.load.child.request import Request
from harness.load.child.users import Desk, OpenUser
from harness.load.plan import LoadPlan, plan_from_json
from harness.load.recording import RawWriter

FLUSHED_EVERY_S = 1.0
_DRAIN_POLL_S = 0.01
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Generator:
    """One run."""

    def __init__(self, plan: LoadPlan, folder: Path) -> None:
        self.plan = plan
        self.course: Course = course_of(plan.load, lasts_s=plan.lasts_s, seed=plan.seed)
        self.desk = Desk()
        self.recorder = Recorder(RawWriter(folder))
        self.desk.recorder = self.recorder
        self.issued = 0

    def seat_users(self) -> None:
        """Spawn as many users as requests may be in flight; they wait for requests, which costs nothing."""
        user = type("ItemUser", (OpenUser,), {"host": self.plan.base_url, "desk": self.desk})
        runner = Environment(user_classes=[user], catch_exceptions=True).create_local_runner()
        seats = min(self.plan.load.max_in_flight, max(1, len(self.course)))
        runner.start(seats, spawn_rate=seats)
        while runner.user_count < seats:
            gevent.sleep(0.005)

    def press(self, begins_s: float) -> None:
        """Issue every request when its time comes, then drain, and account for what is left."""
        self.desk.origin_s = begins_s
        beats = gevent.spawn(self._beat)
        self._issue(begins_s)
        self._drain()
        beats.kill()
        self._write_down_the_rest()
        tally = self.recorder.tally(planned=len(self.course), issued=self.issued)
        if not tally.is_whole:
            raise RuntimeError(f"requests were lost: {tally}")
        say(tally=asdict(tally))

    def _issue(self, begins_s: float) -> None:
        sleep_until = sleeper()
        for intended_s, key, is_write in self.course:
            sleep_until(begins_s + intended_s)
            self.desk.waiting.put(Request(intended_s, key, is_write))
            self.issued += 1
        sleep_until(begins_s + self.plan.lasts_s)

    def _drain(self) -> None:
        """Wait for answers, but not for ever: a service that hangs must not look like one that was not asked."""
        until_s = self.desk.now_s() + self.plan.load.drain
        while (self.desk.taken or self.desk.waiting.qsize()) and self.desk.now_s() < until_s:
            gevent.sleep(_DRAIN_POLL_S)

    def _write_down_the_rest(self) -> None:
        """Write down what never ended and what was never sent; from here to the end nothing else may run."""
        ended_s = self.desk.now_s()
        for request in self.desk.taken.values():
            outcome = SampleOutcome.NOT_SENT if math.isnan(request.sent_s) else SampleOutcome.UNFINISHED
            self.recorder.record(request, outcome, ended_s=ended_s)
        while self.desk.waiting.qsize():
            self.recorder.record(self.desk.waiting.get_nowait(), SampleOutcome.NOT_SENT, ended_s=ended_s)

    def _beat(self) -> None:
        issued_before = 0
        sleep_until = sleeper()
        second = 0.0
        while True:
            second += FLUSHED_EVERY_S
            sleep_until(self.desk.origin_s + second)
            beat = self.recorder.beat(
                self.desk.now_s(),
                issued=self.issued - issued_before,
                in_flight=len(self.desk.taken),
                backlog=self.desk.waiting.qsize(),
            )
            issued_before = self.issued
            say(beat=asdict(beat))


def say(**line: Any) -> None:
    """Tell our parent."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main(folder: Path) -> None:
    """Press once, as our parent says, and leave without a backward glance: Locust's own stop may wait for users."""
    _die_with_parent()
    orders = FileObject(sys.stdin.buffer, "rb")
    generator = Generator(plan_from_json(orders.readline().decode()), folder)
    generator.seat_users()
    say(ready=True)
    begins = orders.readline()
    if begins:
        gevent.spawn(_end_with_parent, orders)
        generator.press(json.loads(begins)["begins_s"])
    os._exit(0)


def _die_with_parent() -> None:
    """Ask the kernel to kill us when our parent dies; the end of our input says the same, but not to a stopped us."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_with_parent(orders: FileObject) -> None:
    orders.read(1)
    os._exit(1)


if __name__ == "__main__":
    locust.log.setup_logging("WARNING")  # type: ignore[no-untyped-call]
    main(Path(sys.argv[1]))
