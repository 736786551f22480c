"""Each file of a run's folder is named once, in `harness/layout.py`; its drawing there names them all."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from harness import errors, layout
from harness.errors import HarnessError
from harness.history.failures import INTERRUPTED, UNKNOWN
from suites.support.servers import PROJECT

NAMES = {value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str)}
PAGE = (PROJECT / "docs/evidence.md").read_text(encoding="utf-8")
SOURCES = [path for path in Path(layout.__file__).parent.rglob("*.py") if path != Path(layout.__file__)]


def test_there_is_something_to_look_through():
    """The whole harness, and every file of evidence."""
    assert len(SOURCES) > 150
    assert set(layout.EVIDENCE) | set(layout.RUN_EVIDENCE) < NAMES


def test_no_other_module_names_a_file_of_a_runs_folder():
    """A name that stands twice is changed once."""
    found = [
        f"{path.name}:{node.lineno}: {node.value}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in NAMES
    ]

    assert found == []


def test_the_page_shows_the_same_drawing():
    """docs/evidence.md, word for word."""
    drawing = (layout.__doc__ or "").partition("\n\n")[2].strip()

    assert drawing.startswith("reports/runs/<id>/")
    assert f"```\n{drawing}\n```" in PAGE


def test_the_page_names_every_kind_of_failure():
    """Those of errors, and the two that no error has."""
    kinds = {each.kind for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, HarnessError)}

    assert {kind for kind in {*kinds, INTERRUPTED, UNKNOWN} if f"`{kind}`" not in PAGE} == {HarnessError.kind}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_drawing_names_it(name):
    """The module's docstring is the page about a run's folder."""
    assert name in (layout.__doc__ or "")
