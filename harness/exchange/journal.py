"""A finished experiment as the journal that Chaos Toolkit writes, for what reads such journals.

Its words are fewer: a promise that is kept is a probe within its tolerance, anything else is one that is not, and the
verdict stands beside it in `readiness`. What was never seen is `null`, and never within a tolerance.

Source: chaostoolkit-lib 1.44, `chaoslib.run.initialize_run_journal`, `chaoslib.activity.execute_activity` and
`chaoslib.hypothesis.run_steady_state_hypothesis`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from harness.evidence.documents import json_text
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.evidence.experiment import Experiment
    from harness.history.history import History
    from harness.history.marks import FaultMark
    from harness.spec.scenario import Scenario
    from harness.verdict.outcome import Claim

FORMAT = "1.44.0"
"""The version of chaostoolkit-lib whose journals these are like."""

_DURING = "during"


def journal_text(experiment: Experiment, *, system: Mapping[str, Any]) -> str:
    """Return one experiment as a journal.

    Args:
        experiment: What was seen and concluded.
        system: What ran, and on what: the experiment's system.json.
    """
    scenario, history, verdict = experiment.scenario, experiment.history, experiment.verdict
    states = _steady_states(scenario, history, verdict.claims)
    machine = system.get("machine", {})
    data = {
        "chaoslib-version": FORMAT,
        "platform": f"{machine.get('kernel', '')}-{machine.get('architecture', '')}",
        "node": "",  # evidence names no machine
        "experiment": _experiment(scenario),
        "start": _at(history, 0.0),
        "status": _status(history, verdict.outcome),
        "deviated": verdict.outcome is Outcome.FAIL,
        "steady_states": states,
        "run": [_run(fault, history) for fault in history.faults],
        "rollbacks": [_rollback(fault, history) for fault in history.faults if fault.healed_s is not None],
        "end": _at(history, history.lasted_s),
        "duration": history.lasted_s,
        "readiness": {
            "version": version("readiness-harness"),
            "run_id": history.run_id,
            "outcome": verdict.outcome,
            "sentence": verdict.sentence,
        },
    }
    return json_text(data)


def _status(history: History, outcome: Outcome) -> str:
    """Return how the run ended, in the journal's words.

    Source: `chaoslib.run`: a promise that is broken is a deviation of an experiment that was `completed`; where a probe
    said nothing it has `failed`, and one that was broken off was `aborted`.
    """
    if history.failures:
        return "aborted"
    return "completed" if outcome in {Outcome.PASS, Outcome.FAIL} else "failed"


def _experiment(scenario: Scenario) -> dict[str, Any]:
    """Return a scenario as an experiment, whose activities name nothing that can be asked: none can be run again so."""
    return {
        "version": "1.0.0",
        "title": scenario.scenario,
        "description": scenario.story,
        "tags": list(scenario.answers),
        "steady-state-hypothesis": {
            "title": scenario.story,
            "probes": [_activity("probe", f"{promise}", tolerance=True) for promise in scenario.promises],
        },
        "method": [_activity("action", str(action.spec)) for action in scenario.actions],
        "rollbacks": [],
    }


def _activity(kind: str, name: str, **more: Any) -> dict[str, Any]:
    provider = {"type": "http", "url": "readiness:scenario"}  # of no scheme that can be asked
    return {"type": kind, "name": name, "provider": provider, **more}


def _steady_states(scenario: Scenario, history: History, claims: Sequence[Claim]) -> dict[str, Any]:
    """Return the promises by when they were looked at: before the first fault, after the last, and between."""
    faulty = [index for index, phase in enumerate(scenario.phases) if phase.faults]
    order = [phase.name for phase in scenario.phases]
    sides: dict[str, list[Claim]] = {"before": [], "after": [], _DURING: []}
    for claim in claims:
        index = order.index(claim.phase) if claim.phase in order else None
        if index is None:
            side = _DURING  # an invariant, which holds all the time
        elif not faulty or index < faulty[0]:
            side = "before"
        else:
            side = "after" if index > faulty[-1] else _DURING
        sides[side].append(claim)
    during = _state(sides[_DURING], history)
    return {
        "before": _state(sides["before"], history),
        "after": _state(sides["after"], history),
        _DURING: [during] if during else [],
    }


def _state(claims: Sequence[Claim], history: History) -> dict[str, Any] | None:
    if not claims:
        return None
    probes = [_probe(claim, history) for claim in claims]
    return {"steady_state_met": all(probe["tolerance_met"] for probe in probes), "probes": probes}


def _probe(claim: Claim, history: History) -> dict[str, Any]:
    mark = history.phase(claim.phase)
    began_s, ended_s = (mark.began_s, mark.ended_s) if mark else (0.0, history.lasted_s)
    is_known = claim.outcome in {Outcome.PASS, Outcome.FAIL}
    output = {name: getattr(claim, name) for name in ("estimate", "lower", "upper", "limit", "total", "effective")}
    return {
        "activity": _activity("probe", claim.objective, tolerance=True),
        "output": {**output, "outcome": claim.outcome, "sentence": claim.sentence},
        **_times(history, began_s, ended_s),
        "status": "succeeded" if is_known else "failed",
        "tolerance_met": claim.outcome is Outcome.PASS,
    }


def _run(fault: FaultMark, history: History) -> dict[str, Any]:
    """Return a fault as an activity, whose output is its doses; one that was not seen has failed."""
    ended_s = fault.healed_s if fault.healed_s is not None else history.lasted_s
    run = {
        "activity": _activity("action", fault.fault),
        "output": [
            {"at": _at(history, dose.at_s), "is_delivered": dose.is_delivered, "seen": dose.seen}
            for dose in fault.doses
        ],
        **_times(history, fault.injected_s, ended_s),
        "status": "succeeded" if fault.is_delivered else "failed",
    }
    if not fault.is_delivered:
        run["exception"] = [f"the dose of `{fault.fault}` was not seen\n"]
    return run


def _rollback(fault: FaultMark, history: History) -> dict[str, Any]:
    healed_s = fault.healed_s or 0.0
    return {
        "activity": _activity("action", f"undo {fault.fault}"),
        "output": None,
        **_times(history, healed_s, healed_s),
        "status": "succeeded",
    }


def _times(history: History, began_s: float, ended_s: float) -> dict[str, Any]:
    return {"start": _at(history, began_s), "end": _at(history, ended_s), "duration": round(ended_s - began_s, 6)}


def _at(history: History, at_s: float) -> str:
    """Return a moment of a run as wall-clock time; the wall clock was read once, at its start."""
    return (datetime.fromisoformat(history.began_at) + timedelta(seconds=at_s)).isoformat()
