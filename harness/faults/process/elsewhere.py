"""`kill` and `pause` of a process that runs elsewhere, by a command of readiness.toml, and undone by another one.

What is killed on another machine stays dead when the run is over. So the command that undoes it is in the ledger before
the first one is run, and is run by whoever finds it there: this, the guardian, or `readiness heal`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from harness.clock import is_met_within
from harness.errors import FaultError
from harness.faults.action import Observation
from harness.faults.undo import take_back
from harness.spec.external import HALVES
from harness.spec.faults.target import ENDS_WITHIN_S
from harness.stack.backends.order import carry_out
from harness.stack.elsewhere import Look, Saw

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Entry, Ledger
    from harness.spec.faults import Kill, Pause

IS_DOSE = {"kill": (Saw.UNWELL, Saw.REFUSES, Saw.SILENT), "pause": (Saw.UNWELL, Saw.SILENT)}
"""What is seen of a process that is dead, or frozen: whoever stands before it may answer in its place. What is frozen
refuses nothing, since the kernel still accepts for it; and what could not be asked proves neither."""

DONE = {"kill": "killed", "pause": "paused"}


class ElsewhereAction:
    """Kills or freezes what runs elsewhere, and undoes it at its end.

    One that did not serve before is left alone: whatever was seen of it afterwards would prove nothing.
    """

    def __init__(self, fault: Kill | Pause, site: Site) -> None:
        self._kind = fault.kind
        self._process = site.stack.elsewhere[fault.target]
        self._clock = site.clock
        self._before: Look | None = None
        self._noted: list[Entry] = []

    @staticmethod
    def unavailable(backend: str) -> None:
        """See `why_out_of_reach`: readiness.toml says what can be done."""

    def begin(self, ledger: Ledger) -> None:
        """See that it serves, note what undoes the fault, and do it.

        Raises:
            FaultError: If the command fails; it says how, with its last words.
        """
        self._before = self._process.look()
        if self._before.saw is not Saw.SERVES:
            return
        name, undoing = self._process.name, self._process.order(HALVES[self._kind])
        facts = {"argv": list(undoing.argv), "folder": undoing.folder, "within_s": undoing.within_s}
        self._noted.append(ledger.note("command", name, **facts))
        order = self._process.order(self._kind)
        ended = carry_out(order, partial(ledger.note_process, f"{self._kind} {name}"))
        if not ended.is_well:
            what = f"{name} could not be {DONE[self._kind]}: `{order}` {ended}"
            raise FaultError(
                what, where=f"readiness.toml: system.subject.processes.{name}.{self._kind}", fix=ended.last_words
            )

    def observe(self) -> Observation:
        """Ask whether it serves, which it must not; what ends it may return before it has ended."""
        if not self._noted:
            return Observation(is_delivered=False, seen=self._why_not_done())
        looks = list[Look]()

        def is_seen() -> bool:
            looks.append(self._process.look())
            return looks[-1].saw in IS_DOSE[self._kind]

        is_there = is_met_within(is_seen, deadline_s=ENDS_WITHIN_S, clock=self._clock, every_s=0.1)
        return Observation(is_there, f"{self._process.name} {DONE[self._kind]}: {looks[-1].said}")

    def crossed_bytes(self) -> None:
        """Nothing is heard by what is dead or frozen."""

    def end(self, ledger: Ledger) -> None:
        """Undo it, and wait until it serves."""
        if self._noted:
            undoing = self._process.order(HALVES[self._kind])
            take_back(self._noted, ledger, is_there=lambda _: False)  # seen to be gone when it serves
            self._process.wait_until_it_serves(self._clock, f"after `{undoing}`")

    def _why_not_done(self) -> str:
        was_not = f"{self._process.name} was not {DONE[self._kind]}"
        return f"{was_not}: it did not serve before ({self._before.said})" if self._before else was_not
