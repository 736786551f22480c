"""What every kind of promise must keep, objective or invariant: how it is declared, judged and filed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.history.history import History
from harness.spec.invariant import PROMISES
from harness.spec.objective import KINDS
from harness.spec.scenario import Scenario
from harness.verdict.judge import claim_of, claims_made
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from harness.spec.invariant import Promise
    from harness.verdict.outcome import Claim

CONFIDENCE = 0.95
OTHER_CONFIDENCE = 0.51


def check_checker(promise: Promise, scenario: Scenario, *, kept: History, broken: History) -> None:
    """See that a kind of promise is one like every other.

    It must be declared with its facts and survive a file; pass where it was kept, fail where it was broken, and never
    pass where nothing was seen; say the same whenever it is asked; and have a p-value and bounds exactly if chance has
    a part in it.

    Args:
        promise: One of the kind.
        scenario: What the histories are of; its own promises are kept, and this one is added.
        kept: A history with enough evidence that the promise holds.
        broken: One with enough evidence that it does not.

    Raises:
        AssertionError: If one of these does not hold; it says which.
    """
    claims = {name: _claim(promise, scenario, history) for name, history in {"kept": kept, "broken": broken}.items()}
    unseen = _claim(promise, scenario, History(run_id="", began_at="", seed=0, backend=""))
    _check_declared(promise, claims["kept"].sli)
    _check_survives_a_file(promise, scenario)
    _check_outcomes(claims["kept"], claims["broken"], unseen)
    for name, history in {"kept": kept, "broken": broken}.items():
        _check_said(promise, claims[name])
        _hold(
            _claim(promise, scenario, history) == claims[name],
            f"asked again, it says something else where it was {name}",
        )
        _check_chance(promise, claims[name], claim_of(promise, _with(promise, scenario), history, OTHER_CONFIDENCE))
    _check_direction(promise, claims["kept"], claims["broken"])


def _claim(promise: Promise, scenario: Scenario, history: History) -> Claim:
    return claim_of(promise, _with(promise, scenario), history, CONFIDENCE)


def _with(promise: Promise, scenario: Scenario) -> Scenario:
    """Return the scenario with the promise in its list."""
    name = "objectives" if type(promise) in KINDS.values() else "invariants"
    return scenario.model_copy(update={name: (*getattr(scenario, name), promise)})


def _check_declared(promise: Promise, word: str) -> None:
    _hold(PROMISES.get(word) is type(promise), f"its claim is filed under {word!r}, which is not its word in PROMISES")
    missing = [fact for fact in ("is_floor", "is_statistical", "unit") if not hasattr(type(promise), fact)]
    _hold(not missing, f"its class does not say {', '.join(missing)}")
    counted = claims_made([promise])
    _hold(counted == promise.is_statistical, f"the judge counts {counted} of it in the family of chance")


def _check_survives_a_file(promise: Promise, scenario: Scenario) -> None:
    whole = _with(promise, scenario)
    again = Scenario.model_validate(whole.model_dump(mode="json"))
    _hold(promise in again.promises, "written to a file and read again, it is another promise")


def _check_outcomes(kept: Claim, broken: Claim, unseen: Claim) -> None:
    _hold(kept.outcome is Outcome.PASS, f"where it was kept it says {kept.sentence!r}")
    _hold(broken.outcome is Outcome.FAIL, f"where it was broken it says {broken.sentence!r}")
    _hold(unseen.outcome is Outcome.INCONCLUSIVE, f"where nothing was seen it says {unseen.sentence!r}")
    _hold(unseen.estimate is None, f"where nothing was seen it measured {unseen.estimate}")


def _check_said(promise: Promise, claim: Claim) -> None:
    _hold(claim.objective == str(promise), f"its claim calls it {claim.objective!r}, it calls itself {str(promise)!r}")
    _hold(
        claim.sentence.startswith(f"{claim.outcome}: "),
        f"its sentence does not begin with its outcome: {claim.sentence!r}",
    )
    _hold(len(claim.sentence.splitlines()) == 1, f"its sentence is not one line: {claim.sentence!r}")


def _check_chance(promise: Promise, claim: Claim, unsure: Claim) -> None:
    bounds = (claim.lower, claim.estimate, claim.upper)
    if not promise.is_statistical:
        _hold(claim.p_value is None, f"chance has no part in it, and its claim has the p-value {claim.p_value}")
        _hold(unsure == claim, "chance has no part in it, and with another confidence it says something else")
        return
    _hold(claim.p_value is not None, "chance has a part in it, and its claim has no p-value")
    ordered = [value for value in bounds if value is not None]
    _hold(
        len(ordered) == len(bounds) and ordered == sorted(ordered), f"its estimate is not within its bounds: {bounds}"
    )


def _check_direction(promise: Promise, kept: Claim, broken: Claim) -> None:
    """See that what was measured lies on the side of the limit that `is_floor` says."""
    good, bad = kept.estimate, broken.estimate
    _hold(good is not None and bad is not None, "its claims have no estimate where it was judged")
    if good is None or bad is None:
        return
    is_so = good >= kept.limit >= bad if promise.is_floor else good <= kept.limit <= bad
    side = "above" if promise.is_floor else "below"
    _hold(is_so, f"it is to be kept {side} {kept.limit:g}: kept it measured {good:g}, broken {bad:g}")


def _hold(condition: object, sentence: str) -> None:
    if not condition:
        raise AssertionError(sentence)
