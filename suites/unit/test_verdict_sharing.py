"""When a story may begin where another one ended, what is left out of it then, and what is judged of the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from harness.evidence.documents import verdict_text
from harness.evidence.folder import EvidenceFolder
from harness.evidence.redaction import NO_SECRETS
from harness.evidence.store import read_history, write_history
from harness.history.marks import Beginning
from harness.report.formatting import beginning_of, command_of
from harness.spec.clean import CleanMetric
from harness.spec.faults import DataFault, Fault, NetworkFault, ProcessFault
from harness.spec.scenario import Scenario
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from harness.verdict.sharing import (
    but_for_before,
    flows_unlike,
    kept_by,
    shortened,
    unkept_before,
    unlike_declared,
    vouched_for,
    why_fresh_after,
    why_fresh_always,
    why_leaves_a_trace,
    why_not_handed_on,
)
from suites.support.items import SYSTEM
from suites.support.made import Stretch, beats_of, history_of, samples_of, tally_of

SLOW = {"sli": "slow", "over": "100ms", "max": "5%"}
ERRORS = {"sli": "errors", "max": "0.1%"}
HITS = {"sli": "hits", "min": "70%"}
HURT = {"sli": "errors", "max": "1%", "during": "fault"}
BACK = {"sli": "recovery", "within": "5s"}
DOWN = {"kind": "down", "target": "redis"}


def story(name="second", *, faults=(DOWN,), **keys):
    """Return a story as it is run: a warm-up, a baseline, a fault and a recovery."""
    phases = [
        {"name": "warmup", "lasts": "4s"},
        {"name": "baseline", "lasts": "24s"},
        {"name": "fault", "lasts": "10s", "faults": list(faults)},
        {"name": "recovery", "lasts": "8s"},
    ]
    said = {
        "scenario": name, "story": "Something is broken for ten seconds.", "load": {"arrivals_per_s": 200},
        "phases": phases, "objectives": [SLOW, ERRORS, HITS, HURT, BACK],
    }  # fmt: skip
    return Scenario.model_validate({**said, **keys}).asking(SYSTEM.requests, SYSTEM.headers)


def control(**keys):
    """Return the story in which nothing is broken."""
    phases = [{"name": "warmup", "lasts": "4s"}, {"name": "baseline", "lasts": "28s"}]
    return story("first", faults=(), **{"phases": phases, "objectives": [SLOW, ERRORS, HITS], **keys})


WELL = (Stretch(lasts_s=4, per_s=200), Stretch(lasts_s=28, per_s=200))


def first():
    """Return the story that a stack was started for, and its verdict."""
    scenario = control()
    verdict = judge(scenario, history_of(scenario, WELL), confidence=0.95)
    assert verdict.outcome is Outcome.PASS, verdict.sentence
    return scenario, verdict


BEGINNING = Beginning(after=("first",), kept=("pass: slow", "pass: errors", "pass: hits"), seen=("5 of 5 are ready",))


def lived(scenario, *, look=None, hurt=None, beginning=BEGINNING):
    """Return the history of a shortened story, 200 requests a second, all of them well but for what is said."""
    parts = [Stretch(lasts_s=phase.lasts, per_s=200) for phase in scenario.phases]
    parts[1], parts[2] = look or parts[1], hurt or parts[2]
    samples = samples_of(parts)
    return history_of(
        scenario, parts, beginning=beginning, samples=samples, tally=tally_of(samples),
        heartbeats=beats_of(samples, scenario.lasts_s),
    )  # fmt: skip


def met(verdict):
    return {each.name: each for each in verdict.obligations}


def test_of_the_baseline_there_remains_a_look_in_which_one_bad_request_is_no_break():
    """1000 requests are the limit of 0.1 %, and arrivals are random: 1.2 times as many, six seconds at 200/s."""
    short = shortened(story())

    assert [(phase.name, phase.lasts) for phase in short.phases] == [
        ("warmup", 4), ("baseline", pytest.approx(6.0)), ("fault", 10), ("recovery", 8),
    ]  # fmt: skip
    assert short.objectives == story().objectives


@pytest.mark.parametrize(
    ("promised", "lasts_s"),
    [
        pytest.param([SLOW], 3.0, id="never less than three seconds"),
        pytest.param([HITS], 3.0, id="a floor is not broken by one request"),
        pytest.param([SLOW | {"after": "5s"}], 8.0, id="what is not counted is no part of the look"),
        pytest.param([ERRORS | {"of": "write"}], 24.0, id="never more than the phase itself"),
    ],
)
def test_a_look_is_as_long_as_its_promises_need(promised, lasts_s):
    assert shortened(story(objectives=[*promised, HURT, BACK])).phases[1].lasts == pytest.approx(lasts_s)


def test_only_what_comes_after_the_look_is_judged_and_counted():
    """The promises of the baseline are another story's to prove, and no part of what may be chance."""
    short = shortened(story())

    verdict = judge(short, lived(short), confidence=0.95)

    assert [(claim.sli, claim.phase) for claim in verdict.claims] == [("errors", "fault"), ("recovery", "recovery")]
    assert (verdict.outcome, verdict.family, verdict.sentence) == (Outcome.PASS, 1, "pass: 2 objectives kept")
    assert met(verdict)["promises kept before the fault"].sentence == "as first proved of 3, and still in a look of 6s"
    assert met(verdict)["a clean beginning"].sentence == "where first ended: 5 of 5 are ready"
    assert vouched_for(short, lived(short)) == {"baseline"}
    assert vouched_for(short, lived(short, beginning=None)) == set()


@pytest.mark.parametrize(
    ("look", "said"),
    [
        pytest.param(Stretch(lasts_s=6, per_s=200, failed=2), "`errors < 0.1%` was not, during baseline: 2 of 1200", id="errors"),
        pytest.param(Stretch(lasts_s=6, per_s=200, slow=70), "`slow (over 100ms) < 5%` was not, during baseline: 70 of 1200", id="slow"),
        pytest.param(Stretch(lasts_s=6, per_s=200, misses=500), "`hits > 70%`", id="caches"),
    ],
)  # fmt: skip
def test_a_look_that_sees_something_broken_is_never_a_pass(look, said):
    """However well the service then took the fault."""
    short = shortened(story())
    history = lived(short, look=look)

    verdict = judge(short, history, confidence=0.95)

    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert said in met(verdict)["promises kept before the fault"].sentence
    assert said in unkept_before(short, history)[0]


def test_one_bad_request_in_the_look_is_no_unclean_state():
    short = shortened(story())

    assert unkept_before(short, lived(short, look=Stretch(lasts_s=6, per_s=200, failed=1))) == ()


def test_a_beginning_that_says_nothing_of_what_was_proved_is_none():
    """Evidence that another tool wrote, or that was cut: without a witness the time before the fault is unknown."""
    short = shortened(story())

    verdict = judge(short, lived(short, beginning=replace(BEGINNING, kept=())), confidence=0.95)

    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "nothing is said of what first proved" in verdict.sentence


def test_what_is_broken_after_the_look_fails_as_it_would_on_a_fresh_stack():
    """The same requests in the fault's phase, judged both ways, with the same bounds."""
    whole, short = story(), shortened(story())
    hurt = Stretch(lasts_s=10, per_s=200, failed=120)
    parts = [Stretch(lasts_s=phase.lasts, per_s=200) for phase in whole.phases]
    alone = judge(whole, history_of(whole, [*parts[:2], hurt, parts[3]]), confidence=0.95, family=4)

    shared = judge(short, lived(short, hurt=hurt), confidence=0.95, family=4)

    assert shared.outcome is alone.outcome is Outcome.FAIL
    assert [each for each in shared.claims if each.phase == "fault"] == [
        each for each in alone.claims if each.phase == "fault"
    ]


def test_a_fresh_stack_is_judged_as_ever_and_says_why():
    whole = story()
    parts = [Stretch(lasts_s=phase.lasts, per_s=200) for phase in whole.phases]
    fresh = Beginning(why_fresh="first does not hand on its stack: its verdict is fail")

    alone = judge(whole, history_of(whole, parts), confidence=0.95)
    told = judge(whole, history_of(whole, parts, beginning=fresh), confidence=0.95)

    assert told.claims == alone.claims
    assert met(told).pop("a clean beginning").sentence == (
        "a fresh stack, because first does not hand on its stack: its verdict is fail"
    )
    assert [each for each in told.obligations if each.name != "a clean beginning"] == list(alone.obligations)
    assert "a clean beginning" not in met(alone)


def test_judged_again_from_its_evidence_it_says_the_same(tmp_path):
    """To the byte: what vouches for the time before is a part of the history; one on its own says nothing new."""
    short = shortened(story())
    history = lived(short)
    write_history(history, EvidenceFolder(tmp_path, NO_SECRETS))

    again = read_history(tmp_path)

    assert again.beginning == BEGINNING
    assert verdict_text(judge(short, again, confidence=0.95)) == verdict_text(judge(short, history, confidence=0.95))
    write_history(replace(history, beginning=None), EvidenceFolder(tmp_path, NO_SECRETS))
    assert '"beginning"' not in (tmp_path / "history.json").read_text()
    assert read_history(tmp_path).beginning is None


PHASES = [phase.model_dump(mode="json") for phase in story().phases]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        pytest.param({}, "", id="a story as most are"),
        pytest.param({"environment": {"LIMIT": "1"}}, "it tells the service LIMIT", id="environment"),
        pytest.param({"standbys": {"redis": "asynchronous"}}, "it has a standby of redis", id="a standby"),
        pytest.param({"faults": ({"kind": "disk-full", "target": "postgres"},)}, "it has a disk of its own for postgres", id="a disk"),
        pytest.param({"faults": ()}, "nothing is broken in it", id="the control"),
        pytest.param(
            {"load": {"arrivals_per_s": 10, "schedule": {"kind": "ramp", "to_per_s": 20, "over": "4s"}}, "objectives": [SLOW]},
            "its schedule 'ramp'", id="a schedule of its own length",
        ),
        pytest.param({"objectives": [HURT, BACK]}, "of 0 phases before its first fault", id="no baseline"),
        pytest.param(
            {"objectives": [SLOW | {"during": "warmup"}, ERRORS, HURT, BACK]}, "of 2 phases before its first fault", id="two",
        ),
        pytest.param(
            {"sometimes": [{"kind": "answered", "by": "l1", "during": "warmup"}]}, "a point must be reached", id="a point",
        ),
    ],
)  # fmt: skip
def test_which_stories_can_begin_where_another_ended(keys, said):
    why = why_fresh_always(story(**keys))

    assert said in why
    assert bool(why) is bool(said)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        pytest.param({}, "", id="the same"),
        pytest.param({"load": {"arrivals_per_s": 200, "keys": {"count": 7}}}, "", id="other keys"),
        pytest.param({"load": {"arrivals_per_s": 201}}, "its load is another one than that of first", id="another rate"),
        pytest.param(
            {"objectives": [SLOW | {"max": "4%"}, HURT, BACK]}, "first has not proved `slow (over 100ms) < 4%`", id="more",
        ),
        pytest.param({"objectives": [SLOW | {"max": "6%"}, HURT, BACK]}, "has not proved", id="less is another promise"),
        pytest.param({"objectives": [SLOW, HURT, BACK]}, "", id="fewer"),
    ],
)  # fmt: skip
def test_on_what_a_story_can_rest(keys, said):
    why = why_fresh_after(story(**keys), *first())

    assert said in why
    assert bool(why) is bool(said)


def test_a_promise_that_the_first_story_did_not_keep_is_not_proved():
    scenario, _ = first()
    history = history_of(scenario, (WELL[0], Stretch(lasts_s=28, per_s=200, slow=280)))
    verdict = judge(scenario, history, confidence=0.95)

    assert "`slow (over 100ms) < 5%`" in why_fresh_after(story(), scenario, verdict)


def ended(scenario, **changes):
    """Return the verdict of a story on a fresh stack in which all went well."""
    parts = [Stretch(lasts_s=phase.lasts, per_s=200) for phase in scenario.phases]
    return replace(judge(scenario, history_of(scenario, parts), confidence=0.95), **changes)


@pytest.mark.parametrize("outcome", [each for each in Outcome if each is not Outcome.PASS])
def test_only_a_story_that_passed_hands_on_its_stack(outcome):
    """Also what could not be told is no clean state."""
    assert why_not_handed_on(story(), ended(story())) == ""
    assert why_not_handed_on(story(), ended(story(), outcome=outcome)) == f"its verdict is {outcome}"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        pytest.param({"environment": {"LIMIT": "1"}}, "it tells the service LIMIT", id="environment"),
        pytest.param({"standbys": {"redis": "asynchronous"}}, "it has a standby of redis", id="a standby"),
        pytest.param({"faults": ({"kind": "disk-full", "target": "postgres"},)}, "it has a disk of its own for postgres", id="a disk"),
        pytest.param({"faults": ({"kind": "kill", "target": "redis"},)}, "`redis killed` may leave", id="a trace"),
        pytest.param(
            {"phases": [*PHASES, {"name": "after", "lasts": "3s"}]}, "recovery is not promised of its last phase, after",
            id="what comes after recovery",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_another_storys_beginning(keys, said):
    scenario = story(**keys)

    assert said in why_not_handed_on(scenario, ended(scenario, outcome=Outcome.PASS))


def test_the_control_hands_on_its_stack_where_it_promises_something_of_its_end():
    scenario, verdict = first()
    assert why_not_handed_on(scenario, verdict) == ""

    longer = control(
        phases=[*[phase.model_dump(mode="json") for phase in scenario.phases], {"name": "end", "lasts": "3s"}]
    )
    assert why_not_handed_on(longer, ended(longer)) == "nothing is promised of its last phase, end"


TRACELESS = {
    "down", "latency", "blackhole", "reset", "bandwidth", "slicer", "limit-data", "connect-blackhole", "pause",
    "pause-clients", "lock",
}  # fmt: skip


def test_a_kind_of_fault_that_says_nothing_leaves_a_trace():
    """Each new kind does, until somebody has looked at what is there when it is over."""
    kinds = {get_args(each.model_fields["kind"].annotation)[0]: each for each in get_args(get_args(Fault)[0])}

    assert {word for word, kind in kinds.items() if not kind.leaves_trace} == TRACELESS
    assert {
        "kill",
        "restart",
        "flush",
        "evict",
        "read-only",
        "half-open",
        "stale-connections",
    } <= kinds.keys() - TRACELESS
    assert {NetworkFault, ProcessFault, DataFault}


def test_one_fault_of_many_that_leaves_a_trace_is_enough():
    assert "`redis flushed`" in why_leaves_a_trace(story(faults=(DOWN, {"kind": "flush", "target": "redis"})))
    assert why_leaves_a_trace(story()) == ""


BEFORE = {"replica-1.redis": 1000.0, "replica-2.redis": 1000.0, "replica-1.mail": 0.0}


def test_an_edge_carries_again_at_least_half_of_what_it_did():
    """Less is a pool that stayed empty, or a breaker that lets its probes through; an edge that was idle may stay so."""

    def unlike(**after):
        edges = {f"{name.replace('_', '-')}.redis": per_s for name, per_s in after.items()}
        return flows_unlike(story(), {"baseline": BEFORE, "recovery": edges})

    assert unlike(replica_1=500.0, replica_2=4000.0) == ()
    assert unlike(replica_1=499.0, replica_2=1000.0) == (
        "replica-1.redis carries 499 bytes a second, of 1000 before the fault",
    )
    assert len(unlike()) == 2


@pytest.mark.parametrize(
    "flows", [{}, {"baseline": BEFORE}, {"recovery": BEFORE}, {"warmup": BEFORE, "recovery": BEFORE}]
)
def test_what_was_not_counted_is_not_known_to_flow(flows):
    """But where nothing was broken, nothing had to come back."""
    assert flows_unlike(story(), flows) == ("what is sent on the edges was not counted",)
    assert flows_unlike(control(), flows) == ()


CLEAN = (CleanMetric(metric="trips", at_most=0), CleanMetric(metric="hears", at_least=1))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param({"replica-1": (0, 1), "replica-2": (0, 1)}, (), id="all is as declared"),
        pytest.param({"replica-1": (0, 1), "replica-2": (3, 1)}, ("replica-2 says 3 where `trips ≤ 0` is clean",), id="one"),
        pytest.param(
            {"replica-1": (0.5, None)},
            ("replica-1 says 0.5 where `trips ≤ 0` is clean", "replica-1 says nothing where `hears ≥ 1` is clean"),
            id="silence is no sign of a clean one",
        ),
        pytest.param(
            {"replica-1": (None, 1), "replica-2": (None, 1)},
            tuple(f"replica-{number} says nothing where `trips ≤ 0` is clean" for number in (1, 2)),
            id="each replica is told",
        ),
    ],
)  # fmt: skip
def test_a_replica_says_what_is_declared_clean_or_ends_the_stack(said, told):
    assert unlike_declared(CLEAN, said) == told


def test_where_nothing_is_declared_nothing_is_unlike_it():
    assert unlike_declared((), {"replica-1": ()}) == ()


def test_the_command_of_a_story_runs_those_before_it_as_well():
    """Alone it would be another experiment: with a baseline, and on a fresh stack."""
    short = shortened(story())

    assert command_of("second", lived(short)).startswith("readiness run first second --seed 7")
    assert command_of("second", lived(short)).endswith("--shared-stack")
    assert command_of("second", lived(short, beginning=None)).endswith("--backend embedded")


def test_a_report_says_on_what_a_story_began():
    short = shortened(story())

    assert beginning_of(lived(short)) == "It began where first ended: 5 of 5 are ready."
    assert beginning_of(lived(short, beginning=Beginning())) == "It began on a fresh stack."
    assert beginning_of(lived(short, beginning=Beginning(why_fresh="so"))) == "It began on a fresh stack, because so."
    assert beginning_of(lived(short, beginning=None)) == ""


def test_what_is_looked_at_while_the_story_lasts_is_what_is_judged():
    """A look that were taken for a whole baseline would be open for ever, and be made longer."""
    assert [each.during for each in but_for_before(story()).objectives] == ["fault", "recovery"]


def test_what_the_first_story_proved_is_handed_on_in_its_own_words():
    scenario, verdict = first()

    assert kept_by(scenario, verdict) == tuple(claim.sentence for claim in verdict.claims)
    assert len(kept_by(story(), ended(story()))) == 3
