"""`clock-skew`: the clocks of one replica are off, the wall clock or the monotonic one, each by its own.

As after an operator's mistake, a machine that was suspended, or a time server that lies. The replica is told by a file
that it reads (`stack/clock_file.py`), and tells its time in its answers, which is how the dose is seen.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from harness.clock import is_met_within
from harness.errors import FaultError
from harness.faults.action import Observation
from harness.faults.clock_setting import offsets_of, set_off
from harness.faults.undo import is_left, take_back
from harness.spec.faults.target import nothing_to_hit
from harness.spec.quantity import offset_text
from harness.stack.backends.choice import CONTAINERS
from harness.stack.clock_file import Offsets
from harness.stack.http_client import get

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Entry, Ledger
    from harness.spec.faults import ClockSkew
    from harness.stack.clock_file import ReplicaClock
    from harness.stack.service import Address

TOLERANCE_S = 0.5
"""Beside the time that the question took. What is asked for is four times that at the least."""

HEEDED_WITHIN_S = 2.0
"""A replica may keep what it has read for a while: a file need not be read for each look at a clock."""

_ANSWERS_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Told:
    """How far a replica's clocks were off by what it told, seconds.

    Attributes:
        wall_s: Its wall clock.
        monotonic_s: Its monotonic clock; None if it told of none.
        within_s: They may be off by so much less or more.
    """

    wall_s: float
    monotonic_s: float | None
    within_s: float

    def is_off_by(self, offsets: Offsets, *, with_monotonic: bool) -> bool:
        """Tell whether they are off by so much, as far as can be told."""
        is_wall = abs(self.wall_s - offsets.wall_s) <= self.within_s
        if not with_monotonic:
            return is_wall
        return is_wall and self.monotonic_s is not None and abs(self.monotonic_s - offsets.monotonic_s) <= self.within_s

    def __str__(self) -> str:
        monotonic = "tells no monotonic time" if self.monotonic_s is None else f"monotonic {_rounded(self.monotonic_s)}"
        return f"wall clock {_rounded(self.wall_s)}, {monotonic}"


class ClockSkewAction:
    """Sets the clocks of a replica off, and its wall clock right at its end."""

    def __init__(self, fault: ClockSkew, site: Site) -> None:
        if fault.target not in site.stack.clocks:
            fix = f"targets here: {', '.join(sorted(site.stack.clocks)) or 'none, the service has no such clock'}"
            raise FaultError(nothing_to_hit(fault), where="the scenario's faults", fix=fix)
        self._fault = fault
        self._door = site.stack.clocks[fault.target]
        self._service = site.stack.services[fault.target]
        self._is_contained = site.stack.backend == CONTAINERS
        self._clock = site.clock
        self._noted: list[Entry] = []
        self._offsets: Offsets | None = None

    @staticmethod
    def unavailable(backend: str) -> None:
        """A file is read by a process and in a container alike."""

    def begin(self, ledger: Ledger) -> None:
        """Note what sets the wall clock right, and set both off; a jump of the monotonic one adds to those before."""
        facts = self._facts()
        jumped_s = offsets_of(facts).monotonic_s + self._fault.monotonic
        if self._fault.wall:
            self._noted.append(ledger.note("clock", self._service.name, **facts, monotonic_s=jumped_s))
        self._offsets = Offsets(wall_s=self._fault.wall, monotonic_s=jumped_s)
        set_off(facts, self._offsets)

    def observe(self) -> Observation:
        """See that the replica tells a time that is off by as much, or will when it has read it."""
        name, offsets = self._service.name, self._offsets
        if offsets is None:
            return Observation(is_delivered=False, seen=f"the clocks of {name} are left alone")
        seen = Observation(is_delivered=False, seen="")

        def is_off() -> bool:
            nonlocal seen
            seen = self._look(offsets)
            return seen.is_delivered

        is_met_within(is_off, deadline_s=HEEDED_WITHIN_S, clock=self._clock, every_s=0.05)
        return seen

    def _look(self, offsets: Offsets) -> Observation:
        name = self._service.name
        try:
            told = told_by(self._service.direct, self._door)
        except httpx.HTTPError as error:
            return Observation(is_delivered=False, seen=f"{name} does not answer: {type(error).__name__}")
        if told is None:
            return Observation(is_delivered=False, seen=f"{name} tells no time in {self._door.header}")
        is_off = told.is_off_by(offsets, with_monotonic=bool(self._fault.monotonic))
        return Observation(is_off, f"{name} tells its time: {told}")

    def crossed_bytes(self) -> None:
        """Nothing crosses a clock."""

    def end(self, ledger: Ledger) -> None:
        """Set its wall clock right, and see that it says so."""
        take_back(self._noted, ledger, is_there=is_left)
        if self._offsets is None:
            return
        right, self._offsets = Offsets(monotonic_s=self._offsets.monotonic_s), None
        if not is_met_within(
            lambda: self._is_right(right), deadline_s=HEEDED_WITHIN_S, clock=self._clock, every_s=0.05
        ):
            what, fix = f"the wall clock of {self._service.name} is still off", "it must read the file all the time"
            raise FaultError(what, where=self._door.file, fix=fix)

    def _is_right(self, right: Offsets) -> bool:
        """Tell whether its wall clock is right; one that does not answer reads the file before it does again."""
        try:
            told = told_by(self._service.direct, self._door)
        except httpx.HTTPError:
            return True
        return told is None or told.is_off_by(right, with_monotonic=False)

    def _facts(self) -> dict[str, Any]:
        return {"file": self._door.file, **(self._service.identity() if self._is_contained else {})}


def told_by(address: Address, door: ReplicaClock) -> Told | None:
    """Ask a replica what time it is; None if it says nothing of it.

    Raises:
        httpx.HTTPError: If it does not answer.
    """
    began_s, began_wall_s = time.monotonic(), time.time()
    answer = get(address, door.path, within_s=_ANSWERS_WITHIN_S)
    half_s = (time.monotonic() - began_s) / 2
    said = answer.headers.get(door.header)
    return None if said is None else told_in(said, began_wall_s + half_s, began_s + half_s, TOLERANCE_S + half_s)


def told_in(said: str, wall_s: float, monotonic_s: float, within_s: float) -> Told | None:
    """Return how far clocks are off that told what `said` says; None if that is no time.

    Args:
        said: Seconds since 1970, and after a blank those of the monotonic clock, or without them.
        wall_s: What it was by this machine's wall clock.
        monotonic_s: And by its monotonic clock, which all processes of a machine share.
        within_s: How much later or earlier it may have been.
    """
    try:
        wall, *monotonic = (float(word) for word in said.split())
    except ValueError:
        return None
    return Told(wall - wall_s, monotonic[0] - monotonic_s if monotonic else None, within_s)


def _rounded(seconds: float) -> str:
    return offset_text(round(seconds, 1))
