"""readiness.toml with its lines: every key is told where it stands."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.spec.toml import lines_of, read_toml

PROJECT = Path(__file__).parents[2]

TEXT = """\
# a comment, and a line that is empty

confidence = 0.95
[system]
name = "a [system.x] in a text"
argv = [
    "one",   # ]
    "two",
]
story = '''
[[not.a.header]]
key = 1
'''
dotted.key = 1
inline = { kind = "redis", b = 2 }
[[objectives]]
sli = "slow"
[[objectives.windows]]
of = "1s"
[objectives.inner]
deep = 1
[[objectives]]
sli = "errors"
[[objectives.windows]]
of = "2s"
[system."quoted.name"]
last = true
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("confidence",), 3),
        (("system",), 4),
        (("system", "name"), 5),
        (("system", "argv"), 6),
        (("system", "story"), 10),
        (("system", "dotted", "key"), 14),
        (("system", "inline"), 15),
        (("objectives",), 16),
        (("objectives", 0), 16),
        (("objectives", 0, "sli"), 17),
        (("objectives", 0, "windows", 0, "of"), 19),
        (("objectives", 0, "inner", "deep"), 21),
        (("objectives", 1, "sli"), 23),
        (("objectives", 1, "windows", 0, "of"), 25),
        (("system", "quoted.name", "last"), 27),
    ],
)
def test_every_key_has_its_line(path, line):
    """Counted from 1; a value of several lines stands where it begins."""
    assert lines_of(TEXT)[path] == line


def test_what_is_in_a_value_is_told_with_the_line_of_its_key():
    """The nearest parent that has a line."""
    document = read_toml(TEXT, name="readiness.toml")

    assert document.place(("system", "argv", 1)) == "readiness.toml:6: system.argv[1]"
    assert document.data == tomllib.loads(TEXT)


def test_what_is_no_toml_is_told_with_its_line():
    """In the parser's own words."""
    with pytest.raises(SpecError, match=r"not TOML: .*line 2"):
        read_toml("a = 1\nb =\n", name="readiness.toml")


@given(st.lists(st.sampled_from(TEXT.splitlines(keepends=True)), max_size=30).map("".join))
def test_whatever_is_toml_has_lines(text):
    """No text that the standard library reads breaks the search for its lines, and each line is one of the text."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return

    assert all(1 <= line <= text.count("\n") for line in lines_of(text).values())
    assert {path[0] for path in lines_of(text)} == set(tomllib.loads(text))
