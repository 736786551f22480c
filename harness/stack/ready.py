"""Waiting until services are ready: with a deadline, a reason, and the tail of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import NotReadyError, SubjectError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.clock import Clock
    from harness.stack.service import Service

TAIL = 15
"""How many lines of a log are quoted."""


def wait_until_ready(
    services: Sequence[Service],
    *,
    clock: Clock,
    deadline_s: float | None = None,
    is_its_own_doing: Callable[[Service], bool] = lambda _service: False,
) -> list[float]:
    """Wait until every service answers; return for each when it first did, on `clock`.

    Args:
        services: Started already.
        clock: The time.
        deadline_s: How long each may take; by default as long as its own description says.
        is_its_own_doing: Asked of one that is not ready: whether it is the judged service, and nothing else to blame.

    Raises:
        SubjectError: As below, where that is the judged service's own doing.
        NotReadyError: If one dies or does not answer in time; it names the service, says what was seen of it, and
            shows the tail of its log.
    """
    began_s = clock.now()
    seen: dict[str, float] = {}
    while len(seen) < len(services):
        waiting = [service for service in services if service.name not in seen]
        for service in waiting:
            within_s = service.ready_within_s if deadline_s is None else deadline_s
            if service.is_ready():
                seen[service.name] = clock.now()
            elif not service.is_alive():
                raise _not_ready(service, f"{service.name} died while starting", is_its_own_doing)
            elif clock.now() - began_s > within_s:
                what = f"{service.name} gave no healthy answer within {within_s:g} s"
                raise _not_ready(service, what, is_its_own_doing)
        clock.sleep(0.02)
    return [seen[service.name] for service in services]


def check_is_alive(service: Service) -> None:
    """See that a worker of the judged service is there: that is all that can be known of it.

    Raises:
        SubjectError: If it is not; as above.
    """
    if not service.is_alive():
        raise _not_ready(service, f"{service.name} died while starting", lambda _service: True)


def _not_ready(service: Service, what: str, is_its_own_doing: Callable[[Service], bool]) -> NotReadyError:
    why = service.why_not_ready()
    told = f"{what}: {why}" if why else what
    error = SubjectError if is_its_own_doing(service) else NotReadyError
    return error(told, where=str(service.direct), fix=its_last_words(service.logs(TAIL)))


def its_last_words(text: str) -> str:
    """Return what is said to do where a log tells more: what it ends with, marked as a quotation."""
    lines = "\n".join(f"    | {line}" for line in (text or "(it wrote nothing)").splitlines())
    return f"its last words say why:\n{lines}"
