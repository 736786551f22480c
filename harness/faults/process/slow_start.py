"""`slow-start`: the target is restarted, and held before its program runs: its process is there, and does not listen.

This is how a service looks that loads, migrates or compiles for a while: alive to the machine, and deaf. Its
process stops itself before it becomes the program (`stack/backends/launcher.py`): at no moment does it listen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.process.service import service_of
from harness.stack.backends.choice import CONTAINERS
from harness.stack.ready import wait_until_ready

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Ledger
    from harness.spec.faults import SlowStart


class SlowStartAction:
    """Restarts a service held, and lets it go at its end.

    The ledger needs no entry of its own for this: the held process is noted when it starts, and is ended with the run.
    """

    def __init__(self, fault: SlowStart, site: Site) -> None:
        self._service = service_of(fault, site.stack)
        self._clock = site.clock
        self._has_begun = False

    @staticmethod
    def unavailable(backend: str) -> str | None:
        """Say why it cannot be done: an engine starts a container's program at once, and freezes it too late."""
        return "a container cannot be held before its program runs" if backend == CONTAINERS else None

    def begin(self, ledger: Ledger) -> None:  # noqa: ARG002 - see the class
        """Kill it, and start it held."""
        self._has_begun = True
        self._service.kill()
        self._service.start(held=True)

    def observe(self) -> Observation:
        """See that its process is there, and that nothing listens at its address."""
        service = self._service
        try:
            service.round_trip_s(service.direct)
        except ConnectionRefusedError:
            said = "is there, and does not listen" if service.is_alive() else "is not there at all"
            return Observation(service.is_alive(), f"{service.name} {said}")
        except OSError as error:
            return Observation(is_delivered=False, seen=f"{service.name} listens: {type(error).__name__}")
        return Observation(is_delivered=False, seen=f"{service.name} answers at {service.direct}")

    def crossed_bytes(self) -> None:
        """Nothing is heard by what does not listen."""

    def end(self, ledger: Ledger) -> None:  # noqa: ARG002 - see the class
        """Let it run, and wait until it is ready."""
        if not self._has_begun:
            return
        if self._service.is_alive():
            self._service.resume()
        else:
            self._service.start()
        wait_until_ready([self._service], clock=self._clock)
