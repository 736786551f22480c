"""What is wrong with a locustfile, as far as looking tells: it is read here, and never run."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from harness.errors import SpecError
from harness.stack.imports import missing_import

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.plan import ScenarioSource

_KEY = ("load", "locustfile")


def mistakes_in_locustfile(source: ScenarioSource, project: Path) -> Iterator[SpecError]:
    """Yield why the locustfile that a scenario names could not be run: it is not there, no Python, or lacks a module.

    Args:
        source: The scenario.
        project: The folder that its path starts from.
    """
    if source.scenario.load.locustfile is None:
        return
    file = project / source.scenario.load.locustfile
    try:
        tree = ast.parse(file.read_bytes())
    except OSError as error:
        where, fix = source.document.place(_KEY), f"name a file below {project}"
        yield SpecError(f"the locustfile {file} cannot be read: {error.strerror}", where=where, fix=fix)
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        what = f"the locustfile is no Python: {error.msg if isinstance(error, SyntaxError) else error}"
        yield SpecError(what, where=f"{file}{line}", fix=f"mend that line; `python {file.name}` reads it as well")
    else:
        missing = missing_import(tree, file.parent, project)
        if missing:
            what = f"the locustfile imports {missing[0]}, which is not there"
            yield SpecError(what, where=f"{file}:{missing[1]}", fix="install it beside the harness")
