"""A start beside strangers: one that computes is waited for, and one that is broken is broken on any machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from harness.evidence.experiment import read_experiment
from harness.verdict.outcome import Outcome
from suites.support.strangers import strangers

COMPUTING = """
import time
until_s = time.thread_time() + 60
while time.thread_time() < until_s:
    pass
"""
"""Is never ready in the time of a test."""

REFUSING = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500)
        self.send_header("content-length", "0")
        self.end_headers()


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
SETTINGS = """
[system]
name = "starting"
replicas = 1
[system.components]
[system.subject]
command = ["python", "service.py", "{port}"]
ready = "/ready"
ready_within = "3s"
[[system.requests]]
name = "look"
path = "/"
[[objectives]]
sli = "errors"
max = "5%"
[profiles.quick]
stretch = 1.0
"""
CALM = """
scenario: calm
story: A service that never comes up is asked for something.
load: {arrivals_per_s: 20}
phases:
  - {name: baseline, lasts: 5s}
"""

pytestmark = [pytest.mark.alone, pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts it")]


def verdict_of(folder, service):
    """Judge a service by the command, in a folder of its own."""
    (folder / "scenarios").mkdir()
    (folder / "service.py").write_text(service)
    (folder / "readiness.toml").write_text(SETTINGS)
    (folder / "scenarios/calm.yaml").write_text(CALM)
    command = [sys.executable, "-c", "from harness.cli import main; main()", "run", "--seed", "1", "--out", "runs"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=240)
    found = list(folder.glob("runs/*/calm"))
    assert len(found) == 1, done.stdout + done.stderr
    verdict = read_experiment(found[0])[0].verdict
    assert done.returncode == verdict.outcome.exit_code
    return verdict


def test_a_start_that_strangers_held_up_is_inconclusive_with_the_numbers(tmp_path):
    """It computes, and never had its three seconds without them."""
    with strangers((os.cpu_count() or 1) + 2):
        verdict = verdict_of(tmp_path, COMPUTING)

    assert verdict.outcome is Outcome.INCONCLUSIVE
    # It is given up at the first look, one a second, at which more than eight seconds are over.
    assert re.match(
        "inconclusive: replica-1 gave no healthy answer within (8|9|10) s, but strangers had ", verdict.sentence
    )


def test_the_same_start_fails_on_a_quiet_machine(tmp_path):
    """Nobody else is to blame."""
    verdict = verdict_of(tmp_path, COMPUTING)

    assert verdict.outcome is Outcome.FAIL
    assert verdict.sentence.startswith("fail: replica-1 gave no healthy answer within 3 s: it listens nowhere")


def test_a_service_that_refuses_fails_beside_strangers_as_well(tmp_path):
    """It has started, and to wait longer changes nothing."""
    with strangers((os.cpu_count() or 1) + 2):
        verdict = verdict_of(tmp_path, REFUSING)

    assert verdict.outcome is Outcome.FAIL
    assert "within 3 s: GET /ready was answered with 500" in verdict.sentence
