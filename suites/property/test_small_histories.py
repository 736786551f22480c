"""Invariants on small histories: each checker finds exactly what looking at all pairs of requests shows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.history.echoes import OWN
from harness.measure.invariants.limiter_never_over_admits import limiter_never_over_admits
from harness.measure.invariants.monotonic_reads import monotonic_reads
from harness.measure.invariants.responses_belong_to_requests import responses_belong_to_requests
from harness.measure.invariants.versions_only_grow import versions_only_grow
from harness.spec.invariant import LimiterNeverOverAdmits, MonotonicReads, VersionsOnlyGrow
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


ASKING = load_of(
    {"name": "anna", "path": "/items/{key}", "headers": {"x-client-key": "anna"}},
    {"name": "anna-too", "path": "/items/{key}", "headers": {"x-client-key": "anna"}},
    {"name": "bert", "path": "/items/{key}", "headers": {"x-client-key": "bert"}},
    {"name": "nobody", "path": "/items/{key}"},
)
CLIENTS = {"anna": "anna", "anna-too": "anna", "bert": "bert", "nobody": None}

ASKED = st.builds(
    lambda sent_s, took_s, name, status, version: answer(sent_s, sent_s + took_s, name, status=status, version=version),
    st.integers(0, 12),
    st.integers(0, 3),
    st.sampled_from([*CLIENTS]),
    st.sampled_from([200, 200, 404, 429, 503]),
    st.integers(-1, 3),
)


def too_many(answers, burst):
    """Return each moment that ends a stretch with too many requests, and the shortest such stretch of the first."""
    moments, shortest = [], []
    for one in answers:
        stretches = [
            (
                one["answered_s"] - begun["sent_s"],
                sum(begun["sent_s"] <= each["sent_s"] and each["answered_s"] <= one["answered_s"] for each in answers),
            )
            for begun in answers
            if begun["sent_s"] <= one["answered_s"]
        ]
        over = [lasts_s for lasts_s, count in stretches if count > burst + 1 + 0.5 * lasts_s]
        if over:
            moments.append(one["answered_s"])
            shortest.append((one["answered_s"], min(over)))
    return moments, min(shortest, default=None)


@given(st.lists(ASKED, max_size=14), st.integers(1, 2))
def test_a_limiter_is_found_to_over_admit_where_any_stretch_shows_it(answers, burst):
    """All beginnings and all ends are tried; the checker needs one walk. Where answers tie, the last of them counts."""
    invariant = LimiterNeverOverAdmits(
        kind="limiter-never-over-admits", rate_per_s=0.5, burst=burst, by=("x-client-key",)
    )

    seen = limiter_never_over_admits(invariant, ASKING, history_of(ASKING, answers))

    over, first = set(), []
    for client in ("anna", "bert"):
        admitted = [each for each in answers if CLIENTS[each["name"]] == client and each["status"] in {200, 404}]
        moments, shortest = too_many(admitted, burst)
        over |= {(client, moment_s) for moment_s in moments}
        first += [shortest] if shortest else []
    assert (seen.broken > 0) == bool(over)
    assert seen.broken >= len(over)
    if over:
        inside = [answers[row] for row in seen.first.samples]
        ended_s = max(each["answered_s"] for each in inside)
        assert (ended_s, ended_s - min(each["sent_s"] for each in inside)) == min(first)


@given(st.lists(ASKED, max_size=10))
def test_a_limiter_is_checked_by_who_asks_for_too_much(answers):
    """As if all that it refused had been admitted."""
    invariant = LimiterNeverOverAdmits(kind="limiter-never-over-admits", rate_per_s=0.5, burst=1, by=("x-client-key",))
    open_door = [{**each, "status": 200 if each["status"] == 429 else each["status"]} for each in answers]

    seen = limiter_never_over_admits(invariant, ASKING, history_of(ASKING, answers))
    through = limiter_never_over_admits(invariant, ASKING, history_of(ASKING, open_door))

    assert seen.checked == through.checked == through.broken


@given(st.lists(ASKED, max_size=10))
def test_reads_go_back_where_any_two_show_it(answers):
    """For each client, all pairs of its reads."""
    invariant = MonotonicReads(kind="monotonic-reads", by=("x-client-key",))

    seen = monotonic_reads(invariant, ASKING, history_of(ASKING, answers))

    back = []
    for one in answers:
        known = [
            each["version"]
            for each in answers
            if CLIENTS[each["name"]] is not None
            and CLIENTS[each["name"]] == CLIENTS[one["name"]]
            and each["answered_s"] < one["sent_s"]
        ]
        if -1 < one["version"] < max(known, default=-1):
            back.append(one["answered_s"])
    assert seen.broken == len(back)
    if back:
        assert answers[seen.first.samples[0]]["answered_s"] == min(back)


ECHOING = load_of(
    {"name": "read", "path": "/items/{key}", "echoes": {"/id": "{key}"}},
    {"name": "write", "method": "PUT", "path": "/items/{key}", "echoes": {"/id": "{key}"}},
    {"name": "other", "path": "/others/{key}", "echoes": {"/id": "other-{key}"}},
    {"name": "silent", "path": "/silent/{key}"},
)
WHOSE = {"read": "{}", "write": "{}", "other": "other-{}"}

ECHOED = st.builds(
    lambda sent_s, took_s, name, key, echo: answer(sent_s, sent_s + took_s, name, key=key, echo=echo),
    st.integers(0, 6),
    st.integers(0, 3),
    st.sampled_from([*WHOSE, "silent"]),
    st.integers(0, 2),
    st.sampled_from([None, (OWN, ""), (OWN, ""), (0, "0"), (0, "other-1"), (0, "9"), (0, "")]),
)


@given(st.lists(ECHOED, max_size=8))
def test_an_answer_is_anothers_where_it_says_so(answers):
    """What is checked is what could have been the answer to something else; the first breach is the first that came."""
    seen = responses_belong_to_requests(ECHOING, history_of(ECHOING, answers))

    whose = [WHOSE[each["name"]].format(each["key"]) if each["name"] in WHOSE else None for each in answers]
    telling = [row for row, each in enumerate(answers) if each["echo"] is not None and whose[row]]
    tested = [
        row
        for row in telling
        if any(
            other and other != whose[row] and each["sent_s"] < answers[row]["answered_s"]
            for other, each in zip(whose, answers, strict=True)
        )
    ]
    broken = [row for row in telling if answers[row]["echo"][0] != OWN]
    assert (seen.checked, seen.broken) == (len(tested), len(broken))
    if broken:
        row, *other = seen.first.samples
        answered_s, told = answers[row]["answered_s"], answers[row]["echo"][1]
        assert answered_s == min(answers[each]["answered_s"] for each in broken)
        candidates = [each for each in range(len(answers)) if whose[each] and whose[each] == told]
        before = [answers[each]["sent_s"] for each in candidates if answers[each]["sent_s"] < answered_s]
        assert [answers[each]["sent_s"] for each in other] == ([max(before)] if before else [])
        assert all(whose[each] == told for each in other)
    else:
        assert seen.first is None
