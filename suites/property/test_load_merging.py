"""A schedule that is shared is the same schedule, and what was seen in parts is put together to the request."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.history.load import LoadTally
from harness.history.samples import RECORD, Samples
from harness.load.arrivals import schedule_of
from harness.load.merging import merged_samples, merged_tally
from harness.spec.load import Load

NAMES = st.lists(st.sampled_from(["", "l1", "l2", "l3", "stale", "other"]), min_size=1, max_size=6, unique=True)


@given(st.integers(1, 9), st.integers(0, 2**31), st.sampled_from(["poisson", "constant"]))
def test_the_parts_of_a_course_are_the_course(workers, seed, arrivals):
    """Each request once, with its key and what it does; no part has two more than another."""
    whole = schedule_of(Load(arrivals_per_s=50, arrivals=arrivals), lasts_s=4, seed=seed)

    parts = [whole.part(index, workers) for index in range(workers)]

    assert sorted(row for part in parts for row in part) == list(whole)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@st.composite
def seen(draw):
    """Draw what a generator saw, with names in an order of its own."""
    names = {plural: tuple(draw(NAMES)) for plural in ("operations", "sources", "replicas")}
    records = np.zeros(draw(st.integers(0, 20)), dtype=RECORD)
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    records["intended_s"] = np.sort(random.random(len(records)))
    records["latency_s"] = random.random(len(records))
    for column, plural in (("operation", "operations"), ("source", "sources"), ("replica", "replicas")):
        records[column] = random.integers(0, len(names[plural]), len(records))
    return Samples(records, **names)


def in_words(samples):
    """Return each request with its names instead of their numbers."""
    columns = (samples.records[name].tolist() for name in ("intended_s", "latency_s", "operation", "source", "replica"))
    return sorted(
        (at_s, took_s, samples.operations[operation], samples.sources[source], samples.replicas[replica])
        for at_s, took_s, operation, source, replica in zip(*columns, strict=True)
    )


@given(st.lists(seen(), min_size=1, max_size=4))
def test_merged_samples_are_all_samples_in_words_and_in_order(parts):
    """However each part numbered its names."""
    merged = merged_samples(parts)

    assert in_words(merged) == sorted(row for part in parts for row in in_words(part))
    assert (np.diff(merged.records["intended_s"]) >= 0).all()


def test_more_names_than_a_byte_can_number_are_nameless():
    """Two generators that each met 200 names: the last ones have none, and none has another's."""
    parts = []
    for which in ("a", "b"):
        records = np.zeros(200, dtype=RECORD)
        records["source"] = np.arange(200)
        sources = ("", *(f"{which}{number}" for number in range(1, 200)))
        parts.append(Samples(records, ("",), sources, ("",)))

    merged = merged_samples(parts)

    said = [merged.sources[index] for index in merged.records["source"]]
    assert said == [*parts[0].sources, "", *parts[1].sources[1:57], *[""] * 143]


COUNTS = st.tuples(*[st.integers(0, 1000)] * 6)


@given(st.lists(st.tuples(COUNTS, st.floats(0, 10), st.integers(0, 3)), min_size=1, max_size=5))
def test_a_merged_tally_is_whole_and_says_the_worst(told):
    """Counts are added; delays are not averaged away."""
    tallies = [
        LoadTally(
            planned=sum(counts),
            issued=sum(counts),
            ok=counts[0],
            failed=counts[1],
            unfinished=counts[2],
            not_sent=counts[3],
            cancelled=counts[4],
            prevented=counts[5],
            short_of="ports" if counts[5] else None,
            lag_p99_s=lag_s,
            cpu_ratio=0.1,
            wait_p99_s=lag_s,
            client_errors=errors,
        )
        for counts, lag_s, errors in told
    ]

    merged = merged_tally(tallies)

    assert merged.is_whole
    assert merged.issued == sum(sum(counts) for counts, _, _ in told)
    assert merged.prevented == sum(counts[5] for counts, _, _ in told)
    assert bool(merged.short_of) is bool(merged.prevented)
    assert merged.lag_p99_s == merged.wait_p99_s == max(lag_s for _, lag_s, _ in told)
    assert merged.client_errors == sum(errors for _, _, errors in told)
    assert merged.overhead_p95_s is None
