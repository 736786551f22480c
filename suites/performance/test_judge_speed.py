"""How long it takes to read and judge a large run, and to cut it into seconds for its pictures; and how much it holds."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from harness.measure.series import by_second
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from suites.support.made import Stretch, history_of, scenario_of
from suites.support.runs import run_folder
from suites.support.servers import PROJECT

OBJECTIVES = [
    {"sli": "slow", "over": "100ms", "max": "5%"},
    {"sli": "errors", "max": "0.1%"},
    {"sli": "hits", "min": "70%"},
    {"sli": "recovery", "within": "5s"},
]
MILLION = [
    Stretch(lasts_s=30, per_s=20_000, slow=6000),
    Stretch(lasts_s=10, per_s=20_000),
    Stretch(lasts_s=10, per_s=20_000),
]


WHOLE_WITHIN_S = 2.0
WHOLE_WITHIN_BYTES = 500_000_000
JUDGED_ANEW = """
import json, resource, sys, time
from pathlib import Path

from harness.measure.series import by_second
from harness.evidence.experiment import read_experiment
from harness.verdict.judge import judge

experiment, _ = read_experiment(Path(sys.argv[1]))
history = experiment.history
verdict = judge(experiment.scenario, history, confidence=0.95)
seconds = by_second(history.samples, experiment.scenario.load, until_s=50.0)
took_s = time.process_time()
held_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on Linux in kB, and of whoever forked us as well
if sys.platform == "linux":
    held_bytes = 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
print(json.dumps([verdict.outcome, len(history.samples), len(seconds), took_s, held_bytes]))
"""


@pytest.fixture(scope="module")
def million():
    """A run of a million requests, no two of which took equally long."""
    scenario = scenario_of(objectives=OBJECTIVES)
    history = history_of(scenario, MILLION)
    history.samples.records["latency_s"] *= np.random.default_rng(7).lognormal(0.0, 0.3, len(history.samples))
    return scenario, history


def test_a_million_requests_are_read_judged_and_made_ready_for_pictures(million, tmp_path, capsys):
    """From disk, in a process of its own: 2 s of a processor with all its imports, and never more than 500 MB.

    Processor time, of all threads: on a quiet machine it is no less than what one waits for, and on others it is the same.
    """
    scenario, _ = million
    place = run_folder(tmp_path / "run", [million]) / scenario.scenario
    command = [sys.executable, "-c", JUDGED_ANEW, str(place)]
    said = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60)

    outcome, requests, seconds, took_s, held_bytes = json.loads(said.stdout)
    with capsys.disabled():
        print(f"\na million requests from disk: {took_s:.2f} s, {held_bytes / 1e6:.0f} MB at most")  # noqa: T201 - the figure is what a bench is for
    assert (outcome, requests, seconds) == (Outcome.PASS, 1_000_000, 50)
    assert took_s < WHOLE_WITHIN_S
    assert held_bytes < WHOLE_WITHIN_BYTES


def test_judging_a_million_requests(benchmark, million):
    """Four objectives and every obligation."""
    scenario, history = million

    verdict = benchmark(judge, scenario, history, confidence=0.95)

    assert verdict.outcome is Outcome.PASS
    assert len(history.samples) == 1_000_000


def test_cutting_a_million_requests_into_seconds(benchmark, million):
    """What the pictures are drawn from."""
    scenario, history = million

    seconds = benchmark(by_second, history.samples, scenario.load, until_s=50.0)

    assert [second.issued for second in seconds] == [20_000] * 50
