"""Looking out for points that only the service can say were reached, while a phase goes on."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.history.marks import PointMark
from harness.spec.sometimes import Metric
from harness.stack.metrics import exposed, value_of, why_unread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from harness.spec.sometimes import Measured
    from harness.stack.service import Address

LOOK_EVERY_S = 0.5
"""Rendering metrics costs a replica some 3 ms; as often as this that is below 1 % of a core."""


class MetricWatch:
    """Asks every replica, directly, until each point was reached by one of them.

    The first look is taken at once, so that growth is seen from the very beginning.

    Attributes:
        marks: What is known by now, a mark for each point.
    """

    def __init__(
        self, points: Sequence[Measured], replicas: Mapping[str, Address], path: str, now_s: Callable[[], float]
    ) -> None:
        self.marks = [PointMark(point=str(point), phase=point.during) for point in points]
        self._points = points
        self._replicas = replicas
        self._path = path
        self._now_s = now_s
        self._first: dict[tuple[int, str], float] = {}
        self.look()

    @property
    def is_done(self) -> bool:
        """Tell whether every point was reached."""
        return all(mark.is_reached for mark in self.marks)

    def look(self) -> None:
        """Ask every replica once."""
        if self.is_done:
            return
        said = {replica: exposed(address, self._path) for replica, address in self._replicas.items()}
        if not any(said.values()):
            self._note_why()
        for replica, samples in said.items():
            for index, point in enumerate(self._points):
                if not self.marks[index].is_reached:
                    value = value_of(samples, point.metric, point.labels)
                    if value is not None:
                        self._note(index, replica, value)

    def _note_why(self) -> None:
        """Keep why nothing is read of any replica, for points of which nothing was ever said."""
        if all(mark.seen for mark in self.marks):
            return
        replica, address = next(iter(self._replicas.items()))
        why = why_unread(address, self._path)
        self.marks = [replace(mark, seen=f"{replica}: {why}") if why and not mark.seen else mark for mark in self.marks]

    def _note(self, index: int, replica: str, value: float) -> None:
        said, is_reached = self._compared(index, replica, value)
        at_s = round(self._now_s(), 3) if is_reached else None
        self.marks[index] = replace(self.marks[index], reached_s=at_s, seen=f"{replica}: {said}")

    def _compared(self, index: int, replica: str, value: float) -> tuple[str, bool]:
        point = self._points[index]
        if isinstance(point, Metric):
            return f"{value:g}", value >= point.at_least
        # A replica that was started anew counts from nothing, so what it said first is no longer a beginning.
        first = self._first[index, replica] = min(self._first.get((index, replica), value), value)
        return f"from {first:g} to {value:g}", value - first >= point.by


@contextmanager
def watching(metric_watch: MetricWatch) -> Iterator[None]:
    """Look out while inside, in a thread of its own: a replica that hangs must not hold up the phase."""
    ended = threading.Event()
    thread = threading.Thread(target=_look_until, args=(metric_watch, ended), name="metric_watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _look_until(metric_watch: MetricWatch, ended: threading.Event) -> None:
    while not metric_watch.is_done and not ended.wait(LOOK_EVERY_S):
        metric_watch.look()
