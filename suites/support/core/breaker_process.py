"""One process with a shared breaker, for tests that need several: calls a dependency that is down for a while.

It is given its part on the command line, as JSON; says `ready`; reads from what moment on to call; and prints what it saw.
Times are of the machine's monotonic clock, which all processes of a host read alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from random import Random

from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.breaker import Breaker, BreakerPolicy, CircuitOpen
from fixtures.reference.core.redis_link import RedisLink, RedisLinkPolicy
from fixtures.reference.core.shared_breaker import SharedBreaker, SharedBreakerPolicy

clock = MonotonicClock()
PAUSE_S = 0.005


class Story:
    """What one process did and saw."""

    def __init__(self, part: dict, start_s: float) -> None:
        self.start_s, self.part = start_s, part
        self.told: list[tuple[float, str, str]] = []
        self.calls: list[tuple[float, float]] = []
        self.longest_pause_s = 0.0
        self.was_alone = False

    async def live(self, breaker: SharedBreaker) -> None:
        """Call again and again; a call that is let through takes a moment, and fails while the dependency is down."""
        last_s = self.start_s
        while (now_s := clock.now()) < self.start_s + self.part["lasts_s"]:
            self.longest_pause_s, last_s = max(self.longest_pause_s, now_s - last_s), now_s
            with contextlib.suppress(OSError, CircuitOpen):
                await breaker.call(self.ask, failures=(OSError,))
            self.was_alone |= breaker.is_alone
            await asyncio.sleep(PAUSE_S)

    async def ask(self) -> None:
        began_s = clock.now()
        if began_s < self.start_s + self.part["down_s"]:
            self.calls.append((began_s, began_s))
            raise OSError
        await asyncio.sleep(self.part["takes_s"])
        self.calls.append((began_s, clock.now()))

    def note(self, _name: str, old: str, new: str) -> None:
        self.told.append((clock.now(), old, new))


async def main() -> None:
    part = json.loads(sys.argv[1])
    own = Breaker("redis", BreakerPolicy(), clock=clock, random=Random(part["seed"]))
    link = RedisLink(RedisLinkPolicy(host="127.0.0.1", port=part["port"], op_timeout_s=5), breaker=own)
    await link.ping()
    print("ready", flush=True)  # noqa: T201 - its parent reads it
    story = Story(part, float(sys.stdin.readline()))
    policy = BreakerPolicy(recovery_s=part["recovery_s"], jitter_ratio=0.0)
    breaker = SharedBreaker(
        part["name"],
        SharedBreakerPolicy(breaker=policy, look_every_s=part["look_every_s"]),
        link=link,
        clock=clock,
        random=Random(part["seed"]),
        on_transition=story.note,
    )
    await asyncio.sleep(story.start_s - clock.now())
    await story.live(breaker)
    await breaker.settle()
    await link.close()
    seen = {name: getattr(story, name) for name in ("told", "calls", "longest_pause_s", "was_alone")}
    print(json.dumps({**seen, "state": breaker.state}))  # noqa: T201 - its parent reads it


if __name__ == "__main__":
    asyncio.run(main())
