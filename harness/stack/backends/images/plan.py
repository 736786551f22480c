"""What each role's own image is made of, and so what it is called: its name holds the hash of all that goes in."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import SpecError, StackError
from harness.stack.backends.images.context import Piece, digest, of_installed, of_project
from harness.stack.backends.images.table import BASE, DEBIAN, SERVERS, SERVICE
from harness.stack.image import Base, Module

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.spec.system import System
    from harness.stack.image import Image, Wheel

FAMILY = "readiness-harness"
"""First half of the name of every image that is built here."""

ROLE_LABEL = "readiness.role"
"""Label of every image that is built here; its value is the role."""

REQUIREMENTS = "requirements.txt"
"""Beside the service's Dockerfile: what its build finds as wheels/."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "AMD64": "amd64"}


@dataclass(frozen=True, slots=True)
class Found:
    """An image that is in the engine.

    Attributes:
        reference: How it is asked for.
        id: What it is, whatever it is called.
    """

    reference: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the image of a role is made.

    Attributes:
        role: Which.
        reference: Its name and the hash of everything below.
        pieces: What its build is given; nothing, for the base.
        dockerfile: Which of the pieces says how.
        base: Reference of the image that it is made on; empty if on none.
        module: Go program that goes into it besides, if any.
        args: What its build is told besides.
        target: The stage that it ends with; the last one if None.
        is_theirs: Whether it is the user's own, whose build may need a network.
    """

    role: str
    reference: str
    pieces: tuple[Piece, ...] = ()
    dockerfile: str = "Dockerfile"
    base: str = ""
    module: Module | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    is_theirs: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """For whom images are made.

    Attributes:
        system: The judged service with what it depends on.
        project: The folder that holds readiness.toml.
        architecture: Of the engine, in its own words: amd64, arm64.
    """

    system: System
    project: Path
    architecture: str


def planned(role: str, order: Order, base: Found | None) -> Plan:
    """Say how the image of `role` is made here.

    Args:
        role: One of ROLES.
        order: For whom.
        base: What it is made on, as far as it is there; the base itself and what a module makes are made on nothing.

    Raises:
        SpecError: If readiness.toml names no Dockerfile for the service, or one that is not there.
        StackError: If it can only be pulled, a wheel is not installed or is for another kind of machine, or the base
            is missing.
    """
    if role == BASE:
        _check_machine(role, order)
        return named(Plan(role=role, reference=""), repr(DEBIAN), order.architecture)
    image = None if role == SERVICE else _image_of(role)
    if image and isinstance(image.made_of, Module):
        plan = Plan(role=role, reference="", pieces=(Piece("Dockerfile", image.dockerfile),), module=image.made_of)
        return named(plan, repr(image.made_of), order.architecture)
    if base is None:
        raise StackError("the base is missing", where=f"the image of {role}", fix="the base comes first")
    plan = _server(role, image, order) if image else _service(order)
    return named(replace(plan, base=base.reference), base.id)


def _image_of(role: str) -> Image:
    image = SERVERS[role]
    if image is None:
        raise StackError(
            f"{role} does not run in a container", where=f"the image of {role}", fix="use --backend embedded"
        )
    return image


def _service(order: Order) -> Plan:
    """Plan the judged service: everything that its build is given is in its name, so that none can be stale."""
    dockerfile = order.system.subject.dockerfile
    if dockerfile is None:
        raise nothing_named()
    pieces = of_project(order.project, dockerfile)
    return Plan(role="service", reference="", pieces=pieces, dockerfile=dockerfile, is_theirs=True)


def nothing_named() -> SpecError:
    """Return what is said of a service that only local processes can run."""
    fix = 'add dockerfile = "PATH" or image = "NAME:TAG" (docs/containers.md), or use --backend embedded'
    return SpecError("containers need an image of the service", where="readiness.toml: system.subject", fix=fix)


def _server(role: str, image: Image, order: Order) -> Plan:
    if image.made_of is None or isinstance(image.made_of, Module):
        fix = "let the engine reach a registry, or load it there"
        raise StackError(f"{image.official.reference} can only be pulled", where=f"the image of {role}", fix=fix)
    if isinstance(image.made_of, Base):
        return Plan(role=role, reference="", pieces=(Piece("Dockerfile", image.dockerfile),))
    _check_machine(role, order)
    pieces = of_installed(_site_of(image.made_of, role), image.made_of.take)
    return Plan(role=role, reference="", pieces=(Piece("Dockerfile", image.dockerfile), *pieces))


def _site_of(wheel: Wheel, role: str) -> Path:
    """Return the folder of packages that a wheel is installed in."""
    try:
        return Path(str(distribution(wheel.wheel).locate_file("")))
    except PackageNotFoundError as error:
        fix = "pip install 'readiness-harness[embedded]', into the environment that this runs in"
        raise StackError(f"{wheel.wheel} is not installed", where=f"the image of {role}", fix=fix) from error


def _check_machine(role: str, order: Order) -> None:
    """See that what runs on this machine runs in the engine's containers too.

    Raises:
        StackError: If not; wheels and packages of this machine are of no use there.
    """
    ours = f"{platform.system()} {_ARCHITECTURES.get(platform.machine(), platform.machine())}"
    if ours != f"Linux {order.architecture}":
        raise StackError(
            f"what is installed on {ours} does not run on Linux {order.architecture}",
            where=f"the image of {role}",
            fix="let the engine reach a registry, or make the images on a machine like its own",
        )


def named(plan: Plan, *words: str) -> Plan:
    """Return a plan with its name, which holds the hash of its pieces and of `words`.

    Raises:
        StackError: If one of its pieces cannot be read.
    """
    try:
        tag = digest(plan.pieces, plan.dockerfile, *words)
    except OSError as error:
        what, where = f"cannot read what the image of {plan.role} is made of: {error.strerror}", str(error.filename)
        raise StackError(what, where=where, fix="check its rights, or name it in .dockerignore") from error
    return replace(plan, reference=f"{FAMILY}/{plan.role}:{tag}")
