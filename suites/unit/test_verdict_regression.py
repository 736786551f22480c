"""Worse, no worse, or not to be told: no difference found is not yet no difference."""

from __future__ import annotations

import pytest

from harness.measure.quantities import Block, Figure, Quantity, figures
from harness.verdict.outcome import Outcome
from harness.verdict.regression import compared, first_difference
from suites.support.made import Stretch, history_of, scenario_of

SLOW = {"sli": "slow", "over": "100ms", "max": "5%"}


def blocks(values, *, quantity="p95", phase="baseline", total=1000):
    """Return a run for each value."""
    return [
        Block(
            run_id=f"run-{number}",
            began_at="",
            figures=(Figure(phase=phase, quantity=quantity, value=value, total=total),),
        )
        for number, value in enumerate(values)
    ]


def outcome_of(before, after, **told):
    (row,) = compared("made", blocks(before, **told), blocks(after, **told))
    return row.outcome


EVEN = [0.100, 0.101, 0.102, 0.103, 0.104]
NEARLY = [0.1005, 0.1015, 0.1022, 0.1032, 0.1035]


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        pytest.param(EVEN, [0.12, 0.121, 0.122, 0.123, 0.124], Outcome.FAIL, id="a fifth slower"),
        pytest.param(EVEN, [0.08, 0.081, 0.082, 0.083, 0.084], Outcome.PASS, id="a fifth faster"),
        pytest.param(EVEN, NEARLY, Outcome.PASS, id="the same"),
        pytest.param(EVEN, [0.1041, 0.1042, 0.1043, 0.1044, 0.1045], Outcome.PASS, id="surely slower, below the floor"),
        pytest.param(EVEN, [0.05, 0.101, 0.12, 0.13, 0.2], Outcome.INCONCLUSIVE, id="all over the place"),
        pytest.param([0.05, 0.1, 0.2, 0.4, 0.8], [0.05, 0.1, 0.2, 0.4, 0.8], Outcome.INCONCLUSIVE, id="equal noise"),
    ],
)
def test_p95(before, after, outcome):
    assert outcome_of(before, after) is outcome


@pytest.mark.parametrize(
    ("quantity", "before", "after", "outcome"),
    [
        pytest.param("hits", [0.8] * 5, [0.7] * 5, Outcome.FAIL, id="fewer hits are worse"),
        pytest.param("hits", [0.7] * 5, [0.8] * 5, Outcome.PASS, id="more hits are not"),
        pytest.param("errors", [0.0] * 5, [0.02] * 5, Outcome.FAIL, id="errors where there were none"),
        pytest.param("errors", [0.0] * 5, [0.001] * 5, Outcome.PASS, id="one request in each run"),
        pytest.param("errors", [0.0] * 5, [0, 0, 0.02, 0.02, 0.02], Outcome.INCONCLUSIVE, id="errors in some runs"),
    ],
)
def test_shares(quantity, before, after, outcome):
    assert outcome_of(before, after, quantity=quantity) is outcome


@pytest.mark.parametrize(("before", "after", "missing"), [(4, 5, "1 more run is needed in the baseline (4 of 5)"), (5, 0, "5 more runs are needed to compare")])  # fmt: skip
def test_too_few_runs_are_never_a_pass(before, after, missing):
    """However equal they are."""
    (row,) = compared("made", blocks([0.1] * before), blocks([0.1] * after))

    assert row.outcome is Outcome.INCONCLUSIVE
    assert missing in row.sentence


def test_a_quantity_that_was_lost_is_not_to_be_told():
    """Later runs have no p95 any more, for a twentieth of their requests failed."""
    (row,) = compared("made", blocks(EVEN), blocks([0.1, 0.1, 0.1, 0.1, None]))

    assert row.outcome is Outcome.INCONCLUSIVE
    assert "5 of 5 and 4 of 5 runs" in row.sentence


def test_a_sentence_stands_alone():
    (row,) = compared("made", blocks(EVEN), blocks([0.12, 0.121, 0.122, 0.123, 0.124]))

    assert row.sentence == (
        "fail: p95 during baseline 102.00 ms → 122.00 ms: worse by 20.00 ms (p = 0.008), what matters is 5.10 ms; "
        "5 runs against 5"
    )


def test_figures_of_a_run():
    """Judged phases only; what is slow is what the scenario says."""
    hits = {"sli": "hits", "min": "70%"}
    scenario = scenario_of(objectives=[SLOW, hits, {"sli": "errors", "max": "50%", "during": "fault"}])
    stretches = [Stretch(lasts_s=30, slow=750, misses=1500), Stretch(lasts_s=10, failed=250), Stretch(lasts_s=10)]
    seen = {(each.phase, each.quantity): each.value for each in figures(scenario, history_of(scenario, stretches))}

    assert {phase for phase, _ in seen} == {"baseline", "fault"}
    assert seen["baseline", Quantity.SLOW] == pytest.approx(0.1)
    assert seen["baseline", Quantity.P95] == 0.25
    assert seen["baseline", Quantity.HITS] == pytest.approx(0.8)
    assert seen["fault", Quantity.ERRORS] == seen["fault", Quantity.SLOW] == pytest.approx(0.1)
    assert seen["fault", Quantity.P95] is None


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ("a.b", 1, 2)),
        ({"a": [{"b": 1}, {"c": 2}]}, {"a": [{"b": 1}, {"c": 3}]}, ("a[1].c", 2, 3)),
        ({"a": [1]}, {"a": [1, 2]}, ("a", [1], [1, 2])),
        ({}, {"defect": "x"}, ("defect", None, "x")),
    ],
)
def test_the_first_difference_is_named(one, other, difference):
    assert first_difference(one, other) == difference
