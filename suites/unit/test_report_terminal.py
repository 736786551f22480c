"""The terminal: one live line for people, plain lines for logs, and never a control character in those."""

import io
import unicodedata
from dataclasses import replace

import pytest
from rich.console import Console

from harness.clock import FakeClock
from harness.history.load import Heartbeat
from harness.report import Progress, verdict_table
from harness.report.formatting import brief, quoted_in
from harness.verdict.judge import judge
from harness.verdict.outcome import Obligation, Outcome
from suites.support import histories

VERDICTS = [
    judge(*make(), confidence=0.95)
    for make in (histories.control, histories.breaker_never_opens, histories.nothing_seen, histories.broke_off)
]

BEAT = {
    "at_s": 1.0,
    "issued": 250,
    "ok": 250,
    "failed": 0,
    "in_flight": 3,
    "backlog": 0,
    "p95_s": 0.013,
    "lag_max_s": 0.002,
    "cpu_ratio": 0.3,
}


def console(*, is_terminal):
    """Return a console of 80 columns that writes to memory."""
    return Console(
        file=io.StringIO(),
        force_terminal=is_terminal,
        width=80,
        highlight=False,
        color_system="standard",
        legacy_windows=False,
    )


def beaten(progress, clock, *, seconds, phase="fault", **numbers):
    """Let `seconds` pass, with a heartbeat in each."""
    for _ in range(seconds):
        beat = Heartbeat(**{**BEAT, **numbers})
        progress.heartbeat(scenario="redis-latency", phase=phase, elapsed_s=clock.now(), total_s=42.0, heartbeat=beat)
        clock.advance(1.0)


def controls_in(text):
    """Return every control character but newline."""
    return {letter for letter in text if unicodedata.category(letter) == "Cc" and letter != "\n"}


def test_a_log_gets_a_line_for_each_phase_and_every_ten_seconds():
    """Twenty-four seconds of two phases are four lines, not twenty-four."""
    log, clock = console(is_terminal=False), FakeClock()
    progress = Progress(log, clock=clock)
    beaten(progress, clock, seconds=4, phase="warmup")
    beaten(progress, clock, seconds=20, phase="baseline")

    lines = log.file.getvalue().splitlines()

    assert [line.split(", ")[:2] for line in lines] == [
        ["redis-latency: warmup", "0 of 42 s"],
        ["redis-latency: baseline", "4 of 42 s"],
        ["redis-latency: baseline", "14 of 42 s"],
    ]
    assert lines[0].endswith("250/s, p95 13 ms, 0 failed, 3 in flight")


def test_a_verdict_comes_with_its_checklist():
    """What was shown in one line, by name; what was not has a line of its own, with what was seen instead."""
    log = console(is_terminal=False)
    passed, _, unseen, broken = VERDICTS
    for verdict in (passed, unseen, broken):
        Progress(log).verdict(verdict)

    said = log.file.getvalue()
    assert (
        "✓ pass no-fault: 3 objectives kept\n  ✓ shown, 12 of 12: ran to the end · load delivered · phase warmup"
        in said
    )
    assert "\n  ? load delivered: not one request was issued\n" in said
    assert "\n  ? fault delivered: redis down: replica-1.redis: PING answered after 0.3 ms (asked: refused)\n" in said
    assert "\n  ? recovery seen: " in said
    assert "\n  ! ran to the end: postgres" in said
    missing = sum(item.outcome is not Outcome.PASS for verdict in (unseen, broken) for item in verdict.obligations)
    assert len(said.splitlines()) == 3 * 2 + missing


DIED = """replica-1 died while starting: exit 1
  where: 127.0.0.1:8000
  fix:   its last words say why:
    | Traceback (most recent call last):
    |   File "/shop/main.py", line 9, in <module>
    |     import nothing_there
    |     ^^^^^^^^^^^^^^^^^^^^
    | ModuleNotFoundError: No module named 'nothing_there'
    | [ERROR] Reason: Worker failed to boot."""


@pytest.mark.parametrize(
    ("sentence", "said", "quoted"),
    [
        (DIED, "replica-1 died while starting: exit 1: ModuleNotFoundError: No module named 'nothing_there'", 5),
        ("it died\n    | Listening on 80\n    | bye | now", "it died: bye | now", 2),
        ("it died\n    | shop.errors.ShopError: no shop\n    | bye", "it died: shop.errors.ShopError: no shop", 2),
        ("it died\n    | no errors: 0\n    | bye", "it died: bye", 2),
        ("it died\n  where: there", "it died\n  where: there", 0),
        ("3 objectives kept", "3 objectives kept", 0),
    ],
)
def test_what_quotes_a_log_is_one_line_in_brief(sentence, said, quoted):
    """The last line that names an exception says most, else the last; what only points at another line is left out."""
    assert brief(sentence) == said
    assert len(quoted_in(sentence)) == quoted


def test_the_end_of_a_log_is_told_once_and_in_lines():
    """Below what is missing; beside the verdict, and in the table, the line that says most stands alone."""
    log = console(is_terminal=False)
    verdict = replace(
        VERDICTS[3],
        sentence=f"fail: {DIED}",
        obligations=(Obligation(name="ran to the end", outcome=Outcome.FAIL, sentence=DIED),),
    )
    Progress(log).verdict(verdict)
    verdict_table([verdict], console=log)

    said = log.file.getvalue()
    assert said.count("replica-1 died while starting: exit 1: ModuleNotFoundError: No module named") == 3
    assert said.count("import nothing_there") == 1
    assert '\n    |   File "/shop/main.py", line 9, in <module>\n    |     import nothing_there\n' in said
    assert "^^^" not in said
    assert max(map(len, said.splitlines())) < 140


def test_a_log_has_no_control_characters():
    """Not from rich, and not from what services say."""
    log, clock = console(is_terminal=False), FakeClock()
    with Progress(log, clock=clock) as progress:
        progress.message("\x1b[31mredis\x1b[0m is\r ready \u202e[bold]now[/bold]")
        beaten(progress, clock, seconds=3)
        progress.verdict(VERDICTS[1])
    verdict_table(VERDICTS, "reports/runs/r1/index.html", console=log)

    said = log.file.getvalue()

    assert controls_in(said) == set()
    assert said.startswith("redis is ready [bold]now[/bold]\n")
    assert "✗ fail redis-latency: errors 3.5 % [2.7, 4.4] > 1 %" in said
    assert said.endswith("report: reports/runs/r1/index.html\n")


def test_force_color_makes_no_terminal(monkeypatch, capsys):
    """Who wants colour in a log does not want a live line in it."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    clock = FakeClock()
    with Progress(clock=clock) as progress:
        beaten(progress, clock, seconds=2)
    verdict_table(VERDICTS)

    assert controls_in(capsys.readouterr().out) == set()


def test_a_terminal_has_one_live_line():
    """Each second is drawn over the last one, within the window's width."""
    screen, clock = console(is_terminal=True), FakeClock()
    with Progress(screen, clock=clock) as progress:
        beaten(progress, clock, seconds=3, failed=4)

    said = screen.file.getvalue()

    assert said.count("\n") == 0
    assert said.count("\x1b[2K") == 4
    assert "12 failed" in said


def test_a_step_on_a_terminal_wipes_the_live_line():
    """Nothing of the longer live line is left behind the shorter step."""
    screen, clock = console(is_terminal=True), FakeClock()
    progress = Progress(screen, clock=clock)
    beaten(progress, clock, seconds=1)
    progress.message("done")

    assert screen.file.getvalue().endswith("\r\x1b[2Kdone\n")


def test_the_table_says_each_outcome_in_words_and_shapes():
    """Colour is on top of that, never instead."""
    log = console(is_terminal=False)
    verdict_table(VERDICTS, console=log)

    assert [line.split("  ")[0] for line in log.file.getvalue().splitlines()] == [
        "✓ pass",
        "✗ fail",
        "? inconclusive",
        "! error",
    ]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_brackets_in_a_sentence_are_no_markup(is_terminal):
    """Bounds are written in brackets, and rich must not take them for style."""
    log = console(is_terminal=is_terminal)
    verdict_table(VERDICTS, console=log)

    assert "[2.7, 4.4]" in log.file.getvalue()
