"""Versions only grow: the checker against all pairs of answers, and against a service that keeps its word."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.measure.invariants.versions_only_grow import versions_only_grow
from harness.spec.invariant import VersionsOnlyGrow
from suites.support.answers import answer, history_of, load_of

LOAD = load_of(
    {"name": "write", "method": "PUT", "path": "/items/{key}", "body": "{unique}", "writes": ""},
    {"name": "read", "path": "/items/{key}", "reads": ""},
    {"name": "other", "path": "/others/{key}", "reads": ""},
)
INVARIANT = VersionsOnlyGrow(kind="versions-only-grow", stale_from=("stale",))

ANSWERS = st.builds(
    lambda sent_s, took_s, *said: answer(
        sent_s,
        sent_s + took_s,
        said[0],
        **dict(zip(("version", "key", "replica", "source", "digest"), said[1:], strict=True)),
    ),
    st.integers(0, 8),
    st.integers(0, 4),
    st.sampled_from(["write", "read", "other"]),
    st.integers(-1, 3),
    st.integers(0, 1),
    st.sampled_from(["", "replica-1", "replica-2"]),
    st.sampled_from(["l1", "stale"]),
    st.sampled_from([None, 1, 2]),
)
"""At whole seconds, so that moments coincide."""


def expected(answers):
    """Return what is checked and broken, and the moment of the first breach, by looking at every pair."""
    item = lambda said: (said["name"] == "other", said["key"])  # noqa: E731 - one line each
    checked = broken = 0
    moments = []
    fresh = [said for said in answers if said["version"] >= 0 and said["source"] != "stale" and said["replica"]]
    for one in fresh:
        same = [other for other in fresh if item(other) == item(one)]
        before = [
            other["version"]
            for other in same
            if other["replica"] == one["replica"] and other["answered_s"] < one["sent_s"]
        ]
        if before:
            checked += max(before) > min(other["version"] for other in same)
            if one["version"] < max(before):
                broken += 1
                moments.append(one["answered_s"])
    carrying = [said for said in answers if said["digest"] is not None and said["version"] >= 0]
    carrying.sort(key=lambda said: said["answered_s"])
    for place, one in enumerate(carrying):
        same = [other for other in carrying[:place] if (other["key"], other["version"]) == (one["key"], one["version"])]
        if same:
            checked += 1
            if same[0]["digest"] != one["digest"]:
                broken += 1
                moments.append(one["answered_s"])
    return checked, broken, min(moments, default=None)


@given(st.lists(ANSWERS, max_size=8))
def test_it_finds_what_all_pairs_show(answers):
    """Whatever overlaps, whoever answered; the first counterexample is the one whose answer came first."""
    seen = versions_only_grow(INVARIANT, LOAD, history_of(LOAD, answers))

    first_s = None if seen.first is None else answers[seen.first.samples[0]]["answered_s"]
    assert (seen.checked, seen.broken, first_s) == expected(answers)
