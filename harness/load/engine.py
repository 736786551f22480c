"""Our side of the load: start the generator, watch it, and take its evidence; a generator that dies is never a pass.

The generator is a child process, because importing Locust patches the sockets of its process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.errors import LoadError
from harness.history.echoes import Echoes, no_echoes
from harness.history.load import Heartbeat, LoadTally
from harness.history.operations import Operations, no_operations
from harness.history.samples import SampleOutcome
from harness.layout import LOAD_LOG, LOGS
from harness.load.link import ChildLink
from harness.load.plan import LEAVE_WITHIN_S, LoadPlan
from harness.load.recording import RawFollower, remove_raw, take_raw
from harness.stack.backends.process import child_environment, last_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from harness.clock import Clock
    from harness.history.accounts import Accepted
    from harness.history.samples import Samples
    from harness.load.link import Link

__all__ = ["LoadPlan", "LoadResult", "LoadRun", "apply_load"]

READY_WITHIN_S = 20.0
"""Importing Locust takes 0.8 s of an idle core, seating 256 users 0.1 s. Where a locustfile prepares them
it counts from the last that was told of."""

LEAD_S = 0.25
"""The first request is meant to start this long after the order to begin: no arrival is late because of the order."""

SILENT_FOR_S = 3.0
"""A generator that says nothing for three heartbeats is lost, whatever its process or its connection does."""

_AFTER_DRAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came of a run's load; `heartbeats` are those not yet taken, `losses` say which of a group died."""

    samples: Samples
    tally: LoadTally
    heartbeats: tuple[Heartbeat, ...] = ()
    losses: tuple[str, ...] = ()
    operations: Operations = field(default_factory=no_operations)
    echoes: Echoes = field(default_factory=no_echoes)
    accepted: tuple[Accepted, ...] = ()


class LoadRun:
    """A load that is on.

    Attributes:
        begins_s: The origin: the moment of the monotonic clock that all sample times count from.
        overhead_p95_s: What the generator adds by itself, measured before it was ready; None if it was not measured.
        ahead_s: How far its monotonic clock is ahead of ours; 0 on this machine.
        plan: What it was told.
        folder: For its raw samples, and its log in `logs/`.
        link: How we speak with it.
    """

    ahead_s = 0.0

    def __init__(self, plan: LoadPlan, folder: Path, clock: Clock, link: Link) -> None:
        self.begins_s = 0.0
        self.overhead_p95_s: float | None = None
        self.plan = plan
        self.folder = folder
        self.link = link
        self._heard_s = 0.0
        self._lasts_s = plan.lasts_s
        self._clock = clock
        self._recorded = RawFollower(folder)
        self._beats: list[Heartbeat] = []
        self._tally: LoadTally | None = None
        self._refusal: LoadError | None = None

    @property
    def pid(self) -> int | None:
        """Return the generator's process id, where it is a child of ours."""
        return self.link.pid

    def wait_until_ready(self) -> None:
        """Wait until the generator is calibrated and its users are seated.

        Raises:
            LoadError: If it dies, or is not ready in time.
        """
        until_s, how = self._clock.now() + READY_WITHIN_S + self.plan.login_lasts_s, "was not ready"
        while "ready" not in (line := self._next_line(until_s, how)):
            if "refused" in line:
                raise LoadError(**line["refused"])
            if "seated" in line:  # however many they are, as long as they get on
                until_s = self._clock.now() + READY_WITHIN_S
                how = f"had {line['seated']} of {line['of']} users prepared, and was not ready"
        self.overhead_p95_s = line["overhead_p95_s"]

    def begin_at(self, moment_s: float) -> None:
        """Let it begin at a moment of the monotonic clock."""
        self.begins_s = self._heard_s = moment_s
        self.link.tell(json.dumps({"begins_s": moment_s + self.ahead_s}))

    def end_at(self, lasts_s: float) -> None:
        """Let no request start at or after this, seconds since the origin: earlier than the plan has it."""
        self._lasts_s = min(self._lasts_s, lasts_s)
        self.link.tell(json.dumps({"lasts_s": lasts_s}))

    def compute(self, compute_s: float) -> None:
        """Let a part of the control compute for `compute_s` a request from now on: what the service does."""
        self.link.tell(json.dumps({"compute_s": compute_s}))

    def so_far(self, from_s: float) -> Samples:
        """Return what is written down by now: all answers but those of the last second; none of what is under way.

        Only what is new since the last look is read, and only what is asked for is copied.

        Args:
            from_s: Requests that were meant to start earlier are left out, seconds since the origin.

        Raises:
            LoadError: If nothing is.
        """
        return self._recorded.so_far(from_s)

    def beats(self) -> list[Heartbeat]:
        """Return the heartbeats that came since this was last asked; does not wait."""
        self._take_what_is_there()
        beats, self._beats = self._beats, []
        return beats

    @property
    def is_lost(self) -> bool:
        """Tell whether it died, or fell silent, before it had accounted for everything."""
        has_ended = self.link.has_ended()  # asked first: its tally may come between the two
        self._take_what_is_there()
        is_silent = self._clock.now() - self._heard_s > SILENT_FOR_S
        return self._tally is None and (self.link.lines.is_at_end or has_ended or is_silent)

    @property
    def is_done(self) -> bool:
        """Tell whether it has accounted for everything."""
        self._take_what_is_there()
        return self._tally is not None

    def check(self) -> None:
        """See that the generator lives.

        Raises:
            LoadError: If it died, or fell silent, before it had accounted for everything.
        """
        if self.is_lost:
            is_silent = not (self.link.lines.is_at_end or self.link.has_ended())
            raise self._died(f"said nothing for {SILENT_FOR_S:g} s" if is_silent else "died")

    def finish(self) -> LoadResult:
        """Wait until everything is drained, and take the evidence.

        Raises:
            LoadError: If the generator died, did not end in time, or lost count.
        """
        until_s = self.begins_s + self._lasts_s + self.plan.load.drain + _AFTER_DRAIN_S
        until_s += LEAVE_WITHIN_S if self.plan.load.locustfile is not None else 0.0
        while self._tally is None:
            self._sort(self._next_line(until_s, "did not end"))
        samples, tally = self._recorded.so_far(), self._tally
        recorded = [int(samples.has_outcome(outcome).sum()) for outcome in SampleOutcome]
        told = [tally.ok, tally.failed, tally.unfinished, tally.not_sent, tally.cancelled, tally.prevented]
        if not tally.is_whole or recorded != told:
            what = f"the load generator lost count: {tally}, recorded {recorded}"
            raise LoadError(what, where=str(self.folder), fix="this is a bug of ours; keep the folder, and tell us")
        return LoadResult(
            samples,
            tally,
            tuple(self.beats()),
            operations=self._recorded.operations(),
            echoes=self._recorded.echoes(),
            accepted=self._recorded.accepted(),
        )

    def _next_line(self, until_s: float, what: str) -> dict[str, Any]:
        while True:
            line = self.link.lines.take(wait_s=0.1)
            if line is not None:
                return line
            if self.link.lines.is_at_end:
                raise self._died("died")
            if self._clock.now() > until_s:
                raise self._died(f"{what} in time")

    def _take_what_is_there(self) -> None:
        while (line := self.link.lines.take(wait_s=0.0)) is not None:
            self._sort(line)

    def _sort(self, line: dict[str, Any]) -> None:
        self._heard_s = self._clock.now()
        if "beat" in line:
            self._beats.append(Heartbeat.from_json(line["beat"]))
        if "raw" in line:
            take_raw(self.folder, line)
        if "refused" in line:
            self._refusal = LoadError(**line["refused"])
        if "tally" in line:
            self._tally = LoadTally(**line["tally"])

    def _died(self, how: str) -> LoadError:
        if self._refusal is not None:
            return self._refusal
        log = self.folder / LOGS / LOAD_LOG
        tail = last_lines(log, 12) or "(it wrote nothing)"
        said = f"the load generator {how}{self.link.status()}"
        lines = "\n".join(f"    | {line}" for line in tail.splitlines())
        return LoadError(said, where=str(log), fix=f"its last words say why:\n{lines}")


@contextmanager
def apply_load(
    plan: LoadPlan,
    *,
    folder: Path,
    clock: Clock,
    on_spawn: Callable[[int], object] = lambda _pid: None,
    on_ready: Callable[[LoadRun], object] = lambda _load: None,
    run_id: str = "",
    environment: Mapping[str, str] | None = None,
) -> Iterator[LoadRun]:
    """Put the load of `plan` on while inside; on any exit the generator is gone.

    Enter this in a thread that outlives it: on Linux the generator's life is tied to the thread that started it.

    Args:
        plan: What to do.
        folder: For its raw samples, and its log in `logs/`.
        clock: Ours; the generator reads the same monotonic clock.
        on_spawn: Told the generator's process id at once.
        on_ready: Told when it is calibrated; what it raises keeps it from sending anything.
        run_id: Marks the process as this run's.
        environment: Where the variables are that a locustfile gets; ours, where it says nothing.

    Raises:
        LoadError: If the address may not be pressed, or the generator dies or is not ready in time.
    """
    plan.check()
    with generator(plan, folder=folder, clock=clock, on_spawn=on_spawn, run_id=run_id, environment=environment) as load:
        load.wait_until_ready()
        on_ready(load)
        load.begin_at(clock.now() + LEAD_S)
        yield load


@contextmanager
def generator(
    plan: LoadPlan,
    *,
    folder: Path,
    clock: Clock,
    on_spawn: Callable[[int], object] = lambda _pid: None,
    run_id: str = "",
    environment: Mapping[str, str] | None = None,
) -> Iterator[LoadRun]:
    """Start a generator that knows its plan, and waits to be told when to begin; see `apply_load`."""
    given = plan.environment(os.environ if environment is None else environment)
    (folder / LOGS).mkdir(exist_ok=True)
    with (folder / LOGS / LOAD_LOG).open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.load.generator", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**given, **child_environment(run_id)},
            start_new_session=True,
        )
    link = ChildLink(child)
    try:
        on_spawn(child.pid)
        link.tell(plan.to_json())
        yield LoadRun(plan, folder, clock, link)
        remove_raw(folder)
    finally:
        link.end()
