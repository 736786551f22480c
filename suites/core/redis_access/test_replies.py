"""What Redis answers is of the kind that its command has, or an error that says what came instead."""

from __future__ import annotations

import re

import pytest

from fixtures.reference.core.redis_access import BadValue
from fixtures.reference.core.redis_access import _replies as replies

WHERE = ("one", "two")


@pytest.mark.parametrize(
    ("read", "reply", "value"),
    [
        (replies.integer, 7, 7),
        (replies.flag, 0, False),
        (replies.flag, True, True),  # the client makes bools of some
        (replies.number, 1.5, 1.5),
        (replies.raw, b"x", b"x"),
        (replies.raw_or_none, b"x", b"x"),
        (replies.raw_or_none, None, None),
        (replies.items, [], []),
        (replies.items, {b"x"}, [b"x"]),
        (replies.pairs, [[b"x", 1.5]], [(b"x", 1.5)]),
        (replies.table, {b"x": b"1"}, {"x": b"1"}),
    ],
)
def test_reply_of_its_kind_is_taken(read, reply, value):
    """As what it means."""
    taken = read(WHERE, reply)

    assert taken == value
    assert type(taken) is type(value)


@pytest.mark.parametrize(
    ("read", "reply", "said"),
    [
        (replies.integer, b"7", "with bytes, not with an integer"),
        (replies.integer, True, "with bool, not with an integer"),
        (replies.flag, 2, "with int, not with 0 or 1"),
        (replies.flag, b"1", "with bytes, not with 0 or 1"),
        (replies.number, 1, "with int, not with a double"),
        (replies.raw, "x", "with str, not with a string"),
        (replies.raw_or_none, 1, "with int, not with a string"),
        (replies.items, b"x", "with bytes, not with a list"),
        (replies.pairs, [[1, 1.5]], "with int, not with a string"),
        (replies.pairs, [[b"x", 1]], "with int, not with a double"),
        (replies.table, [b"x", b"1"], "with list, not with fields"),
        (replies.table, {b"x": 1}, "with int, not with a string"),
    ],
)
def test_reply_of_another_kind_is_an_error_that_names_both(read, reply, said):
    """And the keys that were asked for: a script, or another client's protocol, changed what comes."""
    with pytest.raises(BadValue, match=f"one, two.*Redis answers {re.escape(said)}"):
        read(WHERE, reply)


def test_reply_of_another_length_is_an_error_that_says_which():
    """One for each key, or the values would be those of other keys."""
    assert replies.items(WHERE, [1, 2], count=2) == [1, 2]
    with pytest.raises(BadValue, match=r"one, two.*Redis answers with list, not with a list of 3"):
        replies.items(WHERE, [1, 2], count=3)
