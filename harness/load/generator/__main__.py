"""The load generator: reads a plan on standard input, presses, and says a JSON line a second on standard output.

in   the plan; then {"begins_s": M}, a moment of CLOCK_MONOTONIC; then perhaps {"take_over": …}, what another generator
     left behind, {"lasts_s": S}, which is earlier than the plan's, and {"compute_s": S}, what a part of the control
     computes for each request from now on; the end of input ends us
out  {"seated": n, "of": m} while users prepare; {"ready": true, "overhead_p95_s": …}; {"beat": …} each second;
     {"leaving": true} while a locustfile cleans up; {"tally": …} at the end, or nothing counts; at any time
     {"refused": …}, and no more
"""

# ruff: noqa: E402, I001 - locust patches sockets when imported, so it comes before whatever uses them
from __future__ import annotations

import gc

gc.disable()  # until all is imported, which stays: searching it for garbage takes as long as a third of importing it

import locust

import ctypes
import json
import os
import signal
import sys
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import gevent
from gevent.fileobject import FileObject

from harness.errors import LoadError
from harness.load.generator import resolver
from harness.load.generator.calibration import null_server, overhead_p95_s
from harness.load.generator.entering import entered
from harness.load.generator.generator import Generator
from harness.load.overhead import measured_until
from harness.load.plan import Assignment, LoadPlan, plan_from_json
from harness.load.shortage import raise_descriptor_limit

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def say(**line: Any) -> None:
    """Tell our parent, in one piece: nothing else writes there."""
    PARENT.write(json.dumps(line) + "\n")
    PARENT.flush()


def _parents_ear() -> TextIO:
    """Take standard output for ourselves; what a locustfile prints goes to the log, where everything else goes."""
    ear = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return ear


def main(folder: Path) -> None:
    """Press once, as our parent says, and leave without a backward glance: Locust's own stop may wait for users."""
    _die_with_parent()
    _go_first()
    raise_descriptor_limit()
    orders = FileObject(sys.stdin.buffer, "rb")
    plan = plan_from_json(orders.readline().decode())
    resolver.install(allow_remote=plan.allow_remote, allowed_hosts=plan.allowed_hosts)
    try:
        _press(plan, folder, orders)
    except LoadError as error:
        say(refused={"what": error.what, "where": error.where, "fix": error.fix})
        os._exit(1)


def _own_s(plan: LoadPlan, folder: Path, null_port: int) -> float:
    return measured_until(lambda: overhead_p95_s(plan, folder, null_port), plan.adds_below_s)


def _press(plan: LoadPlan, folder: Path, orders: FileObject) -> None:
    with (
        null_server() if plan.calibration_s else nullcontext() as null_port,
        null_server() if plan.calibration_s else nullcontext() as computing_port,
    ):
        own_s = _own_s(plan, folder, null_port) if null_port else None
        generator = Generator(
            plan, folder, entered(plan), on_beat=lambda beat: say(beat=beat.to_json()), on_seated=_say_seated
        )
        generator.seat_users()
        say(ready=True, overhead_p95_s=own_s)
        begins = orders.readline()
        if begins:
            gevent.spawn(_obey, orders, generator)
            tally = generator.press(
                json.loads(begins)["begins_s"],
                overhead_p95_s=own_s,
                control_port=null_port,
                computing_port=computing_port,
            )
            say(tally=asdict(generator.leave(tally, lambda: say(leaving=True))))
        os._exit(0)  # the server that does nothing sees the end of its input


def _say_seated(seated: int, of: int) -> None:
    """Tell that more users are ready, so that nobody takes a long queue before a login for a standstill."""
    say(seated=seated, of=of)


def _die_with_parent() -> None:
    """Ask the kernel to kill us when our parent dies; the end of our input says the same, but not to a stopped us."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _go_first() -> None:
    """Let a measuring instrument be on time on the machine that it shares with what it measures, where we may.

    Niceness would not do: where the kernel schedules each session as a group, it counts only within ours (sched(7)).
    Our children, such as the server that does nothing, are scheduled as all processes are: they are to feel what the
    service feels, or they could not tell that it was the machine.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # only root may
            os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def _obey(orders: FileObject, generator: Generator) -> None:
    """Let the load end when our parent says, and end with our parent."""
    while line := orders.readline():
        order = json.loads(line)
        if "take_over" in order:
            generator.take_over(Assignment.from_json(order["take_over"]))
        elif "compute_s" in order:
            generator.compute(order["compute_s"])
        else:
            generator.end_at(order["lasts_s"])
    os._exit(1)


gc.enable()
gc.freeze()
PARENT = _parents_ear()

if __name__ == "__main__":
    locust.log.setup_logging("WARNING")  # type: ignore[no-untyped-call]  # Locust is untyped
    main(Path(sys.argv[1]))
