"""Places that mutants are drawn from, what is drawn, and what the page says of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from fixtures.defects.mutants import PROJECT, mutants_of, parts
from fixtures.defects.mutants._drawn import CORE, Drawn, all_in, drawn, suite_of
from fixtures.defects.mutants._explained import REASONS, reason_of
from fixtures.defects.mutants._page import DRAWN, Told, page, with_drawn
from fixtures.defects.mutants._places import OPERATORS, is_another_program, places_of
from fixtures.defects.mutants._trial import Fate


def becoming(text: str, operator: str) -> list[str]:
    """Return what the first lines of a text become by the places of one operator."""
    return [place.text_in(text) for place in places_of(text) if place.operator == operator]


@pytest.mark.parametrize(
    ("operator", "text", "becomes"),
    [
        pytest.param("comparison", "a < b", ["a <= b"], id="a boundary"),
        pytest.param("comparison", "a <= b < c", ["a < b < c", "a <= b <= c"], id="each of a chain"),
        pytest.param("comparison", "a is None", ["a is not None"], id="its opposite"),
        pytest.param("arithmetic", "a + b * c", ["a - b * c", "a + b / c"], id="each of a sum"),
        pytest.param("arithmetic", "a += 2", ["a -= 2"], id="a counter"),
        pytest.param("arithmetic", "a = 'x' + b", [], id="texts cannot be subtracted"),
        pytest.param("arithmetic", "-a", ["a"], id="a sign"),
        pytest.param("arithmetic", "min(a, b)", ["max(a, b)"], id="the other extreme"),
        pytest.param("logic", "a and b", ["(a or b)"], id="and"),
        pytest.param("logic", "not a", ["a"], id="not"),
        pytest.param("logic", "f(True)", ["f(False)"], id="a flag"),
        pytest.param("logic", "while a:\n    pass", ["while (not a):\n    pass"], id="a condition"),
        pytest.param("number", "f(5)", ["f(4)", "f(6)"], id="one more and one less"),
        pytest.param("number", "f(0.5, True)", ["f(-0.5, True)", "f(1.5, True)"], id="a flag is no number"),
        pytest.param("await", "async def f():\n    await g()", ["async def f():\n    g()"], id="an await forgotten"),
        pytest.param("arguments", "f(a, b, *c, d=1)", ["f(b, a, *c, d=1)"], id="neighbours, and none that is many"),
        pytest.param("arguments", "min(a, b)", [], id="no order that matters"),
        pytest.param("statement", "f()\na.b = 1\nc = 2", ["pass\na.b = 1\nc = 2", "f()\npass\nc = 2"], id="no name"),
        pytest.param("statement", '"doc"\n...', [], id="a text does nothing"),
        pytest.param(
            "return",
            'def f():\n    "doc"\n    g()\n    return 1',
            ['def f():\n    "doc"\n    return\n    g()\n    return 1'],
            id="too early",
        ),
    ],
)
def test_a_place_is_one_small_mistake(operator, text, becomes):
    """Of one kind, and the rest of the text as it stands."""
    assert becoming(text, operator) == becomes


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("import a\nfrom a import b", id="imports"),
        pytest.param("if TYPE_CHECKING:\n    a = 1 + 2", id="what only the checker of types reads"),
        pytest.param("def f(a: Literal[1] = b) -> Literal[2]: ...", id="annotations"),
        pytest.param("@f(1, 2)\nclass A: ...", id="decorators"),
        pytest.param("a = f'{1 + 2}'", id="the inside of a text"),
        pytest.param("class A:\n    def __repr__(self):\n        return 1 + 2", id="how it shows itself"),
    ],
)
def test_what_is_no_behaviour_is_left_alone(text):
    """A change there would be noticed by no suite, or by any import."""
    assert places_of(text) == []


def test_a_place_is_found_behind_letters_of_several_bytes():
    """The parser counts bytes, and a text is made of characters."""
    assert becoming("a = 'ä€𝄞', b < c", "comparison") == ["a = 'ä€𝄞', b <= c"]


def test_what_says_the_same_or_nothing_is_no_mistake():
    """It could not be noticed, or not by a test."""
    assert is_another_program("f(a, b)", "f(b, a)")
    assert not is_another_program("f(a)", "f( a )")
    assert not is_another_program("f(a)", "f(a")


@pytest.fixture(scope="module")
def everything() -> list[Drawn]:
    """All that could be drawn."""
    return all_in(PROJECT)


def test_every_part_and_every_operator_may_be_drawn(everything):
    """The bound speaks of all of them."""
    of_core = {part for part in parts() if (PROJECT / CORE / part).is_dir()}

    assert {mutant.part for mutant in everything} == of_core
    assert {mutant.place.operator for mutant in everything} == {*OPERATORS, "statement", "return"}
    assert [name for name, times in Counter(mutant.id for mutant in everything).items() if times > 1] == []


def test_a_seed_draws_the_same_again_and_another_does_not(everything):
    """A rate that cannot be had again is no evidence."""
    first, again, other = (drawn(6, seed=seed, of=everything, project=PROJECT) for seed in (1, 1, 2))

    assert first == again != other
    assert len({mutant.id for mutant in first}) == 6
    for mutant in first:
        assert is_another_program((PROJECT / mutant.file).read_text(), mutant.text_in(PROJECT))


def test_only_so_many_are_drawn_as_there_are(everything):
    """None twice."""
    assert drawn(5, seed=1, of=everything[:3], project=PROJECT) == everything[:3]


def test_a_drawn_mutant_is_tried_on_all_tests_of_its_part():
    """Those of its folder, of the contract, its properties, and the limits of policies and settings; not those of a namesake."""
    assert suite_of("breaker", PROJECT) == [
        "suites/core/breaker",
        "suites/contract/core/test_breaker_contract.py",
        "suites/property/test_breaker_machine.py",
        "suites/core/test_policies.py",
        "suites/core/test_settings.py",
    ]
    for part in (part for part in parts() if (PROJECT / CORE / part).is_dir()):
        for path in suite_of(part, PROJECT):
            assert (PROJECT / path).exists()


def test_a_reason_is_one_for_a_place_that_there_is(everything):
    """A line that was changed since is looked at again."""
    known = {(mutant.file.partition("/core/")[2], mutant.line, mutant.place.new) for mutant in everything}

    assert set(REASONS) - known == set()


def some(everything: list[Drawn], operator: str) -> Drawn:
    return next(mutant for mutant in everything if mutant.place.operator == operator)


def told(**reasons: str) -> Told:
    return Told(
        day="2026-11-29",
        commit="abc1234",
        count=4,
        seed=7,
        places=7000,
        reason_of=lambda mutant: reasons.get(mutant.place.operator),
    )


def test_the_page_tells_of_drawn_mutants_where_they_survived(everything):
    """With the rate of those whose tests were reached, the reason where there is one, and what is missing where not."""
    chosen = [some(everything, operator) for operator in ("comparison", "number", "statement", "return")]
    fates = dict(
        zip([mutant.id for mutant in chosen], [Fate.KILLED, Fate.SURVIVED, Fate.SURVIVED, Fate.BROKEN], strict=True)
    )

    text = with_drawn("", chosen, fates, told=told(number="no | matter"))

    assert (
        "2026-11-29, at abc1234, 4 of 7000 places: **1 of 3 killed, 33.3% (at least 1.7% at 95 %)**; with 1 more"
        in text
    )
    rows = [line for line in text.splitlines() if line.startswith("| [")]
    _, number, statement, _ = chosen
    assert rows == [
        f"| {link(number)} | `{number.line}` | `{number.old}` is `{number.place.new}` | no \\| matter |",
        f"| {link(statement)} | `{statement.line}` | is left out | a test is missing |",
    ]


def link(mutant: Drawn) -> str:
    return f"[{mutant.where.removeprefix(CORE + '/')}](../{mutant.file}#L{mutant.place.line})"


def test_each_half_of_the_page_is_kept_when_the_other_is_written(everything):
    """They are written by two runs."""
    listed, one = mutants_of("store")[0], some(everything, "number")
    of_list = page([listed], {listed.id: Fate.KILLED}, day="2026-11-29", commit="abc1234")
    both = with_drawn(of_list, [one], {one.id: Fate.SURVIVED}, told=told())

    again = page(
        [replace(listed, breaks="else")], {listed.id: Fate.KILLED}, day="2026-11-30", commit="def5678", before=both
    )

    assert both.startswith(of_list.rstrip())
    assert again.count(DRAWN) == 1
    assert again.partition(DRAWN)[2] == both.partition(DRAWN)[2]
    assert "| else |" in again
    assert with_drawn(again, [one], {one.id: Fate.SURVIVED}, told=told()) == again


def test_a_reason_is_found_by_what_stands_there(everything, monkeypatch):
    """Not by the number of its line, which changes with what stands above."""
    one = some(everything, "number")
    monkeypatch.setitem(REASONS, (one.file.removeprefix(CORE + "/"), one.line, one.place.new), "a tie")

    assert reason_of(replace(one, place=replace(one.place, line=1))) == "a tie"
    assert reason_of(replace(one, line="another")) is None
