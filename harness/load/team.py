"""More than one core: several generators on this machine, each with its share of one schedule, begun at one moment.

Every n-th arrival is a generator's own, so that together they are the schedule to the request. One that dies is the end
of the load: its share was not offered, and nobody can say what became of what it had under way.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.load.engine import LEAD_S, LoadResult, generator
from harness.load.merging import merged_beats, merged_samples, merged_tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.clock import Clock
    from harness.history.load import Heartbeat
    from harness.load.engine import LoadRun
    from harness.load.plan import LoadPlan


class Team:
    """Several generators at work; to be used like one.

    Attributes:
        begins_s: The origin, the same for all: a moment of the monotonic clock.
        runs: One for each generator.
    """

    def __init__(self, runs: list[LoadRun], clock: Clock) -> None:
        self.runs = runs
        for run in runs:
            run.wait_until_ready()
        self.begins_s = clock.now() + LEAD_S
        for run in runs:
            run.begin_at(self.begins_s)
        self._waiting: list[list[Heartbeat]] = [[] for _ in runs]

    def beats(self) -> list[Heartbeat]:
        """Return the seconds that all generators have told of since this was last asked; does not wait."""
        for run, waiting in zip(self.runs, self._waiting, strict=True):
            waiting.extend(run.beats())
        whole = min(map(len, self._waiting))
        series = [waiting[:whole] for waiting in self._waiting]
        self._waiting = [waiting[whole:] for waiting in self._waiting]
        return merged_beats(series)

    def check(self) -> None:
        """See that every generator lives.

        Raises:
            LoadError: If one died before it had accounted for everything.
        """
        for run in self.runs:
            run.check()

    def finish(self) -> LoadResult:
        """Wait until everything is drained, and take the evidence of all.

        Raises:
            LoadError: If one died, did not end in time, or lost count.
        """
        results = [run.finish() for run in self.runs]
        series = [[*waiting, *result.heartbeats] for waiting, result in zip(self._waiting, results, strict=True)]
        return LoadResult(
            merged_samples([result.samples for result in results]),
            merged_tally([result.tally for result in results]),
            tuple(merged_beats(series)),
        )


@contextmanager
def pressing_together(plan: LoadPlan, *, workers: int, folder: Path, clock: Clock) -> Iterator[Team]:
    """Put the load of `plan` on with several generators while inside; on any exit all are gone.

    Args:
        plan: What to do, together.
        workers: How many generators.
        folder: For a folder of raw samples and logs for each.
        clock: Ours; the generators read the same monotonic clock.

    Raises:
        LoadError: If the address may not be pressed, or a generator dies or is not ready in time.
    """
    plan.check()
    with ExitStack() as stack:
        runs = []
        for index in range(workers):
            own = folder / f"generator-{index + 1}"
            own.mkdir()
            runs.append(stack.enter_context(generator(_part(plan, index, workers), folder=own, clock=clock)))
        yield Team(runs, clock)


def _part(plan: LoadPlan, index: int, workers: int) -> LoadPlan:
    """Return one generator's part: every n-th arrival, and its share of the seats."""
    seats = -(-plan.load.max_in_flight // workers)  # rounded up: a generator without a seat would send nothing
    return replace(plan, share=(index, workers), load=plan.load.model_copy(update={"max_in_flight": seats}))
