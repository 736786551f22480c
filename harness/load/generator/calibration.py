"""How much latency the generator adds by itself, measured before a run against a server that does nothing."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import gevent

from harness.errors import LoadError
from harness.history.samples import SampleOutcome
from harness.load import nullserver
from harness.load.generator.generator import Generator
from harness.load.overhead import usual_p95_s
from harness.load.plan import LoadPlan
from harness.load.recording import read_raw
from harness.spec.load import Load

if TYPE_CHECKING:
    from collections.abc import Iterator

PER_S = 500.0
"""At this rate stock Locust adds 6.4 ms at p95, and open arrivals 0.6 (measured 2026-11: FastHttpUser, 50 users, one
core)."""

PER_S_MAX = 3000.0
"""Beyond this the server that does nothing is itself at work (asyncio without uvloop: some 15 000/s of a core)."""

SEATS = 50
OPENING_RATIO = 0.2
"""Of the time, which goes to opening connections, and is not counted."""

_FIX = "this machine is too busy to load from; run on a quieter one"


def overhead_p95_s(plan: LoadPlan, room: Path, null_port: int) -> float:
    """Load a server that does nothing for a while, and return the latency that 95 % stayed within, in seconds.

    Args:
        plan: What the load will be, elsewhere, afterwards.
        room: The run's folder: what is written meanwhile lies there also if we are killed, and nowhere else.
        null_port: Where the server that does nothing listens.

    Raises:
        LoadError: If it did not answer every request: there is nothing to measure then, and nothing to load from.
    """
    per_s = min(PER_S_MAX, max(PER_S, plan.peak_per_s))
    load = Load(arrivals_per_s=per_s, client=plan.load.client, max_in_flight=SEATS, drain="1s")
    lasts_s, base_url = plan.calibration_s, f"http://127.0.0.1:{null_port}"
    with tempfile.TemporaryDirectory(prefix=".calibration-", dir=room) as folder:
        generator = Generator(LoadPlan(base_url=base_url, load=load, lasts_s=lasts_s, seed=plan.seed), Path(folder))
        generator.seat_users()
        tally = generator.press(time.monotonic())
        generator.unseat_users()
        if tally.prevented:
            what, _, fix = tally.shortage.rpartition("; ")
            raise LoadError(what, where="before the load", fix=fix)
        samples = read_raw(Path(folder)).between(OPENING_RATIO * lasts_s, lasts_s)
    records = samples.records[samples.has_outcome(SampleOutcome.OK)]
    if len(records) < len(samples) or not len(records):
        what = f"a server that does nothing answered {len(records)} of {len(samples)} requests"
        raise LoadError(what, where="before the load", fix=_FIX)
    return usual_p95_s(records["latency_s"])


@contextmanager
def null_server() -> Iterator[int]:
    """Run a server that does nothing, in a process of its own that ends with us; yield its port."""
    program = [sys.executable, "-I", str(nullserver.__file__)]
    server = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        late = LoadError("a server that does nothing did not start", where="before the load", fix=_FIX)
        with gevent.Timeout(10, late):
            port = int(server.stdout.readline())  # type: ignore[union-attr]  # PIPE was asked for
        yield port
    finally:
        server.communicate()  # the end of its input ends it
