"""Asking the service that stands what became of what it accepted, as the last thing that a run asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from harness.errors import LoadError
from harness.load.clients import LoginAnswer, logged_in
from harness.load.settling import Settling
from harness.stack.http_client import ask, get

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
    try:
        clients = logged_in(plan.scenario.load, context.secrets, Entry(stack.entry), mark=f"{mark}.later")
    except LoadError as error:  # what became of it stays unknown, and proves nothing
        context.listener.message(f"{plan.name}: nobody can ask what became of what was accepted: {error.what}")
        return ()
    asking = Settling(
        ask=lambda path, headers: _told(stack.entry, path, headers),
        clock=context.clock,
        origin_s=recorder.origin_s,
        clients=clients,
        say=lambda text: context.listener.message(f"{plan.name}: {text}"),
    )
    return asking.accounts(result.accepted, plan.scenario.load, result.samples, mark=mark, within_s=within_s)


@dataclass(frozen=True, slots=True)
class Entry:
    """Where users log in: once more, since what they were told before the load generator kept to itself."""

    address: Address
    within_s: float = ANSWER_WITHIN_S

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> LoginAnswer | None:
        """Send a request, and return the answer; None where none comes."""
        try:
            told = ask(self.address, method, path, within_s=self.within_s, headers=headers, body=body)
        except httpx.HTTPError:
            return None
        return LoginAnswer(told.status_code, told.headers, told.headers.get_list("set-cookie"), told.content)


def _told(address: Address, path: str, headers: Mapping[str, str]) -> httpx.Response | None:
    try:
        return get(address, path, within_s=ANSWER_WITHIN_S, headers=headers)
    except httpx.HTTPError:
        return None
