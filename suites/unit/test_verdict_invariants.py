"""An invariant is broken by one counterexample, held by what could have shown one, and by nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import ReportError, SpecError
from harness.evidence import Experiment
from harness.evidence.bundle import verified_run
from harness.measure.invariants.no_acknowledged_write_lost import no_acknowledged_write_lost
from harness.plan import read_source
from harness.report.formatting import estimate_of
from harness.report.html import experiment_page as html_page
from harness.report.html import gauge_of
from harness.report.markdown import experiment_page as markdown_page
from harness.spec.invariant import NoAcknowledgedWriteLost
from harness.verdict.judge import claims_made, judge
from harness.verdict.outcome import Outcome
from suites.support.made import Stretch, history_of, scenario_of
from suites.support.registers import history_of as remembered
from suites.support.registers import read, write
from suites.support.runs import run_folder

OBJECTIVES = [{"sli": "slow", "over": "100ms", "max": "5%"}, {"sli": "recovery", "within": "5s"}]
NO_LOSS = {"kind": "no-acknowledged-write-lost", "within": "500ms"}
HELD = [write(1.0, 1.1, 1), read(32.0, 32.1, 1)]
LOST = [*HELD, write(33.0, 33.1, 2, version=4), read(33.7, 33.8, 1, version=3), read(34.0, 34.1, 1, version=3)]


def judged(rows, *, faults=True, **told):
    scenario = scenario_of(faults=faults, objectives=OBJECTIVES if faults else OBJECTIVES[:1]).model_copy()
    scenario = type(scenario).model_validate({**scenario.model_dump(mode="json"), "invariants": [NO_LOSS | told]})
    stretches = [Stretch(lasts_s=30, per_s=100), Stretch(lasts_s=10), Stretch(lasts_s=10)][: len(scenario.phases)]
    history = replace(history_of(scenario, stretches), operations=remembered(rows).operations)
    return scenario, history, judge(scenario, history, confidence=0.95)


@pytest.mark.parametrize(
    ("rows", "outcome", "said"),
    [
        pytest.param(HELD, Outcome.PASS, "held; n = 1", id="read again"),
        pytest.param([], Outcome.INCONCLUSIVE, "no request's value was remembered", id="nothing remembered"),
        pytest.param(HELD[1:], Outcome.INCONCLUSIVE, "not one write was acknowledged", id="only reads"),
        pytest.param(
            [write(1.0, 1.1, 1, is_acknowledged=False), HELD[1]],
            Outcome.INCONCLUSIVE,
            "not one write was acknowledged",
            id="an unknown outcome",
        ),
        pytest.param(
            [HELD[0], read(20.0, 20.1, 1)],
            Outcome.INCONCLUSIVE,
            "no acknowledged write was read more than 500ms after it and since redis down began",
            id="read only before the fault",
        ),
        pytest.param(
            [write(32.0, 32.1, 1), read(32.6, 32.7, 1)],
            Outcome.INCONCLUSIVE,
            "no acknowledged write was read more than 500ms after it",
            id="read at the last moment that excuses it",
        ),
        pytest.param([write(32.0, 32.1, 1), read(32.601, 32.7, 1)], Outcome.PASS, "held", id="and just after it"),
    ],
)
def test_only_what_was_exercised_holds(rows, outcome, said):
    """A write must be acknowledged, and read when a loss would show; what is missing is said."""
    claim = judged(rows)[2].claims[-1]

    assert (claim.outcome, claim.phase) == (outcome, "all phases")
    assert said in claim.sentence


def test_the_first_counterexample_can_be_looked_up():
    """Key, times, versions and rows of both operations, and how many more there are."""
    _, _, verdict = judged(LOST)

    assert verdict.outcome is Outcome.FAIL
    assert verdict.sentence == (
        "fail: no-acknowledged-write-lost (within 500ms) is broken: key 0: the read sent at 33.700 s and answered at "
        "33.800 s (sample 3) answered version 3, digest 0000000000000001, although version 4, digest "
        "0000000000000002 had been acknowledged to the write sent at 33.000 s and answered at 33.100 s (sample 2), "
        "0.600 s before, where 500ms is allowed (and 1 more); the oldest lost is the write sent at 33.000 s and "
        "answered at 33.100 s (sample 2), 0.900 s before the read that misses it"
    )


def test_an_answer_that_says_that_it_is_old_may_be_old():
    """It must still be a value that was written; what does not say so is judged as ever."""
    samples = history_of(scenario_of(), [Stretch(lasts_s=1, per_s=5, misses=0)]).samples
    samples.records["source"][3] = samples.sources.index("stale")
    old = [write(1.0, 1.1, 1), write(2.0, 2.1, 2), read(33.0, 33.1, 2), read(34.0, 34.1, 1)]
    made_up = [*old[:2], read(33.0, 33.1, 3), read(34.0, 34.1, 4)]

    def outcome(rows, **told):
        invariant = NoAcknowledgedWriteLost(kind="no-acknowledged-write-lost", **told)
        return no_acknowledged_write_lost(invariant, replace(remembered(rows), samples=samples)).broken

    assert [outcome(old), outcome(old, stale_from=["stale"]), outcome(old, stale_from=["l1"])] == [1, 0, 1]
    assert outcome(made_up, stale_from=["stale"]) == 2


def test_an_invariant_is_no_matter_of_chance():
    """It does not make the others' bounds wider, has no p-value, and fails at any confidence."""
    scenario, history, verdict = judged(LOST)

    assert claims_made(scenario.promises) == claims_made(scenario.objectives) == verdict.family == 1
    assert verdict.claims[-1].p_value is None
    assert judge(scenario, history, confidence=0.51, family=1000).claims[-1].outcome is Outcome.FAIL


def test_what_was_kept_is_counted_by_kind():
    assert judged(HELD)[2].sentence == "pass: 2 objectives and 1 invariant kept"


def test_pages_tell_breaches_and_draw_no_gauge(tmp_path):
    """A count of breaches has no scale from zero to a limit of zero."""
    scenario, history, verdict = judged(LOST)
    claim = verdict.claims[-1]

    page = markdown_page(scenario, history, verdict)

    assert (estimate_of(claim), gauge_of(claim)) == ("2 broken", None)
    assert "| no-acknowledged-write-lost (within 500ms) | all phases | ✗ fail | 2 broken | – | 3 |" in page
    assert estimate_of(judged([])[2].claims[-1]) == "–"
    assert "2 broken" in html_page(Experiment(scenario, history, verdict, tmp_path), scenario_text="")


def test_the_evidence_is_judged_again_the_same(tmp_path):
    """What was remembered is part of the evidence: without it, or with other operations, the verdict is another."""
    run_folder(tmp_path / "run", [judged(LOST)[:2]])

    verdicts = verified_run(tmp_path / "run")

    assert [verdict.outcome for verdict in verdicts.values()] == [Outcome.FAIL]
    (folder,) = verdicts
    (folder / "operations.parquet").unlink()
    with pytest.raises(ReportError, match=r"operations\.parquet"):
        verified_run(tmp_path / "run")


def test_an_unknown_invariant_is_refused_with_those_that_are_known(tmp_path):
    """File, line, key and the nearest word."""
    path = tmp_path / "s.yaml"
    path.write_text(
        "scenario: s\nstory: a story that is long enough\nload: {arrivals_per_s: 10}\n"
        "phases:\n  - {name: baseline, lasts: 10s}\ninvariants:\n  - {kind: no-acknowledged-write-los}\n"
    )

    with pytest.raises(SpecError) as refusal:
        read_source(path)

    assert "unknown kind 'no-acknowledged-write-los'" in str(refusal.value)
    assert "did you mean 'no-acknowledged-write-lost'?" in str(refusal.value)
    assert "s.yaml:7: invariants[0].kind" in str(refusal.value)


def test_one_read_that_went_back_makes_no_other_wrong():
    """An old value between two reads of the new one: the one in the middle is to blame, not the one after it."""
    rows = [write(1, 2, 1), write(3, 4, 2), read(5, 6, 2), read(7, 8, 1), read(9, 10, 2)]
    invariant = NoAcknowledgedWriteLost(kind="no-acknowledged-write-lost")

    found = no_acknowledged_write_lost(invariant, remembered(rows))

    assert (found.broken, found.first.samples) == (1, (3, 1))


@pytest.mark.parametrize(("sent_s", "broken"), [(2.5, 0), (2.501, 1)])
def test_an_old_answer_is_excused_to_the_very_end_of_what_is_allowed(sent_s, broken):
    """The write was acknowledged at 2 s, and half a second is allowed."""
    invariant = NoAcknowledgedWriteLost(kind="no-acknowledged-write-lost", within="500ms")
    rows = [write(0.0, 0.5, 1), write(1.0, 2.0, 2), read(sent_s, 3.0, 1)]

    assert no_acknowledged_write_lost(invariant, remembered(rows)).broken == broken
