"""What a run makes of a scenario before anything starts: its promises, its length, and how sure its verdict must be."""

from __future__ import annotations

import pytest

from harness.clock import SystemClock
from harness.errors import SpecError
from harness.options import Options
from harness.plan import plan_of, planned, read_source
from harness.report.terminal import Progress
from harness.run import opened
from harness.spec.parser import read_settings
from harness.spec.scenario import Scenario
from harness.spec.system import Settings
from suites.support.made import Stretch, history_of, scenario_of
from suites.support.servers import PROJECT

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
    assert planned(read_source(path).scenario, OURS, profile).objectives


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

    assert "name a phase `baseline`" in refused.value.fix


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


def written(folder, *targets):
    """A scenario file that hurts these targets, one a line."""
    faults = "".join(f"      - {{kind: {kind}, target: {target}}}\n" for kind, target in targets)
    path = folder / "hurt.yaml"
    path.write_text(
        "scenario: hurt\nstory: Something is hurt for a while.\nload: {arrivals_per_s: 200}\nphases:\n"
        "  - {name: baseline, lasts: 30s}\n  - name: fault\n    lasts: 10s\n    faults:\n"
        f"{faults}  - {{name: recovery, lasts: 8s}}\nobjectives:\n  - {{sli: recovery, within: 5s}}\n"
    )
    return read_source(path)


def test_every_target_that_is_not_there_is_refused_with_its_line(tmp_path):
    """Before anything starts: a mistyped target used to cost a start and a whole baseline."""
    source = written(
        tmp_path, ("down", "reddis"), ("down", "redis"), ("kill", "replica-3"), ("down", "replica-1.redsi")
    )

    with pytest.raises(SpecError) as refused:
        plan_of(source, SETTINGS, profile="quick", seed=1)

    said = str(refused.value).replace(str(tmp_path), "")
    assert said.count("has nothing to hit") == 3
    assert "/hurt.yaml:9: phases[1].faults[0].target\n  fix:   did you mean 'redis'? known: " in said
    assert "/hurt.yaml:11: phases[1].faults[2].target\n  fix:   did you mean 'replica-2'? known: " in said
    assert "/hurt.yaml:12: phases[1].faults[3].target\n  fix:   did you mean 'replica-1.redis'? known: " in said


@pytest.mark.parametrize(
    ("kind", "target", "is_there"),
    [
        ("down", "replica-2.postgres", True),
        ("down", "nginx.replica-1", True),
        ("down", "nginx", False),  # nothing of ours leads into it
        ("down", "replica-3.postgres", False),  # there are two
        ("kill", "nginx", True),
        ("kill", "replica-1.redis", False),  # an edge is no process
    ],
)
def test_what_a_fault_can_hit_depends_on_its_kind(tmp_path, kind, target, is_there):
    """A process for those of processes, a way into a service for those of the network."""
    source = written(tmp_path, (kind, target))

    if is_there:
        assert plan_of(source, SETTINGS, profile="quick", seed=1).scenario.faults[0].target == target
    else:
        with pytest.raises(SpecError, match="has nothing to hit"):
            plan_of(source, SETTINGS, profile="quick", seed=1)


def test_a_file_that_changes_in_mid_run_changes_nothing(tmp_path):
    """What was read at collection is what is judged, and what the evidence keeps."""
    options = Options(
        project=PROJECT, profile="full", backend="embedded", defect=None, seed=1, out=tmp_path, run_id="plan"
    )
    source = written(tmp_path, ("down", "redis"))
    text = source.path.read_text()
    plan = plan_of(source, OURS, profile="full", seed=1)
    source.path.write_text("scenario: another\n")
    with opened(options, OURS, clock=SystemClock(), listener=Progress()) as run:
        history = history_of(plan.scenario, [Stretch(lasts_s=plan.scenario.lasts_s)])
        verdict = run._keep(plan, tmp_path / "made", history).verdict

    assert (tmp_path / "made/scenario.yaml").read_text() == text
    assert verdict.scenario == "hurt"
    assert verdict.confidence == OURS.confidence_of("full") == 0.99
