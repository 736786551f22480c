"""Clients that give up: which they are, what their dose is, and that no service hides behind them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from harness.errors import SpecError
from harness.evidence import NO_SECRETS, EvidenceFolder
from harness.evidence.documents import timeline_text
from harness.evidence.store import read_history, write_history
from harness.history.samples import SampleOutcome, Samples
from harness.load.arrivals import PATIENT_S
from harness.load.traffic import dose_of
from harness.measure.recovery import bad_seconds
from harness.plan import check_faults, read_source
from harness.verdict.feasible import requests_meant
from harness.verdict.judge import judge
from harness.verdict.obligations import obligations
from harness.verdict.outcome import Outcome
from suites.support.made import Stretch, history_of, samples_of, scenario_of, tally_of
from suites.unit.test_load_traffic import ASKED, GREEDY, SETTINGS, beat_of, plan_of, story

GIVE_UP = {"kind": "cancellations", "share": "50%", "after": "20ms"}
ERRORS = {"sli": "errors", "max": "5%", "during": "fault"}
SLOW = {"sli": "slow", "over": "100ms", "max": "5%", "during": "fault"}


def test_a_share_of_the_clients_of_a_window_gives_up_whoever_they_are():
    """A spike's and a greedy one's as well; nothing else of them changes, and beside the window all wait."""
    faults = {"kind": "spike", "times": 20}, {**GREEDY, "rate": "200/s"}
    usual = plan_of(story(*faults, load={"requests": ASKED})).arrivals()
    hurt = plan_of(story(*faults, {**GIVE_UP, "at": "5s", "for": "10s"}, load={"requests": ASKED})).arrivals()

    during = hurt.between(25, 35)
    for index in (0, 1):
        assert (during.patiences_s[during.requests == index] == 0.02).mean() == pytest.approx(0.5, abs=0.06)
    assert set(during.patiences_s.tolist()) == {0.02, PATIENT_S}
    assert set(hurt.ending(25).patiences_s.tolist()) == set(hurt.beginning(35).patiences_s.tolist()) == {PATIENT_S}
    for column, same in zip(usual.columns[:4], hurt.columns[:4], strict=True):
        assert (column == same).all()


def seen_of(plan, *, waited_s=0.0201, given_up=1.0, left_out=0, beats=()):
    """Return the dose of a plan of which the impatient gave up, but for a share, and some were not issued."""
    schedule = plan.arrivals()
    chosen = np.flatnonzero(schedule.patiences_s < PATIENT_S)[left_out:]
    kept = np.union1d(chosen, np.flatnonzero(schedule.patiences_s == PATIENT_S))
    records = np.zeros(len(kept), dtype=samples_of([]).records.dtype)
    records["intended_s"], records["sent_s"] = schedule.intended_s[kept], schedule.intended_s[kept] + 0.001
    records["latency_s"] = 0.005
    records["impatient"] = schedule.patiences_s[kept] < PATIENT_S
    gone = np.flatnonzero(records["impatient"])[: round(given_up * len(chosen))]
    records["outcome"][gone], records["latency_s"][gone] = SampleOutcome.CANCELLED, 0.001 + waited_s
    return dose_of(plan.traffic[0], schedule, plan.load, Samples(records), beats, seed=7, at_s=61.0)


def test_the_dose_is_who_gave_up_and_when():
    """Of the impatient alone; those that were answered first are told."""
    plan = plan_of(story(GIVE_UP))
    planned = int((plan.arrivals().patiences_s < PATIENT_S).sum())

    dose = seen_of(plan, given_up=0.75)

    assert dose.is_delivered
    gone = round(0.75 * planned)
    said = f"{planned} requests issued in 20s ({planned} planned): {gone} were given up, 95% of them within 20.1 ms"
    assert dose.seen == f"{said}; {planned - gone} had ended before"


@pytest.mark.parametrize(
    ("after", "waited_s", "is_delivered"),
    [("20ms", 0.0699, True), ("20ms", 0.0701, False), ("2s", 2.19, True), ("2s", 2.21, False)],
)
def test_a_client_that_gives_up_too_late_was_kept_by_the_generator(after, waited_s, is_delivered):
    """By more than 50 ms, and a tenth of what it was to wait."""
    plan = plan_of(story({**GIVE_UP, "after": after}))

    assert seen_of(plan, waited_s=waited_s).is_delivered == is_delivered
    assert seen_of(plan, waited_s=waited_s, given_up=0.5).is_delivered == is_delivered


def test_a_storm_in_which_everything_was_answered_first_was_none():
    """And one of which not enough was issued, or not in time, was not that storm."""
    plan = plan_of(story(GIVE_UP, load={"arrivals_per_s": 50}))

    unmoved = seen_of(plan, given_up=0.0)
    assert not unmoved.is_delivered
    assert "none was given up: each had ended within 20ms" in unmoved.seen
    assert seen_of(plan, left_out=4).is_delivered
    assert not seen_of(plan, left_out=20).is_delivered
    assert not seen_of(plan, beats=[beat_of(30, 11)]).is_delivered


def hurt_history(*, impatient, patient, objective=ERRORS, share="50%"):
    """Return a run in whose fault every second client gave up, and what became of each."""
    scenario = scenario_of(
        fault={**GIVE_UP, "share": share}, objectives=[objective, {"sli": "recovery", "within": "5s"}]
    )
    samples = samples_of([Stretch(lasts_s=30), Stretch(lasts_s=10, per_s=500), Stretch(lasts_s=10)])
    during = (samples.records["intended_s"] >= 30) & (samples.records["intended_s"] < 40)
    left = during & (np.arange(len(samples)) % 2 == 0)
    samples.records["impatient"][left] = 1
    for chosen, (outcome, status, latency_s) in ((left, impatient), (during & ~left, patient)):
        samples.records["outcome"][chosen], samples.records["status"][chosen] = outcome, status
        samples.records["latency_s"][chosen] = latency_s
    return scenario, history_of(scenario, (), samples=samples, tally=tally_of(samples))


CANCELLED = SampleOutcome.CANCELLED, 0, 0.02
OK = SampleOutcome.OK, 200, 0.005


def claims(scenario, history):
    return judge(scenario, history, confidence=0.95).claims


def test_what_its_client_gave_up_is_no_error_of_the_service():
    """It is not counted at all, and the sentence says how many are not."""
    claim = claims(*hurt_history(impatient=CANCELLED, patient=OK))[0]

    assert (claim.outcome, claim.events, claim.total) == (Outcome.PASS, 0, 2500)
    assert "n = 2 500 beside 2 500 of impatient clients and second attempts" in claim.sentence


@pytest.mark.parametrize("objective", [ERRORS, SLOW, {"sli": "late", "over": "1s", "max": "5%", "during": "fault"}])
def test_a_service_that_never_answers_does_not_hide_behind_clients_that_give_up(objective):
    """Those that wait are not answered, and all of them count; not one given up makes the share smaller."""
    never = SampleOutcome.UNFINISHED, 0, 5.0
    claim = claims(*hurt_history(impatient=CANCELLED, patient=never, objective=objective))[0]

    assert (claim.outcome, claim.events, claim.total) == (Outcome.FAIL, 2500, 2500)


def test_quick_answers_to_impatient_clients_make_a_slow_service_no_faster():
    """Of those that give up only the quick answers are seen: 8 % slow would be 4 % with them."""
    scenario, history = hurt_history(impatient=OK, patient=OK, objective=SLOW)
    records = history.samples.records
    during = (records["intended_s"] >= 30) & (records["intended_s"] < 40)
    waiting = np.flatnonzero(during & (records["impatient"] == 0))
    records["latency_s"][waiting[::12]] = 0.2

    claim = claims(scenario, history)[0]

    assert (claim.outcome, claim.events, claim.total) == (Outcome.FAIL, 209, 2500)


def test_where_all_clients_give_up_nothing_is_proved():
    """Neither that it answers nor that it does not."""
    scenario, history = hurt_history(impatient=CANCELLED, patient=CANCELLED)
    history.samples.records["impatient"][:] = history.samples.records["outcome"] == SampleOutcome.CANCELLED

    claim = claims(scenario, history)[0]

    assert claim.outcome is Outcome.INCONCLUSIVE
    assert "no requests beside 5 000 of impatient clients" in claim.sentence


def test_what_cannot_be_promised_of_those_who_wait_is_refused_beforehand():
    """Half as many requests as come; of each name its share."""
    objectives = [ERRORS, {**ERRORS, "of": "b"}, {**ERRORS, "during": "baseline"}]
    requests = [{"name": "a", "path": "/a", "weight": 3}, {"name": "b", "path": "/b"}]
    scenario = story({**GIVE_UP, "for": "10s"}, load={"requests": requests}, objectives=objectives)
    assert [requests_meant(scenario, each) for each in scenario.objectives] == [150, 37.5, 200]

    everybody = story({**GIVE_UP, "share": "100%"}, objectives=objectives[:1])
    assert requests_meant(everybody, everybody.objectives[0]) == 0


def test_the_account_names_what_was_given_up():
    """Issued is what became of each; one that is missing is an error."""
    scenario, history = hurt_history(impatient=CANCELLED, patient=OK)
    (delivered,) = (item for item in obligations(scenario, history, ()) if item.name == "load delivered")
    assert delivered.outcome is Outcome.PASS
    assert delivered.sentence.endswith("+ 0 not sent + 2500 given up by their clients")

    hurt = history_of(scenario, (), samples=Samples(history.samples.records[1:]), tally=history.tally)
    (missing,) = (item for item in obligations(scenario, hurt, ()) if item.name == "load delivered")
    assert missing.outcome is Outcome.ERROR


def test_a_second_of_recovery_is_bad_by_those_who_wait():
    """One in which impatient clients left is not; one in which only they came is not known to be good."""
    scenario, history = hurt_history(impatient=CANCELLED, patient=OK)
    promises = [scenario.objectives[0]]
    assert bad_seconds(history, promises, healed_s=30.0, until_s=40.0) == ()

    records = history.samples.records
    records["impatient"][(records["intended_s"] >= 33) & (records["intended_s"] < 34)] = 1
    assert [each.after_s for each in bad_seconds(history, promises, healed_s=30.0, until_s=40.0)] == [3]


def test_evidence_keeps_who_gave_up_and_says_nothing_of_it_where_nobody_did(tmp_path):
    """Columns and counts that few runs have are in the files of those alone."""
    scenario, history = hurt_history(impatient=CANCELLED, patient=OK)
    (tmp_path / "hurt").mkdir()
    (tmp_path / "well").mkdir()
    write_history(history, EvidenceFolder(tmp_path / "hurt", NO_SECRETS))
    well = history_of(scenario, [Stretch(lasts_s=50)])
    write_history(well, EvidenceFolder(tmp_path / "well", NO_SECRETS))

    again = read_history(tmp_path / "hurt")
    assert again.samples.records.tobytes() == history.samples.records.tobytes()
    assert again.tally == history.tally
    assert again.tally.cancelled == 2500
    assert "cancelled" not in json.loads((tmp_path / "well/history.json").read_text())["tally"]
    assert read_history(tmp_path / "well").tally == well.tally
    assert "30,fault,250,0,0.000000" in timeline_text(scenario, history)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({**GIVE_UP, "share": "0%"}, "greater than 0"),
        ({**GIVE_UP, "after": "900us"}, "greater than or equal to 0.001"),
        ({**GIVE_UP, "after": "5s"}, "less than 5"),
        ({**GIVE_UP, "target": "redis"}, "Extra inputs are not permitted"),
    ],
)
def test_a_storm_that_is_none_is_refused(fault, said):
    with pytest.raises(ValidationError, match=said):
        story(fault)


def test_a_locustfile_has_clients_of_its_own(tmp_path):
    """They cannot be told to give up."""
    file = tmp_path / "bring.yaml"
    load = {"locustfile": "users.py"}
    file.write_text(json.dumps(story(GIVE_UP, load=load).model_dump(mode="json"), indent=1))

    with pytest.raises(SpecError, match="by the harness's own clients, and a locustfile brings others"):
        check_faults(read_source(file), SETTINGS, "quick")


def test_a_storm_says_what_it_is():
    assert str(story({**GIVE_UP, "for": "9s"}).faults[0]) == "50% of clients give up after 20ms for 9s"
