"""What readiness.toml declares of a clean replica: which values are, how it is said, and what cannot be."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.spec.clean import CleanMetric
from harness.spec.system import Subject

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("bounds", "clean", "unclean"),
    [
        pytest.param({"at_most": 0}, [0, -1, -math.inf], [0.001, math.inf, math.nan], id="no more"),
        pytest.param({"at_least": 2}, [2, 3, math.inf], [1.999, 0, math.nan], id="no less"),
        pytest.param({"at_least": 1, "at_most": 3}, [1, 2, 3], [0.999, 3.001, math.nan], id="between"),
        pytest.param({"at_least": 1, "at_most": 1}, [1], [0, 2], id="exactly"),
    ],
)
def test_a_metric_is_clean_between_its_limits(bounds, clean, unclean):
    """Both are clean themselves; what is no number is not."""
    bound = CleanMetric(metric="debts", **bounds)

    assert [value for value in [*clean, *unclean] if bound.allows(value)] == clean


@given(FINITE, FINITE, FINITE)
def test_two_limits_allow_what_each_allows(one, other, value):
    low, high = sorted((one, other))

    allows = CleanMetric(metric="debts", at_least=low, at_most=high).allows(value)

    alone = [CleanMetric(metric="debts", **limit) for limit in ({"at_least": low}, {"at_most": high})]
    assert allows == all(each.allows(value) for each in alone)


def test_it_is_said_as_a_condition():
    between = CleanMetric(metric="breaker_state", labels={"state": "closed", "of": "redis"}, at_least=1, at_most=2.5)

    assert str(between) == "breaker_state{state=closed, of=redis} ≥ 1 and ≤ 2.5"
    assert str(CleanMetric(metric="debts", at_most=0)) == "debts ≤ 0"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, "any value of debts would be clean; say at_least, at_most or both"),
        ({"at_least": 2, "at_most": 1}, "no value of debts would be clean: at_least is above at_most"),
        ({"at_most": math.nan}, "finite number"),
        ({"at_most": 0, "metric": "no name"}, "String should match pattern"),
        ({"at_most": 0, "most": 1}, "Extra inputs are not permitted"),
    ],
)
def test_what_tells_nothing_apart_is_refused(said, told):
    with pytest.raises(ValidationError, match=told):
        CleanMetric.model_validate({"metric": "debts", **said})


def test_a_service_that_runs_already_shares_no_stack():
    """So it is asked nothing; and one that declares nothing is asked nothing either."""
    clean = [{"metric": "debts", "at_most": 0}]

    with pytest.raises(ValidationError, match="clean means nothing for an external subject"):
        Subject.model_validate({"external": "http://127.0.0.1:1", "clean": clean})
    assert Subject.model_validate({"app": "made:app", "clean": clean}).clean[0].metric == "debts"
    assert Subject.model_validate({"app": "made:app"}).clean == ()
