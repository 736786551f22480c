"""Whether a run is to be given up: the last seconds of it, against what the scenario says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.spec.quantity import duration_text, percent_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history.load import Heartbeat
    from harness.history.machine import MachineSecond
    from harness.spec.abort import AbortWhen

PRESSURES = {"cpu_pressure": "a processor", "memory_pressure": "memory", "io_pressure": "a disk"}


def why_abort(rule: AbortWhen, beats: Sequence[Heartbeat], machine: Sequence[MachineSecond]) -> str:
    """Say why a run is to be given up by what was seen of it so far; empty if it is not.

    Args:
        rule: When.
        beats: In order of time; seconds without an answer are no errors.
        machine: In order of time; what the machine does not say gives nothing up.
    """
    seconds, over = round(rule.over), duration_text(rule.over)
    recent, measured = beats[-seconds:], machine[-seconds:]
    answered = sum(beat.ok + beat.failed for beat in recent)
    if rule.errors is not None and len(recent) == seconds and answered:
        share = sum(beat.failed for beat in recent) / answered
        if share >= rule.errors:
            return f"{_percent(share)} of the requests failed over {over} (at most {percent_text(rule.errors)})"
    for name, what in PRESSURES.items():
        limit, seen = getattr(rule, name), [getattr(second, name) for second in measured]
        if limit is None or len(seen) < seconds or None in seen:
            continue
        share = sum(seen) / seconds
        if share >= limit:
            return f"something waited for {what} {_percent(share)} of {over} (at most {percent_text(limit)})"
    return ""


def _percent(share: float) -> str:
    return percent_text(round(share, 3))
