"""A client gets at most burst + rate · Δt + 1 in any stretch of time; what may have been paid outside it does not count."""

from __future__ import annotations

import time

import numpy as np
import pytest

from harness.history.history import History
from harness.history.samples import RECORD, SampleOutcome, Samples
from harness.measure.invariants.limiter_never_over_admits import limiter_never_over_admits
from harness.spec.invariant import LimiterNeverOverAdmits
from harness.spec.scenario import Scenario
from harness.testing import check_checker
from suites.support.answers import answer, history_of, load_of

LOAD = load_of(
    {"name": "greedy", "path": "/items/{key}", "headers": {"X-Client-Key": "greedy"}},
    {"name": "modest", "path": "/items/{key}", "headers": {"x-client-key": "modest"}},
    {"name": "each", "path": "/items/{key}", "headers": {"x-client-key": "client-{key}"}},
    {"name": "nobody", "path": "/"},
)


def limit(rate_per_s=1, burst=2, **told):
    said = {"kind": "limiter-never-over-admits", "rate_per_s": rate_per_s, "burst": burst, "by": ["x-client-key"]}
    return LimiterNeverOverAdmits(**{**said, **told})


def found(answers, **told):
    return limiter_never_over_admits(limit(**told), LOAD, history_of(LOAD, list(answers)))


def told(seen):
    return seen.checked, seen.broken, seen.first and seen.first.samples


def asked(*moments_s, name="greedy", **said):
    """Return requests that are sent at these moments and answered at once."""
    return [answer(moment_s, moment_s, name, **said) for moment_s in moments_s]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        pytest.param([], (0, 0, None), id="nothing"),
        pytest.param(asked(1, 1, 1), (0, 0, None), id="a burst, and one for rounding"),
        pytest.param(asked(1, 1, 1, 1), (1, 1, (0, 1, 2, 3)), id="one more"),
        pytest.param([*asked(1, 1, 1), *asked(1, status=429)], (1, 0, None), id="one more, which is refused"),
        pytest.param([*asked(1, 1, 1), *asked(1, status=503)], (0, 0, None), id="which fails, and may not have paid"),
        pytest.param([*asked(1, 1, 1), *asked(1, status=404)], (1, 1, (0, 1, 2, 3)), id="which finds nothing"),
        pytest.param([*asked(1, 1, 1), *asked(1, name="modest")], (0, 0, None), id="another client's"),
        pytest.param(asked(1, 1, 1, 1, name="nobody"), (0, 0, None), id="no client's"),
        pytest.param(asked(1, 1, 1, 2, 3, 4), (0, 0, None), id="as it is refilled"),
        pytest.param(asked(1, 1, 1, 2, 3, 3.9), (1, 1, (0, 1, 2, 3, 4, 5)), id="a moment too early"),
        pytest.param(asked(9, 1, 1, 1, 9, 9), (0, 0, None), id="in any order, after a pause"),
        pytest.param([*asked(1, 1, 1), answer(0.999, 2.1, "greedy")], (0, 0, None), id="paid perhaps later"),
        pytest.param([*asked(1, 1, 1), answer(0.5, 1, "greedy")], (1, 1, (3, 0, 1, 2)), id="paid just before"),
        pytest.param([*asked(1, 1, 1, 1), *asked(5, 5, 5, 5, 5)], (3, 3, (0, 1, 2, 3)), id="the first to end"),
        pytest.param(
            [*asked(5, 5, 5, 5), *asked(1, 1, 1, 1, name="modest")], (2, 2, (4, 5, 6, 7)), id="of two clients the first"
        ),
        pytest.param(
            [*asked(1, 1, 1, 1, name="modest"), *asked(1, 1, 1, 1)],
            (2, 2, (4, 5, 6, 7)),
            id="both at once, as declared",
        ),
        pytest.param(
            [*asked(1, 1, 1), answer(1, 5, "greedy"), *asked(1)], (1, 1, (0, 1, 2, 4)), id="before one that is slow"
        ),
        pytest.param(asked(0, 1, 1, 1, 1), (1, 1, (1, 2, 3, 4)), id="no longer than it must be"),
        pytest.param([answer(1, 1, "each", key=key) for key in (1, 1, 1, 2, 2)], (0, 0, None), id="keys are clients"),
        pytest.param([answer(1, 1, "each", key=1)] * 4, (1, 1, (0, 1, 2, 3)), id="and one key is one client"),
    ],
)
def test_a_stretch_of_time_has_too_many(answers, said):
    """A burst of two and one a second: only what was sent and answered within it counts, and only if it was admitted."""
    assert told(found(answers)) == said


def test_a_request_that_was_sent_late_was_answered_when_it_was():
    """Its latency counts from when it was meant to be sent, and the limiter was asked when it was."""
    history = history_of(LOAD, asked(1, 1, 1, 1))
    history.samples.records["intended_s"] -= 2.0
    history.samples.records["latency_s"] += 2.0

    assert told(limiter_never_over_admits(limit(), LOAD, history)) == (1, 1, (0, 1, 2, 3))


def test_a_limiter_may_refuse_in_its_own_words():
    """What it does not refuse with is a failure."""
    answers = [*asked(1, 1, 1), *asked(1, status=503)]

    assert told(found(answers, refused_with=[503])) == (1, 0, None)
    assert told(found([*asked(1, 1, 1), *asked(1, status=429)], refused_with=[503])) == (0, 0, None)


def test_clocks_may_differ_by_what_setting_them_right_takes():
    """A limiter that goes by a clock which runs faster by 500 parts in a million is right; one by 600 gives too much."""

    def given(faster):
        return asked(0, 0, 0, *(second / (1 + faster) for second in range(1, 101)))

    assert found(given(400e-6)).broken == 0
    assert found(given(600e-6)).broken == 100


def test_the_counterexample_can_be_looked_up():
    """Client, times, rows and what was allowed."""
    assert found(asked(1, 1.25, 1.25, 1.5, 1.75, 9)).first.sentence == (
        "client 'greedy': 4 requests were sent and admitted within 0.500 s, from 1.000 s (sample 0) to 1.500 s, where "
        "a burst of 2 and 1/s allow 3.5"
    )


def test_a_hundred_thousand_requests_are_checked_in_seconds():
    """A judge that takes the square of them would take a quarter of an hour."""
    count = 100_000
    records = np.zeros(count, dtype=RECORD)
    records["intended_s"] = records["sent_s"] = np.linspace(0, 100, count)
    records["latency_s"] = np.random.default_rng(1).exponential(0.01, count)
    records["status"], records["outcome"] = 200, SampleOutcome.OK
    samples = Samples(records, ("greedy",))
    history = History(run_id="r", began_at="", seed=1, backend="", samples=samples)
    began_s = time.process_time()

    seen = limiter_never_over_admits(limit(rate_per_s=2000, burst=1), LOAD, history)

    assert (seen.checked, seen.broken) == (0, 0)
    assert time.process_time() - began_s < 10


def test_it_is_a_promise_like_every_other():
    scenario = Scenario.model_validate(
        {
            "scenario": "calm",
            "story": "Nothing is broken.",
            "load": LOAD.model_dump(mode="json"),
            "phases": [{"name": "baseline", "lasts": "10s"}],
        }
    )
    kept = history_of(LOAD, [*asked(1, 1, 1), *asked(1, status=429)])

    check_checker(limit(), scenario, kept=kept, broken=history_of(LOAD, asked(1, 1, 1, 1)))
