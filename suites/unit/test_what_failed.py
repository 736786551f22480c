"""What failed, and how: the status or its absence, of which requests, in which phase, and whether anybody promised."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.history.samples import SampleOutcome
from harness.measure.failing import KINDS_MAX, what_failed
from harness.report.formatting import failing_of
from harness.report.markdown import experiment_page
from harness.verdict.judge import judge
from suites.support.made import Stretch, history_of, scenario_of, tally_of

STRETCHES = [Stretch(lasts_s=30, per_s=100), Stretch(lasts_s=10, per_s=100), Stretch(lasts_s=10, per_s=100)]
ERRORS = {"sli": "errors", "max": "5%"}


def failing(*ways, objectives=(ERRORS,)):
    """Have requests of the phase `fault` fail: how many, how, and with which status."""
    scenario = scenario_of(objectives=list(objectives))
    history = history_of(scenario, STRETCHES)
    records, row = history.samples.records, 3000
    for count, outcome, status in ways:
        records["outcome"][row : row + count], records["status"][row : row + count] = outcome, status
        row += count
    return scenario, replace(history, tally=tally_of(history.samples))


@pytest.mark.parametrize(
    ("outcome", "status", "how"),
    [
        (SampleOutcome.FAILED, 503, "503"),
        (SampleOutcome.FAILED, 404, "404"),
        (SampleOutcome.FAILED, 0, "no answer: refused, broken off, or too late"),
        (SampleOutcome.FAILED, 200, "200, but not whole, or not as it should be"),
        (SampleOutcome.FAILED, 299, "299, but not whole, or not as it should be"),
        (SampleOutcome.FAILED, 300, "300"),
        (SampleOutcome.UNFINISHED, 0, "no answer by the end"),
        (SampleOutcome.NOT_SENT, 0, "never sent: no seat was free"),
    ],
)
def test_a_failure_is_told_by_what_was_answered(outcome, status, how):
    """In the words of an operator."""
    (found,) = what_failed(*failing((7, outcome, status)))

    assert (found.phase, found.request, found.how, found.count, found.total) == ("fault", "read", how, 7, 1000)


def test_the_most_frequent_comes_first():
    """Each way once; what clients gave up, and what went well, is none."""
    ways = [(3, SampleOutcome.FAILED, 500), (5, SampleOutcome.FAILED, 503), (9, SampleOutcome.CANCELLED, 0)]
    found = what_failed(*failing(*ways))

    assert [(each.how, each.count) for each in found] == [("503", 5), ("500", 3)]
    assert what_failed(*failing()) == ()


def test_requests_are_told_apart_by_name():
    """Each of so many of its own."""
    scenario, history = failing((10, SampleOutcome.FAILED, 503))
    history.samples.records["operation"][3005:3100] = 1

    found = what_failed(scenario, history)
    assert {(each.request, each.count, each.total) for each in found} == {("read", 5, 905), ("write", 5, 95)}


def test_failures_that_nobody_promised_anything_about_are_marked():
    """They count in no verdict, and would stand on no page."""
    nothing, something = (
        what_failed(*failing((9, SampleOutcome.FAILED, 503), objectives=promised))
        for promised in ([ERRORS], [ERRORS, {**ERRORS, "during": "fault"}])
    )

    assert [each.is_promised for each in (*nothing, *something)] == [False, True]


def test_a_service_with_too_many_ways_to_fail_fills_no_page():
    """Those that are most frequent are told."""
    ways = [(1 + number % 2, SampleOutcome.FAILED, 400 + number) for number in range(KINDS_MAX + 8)]
    found = what_failed(*failing(*ways))

    assert len(found) == KINDS_MAX
    assert [each.count for each in found[:10]] == [2] * 10


def test_the_page_tells_it():
    """As a share of the requests of its name; and nothing where nothing failed."""
    scenario, history = failing((62, SampleOutcome.FAILED, 503))
    verdict = judge(scenario, history, confidence=0.95)

    page = experiment_page(scenario, history, verdict)
    assert "## What failed" in page
    assert "| fault | read | 503 | 62 of 1\u00a0000 (6.2 %) | ! nothing of it |" in page
    assert failing_of(what_failed(scenario, history)[0]) == "62 of 1\u00a0000 (6.2 %)"
    well, calm = failing()
    assert "What failed" not in experiment_page(well, calm, judge(well, calm, confidence=0.95))
