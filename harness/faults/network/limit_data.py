"""`limit-data`: a connection ends when so much of the target's answers has passed, in the middle of one if need be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.network.edges import hear
from harness.faults.network.toxic import ToxicAction
from harness.spec.quantity import size_text
from harness.stack.proxy import Toxic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.faults.action import Site
    from harness.spec.faults import LimitData
    from harness.stack.service import Edge


class LimitDataAction(ToxicAction):
    """Ends each connection on each edge after so many bytes of answers."""

    def __init__(self, fault: LimitData, site: Site) -> None:
        super().__init__(fault, site)
        self._size_bytes = fault.size

    def toxics(self, edge: Edge) -> Iterable[Toxic]:
        """Return one toxic. It cuts a piece in two, to the byte (Toxiproxy 2.12, observed)."""
        yield Toxic(edge.name, self._fault_id, "limit_data", {"bytes": self._size_bytes})

    def look(self, edge: Edge) -> Observation:
        """See that exactly so much of a longer answer comes, and then the end."""
        question = self._stack.services[edge.server].long_question(self._size_bytes + 1)
        try:
            heard = hear(self._stack, edge, question)
        except OSError as error:
            return Observation(is_delivered=False, seen=f"{edge.name} does not answer: {type(error).__name__}")
        has_ended = heard.ended in {"closed", "reset"}
        said = f"{edge.name} {heard.ended} after {size_text(heard.length_bytes)}"
        return Observation(has_ended and heard.length_bytes == self._size_bytes, said)
