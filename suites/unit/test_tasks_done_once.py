"""What was accepted is done in time, and once: lost, hung, without effect and done twice are four counterexamples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.history.accounts import Account, Fate
from harness.history.marks import FaultMark
from harness.measure.invariants.no_duplicate_effect import no_duplicate_effect
from harness.measure.invariants.tasks_done_once import tasks_done_once
from harness.spec.invariant import NoDuplicateEffect, TasksDoneOnce
from harness.spec.requests import ResponseHeaders
from harness.spec.scenario import Scenario
from harness.testing import check_checker
from suites.support.answers import answer, history_of, load_of

SETTLES = {
    "id": "/task",
    "path": "/tasks/{id}",
    "state": "/state",
    "done": ["done"],
    "dead": ["dead"],
    "effects": ["/items/{key}0", "/items/{key}1"],
    "count": "/version",
}
LOAD = load_of(
    {"name": "import", "method": "POST", "path": "/tasks", "body": "{key}", "settles": SETTLES},
    {
        "name": "single",
        "method": "POST",
        "path": "/single",
        "body": "{key} {unique}",
        "settles": SETTLES | {"effects": ["/of/{id}"]},
    },
    {"name": "read", "path": "/items/{key}"},
)
ONCE, SOON = TasksDoneOnce(kind="tasks-done-once"), TasksDoneOnce(kind="tasks-done-once", each="2s")
NO_DUPLICATE = NoDuplicateEffect(kind="no-duplicate-effect")
ASKED = [answer(1, 2, "import", key=7), answer(3, 4, "import", key=8), answer(5, 6, "import", key=7)]


def account(*samples, fate=Fate.DONE, effects=(1, 1), **told):
    words = {"id": f"t{samples[0]}", "state": "running" if fate is Fate.PENDING else fate.value, "asked_s": 40.0}
    return Account(samples=samples, fate=fate, effects=effects, **words | told)


def seen(*accounts, asked=ASKED, faults=()):
    return replace(history_of(LOAD, asked), accounts=accounts, faults=faults)


def killed_at(at_s):
    return FaultMark(
        id="fault-1",
        fault="worker-1 killed",
        kind="kill",
        target="worker-1",
        phase="fault",
        injected_s=at_s,
        healed_s=None,
        doses=(),
    )


@pytest.mark.parametrize(
    ("accounts", "said"),
    [
        pytest.param([], (0, 0, None), id="nothing accepted"),
        pytest.param([account(0), account(1)], (2, 0, None), id="done, each once"),
        pytest.param([account(0, fate=Fate.UNKNOWN, effects=(None, None))], (0, 0, None), id="nothing is said of it"),
        pytest.param([account(0, effects=(1, None))], (1, 0, None), id="of one effect nothing is said"),
        pytest.param([account(0, fate=Fate.DEAD, effects=(1, 0))], (1, 0, None), id="given up halfway, and kept"),
        pytest.param([account(0), account(1, fate=Fate.GONE, effects=(0, 0))], (2, 1, (1,)), id="gone"),
        pytest.param([account(0, fate=Fate.PENDING, effects=(0, 0))], (1, 1, (0,)), id="never ends"),
        pytest.param([account(0, effects=(1, 0))], (1, 1, (0,)), id="done, and one effect is missing"),
        pytest.param([account(0, effects=(2, 1))], (1, 1, (0,)), id="done twice"),
        pytest.param([account(0, fate=Fate.DEAD, effects=(2, 0))], (1, 1, (0,)), id="given up, and done twice"),
        pytest.param(
            [account(2, effects=(0, 0)), account(1, fate=Fate.GONE)], (2, 2, (1,)), id="the first to be accepted"
        ),
        pytest.param([account(0, 2, effects=(1, 2))], (1, 1, (0, 2)), id="accepted twice"),
    ],
)
def test_what_was_accepted_is_done_once(accounts, said):
    found = tasks_done_once(ONCE, LOAD, seen(*accounts))

    assert (found.checked, found.broken, found.first and found.first.samples) == said


@pytest.mark.parametrize(
    ("accounts", "said"),
    [
        pytest.param([account(0, took_s=2.0)], (1, 0, None), id="in time"),
        pytest.param([account(0, took_s=2.0), account(1, took_s=2.001)], (2, 1, (1,)), id="late"),
        pytest.param([account(0)], (0, 0, None), id="it does not say how long it took"),
        pytest.param([account(0, fate=Fate.DEAD)], (1, 0, None), id="given up, however long that took"),
        pytest.param([account(0, fate=Fate.DEAD, amiss=("says otherwise",))], (1, 1, (0,)), id="given up otherwise"),
        pytest.param([account(0, took_s=9.0, effects=(0, 1))], (1, 1, (0,)), id="late, and not done"),
    ],
)
def test_each_is_done_in_time_where_that_is_promised(accounts, said):
    """By the service's own word; what it does not say is not checked."""
    found = tasks_done_once(SOON, LOAD, seen(*accounts))

    assert (found.checked, found.broken, found.first and found.first.samples) == said
    assert tasks_done_once(ONCE, LOAD, seen(account(0, took_s=9.0))).broken == 0


def test_one_that_is_late_says_how_late():
    """And what is worse is told first."""
    late, twice = account(1, took_s=2.5), account(1, took_s=2.5, effects=(2, 1))

    assert tasks_done_once(SOON, LOAD, seen(late)).first.sentence.endswith(
        "as 't1' was done after 2.500 s, where 2s is allowed, asked at 40.000 s"
    )
    assert "has happened 2 times" in tasks_done_once(SOON, LOAD, seen(twice)).first.sentence


def test_only_what_was_accepted_under_the_fault_was_put_to_the_test():
    """What is broken is broken whenever it was accepted."""
    told = [account(0, fate=Fate.GONE), account(1), account(2)]
    again = account(0, 2)  # it may have been done long before it was accepted once more
    assert tasks_done_once(ONCE, LOAD, seen(again, faults=[killed_at(4.0)])).checked == 0

    found = tasks_done_once(ONCE, LOAD, seen(*told, faults=[killed_at(4.0)]))

    assert (found.checked, found.broken) == (2, 1)
    assert "since worker-1 killed began" in tasks_done_once(ONCE, LOAD, seen(told[0], faults=[killed_at(3.0)])).wanted


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (account(1, fate=Fate.GONE), "as 't1' is gone, asked at 40.000 s"),
        (account(1, fate=Fate.PENDING), "as 't1' is still running, asked at 40.000 s"),
        (account(1, effects=(1, 0)), "as 't1' is done, and has not happened, as /items/81 says, asked at 40.000 s"),
        (account(1, effects=(1, 3)), "as 't1' has happened 3 times, as /items/81 says, asked at 40.000 s"),
        (
            account(1, fate=Fate.DEAD, effects=(0, 2)),
            "as 't1' has happened 2 times, as /items/81 says, asked at 40.000 s",
        ),
        (account(1, effects=(2, 4)), "as 't1' has happened 4 times, as /items/81 says, asked at 40.000 s"),
        (
            account(1, fate=Fate.DEAD, effects=(None, None), amiss=("says '7' at /attempts, not '5'", "and more")),
            "as 't1' is dead, and says '7' at /attempts, not '5', asked at 40.000 s",
        ),
    ],
)
def test_the_counterexample_can_be_looked_up(told, said):
    """Key, times, row and id, and where what it did can be seen."""
    found = tasks_done_once(ONCE, LOAD, seen(told))

    assert found.first.sentence == f"key 8: the import sent at 3.000 s and accepted at 4.000 s (sample 1) {said}"


@pytest.mark.parametrize(
    ("accounts", "said"),
    [
        pytest.param([], (0, 0, None), id="nothing accepted"),
        pytest.param([account(0, 2)], (1, 0, None), id="asked for again, done once"),
        pytest.param([account(0), account(2)], (1, 0, None), id="under two ids"),
        pytest.param([account(1)], (0, 0, None), id="asked for once"),
        pytest.param([account(0, 2, effects=(None, None))], (0, 0, None), id="nothing is said of it"),
        pytest.param([account(0, effects=(1, 2)), account(2, effects=(1, 2))], (1, 1, (0, 2)), id="done twice"),
        pytest.param([account(1, effects=(2, 2))], (0, 1, (1,)), id="asked for once, and done twice"),
    ],
)
def test_what_is_asked_for_again_happens_once(accounts, said):
    found = no_duplicate_effect(LOAD, seen(*accounts))

    assert (found.checked, found.broken, found.first and found.first.samples) == said


def test_requests_that_share_no_effect_are_nobodys_repetition():
    """Each has effects of its own, whatever their key; an answer that never came asked all the same."""
    asked = [answer(1, 2, "single", key=7), answer(3, 4, "single", key=7), *ASKED[:1]]
    lost = [answer(1, 2, "import", key=7, status=504), ASKED[2]]

    assert no_duplicate_effect(LOAD, seen(account(0, effects=(2,)), asked=asked)).checked == 0
    assert no_duplicate_effect(LOAD, seen(account(1), asked=lost)).checked == 1


def test_a_request_that_was_never_sent_repeats_nothing():
    """Its key was drawn, and nobody was asked."""
    history = seen(account(0))
    history.samples.records["sent_s"][2] = np.nan

    assert no_duplicate_effect(LOAD, history).checked == 0


def test_of_several_repetitions_the_first_to_be_asked_for_is_told():
    """Whichever the service told of first."""
    found = no_duplicate_effect(LOAD, seen(account(1, effects=(1, 2)), account(0, 2, effects=(1, 2))))

    assert (found.broken, found.first.samples) == (2, (0, 2))


def test_the_repetition_can_be_looked_up():
    """How often it was asked for, from when on, and as what it was accepted."""
    found = no_duplicate_effect(LOAD, seen(account(0, effects=(1, 2)), account(2, effects=(1, 2))))

    assert found.first.sentence == (
        "key 7: /items/71 says that the import has happened 2 times; it was asked for 2 times from 1.000 s on "
        "(sample 0), and accepted as 't0', 't2'"
    )


def test_they_need_a_way_to_ask():
    """And a repetition needs effects that two requests may share."""
    headers = ResponseHeaders()

    assert ONCE.missing(LOAD.asked, headers) is NO_DUPLICATE.missing(LOAD.asked, headers) is None
    assert "no request says how to ask" in ONCE.missing(LOAD.asked[2:], headers)[0]
    assert "no request says how to ask" in NO_DUPLICATE.missing(LOAD.asked[2:], headers)[0]
    assert ONCE.missing(LOAD.asked[1:], headers) is None
    assert "no request says where the service tells that" in SOON.missing(LOAD.asked, headers)[0]
    telling = load_of({"name": "import", "method": "POST", "path": "/tasks", "settles": {**SETTLES, "took": "/took_s"}})
    assert SOON.missing(telling.asked, headers) is None
    assert (str(ONCE), str(SOON)) == ("tasks-done-once (within 30s)", "tasks-done-once (within 30s, each 2s)")
    assert "no two requests are about the same" in NO_DUPLICATE.missing(LOAD.asked[1:], headers)[0]


@pytest.mark.parametrize("promise", [ONCE, NO_DUPLICATE], ids=str)
def test_they_are_promises_like_every_other(promise):
    scenario = Scenario.model_validate(
        {
            "scenario": "calm",
            "story": "Nothing is broken.",
            "load": LOAD.model_dump(mode="json"),
            "phases": [{"name": "baseline", "lasts": "10s"}],
        }
    )

    check_checker(promise, scenario, kept=seen(account(0, 2)), broken=seen(account(0, 2, effects=(1, 2))))
