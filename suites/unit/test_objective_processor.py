"""A budget of processor time: what a second of it says, what seconds together say, and what could never be said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from harness.errors import SpecError
from harness.evidence import NO_SECRETS, EvidenceFolder
from harness.evidence.store import read_history, write_history
from harness.experiment.interim import InterimAnalysis
from harness.history.machine import MachineSecond
from harness.history.marks import PhaseMark
from harness.library.story import promises_of
from harness.measure.processor import SHORTEST_S, spent_per_answer_s, spent_seconds
from harness.options import settings_of
from harness.plan import plan_of, source_of
from harness.spec.objective import KINDS, Processor
from harness.stack.machine import Counters, Used, second_between
from harness.verdict.feasible import check_can_conclude
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from harness.verdict.sharing import why_fresh_always
from suites.support.made import Stretch, history_of, scenario_of

BUDGET = {"sli": "processor", "over": "2ms", "max": "20%"}
PROMISE = Processor.model_validate(BUDGET)
CALM = (Stretch(lasts_s=30),)
CHEAP_S, DEAR_S = 0.4, 0.6
"""Of 250 answers a second, 2 ms for each are half a second."""


def second(at_s, spent_s=CHEAP_S, **changes):
    """Return a second of a quiet machine in which the replicas used so much."""
    usual = {"lasted_s": 1.0, "cores": 2, "own_s": 1.0, "strangers_s": 0.02, "stolen_s": 0.0}
    return MachineSecond(
        **{**usual, "at_s": at_s, "judged_s": spent_s, "waited_s": 0.01, "spent_s": spent_s, **changes}
    )


def machine(*spent_s):
    """Return a second after the other, from the origin on."""
    return tuple(second(at + 1.0, each) for at, each in enumerate(spent_s))


def made(seconds, stretches=CALM, **objective):
    """Return a scenario with a budget, and a history in which each request is answered at once."""
    scenario = scenario_of(faults=False, objectives=[{**BUDGET, **objective}])
    history = history_of(scenario, stretches, machine=tuple(seconds))
    history.samples.records["latency_s"] = 0.0
    return scenario, history


def claimed(seconds, stretches=CALM, family=1, **objective):
    return judge(*made(seconds, stretches, **objective), confidence=0.95, family=family).claims[0]


def over_of(*seconds, stretches=CALM, **objective):
    scenario, history = made(seconds, stretches, **objective)
    return [each.is_over for each in spent_seconds(scenario.objectives[0], history)]


# What the kernel's counters say of the judged service -----------------------------------------------------------------


def used(own_s, ended_s=0.0, *, parent=1, began=1):
    return Used(parent=parent, began=began, own_s=own_s, ended_s=ended_s)


def spent(before, after, judged=(frozenset({7, 8}), frozenset({7, 8}))):
    """Return what the service spent between two looks at its processes, among which 9 is none of it."""
    looks = (
        Counters(at_s=at_s, cores=2, busy_s=0.0, stolen_s=0.0, own={**own, 9: used(99.0 * at_s)}, judged=numbers)
        for at_s, own, numbers in zip((1.0, 2.0), (before, after), judged, strict=True)
    )
    return second_between(*looks, origin_s=0.0).spent_s


MAIN = {7: used(1.0)}
ONE, BOTH = frozenset({7}), frozenset({7, 8})


@pytest.mark.parametrize(
    ("before", "after", "judged", "seen"),
    [
        pytest.param({**MAIN, 8: used(2.0, parent=7)}, {7: used(1.3), 8: used(2.1, parent=7)}, (BOTH, BOTH), 0.4, id="two processes"),
        pytest.param(MAIN, {7: used(1.1), 8: used(0.3, parent=7)}, (ONE, BOTH), 0.4, id="a child began"),
        pytest.param({**MAIN, 8: used(2.0, parent=7)}, {7: used(1.1, 2.5)}, (BOTH, ONE), 0.6, id="a child ended, and used half a second more"),
        pytest.param(MAIN, {7: used(1.0, 0.7)}, (ONE, ONE), 0.7, id="a child began and ended"),
        pytest.param(MAIN, {7: used(0.2, began=5)}, (ONE, ONE), None, id="another process has its number"),
        pytest.param({**MAIN, 8: used(2.0)}, MAIN, (BOTH, ONE), None, id="a replica ended"),
        pytest.param(MAIN, {**MAIN, 8: used(0.5)}, (ONE, BOTH), None, id="a replica began"),
        pytest.param({}, {}, (frozenset(), frozenset()), None, id="none runs"),
    ],
)  # fmt: skip
def test_what_was_spent_is_known_while_the_same_replicas_run(before, after, judged, seen):
    """Of all their processes, those included that ended meanwhile."""
    assert spent(before, after, judged) == seen


def test_what_was_spent_survives_a_file(tmp_path):
    """Also that nothing was, and that it was not known: a run of before says nothing of it."""
    _, history = made([second(1.0), second(2.0, 0.0), second(3.0, None)])
    write_history(history, EvidenceFolder(tmp_path, NO_SECRETS))

    assert read_history(tmp_path).machine == history.machine
    assert (tmp_path / "history.json").read_text().count("spent_s") == 2


# What a second says ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spent_s", "stretch", "is_over"),
    [
        pytest.param(0.5, Stretch(lasts_s=1), False, id="just the budget"),
        pytest.param(0.501, Stretch(lasts_s=1), True, id="a hair more"),
        pytest.param(0.5, Stretch(lasts_s=1, failed=10), True, id="no answer is paid for by nobody"),
        pytest.param(0.05, Stretch(lasts_s=1, per_s=25), False, id="just the budget of few"),
        pytest.param(0.049, Stretch(lasts_s=1, per_s=1), False, id="so little is noise"),
        pytest.param(0.05, Stretch(lasts_s=1, per_s=1), True, id="and so much is not"),
        pytest.param(0.05, Stretch(lasts_s=1, failed=250), True, id="it computed in vain"),
        pytest.param(0.049, Stretch(lasts_s=1, failed=250), None, id="it answered nothing, and rested"),
        pytest.param(0.9, Stretch(lasts_s=1, per_s=0), None, id="nothing was asked"),
        pytest.param(None, Stretch(lasts_s=1), None, id="not known"),
    ],
)
def test_a_second_is_over_where_its_answers_cost_more_than_the_budget(spent_s, stretch, is_over):
    assert over_of(second(1.0, spent_s), stretches=[stretch]) == [is_over]


def test_noise_is_that_of_the_time_that_was_looked_at():
    """Two seconds have twice the noise of one."""
    few = [Stretch(lasts_s=4, per_s=1)]

    assert over_of(second(2.0, 0.09, lasted_s=2.0), second(4.0, 0.1, lasted_s=2.0), stretches=few) == [False, True]


def test_an_answer_belongs_to_the_second_that_it_came_in():
    """What is asked in one and answered in the next was worked for in the next, whatever it says."""
    scenario, history = made(machine(0.4, 0.4, 0.4), [Stretch(lasts_s=2, per_s=4)])
    records = history.samples.records
    records["latency_s"] = [0.0, 0.75, 0.49, 0.5, 0.0, 0.0, 0.5, 0.25]
    records["outcome"][1], records["status"][1] = 1, 503

    assert [each.answered for each in spent_seconds(scenario.objectives[0], history)] == [2, 4, 2]


def test_answers_to_clients_that_ask_again_or_give_up_early_are_paid_for_too():
    """No promise is about them, and each was worked for."""
    scenario, history = made(machine(0.5))
    history.samples.records["attempt"][:100] = 1
    history.samples.records["impatient"][100:200] = 1

    assert [each.is_over for each in spent_seconds(scenario.objectives[0], history)] == [False]


@pytest.mark.parametrize(("after", "counted"), [("0s", 10), ("2s", 8), ("2.4s", 8), ("2.6s", 7)])
def test_a_second_belongs_to_where_its_middle_lies(after, counted):
    """Of the phase's ten, those that begin after the time that is left out; none of the phases beside it."""
    scenario = scenario_of(objectives=[{**BUDGET, "during": "fault", "after": after}])
    history = history_of(scenario, [Stretch(lasts_s=50)], machine=machine(*[CHEAP_S] * 50))

    assert len(spent_seconds(scenario.objectives[0], history)) == counted


def test_less_than_half_a_second_is_none():
    """The last look comes right after the one before."""
    assert over_of(second(1.0), second(1.0 + SHORTEST_S, 0.1, lasted_s=SHORTEST_S)) == [False, False]
    assert over_of(second(1.0), second(1.499, 0.1, lasted_s=0.499)) == [False]


def test_what_an_answer_cost_is_told_of_the_seconds_that_are_known():
    """0.4 s and 0.6 s for 250 answers each."""
    scenario, history = made(machine(0.4, None, 0.6))

    assert spent_per_answer_s(spent_seconds(scenario.objectives[0], history)) == pytest.approx(0.002)
    assert spent_per_answer_s([]) is None


# What seconds say together --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        pytest.param(machine(*[CHEAP_S] * 30), "pass: processor 0.000 % [0.000, 9.5] < 20 % during baseline; n = 30 s, 1.6ms an answer", id="cheap"),
        pytest.param(machine(*[DEAR_S] * 30), "fail: processor 100.0 % [90.5, 100.0] > 20 % during baseline; n = 30 s, 2.4ms an answer", id="dear"),
        pytest.param(machine(*[CHEAP_S] * 13), "inconclusive: processor 0.000 % [0.000, 20.6] vs 20 % during baseline; n = 13 s, 1.6ms an answer, 14 s would prove it with 0 such", id="too few"),
        pytest.param(machine(*[CHEAP_S] * 14), "pass: processor 0.000 % [0.000, 19.3] < 20 % during baseline; n = 14 s, 1.6ms an answer", id="just enough"),
        pytest.param(machine(*[CHEAP_S] * 14, *[None] * 2), "pass: processor 0.000 % [0.000, 19.3] < 20 % during baseline; n = 14 of 16 s, 1.6ms an answer", id="a restart"),
        pytest.param((), "inconclusive: processor unknown during baseline; it was not measured", id="not measured"),
        pytest.param(machine(*[None] * 30), "inconclusive: processor unknown during baseline; it was not measured", id="not known"),
    ],
)  # fmt: skip
def test_the_bounds_of_all_shares_decide(seconds, said):
    """Of seconds in the place of requests; what was not measured proves nothing."""
    assert claimed(seconds).sentence == said


def test_a_service_that_answers_nothing_and_rests_proves_nothing():
    """It is broken for its errors, and cheap for nobody."""
    said = claimed(machine(*[0.01] * 30), [Stretch(lasts_s=30, failed=7500)]).sentence

    assert said == "inconclusive: processor unknown during baseline; nothing was answered"


def test_what_happens_once_proves_little():
    """Ten dear seconds in a row are a story told ten times; spread out they are ten."""
    at_once = claimed(machine(*[DEAR_S] * 12, *[CHEAP_S] * 18))
    spread = claimed(machine(*[DEAR_S if at % 5 in {0, 2} else CHEAP_S for at in range(30)]))

    assert (at_once.events, spread.events) == (12, 12)
    assert (at_once.outcome, spread.outcome) == (Outcome.INCONCLUSIVE, Outcome.FAIL)
    assert at_once.effective < 6 < spread.effective == 30.0
    assert ", worth " in at_once.sentence
    assert ", worth " not in spread.sentence


def test_one_budget_of_many_may_look_broken_by_chance():
    """Half of the seconds: Holm asks for more in a run of many claims."""
    seconds = machine(*[DEAR_S if at % 2 else CHEAP_S for at in range(14)])

    assert claimed(seconds).outcome is Outcome.FAIL
    assert "one may look so by chance" in claimed(seconds, family=100).sentence


def test_a_second_look_is_taken_at_its_own_bound():
    """The error is divided: what passes at 95 % does not at 96 %."""
    scenario, history = made(machine(*[CHEAP_S] * 14))
    going_on = scenario.model_copy(update={"extends_to": 2.0})

    assert judge(scenario, history, confidence=0.95).claims[0].outcome is Outcome.PASS
    assert judge(going_on, history, confidence=0.95).claims[0].outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(("looks", "enough"), [(1, 15), (2, 21)])
def test_each_look_has_its_part_of_the_error(looks, enough):
    """Four fifths of it belong to the first, a fifth to the second; a p-value is as much larger."""
    outcomes, p_values = [], []
    for count, spent_s in ((enough - 1, CHEAP_S), (enough, CHEAP_S), (10, DEAR_S)):
        scenario, history = made(machine(*[spent_s] * count))
        marks = tuple(replace(mark, looks=looks) for mark in history.phases)
        seen = replace(history, phases=marks)
        claim = judge(scenario.model_copy(update={"extends_to": 2.0}), seen, confidence=0.95).claims[0]
        outcomes.append(claim.outcome)
        p_values.append(claim.p_value)

    assert outcomes == [Outcome.INCONCLUSIVE, Outcome.PASS, Outcome.FAIL]
    assert p_values[-1] == pytest.approx(0.2**10 / {1: 0.8, 2: 0.2}[looks], rel=0.01)


def test_a_phase_goes_on_while_its_budget_is_open_and_is_never_given_up_for_it():
    """Nothing of it is beyond doubt early."""
    scenario, history = made(machine(*[DEAR_S] * 20))
    mark, interim = PhaseMark(name="baseline", began_s=0.0, ended_s=20.0), InterimAnalysis(scenario, 0.95)

    assert interim.has_promises(mark)
    assert interim.is_open(history.samples, mark, history.machine[:1])
    assert not interim.is_open(history.samples, mark, history.machine)
    assert interim.hopeless(history.samples, mark, history.machine) is None


# Strangers ------------------------------------------------------------------------------------------------------------


def beside(each):
    """Return the same second with strangers that took half of what the service lacked."""
    return replace(each, strangers_s=1.0, waited_s=each.judged_s)


def test_a_budget_broken_only_beside_strangers_is_inconclusive_with_the_numbers():
    dear = machine(*[DEAR_S if at % 3 else CHEAP_S for at in range(30)])
    seconds = [beside(each) if each.spent_s == DEAR_S else each for each in dear]

    claim = claimed(seconds)

    assert claim.outcome is Outcome.INCONCLUSIVE
    assert claim.sentence.startswith("inconclusive: processor 66.7 % [")
    assert claim.sentence.endswith(
        ", but strangers had 1.0 of 2 processors in 20 of 30 s, in which the service waited for one 50% of its time;"
        " without those 0 of 10 s broke it"
    )


@pytest.mark.parametrize(("clean", "outcome"), [(2, Outcome.INCONCLUSIVE), (3, Outcome.FAIL), (30, Outcome.FAIL)])
def test_a_budget_broken_without_strangers_is_broken(clean, outcome):
    """By three seconds at the least; of those alone it must be no chance."""
    seconds = [each if at < clean else beside(each) for at, each in enumerate(machine(*[DEAR_S] * 30))]

    claim = claimed(seconds)

    assert claim.outcome is outcome
    assert claim.p_value == pytest.approx(0.2 ** (30 if clean == 2 else clean), rel=0.01)


def test_a_budget_kept_beside_strangers_is_kept():
    assert claimed(map(beside, machine(*[CHEAP_S] * 30))).outcome is Outcome.PASS


# What could never be said ---------------------------------------------------------------------------------------------


def test_it_is_a_promise_like_any_other():
    """Its word and its sentence."""
    assert KINDS["processor"] is Processor
    assert str(PROMISE) == "processor (over 2ms an answer) < 20%"
    assert str(PROMISE.model_copy(update={"after": 2.0})) == "processor (over 2ms an answer) < 20% after 2s"


@pytest.mark.parametrize("changes", [{"over": "0ms"}, {"over": "61s"}, {"max": "0%"}, {"max": "100%"}, {"of": "read"}])
def test_what_means_nothing_is_refused(changes):
    """Which request used the processor is not known."""
    with pytest.raises(ValidationError):
        Processor.model_validate({**BUDGET, **changes})


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        pytest.param({"max": "9%"}, "needs 32 cheap seconds, this profile has 30", id="a limit that is too low"),
        pytest.param({"after": "16.5s"}, "needs 14 cheap seconds, this profile has 13", id="too much left out"),
        pytest.param({"over": "190us"}, "is 47.5ms of processor time a second at this rate, and less than 50ms is noise", id="too little"),
    ],
)  # fmt: skip
def test_what_cannot_be_proved_is_refused_with_its_numbers(objective, said):
    with pytest.raises(SpecError, match=said) as refused:
        check_can_conclude(scenario_of(faults=False, objectives=[{**BUDGET, **objective}]), 0.95)

    assert ("let `over` be 1ms or more" if "over" in objective else "longer") in refused.value.fix


@pytest.mark.parametrize("objective", [{"max": "10%"}, {"after": "16s"}, {"over": "200us"}])
def test_what_can_be_proved_is_not(objective):
    """Just so, by the same bound that the judge goes by."""
    check_can_conclude(scenario_of(faults=False, objectives=[{**BUDGET, **objective}]), 0.95)


def test_what_it_takes_is_told():
    scenario = scenario_of(faults=False, objectives=[{**BUDGET, "after": "2s"}])

    assert promises_of(scenario, 0.95)[-1] == (
        "    processor (over 2ms an answer) < 20% after 2s: 14 cheap seconds at the least, and there are 28"
    )


def test_a_budget_of_the_time_before_a_fault_needs_all_of_it():
    """A look of some seconds cannot judge one; one of the fault itself can share a stack."""
    calm = {"sli": "errors", "max": "1%"}
    before, during = (
        why_fresh_always(scenario_of(objectives=[calm, {**BUDGET, "during": phase}])) for phase in ("baseline", "fault")
    )

    assert "a budget of processor time before its first fault" in before
    assert during == ""


SETTINGS = """\
[system]
name = "shop"
[system.subject]
{subject}
[[system.requests]]
name = "look"
path = "/"
[[objectives]]
sli = "errors"
max = "1%"
{objectives}
[profiles.quick]
stretch = 1.0
"""
STORY = """\
scenario: calm
story: Nothing is broken, and all is cheap.
load: {arrivals_per_s: 100}
phases:
  - {name: baseline, lasts: 30s}
"""
BUDGETED = '[[objectives]]\nsli = "processor"\nover = "5ms"\nmax = "20%"'
RUNS_ALREADY, STARTED = 'external = "http://127.0.0.1:80"', 'app = "shop:app"'


def plan(folder, *, subject, objectives="", own=""):
    (folder / "readiness.toml").write_text(SETTINGS.format(subject=subject, objectives=objectives))
    source = source_of(STORY + own, folder / "calm.yaml")
    return plan_of(source, settings_of(folder), profile="quick", seed=1)


@pytest.mark.parametrize(
    ("told", "place"),
    [
        pytest.param({"own": "objectives: [{sli: processor, over: 5ms, max: 20%}]\n"}, "calm.yaml:6: objectives[0].sli", id="its own"),
        pytest.param({"objectives": BUDGETED}, "calm.yaml", id="that of every scenario"),
    ],
)  # fmt: skip
def test_a_budget_of_what_runs_already_is_refused_by_name(tmp_path, told, place):
    """Its processes are somebody else's, and may be anywhere; what is started here has one."""
    with pytest.raises(SpecError) as refused:
        plan(tmp_path, subject=RUNS_ALREADY, **told)

    assert refused.value.what.startswith("`processor (over 5ms an answer) < 20%` is about processes of the service,")
    assert place in refused.value.where
    assert plan(tmp_path, subject=STARTED, **told).claims == 2
    assert plan(tmp_path, subject=RUNS_ALREADY).claims == 1
