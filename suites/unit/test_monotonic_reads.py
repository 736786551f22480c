"""A client that has read a version reads no older one, whichever replica answers."""

from __future__ import annotations

import pytest

from harness.measure.invariants.monotonic_reads import monotonic_reads
from harness.spec.invariant import MonotonicReads
from harness.spec.scenario import Scenario
from harness.testing import check_checker
from suites.support.answers import answer, history_of, load_of

LOAD = load_of(
    {"name": "read", "path": "/items/{key}", "headers": {"x-client-key": "anna"}},
    {"name": "bert", "path": "/items/{key}", "headers": {"x-client-key": "bert"}},
    {"name": "write", "method": "PUT", "path": "/items/{key}", "headers": {"x-client-key": "anna"}},
    {"name": "nobody", "path": "/items/{key}"},
)
BACK = [answer(1, 2, version=4), answer(3, 4, version=5), answer(5, 6, version=4, replica="replica-2")]


def found(answers, **said):
    invariant = MonotonicReads(kind="monotonic-reads", by=["X-Client-Key"], **said)
    return monotonic_reads(invariant, LOAD, history_of(LOAD, list(answers)))


def told(seen):
    return seen.checked, seen.broken, seen.first and seen.first.samples


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        pytest.param([], (0, 0, None), id="nothing"),
        pytest.param(BACK[:2], (0, 0, None), id="grown, and not asked again"),
        pytest.param([*BACK[:2], answer(5, 6, version=5)], (1, 0, None), id="asked again"),
        pytest.param(BACK, (1, 1, (2, 1)), id="back, on another replica"),
        pytest.param([*BACK[:2], answer(4, 6, version=4)], (0, 0, None), id="asked as the other came"),
        pytest.param([*BACK[:2], answer(5, 6, "bert", version=4)], (0, 0, None), id="another client"),
        pytest.param([*BACK[:2], answer(5, 6, version=4, key=1)], (0, 0, None), id="another item"),
        pytest.param([answer(1, 2, "nobody", version=5), answer(3, 4, "nobody", version=4)], (0, 0, None), id="whose"),
        pytest.param([answer(1, 2, "write", version=5), answer(3, 4, version=4)], (0, 0, None), id="what it wrote"),
        pytest.param(
            [*BACK[:2], answer(5, 9, version=4), answer(6, 8, version=4)], (2, 2, (3, 1)), id="the first to be answered"
        ),
        pytest.param(
            [*BACK[:2], answer(5, 9, version=4), *(answer(6 + n, 6.5 + n, key=1, version=5 - n) for n in range(2))],
            (2, 2, (4, 3)),
            id="of two items the first to be answered",
        ),
        pytest.param(
            [*BACK[:2], answer(5, 6, version=5), answer(7, 8, version=4)], (2, 1, (3, 1)), id="told twice before"
        ),
        pytest.param(
            [answer(1, 10, version=9), *(answer(2 * n, 2 * n + 1, version=5 - n % 2) for n in (1, 2, 3))],
            (1, 1, (3, 2)),
            id="answered in another order than asked",
        ),
    ],
)
def test_a_client_reads_back(answers, said):
    assert told(found(answers)) == said


def test_an_answer_that_says_that_it_is_old_may_go_back():
    stale = [*BACK[:2], answer(5, 6, version=4, source="stale")]

    assert (found(stale).broken, found(stale, stale_from=["stale"]).broken) == (1, 0)


def test_the_counterexample_can_be_looked_up():
    """Client, key, versions, replicas, times and rows."""
    assert found(BACK).first.sentence == (
        "key 0: client 'anna' was answered version 4 by replica-2 to the request sent at 5.000 s and answered at "
        "6.000 s (sample 2), after version 5 by replica-1 to the request sent at 3.000 s and answered at 4.000 s "
        "(sample 1), 1.000 s before"
    )


def test_the_counterexample_names_its_own_client_and_no_replica_that_was_not_told():
    """Whoever was answered first in the run."""
    berts = [answer(3 + each, 3.5 + each, "bert", version=5 - each, replica="") for each in range(2)]

    assert "client 'bert' was answered version 4 to the request" in found([*BACK[:1], *berts]).first.sentence


def test_it_is_a_promise_like_every_other():
    scenario = Scenario.model_validate(
        {
            "scenario": "calm",
            "story": "Nothing is broken.",
            "load": LOAD.model_dump(mode="json"),
            "phases": [{"name": "baseline", "lasts": "10s"}],
        }
    )
    kept = history_of(LOAD, [*BACK[:2], answer(5, 6, version=5)])

    check_checker(
        MonotonicReads(kind="monotonic-reads", by=["x-client-key"]),
        scenario,
        kept=kept,
        broken=history_of(LOAD, BACK),
    )
