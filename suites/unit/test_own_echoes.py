"""What the load generator notes of whose an answer is, and of which answers it notes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from harness.history.echoes import ECHO, OWN, TEXT_MAX
from harness.history.samples import SampleOutcome
from harness.load.generator.own import own_echoes_of
from harness.load.generator.request import Request
from harness.load.recording import Names
from harness.spec.requests import DeclaredRequest

READ = DeclaredRequest(name="read", path="/items/{key}", echoes={"/tenant": "blue", "/id": "{key}"})
ORDER = DeclaredRequest(
    name="order", method="POST", path="/", body='{"id": "{unique}"}', echoes={"/id": "{unique}"}, expects=[409, 202]
)
SILENT = DeclaredRequest(name="silent", path="/silent/{key}")
OWNS = own_echoes_of([SILENT, READ, ORDER], "7")


@dataclass
class Response:
    status_code: int
    content: bytes


def noted(request, body, *, status=200, outcome=SampleOutcome.OK):
    """Return place and text, as they would be read; None if nothing is noted."""
    names = Names()
    asked = Request(1.0, 41, request.name, number=12)
    response = None if body is None else Response(status, body)
    own = OWNS[1 if request is READ else 2]
    data = own.record(asked, outcome, response, sample=3, index_of=names.index)
    if not data:
        return None
    (row,) = np.frombuffer(data, dtype=ECHO)
    assert row["sample"] == 3
    return int(row["place"]), [*names][row["told"]]


@pytest.mark.parametrize(
    ("request_", "body", "said"),
    [
        pytest.param(READ, b'{"id": 41, "tenant": "blue"}', (OWN, ""), id="its own"),
        pytest.param(READ, b'{"id": "41"}', (OWN, ""), id="as far as it says"),
        pytest.param(READ, b'{"id": 42, "tenant": "blue"}', (0, "42"), id="another key's"),
        pytest.param(READ, b'{"id": 41, "tenant": "red"}', (1, "red"), id="another tenant's"),
        pytest.param(READ, b'{"id": 42, "tenant": "red"}', (0, "42"), id="the first of two"),
        pytest.param(READ, b'{"id": 41.0}', (0, "41.0"), id="another value"),
        pytest.param(READ, b'{"of": 41}', None, id="it does not say"),
        pytest.param(READ, b"<html>", None, id="no JSON"),
        pytest.param(READ, b'{"id": "\\ud800"}', (0, "\N{REPLACEMENT CHARACTER}" * 3), id="no text"),
        pytest.param(READ, b'{"id": "%b"}' % (b"a" * 300), (0, "a" * TEXT_MAX), id="as much of it as is kept"),
        pytest.param(ORDER, b'{"id": "7-12"}', (OWN, ""), id="its own number"),
        pytest.param(ORDER, b'{"id": "7-1"}', (0, "7-1"), id="another's number"),
    ],
)
def test_an_answer_says_whose_it_is(request_, body, said):
    assert noted(request_, body) == said


def test_an_answer_that_grants_nothing_is_nobodys():
    """A refusal, though it was expected; one that broke off; none at all."""
    assert noted(ORDER, b'{"id": "7-1"}', status=409) is None
    assert noted(READ, b'{"id": 42}', outcome=SampleOutcome.FAILED) is None
    assert noted(READ, None, outcome=SampleOutcome.FAILED) is None


def test_only_what_declares_echoes_is_looked_at():
    assert [*OWNS] == [1, 2]
