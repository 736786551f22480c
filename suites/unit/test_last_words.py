"""What a log ends with: the error of its last traceback, the service's own line, and what helps."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.library.locustfiles import mistakes_in_locustfile
from harness.plan import source_of
from harness.stack.imports import missing_import
from harness.stack.last_words import traced


def log_of(folder, text):
    """Return what Python really writes when a file ends with an error, as a server that imports it would."""
    (folder / "shop.py").write_text(text)
    ended = subprocess.run(
        [sys.executable, "-c", "import shop"], cwd=folder, capture_output=True, text=True, check=False
    )
    return ended.stderr


@pytest.mark.parametrize(
    ("text", "error", "line", "fix"),
    [
        pytest.param("import nowhere_at_all\n", "ModuleNotFoundError: No module named 'nowhere_at_all'", 1, "install it where the service runs", id="a package that is not there"),
        pytest.param("import os\nURL = os.environ['SHOP_URL']\n", "KeyError: 'SHOP_URL'", 2, "give it the variable 'SHOP_URL': [system.subject.environment]", id="a variable that is not set"),
        pytest.param("\nprices = {}\nprices['a']\n", "KeyError: 'a'", 3, "mend that line", id="any other key"),
        pytest.param("import json\njson.loads('{')\n", "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)", 2, "mend that line", id="in a library, which is not the service's line"),
        pytest.param("raise OSError(98, 'Address already in use')\n", "OSError: [Errno 98] Address already in use", 1, "let it listen on {port}", id="a port that is taken"),
        pytest.param("try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise RuntimeError\n", "RuntimeError", 4, "mend that line", id="of two the last, which says nothing more"),
    ],
)  # fmt: skip
def test_a_traceback_is_told_by_its_error_and_the_services_own_line(tmp_path, text, error, line, fix):
    found = traced(log_of(tmp_path, text))

    assert found.error == error
    assert found.place == f"{tmp_path / 'shop.py'}:{line}"
    assert found.fix.startswith(fix)


@pytest.mark.parametrize(
    "log",
    [
        "",
        "listening on 8000\n",
        "ERROR: ValueError: no\n",
        'Traceback (most recent call last):\n  File "a.py", line 1\n',
    ],
)
def test_a_log_without_a_traceback_has_none(log):
    """A line that only sounds like one, or the half of one."""
    assert traced(log) is None


def test_an_error_of_a_server_alone_has_no_line_of_the_service():
    log = 'Traceback (most recent call last):\n  File "/x/lib/python3.13/site-packages/uvicorn/server.py", line 9, in serve\nValueError: no\n'

    assert traced(log).place == ""


@given(st.text(max_size=300))
def test_no_log_is_too_odd(log):
    traced(log)
    traced(f'  File "a.py", line 1\n{log}')


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        pytest.param("import os\nimport nowhere.at\n", ("nowhere", 2), id="a package"),
        pytest.param("from nowhere import it\n", ("nowhere", 1), id="of a package"),
        pytest.param("import os, json, nowhere\n", ("nowhere", 1), id="one of three"),
        pytest.param("import os.path, json, __future__, sys, httpx\n", None, id="all there"),
        pytest.param("import beside\nimport nowhere\n", None, id="after a module of the project, which may do anything"),
        pytest.param("from . import beside\nimport nowhere\n", None, id="after one of its package"),
        pytest.param("try:\n    import nowhere\nexcept ImportError:\n    pass\n", None, id="on trial"),
        pytest.param("if False:\n    import nowhere\n", None, id="under a condition"),
        pytest.param("def late():\n    import nowhere\n", None, id="later"),
        pytest.param("import sys\nsys.path.insert(0, 'lib')\nimport nowhere\n", None, id="somewhere else"),
        pytest.param("import site\nsite.addsitedir('lib')\nimport nowhere\n", None, id="in a folder of its own"),
        pytest.param("from sys import path\nimport nowhere\n", None, id="somewhere else, by another name"),
        pytest.param("import os\nos.path.join('a')\nimport nowhere\n", ("nowhere", 3), id="os.path is no place to look in"),
        pytest.param("import __main__\n", None, id="what was made by hand"),
    ],
)  # fmt: skip
def test_only_what_is_imported_for_sure_is_missed(tmp_path, text, missing):
    """A service that would start is never refused for what was read of it."""
    (tmp_path / "beside.py").write_text("")

    assert missing_import(ast.parse(text), tmp_path) == missing


SCENARIO = """\
scenario: calm
story: Nothing is broken.
load: {locustfile: load/users.py, arrivals_per_s: 100}
phases:
  - {name: baseline, lasts: 4s}
"""


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        pytest.param(None, "calm.yaml:3: load.locustfile", "cannot be read: No such file or directory", id="not there"),
        pytest.param("import os\nfrom locust import\n", "users.py:2", "is no Python: invalid syntax", id="no Python"),
        pytest.param("a = '\0'", "users.py", "is no Python", id="no text"),
        pytest.param("import nowhere\n", "users.py:1", "imports nowhere, which is not there", id="without its package"),
        pytest.param("from locust import HttpUser\nimport beside, above\n", None, None, id="as it should be"),
    ],
)
def test_a_locustfile_is_looked_at_before_anything_starts(tmp_path, text, where, what):
    """Beside it, and from the project's folder, is where it finds its own."""
    (tmp_path / "load").mkdir()
    (tmp_path / "load/beside.py").write_text("")
    (tmp_path / "above.py").write_text("")
    if text is not None:
        (tmp_path / "load/users.py").write_text(text)

    found = list(mistakes_in_locustfile(source_of(SCENARIO, tmp_path / "calm.yaml"), tmp_path))

    assert len(found) == (where is not None)
    for mistake in found:
        assert where in mistake.where
        assert what in mistake.what
        assert mistake.fix
