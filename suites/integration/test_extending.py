"""docs/extending.md, done to a copy of the harness: each example works, and the type checker names what is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs/extending.md").read_text()
WORD = "`([a-z_/.]+)`:\n"
STEP = re.compile(rf"^(?:{WORD}\n)?```(diff|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps_of(section):
    """Return each step under a heading: the file, whether it is a change of it, and the change or the whole."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    path, steps = "", []
    for named, language, code in STEP.findall(text):
        path = named or path
        steps.append((path, language == "diff", code))
    return steps


def do(step, copy):
    """Write a new file, or replace in one what stands there exactly once."""
    path, is_change, code = step
    place = copy / path
    if not is_change:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(code)
        return
    lines = code.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    assert place.read_text().count(old) == 1, f"docs/extending.md changes what is not in {path}: {old}"
    place.write_text(place.read_text().replace(old, new))


def ran(copy, *arguments):
    """Run a module of this environment on the copy."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Copy what the type checker reads, once: it remembers what did not change."""
    place = tmp_path_factory.mktemp("copy")
    shutil.copytree(PROJECT / "harness", place / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", place)
    return place


@pytest.mark.parametrize(
    ("section", "forgotten"),
    [
        pytest.param("An objective", {"harness/report/panels.py", "harness/verdict/judge.py"}, id="objective"),
        pytest.param("An invariant", {"harness/verdict/judge.py"}, id="invariant"),
    ],
)
def test_the_type_checker_names_every_place_that_forgot_a_promise(copy, section, forgotten):
    """With its model alone it is red in just these files; with all steps it is green, and so is its own test."""
    model, *rest = steps_of(section)
    first = [model, *(step for step in rest if step[0] == model[0])]

    for step in first:
        do(step, copy)
    told = ran(copy, "mypy", "harness/verdict", "harness/report", "harness/measure", "harness/experiment")
    for step in rest:
        if step not in first:
            do(step, copy)
    whole = ran(copy, "mypy", "harness/verdict", "harness/report", "harness/measure", "harness/experiment")
    tested = ran(copy, "pytest", "-q", rest[-1][0])

    assert set(re.findall(r"^(harness/\S+?):\d+: error", told.stdout, re.MULTILINE)) == forgotten, told.stdout
    assert (whole.returncode, whole.stdout.strip().splitlines()[-1][:7]) == (0, "Success"), whole.stdout
    assert (tested.returncode, "1 passed" in tested.stdout) == (0, True), tested.stdout + tested.stderr


SHOWN = re.compile(r"^(?:`([a-z_/.]+)`[^`\n]*:\n\n)?```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_fault_on_the_page_is_the_one_that_runs():
    """Each piece of code stands in the file that is named above it, word for word."""
    text, path, pieces = PAGE.partition("\n## A fault\n")[2].partition("\n## ")[0], "", []
    for named, code in SHOWN.findall(text):
        path = named or path
        pieces.append(path)
        assert code in (PROJECT / path).read_text(), f"docs/extending.md shows what is not in {path}: {code}"

    assert len(pieces) == 4


def test_the_type_checker_names_the_one_place_that_forgot_a_fault(copy):
    """In a copy whose door does not know it, the door is red, and nothing else is."""
    door = copy / "harness/faults/process/__init__.py"
    whole = door.read_text()
    door.write_text(re.sub(r"        case Pause\(\):\n            return .*\n", "", whole))
    told = ran(copy, "mypy", "harness/faults", "harness/stack", "harness/experiment")
    door.write_text(whole)

    red = re.findall(r"^(harness/\S+?):\d+: error", told.stdout, re.MULTILINE)
    assert red == ["harness/faults/process/__init__.py"]
