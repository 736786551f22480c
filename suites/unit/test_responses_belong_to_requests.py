"""Every answer is its request's own: one that says that it is another's is a counterexample, however well it looks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.history.echoes import OWN
from harness.history.marks import FaultMark
from harness.measure.invariants.responses_belong_to_requests import responses_belong_to_requests
from harness.spec.invariant import ResponsesBelongToRequests
from harness.spec.requests import ResponseHeaders
from harness.spec.scenario import Scenario
from harness.testing import check_checker
from suites.support.answers import answer, history_of, load_of

PROMISE = ResponsesBelongToRequests(kind="responses-belong-to-requests")
LOAD = load_of(
    {"name": "read", "path": "/items/{key}", "echoes": {"/id": "{key}", "/tenant": "blue"}},
    {
        "name": "order",
        "method": "POST",
        "path": "/orders",
        "body": '{"id": "{unique}", "of": {key}}',
        "echoes": {"/id": "{unique}"},
    },
    {"name": "silent", "path": "/silent/{key}"},
)
MIXED = [answer(1, 2, key=7), answer(3, 4, key=8), answer(5, 6, key=7, echo=(0, "8"))]


def found(answers, faults=()):
    return responses_belong_to_requests(LOAD, replace(history_of(LOAD, list(answers)), faults=faults))


def told(seen):
    return seen.checked, seen.broken, seen.first and seen.first.samples


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        pytest.param([], (0, 0, None), id="nothing"),
        pytest.param([answer(1, 2), answer(3, 4)], (0, 0, None), id="only ever one thing asked for"),
        pytest.param([answer(1, 2, key=1), answer(3, 4, key=2)], (1, 0, None), id="the second could be the first's"),
        pytest.param([answer(1, 4, key=1), answer(3, 5, key=2)], (2, 0, None), id="two under way at a time"),
        pytest.param([answer(1, 3, key=1), answer(3, 5, key=2)], (1, 0, None), id="asked as the other came"),
        pytest.param([answer(1, 2, key=1), answer(3, 4, key=2, echo=None)], (0, 0, None), id="it does not say"),
        pytest.param([answer(1, 2, "silent", key=1), answer(3, 4, key=2)], (0, 0, None), id="what is not echoed"),
        pytest.param([answer(1, 2, "order"), answer(3, 4, "order")], (1, 0, None), id="each is only its own"),
        pytest.param(MIXED, (2, 1, (2, 1)), id="another key's"),
        pytest.param([*MIXED[:2], answer(5, 6, key=7, echo=(0, "9"))], (2, 1, (2,)), id="nobody's"),
        pytest.param([*MIXED[:2], answer(5, 6, key=7, echo=(1, "red"))], (2, 1, (2,)), id="another tenant's"),
        pytest.param([answer(1, 2, echo=(0, "1"))], (0, 1, (0,)), id="the only one, and wrong"),
        pytest.param(
            [*MIXED[:2], answer(5, 9, key=7, echo=(0, "8")), answer(6, 8, key=8, echo=(0, "7"))],
            (3, 2, (3, 2)),
            id="the first to be answered",
        ),
        pytest.param([*MIXED, answer(7, 8, key=8)], (3, 1, (2, 1)), id="not what is only asked for later"),
    ],
)
def test_an_answer_is_its_requests_own(answers, said):
    assert told(found(answers)) == said


def test_what_came_before_the_first_fault_was_not_put_to_the_test():
    """A mix-up then is a mix-up all the same."""
    late = FaultMark(
        id="fault-1",
        phase="fault",
        fault="redis down",
        kind="down",
        target="redis",
        injected_s=5.5,
        healed_s=None,
        doses=(),
    )

    assert told(found(MIXED, (late,))) == (1, 1, (2, 1))
    assert told(found(MIXED[:2], (late,))) == (0, 0, None)
    assert "since redis down began" in found(MIXED[:2], (late,)).wanted


def test_the_counterexample_can_be_looked_up():
    """Key, whose answer it was, who gave it, times and rows; and the last request that it could have been the answer to."""
    again = [*MIXED[:2], answer(4.5, 4.7, key=8), MIXED[2]]

    assert found(again).first.sentence == (
        "key 7: the read sent at 5.000 s and answered at 6.000 s (sample 3) was answered by replica-1 with "
        "/id = '8', where its own is '7': that is what the read sent at 4.500 s and answered at 4.700 s (sample 2) "
        "asked for"
    )
    assert found([answer(1, 2, "order", key=3, echo=(0, "7-1"), replica="")]).first.sentence == (
        "key 3: the order sent at 1.000 s and answered at 2.000 s (sample 0) was answered with /id = '7-1', where its "
        "own is '{unique}'"
    )


def test_it_needs_answers_that_tell_and_differ():
    """Else no answer could break it, and a green would be of nothing."""
    headers = ResponseHeaders()

    assert PROMISE.missing(LOAD.asked, headers) is None
    assert "no request says where" in PROMISE.missing(LOAD.asked[2:], headers)[0]
    blue = load_of({"name": "read", "path": "/", "echoes": {"/tenant": "blue"}})
    assert "to echo the same" in PROMISE.missing(blue.asked, headers)[0]
    red = load_of(
        {"name": "read", "path": "/", "echoes": {"/tenant": "blue"}},
        {"name": "other", "path": "/", "headers": {"x-tenant": "red"}, "echoes": {"/tenant": "red"}},
    )
    assert PROMISE.missing(red.asked, headers) is None


def test_it_is_a_promise_like_every_other():
    scenario = Scenario.model_validate(
        {
            "scenario": "calm",
            "story": "Nothing is broken.",
            "load": LOAD.model_dump(mode="json"),
            "phases": [{"name": "baseline", "lasts": "10s"}],
        }
    )
    kept = history_of(LOAD, [*MIXED[:2], answer(5, 6, key=7)])

    check_checker(PROMISE, scenario, kept=kept, broken=history_of(LOAD, MIXED))
    assert kept.echoes.records["place"].tolist() == [OWN] * 3
