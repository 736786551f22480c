"""Waiting until services are ready: with a deadline, a reason, and the tail of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import NotReadyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.clock import Clock
    from harness.stack.service import Service

READY_WITHIN_S = 20.0
"""Ten times what the slowest part takes on two idle cores (measured: a replica, 1.5 to 2 s)."""


def wait_until_ready(services: Sequence[Service], *, clock: Clock, deadline_s: float = READY_WITHIN_S) -> list[float]:
    """Wait until every service answers; return for each when it first did, on `clock`.

    Raises:
        NotReadyError: If one dies or does not answer in time; it names the service and shows the tail of its log.
    """
    until = clock.now() + deadline_s
    seen: dict[str, float] = {}
    while len(seen) < len(services):
        for service in services:
            if service.name not in seen:
                _look(service, seen, clock)
        if clock.now() > until:
            late = next(service for service in services if service.name not in seen)
            raise _not_ready(late, f"{late.name} gave no healthy answer within {deadline_s:g} s")
        clock.sleep(0.02)
    return [seen[service.name] for service in services]


def _look(service: Service, seen: dict[str, float], clock: Clock) -> None:
    if service.is_ready():
        seen[service.name] = clock.now()
    elif not service.is_alive():
        raise _not_ready(service, f"{service.name} died while starting")


def _not_ready(service: Service, what: str) -> NotReadyError:
    tail = service.logs(15) or "(it wrote nothing)"
    lines = "\n".join(f"    | {line}" for line in tail.splitlines())
    return NotReadyError(what, where=str(service.direct), fix=f"its last words say why:\n{lines}")
