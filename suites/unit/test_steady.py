"""What runs the core's suites on a busy machine: which suites, with what seed, and what is told of them."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from fixtures.trials.strangers import strangers
from suites.support.dice import VARIABLE, dice_of
from suites.support.steady import Red, Run, main, page, read, suites, told

PROJECT = Path(__file__).parents[2]

REPORT = """<testsuites><testsuite>
<testcase classname="suites.core.test_a" name="test_good"/>
<testcase classname="suites.core.test_a" name="test_skipped"><skipped message="not offered"/></testcase>
<testcase classname="suites.core.test_a" name="test_bad"><failure message="assert 1 == 2&#10;more">long</failure></testcase>
<testcase classname="suites.core.test_b" name="test_broken"><error>no server
more</error></testcase>
</testsuite></testsuites>"""


def test_the_core_is_run_with_all_its_property_tests():
    """Each file of the core's folders, and each property test of a part; none that has nothing to do with it."""
    chosen = suites()

    assert chosen[:2] == ["suites/core", "suites/contract/core"]
    assert {"suites/property/test_pool_machine.py", "suites/property/test_limiter_bounds.py"} < set(chosen)
    assert "suites/property/test_load_rates.py" not in chosen
    assert all((PROJECT / each).exists() for each in chosen)


@pytest.mark.parametrize("code", [1, None])
def test_what_was_red_is_read_from_the_report(tmp_path, code):
    """Failures and errors, each with its test and the first line of why."""
    (tmp_path / "7.xml").write_text(REPORT)

    run = read(tmp_path / "7.xml", "7", spinners=3, took_s=12.3, code=code)

    red = (Red("suites.core.test_a::test_bad", "assert 1 == 2"), Red("suites.core.test_b::test_broken", "no server"))
    assert run == Run("7", 3, 4, 1, 12.3, red)
    assert told(run) == "seed 7 beside 3 busy processes: 4 tests, 1 skipped, 2 red, 12 s"


@pytest.mark.parametrize(("code", "red"), [(0, ()), (2, (Red("pytest", "ended with code 2"),))])
def test_an_end_that_no_test_explains_is_red(tmp_path, code, red):
    """A worker that crashed, or a collection that broke, is no success."""
    (tmp_path / "1.xml").write_text('<testsuites><testcase classname="a" name="b"/></testsuites>')

    assert read(tmp_path / "1.xml", "1", spinners=0, took_s=1, code=code).red == red


def test_the_page_tells_each_run_and_what_was_red_in_it():
    """Sums, a row for each seed, and a row for each red test."""
    text = page(
        [Run("1", 3, 10, 1, 60.4, ()), Run("2", 0, 10, 1, 70.0, (Red("a::b", "x | y"),))],
        day="2026-11-29",
        commit="abc",
    )

    assert "2026-11-29, at abc: **2 runs, 20 tests, 1 red**" in text
    assert "| 1 | 3 | 10 | 1 | 0 | 60 |" in text
    assert "| 2 | 0 | 10 | 1 | 1 | 70 |" in text
    assert "| 2 | `a::b` | x \\| y |" in text


def test_spinners_compute_and_are_gone_afterwards():
    """Each of them uses its core while it is there."""
    with strangers(2) as pids:
        spinning = [psutil.Process(pid) for pid in pids]
        before = [sum(each.cpu_times()[:2]) for each in spinning]
        while not all(sum(each.cpu_times()[:2]) > least for each, least in zip(spinning, before, strict=True)):
            assert all(each.is_running() for each in spinning)

    assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_spinners_are_gone_when_what_is_beside_them_breaks():
    """However it ends."""
    with pytest.raises(OSError, match="broken"), strangers(1) as pids:
        raise OSError("broken")

    assert not psutil.pid_exists(pids[0])


def test_dice_are_the_same_in_each_run_and_others_with_another_seed(monkeypatch):
    """By the seed of the run and by their own number."""

    def thrown(seed: str, number: int) -> float:
        monkeypatch.setenv(VARIABLE, seed)
        return dice_of(number).random()

    monkeypatch.delenv(VARIABLE, raising=False)
    assert dice_of(1).random() == dice_of(1).random() != dice_of(2).random()
    assert thrown("7", 1) == thrown("7", 1)
    assert len({thrown("7", 1), thrown("7", 2), thrown("8", 1), thrown("", 1)}) == 4


@pytest.mark.parametrize("mistake", [["seven"], ["--runs", "many"]])
def test_what_cannot_be_a_seed_is_refused(mistake, capsys):
    """Before anything is started."""
    with pytest.raises(SystemExit):
        main(mistake)

    assert mistake[-1] in capsys.readouterr().err
