"""OpenSLO documents: what they promise is judged as ours is, and what cannot be honoured is refused by name."""

from __future__ import annotations

import dataclasses
import json
import re
import textwrap
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.compare.slo import judged_against
from harness.errors import SpecError
from harness.evidence import verified_run
from harness.spec.openslo import UNSUPPORTED, read_openslo
from harness.verdict.outcome import Outcome
from suites.support.made import Stretch, history_of, scenario_of
from suites.support.runs import run_folder

PROJECT = Path(__file__).parents[2]
GOOD = "good: {metricSource: {type: Readiness, spec: {within: 100ms}}}"
TOTAL = "total: {metricSource: {type: Readiness}}"
SLO = f"""\
apiVersion: openslo/v1
kind: SLO
metadata: {{name: fast}}
spec:
  service: items
  indicator:
    metadata: {{name: latency}}
    spec:
      ratioMetric:
        {GOOD}
        {TOTAL}
  timeWindow: [{{duration: 4w, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives:
    - {{target: 0.95}}
"""


def read(tmp_path, text):
    file = tmp_path / "slo.yaml"
    file.write_text(text)
    return read_openslo(file)


@pytest.mark.parametrize(
    ("part", "total", "objective"),
    [
        pytest.param("good: {within: 100ms}", "{}", "slow (over 100ms) < 5%", id="good in time"),
        pytest.param("good: {within: 2s, outcome: ok, operation: write}", "{operation: write}", "write slow (over 2s) < 5%", id="of writes"),
        pytest.param("bad: {over: 250ms}", "{}", "slow (over 250ms) < 5%", id="bad if late"),
        pytest.param("bad: {outcome: failed}", "{}", "errors < 5%", id="bad if failed"),
        pytest.param("good: {within: 2s, outcome: answered, operation: write}", "{operation: write}", "write late (no answer in 2s) < 5%", id="be it with a no"),
        pytest.param("good: {outcome: ok, operation: read}", "{operation: read}", "read errors < 5%", id="good if ok"),
        pytest.param("good: {sources: [l1, l2], operation: read}", "{operation: read}", "hits > 95%", id="good if cached"),
        pytest.param("good: {sources: [l1, l2]}", "{}", "hits > 95% of all", id="good if cached, of all"),
        pytest.param("good: {outcome: ok, phase: fault}", "{phase: fault}", "errors < 5%", id="of a phase"),
    ],
)  # fmt: skip
def test_a_ratio_is_one_of_our_promises(tmp_path, part, total, objective):
    """One selection, one promise; the target is what may be left."""
    word, selected = part.split(": ", 1)
    text = SLO.replace(GOOD, f"{word}: {{metricSource: {{type: Readiness, spec: {selected}}}}}")
    text = text.replace(TOTAL, f"total: {{metricSource: {{type: Readiness, spec: {total}}}}}")

    (promise,) = read(tmp_path, text)

    assert str(promise.objective) == objective.removesuffix(" of all")
    if "sources" in part:
        assert promise.objective.of == (None if objective.endswith(" of all") else "read")
    assert promise.objective.during == ("fault" if "fault" in part else "baseline")


def test_a_threshold_takes_its_limit_from_the_objective(tmp_path):
    """A latency in seconds, and how many may be above it."""
    text = SLO.replace(
        f"ratioMetric:\n        {GOOD}\n        {TOTAL}", "thresholdMetric: {metricSource: {type: Readiness}}"
    )

    (promise,) = read(tmp_path, text.replace("{target: 0.95}", "{op: lte, value: 0.1, targetPercent: 99.9}"))

    assert str(promise.objective) == "slow (over 100ms) < 0.1%"


def test_two_indicators_of_one_name_are_refused(tmp_path):
    """Which of them was meant, nobody knows."""
    indicator = re.search(r"  indicator:\n((?:   .*\n)+)", SLO)
    sli = "---\napiVersion: openslo/v1\nkind: SLI\n" + textwrap.dedent(indicator[1])
    text = SLO.replace(indicator[0], "  indicatorRef: latency\n")
    assert read(tmp_path, f"{text}{sli}")

    with pytest.raises(SpecError, match="two SLIs are called 'latency'"):
        read(tmp_path, f"{text}{sli}{sli}")


WRONG = [
    pytest.param("within: 100ms", "", ":9: spec.indicator.spec.ratioMetric", "the same requests", id="good equals total"),
    pytest.param("within: 100ms", "within: 100ms, operation: read", ":9: spec.indicator.spec.ratioMetric", "not of the same requests", id="another whole"),
    pytest.param(TOTAL, "total: {metricSource: {type: Readiness, spec: {outcome: ok}}}", ":9:", "leaves requests out", id="a total of good ones"),
    pytest.param("within: 100ms", "within: 100ms, sources: [l1]", ":15: spec.objectives[0]", "cannot be judged", id="two criteria"),
    pytest.param("{target: 0.95}", "{target: 1.0}", ":15: spec.objectives[0].target", "less than 1", id="nothing may fail"),
    pytest.param("{target: 0.95}", "{target: 0.95, op: lte, value: 1}", ":15: spec.objectives[0]", "a ratio has no threshold", id="a threshold"),
    pytest.param("{target: 0.95}", "{displayName: none}", ":15: spec.objectives[0]", "target or a targetPercent", id="no target"),
    pytest.param("type: Readiness, spec: {within", "type: Prometheus, spec: {within", ":10:", "type", id="another source"),
    pytest.param("budgetingMethod: Occurrences", "budgetingMethod: Timeslices", ":13: spec.budgetingMethod", "Occurrences", id="time slices"),
    pytest.param("isRolling: true", "isRolling: false", ":12: spec.timeWindow[0].isRolling", "", id="a calendar's window"),
    pytest.param("service: items", "service: items\n  servise: x", ":6: spec.servise", "unknown key 'servise'", id="a typo"),
    pytest.param("kind: SLO", "kind: AlertPolicy", ":2: kind", "kind 'AlertPolicy' cannot be judged", id="another kind"),
    pytest.param("kind: SLO", "kind: Service", "slo.yaml", "there is no SLO", id="no SLO"),
    pytest.param("openslo/v1", "openslo/v2alpha", ":1: apiVersion", "openslo/v1", id="another version"),
    pytest.param(re.search(r"  indicator:\n(?:   .*\n)+", SLO)[0], "  indicatorRef: latncy\n", ":6: spec.indicatorRef", "no SLI 'latncy'", id="no such SLI"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "where", "what"), WRONG)
def test_what_is_wrong_is_named_with_its_place(tmp_path, old, new, where, what):
    """File, line and key path; and what to do instead."""
    assert old in SLO
    with pytest.raises(SpecError) as told_error:
        read(tmp_path, SLO.replace(old, new))

    assert where in told_error.value.where
    assert what in str(told_error.value)
    assert told_error.value.fix


OTHERS = [
    pytest.param("apiVersion: openslo/v1alpha\nkind: SLO\nmetadata: {name: a}\nspec: {timeWindows: [{unit: Day, count: 28}], objectives: [{ratioMetrics: {raw: x}}]}\n", ":1: apiVersion", "OpenSLO v1alpha is not read", "spec.timeWindow with a duration", id="an older OpenSLO"),
    pytest.param("apiVersion: openslo/v1alpha\nkind: Service\n", ":1: apiVersion", "OpenSLO v1alpha is not read", "openslo.md", id="an older one of a kind that is passed over"),
    pytest.param("apiVersion: openslo.com/v2alpha1\nkind: SLO\n", ":1: apiVersion", "OpenSLO v2alpha1 is not read", "openslo.md", id="a newer OpenSLO"),
    pytest.param("version: prometheus/v1\nservice: shop\nslos: [{name: a, objective: 99.9}]\n", ":1: version", "a file of Sloth", "openslo/v1", id="Sloth"),
    pytest.param("service: shop\nslos: [{name: a}]\n", "slo.yaml:1", "a file of Sloth", "openslo/v1", id="Sloth without its version"),
    pytest.param("apiVersion: sloth.slok.dev/v1\nkind: PrometheusServiceLevel\n", ":1: apiVersion", "a file of Sloth", "openslo/v1", id="Sloth in a cluster"),
    pytest.param("apiVersion: pyrra.dev/v1alpha1\nkind: ServiceLevelObjective\n", ":1: apiVersion", "a file of Pyrra", "openslo/v1", id="Pyrra"),
    pytest.param("kind: SLO\napiVersion: n9/v1alpha\n", ":2: apiVersion", "a file of Nobl9", "openslo/v1", id="Nobl9"),
    pytest.param("apiVersion: sre.google.com/v2\nkind: ServiceLevelObjective\n", ":1: apiVersion", "a file of slo-generator", "openslo/v1", id="slo-generator"),
    pytest.param("groups: [{name: a, rules: []}]\n", "slo.yaml:1", "the Prometheus operator", "openslo/v1", id="rules of Prometheus"),
    pytest.param("apiVersion: v1\nkind: ConfigMap\n", ":1: apiVersion", "unknown apiVersion 'v1'", "openslo/v1", id="anything else"),
    pytest.param("kind: SLO\nspec: {}\n", "slo.yaml:1", "it says no apiVersion", "openslo/v1", id="nothing said"),
    pytest.param("- apiVersion: openslo/v1\n", "slo.yaml:1", "it says no apiVersion", "openslo/v1", id="a list"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "where", "what", "fix"), OTHERS)
def test_another_format_is_named_before_any_of_its_keys(tmp_path, text, where, what, fix):
    """Its version and whose it is, on one line; each key that v1 does not know would be a mistake that is none."""
    with pytest.raises(SpecError) as told_error:
        read(tmp_path, text)

    assert told_error.value.where.endswith(where)
    assert what in told_error.value.what
    assert fix in told_error.value.fix
    assert "unknown key" not in str(told_error.value)


def test_another_format_behind_a_good_document_is_named_as_well(tmp_path):
    """A file may hold several, and each says what it is."""
    with pytest.raises(SpecError, match="OpenSLO v1alpha is not read") as told_error:
        read(tmp_path, f"{SLO}---\napiVersion: openslo/v1alpha\nkind: SLO\n")

    assert told_error.value.where.endswith(":17: apiVersion")


@pytest.mark.parametrize("field", UNSUPPORTED)
def test_what_cannot_be_honoured_is_refused_by_name(tmp_path, field):
    """A field that is passed over is a promise that nobody judges."""
    with pytest.raises(SpecError, match=rf"`{field}` cannot be honoured") as told_error:
        read(tmp_path, SLO.replace("{target: 0.95}", f"{{target: 0.95, {field}: 1}}"))

    assert told_error.value.where.endswith(f":15: spec.objectives[0].{field}")


def test_labels_may_be_called_anything(tmp_path):
    """They promise nothing."""
    assert read(
        tmp_path, SLO.replace("{name: fast}", "{name: fast, labels: {raw: [a, b]}, annotations: {calendar: x}}")
    )


SCENARIO = scenario_of(objectives=[{"sli": "errors", "max": "1%"}, {"sli": "recovery", "within": "5s"}])
HISTORY = history_of(SCENARIO, [Stretch(lasts_s=50)])


@pytest.fixture
def run(tmp_path):
    return run_folder(tmp_path / "run", [(SCENARIO, HISTORY)])


@pytest.mark.parametrize(
    ("target", "outcome", "code"), [("0.95", Outcome.PASS, 0), ("0.9999999", Outcome.INCONCLUSIVE, 2)]
)
def test_a_promise_is_judged_with_the_same_bounds(tmp_path, run, target, outcome, code):
    """The exit code is that of a run, and JSON says the same as the table."""
    file = tmp_path / "slo.yaml"
    file.write_text(SLO.replace("0.95", target))

    (kept,) = judged_against(read_openslo(file), run)
    said = CliRunner().invoke(app, ["slo", str(file), "--bundle", str(run), "--json"])

    assert kept.outcome is outcome
    assert said.exit_code == code, said.output
    assert json.loads(said.stdout)["objectives"][0]["sentence"] == kept.sentence


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"overdue": 50}, "offered as planned: the generator fell behind", id="late in that phase"),
        pytest.param({"controls_s": (0.3,) * 10}, "control held: 90 of 100", id="the machine was slow"),
    ],
)
def test_a_phase_that_nobody_had_judged_is_asked_whether_its_load_was_valid(tmp_path, change, said):
    """The run's own verdict is a pass, for it promised nothing of that phase; this promise is about it."""
    fault_s = [beat for beat in HISTORY.heartbeats if 31 < beat.at_s <= 40]
    beats = [dataclasses.replace(beat, **change) if beat in fault_s else beat for beat in HISTORY.heartbeats]
    run = run_folder(tmp_path / "run", [(SCENARIO, dataclasses.replace(HISTORY, heartbeats=tuple(beats)))])
    file = tmp_path / "slo.yaml"
    file.write_text(
        SLO.replace("within: 100ms", "within: 100ms, phase: fault").replace(
            TOTAL, TOTAL.replace("Readiness", "Readiness, spec: {phase: fault}")
        )
    )

    (kept,) = judged_against(read_openslo(file), run)

    assert [verdict.outcome for verdict in verified_run(run).values()] == [Outcome.PASS]
    assert kept.outcome is Outcome.INCONCLUSIVE
    assert said in kept.sentence


def test_a_phase_that_is_not_there_is_inconclusive(tmp_path, run):
    """Nothing seen is nothing proved."""
    text = SLO.replace("within: 100ms", "within: 100ms, phase: flood").replace(
        TOTAL, TOTAL.replace("Readiness", "Readiness, spec: {phase: flood}")
    )
    file = tmp_path / "slo.yaml"
    file.write_text(text)

    (kept,) = judged_against(read_openslo(file), run)

    assert kept.outcome is Outcome.INCONCLUSIVE
    assert "no phase flood" in kept.sentence


def test_the_example_of_the_page_is_read():
    """Copied from docs/, it runs."""
    promises = read_openslo(PROJECT / "docs/examples/slo.yaml")

    assert [(each.slo, str(each.objective)) for each in promises] == [
        ("fast", "slow (over 100ms) < 5%"),
        ("reads-survive-redis", "read errors < 1%"),
    ]
    assert (PROJECT / "docs/examples/slo.yaml").read_text() in (PROJECT / "docs/openslo.md").read_text()
