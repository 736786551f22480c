"""What changed between two runs is said, nothing else is, and worse is told from better."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.compare.diff import difference
from harness.errors import ReportError
from harness.evidence.experiment import Experiment
from harness.verdict.judge import judge
from suites.support.made import Stretch, history_of, scenario_of
from suites.support.runs import run_folder

SYSTEM = {"versions": {"redis": "8.2.1"}, "run_id": "a", "seed": 7}
OBJECTIVES = [
    {"sli": "errors", "max": "1%"},
    {"sli": "slow", "over": "100ms", "max": "5%", "during": "fault"},
    {"sli": "recovery", "within": "5s"},
]


def experiment(*, name="made", slow=0, system=SYSTEM, max_errors="1%", tmp_path=None):
    objectives = [{**OBJECTIVES[0], "max": max_errors}, *OBJECTIVES[1:]]
    scenario = scenario_of(objectives=objectives).model_copy(update={"scenario": name})
    history = history_of(scenario, [Stretch(lasts_s=30), Stretch(lasts_s=10, slow=slow), Stretch(lasts_s=10)])
    verdict = judge(scenario, history, confidence=0.95)
    return Experiment(scenario, history, verdict, tmp_path), system


def changes(before, after):
    found = difference([before], [after])
    return [(each.what, each.before, each.after) for each in (*found.settings, *found.verdicts, *found.estimates)]


def test_a_run_does_not_differ_from_itself():
    """Nor do two whose ids alone differ."""
    assert changes(experiment(), experiment(system={**SYSTEM, "run_id": "b"})) == []


def test_a_version_and_a_promise_that_changed_are_said():
    """By their key paths, with both values."""
    assert changes(experiment(), experiment(system={**SYSTEM, "versions": {"redis": "8.4", "nginx": "1.31"}}, max_errors="2%")) == [
        ("scenario.objectives[0].max", "1%", "2%"),
        ("system.versions.redis", "8.2.1", "8.4"),
        ("system.versions.nginx", None, "1.31"),
        ("errors < 1% during baseline", "pass", None),
        ("errors < 2% during baseline", None, "pass"),
    ]  # fmt: skip


@pytest.mark.parametrize(("slow", "is_worse"), [((0, 500), True), ((500, 0), False), ((0, 2), False)])
def test_worse_is_told_from_better(slow, is_worse):
    """By the verdicts alone; a measurement that stays within its promise is no worse."""
    found = difference([experiment(slow=slow[0])], [experiment(slow=slow[1])])

    assert found.is_worse is is_worse
    assert [each.what for each in found.estimates] == ["slow (over 100ms) < 5% during fault"]


def test_a_scenario_that_is_only_in_one_run_is_named():
    """It is neither better nor worse."""
    found = difference([experiment(), experiment(name="old")], [experiment(), experiment(name="new")])

    assert [(each.scenario, each.before, each.after) for each in found.settings] == [
        ("new", None, "was run"),
        ("old", "was run", None),
    ]
    assert not found.is_worse


def test_runs_with_nothing_in_common_cannot_be_compared():
    """Nothing got worse, because nothing is known."""
    with pytest.raises(ReportError, match="no scenario in common: old and new"):
        difference([experiment(name="old")], [experiment(name="new")])


def written(folder, **kinds):
    one, _ = experiment(**kinds)
    return str(run_folder(folder, [(one.scenario, replace(one.history, run_id=folder.name))]))


def test_the_command_says_it_in_words_and_in_json(tmp_path):
    """Exit 1 where a verdict got worse, 0 where none did, 3 where there is nothing to compare."""
    good, bad = written(tmp_path / "a"), written(tmp_path / "b", slow=500)
    other, forged = written(tmp_path / "c", name="other"), written(tmp_path / "d", slow=500)
    run = CliRunner()
    verdict = tmp_path / "d/made/verdict.json"
    verdict.write_text(verdict.read_text().replace('"fail"', '"pass"'))

    worse, better, same = (run.invoke(app, ["diff", *pair]) for pair in ([good, bad], [bad, good], [good, good]))
    strange, changed = (run.invoke(app, ["diff", *pair]) for pair in ([good, other], [good, forged]))
    told = json.loads(run.invoke(app, ["diff", good, bad, "--json"]).stdout)

    assert [worse.exit_code, better.exit_code, same.exit_code] == [1, 0, 0]
    assert isinstance(strange.exception, ReportError)
    assert isinstance(changed.exception, ReportError)
    assert "verdict.json" in changed.exception.where
    assert "verdicts: made: slow (over 100ms) < 5% during fault: pass -> fail" in worse.stdout
    assert "measured: made: slow (over 100ms) < 5% during fault: 0 % (0 % to 0.12" in worse.stdout
    assert ") -> 20.0 % (18.7 % to 21.4 %)" in worse.stdout
    assert same.stdout.splitlines() == ["settings: no difference", "verdicts: no difference", "measured: no difference"]
    assert told["is_worse"] is True
    assert told["verdicts"][0] == {"scenario": "made", "what": "verdict", "before": "pass", "after": "fail"}
