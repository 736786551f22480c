"""A signal ends a command, whatever happens on its way up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import typer

from harness.cli.signals import Interruption, interruptible
from harness.cli.watcher import Watcher
from harness.errors import Interrupted
from suites.support.servers import PROJECT


def test_a_signal_is_an_exit_code():
    with pytest.raises(typer.Exit) as left, interruptible():
        os.kill(os.getpid(), signal.SIGTERM)

    assert left.value.exit_code == 143


def test_a_signal_that_an_error_hid_is_still_one():
    """What breaks while healing takes its place on the way up, and somebody notes that and goes on."""
    with pytest.raises(typer.Exit) as left, interruptible() as came:
        try:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            finally:
                raise ValueError("the proxy is gone")
        except ValueError:
            assert came.error is not None

    assert left.value.exit_code == 130


def test_no_scenario_is_begun_after_a_signal():
    with pytest.raises(Interrupted, match="SIGTERM"):
        Watcher(interruption=Interruption(Interrupted(signal.SIGTERM))).pytest_runtest_setup()
    Watcher().pytest_runtest_setup()


TALKS = """
import sys
from harness.report.terminal import Progress
progress = Progress()
for number in range(100_000):
    progress.message(f"line {number}")
print("to nobody")
sys.exit(7)
"""


def test_a_run_is_not_over_because_its_reader_has_gone():
    """`readiness run | head`: what is said goes nowhere from then on, and the exit code is the run's own."""
    talks = subprocess.Popen([sys.executable, "-c", TALKS], cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert talks.stdout.readline() == b"line 0\n"
    talks.stdout.close()

    assert (talks.wait(60), talks.stderr.read()) == (7, b"")
    talks.stderr.close()
