"""One budget of processor time, judged over its phase: the share of seconds that were over it, by the bounds of shares.

Seconds take the place of requests, and the statistic is the one of all shares: exact bounds, of as many independent
seconds as these are worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.history.machine import Taken, is_clean, taken_between
from harness.measure.effective_sample import worth
from harness.measure.machine import CLEAN_SECONDS_MIN
from harness.measure.processor import spent_per_answer_s, spent_seconds
from harness.measure.ratios import Count
from harness.verdict.checkers.share import Share, share_claim
from harness.verdict.checkers.wording import label_of, share_text
from harness.verdict.looks import confidence_at
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history.history import History
    from harness.measure.processor import SpentSecond
    from harness.spec.objective import Processor
    from harness.spec.scenario import Scenario
    from harness.verdict.outcome import Claim


@dataclass(frozen=True, slots=True)
class _Alibi:
    """What the machine has to say for a service that used too much.

    Attributes:
        taken: What strangers took.
        without: What the seconds say in which they took next to nothing.
        is_broken: Whether the budget is broken by those as well.
    """

    taken: Taken
    without: Share
    is_broken: bool


def processor_claim(objective: Processor, scenario: Scenario, history: History, confidence: float) -> Claim:
    """Judge one budget.

    Args:
        objective: The budget.
        scenario: It is one of its.
        history: What was seen.
        confidence: Of all looks together, in (0.5, 1).
    """
    mark, seconds = history.phase(objective.during), spent_seconds(objective, history)
    looks = scenario.looks_during(objective.during)
    sure = confidence_at(mark.looks if mark else 1, looks=looks, confidence=confidence)
    found = _share(seconds, sure)
    alibi = _alibi(objective, history, seconds, sure) if _outcome(objective, found) is Outcome.FAIL else None
    is_excused = alibi is not None and not alibi.is_broken
    outcome = Outcome.INCONCLUSIVE if is_excused else _outcome(objective, found)
    sentence = _sentence(objective, outcome, found, seconds, label_of(scenario, objective))
    if alibi and is_excused:
        sentence += _alibi_text(alibi)
    elif outcome is Outcome.INCONCLUSIVE:
        sentence += _wish(objective, found)
    # What fails with and without the seconds of strangers must be no chance without them.
    deciding = alibi.without if alibi and alibi.is_broken else found
    return share_claim(objective, found, outcome, sentence, p_value=deciding.chance(objective, confidence))


def _share(seconds: Sequence[SpentSecond], sure: float) -> Share:
    over = [each.is_over is True for each in seconds]
    known = [each.is_over is not None for each in seconds]
    return Share(Count(sum(over), sum(known)), worth(over, known), sure)


def _alibi(objective: Processor, history: History, seconds: Sequence[SpentSecond], sure: float) -> _Alibi | None:
    """Ask the machine about a broken budget: beside strangers the same work may take a processor longer."""
    mark = history.phase(objective.during, after_s=objective.after)
    taken = taken_between(history.machine, mark.began_s, mark.ended_s) if mark else None
    if taken is None:
        return None
    without = _share([each for each in seconds if is_clean(each.machine)], sure)
    is_broken = without.seen.total >= CLEAN_SECONDS_MIN and _outcome(objective, without) is Outcome.FAIL
    return _Alibi(taken, without, is_broken)


def _outcome(objective: Processor, found: Share) -> Outcome:
    """Decide from the bounds; of no seconds they are 0 and 1, which is inconclusive by itself."""
    if found.lower > objective.limit:
        return Outcome.FAIL
    return Outcome.PASS if found.upper < objective.limit else Outcome.INCONCLUSIVE


def _sentence(objective: Processor, outcome: Outcome, found: Share, seconds: Sequence[SpentSecond], label: str) -> str:
    """Say `fail: processor 100.0 % [86.1, 100.0] > 20 % during fault (redis down); n = 20 s, 8.1ms an answer`."""
    seen, total = found.seen, len(seconds)
    if seen.share is None:
        why = "it was not measured" if all(each.machine.spent_s is None for each in seconds) else "nothing was answered"
        return f"{outcome}: {objective.measured} unknown during {label}; {why}"
    said = share_text(objective, outcome, seen.share, (found.lower, found.upper))
    counted = f"n = {seen.total} s" if seen.total == total else f"n = {seen.total} of {total} s"
    return f"{said} during {label}; {counted}{_remarks(found, seconds)}"


def _remarks(found: Share, seconds: Sequence[SpentSecond]) -> str:
    said = f", worth {int(found.effective)} independent ones" if found.is_worth_less else ""
    spent_s = spent_per_answer_s(seconds)
    return said if spent_s is None else f"{said}, {spent_s * 1000:.3g}ms an answer"


def _wish(objective: Processor, found: Share) -> str:
    """Say how many seconds would have been enough, where the share itself looks good."""
    seen = found.seen
    if seen.share is None or seen.share >= objective.limit:
        return ""
    return f", {found.needed(objective.limit)} s would prove it with {seen.events} such"


def _alibi_text(alibi: _Alibi) -> str:
    rest = alibi.without.seen
    said = f", but {alibi.taken}"
    return f"{said}; without those {rest.events} of {rest.total} s broke it" if rest.total else said
