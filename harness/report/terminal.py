"""What a run says while it goes on, and what it says at the end.

On a terminal one live line shows the last second; elsewhere (a log, a pipe) there are plain lines only, a heartbeat at
most every ten seconds, and never a control character. Only this file knows rich.
"""

from __future__ import annotations

import os
import sys
from typing import IO, TYPE_CHECKING, Self, cast

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.table import Table
from rich.text import Text

from harness.clock import SystemClock
from harness.evidence.redaction import line, plain
from harness.report.formatting import (
    SYMBOLS,
    brief,
    outcome_text,
    placed_in,
    quoted_in,
    reason_of,
    seconds_of,
    thousands,
)
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from harness.clock import Clock
    from harness.history.load import Heartbeat
    from harness.verdict.outcome import Verdict

QUIET_S = 10.0
"""Between two heartbeats of one phase where the output is no terminal, seconds."""

STYLES = {
    Outcome.PASS: "bold green",
    Outcome.INCONCLUSIVE: "bold yellow",
    Outcome.FAIL: "bold red",
    Outcome.ERROR: "bold magenta",
}
_BAR_WIDTH = 10


class Progress:
    """Say what happens. As a context manager it also wipes its live line at the end."""

    def __init__(self, console: Console | None = None, *, clock: Clock | None = None) -> None:
        self._console = console or _console()
        self._clock = clock or SystemClock()
        self._place = ("", "")
        self._failed_count = 0
        self._said_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _wipe(self._console)

    def message(self, text: str) -> None:
        """Say one step: `redis 8.2 is ready after 0.4 s`."""
        self._print(Text(line(text)))

    def heartbeat(self, *, scenario: str, phase: str, elapsed_s: float, total_s: float, heartbeat: Heartbeat) -> None:
        """Show one second of an experiment; call it as often as there is news.

        Args:
            scenario: Its name.
            phase: Where it is.
            elapsed_s: Since its load began.
            total_s: Of all its phases.
            heartbeat: What the load generator says.
        """
        place, now_s = (scenario, phase), self._clock.now()
        self._failed_count = heartbeat.failed + (self._failed_count if scenario == self._place[0] else 0)
        numbers = _numbers(heartbeat, self._failed_count)
        if _is_screen(self._console):
            title = line(scenario), line(phase)
            style = "red" if self._failed_count else "dim"
            self._draw(_live_line(*title, elapsed_s, total_s, Text(numbers, style)))
        elif place != self._place or now_s - self._said_s >= QUIET_S:
            self.message(f"{scenario}: {phase}, {elapsed_s:.0f} of {total_s:.0f} s, {numbers}")
            self._said_s = now_s
        self._place = place

    def verdict(self, verdict: Verdict) -> None:
        """Say how one experiment ended, and tick off what had to be shown for it: what is missing has a line each."""
        reason = f"{verdict.scenario}: {reason_of(verdict)}"
        self._print(Text.assemble(_outcome(verdict.outcome), " ", line(reason)))
        met = [item.name for item in verdict.obligations if item.outcome is Outcome.PASS]
        ticked = f"shown, {len(met)} of {len(verdict.obligations)}: {' · '.join(met) or 'nothing'}"
        self._print(Text(f"  {SYMBOLS[Outcome.PASS]} {line(ticked)}"))
        for item in verdict.obligations:
            if item.outcome is not Outcome.PASS:
                missing = line(f"{item.name}: {brief(item.sentence)}")
                self._print(Text.assemble("  ", (SYMBOLS[item.outcome], STYLES[item.outcome]), f" {missing}"))
                for each in placed_in(item.sentence):
                    self._print(Text(f"    {line(each)}"))
                for each in quoted_in(item.sentence):
                    self._print(Text(f"    | {plain(each)}", style="dim"))

    def _print(self, text: Text) -> None:
        _wipe(self._console)
        _line(self._console, text)

    def _draw(self, text: Text) -> None:
        """Draw over the last line; the cursor waits at its beginning, so that whatever comes next overwrites it."""
        _wipe(self._console)
        text.truncate(max(1, self._console.width - 1), overflow="ellipsis")
        self._console.print(text, end="\r", soft_wrap=True)


def verdict_table(
    verdicts: Sequence[Verdict],
    report: str = "",
    *,
    console: Console | None = None,
) -> None:
    """Print every verdict with its reason, then where the report is."""
    console = console or _console()
    _wipe(console)
    rows = [(verdict.outcome, verdict.scenario, reason_of(verdict)) for verdict in verdicts]
    outcome_table("scenario", rows, console=console)
    if report:
        _line(console, Text(f"report: {line(report)}"))


def outcome_table(
    what: str,
    judged: Sequence[tuple[Outcome, str, str]],
    *,
    console: Console | None = None,
) -> None:
    """Print outcomes, each with the name of what was judged and a sentence; `what` heads the names."""
    console = console or _console()
    rows = [
        (_outcome(outcome), line(name), line(sentence.removeprefix(f"{outcome}: ")))
        for outcome, name, sentence in judged
    ]
    if _is_screen(console):
        _print_table(console, what, rows)
    else:
        _print_lines(console, rows)


def change_table(
    title: str,
    changes: Sequence[tuple[str, str, str, str]],
    *,
    console: Console | None = None,
) -> None:
    """Print what changed: scenario, what, before, after."""
    console = console or _console()
    rows = [tuple(line(word) for word in change) for change in changes]
    if not _is_screen(console):
        for scenario, what, before, after in rows:
            _line(console, Text(f"{title}: {scenario}: {what}: {before} -> {after}"))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", title=title, title_justify="left")
    for head in ("scenario", "what", "before", "after"):
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(word) for word in row))
    console.print(table)


def image_table(images: Sequence[tuple[str, str, str, float]], *, console: Console | None = None) -> None:
    """Print what became of each image: role, reference, how it was had, and the seconds that it took."""
    console = console or _console()
    rows = [(role, line(image), how, seconds_of(took_s)) for role, image, how, took_s in images]
    if not _is_screen(console):
        for role, image, how, took in rows:
            _line(console, Text(f"{role:<8}  {how:<6}  {took:>8}  {image}"))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for head in ("role", "image", "how", "took"):
        table.add_column(head, overflow="fold", justify="right" if head == "took" else "left")
    for row in rows:
        table.add_row(*(Text(word) for word in row))
    console.print(table)


def _print_table(console: Console, what: str, rows: Sequence[tuple[Text, str, str]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for head in ("outcome", what, "what was seen"):
        table.add_column(head, no_wrap=head != "what was seen")
    for outcome, scenario, sentence in rows:
        table.add_row(outcome, Text(scenario), Text(sentence))
    console.print(table)


def _print_lines(console: Console, rows: Sequence[tuple[Text, str, str]]) -> None:
    width = max((len(scenario) for _, scenario, _ in rows), default=0)
    for outcome, scenario, sentence in rows:
        _line(console, Text(f"{outcome.plain:<14}  {scenario:<{width}}  {sentence}"))


def _outcome(outcome: Outcome) -> Text:
    return Text(outcome_text(outcome), style=STYLES[outcome])


def _console() -> Console:
    # Asked by ourselves: rich also takes FORCE_COLOR for a terminal, and would then draw over the lines of a log.
    return Console(file=cast("IO[str]", _Listener()), highlight=False, force_terminal=sys.stdout.isatty())


class _Listener:
    """Standard output for as long as it is read: a run is not over because its reader has gone."""

    def write(self, text: str) -> int:
        try:
            return sys.stdout.write(text)
        except OSError:
            _hush()
            return len(text)

    def flush(self) -> None:
        try:
            sys.stdout.flush()
        except OSError:
            _hush()

    def isatty(self) -> bool:
        return sys.stdout.isatty()

    def fileno(self) -> int:
        return sys.stdout.fileno()

    @property
    def encoding(self) -> str:
        return sys.stdout.encoding


def _hush() -> None:
    """Let everything that is said from now on go nowhere, also what is still held back."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _is_screen(console: Console) -> bool:
    return console.is_terminal and not console.is_dumb_terminal


def _line(console: Console, text: Text) -> None:
    # Soft: where lines are kept, a reader's own window folds them.
    console.print(text if _is_screen(console) else Text(text.plain), soft_wrap=True)


def _wipe(console: Console) -> None:
    if _is_screen(console):
        console.control(Control((ControlType.CARRIAGE_RETURN,), (ControlType.ERASE_IN_LINE, 2)))


def _numbers(heartbeat: Heartbeat, failed_count: int) -> str:
    waiting = f", {heartbeat.backlog} waiting" if heartbeat.backlog else ""
    failed = f"{thousands(failed_count)} failed"
    return (
        f"{heartbeat.issued}/s, p95 {seconds_of(heartbeat.p95_s)}, {failed}, {heartbeat.in_flight} in flight{waiting}"
    )


def _live_line(scenario: str, phase: str, elapsed_s: float, total_s: float, numbers: Text) -> Text:
    done = min(max(elapsed_s / total_s, 0.0), 1.0) if total_s > 0 else 0.0
    filled = round(done * _BAR_WIDTH)
    return Text.assemble(
        (f"{scenario} ", "bold"),
        ("━" * filled, "cyan"),
        ("━" * (_BAR_WIDTH - filled), "dim"),
        f" {elapsed_s:.0f}/{total_s:.0f} s  {phase}  ",
        numbers,
    )
