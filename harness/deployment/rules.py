"""What makes a deployment file fit for production, one rule after the other: data, with the reason and the source.

Sources: the Compose Specification (compose-spec.io); Docker, "Compose in production"; OWASP, Docker Security Cheat
Sheet; CIS Docker Benchmark 1.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.deployment.images import keeps_state, name_and_tag
from harness.deployment.mounts import Mount, mount_of
from harness.deployment.outside import is_from_outside, is_yes
from harness.deployment.secrets import stand_in, stands_under

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.deployment.compose import Compose, Service

Place = tuple[int, str]
"""The line of what breaks a rule, and what was seen there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that must hold for each service.

    Attributes:
        name: As findings call it.
        why: What happens in production where it is broken.
        fix: What to write.
        source: Where it comes from.
        broken: The places where a service breaks it.
    """

    name: str
    why: str
    fix: str
    source: str
    broken: Callable[[Service], Iterator[Place]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule that a service breaks."""

    rule: str
    service: str
    file: str
    line: int
    seen: str
    why: str
    fix: str


def findings(compose: Compose) -> list[Finding]:
    """Return every place where a service breaks a rule, in the order of the file."""
    found = [
        (line, seen, rule, service)
        for service in compose.services
        for rule in RULES
        for line, seen in rule.broken(service)
    ]
    return [_finding(compose, *each) for each in sorted(found, key=lambda each: each[0])]


def _finding(compose: Compose, line: int, seen: str, rule: Rule, service: Service) -> Finding:
    file, number = compose.place(line)
    return Finding(rule=rule.name, service=service.name, file=file, line=number, seen=seen, why=rule.why, fix=rule.fix)


_HEALTHCHECK = ("test", "interval", "timeout", "retries", "start_period")
_GOOD_CONDITIONS = {"service_healthy", "service_completed_successfully"}
_RESTARTS = {"always", "unless-stopped", "on-failure"}
_COMMANDS = (("command",), ("entrypoint",), ("healthcheck", "test"))
_LOOPBACK = {"127.0.0.1", "::1", "[::1]", "localhost"}
_MIGHTY = {"ALL", "SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYS_MODULE", "DAC_READ_SEARCH"}
_ROOT = {"", "root", "0"}


def _no_healthcheck(service: Service) -> Iterator[Place]:
    check = service.says.get("healthcheck")
    if service.is_job():
        return
    if not isinstance(check, dict):
        yield service.line(), "it has no healthcheck"
    elif is_yes(check.get("disable")) or check.get("test") in ("NONE", ["NONE"]):
        yield service.line("healthcheck"), "its healthcheck is switched off"


def _incomplete_healthcheck(service: Service) -> Iterator[Place]:
    check = service.says.get("healthcheck")
    if isinstance(check, dict) and not is_yes(check.get("disable")):
        missing = [key for key in _HEALTHCHECK if check.get(key) is None]
        if missing:
            yield service.line("healthcheck"), f"its healthcheck leaves {', '.join(missing)} to chance"


def _waits_for_a_start_only(service: Service) -> Iterator[Place]:
    waits = service.says.get("depends_on")
    if isinstance(waits, list):
        yield service.line("depends_on"), f"it waits for {', '.join(map(str, waits))} to start, not to be healthy"
    for name, says in waits.items() if isinstance(waits, dict) else ():
        condition = says.get("condition") if isinstance(says, dict) else None
        if condition not in _GOOD_CONDITIONS and not is_from_outside(condition):
            yield service.line("depends_on", name), f"it waits for {name} with {condition or 'no condition'}"


def _stays_down(service: Service) -> Iterator[Place]:
    policy = service.part("deploy", "restart_policy", "condition") or service.says.get("restart")
    is_known = policy == "any" or str(policy).partition(":")[0] in _RESTARTS or is_from_outside(policy)
    if not is_known and not service.is_job():
        yield service.line("restart"), f"its restart policy is {policy or 'not given'}"


def _writable_configuration(service: Service) -> Iterator[Place]:
    for index, mount in enumerate(_mounts(service)):
        if mount.is_of_the_machine and mount.is_writable and not is_from_outside(mount.source):
            yield service.line("volumes", index), f"{mount.source} is mounted for writing"


def _mounts(service: Service) -> list[Mount]:
    return [mount_of(says) for says in service.items("volumes")]


def _secret_inside(service: Service) -> Iterator[Place]:
    service = service.as_written()
    for path in (("environment",), ("build", "args")):
        for name, value, key in service.variables(*path):
            if stands_under(name, value):
                yield service.line(*path, key), f"the value of {name} stands in the file"
    for path in _COMMANDS:
        for index, name in stand_in(service.part(*path)):
            place = path if index is None else (*path, index)
            yield service.line(*place), f"what {name} is given in its {path[0]} stands in the file"


def _open_to_everybody(service: Service) -> Iterator[Place]:
    for index, port in enumerate(service.items("ports")):
        host = str(port.get("host_ip") or "") if isinstance(port, dict) else _host_of(str(port))
        if host not in _LOOPBACK and not is_from_outside(host):
            yield service.line("ports", index), f"the port {_port_text(port)} is published on every interface"


def _host_of(port: str) -> str:
    """Return the address of a port in the short form; all of it where only the outside knows what it says."""
    if ":" not in port and is_from_outside(port):
        return port
    return port.rsplit(":", 2)[0] if port.count(":") >= 2 else ""


def _port_text(port: Any) -> str:
    return str(port.get("published", port.get("target"))) if isinstance(port, dict) else str(port)


def _reaches_outside(service: Service) -> Iterator[Place]:
    if service.says.get("ports") or service.says.get("network_mode"):  # a mode is none, another's, or `no-privileges`
        return
    networks = [str(name) for name in service.items("networks")] or ["default"]
    outside = [name for name in networks if service.compose.reaches_outside(name)]
    if outside:
        said = "the default network" if outside == ["default"] else f"the network {', '.join(outside)}"
        yield service.line("networks"), f"it publishes nothing, and yet {said} reaches the world"


def _forgets_its_state(service: Service) -> Iterator[Place]:
    named, mounts = service.compose.volumes(), _mounts(service)
    keeps = any(mount.may_hold_state and (mount.is_of_the_machine or mount.source in named) for mount in mounts)
    in_memory = [mount for mount in mounts if mount.is_in_memory]
    in_memory += [Mount("", str(path).partition(":")[0], is_writable=True) for path in service.items("tmpfs")]
    forgets = any(not mount.is_scratch for mount in in_memory)
    if keeps_state(str(service.says.get("image") or "")) and not keeps and not forgets:
        yield service.line("volumes"), "it keeps state, and neither a named volume nor a path of the machine holds it"


def _unlimited(service: Service) -> Iterator[Place]:
    limits = service.part("deploy", "resources", "limits")
    limits = limits if isinstance(limits, dict) else {}
    has_memory = limits.get("memory") or service.says.get("mem_limit")
    has_cpu = limits.get("cpus") or service.says.get("cpus")
    missing = [name for name, has in (("memory", has_memory), ("cpus", has_cpu)) if not has]
    if missing:
        yield service.line("deploy"), f"nothing limits its {' and '.join(missing)}"


def _is_root(service: Service) -> Iterator[Place]:
    if str(service.says.get("user") or "").partition(":")[0] in _ROOT:
        yield service.line("user"), f"it runs as {service.says.get('user') or 'the user of the image, mostly root'}"


def _is_privileged(service: Service) -> Iterator[Place]:
    if is_yes(service.says.get("privileged")):
        yield service.line("privileged"), "it is privileged"
    for key in ("network_mode", "pid", "ipc", "userns_mode"):
        if service.says.get(key) == "host":
            yield service.line(key), f"{key} is the host's"
    for index, name in enumerate(service.items("cap_add")):
        if str(name).upper().removeprefix("CAP_") in _MIGHTY:
            yield service.line("cap_add", index), f"it is given {name}"
    for index, mount in enumerate(service.items("volumes")):
        if mount_of(mount).source.endswith("docker.sock"):
            yield service.line("volumes", index), "it is given the engine's socket"


def _may_gain_privileges(service: Service) -> Iterator[Place]:
    options = {str(option).replace("=", ":") for option in service.items("security_opt")}
    if not options & {"no-new-privileges", "no-new-privileges:true"} and not any(map(is_from_outside, options)):
        yield service.line("security_opt"), "a setuid program in it may become root"


def _unpinned(service: Service) -> Iterator[Place]:
    image = service.says.get("image")
    if image is None:
        if "build" not in service.says:
            yield service.line(), "it has neither an image nor a build"
        return
    name, tag = name_and_tag(str(image))
    if "@sha256:" not in str(image) and tag in {"", "latest"} and not is_from_outside(name):
        yield service.line("image"), f"{name} is whatever is newest on that day"


def _logs_for_ever(service: Service) -> Iterator[Place]:
    driver = service.part("logging", "driver") or "json-file"
    if driver == "json-file" and not service.part("logging", "options", "max-size"):
        yield service.line("logging"), "its log grows until the disk is full"


RULES = (
    Rule(
        name="healthcheck",
        why="a process that lives and does not answer goes unnoticed",
        fix="healthcheck: with a test that asks the service itself",
        source="Compose Specification, healthcheck",
        broken=_no_healthcheck,
    ),
    Rule(
        name="healthcheck-times",
        why="the engine's defaults wait 90 s before they notice, and give a slow start no time",
        fix="say interval, timeout, retries and start_period",
        source="Compose Specification, healthcheck",
        broken=_incomplete_healthcheck,
    ),
    Rule(
        name="depends-on-health",
        why="it meets a dependency that has started and does not answer yet",
        fix="depends_on: {name: {condition: service_healthy}}",
        source="Compose Specification, depends_on",
        broken=_waits_for_a_start_only,
    ),
    Rule(
        name="restart",
        why="what died at night is found dead in the morning",
        fix="restart: unless-stopped",
        source="Docker, Compose in production",
        broken=_stays_down,
    ),
    Rule(
        name="read-only-mounts",
        why="an intruder can rewrite what the next start believes",
        fix="add :ro, or read_only: true; state belongs into a named volume",
        source="OWASP Docker Security Cheat Sheet, rule 8",
        broken=_writable_configuration,
    ),
    Rule(
        name="no-secrets",
        why="it is in the repository, in every backup, and in `docker inspect`",
        fix="use secrets: and NAME_FILE, or ${NAME:?} from outside",
        source="OWASP Docker Security Cheat Sheet, rule 12",
        broken=_secret_inside,
    ),
    Rule(
        name="loopback-ports",
        why="the engine opens it in the firewall, also to the internet",
        fix="publish on 127.0.0.1, behind a proxy that is meant to face the world",
        source="Docker, Packet filtering and firewalls",
        broken=_open_to_everybody,
    ),
    Rule(
        name="internal-network",
        why="a dependency that can reach the world can carry data there",
        fix="put it on a network with internal: true",
        source="Compose Specification, networks",
        broken=_reaches_outside,
    ),
    Rule(
        name="named-volume",
        why="the next `up` with another image begins with nothing",
        fix="mount a named volume where it keeps its data, or a tmpfs there if it may forget",
        source="Docker, Volumes",
        broken=_forgets_its_state,
    ),
    Rule(
        name="resource-limits",
        why="one leak takes the machine, and all others on it",
        fix="deploy.resources.limits: {cpus, memory}",
        source="OWASP Docker Security Cheat Sheet, rule 7",
        broken=_unlimited,
    ),
    Rule(
        name="non-root",
        why="a way out of the container is a way into the machine as root",
        fix='user: "10001:10001", or the image\'s own unprivileged user',
        source="CIS Docker Benchmark 4.1",
        broken=_is_root,
    ),
    Rule(
        name="no-privileges",
        why="there is no container any more, only a process with root's powers",
        fix="leave it out; give single capabilities if need be",
        source="CIS Docker Benchmark 5.4, 5.5, 5.10, 5.32",
        broken=_is_privileged,
    ),
    Rule(
        name="no-new-privileges",
        why="a user that is not root can become it by a program in the image",
        fix="security_opt: [no-new-privileges:true]",
        source="OWASP Docker Security Cheat Sheet, rule 4",
        broken=_may_gain_privileges,
    ),
    Rule(
        name="pinned-image",
        why="the same file is another system tomorrow",
        fix="name a version, better with its digest",
        source="CIS Docker Benchmark 4.2",
        broken=_unpinned,
    ),
    Rule(
        name="bounded-logs",
        why="a full disk stops every service on it",
        fix="logging: {driver: json-file, options: {max-size: 10m, max-file: '3'}}",
        source="Docker, JSON File logging driver",
        broken=_logs_for_ever,
    ),
)
