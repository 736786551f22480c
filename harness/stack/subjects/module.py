"""Whether `package.module:name` is there, known by looking and not by importing: before anything is started for it.

What cannot be told by looking is left to the start: names that a module makes while it runs, and modules that an
environment of its own has somewhere else.
"""

from __future__ import annotations

import ast
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import MissingError, nearest
from harness.stack.imports import missing_import

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec


def check_application(application: str, folder: Path, *, where: str, is_ours: bool) -> None:
    """See that an application's module is there, and has what is named.

    Args:
        application: `package.module:name`.
        folder: What is looked in first: where it is served.
        where: The key of readiness.toml that names it.
        is_ours: Whether the Python that serves it is the one that runs us, whose packages can be looked for.

    Raises:
        MissingError: If it is not, or imports at its top what is not.
    """
    module, _, name = application.partition(":")
    spec = _spec_of(module, folder, where=where, is_ours=is_ours)
    tree = _tree_of(spec) if spec else None
    if spec and tree and is_ours:
        _check_imports(tree, spec, folder)
    names = _names_in(tree) if tree else None
    if names is not None and name not in names:
        raise MissingError(f"{module} has no {name}", where=where, fix=nearest(name, sorted(names)))


def _spec_of(module: str, folder: Path, *, where: str, is_ours: bool) -> ModuleSpec | None:
    """Return where a module is; None if that cannot be told.

    Raises:
        MissingError: If it is nowhere.
    """
    top, *below = module.split(".")
    spec = PathFinder.find_spec(top, [str(folder)])
    if spec is None and not is_ours:
        return None
    # Of a module at the top nothing is imported by that: not so for one below, whose package would be.
    spec = spec or find_spec(top)
    if spec is None:
        fix = f"it is looked for in {folder} and among installed packages; {_modules_in([str(folder)], top)}"
        raise MissingError(f"there is no module {top}", where=where, fix=fix)
    for name in below:
        if spec.submodule_search_locations is None:
            raise MissingError(
                f"{spec.name} is no package, so that {module} is nowhere", where=where, fix="check its name"
            )
        places = list(spec.submodule_search_locations)
        found = PathFinder.find_spec(f"{spec.name}.{name}", places)
        if found is None:
            raise MissingError(f"{spec.name} has no module {name}", where=where, fix=_modules_in(places, name))
        spec = found
    return spec


def _modules_in(places: Sequence[str], sought: str) -> str:
    paths = [path for place in places if Path(place).is_dir() for path in Path(place).iterdir()]
    names = {path.stem for path in paths if path.suffix == ".py" or (path / "__init__.py").is_file()}
    return nearest(sought, sorted(names - {"__init__"})) if names else "there is no module there"


def _check_imports(tree: ast.Module, spec: ModuleSpec, folder: Path) -> None:
    """See that what a module imports at its top can be had.

    Raises:
        MissingError: If not; with the line.
    """
    missing = missing_import(tree, folder)
    if missing:
        name, line = missing
        fix = "install it beside the harness, or say which Python has it: system.subject.python of readiness.toml"
        raise MissingError(f"{spec.name} imports {name}, which is not there", where=f"{spec.origin}:{line}", fix=fix)


def _tree_of(spec: ModuleSpec) -> ast.Module | None:
    """Return what a module says; None if its text cannot be had, or is none: its start will say so, with the line."""
    if not spec.origin or not spec.origin.endswith(".py"):
        return None
    try:
        return ast.parse(Path(spec.origin).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def _names_in(tree: ast.Module) -> set[str] | None:
    """Return what a module has at its top, by its text; None if it may make more while it runs."""
    names = set(_bound(tree.body))
    makes_more = names & {"*", "__getattr__"} or "globals" in _called(tree.body)
    return None if makes_more or not names else names  # of one with no name at all its start says more


def _bound(body: Sequence[ast.stmt]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (each.asname or each.name.partition(".")[0] for each in names)
            case _:
                yield from (each.id for each in ast.walk(node) if isinstance(each, ast.Name) and _is_stored(each))
                for inner in ("body", "orelse", "finalbody", "handlers"):
                    yield from _bound([each for each in getattr(node, inner, ()) if isinstance(each, ast.stmt)])
                for handler in getattr(node, "handlers", ()):
                    yield from _bound(handler.body)


def _is_stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _called(body: Sequence[ast.stmt]) -> set[str]:
    calls = (each.func for node in body for each in ast.walk(node) if isinstance(each, ast.Call))
    return {func.id for func in calls if isinstance(func, ast.Name)}
