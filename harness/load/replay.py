"""Recorded arrivals from a file: one a line, in seconds, in order."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import LoadError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

REACHES_RATIO = 0.98
"""Of the run that a recording must reach: the last gap of a few arrivals a second may be open."""


def recorded_s(file: Path) -> NDArray[np.float64]:
    """Read a recording, as seconds from its first arrival; empty lines and lines that begin with # say nothing.

    Raises:
        LoadError: If it cannot be read, holds fewer than two arrivals, or is not in order; it names file and line.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable("cannot be read", str(file), error) from error
    told = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    moments_s = [_moment_s(line, f"{file}:{number}") for number, line in told]
    if len(moments_s) < 2 or moments_s[0] == moments_s[-1]:
        raise _unusable("holds fewer than two moments, which is no rate", str(file))
    for (earlier, later), (number, _) in zip(pairwise(moments_s), told[1:], strict=True):
        if later < earlier:
            raise _unusable(f"goes back from {earlier:g} to {later:g} s", f"{file}:{number}")
    return np.array(moments_s) - moments_s[0]


def replayed_s(recording_s: NDArray[np.float64], per_s: float, lasts_s: float) -> NDArray[np.float64]:
    """Return the recorded pattern at a mean rate of `per_s`, up to `lasts_s`.

    Raises:
        LoadError: If the recording ends before the run does.
    """
    recorded_per_s = (len(recording_s) - 1) / recording_s[-1]
    scaled_s: NDArray[np.float64] = recording_s * (recorded_per_s / per_s)
    if scaled_s[-1] < lasts_s * REACHES_RATIO:
        what = f"the recorded arrivals end after {scaled_s[-1]:.1f} s at {per_s:g}/s, and the run lasts {lasts_s:g} s"
        raise LoadError(what, where="load.schedule.file", fix="record longer, or shorten the run's phases")
    return scaled_s[scaled_s < lasts_s]


def _moment_s(line: str, where: str) -> float:
    try:
        moment_s = float(line)
    except ValueError as error:
        raise _unusable("holds a line that is no number", where) from error
    if not math.isfinite(moment_s):
        raise _unusable(f"holds {line.strip()}, which is no moment", where)
    return moment_s


def _unusable(what: str, where: str, error: Exception | None = None) -> LoadError:
    why = f": {error}" if error else ""
    fix = "write one arrival a line, in seconds, in order"
    return LoadError(f"a recording of arrivals {what}{why}", where=where, fix=fix)
