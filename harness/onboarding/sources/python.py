"""Python: an application that a module makes, found by reading it; nothing is imported."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.onboarding.clue import Kind, Needed, Start
from harness.onboarding.traces import KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.onboarding.folder import Folder

_ASGI = frozenset(("FastAPI", "Starlette", "Quart", "Litestar", "BlackSheep", "get_asgi_application"))
_WSGI = frozenset(("Flask", "Bottle", "Pyramid", "get_wsgi_application"))

_DECLARING = ("pyproject.toml", "requirements*.txt", "Pipfile", "setup.cfg")

_PACKAGE = re.compile(r"(?<![\w.@/-])[A-Za-z0-9][\w.-]*")

_OWN_PYTHON = (".venv/bin/python", "venv/bin/python")
_SERVERS: dict[Kind, tuple[str, ...]] = {"app": ("uvicorn", "hypercorn"), "wsgi": ("gunicorn", "waitress")}


def starts(folder: Folder) -> Iterator[Start]:
    """Return each application that a module has or makes; Django's by WSGI first, as it is deployed most."""
    found = [start for name in folder.matching("*.py") for start in _of_module(folder.text(name), name)]
    jobs = tuple(_jobs(folder))
    for start in sorted(found, key=lambda start: start.seen_in.partition(",")[0].endswith("asgi.py")):
        yield _with_its_own_python(replace(start, init=jobs), folder)


def needs(folder: Folder) -> Iterator[Needed]:
    """Return what the packages that it declares are for."""
    for name in folder.matching(*_DECLARING):
        declared = {word.lower() for word in _PACKAGE.findall(folder.text(name))}
        for kind, traces in KNOWN.items():
            found = next((package for package in traces.packages if package in declared), None)
            if found:
                yield Needed(kind, f"{found} in {name}")


def _of_module(text: str, name: str) -> Iterator[Start]:
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return
    module = name.removesuffix(".py").removesuffix("/__init__").removeprefix("src/").replace("/", ".")
    for node in body:
        kind = next((kind for made in _made_in(node) if (kind := _kind_of(made))), None)
        word = _name_of(node)
        if kind and word:
            place, is_factory = f"{name}, line {node.lineno}", isinstance(node, ast.FunctionDef)
            yield Start(kind=kind, runs=f"{module}:{word}", factory=is_factory, seen_in=place)


def _made_in(node: ast.stmt) -> Iterator[ast.Call]:
    """Return the calls whose result a statement keeps, or a function of the module returns or keeps inside."""
    if isinstance(node, ast.FunctionDef):
        for inner in ast.walk(node):
            if isinstance(inner, ast.Assign | ast.Return | ast.AnnAssign) and isinstance(inner.value, ast.Call):
                yield inner.value
    elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
        yield node.value


def _name_of(node: ast.stmt) -> str | None:
    """Return what a module calls it; nothing of a function that cannot be called without arguments."""
    match node:
        case ast.FunctionDef(name=name, args=ast.arguments(posonlyargs=[], args=[])):
            return name
        case ast.FunctionDef(name=name, args=ast.arguments(posonlyargs=[], args=given, defaults=usual)):
            return name if len(given) == len(usual) else None
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return None


def _kind_of(made: ast.Call) -> Kind | None:
    match made.func:
        case ast.Name(id=word) | ast.Attribute(attr=word):
            return "app" if word in _ASGI else "wsgi" if word in _WSGI else None
    return None


def _jobs(folder: Folder) -> Iterator[tuple[str, ...]]:
    """Return the migrations that a project of this kind has."""
    if folder.has("manage.py"):
        yield ("python", "manage.py", "migrate", "--noinput")
    if folder.has("alembic.ini"):
        yield ("python", "-m", "alembic", "upgrade", "head")


def _with_its_own_python(start: Start, folder: Folder) -> Start:
    """Return the same by the project's own environment, where it has one with a server in it."""
    python = next((each for each in _OWN_PYTHON if folder.has(each)), None)
    if python is None:
        return start
    installed = [each for each in _SERVERS[start.kind] if _has_package(folder, python, each)]
    if not installed:
        return start
    application = str(start.runs)
    served = _served_by(installed[0], application, is_made=start.factory)
    jobs = tuple((python, *job[1:]) for job in start.init)
    return replace(start, kind="command", runs=(python, "-m", *served), factory=False, init=jobs)


def _has_package(folder: Folder, python: str, package: str) -> bool:
    home = folder.path / python
    return any(home.parent.parent.glob(f"lib/python3*/site-packages/{package}/__init__.py"))


def _served_by(server: str, application: str, *, is_made: bool) -> tuple[str, ...]:
    """Return how a server of the project's own environment is told which application, and where to listen."""
    called = f"{application}()" if is_made else application
    match server:
        case "uvicorn":
            return ("uvicorn", application, *(["--factory"] if is_made else []), "--host", "{host}", "--port", "{port}")
        case "waitress":
            return ("waitress", *(["--call"] if is_made else []), "--listen={host}:{port}", application)
        case _:  # hypercorn, gunicorn
            return (server, called, "--bind", "{host}:{port}")
