"""The Docker engine: whether one answers, and the removal of what a run has left on it.

Everything that a run makes there carries its id as a label, and only what carries it is ever touched.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import socket
import tarfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from harness.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from docker import DockerClient
    from docker.models.containers import Container

RUN_LABEL = "readiness.run"
"""Label of every container, network and volume that a run makes; its value is the run's id."""

ANSWER_WITHIN_S = 60.0
"""An engine that starts a container on a busy machine is slow, one that hangs is never ready."""

GONE = NotFound
"""Raised by what has been removed already."""

_KNOCK_WITHIN_S = 3.0
_AT_ONCE = 8
_ON_THIS_MACHINE = {"unix", "npipe"}
_USUAL = "unix:///var/run/docker.sock"
_MOUNTS = Path("/proc/self/mountinfo")
_CONTAINER = re.compile(r"/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf) /etc/")
"""Source: proc(5) for mountinfo: the root of a mount in its file system, then where it is mounted."""


@contextmanager
def speaking(what: str) -> Iterator[None]:
    """Turn every way in which the engine can refuse into one error.

    Args:
        what: What it was asked for, as in "could not …".

    Raises:
        StackError: If the engine refused, or did not answer.
    """
    try:
        yield
    except (DockerException, requests.RequestException) as error:
        said = getattr(error, "explanation", None) or str(error)
        is_full = "no space left" in said
        fix = "make room on its disk: docker system df" if is_full else "see what it says of itself: docker info"
        raise StackError(f"the engine could not {what}: {said}", where="the Docker engine", fix=fix) from error


@contextmanager
def unless_it_is_so() -> Iterator[None]:
    """Take a conflict for what it mostly is: what was asked for is the case already."""
    try:
        yield
    except APIError as error:
        if error.status_code != requests.codes.conflict:
            raise


def address() -> str:
    """Return where the engine is: DOCKER_HOST, else the docker context that was chosen, else the usual socket.

    Raises:
        StackError: If the context is not there, or cannot be read; it says who chose it.
    """
    return os.environ.get("DOCKER_HOST") or _address_of_context() or _USUAL


def _address_of_context() -> str:
    """Return where the chosen context's engine is: DOCKER_CONTEXT chooses one, else docker's own configuration.

    Read here and not by docker-py, which knows no DOCKER_CONTEXT, and no contexts where config.json is not there.

    Source: docker's CLI reference, "Environment variables": DOCKER_HOST overrides DOCKER_CONTEXT, which overrides the
    context that was set with `docker context use`; docker/cli, cli/context/store, for the files.
    """
    folder = _configuration()
    name = os.environ.get("DOCKER_CONTEXT") or _current_context(folder)
    if name in {"", "default"}:
        return ""
    file = folder / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
    chosen_by = "DOCKER_CONTEXT" if os.environ.get("DOCKER_CONTEXT") else f"{folder / 'config.json'}: currentContext"
    fix = "choose one that `docker context ls` lists, or set DOCKER_HOST; or use --backend embedded"
    try:
        return str(json.loads(file.read_bytes())["Endpoints"]["docker"]["Host"])
    except FileNotFoundError as error:
        raise StackError(f"there is no docker context {name!r}", where=chosen_by, fix=fix) from error
    except (OSError, ValueError, LookupError, TypeError) as error:
        what = f"the docker context {name!r} cannot be read: {error}"
        raise StackError(what, where=str(file), fix=fix) from error


def _configuration() -> Path:
    """Return the folder of docker's configuration; of a user without a home, one that is not there."""
    with suppress(RuntimeError):
        return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    return Path("/nonexistent")


def _current_context(folder: Path) -> str:
    """Return the name that `docker context use` has set; as for docker, nothing is set where that cannot be read."""
    with suppress(OSError, ValueError, AttributeError):
        return str(json.loads((folder / "config.json").read_bytes()).get("currentContext") or "")
    return ""


def connect(where: str | None = None) -> DockerClient:
    """Return a client of the engine at `where`, or of the one that the environment names.

    Raises:
        StackError: If none answers within 3 s, or it may not be used; it says which.
    """
    where = where or address()
    try:
        _knock(where)
        client = docker.from_env(timeout=_KNOCK_WITHIN_S, environment={**os.environ, "DOCKER_HOST": where})
    except PermissionError as error:
        fix = "join the group that owns its socket (often `docker`), or use --backend embedded"
        raise StackError("the Docker engine may not be used by this user", where=where, fix=fix) from error
    except (OSError, DockerException, ValueError) as error:  # a requests.RequestException is an OSError
        fix = "start one, or use --backend embedded"
        raise StackError("no Docker engine answers", where=where, fix=fix) from error
    client.api.timeout = ANSWER_WITHIN_S
    return client


def check_is_here(where: str) -> None:
    """See that the engine is on this machine: load goes nowhere else, and ports are published on its loopback only.

    Raises:
        StackError: If it is on another one, or `where` is no address.
    """
    scheme, host = _parted(where)
    if scheme not in _ON_THIS_MACHINE and host not in {"localhost", "127.0.0.1", "::1"}:
        fix = "unset DOCKER_HOST, or choose the docker context of an engine here; or use --backend embedded"
        raise StackError(f"the Docker engine is on another machine, {host}", where=where, fix=fix)


def _parted(where: str) -> tuple[str, str]:
    """Return the scheme and the host of an engine's address.

    Raises:
        StackError: If it is none.
    """
    try:
        parts = urlsplit(where if "://" in where else f"tcp://{where}")
        is_whole = parts.scheme in _ON_THIS_MACHINE or bool(parts.hostname)
        _ = parts.port  # of a number alone
    except ValueError:
        is_whole = False
    if not is_whole:
        fix = (
            "write unix:///var/run/docker.sock or tcp://127.0.0.1:2375, or unset DOCKER_HOST; or use --backend embedded"
        )
        raise StackError(
            f"{where!r} is no address of a Docker engine", where="DOCKER_HOST, or the docker context", fix=fix
        )
    return parts.scheme, parts.hostname or ""


def check_is_reached(client: DockerClient, mounts: Path = _MOUNTS) -> None:
    """See that ports which the engine publishes on its loopback are on ours.

    They are not where we run in one of its own containers, which was given its socket: there the loopback is the
    container's. A container of another engine, such as the one around an engine in a container, it does not know.

    Args:
        client: Of the engine.
        mounts: What says which container this is.

    Raises:
        StackError: If we run in one of its containers that has a network of its own, or the engine refuses.
    """
    for number in _containers_named_in(mounts):
        with speaking("tell about the container that this runs in"):
            try:
                mode = client.containers.get(number).attrs["HostConfig"]["NetworkMode"]
            except NotFound:
                continue
        if mode != "host":
            what = f"this runs in the container {number[:12]} of that engine, and cannot reach ports that it publishes"
            fix = "start that container with --network host, or use --backend embedded"
            raise StackError(what, where="the Docker engine", fix=fix)


def _containers_named_in(mounts: Path) -> set[str]:
    """Return which container this may be: an engine mounts /etc/hostname and its like from a folder of that name."""
    try:
        return set(_CONTAINER.findall(mounts.read_text()))
    except OSError:  # no Linux
        return set()


def _knock(where: str) -> None:
    """Connect to the engine's socket, if it is one of this machine: docker-py does not tell why it could not.

    Raises:
        OSError: If nothing listens there; PermissionError if that is not for us to know.
    """
    scheme, _, path = where.partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(_KNOCK_WITHIN_S)
            door.connect(path)


def thaw(container_id: str, client: DockerClient) -> bool:
    """Undo the pause of a container; tell whether it was there.

    Raises:
        StackError: If the engine refuses.
    """
    with speaking(f"thaw container {container_id}"), unless_it_is_so():
        try:
            client.containers.get(container_id).unpause()
        except NotFound:
            return False
    return True


def main_pid(container_id: str, client: DockerClient) -> int:
    """Return the number that the main process of a container has on the engine's machine; 0 if it does not run.

    Raises:
        StackError: If the engine refuses.
    """
    with speaking(f"find the process of container {container_id}"):
        return int(client.containers.get(container_id).attrs["State"]["Pid"])


def put_text(container_id: str, path: str, text: str, client: DockerClient) -> None:
    """Write a small file in a container that runs, for all there to read.

    Raises:
        StackError: If the engine refuses.
    """
    folder, _, name = path.rpartition("/")
    data, archive = text.encode(), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as packed:
        file = tarfile.TarInfo(name)
        file.size, file.mode = len(data), 0o644
        packed.addfile(file, io.BytesIO(data))
    with speaking(f"write {path} in container {container_id}"):
        client.containers.get(container_id).put_archive(folder or "/", archive.getvalue())


def text_of(container_id: str, path: str, client: DockerClient) -> str | None:
    """Return what a small file in a container says; None if it is not there.

    Raises:
        StackError: If the engine refuses.
    """
    with speaking(f"read {path} in container {container_id}"):
        try:
            packed, _ = client.containers.get(container_id).get_archive(path)
        except NotFound:
            return None
        archive = io.BytesIO(b"".join(packed))
    with tarfile.open(fileobj=archive) as files:
        file = files.extractfile(files.next() or tarfile.TarInfo())
        return file.read().decode() if file else None


def run_python_on(folder: str, script: str, words: Sequence[str], container_id: str, client: DockerClient) -> str:
    """Run a script in a container that runs, as who owns a folder there; return what it says.

    Root has no rights over other users' files where a container may gain none (Docker 20.10, `no-new-privileges`).

    Raises:
        StackError: If the engine refuses, the container is gone, or the script fails.
    """
    with speaking(f"run a script in container {container_id}"):
        container = client.containers.get(container_id)
        owner = _said_by(container, ["stat", "--format", "%u:%g", folder], user="0").strip()
        return _said_by(container, ["python3", "-I", "-c", script, *words], user=owner)


def _said_by(container: Container, command: Sequence[str], *, user: str) -> str:
    status, said = container.exec_run(list(command), user=user)
    if status:
        *_, last = said.decode(errors="replace").splitlines() or ["nothing"]
        what, where = f"{command[0]} failed: {last}", f"container {container.id[:12]}"
        raise StackError(what, where=where, fix=f"it needs {command[0]}")
    return str(said.decode())


def names_of(run_id: str, client: DockerClient) -> list[str]:
    """Return the names of all containers and networks that carry the run's label.

    Raises:
        StackError: If the engine refuses.
    """
    marked = {"label": f"{RUN_LABEL}={run_id}"}
    with speaking(f"look for what run {run_id} left"):
        containers = client.containers.list(all=True, filters=marked, ignore_removed=True)
        return sorted(str(each.name) for each in [*containers, *client.networks.list(filters=marked)])


def remove_all_of(run_id: str, client: DockerClient) -> list[str]:
    """Remove every container, network and volume that carries the run's label; return a line for each.

    Raises:
        StackError: If the engine refuses.
    """
    marked = {"label": f"{RUN_LABEL}={run_id}"}
    with speaking(f"remove what run {run_id} left"), ThreadPoolExecutor(_AT_ONCE) as pool:
        containers = client.containers.list(all=True, filters=marked, ignore_removed=True)
        removed = list(pool.map(lambda each: _removed("container", each, force=True, v=True), containers))
        removed += [_removed("network", each) for each in client.networks.list(filters=marked)]
        removed += [_removed("volume", each) for each in client.volumes.list(filters=marked)]
    return [line for line in removed if line]


def _removed(kind: str, thing: Any, **options: bool) -> str:
    """Remove one thing; say so, or nothing if it was gone already."""
    try:
        with unless_it_is_so():  # a removal is under way
            thing.remove(**options)
    except NotFound:
        return ""
    return f"removed {kind} {thing.name}"
