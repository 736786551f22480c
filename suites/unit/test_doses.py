"""Asked against seen: each kind has its example, and a page that says what was not seen."""

from __future__ import annotations

import pytest
import yaml

from fixtures.trials.doses import EXAMPLES, Seen, asked_of, known, page, seen_of, story
from harness.options import settings_of
from harness.plan import check_faults, read_source
from suites.support.servers import PROJECT

MARK = {
    "kind": "latency",
    "fault": "redis +120ms",
    "planned": [5.0, 9.0],
    "injected_s": 5.012,
    "healed_s": 9.1,
    "doses": [{"at_s": 5.1, "is_delivered": True, "seen": "a | b"}, {"at_s": 8.0, "is_delivered": True, "seen": "c"}],
}


def test_an_option_of_the_run_is_no_kind_and_its_value_neither():
    """A seed was taken for the name of a kind."""
    assert asked_of(["--seed", "1", "--kind", "reset", "--kind", "slicer"]) == (["reset", "slicer"], ["--seed", "1"])
    assert asked_of([]) == ([], [])
    with pytest.raises(SystemExit):
        asked_of(["--kind", "earthquake"])


def test_every_kind_has_an_example():
    """A new one comes with a line, or the page would not speak of it."""
    assert known() - set(EXAMPLES) == set()


def test_the_scenario_is_one_that_runs(tmp_path):
    """Every window is long enough for its looks on the reference service, and no fault hides another."""
    path = tmp_path / "doses.yaml"
    path.write_text(yaml.safe_dump(story({kind: EXAMPLES[kind] for kind in EXAMPLES if kind in known()})))
    source = read_source(path)

    check_faults(source, settings_of(PROJECT), "quick")
    assert {action.spec.kind for action in source.scenario.actions} == known()


def test_what_was_seen_is_read_from_the_evidence():
    """How late it came, how long it was there, and every look."""
    (seen,) = seen_of({"faults": [MARK]})

    assert seen.row() == "| `latency` | redis +120ms | a / b | c | yes | 12 ms | 4.1 s |\n"


@pytest.mark.parametrize(
    ("doses", "cells"),
    [
        ([], "| – | as first | **no** |"),
        ([{"at_s": 5.1, "is_delivered": False, "seen": "a"}], "| a | as first | **no** |"),
        ([MARK["doses"][0], {"at_s": 8.0, "is_delivered": False, "seen": "c"}], "| a / b | c | **no** |"),
        ([MARK["doses"][0]], "| a / b | as first | yes |"),
    ],
)
def test_a_dose_that_was_not_seen_at_every_look_stands_out(doses, cells):
    """No look at all proves nothing."""
    (seen,) = seen_of({"faults": [{**MARK, "doses": doses, "healed_s": None}]})

    assert cells in seen.row()
    assert seen.row().endswith("| – |\n")


def test_the_page_counts_what_was_seen():
    """And says when, at what, and on what."""
    (one,) = seen_of({"faults": [MARK]})
    other = Seen("down", "redis down", (), is_delivered=False, late_s=0.0, lasted_s=None)

    text = page([one, other], day="2026-11-30", commit="abc", machine="2 cores")

    assert "2026-11-30, at abc, on 2 cores: **1 of 2** kinds were seen at every look." in text
    assert text.endswith(one.row() + other.row())
