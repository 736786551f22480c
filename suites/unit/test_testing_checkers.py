"""The public check of a kind of promise: every kind we have keeps it, and each fault that it speaks of is noticed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.history.machine import MachineSecond
from harness.spec.invariant import NoAcknowledgedWriteLost
from harness.spec.objective import Errors, Hits, Late, Processor, Recovery, Slow
from harness.testing import check_checker, checkers
from harness.verdict.judge import claim_of
from harness.verdict.outcome import Outcome
from suites.support.made import Stretch, history_of, scenario_of
from suites.support.registers import history_of as remembered
from suites.support.registers import read, write

CALM = scenario_of(faults=False, objectives=[])
HURT = scenario_of(objectives=[{"sli": "slow", "over": "100ms", "max": "5%"}])
WELL = Stretch(lasts_s=30, per_s=100)
SLOW = Slow(sli="slow", over="100ms", max="5%")


def seen(*stretches, scenario=CALM):
    return history_of(scenario, stretches)


def spending(spent_s):
    """Return thirty seconds of a hundred answers each, for which the replicas used so much in every one of them."""
    machine = tuple(
        MachineSecond(at_s=at_s, lasted_s=1.0, cores=2, own_s=1.0, strangers_s=0.0, stolen_s=0.0, spent_s=spent_s)
        for at_s in range(1, 31)
    )
    return replace(seen(WELL), machine=machine)


KINDS = {
    "slow": (SLOW, CALM, seen(WELL), seen(replace(WELL, slow=600))),
    "errors": (Errors(sli="errors", max="1%"), CALM, seen(WELL), seen(replace(WELL, failed=600))),
    "late": (Late(sli="late", over="100ms", max="5%"), CALM, seen(WELL), seen(replace(WELL, unfinished=600))),
    "hits": (
        Hits(sli="hits", min="70%", of="read", levels=("l1", "l2")),
        CALM,
        seen(WELL),
        seen(replace(WELL, misses=2000)),
    ),
    "processor": (Processor(sli="processor", over="5ms", max="20%"), CALM, spending(0.3), spending(0.7)),
    "recovery": (
        Recovery(sli="recovery", within="5s"),
        HURT,
        seen(Stretch(lasts_s=30), Stretch(lasts_s=10), Stretch(lasts_s=10), scenario=HURT),
        seen(Stretch(lasts_s=30), Stretch(lasts_s=10), Stretch(lasts_s=10, slow=2000), scenario=HURT),
    ),
    "no-acknowledged-write-lost": (
        NoAcknowledgedWriteLost(kind="no-acknowledged-write-lost"),
        CALM,
        remembered([write(1, 2, 1), read(3, 4, 1)]),
        remembered([write(1, 2, 1), write(3, 4, 2), read(5, 6, 1)]),
    ),
}


@pytest.mark.parametrize("word", KINDS)
def test_every_kind_of_promise_keeps_what_is_asked_of_one(word):
    """Each kind that there is, in the line that a new one's author writes."""
    promise, scenario, kept, broken = KINDS[word]

    check_checker(promise, scenario, kept=kept, broken=broken)


@pytest.mark.parametrize(
    ("faulty", "said"),
    [
        pytest.param({"outcome": Outcome.PASS}, "where it was broken it says", id="always passes"),
        pytest.param({"outcome": Outcome.FAIL}, "where it was kept it says", id="always fails"),
        pytest.param({"sli": "errors"}, "filed under 'errors'", id="another's word"),
        pytest.param({"objective": "fast"}, "calls it 'fast'", id="another name"),
        pytest.param({"sentence": "all is well"}, "does not begin with its outcome", id="a sentence of its own"),
        pytest.param({"p_value": None}, "has no p-value", id="no p-value"),
        pytest.param({"lower": 0.5}, "not within its bounds", id="bounds beside the estimate"),
        pytest.param({"limit": 0.9}, "is to be kept below 0.9", id="another limit"),
        pytest.param({"estimate": 0.0, "lower": 0.0}, "where nothing was seen it measured 0", id="a measured nothing"),
    ],
)
def test_a_checker_that_is_none_is_told_why(monkeypatch, faulty, said):
    """One part of what it says is wrong."""
    monkeypatch.setattr(checkers, "claim_of", lambda *asked: replace(claim_of(*asked), **faulty))

    with pytest.raises(AssertionError, match=said):
        check_checker(*KINDS["slow"][:2], kept=KINDS["slow"][2], broken=KINDS["slow"][3])


def test_a_verdict_that_depends_on_confidence_needs_chance(monkeypatch):
    """What chance has no part in is the same at any confidence, and every time it is asked."""
    promise, scenario, kept, broken = KINDS["no-acknowledged-write-lost"]
    asked = iter(range(100))
    monkeypatch.setattr(checkers, "claim_of", lambda *told: replace(claim_of(*told), effective=float(next(asked))))

    with pytest.raises(AssertionError, match="asked again, it says something else"):
        check_checker(promise, scenario, kept=kept, broken=broken)

    monkeypatch.setattr(checkers, "claim_of", lambda *told: replace(claim_of(*told), effective=told[-1]))
    with pytest.raises(AssertionError, match="with another confidence it says something else"):
        check_checker(promise, scenario, kept=kept, broken=broken)


def test_a_kind_that_is_judged_by_chance_in_silence_is_told(monkeypatch):
    """The judge counts what `is_statistical` says, and nothing else."""
    monkeypatch.setattr(checkers, "claims_made", len)
    promise, scenario, kept, broken = KINDS["no-acknowledged-write-lost"]

    with pytest.raises(AssertionError, match="the judge counts 1 of it in the family of chance"):
        check_checker(promise, scenario, kept=kept, broken=broken)
