"""How fast one core sends on schedule, and how much latency the generator adds by itself; alone on the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from statistics import median

import numpy as np
import pytest

from harness.clock import SystemClock
from harness.load.engine import LoadPlan, apply_load
from harness.spec.load import Load
from suites.support.quickserver import quick_server
from suites.support.servers import PROJECT

CLOCK = SystemClock()
LASTS_S = 6.0
ROUNDS = 3
LAG_P99_S = 0.005
OVERHEAD_P95_S = 0.0008

STOCK = """
import gevent, json, sys
from locust import FastHttpUser, constant_throughput, task
from locust.env import Environment

class Stock(FastHttpUser):
    host = sys.argv[1]
    wait_time = constant_throughput(10)

    @task
    def get(self):
        self.client.get("/items/1")

took_ms = []
environment = Environment(user_classes=[Stock])
environment.events.request.add_listener(lambda response_time, **rest: took_ms.append(response_time))
runner = environment.create_local_runner()
runner.start(50, spawn_rate=50)
gevent.sleep(1.5)
took_ms.clear()
gevent.sleep(6)
print(json.dumps(took_ms))
"""


FLAT_OUT = """
import locust, json, sys, tempfile, time
from pathlib import Path

from harness.load.generator.generator import Generator
from harness.load.plan import LoadPlan
from harness.spec.load import Load

beats = []
load = Load(arrivals_per_s=100, drain="100ms", client=sys.argv[2], max_in_flight=64)
load = load.model_copy(update={"arrivals_per_s": float(sys.argv[3])})  # more than may be asked for
plan = LoadPlan(base_url=sys.argv[1], load=load, lasts_s=4.0, seed=7, calibration_s=0.0)
with tempfile.TemporaryDirectory() as folder:
    generator = Generator(plan, Path(folder), on_beat=beats.append)
    generator.seat_users()
    generator.press(time.monotonic())
steady = [beat for beat in beats if 1.5 < beat.at_s < 3.5]
print(json.dumps([sum(beat.ok for beat in steady), sum(beat.cpu_ratio for beat in steady)]))
"""
BEYOND_PER_S = {"fast": 20_000, "lean": 60_000}
"""Arrivals a second that no core can send: every seat is always taken."""
LEAN_RATIO = 5.0


@pytest.fixture(scope="module")
def base_url(tmp_path_factory):
    """A server that is never the bottleneck."""
    with quick_server(tmp_path_factory.mktemp("nginx")) as url:
        yield url


def press(base_url, folder, per_s, **load):
    folder.mkdir(exist_ok=True)
    load = Load(arrivals_per_s=per_s, drain="2s", **load)
    plan = LoadPlan(base_url=base_url, load=load, lasts_s=LASTS_S, seed=7)
    with apply_load(plan, folder=folder, clock=CLOCK) as pressure:
        return pressure.finish()


@pytest.mark.parametrize(("client", "per_s"), [("fast", 5000.0), ("lean", 15_000.0)])
def test_one_core_sends_on_schedule(base_url, tmp_path, capsys, client, per_s):
    """So many a second, all answered, and its own lag below 5 ms at p99.

    In the median of three: where a machine is shared, it stands still for some 35 ms now and then, scheduled first or
    not (measured 2026-11, in two of ten runs), and one such moment in six seconds is all that a p99 speaks of.
    """
    lags_s = []
    for turn in range(ROUNDS):
        result = press(base_url, tmp_path / str(turn), per_s, client=client, max_in_flight=256)
        tally = result.tally
        assert tally.issued == tally.ok == pytest.approx(per_s * LASTS_S, rel=0.02)
        lags_s.append(tally.lag_p99_s)
        p95_s = float(np.quantile(result.samples.records["latency_s"], 0.95))
        with capsys.disabled():
            print(  # noqa: T201 - the figure is what a bench is for
                f"\n{client}: {tally.issued / LASTS_S:.0f}/s, {tally.cpu_ratio:.2f} of a core, "
                f"lag p99 {tally.lag_p99_s * 1000:.2f} ms, p95 {p95_s * 1000:.2f} ms"
            )
    assert median(lags_s) < LAG_P99_S


def test_the_lean_user_is_worth_five_fast_ones(base_url, capsys):
    """Requests answered per second of processor time, both flat out, in turns, so that both meet the same machine."""
    done = {"fast": [0.0, 0.0], "lean": [0.0, 0.0]}
    for client in ("fast", "lean") * 2:
        for index, figure in enumerate(flat_out(base_url, client)):
            done[client][index] += figure

    fast, lean = (done[client][0] / done[client][1] for client in ("fast", "lean"))
    with capsys.disabled():
        said = f"flat out, per second of a core: lean {lean:.0f}, fast {fast:.0f}, ratio {lean / fast:.1f}"
        print(f"\n{said}")  # noqa: T201 - the figure is what a bench is for
    assert lean >= LEAN_RATIO * fast


def flat_out(base_url, client):
    """Press with more arrivals than can be sent; return answers, and seconds of processor time that they took."""
    command = [sys.executable, "-c", FLAT_OUT, base_url, client, str(BEYOND_PER_S[client])]
    said = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(said.stdout)


def test_the_generator_adds_less_than_a_millisecond(base_url, tmp_path, capsys):
    """At 500/s with 50 users, from the intended start; stock Locust with the same client, measured just before."""
    stock_s = stock_p95_s(base_url)
    latencies_s = press(base_url, tmp_path, 500.0, max_in_flight=50).samples.records["latency_s"]

    p95_s = float(np.quantile(latencies_s, 0.95))
    with capsys.disabled():
        said = f"self-overhead p95 at 500/s: {p95_s * 1000:.2f} ms; stock Locust {stock_s * 1000:.2f} ms"
        print(f"\n{said}")  # noqa: T201 - the figure is what a bench is for
    assert p95_s <= OVERHEAD_P95_S
    assert p95_s < stock_s / 2


def stock_p95_s(base_url):
    """Let Locust's own closed loop press, and return what it reports, exactly."""
    command = [sys.executable, "-c", STOCK, base_url]
    said = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60, env=dict(os.environ)
    )
    took_ms = json.loads(said.stdout)
    assert len(took_ms) > 2500
    return float(np.quantile(took_ms, 0.95)) / 1000
