"""The harness gets SIGKILL at seeded moments of a run with eight faults at once and a worker: ten seconds later nothing of it is left.

A moment is a line of the ledger and a delay after it, so that it is the same on a fast machine and on a slow one: while
the stack starts, while the load begins, between two entries of one fault, while both are there, and while they end.
Two of them by default; `nox -s kills` takes 25 (READINESS_KILLS).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from harness.clock import SystemClock, is_met_within
from harness.faults.healing import marked_processes
from harness.faults.ledger import Entry, read_ledger
from harness.faults.undo import WORK_PREFIX, family_of
from harness.stack.backends.process import is_gone
from suites.support.servers import PROJECT

CLOCK = SystemClock()
GONE_WITHIN_S = 10.0

LINES = 30
"""How many a whole run of this scenario writes; `test_a_run_that_is_left_alone…` counts them."""

LAST = LINES - 3
"""After the lines that follow it the run may have ended by itself before it is killed."""

RNG = random.Random(20261129)
DRAWN = [(RNG.randint(2, LAST), round(RNG.uniform(0.0, 0.8), 3)) for _ in range(25)]
ALL = "READINESS_KILLS" in os.environ
MOMENTS = DRAWN if ALL else [DRAWN[4], DRAWN[16]]  # while the stack starts, and while all eight faults are there

RUN = """
import os, signal, sys, threading, time
from pathlib import Path
from harness.clock import SystemClock
from harness.experiment import RunContext, run_experiment
from harness.faults.guardian import guarded
from harness.faults.ledger import Ledger
from harness.spec.scenario import Scenario
from harness.spec.system import Worker
from suites.support.made import plan_for
from suites.support.servers import PROJECT
from suites.support.stack import DUMMY

folder, line, delay_s = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])

def die():
    time.sleep(delay_s)
    os.kill(os.getpid(), signal.SIGKILL)

class Mortal(Ledger):
    lines = 0
    def _append(self, entry):
        super()._append(entry)
        self.lines += 1
        if self.lines == line:
            threading.Thread(target=die).start()

class Quiet:
    def message(self, text): pass
    def heartbeat(self, **_): pass

scenario = Scenario.model_validate({
    "scenario": "mortal", "story": "It is killed while faults of the network, of processes and of resources are there at once.",
    "load": {"arrivals_per_s": 50, "drain": "1s"},
    "phases": [
        {"name": "baseline", "lasts": "1s"},
        {"name": "fault", "lasts": "6s", "faults": [
            {"kind": "latency", "target": "redis", "delay": "100ms"},
            {"kind": "down", "target": "replica-1.postgres"},
            {"kind": "restart", "target": "replica-2"},
            {"kind": "reset", "target": "nginx.replica-1", "at": "1s"},
            {"kind": "pause", "target": "postgres", "at": "1s", "until": "5s"},
            {"kind": "descriptors", "target": "worker-1", "at": "1s"},
            {"kind": "cpu", "target": "machine", "strangers": 1, "at": "1s"},
            {"kind": "reload", "target": "nginx", "at": "1s"},
        ]},
        {"name": "recovery", "lasts": "1s"},
    ],
    "objectives": [{"sli": "errors", "max": "50%"}],
})
worker = Worker(command=[sys.executable, "-c", "import time; time.sleep(600)"])
system = DUMMY.model_copy(update={"subject": DUMMY.subject.model_copy(update={"workers": {"worker": worker}})})
ledger = Mortal(folder / "ledger.jsonl", folder.name)
with guarded(ledger.path):
    (folder / "mortal").mkdir()
    run_experiment(plan_for(scenario), RunContext(
        run_id=folder.name, system=system, project=PROJECT, backend="embedded", defect=None, ledger=ledger,
        clock=SystemClock(), listener=Quiet()), folder / "mortal")
    ledger.close()
"""


def run(folder, line, delay_s):
    """Run the scenario in a process of its own, which kills itself so long after that line of its ledger."""
    folder.mkdir()
    return subprocess.run(
        [sys.executable, "-c", RUN, str(folder), str(line), str(delay_s)],
        cwd=PROJECT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def left_of(run_id, ledger):
    """Return what is left of a run: processes that carry its mark or stand in its ledger, and its folders."""
    noted = [Entry(**line["do"]) for line in map(json.loads, ledger.read_text().splitlines()) if "do" in line]
    named = [process for entry in noted if entry.kind == "process" for process in family_of(entry)]
    alive = [process for process in {*named, *marked_processes(run_id)} if not is_gone(process)]
    folders = list(Path(tempfile.gettempdir()).glob(f"{WORK_PREFIX}{run_id}*"))
    return [*(f"{process.pid} {' '.join(process.cmdline()[:3])}" for process in alive), *map(str, folders)]


def guardians_of(ledger):
    """Return the guardians that watch over a ledger."""
    watching = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "harness.faults.guardian" in line and str(ledger) in line and not is_gone(process):
            watching.append(process.pid)
    return watching


@pytest.mark.skipif(not ALL, reason="asked by nox -s kills: a moment beyond the end fails its own test as well")
def test_a_run_that_is_left_alone_writes_as_many_lines_as_the_moments_are_drawn_from(tmp_path):
    """Or the moments would all lie early, or beyond its end."""
    ended = run(tmp_path / "kills-none", 10_000, 0.0)

    assert ended.returncode == 0, ended.stderr
    assert len((tmp_path / "kills-none/ledger.jsonl").read_text().splitlines()) == LINES


@pytest.mark.parametrize(("line", "delay_s"), MOMENTS)
def test_nothing_is_left_ten_seconds_after_a_sigkill(tmp_path, line, delay_s):
    """No process, frozen or not, no folder, no guardian; and the ledger is closed."""
    run_id = f"kills-{os.getpid()}-{line}-{round(1000 * delay_s)}"
    ledger = tmp_path / run_id / "ledger.jsonl"

    ended = run(tmp_path / run_id, line, delay_s)

    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert is_met_within(lambda: not guardians_of(ledger), deadline_s=GONE_WITHIN_S, clock=CLOCK, every_s=0.1)
    assert left_of(run_id, ledger) == []
    assert read_ledger(ledger).is_closed
