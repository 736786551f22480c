"""`half-open`: connections to the target are accepted and stay open, and nothing passes in one direction.

Toxiproxy's `timeout` of 0 in that direction. An end passes where no byte does, in both proxies (Toxiproxy 2.12,
toxics/timeout.go): that is how the direction is seen. A service that was asked to end the connection does so, and its
end arrives without its answer, if it was the answers that are lost; one that heard nothing ends nothing, and says
nothing but its greeting, if it has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.network.edges import hear, why_silent_itself
from harness.faults.network.toxic import ToxicAction
from harness.spec.faults.target import SILENCE_S
from harness.stack.proxy import Toxic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.faults.action import Site
    from harness.spec.faults import HalfOpen
    from harness.stack.service import Edge


class HalfOpenAction(ToxicAction):
    """Swallows one direction of each edge."""

    def __init__(self, fault: HalfOpen, site: Site) -> None:
        super().__init__(fault, site)
        self._stream = fault.stream

    def toxics(self, edge: Edge) -> Iterable[Toxic]:
        """Return one for the direction; a timeout of 0 never closes."""
        yield Toxic(edge.name, self._fault_id, "timeout", {"timeout": 0}, self._stream)

    def look(self, edge: Edge) -> Observation:
        """See that no byte is answered, and by the end of the connection whether the service heard the question."""
        try:
            heard = hear(self._stack, edge, self._farewell(edge), within_s=SILENCE_S)
        except OSError as error:
            return Observation(is_delivered=False, seen=f"{edge.name} does not accept: {type(error).__name__}")
        if heard.length_bytes and not self._is_greeting(edge):
            return Observation(is_delivered=False, seen=f"{edge.name} answered {heard.length_bytes} bytes")
        why_not = why_silent_itself(self._stack, edge)
        if why_not:
            return Observation(is_delivered=False, seen=f"{edge.name} is silent, but {why_not}")
        was_heard = heard.ended != "silent"
        said = "hears, and its answer is lost" if was_heard else f"hears nothing for {SILENCE_S:g} s"
        return Observation(was_heard == (self._stream == "downstream"), f"{edge.name} {said}")

    def _farewell(self, edge: Edge) -> bytes:
        """Return a question after which the service ends the connection."""
        return self._stack.services[edge.server].long_question(1)

    def _is_greeting(self, edge: Edge) -> bool:
        """Tell whether what came can be what a service says before it is asked: then its end tells what it heard."""
        return self._stream == "upstream" and self._stack.services[edge.server].greets
