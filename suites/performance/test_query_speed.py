"""What watching a query costs, in bare Python calls of the same run: 5 µs are 170 of them where one takes 29 ns (QO3)."""

from __future__ import annotations

import time
from statistics import median

import pytest

from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.query import Place, QueryLog, QueryPolicy, fingerprint

BARE_CALLS_MAX = 170
ROUNDS, QUERIES = 15, 2000
BY_KEY = "SELECT value, version FROM items WHERE id = $1"
WRITTEN_OUT = [f"SELECT value, version FROM items WHERE id = {n} AND kind = 'kind {n}'" for n in range(QUERIES)]  # noqa: S608 - not run


def bare(_number: int) -> None:
    """Do nothing, which is what all else is compared with."""


@pytest.mark.parametrize("is_in_a_request", [False, True], ids=["outside", "in a request"])
def test_watching_a_query_costs_five_microseconds(is_in_a_request, record_property):
    """A query with placeholders, as drivers send it: its text is known, its place is looked for on the stack."""
    log = QueryLog(QueryPolicy(), clock=MonotonicClock())

    def watch(number: int) -> None:
        log.record(BY_KEY, (number,), elapsed_s=0.001, rows=1)

    def watch_all() -> float:
        if not is_in_a_request:
            return _seconds_of(watch)
        with log.scope("GET /items"):
            return _seconds_of(watch)

    ratio = _ratio(watch_all)

    record_property("bare calls", ratio)
    assert ratio <= BARE_CALLS_MAX


def test_reading_a_text_for_the_first_time_is_told(record_property):
    """A query with its values in the text is read each time: what that costs is told, and ten times the bound at most."""
    log = QueryLog(QueryPolicy(max_texts=1), clock=MonotonicClock())
    place = Place("here.py", 1)

    def watch(number: int) -> None:
        log.record(WRITTEN_OUT[number], elapsed_s=0.001, rows=1, place=place)

    ratio = _ratio(lambda: _seconds_of(watch))

    record_property("bare calls", ratio)
    record_property("fingerprint alone", _ratio(lambda: _seconds_of(lambda number: fingerprint(WRITTEN_OUT[number]))))
    assert ratio <= 10 * BARE_CALLS_MAX


def _ratio(seconds_of_all) -> float:
    """Return the median of what something costs in bare calls, each round beside one of those."""
    return median(seconds_of_all() / _seconds_of(bare) for _ in range(ROUNDS))


def _seconds_of(call) -> float:
    began_s = time.perf_counter()
    for number in range(QUERIES):
        call(number)
    return time.perf_counter() - began_s
