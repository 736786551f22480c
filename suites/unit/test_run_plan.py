"""What a run makes of a scenario before anything starts: its promises, its length, and how sure its verdict must be."""

from __future__ import annotations

import pytest

from fixtures.made import Stretch, history_of, scenario_of
from fixtures.servers import PROJECT
from harness.clock import SystemClock
from harness.errors import SpecError
from harness.report.terminal import Progress
from harness.run import Options, opened, planned
from harness.spec.parser import read_scenario, read_settings
from harness.spec.scenario import Scenario
from harness.spec.system import Settings

OURS = read_settings(PROJECT / "readiness.toml")
SETTINGS = Settings.model_validate(
    {
        "system": {"name": "made", "subject": {"app": "made:create_app"}},
        "objectives": [{"sli": "errors", "max": "0.1%"}],
        "profiles": {"quick": {"stretch": 1.0}, "release": {"stretch": 1.0, "confidence": 0.99}},
    }
)


@pytest.mark.parametrize("profile", OURS.profiles)
@pytest.mark.parametrize("path", sorted((PROJECT / "scenarios").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_scenario_of_ours_can_conclude_in_every_profile(path, profile):
    """Also at the confidence of a release."""
    assert planned(read_scenario(path), OURS, profile).objectives


def test_a_scenario_that_promises_nothing_is_refused():
    """V9: no phase that the defaults speak of, and no objective of its own."""
    scenario = Scenario.model_validate(
        {
            "scenario": "silent",
            "story": "Nobody promises anything here.",
            "load": {"arrivals_per_s": 100},
            "phases": [{"name": "flood", "lasts": "60s"}],
        }
    )

    with pytest.raises(SpecError, match="promises nothing") as refused:
        planned(scenario, SETTINGS, "quick")

    assert "name a phase `baseline`" in refused.value.mend


@pytest.mark.parametrize(("profile", "confidence"), [("quick", 0.95), ("release", 0.99)])
def test_a_profile_may_ask_for_more_confidence(profile, confidence):
    """0.99 for a release: 0.1 % then takes 4 603 error-free requests instead of 2 995."""
    scenario = scenario_of(faults=False).model_copy(
        update={"load": scenario_of().load.model_copy(update={"arrivals_per_s": 120.0})}
    )

    assert SETTINGS.confidence_of(profile) == confidence
    if profile == "quick":
        assert planned(scenario, SETTINGS, profile).lasts_s == 30
    else:
        with pytest.raises(SpecError, match="needs 4 603 error-free requests, this profile sends 3 600"):
            planned(scenario, SETTINGS, profile)


def test_the_verdict_is_as_sure_as_the_profile_asks(tmp_path):
    """The release's confidence is what the judge is given, and what the folder says."""
    options = Options(
        project=PROJECT, profile="full", backend="embedded", defect=None, seed=1, out=tmp_path, run_id="plan"
    )
    scenario = scenario_of(faults=False, objectives=[{"sli": "errors", "max": "1%"}])
    with opened(options, clock=SystemClock(), teller=Progress()) as run:
        verdict = run._keep(
            scenario, tmp_path / "made", "scenario: …", history_of(scenario, [Stretch(lasts_s=30)])
        ).verdict

    assert verdict.confidence == run.conditions.confidence == OURS.confidence_of("full") == 0.99
