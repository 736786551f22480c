"""Each promise of the reference core is named by a test, and each test names promises that there are (docs/core.md)."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
ROOMS = ("suites/core", "suites/contract/core", "suites/property", "suites/health", "suites/performance")
NAME = r"(?:LB|QO|[LBCPQKDT])\d+'?"
ROW = re.compile(rf"^\| ({NAME}) \| \S.+ \|$", re.MULTILINE)
NAMED = re.compile(rf"\(({NAME}(?:(?: to |, ){NAME})*)[^()]*\)")
FIRST_AND_COUNT = {"T": 2, "L": 8, "B": 10, "C": 11, "P": 7, "Q": 7, "LB": 7, "QO": 4, "K": 4, "D": 5}
RULES = {"rule", "invariant", "initialize"}


def promised() -> list[str]:
    """Return the names on the page, in its order."""
    return ROW.findall((PROJECT / "docs/core.md").read_text())


def is_test(node: ast.AST) -> bool:
    """Tell whether pytest or a Hypothesis machine runs this function."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    called = (each.func if isinstance(each, ast.Call) else each for each in node.decorator_list)
    return node.name.startswith("test_") or any(isinstance(each, ast.Name) and each.id in RULES for each in called)


def names_in(docstring: str) -> list[str]:
    """Return what a docstring names in brackets: `(B5)`, `(L1, L8)`, with a word behind it or not."""
    return [name for found in NAMED.findall(docstring) for name in re.findall(NAME, found)]


@cache
def named() -> dict[str, list[str]]:
    """Return the tests that name each promise in their docstrings."""
    tests = defaultdict(list)
    for path in sorted(path for room in ROOMS for path in (PROJECT / room).rglob("*.py")):
        for node in filter(is_test, ast.walk(ast.parse(path.read_text()))):
            for name in names_in(ast.get_docstring(node) or ""):
                tests[name].append(f"{path.relative_to(PROJECT)}::{node.name}")
    return dict(tests)


def test_the_page_has_each_promise_once():
    """All families from one to their last, and C6' besides."""
    expected = {f"{family}{number}" for family, count in FIRST_AND_COUNT.items() for number in range(1, count + 1)}

    assert sorted(promised()) == sorted(expected | {"C6'"})


@pytest.mark.parametrize("name", promised())
def test_each_promise_is_named_by_a_test(name):
    """A promise without a test is a hope."""
    assert named().get(name, []) != []


def test_no_test_names_what_is_not_promised():
    """A name that is misspelt, or that was dropped, would hold nothing."""
    assert {name: tests for name, tests in named().items() if name not in promised()} == {}


@pytest.mark.parametrize(
    ("docstring", "names"),
    [
        ("It holds (B5).", ["B5"]),
        ("It holds (L1, L8): twice (C6').", ["L1", "L8", "C6'"]),
        ("Only where it is closed (B5 for CLOSED).", ["B5"]),
        ("No name is B5, nor (B), nor (see B5).", []),
    ],
)
def test_names_are_read_in_brackets(docstring, names):
    """As they stand in the suites."""
    assert names_in(docstring) == names
