"""Looking out for points that only the service can say were reached, while a phase goes on."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from harness.history.marks import PointMark
from harness.spec.sometimes import Metric
from harness.stack.metrics import exposed, value_of, why_unread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from harness.spec.sometimes import Measured
    from harness.stack.service import Address

LOOK_EVERY_S = 0.5
"""Rendering metrics costs a replica some 3 ms; as often as this that is below 1 % of a core."""


class Source(Protocol):
    """Who says what of points: the replicas themselves, or what collects their metrics."""

    @property
    def every_s(self) -> float:
        """How often it is asked, seconds."""

    def read(self, points: Sequence[Measured]) -> Iterator[tuple[int, str, float]]:
        """Yield what it says now: of which point, by its index; whose it is; and the value. It never raises."""

    def why_nothing(self, index: int) -> str:
        """Say in a clause why it said nothing of a point when it was last asked; empty if there is nothing to say."""


class ReplicaMetrics:
    """What replicas say themselves, each asked directly. Implements `Source`.

    Args:
        replicas: Where each listens, by name.
        path: Of their metrics.
    """

    every_s = LOOK_EVERY_S

    def __init__(self, replicas: Mapping[str, Address], path: str) -> None:
        self._replicas = replicas
        self._path = path
        self._is_silent = False

    def read(self, points: Sequence[Measured]) -> Iterator[tuple[int, str, float]]:
        """Yield what each replica says."""
        said = {replica: exposed(address, self._path) for replica, address in self._replicas.items()}
        self._is_silent = not any(said.values())
        for replica, samples in said.items():
            for index, point in enumerate(points):
                value = value_of(samples, point.metric, point.labels)
                if value is not None:
                    yield index, replica, value

    def why_nothing(self, index: int) -> str:  # noqa: ARG002 - one that says nothing says it of every point
        """Say why the first of them says nothing, where none says anything."""
        if not self._is_silent or not self._replicas:
            return ""
        replica, address = next(iter(self._replicas.items()))
        why = why_unread(address, self._path)
        return f"{replica}: {why}" if why else ""


class MetricWatch:
    """Asks a source until each point was reached by one of those that it speaks of.

    The first look is taken at once, so that growth is seen from the very beginning.

    Attributes:
        marks: What is known by now, a mark for each point.
        every_s: How often to look, seconds.
    """

    def __init__(self, points: Sequence[Measured], source: Source, now_s: Callable[[], float]) -> None:
        self.marks = [PointMark(point=str(point), phase=point.during) for point in points]
        self.every_s = source.every_s
        self._points = points
        self._source = source
        self._now_s = now_s
        self._first: dict[tuple[int, str], float] = {}
        self._heard: set[int] = set()
        self.look()

    @property
    def is_done(self) -> bool:
        """Tell whether every point was reached."""
        return all(mark.is_reached for mark in self.marks)

    def look(self) -> None:
        """Ask once."""
        if self.is_done:
            return
        for index, replica, value in self._source.read(self._points):
            if not self.marks[index].is_reached:
                self._note(index, replica, value)
        for index in set(range(len(self.marks))) - self._heard:
            if why := self._source.why_nothing(index):
                self.marks[index] = replace(self.marks[index], seen=why)

    def _note(self, index: int, replica: str, value: float) -> None:
        self._heard.add(index)
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
    while not metric_watch.is_done and not ended.wait(metric_watch.every_s):
        metric_watch.look()
