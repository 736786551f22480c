"""A scenario's phases and faults over time, in plain characters that any terminal, log and page can show."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.spec.quantity import count_text, duration_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.spec.scenario import Scenario

WIDTH = 60
"""Of the time axis, in characters: with names before and words behind it, a line still fits most windows."""

_PHASE, _FAULT = "=", "#"


class _Bar(NamedTuple):
    name: str
    began_s: float
    ended_s: float
    mark: str
    words: str


def timeline_of(scenario: Scenario) -> list[str]:
    """Return the lines of a drawing: the times at which phases begin, then a bar for each phase and each fault.

    Everything is to scale, but for what would be thinner than a character.
    """
    bars = list(_bars(scenario))
    indent = max(len(bar.name) for bar in bars) + 2
    begins_s = [began_s for _, began_s, _ in scenario.windows]
    axis = " " * (indent + 1) + _axis([*begins_s, scenario.lasts_s], scenario.lasts_s)
    return [axis.rstrip(), *(f"{bar.name:<{indent}}|{_drawn(bar, scenario.lasts_s)}|  {bar.words}" for bar in bars)]


def _bars(scenario: Scenario) -> Sequence[_Bar]:
    bars = []
    for phase, began_s, ended_s in scenario.windows:
        requests = count_text(round(scenario.expected(began_s, ended_s)))
        bars.append(_Bar(phase.name, began_s, ended_s, _PHASE, f"{duration_text(phase.lasts)}, {requests} requests"))
        bars += [
            _Bar(f"  {action.id}", action.starts_s, min(action.ends_s, scenario.lasts_s), _FAULT, str(action.spec))
            for action in scenario.actions
            if action.phase == phase.name
        ]
    return bars


def _drawn(bar: _Bar, lasts_s: float) -> str:
    began, ended = _column(bar.began_s, lasts_s), _column(bar.ended_s, lasts_s)
    began = min(began, WIDTH - 1)
    return (" " * began + bar.mark * max(1, ended - began)).ljust(WIDTH)


def _axis(times_s: Sequence[float], lasts_s: float) -> str:
    """Return the times, each above its column; one for which there is no room is left out, the last one never."""
    last = duration_text(times_s[-1])
    line = ""
    for time_s in times_s[:-1]:
        text, column = duration_text(time_s), _column(time_s, lasts_s)
        if (not line or column > len(line)) and column + len(text) < WIDTH:
            line = line.ljust(column) + text
    return line.ljust(WIDTH) + last


def _column(time_s: float, lasts_s: float) -> int:
    return round(time_s / lasts_s * WIDTH)
