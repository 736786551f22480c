"""Which scenarios a run takes, by how much depends on them: a gate must not be slow, nor leave anything out unseen."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness import plugin
from harness.cli.watcher import Watcher
from harness.errors import SpecError
from harness.options import tiers_of
from harness.plan import read_source
from harness.spec.claim import TIERS
from harness.spec.parser import read_settings
from harness.spec.system import Settings
from suites.support.servers import PROJECT

OURS = read_settings(PROJECT / "readiness.toml")


@pytest.mark.parametrize(
    ("profile", "asked", "are_named", "tiers"),
    [
        pytest.param("quick", [], False, ("P0",), id="the profile's"),
        pytest.param("full", [], False, ("P0", "P1"), id="another profile's"),
        pytest.param("soak", [], False, TIERS, id="a profile that says nothing"),
        pytest.param("quick", [], True, TIERS, id="a scenario that is named"),
        pytest.param("quick", ["P2", "P1"], False, ("P1", "P2"), id="asked for, beyond the profile"),
        pytest.param("quick", ["P1"], True, ("P1",), id="asked for, among those that are named"),
        pytest.param("slow", [], False, TIERS, id="a profile that there is not, which is refused elsewhere"),
    ],
)
def test_the_tiers_of_a_run_are_those_asked_for_or_else_the_profiles(profile, asked, are_named, tiers):
    """And a name is an answer by itself."""
    assert tiers_of(OURS, profile, asked=asked, are_named=are_named) == tiers


def test_an_unknown_tier_is_refused_with_those_that_there_are():
    """It would select nothing, and nothing fails."""
    with pytest.raises(SpecError, match="unknown tier 'p0'") as refused:
        tiers_of(OURS, "quick", asked=["p0"], are_named=False)

    assert refused.value.fix == "did you mean 'P0'? known: P0, P1, P2"


def test_a_profile_without_tiers_is_refused():
    """It would run nothing."""
    settings = {
        "system": {"name": "made", "subject": {"app": "made:app"}},
        "objectives": [{"sli": "errors", "max": "1%"}],
        "profiles": {"quick": {"stretch": 1.0, "tiers": []}},
    }

    with pytest.raises(ValueError, match="tiers"):
        Settings.model_validate(settings)


def test_every_scenario_of_ours_is_in_the_release_or_says_that_it_is_not():
    """`full` takes P0 and P1, `quick` is part of it."""
    tiers = {read_source(path).scenario.tier for path in (PROJECT / "scenarios").rglob("*.yaml")}

    assert "P0" in tiers
    assert set(OURS.profiles["quick"].tiers) < set(OURS.profiles["full"].tiers) < set(OURS.profiles["soak"].tiers)


def test_a_scenario_of_another_tier_is_named_and_is_not_one_that_pytest_lost(tmp_path):
    """What pytest's options leave out is no pass; what the tiers leave out is said."""
    said, files = [], [tmp_path / f"{name}.yaml" for name in ("here", "later", "lost")]
    place = plugin.OpenRun(SimpleNamespace())
    place.progress = SimpleNamespace(message=said.append)
    place.of_other_tiers[files[1].resolve()] = "later"
    items = [SimpleNamespace(name="here", path=files[0])]
    watcher = Watcher(asked_for=tuple(files))

    watcher.pytest_collection_finish(
        SimpleNamespace(items=items, config=SimpleNamespace(stash={plugin.OPEN_RUN: place}))
    )

    assert said == ["not run, being of other tiers: later (--tier, or another profile, runs them)"]
    assert [each.name for each in watcher.unjudged] == ["lost"]
