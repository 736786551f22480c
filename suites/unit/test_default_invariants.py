"""What readiness.toml says must never happen holds in every scenario, whether or not its file speaks of it."""

from __future__ import annotations

import pytest

from harness.errors import SpecError
from harness.evidence import Experiment
from harness.library.story import promises_of
from harness.plan import plan_of, source_of
from harness.report.html import experiment_page as html_page
from harness.report.markdown import experiment_page as markdown_page
from harness.spec.invariant import VersionsOnlyGrow
from harness.spec.parser import read_settings
from harness.spec.scenario import Scenario
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from suites.support.answers import answer, history_of
from suites.support.servers import PROJECT

SETTINGS = read_settings(PROJECT / "readiness.toml")
GROWS = VersionsOnlyGrow(kind="versions-only-grow", within="5s", stale_from=("stale",))
CALM = """\
scenario: calm
story: Nothing is broken here.
load: {arrivals_per_s: 200}
phases:
  - {name: baseline, lasts: 30s}
"""


def planned(tmp_path, text=CALM, settings=SETTINGS):
    return plan_of(source_of(text, tmp_path / "calm.yaml"), settings, profile="full", seed=1)


def refused(tmp_path, text, settings=SETTINGS):
    with pytest.raises(SpecError) as refusal:
        planned(tmp_path, text, settings)
    return str(refusal.value).replace(f"{tmp_path}/", "")


def test_every_scenario_is_held_to_it(tmp_path):
    """In all its phases, stretched or not, beside what it promises itself; and the load remembers what it needs."""
    own = f"{CALM}invariants:\n  - {{kind: no-acknowledged-write-lost, within: 5s}}\n"
    scenario = planned(tmp_path, own).scenario

    assert scenario.default_invariants == SETTINGS.invariants == (GROWS,)
    assert [each.kind for each in scenario.promises[-2:]] == ["versions-only-grow", "no-acknowledged-write-lost"]
    assert scenario.remembers
    assert planned(tmp_path).scenario.remembers
    assert not planned(tmp_path, settings=SETTINGS.model_copy(update={"invariants": ()})).scenario.remembers


@pytest.mark.parametrize(
    ("own", "count"),
    [
        pytest.param("{kind: versions-only-grow, within: 5s, stale_from: [stale]}", 1, id="the very same"),
        pytest.param("{kind: versions-only-grow, within: 5min, stale_from: [stale]}", 2, id="a laxer one beside it"),
    ],
)
def test_a_scenario_cannot_weaken_it(tmp_path, own, count):
    """One of its own takes the place of the same only: a laxer one of the kind leaves it standing."""
    scenario = planned(tmp_path, f"{CALM}invariants:\n  - {own}\n").scenario

    assert GROWS in scenario.promises
    assert sum(each.kind == "versions-only-grow" for each in scenario.all_invariants) == count


def test_its_claim_says_that_it_is_of_every_scenario(tmp_path):
    """On both pages and in what is told of the plan; one of the scenario's own is told as such."""
    scenario = planned(tmp_path, f"{CALM}invariants:\n  - {{kind: no-acknowledged-write-lost}}\n").scenario
    history = history_of(scenario.load, [answer(1, 2, version=4), answer(3, 4, version=5), answer(9.1, 10, version=4)])

    verdict = judge(scenario, history, confidence=0.95)

    assert [(claim.sli, claim.phase) for claim in verdict.claims[-2:]] == [
        ("versions-only-grow", "all phases of every scenario"),
        ("no-acknowledged-write-lost", "all phases"),
    ]
    assert verdict.claims[-2].outcome is Outcome.FAIL
    page = markdown_page(scenario, history, verdict)
    assert "| versions-only-grow (within 5s) | all phases of every scenario | ✗ fail | 1 broken | – | 1 |" in page
    assert "all phases of every scenario" in html_page(
        Experiment(scenario, history, verdict, tmp_path), scenario_text=""
    )
    lines = promises_of(scenario, 0.95)
    assert lines[lines.index("  at all times, as every scenario") + 1].startswith(
        "    versions-only-grow (within 5s): "
    )
    assert lines[lines.index("  at all times") + 1].startswith("    no-acknowledged-write-lost: ")


def test_it_survives_a_file_of_evidence(tmp_path):
    """And where readiness.toml says none, the file is the same bytes as before there could be any."""
    with_it = planned(tmp_path).scenario
    without = planned(tmp_path, settings=SETTINGS.model_copy(update={"invariants": ()})).scenario

    assert Scenario.model_validate(with_it.model_dump(mode="json")) == with_it
    assert "default_invariants" not in without.model_dump(mode="json")


def test_a_file_cannot_say_it_of_itself(tmp_path):
    """It would be taken for what readiness.toml says, and then be dropped."""
    said = refused(tmp_path, f"{CALM}default_invariants:\n  - {{kind: versions-only-grow}}\n")

    assert said == (
        "the invariants of every scenario stand in readiness.toml\n"
        "  where: calm.yaml:6: default_invariants\n"
        "  fix:   write them under `invariants`, or as [[invariants]] in readiness.toml"
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param(
            "200, headers: {cache: x-cache, hits: [l1]}",
            "it is about versions that answers tell, and no header is named that does",
            id="no version is told",
        ),
        pytest.param(
            "200, locustfile: shop.py",
            "it is about items that are asked for, and what a locustfile asks for is not known",
            id="no item is known",
        ),
    ],
)
def test_a_load_that_cannot_break_it_is_refused(tmp_path, changed, said):
    """At the place of the load: dropped in silence nobody would miss it, and run it would never be exercised."""
    told = refused(tmp_path, CALM.replace("200", changed))

    assert f"`versions-only-grow (within 5s)`: {said}\n  where: calm.yaml:3: load\n" in told
