"""When a run is given up: the last seconds, against what the scenario says, and never by what was not seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from harness.history.machine import MachineSecond
from harness.measure.abort import why_abort
from harness.spec.abort import AbortWhen
from suites.support.made import Stretch, beats_of, samples_of

BEAT = beats_of(samples_of([Stretch(lasts_s=2, per_s=100)]), 2.0)[0]
SECOND = MachineSecond(at_s=1.0, lasted_s=1.0, cores=2, own_s=1.0, strangers_s=0.1, stolen_s=0.0)


def beats(*failed):
    """Return a second each of a hundred answers, of which so many were failures."""
    return [replace(BEAT, ok=100 - each, failed=each) for each in failed]


def machine(*pressures):
    return [replace(SECOND, memory_pressure=each) for each in pressures]


ERRORS = [
    pytest.param(beats(50, 50, 50), True, id="just so many"),
    pytest.param(beats(50, 50, 49), False, id="one less"),
    pytest.param(beats(0, 50, 60, 40), True, id="what was before does not matter"),
    pytest.param(beats(100, 100), False, id="not yet for so long"),
    pytest.param(beats(100, 100, 0, 0, 0), False, id="no more"),
    pytest.param([replace(BEAT, ok=0, failed=0)] * 3, False, id="no answers"),
    pytest.param([replace(BEAT, ok=0, failed=0), *beats(100), replace(BEAT, ok=0, failed=0)], True, id="a few answers"),
]


@pytest.mark.parametrize(("seen", "is_given_up"), ERRORS)
def test_a_run_is_given_up_for_its_errors(seen, is_given_up):
    """Over the last three seconds, all their requests together."""
    assert bool(why_abort(AbortWhen(errors="50%", over="3s"), seen, ())) is is_given_up


PRESSURES = [
    pytest.param(machine(0.25, 0.5, 0.0), True, id="just so much"),
    pytest.param(machine(0.25, 0.25, 0.2), False, id="a little less"),
    pytest.param(machine(0.9, 0.9), False, id="not yet for so long"),
    pytest.param(machine(0.9, None, 0.9), False, id="not measured"),
]


@pytest.mark.parametrize(("seen", "is_given_up"), PRESSURES)
def test_a_run_is_given_up_for_the_machines_pressure(seen, is_given_up):
    """By what is named, on average."""
    assert bool(why_abort(AbortWhen(memory_pressure="25%", over="3s"), (), seen)) is is_given_up
    assert not why_abort(AbortWhen(io_pressure="20%", over="3s"), (), seen)


def test_the_reason_has_its_numbers():
    """What was seen, over how long, and what is allowed."""
    rule = AbortWhen(errors="50%", cpu_pressure="90%", over="2s")

    assert why_abort(rule, beats(60, 61), ()) == "60.5% of the requests failed over 2s (at most 50%)"
    pressed = [replace(SECOND, cpu_pressure=0.95)] * 2
    assert why_abort(rule, beats(0, 0), pressed) == "something waited for a processor 95% of 2s (at most 90%)"


def test_what_says_nothing_is_refused():
    """A rule that can never be met is a mistake."""
    with pytest.raises(ValidationError, match="nothing to abort for"):
        AbortWhen(over="3s")
