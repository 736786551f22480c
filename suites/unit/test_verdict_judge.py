"""The judge says pass only with proof, fail only with proof, and shows its numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.history.failures import Failure
from harness.history.marks import Dose, PhaseMark
from harness.history.samples import SampleOutcome
from harness.verdict.holm import p_value
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome, worst
from suites.support.made import OPERATIONS, Stretch, history_of, scenario_of, tally_of

ERRORS = {"sli": "errors", "max": "0.1%"}
SLOW = {"sli": "slow", "over": "100ms", "max": "5%"}
HITS = {"sli": "hits", "min": "70%"}
RECOVERY = {"sli": "recovery", "within": "5s"}


def claim(objective, *stretches):
    scenario = scenario_of(faults=False, objectives=[objective])
    verdict = judge(scenario, history_of(scenario, stretches), confidence=0.95)
    return verdict.claims[0]


@pytest.mark.parametrize(
    ("objective", "stretch", "outcome"),
    [
        pytest.param(ERRORS, Stretch(lasts_s=30, per_s=100), Outcome.PASS, id="3000 without an error are enough"),
        pytest.param(ERRORS, Stretch(lasts_s=29.94, per_s=100), Outcome.INCONCLUSIVE, id="2994 are one too few"),
        pytest.param(ERRORS, Stretch(lasts_s=30, per_s=100, failed=1), Outcome.INCONCLUSIVE, id="one error needs 4742"),
        pytest.param(ERRORS, Stretch(lasts_s=30, per_s=100, failed=20), Outcome.FAIL, id="0.67 % is proof"),
        pytest.param(ERRORS, Stretch(lasts_s=30, per_s=100, unfinished=20), Outcome.FAIL, id="unfinished are errors"),
        pytest.param(SLOW, Stretch(lasts_s=1, per_s=59), Outcome.PASS, id="59 fast ones are enough"),
        pytest.param(SLOW, Stretch(lasts_s=1, per_s=58), Outcome.INCONCLUSIVE, id="58 are one too few"),
        pytest.param(SLOW, Stretch(lasts_s=30, per_s=100, slow=150), Outcome.INCONCLUSIVE, id="exactly at the limit"),
        pytest.param(SLOW, Stretch(lasts_s=30, per_s=100, slow=200), Outcome.FAIL, id="6.7 % slow"),
        pytest.param(SLOW, Stretch(lasts_s=30, per_s=100, failed=200), Outcome.FAIL, id="failing fast is not fast"),
        pytest.param(HITS, Stretch(lasts_s=10, per_s=100, misses=200), Outcome.PASS, id="80 % hits"),
        pytest.param(HITS, Stretch(lasts_s=10, per_s=100, misses=300), Outcome.INCONCLUSIVE, id="70 % hits"),
        pytest.param(HITS, Stretch(lasts_s=10, per_s=100, misses=400), Outcome.FAIL, id="60 % hits"),
        pytest.param(HITS, Stretch(lasts_s=10, per_s=100, failed=400), Outcome.FAIL, id="no answer is no hit"),
        pytest.param(HITS, Stretch(lasts_s=0), Outcome.INCONCLUSIVE, id="no requests, hits"),
        pytest.param(SLOW, Stretch(lasts_s=0), Outcome.INCONCLUSIVE, id="no requests, slow"),
    ],
)
def test_a_ratio_is_judged_by_its_whole_bound(objective, stretch, outcome):
    """Point estimates decide nothing; the exact one-sided bound does."""
    assert claim(objective, stretch).outcome is outcome


def says_no_level(history):
    samples = history.samples
    samples.records["source"] = 0
    return replace(history, samples=replace(samples, sources=("",)))


def test_hits_are_unknown_where_no_answer_said_where_it_came_from():
    """That a service says nothing of its cache is no miss; one answer that does makes misses of the others."""
    scenario = scenario_of(faults=False, objectives=[ERRORS, HITS])
    history = says_no_level(history_of(scenario, [Stretch(lasts_s=30)]))

    errors, hits = judge(scenario, history, confidence=0.95).claims

    assert errors.outcome is Outcome.PASS
    assert (hits.outcome, hits.estimate, hits.total, hits.p_value) == (Outcome.INCONCLUSIVE, None, 0, None)
    assert (
        hits.sentence
        == "inconclusive: hits unknown during baseline; no answer said where it came from, in the header that system.headers.cache of readiness.toml names"
    )
    named = replace(history, samples=replace(history.samples, sources=("", "l1")))
    assert judge(scenario, named, confidence=0.95).claims[1].outcome is Outcome.FAIL


def test_a_second_in_which_no_answer_says_where_it_came_from_is_no_bad_one():
    """Where hits are all that was promised no second is good or bad; beside errors, these decide."""
    stretches = [Stretch(lasts_s=30), Stretch(lasts_s=10), Stretch(lasts_s=10)]
    for promised, outcome in (([ERRORS, HITS], Outcome.PASS), ([HITS], Outcome.INCONCLUSIVE)):
        scenario = scenario_of(objectives=[*promised, RECOVERY])
        history = says_no_level(history_of(scenario, stretches))

        assert judge(scenario, history, confidence=0.95).claims[-1].outcome is outcome


def test_a_sentence_holds_the_numbers():
    """Estimate, bounds, limit, phase with its fault, and sample size: enough to check it by hand."""
    scenario = scenario_of(objectives=[{**SLOW, "during": "fault"}])
    stretches = [Stretch(lasts_s=30), Stretch(lasts_s=10, per_s=612, slow=483), Stretch(lasts_s=10)]

    verdict = judge(scenario, history_of(scenario, stretches), confidence=0.95)

    assert verdict.claims[0].sentence == "fail: slow 7.9 % [7.3, 8.5] > 5 % during fault (redis down); n = 6 120"
    assert verdict.sentence == verdict.claims[0].sentence


def test_short_evidence_says_how_much_would_do():
    """An inconclusive gate tells what to change."""
    said = claim(ERRORS, Stretch(lasts_s=12, per_s=100)).sentence

    assert said.startswith("inconclusive: errors 0.000 % [0.000, 0.249] vs 0.1 % during baseline; n = 1 200")
    assert said.endswith("2 995 would prove it with 0 such")


@pytest.mark.parametrize(
    ("after", "outcome", "seconds"),
    [
        pytest.param([Stretch(lasts_s=10)], Outcome.PASS, 0.0, id="at once"),
        pytest.param([Stretch(lasts_s=3, failed=300), Stretch(lasts_s=7)], Outcome.PASS, 3.0, id="after three seconds"),
        pytest.param([Stretch(lasts_s=6, slow=1500), Stretch(lasts_s=4)], Outcome.FAIL, 6.0, id="too late"),
        pytest.param([Stretch(lasts_s=9), Stretch(lasts_s=1, failed=50)], Outcome.FAIL, 10.0, id="a late relapse"),
        pytest.param([Stretch(lasts_s=10, unfinished=2500)], Outcome.FAIL, 10.0, id="never"),
        pytest.param([Stretch(lasts_s=10, per_s=0)], Outcome.INCONCLUSIVE, None, id="nobody asked"),
        pytest.param(
            [Stretch(lasts_s=4), Stretch(lasts_s=5, per_s=0), Stretch(lasts_s=1)], Outcome.INCONCLUSIVE, 9.0, id="nobody asked for a while"
        ),
    ],
)  # fmt: skip
def test_recovery_lasts_until_the_last_bad_second(after, outcome, seconds):
    """Not until the first good one."""
    scenario = scenario_of(objectives=[ERRORS, SLOW, RECOVERY])
    history = history_of(scenario, [Stretch(lasts_s=30), Stretch(lasts_s=10), *after])

    recovery = judge(scenario, history, confidence=0.95).claims[2]

    assert (recovery.outcome, recovery.estimate) == (outcome, seconds)
    assert ("metastable" in recovery.sentence) == (outcome is Outcome.FAIL)


@pytest.mark.parametrize(
    ("controls_s", "outcome", "said"),
    [
        pytest.param((0.001,) * 10, Outcome.FAIL, "metastable", id="the machine was well"),
        pytest.param((0.3,) * 10, Outcome.INCONCLUSIVE, "the control broke as well", id="the machine was slow too"),
        pytest.param((), Outcome.INCONCLUSIVE, "the control broke as well", id="the control was not heard"),
    ],
)
def test_a_machine_that_does_not_recover_is_no_metastable_service(controls_s, outcome, said):
    """Slow to the end: the service's doing only where a server that does nothing was fast meanwhile."""
    scenario = scenario_of(objectives=[SLOW, RECOVERY])
    history = history_of(scenario, [Stretch(lasts_s=40), Stretch(lasts_s=10, slow=2500)])
    beats = tuple(replace(beat, controls_s=controls_s) if beat.at_s > 40.5 else beat for beat in history.heartbeats)

    verdict = judge(scenario, replace(history, heartbeats=beats), confidence=0.95)

    assert (verdict.outcome, verdict.claims[1].outcome) == (outcome, outcome)
    assert said in verdict.claims[1].sentence
    (control,) = [each for each in verdict.obligations if each.name == "control held"]
    assert control.outcome is (Outcome.PASS if outcome is Outcome.FAIL else Outcome.INCONCLUSIVE)


def test_errors_are_not_excused_by_a_slow_machine():
    """The control was slow, and still answered: it broke another promise than the service did."""
    scenario = scenario_of(objectives=[ERRORS, SLOW, RECOVERY])
    history = history_of(scenario, [Stretch(lasts_s=40), Stretch(lasts_s=10, failed=2500)])
    beats = tuple(replace(beat, controls_s=(0.3,) * 10) if beat.at_s > 40.5 else beat for beat in history.heartbeats)

    assert judge(scenario, replace(history, heartbeats=beats), confidence=0.95).claims[2].outcome is Outcome.FAIL


def test_recovery_that_could_not_be_watched_is_not_seen():
    """Healing that eats the recovery phase leaves no proof of staying well."""
    scenario = scenario_of(objectives=[ERRORS, RECOVERY])
    history = history_of(scenario, [Stretch(lasts_s=50)])
    late = replace(history, faults=(replace(history.faults[0], healed_s=46.0),))

    assert judge(scenario, late, confidence=0.95).claims[1].outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("healed_s", "outcome"),
    [
        pytest.param(44.0, Outcome.FAIL, id="a whole second was seen that came too late"),
        pytest.param(44.1, Outcome.INCONCLUSIVE, id="all seconds that were seen were in time"),
        pytest.param(45.0, Outcome.INCONCLUSIVE, id="watched for just as long as was allowed"),
    ],
)
def test_who_never_comes_back_passes_at_no_moment_of_healing(healed_s, outcome):
    """Six seconds after healing show that five were not enough; with less, a dead service would have been in time."""
    scenario = scenario_of(objectives=[ERRORS, RECOVERY])
    history = history_of(scenario, [Stretch(lasts_s=30), Stretch(lasts_s=20, failed=5000)])
    late = replace(history, faults=(replace(history.faults[0], healed_s=healed_s),))

    assert judge(scenario, late, confidence=0.95).claims[1].outcome is outcome


GOOD = [Stretch(lasts_s=50)]
UNSEEN = Dose(at_s=31.0, is_delivered=False, seen="replica-1.redis still answers")


def broken(change):
    scenario = scenario_of(objectives=[ERRORS, RECOVERY])
    return judge(scenario, change(history_of(scenario, GOOD)), confidence=0.95)


def test_a_good_run_passes():
    """The starting point of the traps below, each of which changes one thing."""
    assert broken(lambda history: history).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("change", "outcome", "said"),
    [
        pytest.param(lambda h: replace(h, failures=(Failure(kind="stack", what="the proxy died"),)), Outcome.ERROR, "the proxy died", id="failure"),
        pytest.param(lambda h: replace(h, tally=None), Outcome.ERROR, "never gave its count", id="dead load child"),
        pytest.param(lambda h: replace(h, samples=h.samples.between(0, 40)), Outcome.ERROR, "went missing", id="lost samples"),
        pytest.param(lambda h: replace(h, tally=replace(h.tally, ok=1)), Outcome.ERROR, "went missing", id="lost count"),
        pytest.param(lambda h: replace(h, faults=()), Outcome.INCONCLUSIVE, "never injected", id="no fault"),
        pytest.param(
            lambda h: replace(h, faults=(replace(h.faults[0], doses=()),)), Outcome.INCONCLUSIVE, "not looked at", id="no look"
        ),
        pytest.param(
            lambda h: replace(h, faults=(replace(h.faults[0], doses=(h.faults[0].doses[0], UNSEEN)),)),
            Outcome.INCONCLUSIVE,
            "still answers",
            id="dose gone before the end",
        ),
        pytest.param(
            lambda h: replace(h, faults=(replace(h.faults[0], healed_s=None),)), Outcome.INCONCLUSIVE, "never healed", id="unhealed"
        ),
        pytest.param(
            lambda h: replace(h, faults=(replace(h.faults[0], id="fault-2"),)), Outcome.INCONCLUSIVE, "never injected", id="another fault"
        ),
        pytest.param(
            lambda h: replace(h, faults=(replace(h.faults[0], before_bytes=0),)),
            Outcome.INCONCLUSIVE,
            "not one byte on these paths before",
            id="a path that nobody uses",
        ),
        pytest.param(
            lambda h: replace(h, faults=(replace(h.faults[0], before_bytes=None),)), Outcome.INCONCLUSIVE, "was not counted", id="uncounted"
        ),
        pytest.param(
            lambda h: replace(h, faults=(replace(h.faults[0], injected_s=38.0),)),
            Outcome.INCONCLUSIVE,
            "8.0 s after its window of 10 s had begun",
            id="a fault that came when its phase was nearly over",
        ),
        pytest.param(lambda h: replace(h, phases=h.phases[:2]), Outcome.INCONCLUSIVE, "never reached", id="cut short"),
        pytest.param(
            lambda h: replace(h, phases=(h.phases[0], PhaseMark(name="fault", began_s=30, ended_s=34), h.phases[2])),
            Outcome.INCONCLUSIVE,
            "cut short: 4.0 s of 10 s",
            id="phase cut short",
        ),
        pytest.param(
            lambda h: replace(h, samples=h.samples.between(0, 0), tally=replace(h.tally, issued=0, ok=0)),
            Outcome.INCONCLUSIVE,
            "not one request",
            id="no request",
        ),
    ],
)  # fmt: skip
def test_missing_evidence_is_never_a_pass(change, outcome, said):
    """Each way to lose the evidence has its own sentence."""
    verdict = broken(change)

    assert verdict.outcome is outcome
    assert said in verdict.sentence


@pytest.mark.parametrize(
    ("target", "told", "outcome"),
    [
        pytest.param("subject", ("", "api-1"), Outcome.PASS, id="what every request meets"),
        pytest.param("api-1", ("", "api-1"), Outcome.PASS, id="what answers named"),
        pytest.param("api-1", ("", "api-2"), Outcome.INCONCLUSIVE, id="what no answer named"),
    ],
)
def test_the_load_needs_what_was_not_counted_where_its_answers_say_so(target, told, outcome):
    """No edge leads to a process elsewhere; that it had answered something by then shows as much."""

    def uncounted(history):
        mark = replace(history.faults[0], before_bytes=None, target=target)
        return replace(history, faults=(mark,), samples=replace(history.samples, replicas=told))

    assert broken(uncounted).outcome is outcome


def test_what_answered_only_after_the_fault_began_shows_no_need():
    """By then it is another process that answers."""

    def answered_late(history):
        mark = replace(history.faults[0], before_bytes=None, target="subject", injected_s=0.001)
        return replace(history, faults=(mark,))

    assert "no answer named subject before" in " ".join(each.sentence for each in broken(answered_late).obligations)


def test_a_scenario_without_objectives_is_an_error():
    """Who promises nothing has proved nothing."""
    scenario = scenario_of(faults=False)

    assert judge(scenario, history_of(scenario, GOOD), confidence=0.95).outcome is Outcome.ERROR


def test_failing_outweighs_missing_evidence():
    """A broken promise stays broken, whatever else is unknown."""
    scenario = scenario_of(objectives=[ERRORS])
    history = history_of(scenario, [Stretch(lasts_s=30, failed=500), Stretch(lasts_s=20)], faults=())

    assert judge(scenario, history, confidence=0.95).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], Outcome.INCONCLUSIVE),
        ([Outcome.PASS], Outcome.PASS),
        ([Outcome.PASS, Outcome.INCONCLUSIVE], Outcome.INCONCLUSIVE),
        ([Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS], Outcome.FAIL),
        ([Outcome.ERROR, Outcome.FAIL], Outcome.ERROR),
    ],
)
def test_the_worst_outcome_wins(outcomes, expected):
    """Pass < inconclusive < fail < error; of nothing nothing is known."""
    assert worst(outcomes) is expected
    assert [outcome.exit_code for outcome in Outcome] == [0, 2, 1, 3]


def test_seconds_that_a_promise_allows_are_no_outage():
    """Half of all may be slow, and 51 % were in each of ten seconds: the bounds decide, and they do not know."""
    scenario = scenario_of(faults=False, objectives=[{"sli": "slow", "over": "100ms", "max": "50%"}])
    history = history_of(scenario, [Stretch(lasts_s=30, per_s=20, slow=306)])

    (claim,) = judge(scenario, history, confidence=0.95).claims

    assert claim.outcome is Outcome.INCONCLUSIVE
    assert "outage" not in claim.sentence


@pytest.mark.parametrize(
    ("lasts_s", "outcome", "said"),
    [
        pytest.param(4, Outcome.INCONCLUSIVE, "worth 8 independent ones", id="four seconds may be bad luck"),
        pytest.param(5, Outcome.FAIL, ", with an outage of 5 s", id="five are the rule"),
        pytest.param(6, Outcome.FAIL, ", with an outage of 6 s", id="six are not"),
    ],
)
def test_an_outage_needs_no_bounds(lasts_s, outcome, said):
    """It is worth a request or two, and yet nobody would call it unclear."""
    scenario = scenario_of(faults=False, objectives=[{"sli": "errors", "max": "10%"}])
    up, out, up_again = (
        Stretch(lasts_s=10),
        Stretch(lasts_s=lasts_s, failed=lasts_s * 250),
        Stretch(lasts_s=20 - lasts_s),
    )

    (claim,) = judge(scenario, history_of(scenario, [up, out, up_again]), confidence=0.95).claims

    assert claim.outcome is outcome
    assert said in claim.sentence


@pytest.mark.parametrize(
    ("spared", "outcome"),
    [
        pytest.param(0, Outcome.FAIL, id="half of each second"),
        pytest.param(1, Outcome.INCONCLUSIVE, id="one less in the middle one"),
    ],
)
def test_a_second_is_out_when_half_of_its_requests_are_bad(spared, outcome):
    """Five seconds in a row, every other request."""
    scenario = scenario_of(faults=False, objectives=[{"sli": "errors", "max": "7%"}])
    history = history_of(scenario, [Stretch(lasts_s=30)])
    records = history.samples.records
    records["outcome"][10 * 250 : 15 * 250 : 2] = SampleOutcome.FAILED
    records["outcome"][12 * 250 : 12 * 250 + spared] = SampleOutcome.OK

    (claim,) = judge(scenario, replace(history, tally=tally_of(history.samples)), confidence=0.95).claims

    assert claim.outcome is outcome
    assert ("an outage of 5 s" in claim.sentence) is (outcome is Outcome.FAIL)


@pytest.mark.parametrize("objective", [ERRORS, SLOW], ids=["errors", "slow"])
def test_what_was_never_sent_is_a_failure_of_the_service_that_held_every_seat(objective):
    """Its users waited for it all the same; and it is no hit."""
    scenario = scenario_of(faults=False, objectives=[objective, HITS])
    history = history_of(scenario, [Stretch(lasts_s=30)])
    records = history.samples.records
    records["outcome"][::2], records["sent_s"][::2], records["latency_s"][::2] = SampleOutcome.NOT_SENT, np.nan, 0.001

    broken, hits = judge(scenario, replace(history, tally=tally_of(history.samples)), confidence=0.95).claims

    assert (broken.outcome, broken.events) == (Outcome.FAIL, 3750)
    assert (hits.outcome, hits.estimate) == (Outcome.FAIL, 0.5)


def test_a_p_value_is_that_of_the_independent_requests():
    """A burst of four seconds is worth a request or two; taken one by one, its thousand would be beyond any chance."""
    scenario = scenario_of(faults=False, objectives=[{"sli": "errors", "max": "10%"}])
    burst = [Stretch(lasts_s=10), Stretch(lasts_s=4, failed=1000), Stretch(lasts_s=16)]

    (claim,) = judge(scenario, history_of(scenario, burst), confidence=0.95).claims
    (objective,) = scenario.objectives

    worth = claim.effective * claim.events / claim.total
    assert claim.p_value == pytest.approx(p_value(objective, worth, claim.effective), rel=0.05)
    assert p_value(objective, claim.events, claim.total) < 1e-9
    assert claim.p_value > 0.05


def test_an_outage_that_was_promised_to_be_bearable_is():
    """Half a minute of outages within a promise of half of all requests keeps the promise, as far as one can say."""
    scenario = scenario_of(faults=False, objectives=[{"sli": "errors", "max": "50%"}])

    (claim,) = judge(
        scenario, history_of(scenario, [Stretch(lasts_s=22), Stretch(lasts_s=8, failed=2000)]), confidence=0.95
    ).claims

    assert claim.outcome is not Outcome.FAIL


@pytest.mark.parametrize(
    ("of", "counts", "said"),
    [
        pytest.param("raed", {}, "no requests of that name; asked were read", id="misspelt"),
        pytest.param(
            "buy",
            {"other": 6, "third": 5, "fourth": 4, "fifth": 3, "sixth": 2, "": 1},
            "no requests of that name; asked were read, other, third, fourth, fifth and 2 more",
            id="one of many",
        ),
    ],
)
def test_a_promise_about_what_nobody_asked_names_what_was_asked(of, counts, said):
    """The most frequent first, and a few of them, beside which a misspelt name is seen."""
    scenario = scenario_of(faults=False, objectives=[{**ERRORS, "of": of}])
    history = history_of(scenario, [Stretch(lasts_s=30)])
    records, names = history.samples.records, ("read", "write", *counts)
    ends = np.cumsum([*counts.values()])
    for index, (count, end) in enumerate(zip(counts.values(), ends, strict=True), start=2):
        records["operation"][np.flatnonzero(records["operation"] == 0)[end - count : end]] = index
    history = replace(history, samples=replace(history.samples, operations=names))

    assert judge(scenario, history, confidence=0.95).claims[0].sentence == (
        f"inconclusive: {of} errors unknown during baseline; {said}"
    )


def test_a_promise_about_what_was_asked_of_impatient_clients_alone_names_nothing_else():
    """It was asked, and by no others: what else there was would lead astray."""
    scenario = scenario_of(faults=False, objectives=[{**ERRORS, "of": "write"}])
    history = history_of(scenario, [Stretch(lasts_s=30)])
    records = history.samples.records
    records["operation"][::2], records["impatient"][::2] = OPERATIONS.index("write"), 1

    said = judge(scenario, history, confidence=0.95).claims[0].sentence

    assert said.startswith("inconclusive: write errors unknown during baseline; no requests beside ")
    assert "asked were" not in said


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("operations", "requests have none of the first 255 names, and are nameless here"),
        ("sources", "answers named 255 levels of a cache or more, and no others are told apart"),
        ("replicas", "answers named 255 replicas or more, and no others are told apart"),
    ],
)
@pytest.mark.parametrize("count", [255, 256])
def test_names_that_could_not_be_told_apart_are_told(column, said, count):
    """A list that is full has lost what came after; one name less, and nothing is lost."""
    scenario = scenario_of(faults=False, objectives=[ERRORS])
    history = history_of(scenario, [Stretch(lasts_s=30)])
    names = tuple(f"name {number}" if number else "" for number in range(count))
    history = replace(history, samples=replace(history.samples, **{column: names}))

    delivered = {each.name: each for each in judge(scenario, history, confidence=0.95).obligations}["load delivered"]

    assert (said in delivered.sentence) is (count == 256)
    assert delivered.outcome is Outcome.PASS
