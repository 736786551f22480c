"""A seed that draws too few requests to prove a promise is refused before anything starts; most seeds draw enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.drawn import check_drawn
from harness.errors import SpecError
from harness.load.arrivals import schedule_of
from harness.plan import Plan
from harness.spec.scenario import Scenario

NEEDED = 299
"""Error-free requests for fewer than 1 % errors at 95 %: log(0.05) / log(0.99) is 298.07."""

REQUESTS = [{"name": "read", "path": "/", "weight": 3}, {"name": "write", "path": "/", "method": "POST", "weight": 1}]


def plan_of(seed, *, per_s=30.0, lasts="10s", **told):
    objective = {"sli": "errors", "max": "1%", "during": "only"} | told.pop("objective", {})
    said = {
        "scenario": "thin",
        "story": "Just enough requests on average.",
        "load": {"arrivals_per_s": per_s, "requests": REQUESTS} | told.pop("load", {}),
        "phases": [{"name": "warmup", "lasts": "2s"}, {"name": "only", "lasts": lasts}],
        "objectives": [objective],
    }
    scenario = Scenario.model_validate(said | told)
    return Plan(path=Path("thin.yaml"), text="", scenario=scenario, profile="quick", confidence=0.95, seed=seed)


def drawn(plan, began_s=2.0, ended_s=12.0, kinds=(0, 1)):
    """Count it another way."""
    schedule = schedule_of(plan.scenario.load, lasts_s=plan.scenario.longest_s, seed=plan.seed)
    rows = zip(schedule.intended_s.tolist(), schedule.requests.tolist(), strict=True)
    return sum(began_s <= at_s < ended_s and kind in kinds for at_s, kind in rows)


def is_refused(plan):
    try:
        check_drawn(plan)
    except SpecError:
        return True
    return False


def test_a_seed_is_refused_exactly_where_it_draws_too_few():
    """Of 40 seeds with 300 requests on average some draw fewer than 299, and some more; each is judged by its own."""
    found = {seed: (is_refused(plan_of(seed)), drawn(plan_of(seed)) < NEEDED) for seed in range(40)}
    assert {refused for refused, _ in found.values()} == {True, False}
    assert all(refused is is_short for refused, is_short in found.values())


def test_what_is_refused_says_how_many_there_would_be():
    """The seed, the promise, both numbers, and that another seed would do."""
    seed = next(seed for seed in range(40) if drawn(plan_of(seed)) < NEEDED)
    with pytest.raises(SpecError) as refused:
        check_drawn(plan_of(seed))
    assert f"seed {seed} draws {drawn(plan_of(seed))} requests for `errors < 1%` during only" in refused.value.what
    assert refused.value.what.endswith(f"and {NEEDED} are needed")
    assert "another seed (--seed)" in refused.value.fix


def test_only_what_a_promise_speaks_of_is_counted():
    """Of its kind of request, and from when on it holds."""
    of_writes = [plan_of(seed, per_s=120.0, objective={"of": "write"}) for seed in range(40)]
    assert {is_refused(plan) for plan in of_writes} == {True, False}
    assert all(is_refused(plan) is (drawn(plan, kinds=(1,)) < NEEDED) for plan in of_writes)
    late = [plan_of(seed, lasts="14s", objective={"after": "4s"}) for seed in range(40)]
    assert {is_refused(plan) for plan in late} == {True, False}
    assert all(is_refused(plan) is (drawn(plan, 6.0, 16.0) < NEEDED) for plan in late)


def test_a_phase_that_may_become_longer_is_counted_as_long_as_it_may_become():
    """At twice its length each seed draws enough, though the bound of a second look is a little stricter."""
    assert not any(is_refused(plan_of(seed, extends_to=2)) for seed in range(40))


@pytest.mark.parametrize("told", [{"load": {"arrivals": "constant"}}, {"per_s": 60.0}])
def test_most_loads_leave_no_room_for_luck(told):
    """A metronome draws nothing, and twice as many requests are enough with any seed."""
    assert not any(is_refused(plan_of(seed, **told)) for seed in range(40))
