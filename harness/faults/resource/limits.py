"""What faults share that lower a limit of each process of a service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import psutil

from harness.errors import FaultError, HarnessError, StackError
from harness.faults.action import Observation
from harness.faults.process_limits import is_less, set_soft_limit, soft_limit, why_not
from harness.faults.undo import is_left, take_back
from harness.spec.faults.target import nothing_to_hit
from harness.stack.backends.choice import CONTAINERS
from harness.stack.backends.process import is_gone
from harness.stack.blueprint import PROXY
from harness.stack.ready import wait_until_ready

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Entry, Ledger
    from harness.spec.faults import LimitFault
    from harness.stack.service import Service
    from harness.stack.stack import Stack


class LimitAction(ABC):
    """Lowers a limit of each process of a service, to what that process has and a little more."""

    limit: ClassVar[str]
    """What it limits, in the words of `process_limits`."""

    def __init__(self, fault: LimitFault, site: Site) -> None:
        self._fault = fault
        self._service = _limited_service(fault, site.stack)
        self._clock = site.clock
        self._noted: list[Entry] = []
        self._lowered = set[int]()

    @staticmethod
    def unavailable(backend: str) -> str | None:
        """Say why it cannot be done on `backend`, or on this machine."""
        return why_not(is_contained=backend == CONTAINERS)

    @abstractmethod
    def limit_of(self, pid: int) -> int:
        """Return the limit under which a process has what the fault leaves it."""

    @abstractmethod
    def use_of(self, pid: int, limit: int) -> str:
        """Say what a process has of what it may."""

    def begin(self, ledger: Ledger) -> None:
        """Note and limit each process; look for more until there are none, for one may be born meanwhile."""
        looked_at = set[psutil.Process]()
        while born := set(processes_of(self._service)) - looked_at:
            looked_at |= born
            for process in born:
                with suppress(psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):  # it ended meanwhile
                    self._limit(process, ledger)

    def _limit(self, process: psutil.Process, ledger: Ledger) -> None:
        former, started_s = soft_limit(process.pid, self.limit), process.create_time()
        if former in self._lowered:  # it was born of one that is limited, and is undone with that
            return
        lowered = self.limit_of(process.pid)
        if not is_less(lowered, than=former):
            what = f"{self._service.name} may have no more than that already"
            raise FaultError(what, where=f"`{self._fault}`", fix="leave it less")
        facts = {"limit": self.limit, "former": former, "lowered": lowered, "pid": process.pid, "started_s": started_s}
        self._noted.append(ledger.note("limit", self._service.name, **facts))
        self._lowered.add(lowered)
        set_soft_limit(process.pid, self.limit, lowered)

    def observe(self) -> Observation:
        """See of each process that is there what the kernel lets it have, and how much of that it has."""
        name = self._service.name
        try:
            processes = processes_of(self._service)
            limits = [soft_limit(each.pid, self.limit) for each in processes]
        except (HarnessError, OSError) as error:
            return Observation(is_delivered=False, seen=f"{name} is not there: {type(error).__name__}")
        unlimited = sum(limit not in self._lowered for limit in limits)
        if unlimited or not self._noted:
            said = f"{unlimited} of {len(limits)} processes of {name} may have as much as before"
            return Observation(is_delivered=False, seen=said)
        more = f", and {len(limits) - 1} processes below it as little" if len(limits) > 1 else ""
        with suppress(HarnessError, OSError):
            return Observation(is_delivered=True, seen=f"{name} {self.use_of(processes[0].pid, limits[0])}{more}")
        return Observation(is_delivered=False, seen=f"{name} is gone")

    def crossed_bytes(self) -> int | None:
        """Say that what a service lacks is nothing that bytes cross."""
        return None

    def end(self, ledger: Ledger) -> None:
        """Give it back what it had, start it again if it did not survive, and wait until it is ready."""
        has_begun = bool(self._noted)
        take_back(self._noted, ledger, is_there=is_left)
        self._lowered.clear()
        if has_begun:
            if not self._service.is_alive():
                self._service.start()
            wait_until_ready([self._service], clock=self._clock)


def _limited_service(fault: LimitFault, stack: Stack) -> Service:
    """Return the service that `fault` hurts; the proxy is none, for by it all others are healed.

    Raises:
        FaultError: If it is not there; it lists what could be hit.
    """
    known = {name: service for name, service in stack.services.items() if name != PROXY}
    if fault.target not in known:
        fix = f"targets here: {', '.join(sorted(known))}"
        raise FaultError(nothing_to_hit(fault), where="the scenario's faults", fix=fix)
    return known[fault.target]


def processes_of(service: Service) -> list[psutil.Process]:
    """Return the main process of a service and all below it that hold something, also of a container.

    Raises:
        StackError: If it does not run.
        FaultError: If it runs in a container whose processes are not seen from here.
    """
    try:
        main = psutil.Process(_main_pid(service))
        return [each for each in (main, *main.children(recursive=True)) if not is_gone(each)]
    except psutil.NoSuchProcess as error:
        raise StackError(f"{service.name} does not run", where=str(service.direct), fix="see its log") from error


def _main_pid(service: Service) -> int:
    identity = service.identity()
    if "pid" in identity:
        return int(identity["pid"])
    from harness.stack.backends import engine  # noqa: PLC0415 - a Docker client, only where it is needed

    container = str(identity["container"])
    with closing(engine.connect(str(identity["engine"]))) as client:
        pid = engine.main_pid(container, client)
    with suppress(OSError):
        if container in Path(f"/proc/{pid}/cgroup").read_text():
            return pid
    what = f"the processes of {service.name} are not seen from here"
    fix = "use an engine of this machine, not of a virtual one"
    raise FaultError(what, where=f"container {container[:12]}", fix=fix)
