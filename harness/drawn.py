"""Whether what a seed draws is enough to prove a plan's promises: of 299 requests on average it may be 297.

What a schedule has on average is looked at when its file is read (`verdict.feasible`), whatever the seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.errors import SpecError, all_of
from harness.load.arrivals import schedule_of
from harness.spec.objective import RatioObjective
from harness.spec.quantity import count_text
from harness.spec.schedule import Replay
from harness.verdict.feasible import evidence_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.load.arrivals import ArrivalSchedule
    from harness.plan import Plan
    from harness.spec.scenario import Scenario


def check_drawn(plan: Plan) -> None:
    """See that every promise could be proved with the requests that the plan's seed draws, if only all went well.

    Where a fault of the load changes who asks what, or a recording is repeated, what it has on average is all that is
    known beforehand.

    Raises:
        SpecError: If one cannot; it says how many requests it would take, and how many there will be.
    """
    scenario = plan.scenario
    if scenario.traffic or isinstance(scenario.load.schedule, Replay):
        return
    schedule = schedule_of(scenario.load, lasts_s=scenario.longest_s, seed=plan.seed)
    mistakes = list(_short(plan, schedule))
    if mistakes:
        raise all_of(mistakes)


def _short(plan: Plan, schedule: ArrivalSchedule) -> Iterator[SpecError]:
    scenario = plan.scenario
    for objective in scenario.objectives:
        if not isinstance(objective, RatioObjective):
            continue
        looks = range(1, scenario.looks_during(objective.during) + 1)
        needed = [evidence_at(look, objective, scenario, plan.confidence).needed for look in looks]
        drawn = [_drawn(objective, scenario, schedule, 2.0 ** (look - 1)) for look in looks]
        if all(there < least for there, least in zip(drawn, needed, strict=True)):
            what = (
                f"seed {plan.seed} draws {count_text(drawn[-1])} requests for `{objective}` during {objective.during}"
            )
            fix = "take another seed (--seed), or make the phase longer: on average there are enough, and not many more"
            where = f"{plan.path}: scenario {plan.name}"
            yield SpecError(f"{what}, and {count_text(needed[-1])} are needed", where=where, fix=fix)


def _drawn(objective: RatioObjective, scenario: Scenario, schedule: ArrivalSchedule, times: float) -> int:
    """Return how many requests of its kind come in an objective's part of a phase that is so many times as long."""
    began_s, ended_s = next(
        (began_s, began_s + times * (ended_s - began_s))
        for phase, began_s, ended_s in scenario.windows
        if phase.name == objective.during
    )
    during = schedule.between(min(began_s + objective.after, ended_s), ended_s)
    names = (objective.of,) if isinstance(objective.of, str) else objective.of or ()
    if not names or not scenario.load.asked:
        return len(during)
    chosen = [index for index, request in enumerate(scenario.load.asked) if request.name in names]
    return int(np.isin(during.requests, chosen).sum())
