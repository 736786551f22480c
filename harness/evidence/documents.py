"""What machines read: the verdict, the system and the timeline, as the same bytes every time for the same facts."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import platform
from typing import TYPE_CHECKING, Any

from harness.errors import ReportError
from harness.measure.series import NO_LEVEL, by_second
from harness.stack.processors import processor_model, usable_cores
from harness.verdict.outcome import Claim, Obligation, Outcome, Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from harness.history.history import History
    from harness.spec.scenario import Scenario


NEVER_RUN = "never_run"
"""Scenarios that were to be run and came to no verdict, in what a broken-off run says of itself."""


def json_text(data: Any) -> str:
    """Return `data` as JSON that is the same text for the same data."""
    return json.dumps(data, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def verdict_text(verdict: Verdict) -> str:
    """Return one experiment's verdict as JSON."""
    return json_text(_verdict_data(verdict))


def run_text(verdicts: Sequence[Verdict], facts: dict[str, Any]) -> str:
    """Return a whole run's verdict as JSON.

    Args:
        verdicts: Of its experiments.
        facts: Its seed, profile, backend and command; `never_run` if a scenario came to no verdict.
    """
    outcome = run_outcome(verdicts, facts)
    experiments = [_verdict_data(verdict) for verdict in verdicts]
    return json_text({**facts, "outcome": outcome, "exit_code": outcome.exit_code, "experiments": experiments})


def run_outcome(verdicts: Iterable[Verdict], facts: Mapping[str, Any]) -> Outcome:
    """Return the worst of a whole run; what was to be run and came to no verdict is an error."""
    return worst([*(verdict.outcome for verdict in verdicts), *(Outcome.ERROR for _ in facts.get(NEVER_RUN, ()))])


def _verdict_data(verdict: Verdict) -> dict[str, Any]:
    return {**dataclasses.asdict(verdict), "exit_code": verdict.outcome.exit_code}


def never_run(asked_for: Iterable[str], judged: Iterable[str]) -> list[str]:
    """Return what was to be run and came to no verdict, in the order in which it was asked for."""
    known = set(judged)
    return [name for name in asked_for if name not in known]


def read_verdict(path: Path) -> Verdict:
    """Read what `verdict_text` said.

    Raises:
        ReportError: If the file is missing or is no verdict.
    """
    data = read_json(path)
    try:
        data.pop("exit_code")
        obligations = tuple(Obligation(**_judged(item)) for item in data.pop("obligations"))
        claims = tuple(Claim(**_judged(item)) for item in data.pop("claims"))
        return Verdict(**_judged(data), obligations=obligations, claims=claims)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReportError(f"this is no verdict: {error}", where=str(path), fix="judge the scenario anew") from error


def _judged(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "outcome": Outcome(data["outcome"])}


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ReportError: If the file is missing or holds no JSON object.
    """
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ReportError(f"cannot read the file: {error}", where=str(path), fix="judge the scenario anew") from error
    if not isinstance(data, dict):
        raise ReportError("this is no JSON object", where=str(path), fix="judge the scenario anew")
    return data


def system_of(history: History) -> dict[str, Any]:
    """Return what ran, and on what: named facts only, never the environment."""
    return {
        "backend": history.backend,
        "began_at": history.began_at,
        "defect": history.defect,
        "machine": {
            "architecture": platform.machine(),
            "cores": os.cpu_count(),
            "kernel": f"{platform.system()} {platform.release()}",
            "processor": processor_model(),
            "python": platform.python_version(),
            "usable_cores": usable_cores(),
        },
        "profile": history.profile or "",
        "run_id": history.run_id,
        "seed": history.seed,
        "versions": {part.part: part.version for part in history.startup},
    }


def timeline_text(scenario: Scenario, history: History) -> str:
    """Return the run second by second as CSV; empty fields where nothing was seen."""
    sources = [name for name in history.samples.sources if name] + [NO_LEVEL]
    sink = io.StringIO()
    rows = csv.writer(sink, lineterminator="\n")
    rows.writerow(["second", "phase", "issued", "errors", "errors_ratio", "p50_s", "p95_s", "hits_ratio", *sources])
    for second in by_second(history.samples, scenario.load, until_s=history.lasted_s):
        counted = [second.sources.get(name, 0) for name in sources]
        ratios = [second.errors_ratio, second.p50_s, second.p95_s, second.hits_ratio]
        row = [f"{second.at_s:.0f}", _phase_at(history, second.at_s), second.issued, second.errors]
        rows.writerow([*row, *("" if ratio is None else f"{ratio:.6f}" for ratio in ratios), *counted])
    return sink.getvalue()


def _phase_at(history: History, at_s: float) -> str:
    return next((mark.name for mark in history.phases if mark.began_s <= at_s + 0.5 < mark.ended_s), "")
