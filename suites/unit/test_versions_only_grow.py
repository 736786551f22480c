"""A version stands for one value of an item, and a replica that answered it does not go back to an older one."""

from __future__ import annotations

import pytest

from harness.measure.invariants.versions_only_grow import versions_only_grow
from harness.spec.invariant import VersionsOnlyGrow
from harness.spec.scenario import Scenario
from harness.testing import check_checker
from suites.support.answers import answer, history_of, load_of

WRITE = {"name": "write", "method": "PUT", "path": "/items/{key}", "body": "{unique}", "writes": ""}
READ = {"name": "read", "path": "/items/{key}", "reads": ""}
LOAD = load_of(WRITE, READ)


def found(answers, load=LOAD, **told):
    return versions_only_grow(
        VersionsOnlyGrow(kind="versions-only-grow", **told), load, history_of(load, list(answers))
    )


def told(seen):
    return seen.checked, seen.broken, seen.first and seen.first.samples


BACK = [answer(1, 2, version=4), answer(3, 4, version=5), answer(5, 6, version=4)]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        pytest.param([], (0, 0, None), id="nothing"),
        pytest.param([answer(1, 2, version=4), answer(3, 4, version=4)], (0, 0, None), id="never written"),
        pytest.param(BACK[:2], (0, 0, None), id="grown, and not asked again"),
        pytest.param([*BACK[:2], answer(5, 6, version=5)], (1, 0, None), id="asked again"),
        pytest.param(BACK, (1, 1, (2, 1)), id="back on one replica"),
        pytest.param([*BACK, answer(7, 8, version=5)], (2, 1, (2, 1)), id="and forth, which is no second one"),
        pytest.param([*BACK[:2], answer(4, 6, version=4)], (0, 0, None), id="sent as the other came"),
        pytest.param([*BACK[:2], answer(4.001, 6, version=4)], (1, 1, (2, 1)), id="sent a moment later"),
        pytest.param([*BACK[:2], answer(5, 6, version=4, replica="replica-2")], (0, 0, None), id="another replica"),
        pytest.param([*BACK[:2], answer(5, 6, version=4, key=1)], (0, 0, None), id="another item"),
        pytest.param(
            [answer(1, 2, version=5, replica=""), answer(3, 4, version=4, replica="")], (0, 0, None), id="whose"
        ),
        pytest.param([*BACK[:2], answer(5, 6)], (0, 0, None), id="without a version"),
        pytest.param([*BACK[:2], answer(5, 6, version=0, status=404)], (2, 1, (2, 1)), id="there is none any more"),
        pytest.param(
            [answer(1, 2, version=4), answer(3, 4, "write", version=5), answer(5, 6, version=4)],
            (1, 1, (2, 1)),
            id="a write's version is known to the replica that took it",
        ),
        pytest.param(
            [answer(1, 2, version=4), answer(3, 3.5, version=6), answer(3, 4, version=5), answer(5, 6, version=5)],
            (1, 1, (3, 1)),
            id="the newest of all that had come, not the last",
        ),
    ],
)
def test_a_replica_goes_back(answers, said):
    """Answers that overlap, another replica's and another item's are no counterexample."""
    assert told(found(answers)) == said


@pytest.mark.parametrize(("sent_s", "broken"), [(4.5, 0), (4.501, 1)])
def test_a_replica_may_go_back_for_as_long_as_is_promised(sent_s, broken):
    """From the end of the newer answer to the beginning of the older one; what was known longer is known."""
    seen = found([*BACK[:2], answer(sent_s, 6, version=4)], within="500ms")

    assert (seen.checked, seen.broken) == (broken, broken)
    assert not broken or seen.first.sentence.endswith("0.501 s before, where 500ms is allowed")


def test_a_version_is_given_once_whatever_is_promised():
    twice = [answer(1, 2, version=4, digest=7), answer(3, 4, version=4, digest=8)]

    assert found(twice, within="1h").broken == 1


def test_an_answer_that_says_that_it_is_old_may_go_back():
    """As a cache's in place of an error; it makes nobody know anything either."""
    stale = [*BACK[:2], answer(5, 6, version=4, source="stale"), answer(7, 8, version=5)]

    assert told(found(stale)) == (2, 1, (2, 1))
    assert told(found(stale, stale_from=["stale"])) == (1, 0, None)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        pytest.param(
            [answer(1, 2, "write", version=4, digest=7), answer(3, 4, version=4, digest=7)], (1, 0, None), id="same"
        ),
        pytest.param(
            [answer(1, 4, "write", version=4, digest=7), answer(2, 3, "write", version=4, digest=8)],
            (1, 1, (0, 1)),
            id="two writes at a time",
        ),
        pytest.param(
            [answer(1, 2, version=4, digest=7), answer(1, 2, version=4, digest=8)], (1, 1, (1, 0)), id="reads"
        ),
        pytest.param(
            [answer(1, 2, version=4, digest=7), answer(1, 2, version=5, digest=8)], (0, 0, None), id="two versions"
        ),
        pytest.param(
            [answer(1, 2, version=4, digest=7), answer(1, 2, version=4, digest=8, key=1)], (0, 0, None), id="two items"
        ),
        pytest.param(
            [answer(1, 2, "write", version=4, digest=7, status=503), answer(1, 2, version=4, digest=8)],
            (0, 0, None),
            id="a write that was refused has no version",
        ),
        pytest.param([answer(1, 2, digest=7), answer(1, 2, digest=8)], (0, 0, None), id="none told"),
    ],
)
def test_a_version_is_given_away_twice(answers, said):
    """However they overlap: a version is a name, and a name means one thing."""
    assert told(found(answers)) == said


def test_items_of_two_tenants_are_two_items():
    """A header says whose an item is, where the invariant is told which."""
    load = load_of({**READ, "headers": {"X-Tenant": "one"}}, {**READ, "name": "other", "headers": {"x-tenant": "two"}})
    answers = [answer(1, 2, version=4, digest=7), answer(3, 4, "other", version=3, digest=8)]
    answers += [answer(5, 6, "other", version=4, digest=9), answer(7, 8, version=4, digest=7)]

    assert found(answers, load).broken == 2
    assert told(found(answers, load, by=["x-tenant"])) == (1, 0, None)


def test_what_is_asked_under_a_path_of_its_own_each_time_is_no_item():
    """No two requests of it ask for the same."""
    load = load_of({"name": "read", "path": "/items/{unique}"})

    assert told(found(BACK, load)) == (0, 0, None)


def test_the_first_counterexample_can_be_looked_up():
    """Key, times, versions, replica and rows of both."""
    both = [*BACK, answer(1, 7, version=9, digest=7), answer(2, 5, version=9, digest=8)]

    assert found(both).broken == 2
    assert found(both).first.sentence == (
        "key 0: the request sent at 5.000 s and answered at 6.000 s (sample 2) was answered version 4 by replica-1, "
        "which had answered version 5 to the request sent at 3.000 s and answered at 4.000 s (sample 1), 1.000 s before"
    )
    assert found(both[3:]).first.sentence == (
        "key 0: version 9 is digest 0000000000000007 to the read sent at 1.000 s and answered at 7.000 s (sample 0), "
        "although it was digest 0000000000000008 to the read sent at 2.000 s and answered at 5.000 s (sample 1)"
    )


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
        VersionsOnlyGrow(kind="versions-only-grow", stale_from=["stale"], by=["x-tenant"]),
        scenario,
        kept=kept,
        broken=history_of(LOAD, BACK),
    )
