"""The judged service: replicas of an ASGI application under uvicorn, told of their dependencies by environment."""

from __future__ import annotations

import sys
from functools import partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING

import httpx

from harness.errors import MissingError
from harness.stack.health_probe import HealthProbe
from harness.stack.placeholders import substituted
from harness.stack.ports import reserve
from harness.stack.recipe import ContainerRecipe, Recipe
from harness.stack.service import ANYWHERE, Address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.spec.system import Subject
    from harness.stack.service import Workspace

PORT = 8000
"""Where a replica listens in a container."""


def local(name: str, subject: Subject, workspace: Workspace, placeholders: Mapping[str, str]) -> Recipe:
    """Describe one replica as a local process.

    Args:
        name: `replica-1`, `replica-2`, …
        subject: What to serve.
        workspace: Where to run; the application is imported from its project folder.
        placeholders: What names such as `{redis.port}` stand for.

    Raises:
        StackError: If there is no uvicorn.
    """
    address = reserve()
    version = f"{subject.app} on uvicorn {_uvicorn_version()}, Python {sys.version.split()[0]}"
    return Recipe(
        name=name,
        argv=[sys.executable, *_serving(subject, address)],
        address=address,
        probe=_probe(subject, version),
        environment=_environment(subject, placeholders),
        cwd=workspace.project,
    )


def contained(name: str, subject: Subject, image: str, placeholders: Mapping[str, str]) -> ContainerRecipe:
    """Describe one replica as a container; its image holds the application and a `python` with uvicorn.

    Args:
        name: `replica-1`, `replica-2`, …
        subject: What to serve.
        image: Present in the engine.
        placeholders: What names such as `{redis.port}` stand for.
    """
    return ContainerRecipe(
        name=name,
        image=image,
        port=PORT,
        published={PORT: reserve()},
        command=["python", *_serving(subject, Address(ANYWHERE, PORT))],
        environment=_environment(subject, placeholders),
        probe=_probe(subject, f"{subject.app} in {image}"),
    )


def _environment(subject: Subject, placeholders: Mapping[str, str]) -> dict[str, str]:
    return {name: substituted(text, placeholders) for name, text in subject.environment.items()}


def _uvicorn_version() -> str:
    try:
        return version_of("uvicorn")
    except PackageNotFoundError as error:
        fix = "pip install 'readiness-harness[embedded]', beside the service's own packages"
        raise MissingError("there is no uvicorn to serve with", where=sys.prefix, fix=fix) from error


def _serving(subject: Subject, address: Address) -> list[str]:
    serve = ["-m", "uvicorn", subject.app, "--factory", "--host", address.host, "--port", str(address.port)]
    tuned = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    return [*serve, *tuned, "--timeout-keep-alive", "75"]


def _probe(subject: Subject, version: str) -> HealthProbe:
    return HealthProbe(
        is_answering=partial(is_answering, path=subject.ready),
        question=f"GET {subject.ready} HTTP/1.0\r\n\r\n".encode(),
        version=lambda _: version,
    )


def is_answering(address: Address, path: str) -> bool:
    """Tell whether the replica says 200 on its health path."""
    try:
        return httpx.get(f"http://{address}{path}", timeout=2.0, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
