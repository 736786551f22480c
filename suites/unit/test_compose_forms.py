"""What Compose writes in several forms, read as one: variables, files of variables, durations, sizes, ports."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.deployment.dotenv import read_variables
from harness.deployment.forms import listed, mapping, ports, seconds, size_bytes, switch, whole, words
from harness.deployment.interpolation import Filling
from harness.errors import SpecError

SET = {"A": "a", "EMPTY": "", "B_2": "b"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("$A-${A}_$B_2", "a-a_b"),
        ("$$A $$$A", "$A $a"),
        ("${A:-x}${A-x}", "aa"),
        ("${EMPTY:-x}${EMPTY-x}", "x"),
        ("${NONE:-x}${NONE-y}", "xy"),
        ("${NONE:-}", ""),
        ("${A:+x}${A+x}", "xx"),
        ("${EMPTY:+x}${EMPTY+y}", "y"),
        ("${NONE:+x}${NONE+y}", ""),
        ("${NONE:-${A}/${NONE:-$B_2}}!", "a/b!"),
        ("${NONE:-{}}", "{}"),
        ("${A?why}${EMPTY?why}", "a"),
        ("redis://${NONE:-h}:6379", "redis://h:6379"),
    ],
)
def test_a_variable_is_what_compose_makes_of_it(text, filled):
    """With and without braces; a colon counts an empty one as none; words may hold variables."""
    assert Filling(SET).text(text, where="here") == filled


@pytest.mark.parametrize("text", ["${NONE?which}", "${NONE:?which}", "${EMPTY:?which}"])
def test_a_variable_that_must_be_set_is_asked_for(text):
    """With the words that the file has for it."""
    with pytest.raises(SpecError, match="must be set: which") as caught:
        Filling(SET).text(text, where="compose.yaml:3: x")

    assert caught.value.where == "compose.yaml:3: x"


@pytest.mark.parametrize(
    "text", ["${", "${}", "${A", "${1}", "$ ", "$", "${A!x}", "${A:x}", "${" * 20 + "A" + "}" * 20]
)
def test_what_is_no_variable_is_refused(text):
    """With what a dollar is written as."""
    with pytest.raises(SpecError, match="no variable") as caught:
        Filling(SET).text(text, where="here")

    assert "$$" in caught.value.fix


def test_what_nothing_sets_is_empty_and_remembered_where_it_was_first_asked_for():
    """But not where a word stands in for it."""
    filling = Filling(SET)

    assert filling.text("$NONE${OTHER:-x}", where="first") + filling.text("${NONE}", where="second") == "x"
    assert filling.unset == {"NONE": "first"}


@given(st.text(alphabet="ab{}: -/", max_size=30))
def test_a_text_without_a_dollar_stays_as_it_is(text):
    """Whatever braces are in it."""
    assert Filling({}).text(text, where="here") == text


@given(st.text(max_size=30))
def test_a_doubled_dollar_is_a_way_to_write_any_text(text):
    """So that nothing is out of reach."""
    assert Filling({}).text(text.replace("$", "$$"), where="here") == text


@given(st.text(alphabet="$A{}:-+?x", max_size=14))
def test_any_text_is_filled_in_or_refused_with_its_place(text):
    """And never anything else: no error of another kind, whatever is open or empty."""
    with contextlib.suppress(SpecError):
        assert isinstance(Filling({"A": "v"}).text(text, where="here"), str)


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("A=1\nB = two words \n", {"A": "1", "B": "two words"}),
        ("# no\n\n  export A=1 # remark\nB=x#y\n", {"A": "1", "B": "x#y"}),
        ("A='$X \\n #'\n", {"A": "$X \\n #"}),
        ('A="a\\n\\"b\\" $K \\$K"\n', {"A": 'a\n"b" known $K'}),
        ('A="one\ntwo" # remark\nB=$A\n', {"A": "one\ntwo", "B": "one\ntwo"}),
        ("A=${K:-x}\r\nB=${NONE:-x}", {"A": "known", "B": "x"}),
        ("K\nNONE\nA=", {"K": "known", "A": ""}),
        ("\ufeffA: 1\n", {"A": "1"}),
    ],
)
def test_a_file_of_variables_is_read_as_compose_reads_it(text, variables):
    """Quotes, remarks, lines that go on, variables of before and of the caller."""
    assert read_variables(text, name=".env", known={"K": "known"}) == variables


@pytest.mark.parametrize(
    ("text", "said", "where"),
    [
        ("A=1\n=2\n", "no variable", ".env:2"),
        ("A=1\n\nB='x\n", "not closed", ".env:3"),
        ("A='x' y\n", "'y' follows", ".env:1"),
        ("A B\n", "'B' follows", ".env:1"),
        ("A=${\n", "no variable", ".env:1"),
    ],
)
def test_a_line_that_is_no_variable_is_named(text, said, where):
    """With its number."""
    with pytest.raises(SpecError, match=said) as caught:
        read_variables(text, name=".env", known={})

    assert caught.value.where == where


@given(
    st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,5}", fullmatch=True), st.text(alphabet="a$\"\\#' \n", max_size=8))
)
def test_any_value_can_be_written_in_double_quotes(variables):
    """And comes back as it was."""
    lines = (
        f'{name}="{value.translate({ord(each): chr(92) + each for each in chr(34) + chr(92)}).replace("$", "$$")}"\n'
        for name, value in variables.items()
    )

    assert read_variables("".join(lines), name=".env", known={}) == variables


def test_durations_and_sizes_have_compose_s_units():
    """Several together; sizes in powers of 1024."""
    assert [seconds(each) for each in ("1m30s", "250ms", "1.5s", "2h", "0us")] == [90, 0.25, 1.5, 7200, 0]
    assert [size_bytes(each) for each in (1024, "2k", "64M", "1.5g", "1gb", "8MiB", "7b")] == [
        *(1024, 2048, 64 << 20, 3 << 29, 1 << 30, 8 << 20, 7),
    ]


@pytest.mark.parametrize(
    ("form", "value"),
    [
        *((seconds, each) for each in ("", "5", "5 s", "s", "1m x")),
        *((size_bytes, each) for each in ("", "x", "1t", "-1m")),
        *((switch, each) for each in ("maybe", "", None)),
        *((whole, each) for each in ("1.5", "-1", True, "x", None)),
        *((ports, each) for each in ("x", "0", "70000", "9-8", {"published": 1}, "")),
        (words, "'open"),
    ],
)
def test_what_has_no_such_form_is_refused(form, value):
    """With a word on what stands there."""
    with pytest.raises(ValueError, match=re.escape(str(value)) if value and form is not words else r"\w"):
        form(value)


@pytest.mark.parametrize(
    ("value", "listening"),
    [
        (8000, (8000,)),
        ("8080:80", (80,)),
        ("127.0.0.1:8080:80/tcp", (80,)),
        ("[::1]:8080:80", (80,)),
        ("3000-3002", (3000, 3001, 3002)),
        ("53:53/udp", ()),
        ({"target": 80, "published": "8080"}, (80,)),
        ({"target": 53, "protocol": "udp"}, ()),
    ],
)
def test_a_port_is_where_a_service_listens_inside(value, listening):
    """Wherever it is published; what is not TCP is none."""
    assert ports(value) == listening


def test_lists_and_mappings_mean_each_other():
    """A name alone has no value; a switch is a word."""
    assert mapping(["A=1", "B", "C="]) == {"A": "1", "B": None, "C": ""}
    assert mapping({"A": 1, "B": None, "C": True}) == {"A": "1", "B": None, "C": "true"}
    assert mapping(["here:1.2.3.4"], ":") == {"here": "1.2.3.4"}
    assert (listed(None), listed("a"), listed(["a", 1])) == ([], ["a"], ["a", "1"])
    assert words("python -m 'a b'") == words(["python", "-m", "a b"])
