"""Fingerprints under any values, layout and text; invariant QO1."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from fixtures.reference.core.query import fingerprint
from fixtures.reference.core.query._text import TOKEN, generic

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
values = st.one_of(
    st.integers(-(10**12), 10**12).map(str),
    st.decimals(-1000, 1000, places=3).map(str),
    texts.map(lambda text: "'" + text.replace("'", "''") + "'"),
    texts.map(lambda text: "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"),
    texts.filter(lambda text: "$q$" not in text and not text.endswith("$q")).map(lambda text: f"$q${text}$q$"),
    st.sampled_from(["$1", "%s", "%(name)s", ":name", "true", "false", "null"]),
)
spaces = st.sampled_from([" ", "  ", "\n", "\t", " -- it's\n", " /* 'x' */ "])
STATEMENT = 'select a1 , "B 2" from t3 where a1 = {} and c > {} and d in ( {} ) limit 5'
SQL = st.text(st.sampled_from("ab1 .,'\"$%:?-/*()=<>\\\n;E_"), max_size=40)


@given(st.tuples(values, values), st.lists(values, min_size=1, max_size=5), spaces)
def test_values_and_layout_make_no_difference(two, listed, space):
    """Whatever is asked with, in whatever layout, is one statement."""
    sql = STATEMENT.format(*two, ", ".join(listed))

    # White space within a text is a value; so only that of the statement itself is laid out anew.
    laid_out = STATEMENT.replace(" ", space).replace(f'"B{space}2"', '"B 2"').format(*two, ", ".join(listed))

    expected = 'select a1 , "B 2" from t3 where a1 = ? and c > ? and d in (?) limit ?'
    assert fingerprint(sql) == expected
    assert fingerprint(laid_out) == expected


@given(SQL)
@example("'")
@example('"')
@example("$$")
@example("/*")
def test_any_text_has_a_fingerprint_that_is_stable(text):
    """No text is an error, SQL or not; a fingerprint's fingerprint is itself, and it is no longer than twice the text."""
    once = fingerprint(text)

    assert fingerprint(once) == once
    assert len(once) <= 2 * len(text) + 2


@given(SQL)
def test_quick_and_careful_reading_agree(text):
    """What is a value is the same for fingerprints and for generic statements, where there are no rare forms."""
    said = generic(text)

    assert all(f"${n}" in said.text for n in range(1, len(said.slots) + 1))
    assert len(said.slots) <= sum(1 for token in TOKEN.finditer(text) if token["name"] is None)


@given(st.lists(st.integers(), min_size=1, max_size=8))
def test_generic_statement_holds_no_value(numbers):
    """Every value is in its slots and none in its text."""
    sql = "select * from t where " + " and ".join(f"c = '{number} secret'" for number in numbers)  # noqa: S608 - not run

    said = generic(sql)

    assert "secret" not in said.text
    assert said.slots == tuple(f"'{number} secret'" for number in numbers)
