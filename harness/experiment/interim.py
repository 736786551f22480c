"""A look at the promises of a phase that is under way; it decides how long to go on, never what the verdict is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.history.history import History
from harness.spec.objective import RatioObjective, shares_of
from harness.verdict.checkers.ratio import is_beyond_doubt
from harness.verdict.judge import claim_of
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history.machine import MachineSecond
    from harness.history.marks import PhaseMark
    from harness.history.samples import Samples
    from harness.spec.objective import ShareObjective
    from harness.spec.scenario import Scenario

DOUBT_FOR_S = 5.0
"""Nothing is beyond doubt of what has been counted for less: what a handful of seconds is worth cannot be estimated."""


class InterimAnalysis:
    """Looks at a plan's promises while it is carried out.

    Args:
        plan: The scenario, as it is being run.
        confidence: Of each one-sided bound.
    """

    def __init__(self, plan: Scenario, confidence: float) -> None:
        self._plan = plan
        self._confidence = confidence

    def has_promises(self, mark: PhaseMark) -> bool:
        """Tell whether anything is promised of the phase that bounds decide."""
        return bool(self._promises(mark))

    def is_open(self, samples: Samples, mark: PhaseMark, machine: Sequence[MachineSecond] = ()) -> bool:
        """Tell whether a promise of the phase is neither kept nor broken by what is known."""
        history = _so_far(samples, mark, machine)
        claims = [claim_of(each, self._plan, history, self._confidence) for each in self._promises(mark)]
        return any(claim.outcome is Outcome.INCONCLUSIVE for claim in claims)

    def hopeless(
        self, samples: Samples, mark: PhaseMark, machine: Sequence[MachineSecond] = ()
    ) -> RatioObjective | None:
        """Return the first promise of the phase's requests that is broken beyond doubt, if there is one."""
        history = _so_far(samples, replace(mark, was_stopped=True), machine)
        asked = (each for each in self._promises(mark) if isinstance(each, RatioObjective))
        old = (each for each in asked if mark.after(each.after).lasted_s >= DOUBT_FOR_S)
        return next((each for each in old if is_beyond_doubt(each, self._plan, history)), None)

    def _promises(self, mark: PhaseMark) -> list[ShareObjective]:
        return [objective for objective in shares_of(self._plan.objectives) if objective.during == mark.name]


def _so_far(samples: Samples, mark: PhaseMark, machine: Sequence[MachineSecond]) -> History:
    return History(run_id="", began_at="", seed=0, backend="", samples=samples, phases=(mark,), machine=tuple(machine))
