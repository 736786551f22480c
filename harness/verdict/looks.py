"""How sure a bound is, where a phase may be made longer to see more.

A phase whose promises are still open may go on, so there is more than one moment at which they could be judged. The
error that is allowed is divided among these looks, so that, whichever is the last, the chance of a wrong verdict stays
what it was: nearly all of it belongs to the first look, which is mostly the only one.
"""

from __future__ import annotations

FIRST_LOOK_RATIO = 0.8
"""Of the error that is allowed: the first bound is at 96 % instead of 95 %, which costs 6 % of its width."""


def confidence_at(look: int, *, looks: int, confidence: float) -> float:
    """Return the confidence of each bound at a look.

    Args:
        look: 1 for the first.
        looks: How many there may be.
        confidence: Of all looks together.
    """
    if looks == 1:
        return confidence
    share = FIRST_LOOK_RATIO if look == 1 else (1 - FIRST_LOOK_RATIO) / (looks - 1)
    return 1 - share * (1 - confidence)


def p_value_at(p: float, *, sure: float, confidence: float) -> float:
    """Return a p-value, made larger where the error that is allowed is divided among several looks.

    Holm's procedure compares it with the whole; what one look may spend of that is a part.

    Args:
        p: By the evidence of the look alone.
        sure: The confidence of its bounds.
        confidence: Of all looks together.
    """
    return float(f"{min(1.0, p * (1 - confidence) / (1 - sure)):.3g}")
