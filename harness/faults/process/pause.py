"""`pause`: all processes of the target are frozen, so that its connections stay open and nothing answers.

SIGSTOP to each process of the service, or the engine's pause of its container; both end by the opposite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.process.service import service_of
from harness.faults.undo import take_back
from harness.spec.faults.target import SILENCE_S
from harness.stack.ready import wait_until_ready

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Entry, Ledger
    from harness.spec.faults import Pause


class PauseAction:
    """Freezes a service, and thaws it at its end."""

    def __init__(self, fault: Pause, site: Site) -> None:
        self._service = service_of(fault, site.stack)
        self._clock = site.clock
        self._noted: list[Entry] = []

    @staticmethod
    def unavailable(backend: str) -> None:
        """Processes and containers alike can be frozen."""

    def begin(self, ledger: Ledger) -> None:
        """Freeze it."""
        self._noted.append(ledger.note("paused", self._service.name, **self._service.identity()))
        self._service.pause()

    def observe(self) -> Observation:
        """See that it is there, and answers nothing."""
        service = self._service
        try:
            took_s = service.round_trip_s(service.direct, within_s=SILENCE_S)
        except TimeoutError:
            return Observation(service.is_alive(), f"{service.name} is silent for {SILENCE_S:g} s")
        except OSError as error:
            return Observation(is_delivered=False, seen=f"{service.name} is not there: {type(error).__name__}")
        return Observation(is_delivered=False, seen=f"{service.name} answered after {took_s * 1000:.0f} ms")

    def crossed_bytes(self) -> None:
        """Nothing is heard by what is frozen."""

    def end(self, ledger: Ledger) -> None:
        """Thaw it, and wait until it answers."""
        if self._noted:
            take_back(self._noted, ledger, is_there=lambda _: False)  # seen to be gone when it answers
            wait_until_ready([self._service], clock=self._clock)
