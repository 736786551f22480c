"""Clients that ask again: what, when, how often; and what is said of it afterwards."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from pydantic import ValidationError

from harness.errors import SpecError
from harness.history.samples import SampleOutcome, Samples
from harness.load.retrying import policy_of
from harness.load.traffic import dose_of
from harness.plan import check_faults, read_source
from harness.verdict.feasible import requests_meant
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from suites.support.made import Stretch, history_of, samples_of, scenario_of, tally_of
from suites.unit.test_load_traffic import SETTINGS, beat_of, plan_of, story

AGAIN = {"kind": "retries", "times": 3, "after": "300ms", "wait": "100ms"}
ASKED = [
    {"name": "read", "path": "/items/{key}"},
    {"name": "write", "path": "/items/{key}", "method": "PUT"},
    {"name": "pay", "path": "/orders", "method": "POST"},
]


def policy(*faults):
    scenario = story(*faults, load={"requests": ASKED})
    return policy_of(scenario.traffic, scenario.load)


def test_what_fails_in_the_window_is_asked_again_after_waits_that_double():
    """By when it failed, not by when it was meant to start; and no more often than said."""
    again = policy({**AGAIN, "at": "5s", "for": "10s"})

    waits_s = [again.again_s(0, attempt, 30.0) - 30.0 for attempt in range(3)]
    assert waits_s == pytest.approx([0.1, 0.2, 0.4])
    assert again.again_s(0, 3, 30.0) is None
    assert again.again_s(0, 0, math.nextafter(25.0, 0)) is None
    assert again.again_s(0, 0, 25.0) == pytest.approx(25.1)
    assert again.again_s(0, 0, math.nextafter(35.0, 0)) == pytest.approx(35.1)
    assert again.again_s(0, 0, 35.0) is None


def test_a_client_that_will_ask_again_waits_no_longer_than_it_says():
    """In the window alone, and of what it asks again."""
    again = policy(AGAIN)

    assert again.limit_s(0, 20.0) == 0.3
    assert again.limit_s(2, 20.0) == again.limit_s(0, 40.0) == math.inf
    assert policy({"kind": "retries", "times": 1}).limit_s(0, 20.0) == math.inf
    assert policy({"kind": "retries", "times": 1}).again_s(0, 0, 20.0) == 20.0


def test_what_may_have_an_effect_twice_is_asked_again_only_where_it_is_named():
    """A GET and a PUT by themselves; a POST when somebody says so, and then nothing else."""
    assert [policy(AGAIN).again_s(kind, 0, 30.0) is not None for kind in range(3)] == [True, True, False]
    named = policy({**AGAIN, "of": ["pay"]})
    assert [named.again_s(kind, 0, 30.0) is not None for kind in range(3)] == [False, False, True]


def test_two_windows_have_each_their_own_clients():
    """One after the other."""
    two = policy({**AGAIN, "until": "5s"}, {"kind": "retries", "times": 1, "at": "5s"})

    assert two.again_s(0, 1, 24.9) == pytest.approx(25.1)
    assert two.again_s(0, 1, 25.0) is None
    assert two.again_s(0, 0, 25.0) == 25.0
    assert policy({"kind": "spike", "times": 2}) is None


def failing(plan, *, asked_again=(1, 1, 1), late_s=0.02):
    """Return what was seen of a load of which every tenth arrival fails each time, and is asked again in parts."""
    schedule = plan.arrivals()
    first = np.zeros(len(schedule), dtype=samples_of([]).records.dtype)
    first["intended_s"], first["operation"], first["latency_s"] = schedule.intended_s, schedule.requests + 1, late_s
    first["outcome"][::10] = SampleOutcome.FAILED
    rows, failed, wait_s = [first], first[::10].copy(), plan.traffic[0].fault.wait
    for attempt, share in enumerate(asked_again, start=1):
        failed_s = failed["intended_s"] + failed["latency_s"]
        is_due = (failed_s >= 20) & (failed_s < 40) & (failed["operation"] < 3)
        failed = failed[is_due][: round(share * is_due.sum())].copy()
        failed["intended_s"] = failed_s[is_due][: len(failed)] + wait_s * 2 ** (attempt - 1)
        failed["attempt"] = attempt
        rows.append(failed)
    return Samples(np.concatenate(rows), ("", *(request["name"] for request in ASKED)))


def seen_of(plan, samples, beats=()):
    return dose_of(plan.traffic[0], plan.arrivals(), plan.load, samples, beats, seed=7, at_s=61.0)


def test_the_dose_is_how_much_more_came_than_the_schedule_had():
    """Of what may be asked again, and of the window; what failed before it is not asked again."""
    plan = plan_of(story(AGAIN, load={"requests": ASKED, "arrivals_per_s": 60}))
    samples = failing(plan)

    dose = seen_of(plan, samples)

    during = samples.between(20, 40).of(["read", "write"]).records
    first = during[during["attempt"] == 0]
    more = int((samples.records["attempt"] > 0).sum())
    assert dose.is_delivered
    assert more > 150
    said = f"{more} requests issued in 20s ({more} planned): asked again beside {len(first)} first ones"
    assert dose.seen == f"{said}, an amplification of {1 + more / len(first):.2f}"


def test_a_storm_in_which_what_failed_was_not_asked_again_was_none():
    """One hundredth of it may be missing; and where nothing failed there was nothing to ask again."""
    plan = plan_of(story({**AGAIN, "times": 1}, load={"requests": ASKED[:1], "arrivals_per_s": 200}))

    assert seen_of(plan, failing(plan, asked_again=[0.992])).is_delivered
    assert not seen_of(plan, failing(plan, asked_again=[0.985])).is_delivered
    assert not seen_of(plan, failing(plan, asked_again=[1]), [beat_of(30, 50)]).is_delivered
    well = samples_of([Stretch(lasts_s=60)])
    assert "0 requests issued in 20s (0 planned)" in seen_of(plan, well).seen
    assert not seen_of(plan, well).is_delivered


def test_what_would_be_asked_again_when_the_load_is_over_is_not_missed():
    """Of twenty seconds in which requests fail, and come again half a minute later, the first ten."""
    again = {**AGAIN, "times": 1, "wait": "30s"}
    plan = plan_of(story(again, load={"requests": ASKED[:1], "arrivals_per_s": 50}))

    assert seen_of(plan, failing(plan, asked_again=[0.5])).is_delivered
    assert not seen_of(plan, failing(plan, asked_again=[0.48])).is_delivered


def test_what_is_asked_again_counts_for_no_promise():
    """It comes when the service is unwell: one bad second would be counted four times."""
    errors = {"sli": "errors", "max": "5%", "during": "fault"}
    scenario = scenario_of(fault=AGAIN, objectives=[errors, {"sli": "recovery", "within": "5s"}])
    samples = samples_of([Stretch(lasts_s=30), Stretch(lasts_s=10, per_s=500, failed=100), Stretch(lasts_s=10)])
    failed = samples.records[samples.has_outcome(SampleOutcome.FAILED)]
    failed["attempt"] = 1
    more = Samples(np.concatenate([samples.records, failed, failed]), *(
        getattr(samples, names) for names in ("operations", "sources", "replicas")
    ))  # fmt: skip
    history = history_of(scenario, (), samples=more, tally=tally_of(more))

    claim = judge(scenario, history, confidence=0.95).claims[0]

    assert (claim.outcome, claim.events, claim.total) == (Outcome.PASS, 100, 5000)
    assert "n = 5 000 beside 200 of impatient clients and second attempts" in claim.sentence
    assert requests_meant(scenario, scenario.objectives[0]) == 2500


@pytest.mark.parametrize(
    ("fault", "requests", "place", "said", "fix"),
    [
        (
            {**AGAIN, "of": ["read", "raed"]},
            ASKED,
            "[1].faults[0].of[1]",
            "'raed' again, which is not declared",
            "read",
        ),
        (AGAIN, ASKED[2:], "[1].faults[0]", "idempotent method .*, and this load has none", "of: [pay]"),
        (AGAIN, None, "[1].faults[0]", "a locustfile brings others", "declare requests"),
    ],
)
def test_what_cannot_be_asked_again_is_refused(tmp_path, fault, requests, place, said, fix):
    """Where it stands, before anything starts."""
    load = {"locustfile": "users.py"} if requests is None else {"requests": requests}
    file = tmp_path / "asked.yaml"
    file.write_text(json.dumps(story(fault, load=load).model_dump(mode="json"), indent=1))

    with pytest.raises(SpecError, match=said) as refused:
        check_faults(read_source(file), SETTINGS, "quick")

    assert refused.value.where.endswith(f"phases{place}")
    assert fix in refused.value.fix


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({**AGAIN, "times": 0}, "greater than or equal to 1"),
        ({**AGAIN, "times": 11}, "less than or equal to 10"),
        ({**AGAIN, "after": "5s"}, "less than 5"),
    ],
)
def test_clients_that_nobody_has_are_refused(fault, said):
    with pytest.raises(ValidationError, match=said):
        story(fault)


def test_a_storm_says_what_it_is_and_how_high_it_may_rise():
    """Where all fails, each comes four times."""
    plan = plan_of(story({**AGAIN, "for": "9s"}, load={"requests": ASKED}))

    assert str(plan.traffic[0].fault) == "requests that fail or take over 300ms are asked 3× again, 100ms later for 9s"
    assert str(story({"kind": "retries", "times": 1, "of": ["pay"]}).faults[0]) == "pay that fail are asked 1× again"
    assert plan.peak_per_s == 40
