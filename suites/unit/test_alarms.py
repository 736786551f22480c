"""How often the gate cries wolf: what is counted, how sure that is, and what the page keeps."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fixtures.trials.alarms import HEAD, Series, add_to, main
from fixtures.trials.series import Judged, judged
from harness.verdict.outcome import Outcome

PASS = Judged(1, "no-fault", Outcome.PASS, "pass: 3 objectives kept")
WRONG = Judged(2, "redis-down", Outcome.FAIL, "fail: slow | or not")
UNCLEAR = Judged(3, "redis-down", Outcome.INCONCLUSIVE, "inconclusive: errors 0.000 %")
BROKEN = Judged(4, "", Outcome.ERROR, "the run ended with exit code 3 and without a verdict")

QUIET = Series(
    day="2026-11-30", commit="abc", machine="2 cores", strangers=1, runs=59, took_s=3600.0, verdicts=(PASS,) * 59
)


def test_no_wrong_fail_of_59_is_at_most_5_percent():
    """One of 58 verdicts less, and it would not be: the bound is exact."""
    assert "| 1 | 59 | 59 | 0 | 4.95% | 0 | 0 | 60 min | – |" in QUIET.row()
    assert "| 58 | 0 | 5.03% |" in replace(QUIET, verdicts=(PASS,) * 58).row()


def test_each_verdict_is_counted_as_what_it_is():
    """A wrong fail, what could not be told, and what broke; each is told with its seed, in one cell."""
    row = replace(QUIET, verdicts=(PASS, WRONG, UNCLEAR, BROKEN)).row()

    told = (
        "seed 2, redis-down: fail: slow / or not; seed 3, redis-down: inconclusive: errors 0.000 %; "
        "seed 4, no scenario: the run ended with exit code 3 and without a verdict"
    )
    assert row.endswith(f"| 4 | 1 | 75.14% | 1 | 1 | 60 min | {told} |\n")
    assert row.count(" | ") == HEAD.splitlines()[-1].count("|") - 2


@pytest.mark.parametrize(
    ("verdicts", "is_quiet"),
    [((PASS,), True), ((PASS, UNCLEAR), True), ((PASS, WRONG), False), ((PASS, BROKEN), False), ((), False)],
)
def test_a_wrong_fail_and_an_error_are_alarms(verdicts, is_quiet):
    """What could not be told is none; of no verdicts nothing is known."""
    assert replace(QUIET, verdicts=verdicts).is_quiet is is_quiet


def test_a_page_keeps_what_was_there(tmp_path):
    page = tmp_path / "alarms.md"

    add_to(page, "| one |\n")
    add_to(page, "| two |\n")

    assert page.read_text() == HEAD + "| one |\n| two |\n"


def test_verdicts_are_read_from_the_run(tmp_path):
    claims = [{"sli": "slow", "outcome": "fail"}, {"sli": "errors", "outcome": "pass"}]
    said = [
        {"scenario": "a", "outcome": "pass", "sentence": "fine", "claims": claims[1:]},
        {"scenario": "b", "outcome": "fail", "sentence": "bad", "claims": claims},
    ]
    (tmp_path / "run").mkdir()
    (tmp_path / "run/verdict.json").write_text(json.dumps({"experiments": said}))

    found = judged(tmp_path, seed=7, code=1)

    assert found == (Judged(7, "a", Outcome.PASS, "fine"), Judged(7, "b", Outcome.FAIL, "bad", frozenset({"slow"})))


@pytest.mark.parametrize("left", [(), ("run",), ("one", "two")], ids=["nothing", "no verdict", "two runs"])
def test_a_run_without_a_verdict_is_an_error(tmp_path, left):
    for name in left:
        (tmp_path / name).mkdir()

    (found,) = judged(tmp_path, seed=7, code=3)

    assert (found.outcome, found.scenario) == (Outcome.ERROR, "")
    assert "exit code 3" in found.sentence


@pytest.mark.parametrize("arguments", [["--runs", "0"], ["--beside", "-1"]])
def test_a_series_of_nothing_is_refused(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)

    assert "--runs is 1 or more" in capsys.readouterr().err
