"""Our side of the load: start the generator, watch it, and take its evidence; a generator that dies is never a pass.

The generator is a child process, because importing Locust patches the sockets of whoever does it.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from harness.errors import LoadError
from harness.history.load import Heartbeat, LoadTally
from harness.history.samples import SampleOutcome
from harness.load.plan import LoadPlan
from harness.load.recording import read_raw, remove_raw
from harness.stack.process import child_environment, last_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.clock import Clock
    from harness.history.samples import Samples

__all__ = ["LoadPlan", "LoadResult", "LoadRun", "pressing"]

READY_WITHIN_S = 20.0
"""Importing Locust takes 0.8 s of an idle core, seating 256 users 0.1 s."""

LEAD_S = 0.25
"""The first request is meant to start this long after the order to begin: no arrival is late because of the order."""

_AFTER_DRAIN_S = 10.0
_GONE_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came of a run's load; `heartbeats` are those that nobody has taken yet."""

    samples: Samples
    tally: LoadTally
    heartbeats: tuple[Heartbeat, ...] = ()


class LoadRun:
    """A load that is on.

    Attributes:
        begins_s: The origin: the moment of the monotonic clock that all sample times count from.
        overhead_p95_s: What the generator adds by itself, measured before it was ready; None if it was not measured.
    """

    def __init__(self, plan: LoadPlan, folder: Path, clock: Clock, child: subprocess.Popen[bytes]) -> None:
        self.begins_s = 0.0
        self.overhead_p95_s: float | None = None
        self._plan = plan
        self._lasts_s = plan.lasts_s
        self._folder = folder
        self._clock = clock
        self._child = child
        self._lines = _Lines(child.stdout)
        self._beats: list[Heartbeat] = []
        self._tally: LoadTally | None = None

    @property
    def pid(self) -> int:
        """Return the generator's process id."""
        return self._child.pid

    def wait_until_ready(self) -> None:
        """Wait until the generator is calibrated and its users are seated.

        Raises:
            LoadError: If it dies, or is not ready in time.
        """
        until_s = self._clock.now() + READY_WITHIN_S
        while "ready" not in (line := self._next_line(until_s, "was not ready")):
            if "refused" in line:
                raise LoadError(**line["refused"])
        self.overhead_p95_s = line["overhead_p95_s"]

    def begin_at(self, moment_s: float) -> None:
        """Let it begin at a moment of the monotonic clock."""
        self.begins_s = moment_s
        self._tell(json.dumps({"begins_s": self.begins_s}))

    def end_at(self, lasts_s: float) -> None:
        """Let no request start at or after this, seconds since the origin: earlier than the plan has it."""
        self._lasts_s = min(self._lasts_s, lasts_s)
        self._tell(json.dumps({"lasts_s": lasts_s}))

    def so_far(self) -> Samples:
        """Return what is written down by now: all answers but those of the last second; none of what is under way.

        Raises:
            LoadError: If nothing is.
        """
        return read_raw(self._folder)

    def beats(self) -> list[Heartbeat]:
        """Return the heartbeats that came since this was last asked; does not wait."""
        self._take_what_is_there()
        beats, self._beats = self._beats, []
        return beats

    def check(self) -> None:
        """See that the generator lives.

        Raises:
            LoadError: If it died before it had accounted for everything.
        """
        has_ended = self._child.poll() is not None  # asked first: its tally may come between the two
        self._take_what_is_there()
        if self._tally is None and (self._lines.is_at_end or has_ended):
            raise self._died("died")

    def finish(self) -> LoadResult:
        """Wait until everything is drained, and take the evidence.

        Raises:
            LoadError: If the generator died, did not end in time, or lost count.
        """
        until_s = self.begins_s + self._lasts_s + self._plan.load.drain + _AFTER_DRAIN_S
        while self._tally is None:
            self._sort(self._next_line(until_s, "did not end"))
        samples = read_raw(self._folder)
        tally = self._tally
        recorded = [int(samples.has_outcome(outcome).sum()) for outcome in SampleOutcome]
        if not tally.is_whole or recorded != [tally.ok, tally.failed, tally.unfinished, tally.not_sent]:
            what = f"the load generator lost count: {tally}, recorded {recorded}"
            raise LoadError(what, where=str(self._folder), mend="this is a bug of ours; keep the folder, and tell us")
        return LoadResult(samples, tally, tuple(self.beats()))

    def _tell(self, line: str) -> None:
        if self._child.stdin is None:
            raise TypeError("the generator was started without an input")
        with suppress(BrokenPipeError):  # whoever reads its output next sees that it died
            self._child.stdin.write(line.encode() + b"\n")
            self._child.stdin.flush()

    def _next_line(self, until_s: float, what: str) -> dict[str, Any]:
        while True:
            line = self._lines.take(wait_s=0.1)
            if line is not None:
                return line
            if self._lines.is_at_end:
                raise self._died("died")
            if self._clock.now() > until_s:
                raise self._died(f"{what} in time")

    def _take_what_is_there(self) -> None:
        while (line := self._lines.take(wait_s=0.0)) is not None:
            self._sort(line)

    def _sort(self, line: dict[str, Any]) -> None:
        if "beat" in line:
            self._beats.append(Heartbeat.from_json(line["beat"]))
        if "tally" in line:
            self._tally = LoadTally(**line["tally"])

    def _died(self, how: str) -> LoadError:
        log = self._folder / "logs" / "load.log"
        tail = last_lines(log, 12) or "(it wrote nothing)"
        if self._lines.is_at_end:
            with suppress(subprocess.TimeoutExpired):  # its pipe ends a moment before it does
                self._child.wait(_GONE_WITHIN_S)
        status = self._child.poll()
        said = f"the load generator {how}" + (f" (exit {status})" if status is not None else "")
        lines = "\n".join(f"    | {line}" for line in tail.splitlines())
        return LoadError(said, where=str(log), mend=f"its last words say why:\n{lines}")


@contextmanager
def pressing(
    plan: LoadPlan,
    *,
    folder: Path,
    clock: Clock,
    on_spawn: Callable[[int], object] = lambda _pid: None,
    run_id: str = "",
) -> Iterator[LoadRun]:
    """Put the load of `plan` on while inside; on any exit the generator is gone.

    Enter this in a thread that outlives it: on Linux the generator's life is tied to the thread that started it.

    Args:
        plan: What to do.
        folder: For its raw samples, and its log in `logs/`.
        clock: Ours; the generator reads the same monotonic clock.
        on_spawn: Told the generator's process id at once.
        run_id: Marks the process as this run's.

    Raises:
        LoadError: If the address may not be pressed, or the generator dies or is not ready in time.
    """
    plan.check()
    with generator(plan, folder=folder, clock=clock, on_spawn=on_spawn, run_id=run_id) as load:
        load.wait_until_ready()
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
) -> Iterator[LoadRun]:
    """Start a generator that knows its plan, and waits to be told when to begin; see `pressing`."""
    (folder / "logs").mkdir(exist_ok=True)
    with (folder / "logs" / "load.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "harness.load.child", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=child_environment(run_id),
            start_new_session=True,
        )
    try:
        on_spawn(child.pid)
        load = LoadRun(plan, folder, clock, child)
        load._tell(plan.to_json())  # noqa: SLF001 - the two are one
        yield load
        remove_raw(folder)
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the generator; it also ends by itself when its input does, which is how it sees our death."""
    with suppress(BrokenPipeError):
        if child.stdin is not None:
            child.stdin.close()
    try:
        child.wait(_GONE_WITHIN_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)  # not yet waited for, so the number is still its own
        child.wait()
    if child.stdout is not None:
        child.stdout.close()


class _Lines:
    """JSON lines of a pipe, without ever waiting longer than asked to."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        if pipe is None:
            raise TypeError("the generator was started without an output")
        self.is_at_end = False
        self._pipe = pipe
        self._held = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(pipe, selectors.EVENT_READ)

    def take(self, wait_s: float) -> dict[str, Any] | None:
        """Return the next whole line, waiting up to `wait_s` for it; None if there is none."""
        if b"\n" not in self._held and not self.is_at_end and self._selector.select(wait_s):
            data = os.read(self._pipe.fileno(), 1 << 16)
            self._held += data
            self.is_at_end = not data
        line, newline, rest = self._held.partition(b"\n")
        if not newline:
            return None
        self._held = rest
        return dict(json.loads(line))
