"""What became of what was accepted, asked again until it is settled or the time is over; nothing is made up."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pytest

from harness.clock import FakeClock
from harness.history.accounts import Accepted, Fate
from harness.history.samples import RECORD, Samples
from harness.load import settling
from harness.load.settling import COUNTED_WITHIN_S, Settling
from suites.support.answers import load_of

LOAD = load_of(
    {
        "name": "import",
        "method": "POST",
        "path": "/tasks",
        "headers": {"x-tenant": "t{key}"},
        "settles": {
            "id": "/task",
            "path": "/tasks/{id}",
            "headers": {"x-tenant": "t{key}"},
            "state": "/state",
            "done": ["done"],
            "dead": ["dead"],
            "effects": ["/items/{key}", "/of/{unique}"],
            "count": "/version",
            "took": "/took_s",
            "says": {"/tenant": "t{key}", "/attempts": "5"},
        },
    },
    {"name": "read", "path": "/items/{key}"},
)


@dataclass
class Told:
    status_code: int
    content: bytes = b""


class Service:
    """Answers each path with one thing after the other, and the last one for ever; the time passes meanwhile."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked = defaultdict(int)
        self.headers = {}

    def __call__(self, path, headers):
        said = self.answers.get(path, [Told(200, b'{"version": 1}')])
        self.headers[path] = dict(headers)
        self.asked[path] += 1
        return said[min(self.asked[path], len(said)) - 1]


def state(word, **said):
    return Told(200, json.dumps({"state": word, "tenant": "t7", "attempts": 5, **said}).encode())


def version(count):
    return Told(200, json.dumps({"version": count}).encode())


def accounts(*accepted, within_s=10.0, say=lambda _text: None, **answers):
    records = np.zeros(5, dtype=RECORD)
    records["key"] = [4, 5, 6, 7, 8]
    service, time = Service(**answers), FakeClock(100.0)
    asking = Settling(ask=service, clock=time, origin_s=40.0, say=say)
    samples = Samples(records, ("import", "read"))
    told = asking.accounts(accepted, LOAD, samples, mark="a", within_s=within_s)
    return told, service, time


ONE = Accepted(sample=3, number=12, id="a")


def test_what_is_done_is_asked_for_once_and_its_effects_are_counted():
    """By the key and the number of the request that it was accepted for."""
    (told,), service, time = accounts(ONE, **{"/tasks/a": [state("done")], "/of/a-12": [Told(404)]})

    assert (told.id, told.samples, told.fate, told.state, told.effects) == ("a", (3,), Fate.DONE, "done", (1, 0))
    assert (told.asked_s, time.now_s) == (60.0, 100.0)
    assert dict(service.asked) == {"/tasks/a": 1, "/items/7": 1, "/of/a-12": 1}
    assert all(headers == {"x-tenant": "t7"} for headers in service.headers.values())


@pytest.mark.parametrize(
    ("said", "fate", "word", "times"),
    [
        pytest.param([state("queued"), None, state("running"), state("done")], Fate.DONE, "done", 4, id="in the end"),
        pytest.param([state("resting"), state("dead")], Fate.DEAD, "dead", 2, id="given up"),
        pytest.param([Told(404)], Fate.GONE, "404", 41, id="gone, and it stays so"),
        pytest.param([Told(404), state("done")], Fate.DONE, "done", 2, id="it was only not there yet"),
        pytest.param([state("running")], Fate.PENDING, "running", 41, id="never"),
        pytest.param([state("running"), Told(503)], Fate.PENDING, "running", 41, id="as it was last known"),
        pytest.param([Told(503)], Fate.UNKNOWN, "", 41, id="it does not say"),
        pytest.param([None], Fate.UNKNOWN, "", 41, id="no answer"),
        pytest.param([Told(500, state("done").content)], Fate.UNKNOWN, "", 41, id="it fails, whatever it says"),
        pytest.param([Told(200, b"<html>")], Fate.UNKNOWN, "", 41, id="nonsense"),
    ],
)
def test_what_is_not_settled_is_asked_for_until_its_time_is_over(said, fate, word, times):
    """Every quarter of a second, for ten."""
    (told,), service, _ = accounts(ONE, **{"/tasks/a": said})

    assert (told.fate, told.state) == (fate, word)
    assert service.asked["/tasks/a"] == times
    assert (told.asked_s is None) == (fate is Fate.UNKNOWN)


@pytest.mark.parametrize(
    ("said", "count", "times"),
    [
        pytest.param([Told(503), None, version(2)], 2, 3, id="in the end"),
        pytest.param([Told(410)], 0, 1, id="never happened"),
        pytest.param([version("many")], None, 121, id="no number"),
        pytest.param([Told(200, b"{}")], None, 121, id="it does not say"),
        pytest.param([Told(500, version(1).content)], None, 121, id="it fails, whatever it says"),
    ],
)
def test_an_effect_is_counted_once_it_is_told(said, count, times):
    """What is known already is not asked for again."""
    (told,), service, time = accounts(ONE, **{"/tasks/a": [state("done")], "/items/7": said})

    assert told.effects == (count, 1)
    assert (service.asked["/items/7"], service.asked["/of/a-12"]) == (times, 1)
    assert time.now_s == 100.0 + 0.25 * (times - 1) <= 100.0 + COUNTED_WITHIN_S


@pytest.mark.parametrize(
    ("said", "took_s", "amiss"),
    [
        pytest.param(state("done", took_s=2.5), 2.5, (), id="as it should"),
        pytest.param(state("dead", took_s=2.5), None, (), id="what is given up takes no time to be done"),
        pytest.param(state("done", took_s=None), None, (), id="it does not say how long"),
        pytest.param(state("done", took_s="NaN"), None, (), id="no time"),
        pytest.param(state("dead", attempts=7), None, ("says '7' at /attempts, not '5'",), id="tried too often"),
        pytest.param(
            Told(200, b'{"state": "dead", "tenant": "t8"}'),
            None,
            ("says nothing at /attempts, not '5'", "says 't8' at /tenant, not 't7'"),
            id="another's",
        ),
        pytest.param(state("running", attempts=7, took_s=2.5), None, (), id="not yet"),
    ],
)
def test_what_is_said_of_one_is_compared_when_it_is_settled(said, took_s, amiss):
    """With what its request says, by its own key."""
    (told,), _, _ = accounts(ONE, **{"/tasks/a": [said]})

    assert (told.took_s, told.amiss) == (took_s, amiss)


def test_one_thing_that_was_accepted_twice_is_one():
    """In the order of the samples, whatever the order of what is told."""
    twice = [Accepted(sample=4, number=13, id="b"), ONE, Accepted(sample=0, number=2, id="b")]

    told, service, _ = accounts(*twice, **{"/tasks/a": [state("done")], "/tasks/b": [state("done")]})

    assert [(each.id, each.samples) for each in told] == [("b", (0, 4)), ("a", (3,))]
    assert (service.asked["/tasks/b"], service.asked["/items/4"], service.asked["/items/8"]) == (1, 1, 0)


def test_of_several_only_what_is_not_answered_is_asked_for_again():
    """Neither what is settled, nor what is counted."""
    slow = {"/tasks/b": [state("running"), state("done")], "/items/8": [None, version(1)]}

    told, service, time = accounts(ONE, Accepted(sample=4, number=13, id="b"), **{"/tasks/a": [state("done")], **slow})

    assert [each.effects for each in told] == [(1, 1), (1, 1)]
    assert [service.asked[path] for path in ("/tasks/a", "/tasks/b", "/items/7", "/items/8")] == [1, 2, 1, 2]
    assert time.now_s == 100.5


def test_an_id_stays_in_its_place():
    """Whatever the service calls a thing, no other path is asked for."""
    (told,), service, _ = accounts(
        Accepted(sample=3, number=12, id="../x?{key}%"), **{"/tasks/..%2Fx%3F%7Bkey%7D%25": [state("done")]}
    )

    assert told.fate is Fate.DONE
    assert "/tasks/..%2Fx%3F%7Bkey%7D%25" in service.asked


def test_of_too_many_some_are_asked_for_from_all_of_the_run(monkeypatch):
    """Two of five: the first, and one from the second half; people are told how many."""
    monkeypatch.setattr(settling, "MOST", 2)
    five, said = [Accepted(sample=n, number=n, id=f"t{n}") for n in range(5)], []

    told, _, _ = accounts(*five, say=said.append, **{f"/tasks/t{n}": [state("done")] for n in range(5)})

    assert [each.id for each in told] == ["t0", "t3"]
    assert said == ["asking what became of 2 accepted requests", "2 of 2 are settled; counting what they did"]


def test_where_nothing_was_accepted_nothing_is_asked():
    told, service, _ = accounts()

    assert (told, dict(service.asked)) == ((), {})
