"""Which image plays which role: the official ones, pinned; and what ours are made of where no registry answers."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.spec.model import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
"""Where local.toml is, and the Dockerfiles of our own images."""


@dataclass(frozen=True, slots=True)
class Pin:
    """An image of a registry that cannot become another one tomorrow.

    Attributes:
        name: With the registry's host, unless that is Docker Hub.
        tag: A whole version.
        digest: `sha256:…`, where one is known; then it decides, and the tag is for readers.
    """

    name: str
    tag: str
    digest: str | None = None

    @property
    def reference(self) -> str:
        """Return what the engine is asked for."""
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


OFFICIAL: Mapping[str, Pin] = {
    "base": Pin("python", "3.13-slim"),
    "redis": Pin("redis", "8.2.3"),
    "postgres": Pin("postgres", "18.6"),
    "nginx": Pin("nginx", "1.31.3"),
    "proxy": Pin("ghcr.io/shopify/toxiproxy", "2.12.0"),
}
"""By role. The judged service has none here: it is the user's own."""

ROLES = (*OFFICIAL, "service")
"""In the order in which they are had: the others are made on the base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """A reference for each role, all of them in the engine.

    Attributes:
        base: A bare Python: what the service's image is built on, and what sandboxes run in.
        redis: Redis.
        postgres: PostgreSQL.
        nginx: nginx.
        proxy: Shopify's Toxiproxy.
        service: The judged service.
    """

    base: str
    redis: str
    postgres: str
    nginx: str
    proxy: str
    service: str


class Debian(Model):
    """A root file system of packages, made by debootstrap.

    Attributes:
        suite: Of Debian.
        variant: How little of it.
        include: Packages besides.
        leave_out: What a container never needs, as patterns of tar.
    """

    suite: str
    variant: str
    include: tuple[str, ...]
    leave_out: tuple[str, ...]


class Wheel(Model):
    """A server that a wheel holds; the Dockerfile is named for the role.

    Attributes:
        wheel: The distribution, as it is installed beside us.
        take: What of it goes into the build, as patterns below site-packages.
    """

    wheel: str
    take: tuple[str, ...]


class Module(Model):
    """A Go program; the Dockerfile is named for the role.

    Attributes:
        module: What `go install` is asked for, with its version.
        link: Flags for the linker.
        program: Its name in the build.
    """

    module: str
    link: str
    program: str


class Local(Model):
    """The override table: what each role is made of, by role."""

    base: Debian
    redis: Wheel
    postgres: Wheel
    nginx: Wheel
    proxy: Module


def read_local() -> Local:
    """Return the override table."""
    return Local.model_validate(tomllib.loads((HERE / "local.toml").read_text(encoding="utf-8")))
