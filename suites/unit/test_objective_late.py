"""Answered in time, be it with a no: what is an answer, what is in time, and which statuses a request expects."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from harness.history.operations import ABSENT, OPERATION, digest_of
from harness.history.samples import RECORD, SampleOutcome, Samples
from harness.load.filling import ready
from harness.load.generator.memory import memories_of
from harness.load.generator.request import Request
from harness.spec.objective import KINDS, Late, tightest_s
from harness.spec.requests import DeclaredRequest

LATE = Late(sli="late", over="300ms", max="1%")


def samples_of(*rows):
    """Return a request each: its outcome, its status and its latency in seconds."""
    records = np.zeros(len(rows), dtype=RECORD)
    for record, (outcome, status, latency_s) in zip(records, rows, strict=True):
        record["outcome"], record["status"], record["latency_s"] = outcome, status, latency_s
    return Samples(records)


@pytest.mark.parametrize(
    ("outcome", "status", "is_answered"),
    [
        pytest.param(SampleOutcome.OK, 200, True, id="a success"),
        pytest.param(SampleOutcome.OK, 429, True, id="a refusal that was expected"),
        pytest.param(SampleOutcome.FAILED, 503, True, id="a refusal"),
        pytest.param(SampleOutcome.FAILED, 302, True, id="sent elsewhere"),
        pytest.param(SampleOutcome.FAILED, 300, True, id="first beyond a success"),
        pytest.param(SampleOutcome.FAILED, 200, False, id="broke off at once"),
        pytest.param(SampleOutcome.FAILED, 299, False, id="broke off"),
        pytest.param(SampleOutcome.FAILED, 0, False, id="no connection"),
        pytest.param(SampleOutcome.UNFINISHED, 0, False, id="under way at the end"),
        pytest.param(SampleOutcome.UNFINISHED, 503, False, id="under way with its status"),
        pytest.param(SampleOutcome.NOT_SENT, 0, False, id="never sent"),
    ],
)
def test_an_answer_is_one_whatever_it_says(outcome, status, is_answered):
    """Silence is none, and half a success is none."""
    samples = samples_of((outcome, status, 0.01))

    assert samples.is_answered().tolist() == [is_answered]
    assert LATE.counts(samples).tolist() == [not is_answered]


def test_what_takes_longer_is_late_whatever_it_says():
    """To the bound it is in time."""
    samples = samples_of(
        (SampleOutcome.OK, 200, 0.3), (SampleOutcome.FAILED, 503, 0.3),
        (SampleOutcome.OK, 200, math.nextafter(0.3, 1)), (SampleOutcome.FAILED, 503, math.nextafter(0.3, 1)),
    )  # fmt: skip

    assert LATE.counts(samples).tolist() == [False, False, True, True]


def test_late_is_a_promise_like_any_other():
    """Its word, its sentence, and the time that it speaks of."""
    assert KINDS["late"] is Late
    assert str(LATE) == "late (no answer in 300ms) < 1%"
    assert str(LATE.model_copy(update={"of": "read", "after": 2.0})) == "read late (no answer in 300ms) < 1% after 2s"
    assert tightest_s([LATE]) == 0.3


def request_of(**told):
    return DeclaredRequest.model_validate({"name": "put", "method": "PUT", "path": "/{key}", **told})


def test_a_request_expects_a_success_if_it_says_nothing():
    """And what it says, it says in full."""
    assert request_of().proper == frozenset(range(200, 300))
    assert request_of(expects=[200, 429]).proper == {200, 429}
    assert ready(request_of(expects=[404]), "1").proper == {404}
    assert "expects" not in request_of().model_dump()


@pytest.mark.parametrize("expects", [[], [199], [600], ["2xx"], 200])
def test_a_status_that_ends_no_answer_is_refused(expects):
    with pytest.raises(ValidationError):
        request_of(expects=expects)


class Answer:
    """What came back."""

    def __init__(self, status_code, content=b""):
        self.status_code, self.content = status_code, content


@pytest.mark.parametrize(
    ("told", "status", "is_acknowledged", "digest"),
    [
        ({"body": "{unique}", "writes": ""}, 201, True, digest_of(b"1-5")),
        ({"body": "{unique}", "writes": ""}, 503, False, digest_of(b"1-5")),
        ({"method": "GET", "reads": ""}, 200, True, digest_of(b"kept")),
        ({"method": "GET", "reads": ""}, 503, False, ABSENT),
        ({"method": "GET", "reads": ""}, 404, True, ABSENT),
    ],
)
def test_a_refusal_that_was_expected_grants_nothing(told, status, is_acknowledged, digest):
    """No value was written by it, or read from it: an invariant that took it for one would be a wrong alarm."""
    memory = memories_of([request_of(**told, expects=[200, 201, 404, 503])], "1")[0]
    request = Request(1.0, 7, "put", sent_s=1.0, number=5)

    packed = memory.operation(request, SampleOutcome.OK, Answer(status, b"kept"), ended_s=2.0, version=-1, sample=0)

    (operation,) = np.frombuffer(packed, dtype=OPERATION)
    assert (bool(operation["is_acknowledged"]), int(operation["digest"])) == (is_acknowledged, digest)
