"""How long it takes to judge a large run, and to cut it into seconds for its pictures."""

from __future__ import annotations

import pytest

from fixtures.made import Stretch, history_of, scenario_of
from harness.measure.series import by_second
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome

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


@pytest.fixture(scope="module")
def million():
    """A run of a million requests."""
    scenario = scenario_of(objectives=OBJECTIVES)
    return scenario, history_of(scenario, MILLION)


def test_judging_a_million_requests(benchmark, million):
    """Four objectives and every obligation."""
    scenario, history = million

    verdict = benchmark(judge, scenario, history, confidence=0.95)

    assert verdict.outcome is Outcome.PASS
    assert len(history.samples) == 1_000_000


def test_cutting_a_million_requests_into_seconds(benchmark, million):
    """What the pictures are drawn from."""
    _, history = million

    seconds = benchmark(by_second, history.samples, until_s=50.0)

    assert [second.issued for second in seconds] == [20_000] * 50
