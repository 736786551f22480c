"""SQL without its values: fingerprints, and statements with numbered parameters."""

from __future__ import annotations

import pytest

from fixtures.reference.core.query import fingerprint
from fixtures.reference.core.query._text import generic


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", "select ?"),
        ("select a from t where b = -5 and c=-5 and d in (-1)", "select a from t where b = ? and c=? and d in (?)"),
        ("select a-1, b - 2 from t", "select a-?, b - ? from t"),
        ("select 1.5, .5, 1e3, 2.5E-3, 1_000", "select ?, ?, ?, ?, ?"),
        ("select t1.a1 from t1 where x2 = 3", "select t1.a1 from t1 where x2 = ?"),
        ("select 'a', 'it''s', ''", "select ?, ?, ?"),
        (r"select E'a\'b', e'\\', B'01', X'1F', N'n', U&'\0041'", "select ?, ?, ?, ?, ?, ?"),
        (r"select 'a\', 1 from t where b = 'c'", "select ?, ? from t where b = ?"),
        ("select $$it's$$, $tag$ $$ 'x' $tag$, 5", "select ?, ?, ?"),
        ('select "A b", "it\'s", "x""1" from "T2"', 'select "A b", "it\'s", "x""1" from "T2"'),
        ("select a -- it's 5\n from t", "select a from t"),
        ("select a /* it's\n 5 */ from t", "select a from t"),
        ("select '--', '/*', 7", "select ?, ?, ?"),
        ("select a from t -- ends here", "select a from t"),
        ("select 'never ends", "select ?"),
        ("select a /* never ends", "select a"),
        ("select a from t;  ", "select a from t"),
        ("select * from t where a = $1 and b = $22", "select * from t where a = ? and b = ?"),
        ("select * from t where a = %s and b = %(name)s", "select * from t where a = ? and b = ?"),
        (
            "select * from t where a = :name and b = ? and c::int = 5",
            "select * from t where a = ? and b = ? and c::int = ?",
        ),
        ("select data ?| array['a', 'b'], data ?& x, data -> 'k'", "select data ?| array[?], data ?& x, data -> ?"),
        ("select a % 5, b %s", "select a % ?, b ?"),
        (
            "select true, b is true, c is not null, d = null, e is distinct from null",
            "select ?, b is true, c is not null, d = ?, e is distinct from ?",
        ),
        ("select nullif(a, 0), trueness from falsehoods", "select nullif(a, ?), trueness from falsehoods"),
        (
            "select * from t where a in (1,2 , 3) and b not in ( 'x' )",
            "select * from t where a in (?) and b not in (?)",
        ),
        ("select * from t where (a, b) in ((1, 2), (3, 4))", "select * from t where (a, b) in (?)"),
        (
            "select * from t where a in (select b from c where d = 1)",
            "select * from t where a in (select b from c where d = ?)",
        ),
        ("select * from t where a in (1, b, 2)", "select * from t where a in (?, b, ?)"),
        ("insert into t (a, b) values (1, 2), (3, 4), (5, 6)", "insert into t (a, b) values (?, ?)"),
        ("insert into t values (1, now()), (2, now())", "insert into t values (?, now()), (?, now())"),
        ("select array[1, 2, 3], array[1]", "select array[?], array[?]"),
        ("select interval '1 day', date '2026-01-01'", "select interval ?, date ?"),
        ("", ""),
        ("no sql at all 'x", "no sql at all ?"),
    ],
)
def test_fingerprint_has_no_values(sql, expected):
    """Values, comments and layout are gone, names and operators stay; a fingerprint's fingerprint is itself."""
    assert fingerprint(sql) == expected
    assert fingerprint(expected) == expected


@pytest.mark.parametrize(
    ("sql", "expected", "slots"),
    [
        ("SELECT * FROM t WHERE a = 5 AND b = 'x'", "SELECT * FROM t WHERE a = $1 AND b = $2", ("5", "'x'")),
        (
            "SELECT * FROM t WHERE a = $2 AND b = $1 AND c = $2",
            "SELECT * FROM t WHERE a = $1 AND b = $2 AND c = $1",
            ("$2", "$1"),
        ),
        ("SELECT %s, %s, %(a)s, %(a)s", "SELECT $1, $2, $3, $3", ("%s", "%s", "%(a)s")),
        ("SELECT :a::int, :b, :a", "SELECT $1::int, $2, $1", (":a", ":b")),
        ("SELECT 5, 5", "SELECT $1, $2", ("5", "5")),
        ("SELECT interval '1 day', DATE '2026-01-01'", "SELECT $1::interval, $2::DATE", ("'1 day'", "'2026-01-01'")),
        ("SELECT a FROM t LIMIT 10 OFFSET 20", "SELECT a FROM t LIMIT 10 OFFSET 20", ()),
        ("SELECT a FROM t FETCH FIRST 5 ROWS ONLY", "SELECT a FROM t FETCH FIRST 5 ROWS ONLY", ()),
        ("SELECT a FROM t LIMIT $1", "SELECT a FROM t LIMIT $1", ("$1",)),
        ("SELECT $$x$$ -- 5\n;", "SELECT $1", ("$$x$$",)),
        ('SELECT "5" FROM t5', 'SELECT "5" FROM t5', ()),
    ],
)
def test_generic_statement_has_a_parameter_for_each_value(sql, expected, slots):
    """PostgreSQL can plan it for any value; what stood there is told, a placeholder that is there twice once."""
    said = generic(sql)

    assert (said.text, said.slots) == (expected, slots)


@pytest.mark.parametrize(
    ("sql", "binds", "values"),
    [
        ("SELECT $2, $1, $2", ["a", "b"], ["b", "a"]),
        ("SELECT %s, 7, %s", ["a", "b"], ["a", "7", "b"]),
        ("SELECT ?, ?", ("a", "b"), ["a", "b"]),
        ("SELECT %(x)s, :y", {"x": 1, "y": 2}, [1, 2]),
        ("SELECT $1, $2", ["a"], ["a", None]),
        ("SELECT %(x)s", ["a"], [None]),
        ("SELECT %s", {"x": 1}, [None]),
    ],
)
def test_generic_statement_finds_the_value_of_each_parameter(sql, binds, values):
    """By number, by order, or by name, as the placeholder has it; nothing where nothing was given."""
    said = generic(sql)

    assert [said.value(number, binds) for number in range(1, len(said.slots) + 1)] == values
