"""The four words of a verdict, and what a verdict is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from harness.spec.invariant import PROMISES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.spec.objective import Unit


class Outcome(StrEnum):
    """What can be said of a promise, from best to worst; absence of evidence is never a pass."""

    PASS = "pass"  # noqa: S105 - the word, not a password
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"
    ERROR = "error"

    @property
    def exit_code(self) -> int:
        """Return 0 pass, 1 fail, 2 inconclusive, 3 error."""
        return {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.INCONCLUSIVE: 2, Outcome.ERROR: 3}[self]


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the worst of `outcomes`; of none at all nothing is known, which is INCONCLUSIVE."""
    order = list(Outcome)
    return max(outcomes, key=order.index, default=Outcome.INCONCLUSIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One promise, judged.

    Attributes:
        objective: The promise, as one would say it: `slow (over 100ms) < 5%`.
        sli: `slow`, `errors`, `hits`, `recovery`; of an invariant its kind.
        phase: The phase it was judged over.
        outcome: What can be said.
        sentence: The outcome with its numbers; stands alone.
        estimate: The measured share, seconds for `recovery`, breaches of an invariant; None if nothing was measured.
        lower: One-sided lower bound of the share; None where no bound applies.
        upper: One-sided upper bound of the share; None where no bound applies.
        limit: What was promised, in the unit of `estimate`.
        events: Requests that count towards the share, or break the invariant.
        total: Requests judged.
        effective: How many independent requests they are worth, at most `total`; the bounds are those of so many.
        p_value: The chance to see this, or worse, of a service that just keeps the promise; None where chance is not
            what decides.
    """

    objective: str
    sli: str
    phase: str
    outcome: Outcome
    sentence: str
    estimate: float | None
    lower: float | None
    upper: float | None
    limit: float
    events: int
    total: int
    effective: float
    p_value: float | None = None

    @property
    def is_floor(self) -> bool:
        """Tell whether the promise is kept above its limit, not below."""
        return PROMISES[self.sli].is_floor

    @property
    def unit(self) -> Unit:
        """Return what `estimate` and `limit` are measured in."""
        return PROMISES[self.sli].unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """Something that must have happened for any claim to mean anything.

    Attributes:
        name: `load delivered`, `fault delivered`, `phases complete`, …
        outcome: PASS if it happened; INCONCLUSIVE or ERROR if not; FAIL only of a service that does not start.
        sentence: What was seen.
    """

    name: str
    outcome: Outcome
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The judgement of one experiment: the worst of its obligations and claims.

    Attributes:
        scenario: Its name.
        outcome: The worst of everything below.
        sentence: The reason, in one line with its numbers.
        obligations: Evidence that had to be there.
        claims: One for each objective, and after them one for each invariant.
        confidence: Of each one-sided bound, and that no claim of the run fails by chance.
        family: How many claims the whole run makes.
    """

    scenario: str
    outcome: Outcome
    sentence: str
    obligations: tuple[Obligation, ...]
    claims: tuple[Claim, ...]
    confidence: float
    family: int = 1
