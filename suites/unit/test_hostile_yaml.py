"""Scenario files from strangers: whatever they hold, one clear error comes of it, soon, and nothing else happens.

Size, depth, aliases, duplicate keys, tags, types, and names that lead elsewhere. What a file of that form would do to a
careless reader stands beside each (billion laughs, CVE-2020-14343 and the like).
"""

from __future__ import annotations

import time

import pytest

from harness.errors import SpecError
from harness.plan import read_source

GOOD = """\
scenario: hurt
story: Something is hurt for a while.
load: {arrivals_per_s: 100}
phases:
  - {name: baseline, lasts: 30s}
"""
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def with_key(text):
    """Add a line to a good file."""
    return f"{GOOD}{text}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(LAUGHS, "anchors and aliases are refused", id="billion laughs"),
        pytest.param("a: &a [*a]", "anchors and aliases are refused", id="a list in itself"),
        pytest.param("a: &a {<<: *a}", "anchors and aliases are refused", id="a merge into itself"),
        pytest.param(with_key("answers: &a [x]"), "anchors and aliases are refused", id="an anchor that nobody uses"),
        pytest.param("{a: " * 5_000, "nested deeper than 32", id="mappings in mappings"),
        pytest.param("- " * 5_000 + "x", "nested deeper than 32", id="lists in lists, on a line"),
        pytest.param("? " * 5_000, "nested deeper than 32", id="keys in keys"),
        pytest.param("a: " + "[x," * 400_000, "larger than 1 MiB", id="large before it is deep"),
        pytest.param("é" * 600_000, "larger than 1 MiB", id="large in bytes, not in characters"),
        pytest.param(with_key("? [a, b]\n: c"), "unknown key", id="a list for a key"),
        pytest.param(with_key("<<: {scenario: other}"), "unknown key '<<'", id="a merge key written out"),
        pytest.param(with_key("scenario: other"), "key 'scenario' is there twice", id="a key twice"),
        pytest.param(with_key('"scenario": other'), "key 'scenario' is there twice", id="twice, once in quotes"),
        pytest.param(with_key("1: x\n'1': y"), "key '1' is there twice", id="a number and its text"),
        pytest.param(GOOD.replace("{name: baseline,", "{name: baseline, name: b,"), "key 'name' is there twice", id="twice, deep"),
        pytest.param(with_key("answers: !!python/object/apply:os.system ['id']"), "refused", id="a call"),
        pytest.param(with_key("answers: !!python/name:os.system"), "refused", id="a function"),
        pytest.param(with_key("answers: !!set {a}"), "refused", id="a set"),
        pytest.param(with_key("answers: !!binary aGFsbG8="), "refused", id="bytes"),
        pytest.param(with_key("answers: !include /etc/passwd"), "refused", id="a file of the machine"),
        pytest.param(GOOD.replace("hurt\n", "!!str 7\n", 1), "", id="a tag that changes nothing"),
        pytest.param(GOOD.replace("scenario: hurt", "scenario: 2026-11-30"), "", id="a date that is a name"),
        pytest.param(GOOD.replace("scenario: hurt", "scenario: 12"), "valid string", id="a number for a name"),
        pytest.param(GOOD.replace("scenario: hurt", "scenario: null"), "valid string", id="nothing for a name"),
        pytest.param(GOOD.replace("hurt", "no", 1), "'no' means a boolean", id="Norway"),
        pytest.param(GOOD.replace("100", "1_00"), "", id="an underscore in a number"),
        pytest.param(GOOD.replace("100", "'100'"), "valid number", id="a number in quotes"),
        pytest.param(GOOD.replace("100", "true"), "valid number", id="true for a number"),
        pytest.param(GOOD.replace("100", "1:40"), "", id="base 60"),
        pytest.param(GOOD.replace("100", ".nan"), "finite number", id="no number"),
        pytest.param(GOOD.replace("100", "1e999"), "", id="more than a float holds"),
        pytest.param(GOOD.replace("100", "9" * 400), "", id="more than a float holds, in digits"),
        pytest.param(GOOD.replace("30s", "1e9s"), "not a duration", id="a duration with an exponent"),
        pytest.param(GOOD.replace("30s", f"{'9' * 400}s"), "", id="an endless duration"),
        pytest.param(GOOD.replace("hurt\n", "../hurt\n", 1), "should match pattern", id="a name that leads up"),
        pytest.param(GOOD.replace("hurt\n", "/etc/passwd\n", 1), "should match pattern", id="a name from the root"),
        pytest.param(GOOD.replace("hurt\n", '"hurt\\n"\n', 1), "should match pattern", id="a name of two lines"),
        pytest.param(GOOD.replace("hurt\n", '"hu\\0rt"\n', 1), "should match pattern", id="a name with NUL"),
        pytest.param(GOOD.replace("hurt\n", "hürt\n", 1), "should match pattern", id="a name beyond ASCII"),
        pytest.param(GOOD.replace("baseline", "../x"), "should match pattern", id="a phase that leads up"),
        pytest.param(with_key("catches: [{defect: ../x, by: slow}]"), "should match pattern", id="a defect that leads up"),
        pytest.param(with_key('answers: ["a\\u202eb"]'), "should match pattern", id="text that runs backwards"),
        pytest.param(GOOD.replace("100}", "100, locustfile: a/../../b.py}"), "leads elsewhere", id="users from above"),
        pytest.param("--- \nscenario: a\n--- \nscenario: b\n", "2 documents in one file", id="two documents"),
        pytest.param("%TAG ! tag:x,2000:\n---\n!a b", "refused", id="a tag by another name"),
        pytest.param("a: \x07", "not YAML", id="a control character"),
        pytest.param("\ufeff" * 3 + "a", "", id="marks of byte order"),
    ],
)  # fmt: skip
def test_what_a_stranger_wrote_comes_to_one_clear_error(tmp_path, text, said):
    """With its place, soon, and never as a traceback of something else; an empty text allows any mistake."""
    path = tmp_path / "theirs.yaml"
    path.write_text(text, encoding="utf-8")
    began_s = time.process_time()

    refused = None
    try:
        read_source(path)
    except SpecError as error:
        refused = error

    assert time.process_time() - began_s < 5.0
    if said:
        assert refused is not None
        assert said in str(refused)
        assert "theirs.yaml" in refused.where
