"""Figures of the reference core's speed: each is held to its bar, and all are a table in the end."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fixtures.reference.clock import MonotonicClock
from suites.support.servers import start_redis

TABLE = Path("reports/bench/core.md")
FIGURES = pytest.StashKey["list[Figure]"]()


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One thing that was measured.

    Attributes:
        part: Of the core.
        what: Is done.
        ours: As it is shown, with its unit.
        yardstick: What it was measured against in the same run, as it is shown.
        ratio: Of the two, the way round that the bar speaks of.
        bar: As it is shown.
        source: What the bar's number was made of.
        is_kept: Whether the bar is.
        others: What else was in the run, by name, as it is shown.
    """

    part: str
    what: str
    ours: str
    yardstick: str
    ratio: float
    bar: str
    source: str
    is_kept: bool
    others: dict[str, str] = field(default_factory=dict)

    def row(self) -> str:
        """Return it as a line of the table."""
        others = ", ".join(f"{name} {shown}" for name, shown in self.others.items())
        cells = (self.part, self.what, self.ours, self.yardstick, f"{self.ratio:.3g}", self.bar, self.source, others)
        return f"| {' | '.join(cells)} |"


class Figures:
    """What the tests of one session measured.

    Bars are ratios to a yardstick of the same run, since no two machines take equally long; each says what it is made
    of: the absolute bar, and what the yardstick took on the machine that the bar was set on (2 shared cores, CPython
    3.11, 2026-11).
    """

    def __init__(self, seen: list[Figure]) -> None:
        self._seen = seen

    def at_most(
        self,
        part: str,
        what: str,
        ours_s: float,
        yardstick: tuple[str, float],
        factor: float,
        source: str,
        **others_s: float,
    ) -> None:
        """Hold a time to so many times that of the yardstick; both in seconds."""
        name, beside_s = yardstick
        self.hold(
            part,
            what,
            (shown_s(ours_s), f"{name} {shown_s(beside_s)}"),
            ratio=ours_s / beside_s,
            at_most=factor,
            source=source,
            others={other: shown_s(seconds) for other, seconds in others_s.items()},
        )

    def at_least_as_fast(self, part: str, what: str, ours_s: float, peer: tuple[str, float], factor: float) -> None:
        """Hold a time to a fraction of what another library takes for the same, in seconds."""
        name, theirs_s = peer
        shown = shown_s(ours_s), f"{name} {shown_s(theirs_s)}"
        self.hold(part, what, shown, ratio=theirs_s / ours_s, at_least=factor, source=f"{factor} times as fast")

    def hold(
        self,
        part: str,
        what: str,
        shown: tuple[str, str],
        *,
        ratio: float,
        source: str,
        at_most: float | None = None,
        at_least: float | None = None,
        others: dict[str, str] | None = None,
    ) -> None:
        """Hold a ratio to its bar, and note it either way."""
        is_kept = (at_most is None or ratio <= at_most) and (at_least is None or ratio >= at_least)
        bar = f"≤ {at_most:.3g}" if at_most is not None else f"≥ {at_least:.3g}"
        ours, yardstick = shown
        figure = Figure(
            part=part,
            what=what,
            ours=ours,
            yardstick=yardstick,
            ratio=ratio,
            bar=bar,
            source=source,
            is_kept=is_kept,
            others=others or {},
        )
        self._seen.append(figure)
        assert is_kept, f"{what}: {ours} beside {yardstick}, ratio {ratio:.3g}, not {bar} ({source})"


def shown_s(seconds: float) -> str:
    """Return a time in the unit that reads best."""
    for unit, size_s in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size_s:
            return f"{seconds / size_s:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


@pytest.fixture
def figures(request) -> Figures:
    """The figures of this session."""
    return Figures(request.config.stash[FIGURES])


@pytest.fixture
def clock() -> MonotonicClock:
    """The clock of a service: reading it is part of what things cost."""
    return MonotonicClock()


@pytest.fixture(scope="session")
def redis_port():
    """The port of a Redis that this session shares."""
    with start_redis() as port:
        yield port


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take where to write the table."""
    parser.addoption("--speed-page", help="write how fast the reference core is to this file too")


def pytest_configure(config: pytest.Config) -> None:
    """Begin without figures."""
    config.stash[FIGURES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the figures, and write them down."""
    seen = config.stash[FIGURES]
    if not seen:
        return
    page = _page(seen)
    for path in (TABLE, Path(config.getoption("--speed-page") or TABLE)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    terminalreporter.section("the reference core's speed")
    for figure in seen:
        word = "" if figure.is_kept else "MISSED "
        terminalreporter.line(f"{word}{figure.part}, {figure.what}: {figure.ours} beside {figure.yardstick}, "
                              f"ratio {figure.ratio:.3g} {figure.bar}; {figure.others or ''}")  # fmt: skip
    terminalreporter.line(f"table: {TABLE}")


def _page(seen: list[Figure]) -> str:
    return "\n".join([*OPENING, f"{_machine()}:", "", *HEAD, *(figure.row() for figure in seen), ""])


def _machine() -> str:
    day = datetime.now(UTC).date().isoformat()
    return f"Measured {day}: CPython {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"


OPENING = """
# How fast the reference core is

Written by `nox -s bench` (`suites/performance/test_core_*.py`). Each figure stands beside a yardstick that was measured in the same
turns of the same process, and its bar is the **ratio** of the two, since no two machines take equally long. *Made of* says where the
bar's number comes from: the absolute bar, and what the yardstick took on the machine that the bar was set on (two shared cores, CPython
3.11). A time is the best of many short slices, taken in turns, because what else a machine does only ever adds to one. A missed bar fails
the session.

""".lstrip().splitlines()
HEAD = [
    "| part | what | ours | yardstick | ratio | bar | made of | beside it |",
    "|---|---|---|---|---|---|---|---|",
]
