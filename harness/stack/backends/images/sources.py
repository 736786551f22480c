"""Where the parts of our own images come from: Debian's packages, Python's wheels, a Go module.

All of it is fetched on this machine, so that the builds themselves need no network.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import StackError
from harness.stack.backends.engine import speaking
from harness.stack.backends.images.plan import ROLE_LABEL
from harness.stack.backends.images.program import found, run
from harness.stack.backends.images.registry import within

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from docker import DockerClient

    from harness.stack.backends.images.table import Debian
    from harness.stack.image import Module

PIP = "pip==25.3"
"""Installs the wheels inside a build, from its own wheel: Debian's python3 has no pip."""

_DEBOOTSTRAP_WITHIN_S = 300.0
_TAR_WITHIN_S = 120.0
_IMPORT_WITHIN_S = 120.0
_PIP_WITHIN_S = 300.0
_GO_WITHIN_S = 600.0
_PYTHON_WITHIN_S = 30.0

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_WHO_ARE_YOU = "import json, platform, sys; print(json.dumps([*sys.version_info[:2], platform.libc_ver()[1]]))"


def import_debian(
    client: DockerClient, reference: str, debian: Debian, work: Path, say: Callable[[str], object]
) -> None:
    """Make the base: a root file system of Debian, as an image with an unprivileged user.

    Raises:
        StackError: If we are not root, a program is missing, or a step fails.
    """
    if os.geteuid() != 0:
        raise StackError(
            "debootstrap needs root",
            where="the image of base",
            fix="run this once as root, or let the engine reach a registry",
        )
    bootstrap = found("debootstrap", role="base", fix="apt-get install debootstrap")
    # Whatever it mounts, and whatever it starts, ends with it: nothing of it can hold or outlive its folder.
    alone = [found("unshare", role="base", fix="apt-get install util-linux"), "--mount", "--pid", "--fork"]
    options = [f"--variant={debian.variant}", f"--include={','.join(debian.include)}"]
    root, tar = work / "root", work / "root.tar"
    say(f"base: debootstrap {debian.suite}, half a minute")
    program = [*alone, "--kill-child", bootstrap, *options, debian.suite, str(root)]
    run("debootstrap", program, role="base", log=work / "debootstrap.log", within_s=_DEBOOTSTRAP_WITHIN_S)
    left_out = [f"--exclude={pattern}" for pattern in debian.leave_out]
    program = ["tar", "--create", f"--file={tar}", f"--directory={root}", "--numeric-owner", *left_out, "."]
    run("tar", program, role="base", log=work / "tar.log", within_s=_TAR_WITHIN_S)
    say(f"base: importing {reference}")
    _import(client, tar, reference)


def _import(client: DockerClient, tar: Path, reference: str) -> None:
    changes = [f"LABEL {ROLE_LABEL}=base", "USER 10001:10001", "WORKDIR /tmp", 'CMD ["python3"]']
    repository, _, tag = reference.rpartition(":")
    what = f"import {reference}"
    with speaking(what):
        answer = within(
            _IMPORT_WITHIN_S,
            what,
            lambda: client.api.import_image_from_file(str(tar), repository=repository, tag=tag, changes=changes),
        )
    told = [json.loads(line) for line in str(answer).splitlines() if line.strip()]
    errors = [each["error"] for each in told if "error" in each]
    if errors:
        fix = "make room on its disk: docker system df" if "no space left" in errors[0] else "docker info"
        raise StackError(f"the engine could not {what}: {errors[0]}", where="the Docker engine", fix=fix)


def go_program(module: Module, work: Path, *, role: str) -> Path:
    """Build a static program from a Go module; return where it is.

    Raises:
        StackError: If there is no Go, or it fails.
    """
    go = found("go", role=role, fix="install Go 1.23 or later (https://go.dev/dl), or apt-get install golang-go")
    place = work / "go"
    environment = {"GOBIN": str(place), "CGO_ENABLED": "0", "GOFLAGS": "-trimpath"}
    program = [go, "install", f"-ldflags={module.link}", module.module]
    run("go install", program, role=role, log=work / "go.log", within_s=_GO_WITHIN_S, environment=environment)
    built = next(place.iterdir())
    return built.rename(work / module.program)


@dataclass(frozen=True, slots=True)
class _Python:
    """What a wheel must fit.

    Attributes:
        version: `3.13`.
        platforms: Every tag that its C library can run.
    """

    version: str
    platforms: tuple[str, ...]


def wheels(client: DockerClient, base: str, requirements: Path, architecture: str, work: Path) -> Path:
    """Download wheels for the Python of the base, whatever the Python of this machine; return their folder.

    Nothing is resolved: `requirements` is the whole list, and the build fails if it is not.

    Raises:
        StackError: If the base has no Python, there is no pip, or a wheel cannot be had.
    """
    python = _python_of(client, base, architecture)
    place = work / "wheels"
    options = ["--no-deps", "--only-binary=:all:", "--implementation=cp", f"--python-version={python.version}"]
    options += [f"--platform={platform}" for platform in python.platforms]
    quietly = ["--quiet", "--no-input", "--disable-pip-version-check"]
    program = [*_pip(), "download", *quietly, *options, f"--dest={place}", f"--requirement={requirements}", PIP]
    run("pip download", program, role="service", log=work / "pip.log", within_s=_PIP_WITHIN_S)
    return place


def _python_of(client: DockerClient, base: str, architecture: str) -> _Python:
    what = f"run python3 in {base}"
    with speaking(what):
        container = client.containers.create(
            base, ["python3", "-c", _WHO_ARE_YOU], network_mode="none", labels={ROLE_LABEL: "base"}
        )
        try:
            container.start()
            container.wait(timeout=_PYTHON_WITHIN_S)
            said = container.logs().decode(errors="replace").strip()
        finally:
            container.remove(force=True)
    try:
        major, minor, libc = json.loads(said)
        newest = int(libc.split(".")[1])
    except (ValueError, IndexError, AttributeError) as error:
        fix = "the base must hold a python3 on glibc: see harness/stack/backends/images/table.py"
        raise StackError(f"the engine could not {what}: {said[-200:]}", where="the image of base", fix=fix) from error
    machine = _MACHINES.get(architecture, architecture)
    # PEP 600: a wheel of an older C library runs on a newer one. pip takes tags by their letters, so all are named.
    platforms = (f"manylinux2014_{machine}", *(f"manylinux_2_{older}_{machine}" for older in range(newest, 4, -1)))
    return _Python(f"{major}.{minor}", platforms)


def _pip() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    return [found("pip", role="service", fix="pip install pip, into the environment that this runs in")]
