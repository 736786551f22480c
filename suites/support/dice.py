"""Dice of the suites' own: the same in each run, unless the run has a seed of its own (READINESS_SEED)."""

from __future__ import annotations

import os
from random import Random

VARIABLE = "READINESS_SEED"


def seed_of_the_run() -> str | None:
    """Return the seed that this run was given, if any."""
    return os.environ.get(VARIABLE) or None


def dice_of(number: object) -> Random:
    """Return a test's dice, by a number that no other dice of this test have."""
    seed = seed_of_the_run()
    return Random(f"{number}") if seed is None else Random(f"{seed}: {number}")
