"""More than one core: several generators, each with its share of one schedule, begun at one moment.

Every n-th arrival is a generator's own, so that together they are the schedule to the request. When one is lost, what
it was to send from a second later on is dealt out among the others; what it should have sent until then is counted as
unfinished, and its seconds are marked, so that no verdict rests on them.
"""

from __future__ import annotations

import math
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.errors import LoadError
from harness.load.engine import LEAD_S, LoadResult, generator
from harness.load.loss import expected_of, loss_of, silent_beats
from harness.load.merging import merged_beats, merged_samples, merged_tally
from harness.load.plan import Assignment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.clock import Clock
    from harness.history.load import Heartbeat
    from harness.load.engine import LoadRun
    from harness.load.plan import LoadPlan

TAKE_OVER_AFTER_S = 1.0
"""Time for the survivors to lay out what they take over."""

_POLL_S = 0.05


@dataclass(eq=False)
class GroupMember:
    """One generator of a group.

    Attributes:
        name: `generator-1`, …
        run: Its load.
        assignments: What of the schedule it is to send.
        beats: Its heartbeats that were not taken yet, one a second.
        last_s: When the last of its heartbeats was.
        lost: What it leaves, if it was lost.
    """

    name: str
    run: LoadRun
    assignments: list[Assignment]
    beats: list[Heartbeat] = field(default_factory=list)
    last_s: float = 0.0
    lost: LoadResult | None = None

    def listen(self) -> None:
        """Take its heartbeats."""
        fresh = self.run.beats()
        self.beats += fresh
        self.last_s = fresh[-1].at_s if fresh else self.last_s


class GeneratorGroup:
    """Several generators at work; to be used like one.

    Attributes:
        begins_s: The origin, the same for all: a moment of the monotonic clock.
        members: All of them.
        losses: A line for each that was lost.
    """

    def __init__(self, runs: list[LoadRun], plan: LoadPlan, clock: Clock) -> None:
        self.losses: list[str] = []
        self._plan = plan
        self._clock = clock
        for run in runs:
            run.wait_until_ready()
        self.members = [
            GroupMember(f"generator-{number + 1}", run, [Assignment.own(run.plan.share)])
            for number, run in enumerate(runs)
        ]
        self.begins_s = clock.now() + LEAD_S
        for run in runs:
            run.begin_at(self.begins_s)

    @property
    def runs(self) -> list[LoadRun]:
        """Return every member's load."""
        return [member.run for member in self.members]

    def beats(self) -> list[Heartbeat]:
        """Return the seconds that all living generators have told of since this was last asked; does not wait."""
        for member in self._living():
            member.listen()
        whole = min(len(member.beats) for member in self._living() or self.members)
        series = [member.beats[:whole] for member in self.members]
        for member in self.members:
            member.beats = member.beats[whole:]
        return merged_beats(series)

    def check(self) -> None:
        """See that every generator lives, and let the others take over from one that does not.

        Raises:
            LoadError: If none is left.
        """
        for member in self._living():
            if member.run.is_lost:
                self._reassign(member)

    def finish(self) -> LoadResult:
        """Wait until everything is drained, and take the evidence of all.

        Raises:
            LoadError: If none is left, one did not end in time, or lost count.
        """
        until_s = self.begins_s + self._plan.lasts_s
        while self._clock.now() < until_s or not all(member.run.is_done for member in self._living()):
            self.check()
            self._clock.sleep(_POLL_S)
        results = [member.lost or member.run.finish() for member in self.members]
        series = [[*member.beats, *result.heartbeats] for member, result in zip(self.members, results, strict=True)]
        return LoadResult(
            merged_samples([result.samples for result in results]),
            merged_tally([result.tally for result in results]),
            tuple(merged_beats(series)),
            tuple(self.losses),
        )

    def _living(self) -> list[GroupMember]:
        return [member for member in self.members if member.lost is None]

    def _reassign(self, dead: GroupMember) -> None:
        """Account for what is lost, and deal out what is still to come."""
        dead.listen()
        survivors = [member for member in self._living() if member is not dead and not member.run.is_lost]
        if not survivors:
            dead.run.check()
            raise LoadError("the last load generator fell silent", where=dead.name, fix="see its log, and its machine")
        now_s = self._clock.now() - self.begins_s
        from_s = max(0.0, now_s) + TAKE_OVER_AFTER_S
        for assignment in dead.assignments:
            for index, survivor in enumerate(survivors):
                part = assignment.left(from_s, index, len(survivors))
                survivor.assignments.append(part)
                survivor.run.link.tell(part.to_json())
        dead.run.link.end()  # now that nothing waits for it: one that fell silent takes its time
        expected = expected_of(self._plan, dead.assignments, until_s=from_s)
        dead.lost, lost_s = loss_of(dead.run, expected, until_s=from_s)
        dead.beats += silent_beats(dead.last_s, from_s, expected.intended_s, lost_s)
        self.losses.append(
            f"{dead.name} was lost {now_s:.1f} s into the load: {len(lost_s)} requests are unaccounted for, and from "
            f"{from_s:.1f} s on {len(survivors)} others send its share; seconds {math.floor(dead.last_s) + 1} to "
            f"{math.ceil(from_s)} are not as planned"
        )


@contextmanager
def apply_load_together(plan: LoadPlan, *, workers: int, folder: Path, clock: Clock) -> Iterator[GeneratorGroup]:
    """Put the load of `plan` on with several generators of this machine while inside; on any exit all are gone.

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
            runs.append(stack.enter_context(generator(part_of(plan, index, workers), folder=own, clock=clock)))
        yield GeneratorGroup(runs, plan, clock)


def part_of(plan: LoadPlan, index: int, workers: int) -> LoadPlan:
    """Return one generator's part: every n-th arrival, and its share of the seats."""
    seats = -(-plan.load.max_in_flight // workers)  # rounded up: a generator without a seat would send nothing
    per_s = plan.load.seats_per_s and plan.load.seats_per_s / workers
    load = plan.load.model_copy(update={"max_in_flight": seats, "seats_per_s": per_s})
    return replace(plan, share=(index, workers), load=load)
