"""Images as values: what a registry has, pinned, and what ours is made of where no registry answers."""

from __future__ import annotations

from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A server that a wheel holds: the one that the embedded backend runs, so that both run the same version.

    Attributes:
        wheel: The distribution, as it is installed beside us.
        take: What of it goes into the build, as patterns below site-packages.
    """

    wheel: str
    take: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A Go program, built on this machine; its image is made on nothing.

    Attributes:
        module: What `go install` is asked for, with its version.
        link: Flags for the linker.
        program: Its name in the build.
    """

    module: str
    link: str
    program: str


@dataclass(frozen=True, slots=True)
class Base:
    """Nothing but the base, whose Python runs a script of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """How the image of a server is had.

    Attributes:
        official: What a registry is asked for.
        made_of: What ours is made of where no registry answers; None where it can only be pulled.
        dockerfile: How ours is made. It begins with `ARG BASE` and `FROM ${BASE}`, a bare Debian with a Python, unless
            it is made of a module. It ends as the user 10001, with a CMD or ENTRYPOINT in exec form, so that the
            server is process 1 and hears its signal.
    """

    official: Pin
    made_of: Wheel | Module | Base | None = None
    dockerfile: str = ""
