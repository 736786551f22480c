"""What a run says while it goes on, and what it says at the end.

On a terminal one live line shows the last second; elsewhere (a log, a pipe) there are plain lines only, a heartbeat at
most every ten seconds, and never a control character. Only this file knows rich.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.clock import SystemClock
from harness.report.egress import NO_SECRETS, Secrets, line
from harness.report.words import outcome_text, reason_of, seconds_of, thousands
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from harness.clock import Clock
    from harness.verdict.outcome import Verdict

QUIET_S = 10.0
"""Between two heartbeats of one phase where nobody watches, seconds."""

STYLES = {
    Outcome.PASS: "bold green",
    Outcome.INCONCLUSIVE: "bold yellow",
    Outcome.FAIL: "bold red",
    Outcome.ERROR: "bold magenta",
}
_BAR_WIDTH = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One second of an experiment, as it goes on.

    Attributes:
        scenario: Its name.
        phase: Where it is.
        elapsed_s: Since the experiment's load began.
        total_s: Of all phases.
        rate_per_s: Requests issued in the last second.
        p95_s: Latency of the last second; None if nothing was answered.
        errors: Requests that did not end well, since the load began.
        in_flight: Requests that wait for their answer.
    """

    scenario: str
    phase: str
    elapsed_s: float
    total_s: float
    rate_per_s: float
    p95_s: float | None
    errors: int
    in_flight: int


class Progress:
    """Say what happens; a context manager, so that the terminal is left as it was found."""

    def __init__(
        self, console: Console | None = None, *, clock: Clock | None = None, secrets: Secrets = NO_SECRETS
    ) -> None:
        self._console = console or Console(highlight=False)
        self._clock = clock or SystemClock()
        self._secrets = secrets
        self._live = (
            Live(console=self._console, transient=True, auto_refresh=False) if self._console.is_terminal else None
        )
        self._place = ("", "")
        self._said_s = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Say one step: `redis 8.2 is ready after 0.4 s`."""
        self._print(Text(self._fit(text)))

    def beat(self, beat: Beat) -> None:
        """Show one second; call it as often as there is news."""
        place, now_s = (beat.scenario, beat.phase), self._clock.now()
        if self._live:
            self._live.update(_live_line(beat), refresh=True)
        elif place != self._place or now_s - self._said_s >= QUIET_S:
            self._print(Text(_plain_line(beat)))
            self._said_s = now_s
        self._place = place

    def verdict(self, verdict: Verdict) -> None:
        """Say how one experiment ended."""
        said = Text.assemble(
            _outcome(verdict.outcome), f" {self._fit(verdict.scenario)}: {self._fit(reason_of(verdict))}"
        )
        if self._live:
            self._live.update(Text(""), refresh=True)
        self._print(said)

    def _fit(self, text: str) -> str:
        return _fit(text, self._secrets)

    def _print(self, text: Text) -> None:
        # Soft: where lines are kept, a reader's own window folds them.
        self._console.print(text, soft_wrap=True)


def verdict_table(
    verdicts: Sequence[Verdict],
    report: str = "",
    *,
    console: Console | None = None,
    secrets: Secrets = NO_SECRETS,
) -> None:
    """Print every verdict with its reason, then where the report is."""
    console = console or Console(highlight=False)
    rows = [
        (_outcome(verdict.outcome), _fit(verdict.scenario, secrets), _fit(reason_of(verdict), secrets))
        for verdict in verdicts
    ]
    if console.is_terminal:
        _print_table(console, rows)
    else:
        _print_lines(console, rows)
    if report:
        console.print(Text(f"report: {_fit(report, secrets)}"), soft_wrap=True)


def _print_table(console: Console, rows: Sequence[tuple[Text, str, str]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for head in ("outcome", "scenario", "what was seen"):
        table.add_column(head, no_wrap=head != "what was seen")
    for outcome, scenario, sentence in rows:
        table.add_row(outcome, Text(scenario), Text(sentence))
    console.print(table)


def _print_lines(console: Console, rows: Sequence[tuple[Text, str, str]]) -> None:
    width = max((len(scenario) for _, scenario, _ in rows), default=0)
    for outcome, scenario, sentence in rows:
        console.print(Text(f"{outcome.plain:<14}  {scenario:<{width}}  {sentence}"), soft_wrap=True)


def _fit(text: str, secrets: Secrets) -> str:
    return secrets.redacted(line(secrets.redacted(text)))


def _outcome(outcome: Outcome) -> Text:
    return Text(outcome_text(outcome), style=STYLES[outcome])


def _numbers(beat: Beat) -> str:
    p95 = seconds_of(beat.p95_s)
    return f"{beat.rate_per_s:.0f}/s, p95 {p95}, {thousands(beat.errors)} errors, {beat.in_flight} in flight"


def _plain_line(beat: Beat) -> str:
    elapsed = f"{beat.elapsed_s:.0f} of {beat.total_s:.0f} s"
    return f"{line(beat.scenario)}: {line(beat.phase)}, {elapsed}, {_numbers(beat)}"


def _live_line(beat: Beat) -> Text:
    done = min(beat.elapsed_s / beat.total_s, 1.0) if beat.total_s > 0 else 0.0
    filled = round(done * _BAR_WIDTH)
    return Text.assemble(
        (f"{line(beat.scenario)} ", "bold"),
        ("━" * filled, "cyan"),
        ("━" * (_BAR_WIDTH - filled), "dim"),
        f" {beat.elapsed_s:.0f}/{beat.total_s:.0f} s  {line(beat.phase)}  ",
        (_numbers(beat), "red" if beat.errors else "dim"),
        no_wrap=True,
        overflow="ellipsis",
    )
