"""A service as a container: in a sandbox that keeps its address, gone when the run is, restartable in place.

A container that dies takes its network along: a question to it then waits for seconds, where a dead process refuses at
once. So each service has a sandbox, as a Kubernetes pod has: a container that only holds the network, with the alias
and the published ports. The service moves in, dies and comes back, and its address never changes.
"""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from harness.clock import is_met_within
from harness.errors import StackError, SubjectError
from harness.stack.backends.engine import ANSWER_WITHIN_S, GONE, RUN_LABEL, speaking, unless_it_is_so
from harness.stack.backends.engine import address as engine_address
from harness.stack.disk import Disk
from harness.stack.ready import TAIL, its_last_words
from harness.stack.service import SERVICE_ANSWERS_WITHIN_S, Usage, cannot_reload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from docker import DockerClient
    from docker.models.containers import Container as EngineContainer

    from harness.clock import Clock
    from harness.stack.recipe import ContainerRecipe
    from harness.stack.service import Address, Workspace

# Ryuk removes what a dead session left; here the guardian does, which also heals, needs no image and no open socket.
testcontainers_config.ryuk_disabled = True

HEALTHY, UNHEALTHY = "healthy", "unhealthy"
"""What an engine's own check says."""

_STOP_WITHIN_S = 5
_PIDS = 512
_DISK = "/disk"
"""Where a sandbox has the disk that it keeps."""

_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerHost:
    """What the containers of one stack share.

    Attributes:
        workspace: What the stack stands on.
        network: The run's own; of a compose file each process has another one.
        base: Image of the sandboxes.
        further: Networks that a sandbox is in besides.
    """

    workspace: Workspace
    network: Network
    base: str
    further: tuple[Network, ...] = ()


def network_for(workspace: Workspace, name: str = "", *, is_internal: bool = False) -> Network:
    """Make a network of a stack; its label is enough to remove it.

    Args:
        workspace: What the stack stands on.
        name: Whose it is; that of all if empty. It comes after that one in the order of names, by which an engine
            decides through which of its networks a container's ports are published.
        is_internal: Whether nothing in it gets an answer from outside. An engine publishes no port of a network that
            it calls internal itself; without masquerading, what is sent outside has no address to be answered at.

    Raises:
        StackError: If the engine refuses.
    """
    options: dict[str, Any] = {"driver": "bridge", "labels": {RUN_LABEL: workspace.run_id}}
    if is_internal:
        options["options"] = {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    with speaking("make a network"):
        network = Network(docker_client_kw={"timeout": ANSWER_WITHIN_S}, docker_network_kw=options)
        network.name = f"{workspace.work.name}-{name}" if name else workspace.work.name
        with closing(network._docker.client):  # noqa: SLF001 - testcontainers leaves it open
            return network.create()


class Container:
    """One recipe, running. Implements `Service`."""

    def __init__(self, recipe: ContainerRecipe, host: ContainerHost) -> None:
        self._recipe = recipe
        self._host = host
        self._container: EngineContainer | None = None
        self._sandbox: EngineContainer | None = None
        self._clients: list[DockerClient] = []

    @property
    def name(self) -> str:
        """Its name, unique in its stack."""
        return self._recipe.name

    @property
    def direct(self) -> Address:
        """Where it is reached from here."""
        return self._recipe.direct

    @property
    def ready_within_s(self) -> float:
        """How long it may take from its start until it is ready."""
        return self._recipe.ready_within_s

    def why_not_ready(self) -> str:
        """Say how it ended, or what it answers."""
        return self._recipe.probe.seen(self.direct) if self.is_alive() else self._how_it_ended()

    @property
    def question(self) -> bytes:
        """What `round_trip_s` asks."""
        return self._recipe.probe.question

    @property
    def greets(self) -> bool:
        """Whether it speaks first on a connection."""
        return self._recipe.probe.greets

    def long_question(self, length_bytes: int) -> bytes:
        """Return a question whose answer has at least so many bytes, and ends the connection."""
        return self._recipe.probe.asking_for(length_bytes, self.name)

    def is_ready(self) -> bool:
        """Tell whether it answers its health question."""
        try:
            if self._recipe.is_checked:
                return self.health() == HEALTHY
            if not self._recipe.probe.listens:
                return self._seen_running_s() == 0
            return self._recipe.probe.is_answering(self.direct) and self._status() == "running"
        except (OSError, StackError):
            return False

    def is_alive(self) -> bool:
        """Tell whether its main process exists, or the engine is about to start it again, as its own policy says."""
        return self._status() in {"running", "paused", "restarting"}

    def health(self) -> str | None:
        """Return what the engine's own check says: `starting`, `healthy`, `unhealthy`; None where there is no check."""
        if self._status() != "running" or self._container is None:
            return "starting"
        return (self._container.attrs["State"].get("Health") or {}).get("Status")

    def join(self, network: Network, aliases: Sequence[str] = ()) -> str:
        """Let its sandbox into another network as well; return its address there.

        Raises:
            StackError: If it has not been started, or the engine refuses.
        """
        if self._sandbox is None:
            raise StackError(f"{self.name} was not started", where=str(self.direct), fix="start it first")
        with speaking(f"let {self.name} into {network.name}"):
            return _joined(self._sandbox, network, aliases)

    def round_trip_s(self, via: Address, *, within_s: float = SERVICE_ANSWERS_WITHIN_S) -> float:
        """Return the seconds that its cheapest question takes through `via`."""
        if not self._recipe.probe.listens:
            return self._seen_running_s()
        return self._recipe.probe.round_trip_s(via, within_s)

    def version(self) -> str:
        """Return what it says it is."""
        return self._recipe.probe.version(self.direct)

    def identity(self) -> dict[str, str | float]:
        """Return its engine and its container there."""
        if self._container is None or not self.is_alive():
            raise StackError(f"{self.name} does not run", where=str(self.direct), fix="see its log")
        return {"engine": engine_address(), "container": str(self._container.id)}

    def disk(self) -> Disk:
        """Return the disk that it has for itself, which its sandbox keeps.

        Raises:
            StackError: If it has not been started.
        """
        if self._sandbox is None:
            raise StackError(f"{self.name} was not started", where=str(self.direct), fix="start it first")
        return Disk(folder=_DISK, keeper={"engine": engine_address(), "container": str(self._sandbox.id)})

    def start(self, *, held: bool = False) -> None:
        """Start it on the same address; the first time, in a new sandbox.

        Raises:
            StackError: If it runs already, is to be held, or the engine refuses.
        """
        if held:
            what = f"{self.name} cannot be held: an engine starts a container's program at once"
            raise StackError(what, where=str(self.direct), fix="use --backend embedded")
        if self._container is None:
            with speaking(f"start {self.name} from {self._recipe.image}"):
                self._container = self._moved_in()
            return
        if self.is_alive():
            raise StackError(f"{self.name} runs already", where=str(self.direct), fix="stop it first")
        with speaking(f"start {self.name} again"):
            self._container.start()

    def life(self) -> str:
        """Return when its process was started, in the engine's own words."""
        if self._container is None or not self.is_alive():
            raise StackError(f"{self.name} does not run", where=str(self.direct), fix="see its log")
        return f"container of {self._container.attrs['State']['StartedAt']}"

    def children(self) -> frozenset[int]:
        """Return the numbers of the processes below its main one, as the engine counts them."""
        if self._container is None or not self.is_alive():
            return frozenset()
        with speaking(f"look into {self.name}"):
            return children_in(self._container.top())

    def reload(self) -> None:
        """Send its own signal for this, and do not wait for it."""
        number = self._recipe.reload_signal
        if number is None or self._container is None or not self.is_alive():
            raise cannot_reload(self, "it does not run" if number else "it knows no such order")
        with speaking(f"have {self.name} read its configuration again"):
            self._container.kill(signal=number.name)

    def ask_to_end(self) -> None:
        """Send the image's own signal for this, and do not wait for it."""
        if self._container is None:
            return
        self.resume()  # a frozen process would never hear it
        signal_name = self._container.attrs["Config"].get("StopSignal") or "SIGTERM"
        with speaking(f"ask {self.name} to end"), suppress(GONE), unless_it_is_so():
            self._container.kill(signal=signal_name)

    def stop(self) -> None:
        """Ask it to end, insist after 5 s, and return when it is gone."""
        if self._container is None:
            return
        self.resume()  # a frozen process would never hear it
        with speaking(f"stop {self.name}"), suppress(GONE):
            self._container.stop(timeout=_STOP_WITHIN_S)

    def kill(self) -> None:
        """End it with SIGKILL and return when it is gone."""
        if self._container is None:
            return
        self.resume()  # what is frozen does not die before it thaws
        with speaking(f"kill {self.name}"), suppress(GONE):
            with unless_it_is_so():
                self._container.kill()
            self._container.wait(timeout=_STOP_WITHIN_S)

    def pause(self) -> None:
        """Freeze all its processes."""
        if self._container is not None:
            with speaking(f"pause {self.name}"), unless_it_is_so():
                self._container.pause()

    def resume(self) -> None:
        """Undo `pause`."""
        if self._container is not None and self._status() == "paused":
            with speaking(f"resume {self.name}"), unless_it_is_so():
                self._container.unpause()

    def restart(self) -> None:
        """Kill it and start it again on the same address."""
        self.kill()
        self.start()

    def logs(self, tail: int = 20) -> str:
        """Return the last `tail` lines that it wrote."""
        if self._container is None:
            return ""
        with speaking(f"read the log of {self.name}"), suppress(GONE):
            return str(self._container.logs(tail=tail).decode(errors="replace")).rstrip("\n")
        return ""

    def leave(self) -> None:
        """Write all that it wrote into the run's folder, before it is removed, and stop speaking to the engine."""
        if self._container is not None:
            path = self._host.workspace.logs / f"{self.name}.log"
            with speaking(f"keep the log of {self.name}"), suppress(GONE):
                path.write_bytes(self._container.logs())
        for client in self._clients:
            client.close()

    def usage(self) -> Usage:
        """Return what all its processes use."""
        if self._container is None or not self.is_alive():
            return Usage(0.0, 0)
        with speaking(f"measure {self.name}"):
            said = self._container.client.api.stats(self._container.id, stream=False, one_shot=True)
        return _usage_of(said)

    def _seen_running_s(self) -> float:
        """Look at a process that answers nothing, since it listens nowhere, as if it had been asked: see `Service`."""
        status = self._status()
        if status == "paused":
            raise TimeoutError(f"{self.name} is frozen")
        if status != "running":
            raise ConnectionRefusedError(f"{self.name} is not there")
        return 0.0

    def _how_it_ended(self) -> str:
        """Return `exit 3`; nothing if the engine does not know."""
        if self._container is None or self._status() != "exited":
            return ""
        return f"exit {self._container.attrs['State']['ExitCode']}"

    def run_to_its_end(self, *, within_s: float, clock: Clock) -> None:
        """Start it, and wait until it has ended by itself; see `wait_for_its_end` for what it raises."""
        self.start()
        self.wait_for_its_end(within_s=within_s, clock=clock, where=f"the image {self._recipe.image}")

    def wait_for_its_end(self, *, within_s: float, clock: Clock, where: str) -> None:
        """Wait until it has ended by itself.

        Raises:
            SubjectError: If it failed or took longer, with its last words: only the judged service has such containers.
        """
        has_ended = is_met_within(lambda: not self.is_alive(), deadline_s=within_s, clock=clock, every_s=0.1)
        how = self._how_it_ended() if has_ended else ""
        if how == "exit 0":
            return
        self.kill()
        what = f"failed ({how or 'it is gone'})" if has_ended else f"took longer than {within_s:g} s"
        raise SubjectError(f"{self.name} {what}", where=where, fix=its_last_words(self.logs(TAIL)))

    def _status(self) -> str:
        if self._container is None:
            return "not there"
        with speaking(f"look at {self.name}"), suppress(GONE):
            self._container.reload()
            return str(self._container.status)
        return "not there"

    def _moved_in(self) -> EngineContainer:
        """Make the sandbox, and start the service in it."""
        recipe = self._recipe
        sandbox = self._made(f"{self.name}-sandbox", self._host.base, recipe.sandbox, **recipe.sandbox_options)
        sandbox.with_network(self._host.network).with_network_aliases(self.name, *recipe.aliases)
        for inside, address in recipe.published.items():
            sandbox.ports[f"{inside}/tcp"] = (address.host, address.port)  # type: ignore[assignment]  # docker's own form
        volume = self._volume(recipe.disk_bytes) if recipe.disk_bytes else ""
        if volume:
            sandbox.with_volume_mapping(volume, _DISK, "rw")
        sandbox.start()
        self._sandbox = sandbox.get_wrapped_container()
        for network in self._host.further:
            _joined(self._sandbox, network, (self.name, *recipe.aliases))
        home = f"container:{sandbox.get_container_id()}"
        # Without `network`, testcontainers would guess one where it takes this machine for a container.
        moves = {"network_mode": home, "network": None, "user": recipe.user, **recipe.options}
        service = self._made(self.name, recipe.image, recipe.command, **moves)
        service.with_envs(**recipe.environment)
        if volume and recipe.data:  # what the image has there is copied into it by the engine, since it is empty
            service.with_volume_mapping(volume, recipe.data, "rw")
        for path, said in recipe.files.items():
            text = said if isinstance(said, str) else said(self._host.workspace.project)
            service.with_copy_into_container(text.encode(), path)
        return service.start().get_wrapped_container()

    def _volume(self, size_bytes: int) -> str:
        """Make a disk in memory, and return its name; its label is enough to remove it.

        It is empty again when no container has it mounted, so that the sandbox, which never ends, has it as well.
        """
        workspace = self._host.workspace
        name = f"{workspace.work.name}-{self.name}-disk"
        options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={size_bytes}"}
        self._clients[0].volumes.create(name, driver="local", driver_opts=options, labels={RUN_LABEL: workspace.run_id})
        return name

    def _made(self, name: str, image: str, command: Sequence[str] | None, **options: Any) -> DockerContainer:
        """Describe a container that is marked, limited, and cannot gain rights; options may limit it otherwise."""
        workspace = self._host.workspace
        container = DockerContainer(image, docker_client_kw={"timeout": ANSWER_WITHIN_S})
        self._clients.append(container.get_docker_client().client)
        if command is not None:
            container.with_command(list(command))
        memory_mib = self._recipe.memory_mib
        limits: dict[str, Any] = {
            "mem_limit": None if memory_mib is None else memory_mib * _MEBIBYTE,
            "pids_limit": _PIDS,
            "security_opt": ["no-new-privileges:true"],
        }
        marked = {**limits, **options, "labels": {RUN_LABEL: workspace.run_id}}
        return container.with_name(f"{workspace.work.name}-{name}").with_kwargs(**marked)


def _joined(sandbox: EngineContainer, network: Network, aliases: Sequence[str]) -> str:
    sandbox.client.networks.get(network.name).connect(sandbox, aliases=list(aliases))
    sandbox.reload()
    return str(sandbox.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"])


def children_in(said: Mapping[str, Any]) -> frozenset[int]:
    """Return which of the processes that an engine lists of a container are below another one there.

    The columns are those of `ps -ef` (Docker) or the engine's own (Podman): PID and PPID are in both.
    """
    pid, parent = (said["Titles"].index(title) for title in ("PID", "PPID"))
    parents = {int(row[pid]): int(row[parent]) for row in said["Processes"]}
    return frozenset(number for number, above in parents.items() if above in parents)


def _usage_of(said: Mapping[str, Any]) -> Usage:
    """Read what the engine counts; files that are only cached are no use of memory, as `docker stats` sees it."""
    memory = said["memory_stats"]
    detail = memory.get("stats", {})
    cached_bytes = detail.get("total_inactive_file", detail.get("inactive_file", 0))  # cgroup v1, v2
    cpu_s = said["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
    return Usage(cpu_s, max(0, memory.get("usage", 0) - cached_bytes))
