"""How the rate of arrivals changes over a run: always a rate, never a number of users.

Each schedule is a line through knots (moment, rate), so that what it integrates to is exact; a jump is two knots at the
same moment. All its times are stretched with the phases.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from harness.spec.model import Model
from harness.spec.path import PathBelow
from harness.spec.quantity import Duration, Ratio

PER_S_MAX = 20_000
"""A child with the leanest user reaches it on one core (measured 2026-11, a bare prototype)."""

PerS = Annotated[float, Field(ge=0, le=PER_S_MAX)]
Knot = tuple[float, float]
"""A moment in seconds since the origin, and the arrivals a second at it."""

_CHORDS_PER_PERIOD = 128
"""A sine drawn with so many chords is at most 0.03 % of its swing away from itself: (2 pi / 128)^2 / 8."""


class Constant(Model):
    """Stay at `arrivals_per_s`."""

    kind: Literal["constant"] = "constant"

    def knots(self, per_s: float, lasts_s: float) -> tuple[Knot, ...]:
        """Return the line through the whole run."""
        return (0.0, per_s), (lasts_s, per_s)

    def stretched(self, factor: float) -> Constant:  # noqa: ARG002 - it has no times
        """Return the same schedule for a run `factor` times as long."""
        return self


class Ramp(Model):
    """Go from `arrivals_per_s` to `to_per_s` in a straight line, and stay there."""

    kind: Literal["ramp"]
    to_per_s: PerS
    over: Duration = Field(gt=0)
    begins: Duration = 0.0

    def knots(self, per_s: float, lasts_s: float) -> tuple[Knot, ...]:
        """Return the line through the whole run."""
        ends_s = self.begins + self.over
        line = (0.0, per_s), (self.begins, per_s), (ends_s, self.to_per_s), (max(lasts_s, ends_s), self.to_per_s)
        return _until(lasts_s, line)

    def stretched(self, factor: float) -> Ramp:
        """Return the same schedule for a run `factor` times as long."""
        return self.model_copy(update={"begins": self.begins * factor, "over": self.over * factor})


class Stair(Model):
    """One stair of a `Step`: from the moment `at` on, the rate is `per_s`."""

    at: Duration = Field(gt=0)
    per_s: PerS


class Step(Model):
    """Jump to another rate, and stay there until the next jump; in order of time."""

    kind: Literal["step"]
    steps: tuple[Stair, ...] = Field(min_length=1, max_length=100)

    def knots(self, per_s: float, lasts_s: float) -> tuple[Knot, ...]:
        """Return the line through the whole run."""
        line, now_per_s = [(0.0, per_s)], per_s
        for stair in sorted(self.steps, key=lambda stair: stair.at):
            line += [(stair.at, now_per_s), (stair.at, stair.per_s)]
            now_per_s = stair.per_s
        return _until(lasts_s, (*line, (max(lasts_s, line[-1][0]), now_per_s)))

    def stretched(self, factor: float) -> Step:
        """Return the same schedule for a run `factor` times as long."""
        steps = tuple(stair.model_copy(update={"at": stair.at * factor}) for stair in self.steps)
        return self.model_copy(update={"steps": steps})


class Spike(Model):
    """Jump to `to_per_s` at the moment `at`, and back after `lasts`."""

    kind: Literal["spike"]
    to_per_s: PerS
    at: Duration = Field(gt=0)
    lasts: Duration = Field(gt=0)

    def knots(self, per_s: float, lasts_s: float) -> tuple[Knot, ...]:
        """Return the line through the whole run."""
        up, down = Stair.model_construct(at=self.at, per_s=self.to_per_s), self.at + self.lasts
        return Step.model_construct(kind="step", steps=(up, Stair.model_construct(at=down, per_s=per_s))).knots(
            per_s, lasts_s
        )

    def stretched(self, factor: float) -> Spike:
        """Return the same schedule for a run `factor` times as long."""
        return self.model_copy(update={"at": self.at * factor, "lasts": self.lasts * factor})


class Sine(Model):
    """Swing around `arrivals_per_s`, up first, by `swing` of it either way: a day in a minute."""

    kind: Literal["sine"]
    swing: Ratio = Field(gt=0, le=1)
    period: Duration = Field(ge=1)

    def knots(self, per_s: float, lasts_s: float) -> tuple[Knot, ...]:
        """Return the line through the whole run."""
        chord_s = self.period / _CHORDS_PER_PERIOD
        moments_s = [chord_s * index for index in range(math.ceil(lasts_s / chord_s) + 1)]
        turn = 2 * math.pi / self.period
        line = tuple((at_s, per_s * (1 + self.swing * math.sin(turn * at_s))) for at_s in moments_s)
        return _until(lasts_s, line)

    def stretched(self, factor: float) -> Sine:
        """Return the same schedule for a run `factor` times as long."""
        return self.model_copy(update={"period": self.period * factor})


class Replay(Model):
    """Repeat recorded arrivals: their pattern, at a mean rate of `arrivals_per_s`.

    Attributes:
        file: One arrival a line, in seconds from any beginning, in order; below the project's folder. It must be long
            enough for the run.
    """

    kind: Literal["replay"]
    file: PathBelow

    def knots(self, per_s: float, lasts_s: float) -> tuple[Knot, ...]:
        """Return its mean; the file alone knows how it swings around it."""
        return (0.0, per_s), (lasts_s, per_s)

    def stretched(self, factor: float) -> Replay:  # noqa: ARG002 - a longer run needs a longer file
        """Return the same schedule for a run `factor` times as long."""
        return self


Schedule = Annotated[Constant | Ramp | Step | Spike | Sine | Replay, Field(discriminator="kind")]


def _until(lasts_s: float, line: tuple[Knot, ...]) -> tuple[Knot, ...]:
    """Cut a line at the end of the run; a knot of its own stands there."""
    inside = tuple(knot for knot in line if knot[0] < lasts_s)
    last_per_s = next(
        (_between(before, after, lasts_s) for before, after in pairwise(line) if after[0] >= lasts_s),
        line[-1][1],
    )
    return (*inside, (lasts_s, last_per_s))


def _between(before: Knot, after: Knot, at_s: float) -> float:
    if after[0] <= before[0]:
        return before[1]
    return before[1] + (after[1] - before[1]) * (at_s - before[0]) / (after[0] - before[0])
