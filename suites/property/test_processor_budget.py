"""A budget of processor time over histories that nobody thought of: beside a count in the plainest words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.history.history import History
from harness.history.machine import NOISE_S, MachineSecond
from harness.history.marks import PhaseMark
from harness.history.samples import RECORD, SampleOutcome, Samples
from harness.measure.effective_sample import worth
from harness.measure.processor import spent_seconds
from harness.spec.objective import Processor
from harness.spec.scenario import Scenario
from harness.verdict.checkers.processor import processor_claim
from harness.verdict.outcome import Outcome

TICKS = st.integers(0, 200).map(lambda ticks: ticks / 100)
OUTCOMES = st.sampled_from([SampleOutcome.OK, SampleOutcome.FAILED, SampleOutcome.UNFINISHED, SampleOutcome.CANCELLED])
QUARTERS = st.integers(0, 47).map(lambda quarters: quarters / 4)
"""Also at the very beginning of a second, which counts to it."""
REQUESTS = st.lists(st.tuples(QUARTERS, QUARTERS, OUTCOMES), max_size=60)
SECONDS = st.lists(st.one_of(st.none(), TICKS), min_size=1, max_size=12)
BUDGETS = st.integers(1, 300).map(lambda ms: Processor(sli="processor", over=f"{ms}ms", max="20%"))


def seen(requests, spent_s):
    """Return a phase of twelve seconds with these requests, and what was spent in each of its first seconds."""
    records = np.zeros(len(requests), dtype=RECORD)
    for record, (intended_s, latency_s, outcome) in zip(records, sorted(requests), strict=True):
        record["intended_s"], record["latency_s"], record["outcome"] = intended_s, latency_s, outcome
        record["status"] = {SampleOutcome.OK: 200, SampleOutcome.FAILED: 503}.get(outcome, 0)
    machine = tuple(
        MachineSecond(at_s=at + 1.0, lasted_s=1.0, cores=2, own_s=0.0, strangers_s=0.0, stolen_s=0.0, spent_s=each)
        for at, each in enumerate(spent_s)
    )
    phase = PhaseMark(name="baseline", began_s=0.0, ended_s=12.0)
    history = History(run_id="", began_at="", seed=0, backend="", samples=Samples(records), phases=(phase,))
    return replace(history, machine=machine)


def in_plain_words(budget, requests, spent_s, at):
    """Tell of one second whether it was over, one request after the other."""
    asked = sum(at <= intended_s < at + 1 for intended_s, _, _ in requests)
    answered = sum(
        at <= intended_s + latency_s < at + 1
        for intended_s, latency_s, outcome in requests
        if outcome in {SampleOutcome.OK, SampleOutcome.FAILED}
    )
    if spent_s is None or (not answered and (not asked or spent_s < NOISE_S)):
        return None
    return spent_s >= NOISE_S and spent_s > budget.over * answered


@given(BUDGETS, REQUESTS, SECONDS)
def test_each_second_is_what_one_would_count_by_hand(budget, requests, spent_s):
    found = [each.is_over for each in spent_seconds(budget, seen(requests, spent_s))]

    assert found == [in_plain_words(budget, requests, each, at) for at, each in enumerate(spent_s)]


@given(BUDGETS, BUDGETS, REQUESTS, SECONDS)
def test_a_larger_budget_never_has_more_seconds_over_it(one, other, requests, spent_s):
    """And knows of the same seconds."""
    history = seen(requests, spent_s)
    small, large = sorted((one, other), key=lambda each: each.over)

    pairs = zip(spent_seconds(small, history), spent_seconds(large, history), strict=True)

    for tight, loose in pairs:
        assert (tight.is_over is None) == (loose.is_over is None)
        assert bool(tight.is_over) >= bool(loose.is_over)


@given(BUDGETS, REQUESTS, SECONDS)
def test_a_verdict_follows_its_bounds_and_nothing_passes_unseen(budget, requests, spent_s):
    """Fourteen seconds prove 20 %, and there are at most twelve."""
    scenario = Scenario.model_validate(
        {
            "scenario": "drawn",
            "story": "Whatever was drawn.",
            "load": {"arrivals_per_s": 1},
            "phases": [{"name": "baseline", "lasts": "12s"}],
        }
    )

    claim = processor_claim(budget, scenario, seen(requests, spent_s), 0.95)

    assert claim.outcome is not Outcome.PASS
    assert (claim.outcome is Outcome.FAIL) == ((claim.lower or 0.0) > claim.limit)
    assert claim.events <= claim.total <= len(spent_s)
    assert 0 <= claim.effective <= claim.total


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_seconds_are_worth_at_most_what_they_are(drawn):
    """Those that say nothing are worth nothing, wherever they are."""
    known = [is_known for is_known, _ in drawn]
    over = [is_known and is_over for is_known, is_over in drawn]

    assert 0 <= worth(over, known) <= sum(known)
    assert worth([*over, False], [*known, False]) <= sum(known)
