"""`slicer`: answers on the edges into the target arrive in small pieces, each a while after the one before."""

from __future__ import annotations

import statistics
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.network.edges import hear
from harness.faults.network.latency import HIGH_TOLERANCE, LOW_TOLERANCE
from harness.faults.network.toxic import ToxicAction, seen_in_time
from harness.spec.faults.network import PIECES
from harness.spec.quantity import duration_text, size_text
from harness.stack.proxy import Toxic
from harness.stack.service import SERVICE_ANSWERS_WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.faults.action import Site
    from harness.spec.faults import Slicer
    from harness.stack.service import Edge


class SlicerAction(ToxicAction):
    """Slices the answers of each edge."""

    def __init__(self, fault: Slicer, site: Site) -> None:
        super().__init__(fault, site)
        self._size_bytes, self._delay_s, self._look_s = fault.size, fault.delay, fault.look_s

    def toxics(self, edge: Edge) -> Iterable[Toxic]:
        """Return one toxic, whose pause is in microseconds; it halves until a piece has `size` bytes at most.

        Source: Toxiproxy 2.12, observed.
        """
        attributes = {"average_size": self._size_bytes, "size_variation": 0, "delay": round(self._delay_s * 1e6)}
        yield Toxic(edge.name, self._fault_id, "slicer", attributes)

    def look(self, edge: Edge) -> Observation:
        """See in what pieces a long answer comes, and how far they lie apart."""
        return seen_in_time(lambda: self._look_once(edge))

    def _look_once(self, edge: Edge) -> Observation:
        """Listen to the whole answer: who leaves in the middle of it can freeze Toxiproxy.

        Its slicer then waits for a writer that has gone, and whoever removes the toxic waits for the slicer, with the
        lock that the writer needs. Source: Toxiproxy 2.12, `link.go` and `toxics/slicer.go`; 4 of 300 removals froze
        it (2026-11), and none of 300 after the whole answer.
        """
        # Twice as much as is looked at: pieces of twice the size would still be so many, and be seen to be too large.
        question = self._stack.services[edge.server].long_question(2 * PIECES * self._size_bytes)
        within_s = self._look_s + SERVICE_ANSWERS_WITHIN_S
        try:
            heard = hear(self._stack, edge, question, within_s=within_s)
        except OSError as error:
            return Observation(is_delivered=False, seen=f"{edge.name} does not answer: {type(error).__name__}")
        pieces = heard.pieces[:PIECES]
        if len(pieces) < PIECES:
            return Observation(is_delivered=False, seen=f"{edge.name} answers in {len(pieces)} pieces")
        # Medians: a busy machine reads two pieces as one, and a little late.
        size_bytes = statistics.median(length_bytes for _, length_bytes in pieces)
        pause_s = statistics.median(later_s - at_s for (at_s, _), (later_s, _) in pairwise(pieces))
        said = f"{edge.name} answers in pieces of {size_text(size_bytes)} every {duration_text(round(pause_s, 4))}"
        return Observation(size_bytes <= self._size_bytes and self._is_pause(pause_s), said)

    def _is_pause(self, pause_s: float) -> bool:
        low_s = self._delay_s - max(LOW_TOLERANCE[0], LOW_TOLERANCE[1] * self._delay_s)
        return low_s <= pause_s <= self._delay_s + max(HIGH_TOLERANCE[0], HIGH_TOLERANCE[1] * self._delay_s)
