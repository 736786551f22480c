"""A run that was judged elsewhere, some time ago: every machine and every version finds the same verdicts in it."""

from __future__ import annotations

from typer.testing import CliRunner

from harness.cli import app
from harness.evidence import read_experiment, verified_run
from suites.support import golden


def test_a_run_is_judged_to_the_same_bytes_on_every_machine():
    """Kept, open and broken: bounds, what requests are worth, recovery, and every sentence. See suites/support/golden.py."""
    verdicts = verified_run(golden.FOLDER)
    told = CliRunner().invoke(app, ["verify", str(golden.FOLDER)])

    assert {place.name: str(verdict.outcome) for place, verdict in verdicts.items()} == {
        "broken": "fail",
        "kept": "pass",
        "open": "inconclusive",
    }
    assert told.exit_code == 1
    assert told.output.count("evidence unchanged, judged again the same") == 3


def test_what_schema_1_did_not_say_is_read_from_where_it_was():
    """Faults are counted through, their plan is not known, and the profile stands in system.json."""
    experiment, _ = read_experiment(golden.FOLDER / "broken")

    assert experiment.history.profile == "quick"
    assert [(mark.id, mark.planned) for mark in experiment.history.faults] == [("fault-1", None)]
