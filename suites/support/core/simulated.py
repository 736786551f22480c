"""An event loop in which no time is waited for: where nothing is left to do, time jumps to the next timer.

So a test of minutes takes milliseconds, and the same program runs in the same order each time. It is for code that
waits only for timers and for other tasks; sockets and threads have no place in it.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class StuckError(Exception):
    """All tasks wait for each other, and no timer will wake any of them."""


class _Jumping(selectors.SelectSelector):
    """A selector that moves the time of its loop where others block."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise StuckError("nothing is left that could happen")
        self.now_s += max(0.0, timeout)
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop whose time moves only by its own timers; it is its own clock for the parts of the core."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s

    now = time


def simulate(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in simulated time, and let go of what it left behind; return what it returns."""
    loop = SimulatedLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work)


def clock() -> SimulatedLoop:
    """Return the clock of the running simulation."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    return loop


async def until_settled(turns: int = 10) -> None:
    """Let everything happen that needs no time."""
    for _ in range(turns):
        await asyncio.sleep(0)


def in_simulated_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of a coroutine function that runs in simulated time; it takes fixtures and parameters as before."""

    @functools.wraps(test)
    def simulated(*args: Any, **kwargs: Any) -> None:
        simulate(test(*args, **kwargs))

    return simulated
