"""One run at a time on a machine: another one is refused by name, waited for, or measured beside, as it is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from harness.clock import FakeClock, SystemClock, is_met_within
from harness.environment import is_for_libpq, unset
from harness.errors import BesideError
from harness.options import Options
from harness.report.terminal import Progress
from harness.run import opened
from harness.spec.parser import read_settings
from harness.turn import SAY_EVERY_S, place, turn
from suites.support.servers import PROJECT

HOLDS = """
import sys, time
from pathlib import Path
from harness.clock import SystemClock
from harness.turn import turn
with turn(Path(sys.argv[1]), clock=SystemClock(), wait_s=0.0, say=print):
    print("mine", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _a_machine_of_its_own(tmp_path, monkeypatch):
    """Other runs of this machine, such as those of other workers, have their lock elsewhere."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def other(tmp_path):
    """Another process that has the machine."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / "theirs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert child.stdout.readline() == "mine\n"
    yield child
    child.kill()
    child.communicate()


class Waits(FakeClock):
    """A clock on which something happens at a moment."""

    def __init__(self, at_s, act):
        super().__init__()
        self._at_s, self._act = at_s, act

    def sleep(self, seconds):
        super().sleep(seconds)
        if self._act and self.now() >= self._at_s:
            self._act()
            self._act = None


def ends(child):
    def act():
        child.communicate()

    return act


def test_another_run_is_refused_by_name(other, tmp_path):
    """Which process, and where what it sees is written; nothing of it is touched."""
    with pytest.raises(BesideError) as refused, turn(tmp_path / "ours", clock=FakeClock(), wait_s=0.0, say=print):
        pytest.fail("it was let in")

    assert refused.value.what == f"another run is measuring on this machine: process {other.pid}, {tmp_path}/theirs"
    assert "--wait 30min" in refused.value.fix
    assert other.poll() is None


def test_another_run_is_waited_for_and_that_is_said(other, tmp_path):
    """At once, and then twice a minute; the turn comes when the other has ended."""
    said = []
    clock = Waits(2 * SAY_EVERY_S + 1, ends(other))
    with turn(tmp_path, clock=clock, wait_s=600.0, say=said.append):
        waited_s = clock.now()

    assert 2 * SAY_EVERY_S < waited_s < 2 * SAY_EVERY_S + 3
    assert said == [f"waiting for another run on this machine: process {other.pid}, {tmp_path}/theirs"] * 3


def test_waiting_has_an_end(other, tmp_path):
    """Not a moment before what was said."""
    clock = FakeClock()
    with pytest.raises(BesideError), turn(tmp_path, clock=clock, wait_s=10.0, say=lambda _: None):
        pytest.fail("it was let in")

    assert 10.0 <= clock.now() < 11.0


def test_a_run_that_was_killed_holds_nobody_up(other, tmp_path):
    """The kernel gives its lock back, and what it wrote of itself says nothing any more."""
    other.send_signal(signal.SIGKILL)
    other.wait()

    with turn(tmp_path / "ours", clock=FakeClock(), wait_s=0.0, say=print):
        assert str(tmp_path / "ours") in place().read_text()
    assert place().read_text() == ""


def test_a_lock_is_no_link_to_a_file_of_somebody(tmp_path):
    """The folder is everybody's: what a link leads to would be written over."""
    (tmp_path / "precious").write_text("kept")
    place().symlink_to(tmp_path / "precious")

    with pytest.raises(OSError, match="symbolic link"), turn(tmp_path, clock=FakeClock(), wait_s=0.0, say=print):
        pytest.fail("it was let in")
    assert (tmp_path / "precious").read_text() == "kept"


def options_of(tmp_path, wait_s):
    return Options(
        project=PROJECT, profile="quick", backend="embedded", defect=None, seed=1, out=tmp_path, run_id="ours", wait_s=wait_s
    )  # fmt: skip


def test_a_run_takes_its_turn_unless_it_may_be_beside(other, tmp_path):
    """It is refused before anything of it is there; beside the other it is opened."""
    settings = read_settings(PROJECT / "readiness.toml")
    refused = opened(options_of(tmp_path, 0.0), settings, clock=SystemClock(), listener=Progress())
    with pytest.raises(BesideError), refused:
        pytest.fail("it was opened")
    assert not (tmp_path / "ours").exists()

    with opened(options_of(tmp_path, None), settings, clock=SystemClock(), listener=Progress()):
        assert (tmp_path / "ours").is_dir()
    assert is_met_within(lambda: other.poll() is None, deadline_s=1, clock=SystemClock())


def test_a_run_is_told_nothing_that_is_meant_for_libpq(tmp_path, monkeypatch):
    """A service file that is not there, or another machine's address, would reach our own questions to PostgreSQL."""
    monkeypatch.setenv("PGSERVICE", "elsewhere")
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    monkeypatch.setenv("PG2_OTHER", "kept")
    settings = read_settings(PROJECT / "readiness.toml")

    with opened(options_of(tmp_path, None), settings, clock=SystemClock(), listener=Progress()):
        assert [name for name in os.environ if name.startswith("PG")] == ["PG2_OTHER"]
    assert os.environ["PGSERVICE"] == "elsewhere"
    assert os.environ["PGHOSTADDR"] == "192.0.2.1"


def test_variables_come_back_whatever_happens(monkeypatch):
    """They are the caller's."""
    monkeypatch.setenv("PGHOST", "theirs")
    with pytest.raises(ValueError, match="something"), unset(is_for_libpq):
        assert "PGHOST" not in os.environ
        raise ValueError("something")
    assert os.environ["PGHOST"] == "theirs"
