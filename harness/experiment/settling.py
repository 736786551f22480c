"""Asking the service that stands what became of what it accepted, as the last thing that a run asks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from harness.load.settling import Settling
from harness.stack.plain_http import get

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.experiment.context import RunContext
    from harness.experiment.recorder import Recorder
    from harness.history.accounts import Account
    from harness.load.engine import LoadResult
    from harness.plan import Plan
    from harness.stack.service import Address
    from harness.stack.stack import Stack

ANSWER_WITHIN_S = 2.0
"""Of one question; whoever does not answer it is asked again."""


def settled(
    plan: Plan, context: RunContext, stack: Stack, recorder: Recorder, result: LoadResult, *, mark: str
) -> tuple[Account, ...]:
    """Return what became of what was accepted by a load of this mark, where the scenario promises anything of that."""
    within_s = plan.scenario.settles_within_s
    if not result.accepted or not within_s:
        return ()
    asking = Settling(
        ask=lambda path, headers: _told(stack.entry, path, headers),
        clock=context.clock,
        origin_s=recorder.origin_s,
        say=lambda text: context.listener.message(f"{plan.name}: {text}"),
    )
    return asking.accounts(result.accepted, plan.scenario.load, result.samples, mark=mark, within_s=within_s)


def _told(address: Address, path: str, headers: Mapping[str, str]) -> httpx.Response | None:
    try:
        return get(address, path, within_s=ANSWER_WITHIN_S, headers=headers)
    except httpx.HTTPError:
        return None
