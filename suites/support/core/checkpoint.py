"""Our checkpoints as an adapter of their contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fixtures.reference.core.checkpoint import CheckpointPolicy, Fenced, UncertainStep
from fixtures.reference.parts import Design
from suites.support.core.fates import FatedLink

if TYPE_CHECKING:
    from collections.abc import Callable

    from fixtures.reference.core.checkpoint import Claim
    from fixtures.reference.core.redis_link import RedisLink


class OurCheckpoints:
    """Each claim on a link of its own, as in a process of its own."""

    fenced = Fenced
    uncertain = UncertainStep

    def __init__(self, linked: Callable[..., RedisLink], task: str, design: Design | None = None) -> None:
        self._linked, self._task = linked, task
        self._kind = (design or Design()).checkpoints

    async def claim(self, run: str, *, dies_after: int | None = None) -> Claim:
        """Claim a run in a process that dies before it has sent another command after so many."""
        link = self._linked(kind=FatedLink)
        if dies_after is not None:
            link.fates.extend([*["ok"] * dies_after, "dies"])
        return await self._kind(link, CheckpointPolicy()).claim(self._task, run)

    async def done(self, run: str) -> set[str]:
        """Return the names of the steps that are done."""
        steps = await self._kind(self._linked(), CheckpointPolicy()).steps(self._task, run)
        return {name for name, step in steps.items() if step.is_done}

    async def left_s(self, run: str) -> float:
        """Return until when the run is known, seconds from now."""
        return await self._linked()._send("PTTL", f"ckpt:{self._task}:{run}") / 1000
