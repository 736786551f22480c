"""A run in the Common Test Report Format (https://ctrf.io), which dashboards and pull-request bots read.

CTRF has no word for `inconclusive`: it is `other`, as is `error`, and `rawStatus` holds our own word. Nothing but a
pass is ever `passed`, and nothing is `skipped` or `pending`: what did not come to a verdict was asked for, and is not
known.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from harness.evidence.documents import json_text
from harness.report.formatting import reason_of
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from harness.evidence.experiment import Experiment
    from harness.verdict.outcome import Claim

SPEC_VERSION = "0.1.0"
"""Of CTRF: its published schema of 2026-07."""

STATUSES = {Outcome.PASS: "passed", Outcome.FAIL: "failed", Outcome.INCONCLUSIVE: "other", Outcome.ERROR: "other"}
_KINDS = ("passed", "failed", "skipped", "pending", "other")


@dataclass(frozen=True, slots=True)
class Unjudged:
    """What was to be run and came to no verdict.

    Attributes:
        name: The scenario, or the file that could not be read.
        why: One or more lines.
    """

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Span:
    """When something was, in seconds of the wall clock since 1970."""

    began_s: float
    ended_s: float


def ctrf_text(
    experiments: Sequence[Experiment],
    unjudged: Sequence[Unjudged],
    *,
    spans: Mapping[str, Span],
    whole: Span,
    facts: Mapping[str, str | int | None],
    written_at: datetime,
) -> str:
    """Return a whole run as CTRF.

    Args:
        experiments: Those that were judged, in order.
        unjudged: Everything else that was to be run.
        spans: When each scenario ran, with its stack's start, by name; without one its duration is 0.
        whole: When the run was.
        facts: Its `run_id`, `app`, `backend`, `profile`, `seed`, `defect` and `command`.
        written_at: Now.
    """
    tests = [_judged(experiment, spans) for experiment in experiments]
    tests += [_unjudged(each, spans) for each in unjudged]
    tests = tests or [_unjudged(Unjudged("no scenario", "nothing was run, and nothing is what it proves"), {})]
    data = {
        "reportFormat": "CTRF",
        "specVersion": SPEC_VERSION,
        "reportId": str(uuid5(NAMESPACE_URL, f"readiness:{facts['run_id']}")),
        "timestamp": written_at.isoformat(),
        "generatedBy": "readiness-harness",
        "results": {
            "tool": {"name": "readiness-harness", "version": version("readiness-harness")},
            "summary": _summary(tests, whole),
            "tests": tests,
            "environment": _environment(facts),
        },
    }
    return json_text(data)


def _summary(tests: Sequence[Mapping[str, Any]], whole: Span) -> dict[str, int]:
    counts = {kind: sum(test["status"] == kind for test in tests) for kind in _KINDS}
    return {"tests": len(tests), **counts, **_times(whole)}


def _judged(experiment: Experiment, spans: Mapping[str, Span]) -> dict[str, Any]:
    scenario, verdict = experiment.scenario, experiment.verdict
    return {
        **_test(scenario.scenario, verdict.outcome, reason_of(verdict), spans),
        "parameters": {"seed": experiment.history.seed, "defect": experiment.history.defect},
        "extra": {
            "story": scenario.story,
            "evidence": str(experiment.folder),
            "confidence": verdict.confidence,
            "claims": [_claim(claim) for claim in verdict.claims],
            "obligations": [{"name": each.name, "outcome": each.outcome} for each in verdict.obligations],
        },
    }


def _claim(claim: Claim) -> dict[str, Any]:
    """Return a claim with its bounds, so that a dashboard can draw how close it was."""
    numbers = {name: getattr(claim, name) for name in ("estimate", "lower", "upper", "limit", "total", "effective")}
    words = {"objective": claim.objective, "phase": claim.phase, "outcome": claim.outcome, "sentence": claim.sentence}
    return {**words, **numbers}


def _unjudged(each: Unjudged, spans: Mapping[str, Span]) -> dict[str, Any]:
    return _test(each.name, Outcome.ERROR, each.why, spans)


def _test(name: str, outcome: Outcome, message: str, spans: Mapping[str, Span]) -> dict[str, Any]:
    test = {"name": name, "status": STATUSES[outcome], "rawStatus": str(outcome), "message": message, "duration": 0}
    return {**test, "suite": ["readiness"], **(_times(spans[name]) if name in spans else {})}


def _times(span: Span) -> dict[str, int]:
    """Return whole milliseconds, of which the duration is exactly the difference."""
    start, stop = round(span.began_s * 1000), round(span.ended_s * 1000)
    return {"start": start, "stop": stop, "duration": stop - start}


def _environment(facts: Mapping[str, str | int | None]) -> dict[str, Any]:
    """Return what ran, and on what: named facts only, never the process's environment."""
    return {
        "reportName": "production readiness",
        "appName": str(facts["app"]),
        "buildName": str(facts["run_id"]),
        "testEnvironment": str(facts["backend"]),
        "osPlatform": sys.platform,
        "osRelease": platform.release(),
        "osVersion": platform.version(),
        "extra": {name: facts[name] for name in ("profile", "seed", "defect", "command")},
    }
