"""How numbers and outcomes are said, alike on every page, in every picture and on the terminal."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, assert_never

from harness.spec.objective import Unit
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from harness.history.history import History
    from harness.measure.failing import Failing
    from harness.verdict.outcome import Claim, Verdict

NOTHING = "–"
"""What stands where nothing was measured."""

SYMBOLS = {Outcome.PASS: "✓", Outcome.INCONCLUSIVE: "?", Outcome.FAIL: "✗", Outcome.ERROR: "!"}
"""One shape for each outcome, for eyes and printers without colour."""


def outcome_text(outcome: Outcome) -> str:
    """Return `✓ pass`."""
    return f"{SYMBOLS[outcome]} {outcome}"


def reason_of(verdict: Verdict) -> str:
    """Return why, in brief, for a place where the outcome itself already stands."""
    return brief(verdict.sentence.removeprefix(f"{verdict.outcome}: "))


_EXCEPTION = re.compile(r"[\w.]*(?:Error|Exception|Exit|Warning)\b.*:")
_POINTER = re.compile(r"[\s^~]+")
"""A line by which Python points at a part of the line above it."""


def brief(sentence: str) -> str:
    """Return one line of a sentence that may quote the end of a log: what happened, and the line that says most.

    That is the last one that names an exception, else the last one.
    """
    quoted = quoted_in(sentence)
    if not quoted:
        return sentence
    what = sentence.partition("\n")[0]
    most = next((each for each in reversed(quoted) if _EXCEPTION.match(each)), quoted[-1])
    return what if most.strip() in what else f"{what}: {most.strip()}"


def placed_in(sentence: str) -> list[str]:
    """Return where, and how to fix it, of a sentence that quotes a log, if it says more than that the log tells."""
    told = [each.strip() for each in sentence.split("\n")] if quoted_in(sentence) else []
    hints = [each.removesuffix("; its last words say why:") for each in told if each.startswith(("where:", "fix:"))]
    return hints if len(hints) > 1 and not hints[1].endswith("its last words say why:") else []


def quoted_in(sentence: str) -> list[str]:
    """Return the lines of a log that a sentence quotes, without those that only point at another."""
    told = (each.strip().removeprefix("|") for each in sentence.split("\n") if each.strip().startswith("|"))
    return [each.removeprefix(" ") for each in told if each.strip() and not _POINTER.fullmatch(each)]


def percent_of(share: float | None) -> str:
    """Return a share in percent, with the digits that matter near the limits we judge (0.1 %, 5 %, 70 %)."""
    if share is None:
        return NOTHING
    if share == 0:
        return "0 %"
    return f"{share * 100:.3f} %" if share < 0.005 else f"{share * 100:.1f} %"


def seconds_of(seconds: float | None) -> str:
    """Return `850 ms`, `12.3 s` or `4 min 10 s`."""
    if seconds is None:
        return NOTHING
    if 0 < abs(seconds) < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if abs(seconds) < 120 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def at(seconds: float) -> str:
    """Return a moment of the run: `24.0 s`."""
    return f"{seconds:.1f} s"


def thousands(number: int) -> str:
    """Return `12 000`; the space does not break a line."""
    return f"{number:,}".replace(",", "\u00a0")


def failing_of(failing: Failing) -> str:
    """Return `123 of 2 000 (6.2 %)`: requests that failed in one way, of those of their name in the phase."""
    share = failing.count / failing.total
    return f"{thousands(failing.count)} of {thousands(failing.total)} ({share * 100:.2g} %)"


def estimate_of(claim: Claim) -> str:
    """Return what was measured, in the unit of the promise."""
    match claim.unit:
        case Unit.RATIO:
            return percent_of(claim.estimate)
        case Unit.SECONDS:
            return seconds_of(claim.estimate)
        case Unit.COUNT:
            return NOTHING if claim.estimate is None else f"{thousands(int(claim.estimate))} broken"
        case _:
            assert_never(claim.unit)


def bounds_of(claim: Claim) -> str:
    """Return `7.1 % to 8.8 %`."""
    if claim.lower is None or claim.upper is None:
        return NOTHING
    return f"{percent_of(claim.lower)} to {percent_of(claim.upper)}"


def moment(history: History, at_s: float) -> datetime:
    """Return the wall-clock time of a moment of the run; the epoch if the run does not know when it began."""
    try:
        began = datetime.fromisoformat(history.began_at)
    except ValueError:
        began = datetime.fromtimestamp(0, UTC)
    return (began if began.tzinfo else began.replace(tzinfo=UTC)) + timedelta(seconds=at_s)


def wall_of(began_at: str) -> str:
    """Return `2026-11-23 12:00:00 UTC`, for people."""
    return began_at.replace("T", " ", 1).replace("+00:00", " UTC")


def beginning_of(history: History) -> str:
    """Say on what an experiment began, in a run whose stories share stacks; empty in any other."""
    beginning = history.beginning
    if beginning is None:
        return ""
    if beginning.after:
        return f"It began where {beginning.after[-1]} ended: {'; '.join(beginning.seen)}."
    return "It began on a fresh stack" + (f", because {beginning.why_fresh}." if beginning.why_fresh else ".")


def command_of(scenario: str, history: History) -> str:
    """Return the command that does one experiment again, with those that its stack had been through."""
    options = {"seed": str(history.seed), "profile": history.profile}
    options |= {"backend": history.backend, "defect": history.defect}
    before = history.beginning.after if history.beginning else ()
    # Quoted: it will be pasted into a shell.
    said = [f"--{name} {shlex.quote(value)}" for name, value in options.items() if value]
    names = [shlex.quote(name) for name in (*before, scenario)]
    return " ".join(["readiness run", *names, *said, *(["--shared-stack"] if before else [])])
