"""The lists of mutants fit the project as it stands, so that a run of them tries what it says."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from functools import reduce
from importlib import import_module

import pytest

from fixtures.defects.mutants import PROJECT, Mutant, mutants, mutants_of, parts
from fixtures.defects.mutants._page import Tally, is_as_said, page, parts_in, tally
from fixtures.defects.mutants._trial import Fate

ALL = [pytest.param(mutant, id=mutant.id) for mutant in mutants()]


@pytest.mark.parametrize("mutant", ALL)
def test_a_mutant_changes_one_place_of_a_file_of_the_product(mutant):
    """What it replaces stands there once; what comes of it is still Python, or no test would get as far as to fail."""
    assert mutant.file.startswith(("fixtures/reference/", "harness/"))

    ast.parse(mutant.text_in(PROJECT))


@pytest.mark.parametrize("mutant", ALL)
def test_a_mutant_names_a_test_that_there_is(mutant):
    """In a file of the suites; a case in brackets is left to pytest, which refuses one that there is not."""
    path, *names = mutant.killed_by.partition("[")[0].split("::")

    module = import_module(path.removesuffix(".py").replace("/", "."))

    assert path.startswith("suites/")
    assert names
    assert callable(reduce(getattr, names, module))
    assert names[-1].startswith(("test", "runTest"))


@pytest.mark.parametrize("mutant", ALL)
def test_a_mutant_says_what_it_breaks(mutant):
    """In one clause, for the page; and why it breaks nothing, if that is so."""
    assert mutant.breaks == mutant.breaks.strip()
    assert mutant.breaks
    assert not mutant.breaks.endswith(".")
    assert mutant.equivalent is None or mutant.equivalent.strip()


@pytest.mark.parametrize("part", parts())
def test_a_list_holds_the_mutants_of_its_part(part):
    """Each is named after it, so that a part can be tried alone."""
    listed = mutants_of(part)

    assert {mutant.part for mutant in listed} == {part}
    assert [mutant.id for mutant in listed if not mutant.id.startswith(f"{part.replace('_', '-')}-")] == []


def test_no_two_mutants_share_a_name_or_a_change():
    """One that stands there twice would count twice."""
    named = Counter(mutant.id for mutant in mutants())
    changes = Counter((mutant.file, mutant.old, mutant.new) for mutant in mutants())

    assert [name for name, times in named.items() if times > 1] == []
    assert [change for change, times in changes.items() if times > 1] == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param("no such text", "", "occurs 0 times in", id="nowhere"),
        pytest.param("import", "", r"occurs \d\d times in", id="in several places"),
        pytest.param("class Store:", "class Store:", "nothing changes in", id="the same again"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(old, new, said):
    """It would leave the core as it is, and its test would pass."""
    mutant = replace(mutants_of("store")[0], file="fixtures/reference/core/store/_store.py", old=old, new=new)

    with pytest.raises(ValueError, match=said):
        mutant.text_in(PROJECT)


def test_a_mutant_is_found_by_being_in_the_list_of_its_part():
    """No list of lists could forget a part."""
    assert all(isinstance(mutant, Mutant) for mutant in mutants())
    assert "store" in parts()


NOTICED = replace(mutants_of("store")[0], id="store-noticed", breaks="a | b")
HARMLESS = replace(NOTICED, id="store-harmless", equivalent="the same number")


@pytest.mark.parametrize(
    ("mutant", "fate", "is_so"),
    [
        pytest.param(NOTICED, Fate.KILLED, True, id="noticed"),
        pytest.param(NOTICED, Fate.HUNG, True, id="noticed by hanging"),
        pytest.param(NOTICED, Fate.SURVIVED, False, id="a test is missing"),
        pytest.param(NOTICED, Fate.BROKEN, False, id="no test was asked"),
        pytest.param(HARMLESS, Fate.SURVIVED, True, id="harmless as its reason says"),
        pytest.param(HARMLESS, Fate.KILLED, False, id="not harmless at all"),
        pytest.param(HARMLESS, Fate.BROKEN, False, id="said to be harmless without a look"),
    ],
)
def test_a_mutant_meets_the_end_that_its_list_gives_it(mutant, fate, is_so):
    """A survivor needs a reason, and a reason needs a survivor."""
    assert is_as_said(mutant, fate) == is_so


@pytest.mark.parametrize(("killed", "is_enough"), [(95, True), (94, False)])
def test_enough_are_killed_of_all_that_there_are(killed, is_enough):
    """Nineteen in twenty; those that are said to change nothing count among the twenty."""
    listed = [NOTICED] * killed + [HARMLESS] * (100 - killed)

    counted = tally(listed, {NOTICED.id: Fate.KILLED, HARMLESS.id: Fate.SURVIVED})

    assert counted.is_enough == is_enough
    assert f"{killed} of 100 killed" in str(counted)


def test_the_rate_has_its_exact_bound():
    """All of 59 killed: at least 95 % with 95 % confidence, and not with one less; the rule of three, exactly."""
    assert tally([NOTICED] * 59, {NOTICED.id: Fate.KILLED}).at_least >= 0.95 > Tally(58, 58).at_least


def test_nothing_tried_says_nothing():
    """Where the tests of all were red anyway."""
    assert str(tally([], {})) == "0 of 0 killed, 0.0% (at least 0.0% at 95 %)"
    assert not tally([], {}).is_enough


def test_the_page_tells_of_each_mutant_what_became_of_it():
    """With day, commit, the rate of all, and the reason of a survivor."""
    text = page(
        [NOTICED, HARMLESS], {NOTICED.id: Fate.KILLED, HARMLESS.id: Fate.SURVIVED}, day="2026-11-29", commit="abc1234"
    )

    assert "**1 of 2 killed, 50.0% (at least 2.5% at 95 %)**" in text
    assert "| store | 2 | 1 | 1 | 2026-11-29, abc1234 |" in text
    test = f"[`{NOTICED.killed_by.split('::')[1]}`](../{NOTICED.killed_by.split('::')[0]})"
    assert f"| store-noticed | a \\| b | killed | {test} |" in text
    assert f"| store-harmless | a \\| b | survived: the same number | {test} |" in text


OTHER = replace(mutants_of("pool")[0], id="pool-noticed", breaks="c")
KILLED = {NOTICED.id: Fate.KILLED, HARMLESS.id: Fate.SURVIVED, OTHER.id: Fate.KILLED}


def test_a_part_that_is_tried_leaves_what_is_told_of_others():
    """With the commit that each was tried at; the rate is that of all."""
    before = page([NOTICED, HARMLESS], KILLED, day="2026-11-29", commit="abc1234")

    both = page([OTHER], KILLED, day="2026-11-30", commit="def5678", before=before)
    again = page([NOTICED], KILLED, day="2026-12-01", commit="abc9999", before=both)

    assert [line for line in both.splitlines() if line.startswith(("| pool |", "| store |"))] == [
        "| pool | 1 | 1 | 0 | 2026-11-30, def5678 |",
        "| store | 2 | 1 | 1 | 2026-11-29, abc1234 |",
    ]
    assert "**2 of 3 killed" in both
    assert parts_in(both)["store"] == parts_in(before)["store"]
    assert "| store | 1 | 1 | 0 | 2026-12-01, abc9999 |" in again
    assert "store-harmless" not in again


def test_a_part_that_is_listed_no_more_is_told_no_more():
    before = page([replace(NOTICED, part="gone")], KILLED, day="2026-11-29", commit="abc1234")

    assert list(parts_in(page([OTHER], KILLED, day="2026-11-30", commit="def5678", before=before))) == ["pool"]


def test_the_page_is_what_its_lists_are():
    """Every part that it tells of has a list, and a row for each mutant that it counts."""
    told = parts_in((PROJECT / "docs/mutants.md").read_text())

    assert set(told) <= set(parts())
    for part in told.values():
        assert len(part.rows) == part.tally.total
