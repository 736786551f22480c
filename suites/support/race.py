"""Several ways to do one thing, timed in turns in one process, so that all of them meet the same machine.

What else the machine does only ever adds to a slice. So the best of many short slices is what a way costs, and the
ratio of two of them, from the same turns, hardly depends on the machine (as `timeit` says of the minimum).
"""

from __future__ import annotations

import time
from inspect import isawaitable
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LASTS_S = 1.5
ROUNDS_MIN = 15


def race(ways: Mapping[str, Callable[[], Any]], *, operations: int, lasts_s: float = LASTS_S) -> dict[str, float]:
    """Return seconds per operation of each way: a function that does it so many times, in a few milliseconds."""
    best = dict.fromkeys(ways, inf)
    for _ in _turns(lasts_s):
        for name, way in ways.items():
            began_s = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - began_s)
    return {name: seconds / operations for name, seconds in best.items()}


async def race_tasks(
    ways: Mapping[str, Callable[[], Any]], *, operations: int, lasts_s: float = LASTS_S
) -> dict[str, float]:
    """Do as `race` does; what a way returns is awaited, if it can be."""
    best = dict.fromkeys(ways, inf)
    for _ in _turns(lasts_s):
        for name, way in ways.items():
            began_s = time.perf_counter()
            result = way()
            if isawaitable(result):
                await result
            best[name] = min(best[name], time.perf_counter() - began_s)
    return {name: seconds / operations for name, seconds in best.items()}


def _turns(lasts_s: float) -> Any:
    ends_s, turn = time.perf_counter() + lasts_s, 0
    while time.perf_counter() < ends_s or turn < ROUNDS_MIN:
        turn += 1
        yield turn
