"""Whether later runs of a scenario are worse than earlier ones: a run is one value, and few runs prove little.

`fail` (worse) needs an exact test over whole runs *and* a shift beyond a floor, in the bad direction. `pass` (no
worse) needs the whole bound of the shift within that floor: that no difference was found does not mean that there is
none, so everything in between is `inconclusive`.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from harness.measure.mann_whitney import shift, shift_bounds, two_sided_p
from harness.measure.quantities import Quantity
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.measure.quantities import Block, Figure

BLOCKS_MIN = 5
"""Runs a side. With four against four the least two-sided p is 2 of 70: one run out of order, and nothing is shown."""

ALPHA = 0.05
"""Of the two-sided test; half of it is spent on getting better, so at most one comparison in forty is a false alarm."""

FLOOR_RATIO = 0.05
"""Of the baseline's median. A smaller shift may well be real, and is no reason to roll back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One quantity of one phase, before and after.

    Attributes:
        scenario: The scenario's name.
        phase: The phase; empty where there were too few runs to compare anything.
        quantity: What was compared; None as above.
        outcome: PASS no worse, FAIL worse, INCONCLUSIVE not to be told.
        sentence: The outcome with its numbers; stands alone.
        p: Of the two-sided test; None where nothing was tested.
        shift: How much larger the later runs are, in the quantity's unit; None as above.
    """

    scenario: str
    phase: str = ""
    quantity: Quantity | None = None
    outcome: Outcome
    sentence: str
    p: float | None = None
    shift: float | None = None


def compared(
    scenario: str, before: Sequence[Block], after: Sequence[Block], *, floor_ratio: float = FLOOR_RATIO
) -> tuple[Comparison, ...]:
    """Compare runs of one scenario, made under equal settings.

    Args:
        scenario: Its name.
        before: The baseline's runs, in any order.
        after: Later runs, none of which is in `before`.
        floor_ratio: The least shift that matters, as a share of the baseline's median.
    """
    lacking = missing_blocks(before, after)
    if lacking:
        return (uncompared(scenario, lacking),)
    known = list(dict.fromkeys((each.phase, each.quantity) for block in before for each in block.figures))
    return tuple(_comparison(scenario, phase, quantity, (before, after), floor_ratio) for phase, quantity in known)


def uncompared(scenario: str, why: str) -> Comparison:
    """Return what can be said of later runs that cannot be compared: the worst ones may be among these.

    A run that was stopped because a promise was broken beyond doubt is one; without it the others would look well.
    """
    return Comparison(scenario=scenario, outcome=Outcome.INCONCLUSIVE, sentence=f"inconclusive: {why}")


def missing_blocks(before: Sequence[Block], after: Sequence[Block]) -> str:
    """Say how many runs a comparison still needs; nothing if there are enough."""
    return "; ".join(
        missing_text(len(blocks), where)
        for where, blocks in (("in the baseline", before), ("to compare with it", after))
        if len(blocks) < BLOCKS_MIN
    )


def missing_text(count: int, where: str = "") -> str:
    """Return `2 more runs are needed (3 of 5)`."""
    lacking = BLOCKS_MIN - count
    needed = "1 more run is needed" if lacking == 1 else f"{lacking} more runs are needed"
    return f"{needed}{where and f' {where}'} ({count} of {BLOCKS_MIN})"


def first_difference(one: Any, other: Any, path: str = "") -> tuple[str, Any, Any] | None:
    """Return the first key path at which two settings differ, and both values; None if they are equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        parts: Iterator[Any] = (
            first_difference(one.get(key), other.get(key), f"{path}.{key}".removeprefix("."))
            for key in sorted({*one, *other})
        )
        return next((found for found in parts if found), None)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        parts = (first_difference(*pair, f"{path}[{at}]") for at, pair in enumerate(zip(one, other, strict=True)))
        return next((found for found in parts if found), None)
    return None if one == other else (path, one, other)


def _comparison(
    scenario: str,
    phase: str,
    quantity: Quantity,
    sides: tuple[Sequence[Block], Sequence[Block]],
    floor_ratio: float,
) -> Comparison:
    figures = [[block.figure(phase, quantity) for block in side] for side in sides]
    about = f"{quantity} during {phase}"
    before, after = (_values(side) for side in figures)
    if not before or not after or len(before) < len(sides[0]) or len(after) < len(sides[1]):
        seen = f"measured in {len(before)} of {len(sides[0])} and {len(after)} of {len(sides[1])} runs"
        sentence = f"inconclusive: {about} was {seen}"
        return Comparison(
            scenario=scenario, phase=phase, quantity=quantity, outcome=Outcome.INCONCLUSIVE, sentence=sentence
        )
    floor = max(floor_ratio * median(before), _one_request(quantity, [*figures[0], *figures[1]]))
    return _judged(scenario, phase, quantity, (before, after), floor)


def _values(figures: Sequence[Figure | None]) -> list[float]:
    return [figure.value for figure in figures if figure is not None and figure.value is not None]


def _one_request(quantity: Quantity, figures: Sequence[Figure | None]) -> float:
    """Return the share of one request in the smallest run: what errors differ by, where there are nearly none."""
    totals = [figure.total for figure in figures if figure is not None and figure.total]
    return 0.0 if quantity is Quantity.P95 or not totals else 1 / min(totals)


def _judged(
    scenario: str, phase: str, quantity: Quantity, sides: tuple[list[float], list[float]], floor: float
) -> Comparison:
    p, moved = two_sided_p(*sides), shift(*sides)
    lower, upper = shift_bounds(*sides, confidence=1 - ALPHA)
    worse, at_most = (-moved, -lower) if quantity.is_better_high else (moved, upper)
    outcome = _outcome(p, worse, at_most, floor)
    said = _sentence(outcome, quantity, {"p": p, "worse": worse, "at_most": at_most, "floor": floor})
    medians = " → ".join(_text(quantity, median(side)) for side in sides)
    runs = f"{len(sides[0])} runs against {len(sides[1])}"
    return Comparison(
        scenario=scenario,
        phase=phase,
        quantity=quantity,
        outcome=outcome,
        sentence=f"{outcome}: {quantity} during {phase} {medians}: {said}; {runs}",
        p=p,
        shift=moved,
    )


def _outcome(p: float, worse: float, at_most: float, floor: float) -> Outcome:
    if p < ALPHA and worse > floor:
        return Outcome.FAIL
    return Outcome.PASS if at_most <= floor else Outcome.INCONCLUSIVE


def _sentence(outcome: Outcome, quantity: Quantity, numbers: Mapping[str, float]) -> str:
    said = {name: _text(quantity, abs(value)) for name, value in numbers.items()}
    floor = f"what matters is {said['floor']}"
    match outcome:
        case Outcome.FAIL:
            return f"worse by {said['worse']} (p = {numbers['p']:.3f}), {floor}"
        case Outcome.PASS if numbers["at_most"] <= 0:
            return f"no worse ({1 - ALPHA:.0%} sure), {floor}"
        case Outcome.PASS:
            return f"worse by {said['at_most']} at most ({1 - ALPHA:.0%} sure), {floor}"
        case _:
            return f"may be worse by {said['at_most']} ({1 - ALPHA:.0%} bound), {floor}"


def _text(quantity: Quantity, value: float) -> str:
    return f"{value * 1000:.2f} ms" if quantity is Quantity.P95 else f"{value * 100:.2f} %"
