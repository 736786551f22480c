"""`cpu`: strangers compute on the machine, as a neighbour, a backup or a build does.

They are processes of the run: started as all of its processes are, so that they end with it, and counted among its own
by `stack/machine.py`, so that what they take is no alibi. What a service lacks because of them is what was asked for.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.clock import is_met_within
from harness.errors import FaultError
from harness.faults.action import Observation
from harness.faults.undo import is_left, take_back
from harness.spec.faults.resource import COMPUTED_FOR_S
from harness.spec.faults.target import nothing_to_hit
from harness.stack.backends.process import spawn
from harness.stack.service import Workspace
from harness.stack.stack import MACHINE

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from harness.faults.action import Site
    from harness.faults.ledger import Entry, Ledger
    from harness.spec.faults import Cpu

READY_RATIO = 0.9
"""Of its time a stranger ran or waited for a processor. One that is frozen, or has ended, did neither."""

TAKEN_RATIO = 0.25
"""Of the processors that strangers could have had alone they had so much at the least. Beside a service that wants as
many they have half of them, and so little only where others press the machine as well."""

_BEGUN_WITHIN_S = 5.0
_STARTED_S = 0.1
"""Processor time after which a stranger computes: two starts of an interpreter take some 20 ms each."""

_SPARE_S = 60.0
_LONGEST_S = 24 * 3600.0
_COMPUTING = str(Path(__file__).with_name("computing.py"))
_SCHEDSTAT = "schedstat"
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Computed:
    """What the kernel had counted of one process at a moment.

    Attributes:
        ran_s: How long it had a processor.
        waited_s: How long it was ready, and had none.
    """

    ran_s: float
    waited_s: float


class CpuAction:
    """Starts the strangers, and ends them."""

    def __init__(self, fault: Cpu, site: Site) -> None:
        if fault.target != MACHINE:
            raise FaultError(nothing_to_hit(fault), where="the scenario's faults", fix=f"targets here: {MACHINE}")
        self._strangers = fault.strangers
        self._lasts_s = fault.ends_after_s(_LONGEST_S) - fault.at
        self._clock = site.clock
        self._noted: list[Entry] = []
        self._children: list[subprocess.Popen[bytes]] = []
        self._before: tuple[float, list[Computed | None]] | None = None

    @staticmethod
    def unavailable(backend: str) -> str | None:  # noqa: ARG004 - strangers are processes here, whatever the rest is
        """Say why it cannot be done: without the kernel's counters what they took cannot be seen."""
        counts = (_PROC / "self" / _SCHEDSTAT).is_file()
        return None if counts else "this system does not count in /proc how long a process waited for a processor"

    def begin(self, ledger: Ledger) -> None:
        """Start them, each noted as it starts, and wait until all compute."""
        for number in range(self._strangers):
            self._noted.append(self._started(f"stranger-{number + 1}", ledger))
        is_met_within(self._all_compute, deadline_s=_BEGUN_WITHIN_S, clock=self._clock)  # or the first look tells
        self._before = self._look()

    def _started(self, name: str, ledger: Ledger) -> Entry:
        """Start one; what cannot be noted does not stay."""
        nowhere = Path(os.sep)
        workspace = Workspace(
            run_id=ledger.run_id, project=nowhere, logs=nowhere, work=nowhere, on_spawn=ledger.note_process
        )
        program = [sys.executable, "-I", "-S", _COMPUTING, str(self._lasts_s + _SPARE_S)]
        child = spawn(program, workspace=workspace, log=Path(os.devnull))
        self._children.append(child)
        try:
            return ledger.note_process(name, child.pid)
        except FaultError:
            child.kill()
            child.wait()
            raise

    def _all_compute(self) -> bool:
        return all(each is not None and each.ran_s >= _STARTED_S for each in self._look()[1])

    def _look(self) -> tuple[float, list[Computed | None]]:
        return self._clock.now(), [computed(each.pid) if each.poll() is None else None for each in self._children]

    def observe(self) -> Observation:
        """See what they had since the last look, for half a second at the least."""
        if self._before is None:
            return Observation(is_delivered=False, seen="no stranger computes")
        began_s, before = self._before
        self._clock.sleep(began_s + COMPUTED_FOR_S - self._clock.now())
        self._before = ended_s, after = self._look()
        return seen_of(before, after, lasted_s=ended_s - began_s, cores=len(os.sched_getaffinity(0)))

    def crossed_bytes(self) -> None:
        """Nothing is heard by what computes; what clients send crosses the machine either way."""

    def end(self, ledger: Ledger) -> None:
        """End them, and see that they are gone."""
        self._before = None
        take_back(self._noted, ledger, is_there=is_left)
        while self._children:
            child = self._children.pop()
            child.kill()
            child.wait()


def computed(pid: int) -> Computed | None:
    """Return what a process of one thread had of the processors so far; None if it is not there.

    Source: Documentation/scheduler/sched-stats.rst of the kernel.
    """
    try:
        ran_ns, waited_ns, _ = map(int, (_PROC / str(pid) / _SCHEDSTAT).read_text().split())
    except (OSError, ValueError):
        return None
    return Computed(ran_ns / 1e9, waited_ns / 1e9)


def seen_of(
    before: Sequence[Computed | None], after: Sequence[Computed | None], *, lasted_s: float, cores: int
) -> Observation:
    """Say what strangers had between two looks.

    Args:
        before: Each of them at the first look.
        after: The same at the second.
        lasted_s: The time between the two.
        cores: Processors that they may run on.
    """
    pairs = [(then, now) for then, now in zip(before, after, strict=True) if then and now]
    had_s = sum(now.ran_s - then.ran_s for then, now in pairs)
    ready_s = [now.ran_s - then.ran_s + now.waited_s - then.waited_s for then, now in pairs]
    could_have_s = lasted_s * min(len(before), cores)
    are_ready = len(pairs) == len(before) and min(ready_s) >= READY_RATIO * lasted_s
    seen = (
        f"{len(pairs)} of {len(before)} strangers had {had_s / lasted_s:.2f} of {cores} processors for {lasted_s:.1f} s"
    )
    if pairs and not are_ready:
        seen += f"; one was ready for {min(ready_s) / lasted_s:.0%} of it"
    return Observation(are_ready and had_s >= TAKEN_RATIO * could_have_s, seen)
