"""A point that was not reached leaves the verdict open, however well everything else went."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from harness.evidence import NO_SECRETS, EvidenceFolder
from harness.evidence.store import read_history, write_history
from harness.history.marks import PointMark
from harness.history.samples import SampleOutcome
from harness.spec.scenario import Scenario
from harness.spec.sometimes import Answered, Grows
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from suites.support.made import Stretch, history_of, scenario_of, tally_of

GROWS = Grows(kind="grows", metric="calls_total", labels={"outcome": "rejected"}, by=3)
MARK = PointMark(point="calls_total{outcome=rejected} grows by 3", phase="fault")
PROMISED = [{"sli": "errors", "max": "1%"}, {"sli": "recovery", "within": "5s"}]
STRETCHES = [Stretch(lasts_s=30), Stretch(lasts_s=10, misses=1), Stretch(lasts_s=10)]


def judged(point, *marks):
    scenario = scenario_of(objectives=PROMISED).model_copy(update={"sometimes": (point,)})
    return judge(scenario, history_of(scenario, STRETCHES, points=tuple(marks)), confidence=0.95)


@pytest.mark.parametrize(
    ("mark", "outcome", "said"),
    [
        pytest.param(replace(MARK, reached_s=31.5, seen="replica-1: from 0 to 9"), Outcome.PASS, "from 0 to 9, at 31.5 s", id="reached"),
        pytest.param(replace(MARK, seen="replica-1: from 0 to 2"), Outcome.INCONCLUSIVE, "never reached; last seen replica-1: from 0 to 2", id="not far enough"),
        pytest.param(MARK, Outcome.INCONCLUSIVE, "no replica said anything", id="silence"),
        pytest.param(replace(MARK, phase="recovery", reached_s=41.0, seen="x"), Outcome.INCONCLUSIVE, "no replica said", id="in another phase"),
    ],
)  # fmt: skip
def test_a_measured_point(mark, outcome, said):
    """Its mark decides, and its sentence says what was seen."""
    verdict = judged(GROWS, mark)

    (obligation,) = [each for each in verdict.obligations if each.name.startswith("reached")]
    assert obligation.name == "reached during fault: calls_total{outcome=rejected} grows by 3"
    assert (verdict.outcome, obligation.outcome) == (outcome, outcome)
    assert said in obligation.sentence


def test_a_point_that_nobody_looked_out_for():
    """No mark at all is no proof."""
    assert judged(GROWS).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("by", "outcome"), [("l3", Outcome.PASS), ("replica-1", Outcome.PASS), ("stale", Outcome.INCONCLUSIVE), ("replica-2", Outcome.INCONCLUSIVE)]
)  # fmt: skip
def test_an_answered_point_is_seen_in_the_answers(by, outcome):
    """One answer is enough; only those of its phase count."""
    assert judged(Answered(kind="answered", by=by)).outcome is outcome


@pytest.mark.parametrize("outcome", [SampleOutcome.FAILED, SampleOutcome.UNFINISHED, SampleOutcome.NOT_SENT])
def test_a_point_is_not_reached_by_what_failed(outcome):
    """A replica that answers 503, or a level that is named by an error, has not done its part."""
    scenario = scenario_of(objectives=PROMISED).model_copy(update={"sometimes": (Answered(kind="answered", by="l3"),)})
    history = history_of(scenario, STRETCHES)
    records = history.samples.records
    records["outcome"][history.samples.came_from("l3")] = outcome

    verdict = judge(scenario, replace(history, tally=tally_of(history.samples)), confidence=0.95)

    (obligation,) = [each for each in verdict.obligations if each.name.startswith("reached")]
    assert obligation.outcome is Outcome.INCONCLUSIVE
    assert obligation.sentence == "0 of 2500 answers came from l3"


def test_a_mark_survives_the_disk(tmp_path):
    """As everything that a verdict rests on."""
    scenario = scenario_of()
    history = history_of(scenario, STRETCHES, points=(MARK, replace(MARK, reached_s=1.5, seen="replica-1: 3")))
    write_history(history, EvidenceFolder(tmp_path, NO_SECRETS))

    assert read_history(tmp_path).points == history.points


def test_a_point_in_a_phase_that_is_not_there_is_refused():
    """As an objective would be."""
    said = scenario_of().model_dump(mode="json") | {"sometimes": [{"kind": "answered", "by": "l3", "during": "flood"}]}

    with pytest.raises(ValidationError, match="`l3 answered` is about the phase 'flood', which is not there"):
        Scenario.model_validate(said)
