"""A finished experiment as a Chaos Toolkit journal: what its readers look for, and no promise kept that was not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import datetime

import pytest
from chaoslib.experiment import ensure_experiment_is_valid
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import ReportError, SpecError
from harness.evidence import read_experiment
from harness.exchange.journal import journal_text
from suites.support.golden import FOLDER_2

RUN = {
    "type": "object",
    "required": ["activity", "output", "start", "end", "duration", "status"],
    "properties": {
        "activity": {"type": "object", "required": ["type", "name", "provider"]},
        "start": {"type": "string", "format": "date-time"},
        "duration": {"type": "number", "minimum": 0},
        "status": {"enum": ["succeeded", "failed"]},
        "exception": {"type": "array", "items": {"type": "string"}},
    },
    "if": {"properties": {"activity": {"properties": {"type": {"const": "action"}}}, "status": {"const": "failed"}}},
    "then": {"required": ["exception"]},
}
STATE = {
    "type": ["object", "null"],
    "required": ["steady_state_met", "probes"],
    "properties": {
        "steady_state_met": {"type": "boolean"},
        "probes": {"type": "array", "items": {**RUN, "required": [*RUN["required"], "tolerance_met"]}},
    },
}
JOURNAL = {
    "type": "object",
    "required": ["chaoslib-version", "platform", "node", "experiment", "start", "status", "deviated", "steady_states", "run", "rollbacks", "end", "duration"],
    "properties": {
        "status": {"enum": ["completed", "failed", "aborted", "interrupted"]},
        "deviated": {"type": "boolean"},
        "steady_states": {
            "type": "object",
            "required": ["before", "after", "during"],
            "properties": {"before": STATE, "after": STATE, "during": {"type": "array", "items": STATE}},
        },
        "run": {"type": "array", "items": RUN},
        "rollbacks": {"type": "array", "items": RUN},
    },
}  # fmt: skip
"""The fields of a journal as chaostoolkit-lib 1.44 writes them."""


def journal(name, *more):
    said = CliRunner().invoke(app, ["journal", str(FOLDER_2 / name), *more], catch_exceptions=False)
    assert said.exit_code == 0
    return json.loads(said.stdout)


@pytest.mark.parametrize("name", ["kept", "broken", "broke-off"])
def test_a_journal_has_the_fields_that_its_readers_look_for(name):
    """Whatever came of the run; and its experiment is one that Chaos Toolkit's own check takes for whole."""
    written = journal(name)

    Draft202012Validator(JOURNAL).validate(written)
    ensure_experiment_is_valid(written["experiment"])
    began, ended = (datetime.fromisoformat(written[key]) for key in ("start", "end"))
    assert (ended - began).total_seconds() == pytest.approx(written["duration"])


def test_a_kept_promise_is_within_its_tolerance():
    """Before the fault, while it is there and after it, each with its numbers; the doses are the fault's output."""
    written = journal("kept")
    states = written["steady_states"]

    assert (written["status"], written["deviated"]) == ("completed", False)
    assert [state["steady_state_met"] for state in (states["before"], *states["during"], states["after"])] == [True] * 3
    assert [len(state["probes"]) for state in (states["before"], *states["during"], states["after"])] == [3, 1, 1]
    down, late = written["run"]
    assert (down["activity"]["name"], down["start"], down["duration"]) == (
        "redis down",
        "2026-01-01T00:00:15+00:00",
        5.0,
    )
    assert down["output"][0] == {
        "at": "2026-01-01T00:00:15.100000+00:00",
        "is_delivered": True,
        "seen": "replica-1.redis refuses",
    }
    assert [each["activity"]["name"] for each in written["rollbacks"]] == [
        "undo redis down",
        f"undo {late['activity']['name']}",
    ]


def test_a_broken_promise_deviates():
    """The state that it belongs to is not met; the others are what they are."""
    written = journal("broken")
    met = {key: written["steady_states"][key]["steady_state_met"] for key in ("before", "after")}

    assert (written["status"], written["deviated"]) == ("completed", True)
    assert (met["before"], met["after"]) == (False, False)
    probes = written["steady_states"]["after"]["probes"]
    assert [(probe["output"]["outcome"], probe["tolerance_met"]) for probe in probes] == [("fail", False)]


def test_what_was_never_seen_is_within_no_tolerance():
    """A run that broke off has no faults and no states that are met, and does not pass for a deviation."""
    written = journal("broke-off")
    states = written["steady_states"]

    assert (written["status"], written["deviated"], written["run"], written["rollbacks"]) == ("aborted", False, [], [])
    assert not any(
        state["steady_state_met"] for state in (states["before"], states["after"], *states["during"]) if state
    )
    assert {probe["status"] for state in states["during"] for probe in state["probes"]} <= {"failed"}
    assert written["readiness"]["outcome"] == "error"


def test_a_dose_that_was_not_seen_is_an_activity_that_failed():
    """With the reason; and a run without a fault is not taken for one that broke off."""
    experiment, _ = read_experiment(FOLDER_2 / "kept")
    down, late = experiment.history.faults
    unseen = replace(down, doses=tuple(replace(dose, is_delivered=False) for dose in down.doses))

    def written(*faults):
        changed = replace(experiment, history=replace(experiment.history, faults=faults))
        return json.loads(journal_text(changed, system={}))

    assert [run["status"] for run in written(unseen, late)["run"]] == ["failed", "succeeded"]
    assert written(unseen)["run"][0]["exception"] == ["the dose of `redis down` was not seen\n"]
    assert (written()["status"], written()["run"]) == ("completed", [])


def test_evidence_that_was_changed_and_runs_of_several_are_refused(tmp_path):
    """Evidence that was changed by hand is refused; so is a run of several experiments, with what to name."""
    place = tmp_path / "run"
    shutil.copytree(FOLDER_2, place)
    history = place / "kept/history.json"
    history.write_text(history.read_text().replace('"is_delivered": true', '"is_delivered": false', 1))

    with pytest.raises(ReportError, match="was changed"):
        CliRunner().invoke(app, ["journal", str(place / "kept")], catch_exceptions=False)
    with pytest.raises(SpecError, match="of one experiment"):
        CliRunner().invoke(app, ["journal", str(FOLDER_2)], catch_exceptions=False)


def test_a_journal_that_is_there_is_replaced_only_by_force(tmp_path):
    """As any file that a command writes."""
    place = tmp_path / "journal.json"
    arguments = ["journal", str(FOLDER_2 / "kept"), "--to", str(place)]

    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert json.loads(place.read_text()) == journal("kept")
    assert isinstance(CliRunner().invoke(app, arguments).exception, SpecError)
    assert CliRunner().invoke(app, [*arguments, "--force"]).exit_code == 0
