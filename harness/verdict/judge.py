"""From a scenario and what was seen to a verdict: a pure function, so that the same bundle always says the same.

A ratio objective passes only if its whole one-sided bound lies on the good side of the limit, fails only if it lies
on the bad side, and is inconclusive in between. Nothing seen is nothing proved.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from harness.measure.invariants.breaker_trace import breaker_trace
from harness.measure.invariants.limiter_never_over_admits import limiter_never_over_admits
from harness.measure.invariants.monotonic_reads import monotonic_reads
from harness.measure.invariants.no_acknowledged_write_lost import no_acknowledged_write_lost
from harness.measure.invariants.no_duplicate_effect import no_duplicate_effect
from harness.measure.invariants.responses_belong_to_requests import responses_belong_to_requests
from harness.measure.invariants.returns_to_baseline import returns_to_baseline
from harness.measure.invariants.tasks_done_once import tasks_done_once
from harness.measure.invariants.versions_only_grow import versions_only_grow
from harness.spec.invariant import (
    BreakerTrace,
    LimiterNeverOverAdmits,
    MonotonicReads,
    NoAcknowledgedWriteLost,
    NoDuplicateEffect,
    ResponsesBelongToRequests,
    ReturnsToBaseline,
    TasksDoneOnce,
    VersionsOnlyGrow,
)
from harness.spec.objective import Errors, Hits, Late, Processor, Recovery, Slow
from harness.verdict.checkers.invariant import EVERYWHERE, invariant_claim
from harness.verdict.checkers.processor import processor_claim
from harness.verdict.checkers.ratio import ratio_claim
from harness.verdict.checkers.recovery import recovery_claim
from harness.verdict.holm import beyond_chance
from harness.verdict.obligations import obligations
from harness.verdict.outcome import Claim, Outcome, Verdict, worst
from harness.verdict.sharing import judged_part

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.history.history import History
    from harness.measure.invariants.finding import Finding
    from harness.spec.invariant import Invariant, Promise
    from harness.spec.scenario import Scenario


def judge(scenario: Scenario, history: History, *, confidence: float, family: int = 1) -> Verdict:
    """Judge one experiment.

    Args:
        scenario: With all its objectives, defaults included.
        history: What was seen.
        confidence: Of each one-sided bound, and that none of the run's claims fails by chance, in (0.5, 1).
        family: How many claims the whole run makes; at least its own are counted.
    """
    judged = judged_part(scenario, history)
    own = claims_made(judged.promises)
    alone = [_filed(promise, scenario, history, confidence) for promise in judged.promises]
    claims = beyond_chance(alone, family=max(family, own), confidence=confidence)
    met = obligations(scenario, history, claims)
    said = [(item.outcome, item.sentence) for item in met] + [(item.outcome, item.sentence) for item in claims]
    outcome = worst(outcome for outcome, _ in said) if claims else Outcome.ERROR
    return Verdict(
        scenario=scenario.scenario,
        outcome=outcome,
        sentence=_reason(outcome, [sentence for each, sentence in said if each is outcome], judged),
        obligations=met,
        claims=claims,
        confidence=confidence,
        family=max(family, own),
    )


def claim_of(promise: Promise, scenario: Scenario, history: History, confidence: float) -> Claim:
    """Judge one promise, as if it were the only one."""
    match promise:
        case Slow() | Errors() | Late() | Hits():
            return ratio_claim(promise, scenario, history, confidence)
        case Processor():
            return processor_claim(promise, scenario, history, confidence)
        case Recovery():
            return recovery_claim(promise, scenario, history)
        case _:
            return invariant_claim(promise, _finding(promise, scenario, history))


def _finding(promise: Invariant, scenario: Scenario, history: History) -> Finding:
    """Look for what breaks an invariant."""
    match promise:
        case NoAcknowledgedWriteLost():
            found = no_acknowledged_write_lost(promise, history)
        case VersionsOnlyGrow():
            found = versions_only_grow(promise, scenario.load, history)
        case LimiterNeverOverAdmits():
            found = limiter_never_over_admits(promise, scenario.load, history)
        case MonotonicReads():
            found = monotonic_reads(promise, scenario.load, history)
        case ResponsesBelongToRequests():
            found = responses_belong_to_requests(scenario.load, history)
        case ReturnsToBaseline():
            found = returns_to_baseline(promise, history)
        case TasksDoneOnce():
            found = tasks_done_once(promise, scenario.load, history)
        case NoDuplicateEffect():
            found = no_duplicate_effect(scenario.load, history)
        case BreakerTrace():
            found = breaker_trace(promise, history)
        case _:
            assert_never(promise)
    return found


def _filed(promise: Promise, scenario: Scenario, history: History, confidence: float) -> Claim:
    """Judge one promise, and tell it as one of every scenario if it is."""
    claim = claim_of(promise, scenario, history, confidence)
    return replace(claim, phase=EVERYWHERE) if promise in scenario.default_invariants else claim


def claims_made(promises: Iterable[Promise]) -> int:
    """Return how many of `promises` are judged by chance."""
    return sum(promise.is_statistical for promise in promises)


def _reason(outcome: Outcome, sentences: list[str], scenario: Scenario) -> str:
    if not scenario.promises:
        return "error: there is no objective, and a scenario that promises nothing proves nothing"
    if outcome is Outcome.PASS:
        return f"pass: {_kept(scenario)} kept"
    more = f" (and {len(sentences) - 1} more)" if len(sentences) > 1 else ""
    said = sentences[0] if sentences[0].startswith(f"{outcome}: ") else f"{outcome}: {sentences[0]}"
    return said + more


def _kept(scenario: Scenario) -> str:
    said = f"{len(scenario.objectives)} objectives"
    invariants = len(scenario.all_invariants)
    return f"{said} and {invariants} invariant{'s' if invariants > 1 else ''}" if invariants else said
