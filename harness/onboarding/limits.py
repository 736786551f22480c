"""What a service's baseline is held to: a wish where nothing was measured, else what a run has proved, with room.

A limit is taken from a short ladder, as a person would: the step above the least one that was proved. So a second run
of the same service keeps it, and one that is twice as slow does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.spec.objective import Errors, Slow
from harness.verdict.checkers.ratio import ratio_claim
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history.history import History
    from harness.spec.objective import RatioObjective
    from harness.spec.scenario import Scenario

SLOW_OVER = ("5ms", "10ms", "20ms", "50ms", "100ms", "200ms", "500ms", "1s", "2s", "5s")
ERRORS_MAX = ("0.1%", "0.5%", "1%", "2%", "5%", "10%")

PHASE = "baseline"


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits, as a file has them.

    Attributes:
        slow_over: What 95 % of the requests must be faster than.
        errors_max: Of the requests, the share that may fail.
        said: What they rest on.
    """

    slow_over: str
    errors_max: str
    said: str


WISHED = Limits(
    "100ms", "1%", "Nothing was measured: these are wishes. `readiness init --measure --force` proposes what it saw."
)


def proved(scenario: Scenario, history: History, *, confidence: float = 0.95) -> Limits | None:
    """Return what a run proved of its baseline, with room; None where it proved nothing of it.

    Args:
        scenario: As it was run.
        history: What was seen.
        confidence: Of each bound.
    """
    slow = [Slow.model_validate({"sli": "slow", "over": over, "max": "5%", "during": PHASE}) for over in SLOW_OVER]
    errors = [Errors.model_validate({"sli": "errors", "max": most, "during": PHASE}) for most in ERRORS_MAX]
    slow_at, errors_at = (_least_proved(each, scenario, history, confidence) for each in (slow, errors))
    if slow_at is None or errors_at is None:
        return None
    kept = (slow[slow_at], errors[errors_at])
    said = [ratio_claim(promise, scenario, history, confidence).sentence for promise in kept]
    return Limits(
        slow_over=_above(slow_at, SLOW_OVER),
        errors_max=_above(errors_at, ERRORS_MAX),
        said=f"Proposals: the step above what a run proved ({'; '.join(said)}).",
    )


def _least_proved(
    ladder: Sequence[RatioObjective], scenario: Scenario, history: History, confidence: float
) -> int | None:
    kept = (ratio_claim(promise, scenario, history, confidence).outcome is Outcome.PASS for promise in ladder)
    return next((index for index, is_kept in enumerate(kept) if is_kept), None)


def _above(index: int, ladder: Sequence[str]) -> str:
    return ladder[min(index + 1, len(ladder) - 1)]
