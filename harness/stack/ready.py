"""Waiting until services are ready: with a deadline, a reason, and the tail of the log.

A service that computes while it starts takes longer beside strangers, whom it cannot help. So what they took of what
it lacked is not counted: it has its own time in seconds that were not theirs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.errors import NotReadyError, StarvedError, SubjectError
from harness.history.machine import is_taken, taken_between
from harness.stack.last_words import traced
from harness.stack.machine import LOOK_EVERY_S, Machine, MachineWatch
from harness.stack.stack import SUBJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from harness.clock import Clock
    from harness.history.machine import Taken
    from harness.stack.service import Service

TAIL = 15
"""How many lines of a log are quoted."""

_TRACEBACK = 100
"""How many are looked through for a traceback."""

_ASK_ELSEWHERE = (
    "name a path that answers 200 when it can serve, as system.subject.ready of readiness.toml, or raise ready_within"
)

LONGER_MIN_S = 5.0
"""A start beside strangers is waited for twice its own time, or so much longer: somebody waits for the verdict."""


class StartAlibi:
    """What strangers take of what the judged service lacks while it starts, looked at once a second.

    Args:
        machine: As the run sees it; the judged service has been started.
        clock: The time.
        is_refusing: Asked of a service that is late: see `HealthProbe`.
    """

    def __init__(self, machine: Machine, clock: Clock, is_refusing: Callable[[Service], bool]) -> None:
        self.is_refusing = is_refusing
        self._clock = clock
        self._began_s = clock.now()
        self._due_s = self._began_s + LOOK_EVERY_S
        self._watch = MachineWatch(machine, self._began_s)

    @property
    def taken_s(self) -> float:
        """Return how long the seconds were that strangers took."""
        return sum(second.lasted_s for second in self._watch.seconds if is_taken(second))

    @property
    def taken(self) -> Taken | None:
        """Return what they took, with its numbers; None if nothing."""
        return taken_between(self._watch.seconds, 0.0, math.inf)

    def look(self) -> bool:
        """Look at the machine if it is time; tell whether it was."""
        if self._clock.now() < self._due_s:
            return False
        self._watch.look()
        self._due_s = self._clock.now() + LOOK_EVERY_S
        return True


def start_alibi(
    judged: Sequence[Service], services: Iterable[Service], clock: Clock, is_refusing: Callable[[Service], bool]
) -> StartAlibi | None:
    """Begin to look at the machine while `judged` start; None where there is nothing to see.

    Args:
        judged: The judged service's processes, which have been started.
        services: All that the run has started.
        clock: The time.
        is_refusing: See `StartAlibi`.
    """
    if not judged:
        return None
    machine = Machine(judged, services, clock.now)
    return None if machine.why_not() else StartAlibi(machine, clock, is_refusing)


def wait_until_ready(
    services: Sequence[Service],
    *,
    clock: Clock,
    deadline_s: float | None = None,
    is_its_own_doing: Callable[[Service], bool] = lambda _service: False,
    alibi: StartAlibi | None = None,
) -> list[float]:
    """Wait until every service answers; return for each when it first did, on `clock`.

    Args:
        services: Started already.
        clock: The time.
        deadline_s: How long each may take; by default as long as its own description says.
        is_its_own_doing: Asked of one that is not ready: whether it is the judged service, and nothing else to blame.
        alibi: What strangers take from the judged service meanwhile, where that can be seen.

    Raises:
        SubjectError: As below, where that is the judged service's own doing.
        StarvedError: If it would be, and it had less than its time without strangers that took what it lacked.
        NotReadyError: If one dies or does not answer in time; it names the service, says what was seen of it, and
            shows the tail of its log.
    """
    began_s = clock.now()
    seen: dict[str, float] = {}
    while len(seen) < len(services):
        has_looked = alibi is None or alibi.look()
        waiting = [service for service in services if service.name not in seen]
        for service in waiting:
            within_s = service.ready_within_s if deadline_s is None else deadline_s
            if service.is_ready():
                seen[service.name] = clock.now()
            elif not service.is_alive():
                raise _not_ready(service, f"{service.name} died while starting", is_its_own_doing)
            elif has_looked and (waited_s := clock.now() - began_s) > within_s:
                _check_it_may_go_on(service, waited_s, within_s, is_its_own_doing, alibi)
        clock.sleep(0.02)
    return [seen[service.name] for service in services]


def check_is_alive(service: Service) -> None:
    """See that a worker of the judged service is there: that is all that can be known of it.

    Raises:
        SubjectError: If it is not; as above.
    """
    if not service.is_alive():
        raise _not_ready(service, f"{service.name} died while starting", lambda _service: True)


def _check_it_may_go_on(
    service: Service,
    waited_s: float,
    within_s: float,
    is_its_own_doing: Callable[[Service], bool],
    alibi: StartAlibi | None,
) -> None:
    """See that a service which is late has not had its time yet, but for seconds that strangers took.

    Raises:
        NotReadyError: If it had, or is not waited for any longer; see `wait_until_ready`.
    """
    what = f"{service.name} gave no healthy answer within {within_s:g} s"
    taken = alibi.taken if alibi else None
    if alibi is None or taken is None or alibi.is_refusing(service) or not is_its_own_doing(service):
        raise _not_ready(service, what, is_its_own_doing)
    if waited_s - alibi.taken_s > within_s:
        more = f"; {alibi.taken_s:.0f} s that strangers took are not counted"
        raise _not_ready(service, what, is_its_own_doing, more=more)
    if waited_s > within_s + max(within_s, LONGER_MIN_S):
        told = f"{service.name} gave no healthy answer within {waited_s:.0f} s, but {taken}"
        fix = "run on a quieter machine, or raise system.subject.ready_within"
        raise StarvedError(told, where=str(service.direct), fix=fix)


def _not_ready(
    service: Service, what: str, is_its_own_doing: Callable[[Service], bool], more: str = ""
) -> NotReadyError:
    why, is_judged = service.why_not_ready(), is_its_own_doing(service)
    found = traced(service.logs(_TRACEBACK)) if not service.is_alive() else None
    told = ": ".join([what, *([why] if why else []), *([found.error] if found else [])]) + more
    hint = (
        found.fix if found else _ASK_ELSEWHERE if service.is_alive() and (is_judged or service.name == SUBJECT) else ""
    )
    where = found.place if found and found.place else str(service.direct)
    error = SubjectError if is_judged else NotReadyError
    return error(told, where=where, fix="; ".join([*([hint] if hint else []), its_last_words(service.logs(TAIL))]))


def its_last_words(text: str) -> str:
    """Return what is said to do where a log tells more: what it ends with, marked as a quotation."""
    lines = "\n".join(f"    | {line}" for line in (text or "(it wrote nothing)").splitlines())
    return f"its last words say why:\n{lines}"
