"""`blackhole`: connections to the target are accepted and stay open, and nothing passes, in either direction.

Toxiproxy's `timeout` of 0 in both directions, which our own proxy does alike. What it swallows is lost, so when the
fault ends the proxy closes the connections that were hurt: in a real network their peers would send again instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.network.edges import ask, why_silent_itself
from harness.faults.network.toxic import ToxicAction
from harness.spec.faults.target import SILENCE_S
from harness.stack.proxy import Toxic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.stack.service import Edge

STREAMS = ("upstream", "downstream")


class BlackholeAction(ToxicAction):
    """Swallows both directions of each edge."""

    def toxics(self, edge: Edge) -> Iterable[Toxic]:
        """Return one for each direction; a timeout of 0 never closes."""
        for stream in STREAMS:
            yield Toxic(edge.name, f"{self._fault_id}-{stream}", "timeout", {"timeout": 0}, stream)

    def look(self, edge: Edge) -> Observation:
        """See that a new connection is accepted and not answered, while the service behind it answers."""
        try:
            took_s = ask(self._stack, edge, within_s=SILENCE_S)
        except TimeoutError:
            return self._look_behind(edge)
        except OSError as error:
            said = f"{edge.name} does not stay open: {type(error).__name__}"
            return Observation(is_delivered=False, seen=said)
        return Observation(is_delivered=False, seen=f"{edge.name} answered after {took_s * 1000:.0f} ms")

    def _look_behind(self, edge: Edge) -> Observation:
        """Tell a swallowed question from a service that answers nothing at all, which is another fault."""
        why_not = why_silent_itself(self._stack, edge)
        if why_not:
            return Observation(is_delivered=False, seen=f"{edge.name} is silent, but {why_not}")
        return Observation(is_delivered=True, seen=f"{edge.name} accepts and is silent for {SILENCE_S:g} s")
