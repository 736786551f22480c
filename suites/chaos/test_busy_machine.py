"""A busy machine is not a broken service: one that computes is judged beside strangers, and one that is truly slow."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness.evidence.experiment import read_experiment
from harness.history.machine import is_taken
from harness.measure.processor import spent_per_answer_s, spent_seconds
from harness.spec.objective import Processor
from harness.verdict.outcome import Outcome
from suites.support.strangers import strangers

SERVICE = """
import asyncio
import os
import time


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] != "/ready":
        until_s = time.thread_time() + float(os.environ["COMPUTES_S"])
        while time.thread_time() < until_s:
            pass
        await asyncio.sleep(float(os.environ["SLEEPS_S"]))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
SETTINGS = """
[system]
name = "computing"
replicas = 1
[system.subject]
app = "service:app"
factory = false
ready = "/ready"
environment = {{ COMPUTES_S = "0.02", SLEEPS_S = "{sleeps_s}" }}
[[objectives]]
sli = "slow"
over = "100ms"
max = "5%"
[profiles.quick]
stretch = 1.0
"""
STEADY = """
scenario: steady
story: A service computes for each request, and nothing is broken.
load: {arrivals_per_s: 15, drain: 5s}
phases:
  - {name: only, lasts: 6s}
objectives:
  - {sli: slow, over: 100ms, max: 5%, during: only}
"""
BUDGETS = [Processor(sli="processor", over=over, max="20%", during="only") for over in ("10ms", "60ms")]
"""Half of what a request takes, and three times that."""

pytestmark = [pytest.mark.alone, pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts it")]


def run(folder, *, sleeps_s):
    """Judge the service by the command, in a folder of its own."""
    (folder / "scenarios").mkdir()
    (folder / "service.py").write_text(SERVICE)
    (folder / "readiness.toml").write_text(SETTINGS.format(sleeps_s=sleeps_s))
    (folder / "scenarios/steady.yaml").write_text(STEADY)
    command = [sys.executable, "-c", "from harness.cli import main; main()", "run", "--seed", "1", "--out", "runs"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=240)
    found = list(folder.glob("runs/*/steady"))
    assert len(found) == 1, done.stdout + done.stderr
    return read_experiment(found[0])[0]


def test_a_healthy_service_beside_strangers_never_fails(tmp_path):
    """One more than there are processors: it is late, and the machine says why."""
    with strangers((os.cpu_count() or 1) + 1):
        experiment = run(tmp_path, sleeps_s=0)

    (claim,), machine = experiment.verdict.claims, experiment.history.machine
    assert not experiment.history.failures, experiment.verdict.sentence
    assert claim.outcome in {Outcome.PASS, Outcome.INCONCLUSIVE}, claim.sentence
    assert sum(map(is_taken, machine)) >= len(machine) / 2, machine
    assert sum(second.strangers_s for second in machine) > sum(second.own_s for second in machine)
    if claim.events > 0.2 * claim.total:
        assert "strangers had " in claim.sentence


def test_a_service_that_is_truly_slow_fails_on_a_quiet_machine(tmp_path):
    """It sleeps, and waits for no processor; what it computes is known, and computed beside it."""
    experiment = run(tmp_path, sleeps_s=0.2)

    (claim,), history = experiment.verdict.claims, experiment.history
    computed = [asked_s for beat in history.heartbeats for asked_s, _ in beat.computed or ()]
    assert claim.outcome is Outcome.FAIL, claim.sentence
    assert len(computed) >= 3
    assert computed[0] == pytest.approx(0.02, rel=0.5)
    tight, wide = (spent_seconds(budget, history) for budget in BUDGETS)
    assert spent_per_answer_s(tight) == pytest.approx(0.022, rel=0.3)
    assert {each.is_over for each in tight} == {True}
    assert {each.is_over for each in wide[1:]} == {False}  # in the first, hardly anything has been answered yet
    assert [second.at_s for second in history.machine[1:6]] == pytest.approx([1, 2, 3, 4, 5], abs=0.3)


def test_a_service_that_is_truly_slow_never_passes_beside_strangers(tmp_path):
    """Whatever the machine has to say."""
    with strangers((os.cpu_count() or 1) + 1):
        experiment = run(tmp_path, sleeps_s=0.2)

    assert experiment.verdict.claims[0].outcome in {Outcome.FAIL, Outcome.INCONCLUSIVE}
