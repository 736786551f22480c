"""A mutant tried on a project of four tests, each in a child of its own: what counts as noticed, and what does not."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from importlib.util import cache_from_source
from pathlib import Path

import psutil
import pytest

from fixtures.defects.mutants import Mutant
from fixtures.defects.mutants._trial import Fate, Trials, applied, copied
from harness.clock import SystemClock, is_met_within
from suites.support.servers import PROJECT

CLOCK = SystemClock()

HALF = "def half(number):\n    return number / 2\n"
TESTS = """
import asyncio
import os
import pytest
from part import half

@pytest.fixture
def four():
    return half(8) / (half(8) == 4)

@pytest.mark.parametrize("number", [0, 8])
def test_half(number):
    assert half(number) * 2 == number

def test_zero():
    assert half(0) == 0

def test_with_a_fixture(four):
    assert four == 4

def test_that_waits():
    while half(1) != 0.5:
        pass

def test_that_is_told():
    assert half(8) == int(os.environ["GIVEN"])

@pytest.mark.skip(reason="not here")
def test_that_is_skipped():
    assert half(1) == 0.5
"""


@pytest.fixture
def project(tmp_path):
    """A copy of a project whose one part is right."""
    original = tmp_path / "original"
    original.mkdir()
    (original / "part.py").write_text(HALF)
    (original / "test_part.py").write_text(TESTS)
    return copied(original, tmp_path / "copy")


@pytest.fixture
def trials(project):
    """Trials in that copy."""
    with closing(Trials(project, {"GIVEN": "4"}, imported=[])) as trials:
        yield trials


def mutant(*, test: str, old: str = "/ 2", new: str = "/ 3") -> Mutant:
    return Mutant(
        id="any", part="any", breaks="any", file="part.py", old=old, new=new, killed_by=f"test_part.py::{test}"
    )


@pytest.mark.parametrize(
    ("tried", "fate"),
    [
        pytest.param(mutant(test="test_half"), Fate.KILLED, id="one of its cases fails"),
        pytest.param(mutant(test="test_half[8]"), Fate.KILLED, id="that case fails"),
        pytest.param(mutant(test="test_half[0]"), Fate.SURVIVED, id="another case passes"),
        pytest.param(mutant(test="test_zero"), Fate.SURVIVED, id="the test does not notice"),
        pytest.param(mutant(test="test_that_is_told"), Fate.KILLED, id="it fails, and was told what it needs"),
        pytest.param(mutant(test="test_that_is_skipped"), Fate.BROKEN, id="a skipped test says nothing"),
        pytest.param(mutant(test="test_with_a_fixture"), Fate.BROKEN, id="the fixture fails and not the test"),
        pytest.param(
            mutant(test="test_half", old="return", new="return return"), Fate.BROKEN, id="nothing is imported"
        ),
        pytest.param(mutant(test="test_that_is_not_there"), Fate.BROKEN, id="there is no such test"),
    ],
)
def test_only_a_test_that_fails_notices(trials, tried, fate):
    """All else would count mistakes as noticed that no test was asked about."""
    with applied(tried, trials.copy):
        ran = trials.run([tried.killed_by], limit_s=60)

    assert ran.fate is fate, ran.said


@pytest.mark.parametrize(("to_the_end", "fate"), [(False, Fate.BROKEN), (True, Fate.KILLED)])
def test_a_suite_notices_by_a_test_behind_one_that_is_not_reached(trials, to_the_end, fate):
    """If it is told to go on."""
    with applied(mutant(test="test_half"), trials.copy):
        suite = ["test_part.py::test_with_a_fixture", "test_part.py::test_half"]
        ran = trials.run(suite, limit_s=60, to_the_end=to_the_end)

    assert ran.fate is fate, ran.said


def test_a_test_that_does_not_end_is_ended(trials):
    """Its time is limited, and it counts as one that noticed: without the mistake it ends."""
    clean = trials.run(["test_part.py::test_that_waits"], limit_s=60)
    with applied(mutant(test="test_that_waits"), trials.copy):
        ran = trials.run(["test_part.py::test_that_waits"], limit_s=5 * clean.took_s)

    assert (clean.fate, ran.fate) == (Fate.SURVIVED, Fate.HUNG)


def test_a_mistake_is_gone_when_its_trial_is_over(trials):
    """Also from what Python has compiled: the next one is as long, and may be written within the same second."""
    path = trials.copy / "part.py"
    with applied(mutant(test="test_half"), trials.copy):
        assert "/ 3" in path.read_text()
        trials.run(["test_part.py::test_half"], limit_s=60)
        assert Path(cache_from_source(str(path))).exists()

    assert path.read_text() == HALF
    assert not Path(cache_from_source(str(path))).exists()


@pytest.mark.parametrize(("anew", "fate"), [("part", Fate.KILLED), ("", Fate.SURVIVED), ("par", Fate.SURVIVED)])
def test_a_mistake_in_what_was_imported_before_the_fork_is_imported_anew(project, anew, fate):
    """A child that went on with what its parent had imported would test the text without the mistake."""
    tried = mutant(test="test_half")
    with closing(Trials(project, imported=["part"])) as trials:
        assert trials.run([tried.killed_by], limit_s=60).fate is Fate.SURVIVED  # by then it is imported
        with applied(tried, project):
            ran = trials.run([tried.killed_by], limit_s=60, anew=anew)

    assert ran.fate is fate, ran.said


def test_children_are_told_what_the_trials_were_given(trials):
    """Such as where servers listen: a test that could not know it would fail with every mistake, and without one."""
    assert trials.run(["test_part.py::test_that_is_told"], limit_s=60).fate is Fate.SURVIVED


def test_trials_that_are_closed_say_so(trials):
    """And do not wait for an answer that cannot come."""
    trials.close()

    with pytest.raises(RuntimeError, match="has ended"):
        trials.run(["test_part.py::test_half"], limit_s=60)


KILLED_IN_A_TRIAL = """
import sys
from pathlib import Path
from fixtures.defects.mutants._trial import Trials
trials = Trials(Path(sys.argv[1]), {"GIVEN": "4"}, imported=[])
print("begun", flush=True)
trials.run(["test_part.py::test_that_waits"], limit_s=600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_trial_that_hangs_ends_with_whoever_is_killed_while_waiting_for_it(project):
    """SIGKILL leaves nobody to clean up: one such child has computed for twenty minutes beside everything else."""
    (project / "part.py").write_text(HALF.replace("/ 2", "/ 3"))
    command = [sys.executable, "-c", KILLED_IN_A_TRIAL, str(project)]
    runner = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE)
    assert runner.stdout.readline() == b"begun\n"
    assert is_met_within(
        lambda: len(psutil.Process(runner.pid).children(recursive=True)) == 2, deadline_s=60, clock=CLOCK
    )
    family = psutil.Process(runner.pid).children(recursive=True)

    runner.kill()
    runner.communicate()

    _, left = psutil.wait_procs(family, timeout=10)
    assert left == []
