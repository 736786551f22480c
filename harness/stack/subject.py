"""The judged service: replicas of an ASGI application under uvicorn, told of their dependencies by environment."""

from __future__ import annotations

import re
import sys
from functools import partial
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING

import httpx

from harness.errors import SpecError
from harness.stack.ports import reserve
from harness.stack.process import Recipe
from harness.stack.question import seconds_to_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.spec.system import Subject
    from harness.stack.service import Address, Ground

_PLACEHOLDER = re.compile(r"\{([a-z0-9_.]+)\}")


def local(name: str, subject: Subject, ground: Ground, facts: Mapping[str, str]) -> Recipe:
    """Describe one replica as a local process.

    Args:
        name: `replica-1`, `replica-2`, …
        subject: What to serve.
        ground: Where to run; the application is imported from its project folder.
        facts: What placeholders such as `{redis.port}` stand for.

    Raises:
        SpecError: If a placeholder is unknown.
    """
    address = reserve()
    serve = ["-m", "uvicorn", subject.app, "--factory", "--host", address.host, "--port", str(address.port)]
    tuned = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    return Recipe(
        name=name,
        argv=[sys.executable, *serve, *tuned, "--timeout-keep-alive", "75"],
        address=address,
        is_answering=partial(is_answering, path=subject.ready),
        round_trip_s=partial(seconds_to_answer, question=f"GET {subject.ready} HTTP/1.0\r\n\r\n".encode()),
        version=lambda _: f"{subject.app} on uvicorn {version_of('uvicorn')}, Python {sys.version.split()[0]}",
        environment=filled(subject.environment, facts),
        cwd=ground.project,
    )


def filled(environment: Mapping[str, str], facts: Mapping[str, str]) -> dict[str, str]:
    """Replace `{placeholder}` by what it stands for.

    Raises:
        SpecError: If one is unknown; it names the variable.
    """
    return {name: _filled(name, text, facts) for name, text in environment.items()}


def _filled(name: str, text: str, facts: Mapping[str, str]) -> str:
    unknown = [word for word in _PLACEHOLDER.findall(text) if word not in facts]
    if unknown:
        where = f"readiness.toml: system.subject.environment.{name}"
        raise SpecError(f"unknown placeholder {{{unknown[0]}}}", where=where, mend=f"known: {', '.join(sorted(facts))}")
    return _PLACEHOLDER.sub(lambda found: facts[found[1]], text)


def is_answering(address: Address, path: str) -> bool:
    """Tell whether the replica says 200 on its health path."""
    try:
        return httpx.get(f"http://{address}{path}", timeout=2.0, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
