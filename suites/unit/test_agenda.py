"""`readiness run --plan`: what each profile would run, and for how long."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import SpecError
from harness.library.agenda import agenda, lasting
from harness.spec.scenario import Scenario
from harness.spec.system import Profile
from suites.support.servers import PROJECT

PROFILES = {
    "quick": Profile(stretch=1.0, extends_to=2.0, tiers=("P0",)),
    "soak": Profile(stretch=40.0),
}


def scenario_of(name, tier, *lengths):
    phases = [{"name": f"phase-{number}", "lasts": length} for number, length in enumerate(lengths)]
    told = {
        "scenario": name,
        "story": "Nothing is broken.",
        "tier": tier,
        "load": {"arrivals_per_s": 1},
        "phases": phases,
    }
    return Scenario.model_validate(told)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ("59s", "59 s to 1 min 58 s"),
        ("59.6s", "1 min to 1 min 59 s"),
        ("30min", "30 min to 1 h"),
        ("61min", "1 h 1 min to 2 h 2 min"),
    ],
)
def test_a_time_is_told_in_the_units_that_a_person_would_use(seconds, said):
    """A phase may go on while its promises are open: up to twice as long here."""
    assert str(lasting(scenario_of("one", "P0", seconds), PROFILES["quick"])) == said


def test_a_plan_is_a_row_for_each_scenario_and_one_of_sums():
    """What is of another tier is not run, and counts in no sum; a profile stretches what it runs."""
    scenarios = [scenario_of("first", "P0", "20s", "10s"), scenario_of("second", "P1", "15s")]

    assert list(agenda(scenarios, PROFILES)) == [
        ("scenario", "tier", "quick", "soak"),
        ("first", "P0", "30 s to 1 min", "20 min"),
        ("second", "P1", "–", "10 min"),
        ("all", "", "1 in 30 s to 1 min", "2 in 30 min"),
    ]


def test_the_command_tells_the_plan_of_what_is_named(monkeypatch):
    """Nothing is run, and no folder is made."""
    monkeypatch.chdir(PROJECT)
    told = CliRunner().invoke(app, ["run", "redis-down", "worker-killed", "--plan"])

    rows = [line.split()[:2] for line in told.stdout.splitlines()]
    assert rows[:3] == [["scenario", "tier"], ["redis-down", "P0"], ["worker-killed", "P2"]]
    assert told.exit_code == 0


@pytest.mark.parametrize("name", ["../elsewhere", "", "a b", ".hidden", "x" * 101])
def test_a_run_has_no_name_that_leads_elsewhere(name):
    """It names a folder below --out, and nothing else."""
    refused = CliRunner().invoke(app, ["run", "--run-id", name])

    assert isinstance(refused.exception, SpecError)
    assert refused.exception.where == "--run-id"


def test_a_run_that_is_there_is_not_written_over(tmp_path):
    """Its evidence is the only one of it."""
    (tmp_path / "release-42").mkdir()
    refused = CliRunner().invoke(app, ["run", "--out", str(tmp_path), "--run-id", "release-42"])

    assert isinstance(refused.exception, SpecError)
    assert "is there already" in refused.exception.what


def test_a_profile_that_runs_nothing_says_so():
    """And no time for it."""
    assert list(agenda([scenario_of("second", "P1", "15s")], PROFILES))[-1] == ("all", "", "–", "1 in 10 min")
