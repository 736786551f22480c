"""Paths that answer a GET, as Python, JavaScript and Go declare them, by pattern: a guess that a reader corrects."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.onboarding.clue import Route

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.onboarding.folder import Folder

SOURCES = ("*.py", "*.js", "*.mjs", "*.cjs", "*.ts", "*.go")

_QUOTED = r"""["'`](?P<path>/[^"'`\s]*)["'`]"""
_DECLARED = (
    re.compile(r"@\w+(?:\.\w+)*\.get\(\s*" + _QUOTED),  # FastAPI, Sanic, Flask 2, Quart
    re.compile(r"@\w+(?:\.\w+)*\.route\(\s*" + _QUOTED + r"(?![^)\n]*methods=\[(?![^\]]*GET))"),  # Flask
    re.compile(r"\bRoute\(\s*" + _QUOTED + r"(?![^)\n]*methods=\[(?![^\]]*GET))"),  # Starlette
    re.compile(r"\b(?:app|router|server|fastify|api)\.get\(\s*" + _QUOTED),  # Express, Fastify, Koa's router
    re.compile(r"\bHandle(?:Func)?\(\s*[\"`](?:GET )?(?P<path>/[^\"`\s]*)[\"`]"),  # net/http, gorilla
    re.compile(r"\b\w+\.(?:GET|Get)\(\s*" + _QUOTED),  # gin, echo, chi
)
_DJANGO = re.compile(r"""\b(?:re_)?path\(\s*["'](?P<path>[^"'\s^]*)["']""")
_PARAMETER = re.compile(r"\{[^{}]*\}|<[^<>]*>|:[A-Za-z_]\w*")

READY = ("/health/ready", "/ready", "/readyz", "/readiness", "/healthz", "/health", "/healthcheck", "/status", "/ping")
"""Paths that tell of readiness, those that mean it most first."""

_OF_ITSELF = re.compile(r"^/(?:health|ready|live|metrics|status|ping|version|docs|redoc|openapi|admin|static|favicon)")


def routes(folder: Folder) -> tuple[Route, ...]:
    """Return the paths that the sources declare, each once, in order of the files."""
    found = dict[str, Route]()
    for name in folder.matching(*SOURCES):
        for route in _of_file(folder.text(name), name):
            found.setdefault(route.path, route)
    return tuple(found.values())


def ready_path(declared: Sequence[Route]) -> Route | None:
    """Return the one that tells of readiness, if any."""
    by_path = {route.path.rstrip("/") or "/": route for route in declared}
    return next((by_path[path] for path in READY if path in by_path), None)


def asked_paths(declared: Sequence[Route]) -> tuple[Route, ...]:
    """Return those that a client would ask for: nothing that the service says of itself."""
    return tuple(route for route in declared if not _OF_ITSELF.match(route.path))


def _of_file(text: str, name: str) -> Iterator[Route]:
    patterns = (*_DECLARED, _DJANGO) if name.endswith("urls.py") else _DECLARED
    matches = sorted((found for each in patterns for found in each.finditer(text)), key=lambda found: found.start())
    for found in matches:
        path = "/" + found["path"].removeprefix("/")
        told, parameters = _PARAMETER.subn("{key}", path)
        if parameters <= 1 and "*" not in told and "(" not in told:
            yield Route(told, f"{name}, line {text.count(chr(10), 0, found.start()) + 1}")
