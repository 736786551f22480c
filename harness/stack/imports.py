"""Whether what a Python file imports is there, known by looking: nothing of it is imported, and nothing run.

Only what is imported for sure is looked for: at the top of the file, outside of `try` and `if`, before anything of the
project itself, which may change where modules are looked for, and in no file that changes that (`sys.path`).
"""

from __future__ import annotations

import ast
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def missing_import(tree: ast.Module, *folders: Path) -> tuple[str, int] | None:
    """Return the first module that a file imports and that is nowhere, and the line; None if there is none.

    Args:
        tree: The file.
        folders: What is looked in before our environment: where it is run, and where it stands.
    """
    if any(_changes_the_path(node) for node in ast.walk(tree)):
        return None
    for name, line in _imported(tree):
        if PathFinder.find_spec(name, [str(folder) for folder in folders]):
            return None
        if not _is_installed(name):
            return name, line
    return None


def _changes_the_path(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="sys"), attr="path" | "meta_path" | "path_hooks"):
            return True
        case ast.Attribute(attr="addsitedir") | ast.ImportFrom(module="sys"):
            return True
    return False


def _imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in tree.body:
        match node:
            case ast.Import(names=names):
                yield from ((each.name.partition(".")[0], node.lineno) for each in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0], node.lineno
            case ast.ImportFrom():  # of its own package
                return


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None  # of a module at the top nothing is imported by that
    except ValueError:  # one that was made by hand is there
        return name in sys.modules
