"""What makes a deployment file fit for production, one rule after the other: data, with the reason and the source.

Sources: the Compose Specification (compose-spec.io); Docker, "Compose in production"; OWASP, Docker Security Cheat
Sheet; CIS Docker Benchmark 1.6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.deployment.compose import is_yes

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
    line: int
    seen: str
    why: str
    fix: str


def findings(compose: Compose) -> list[Finding]:
    """Return every place where a service breaks a rule, in the order of the file."""
    found = [
        Finding(rule=rule.name, service=service.name, line=line, seen=seen, why=rule.why, fix=rule.fix)
        for service in compose.services
        for rule in RULES
        for line, seen in rule.broken(service)
    ]
    return sorted(found, key=lambda each: each.line)


_HEALTHCHECK = ("test", "interval", "timeout", "retries", "start_period")
_GOOD_CONDITIONS = {"service_healthy", "service_completed_successfully"}
_RESTARTS = {"always", "unless-stopped", "on-failure"}
_SECRET = re.compile(r"(?i)(password|passwd|secret|token|api_?key|private_?key|credential)")
_FILE_SUFFIX = re.compile(r"(?i)_file$")
_PASSWORD_IN_URL = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
_FROM_OUTSIDE = re.compile(r"^\$[A-Za-z_]")
_STATEFUL = re.compile(
    "elasticsearch|mariadb|mongo|mongodb|mysql|postgis|postgres|postgresql|prometheus|rabbitmq|redis|timescaledb|valkey"
)
_SCRATCH = re.compile(r"^/(tmp|var/tmp|run|var/run|dev)(/|:|$)")
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
        if condition not in _GOOD_CONDITIONS:
            yield service.line("depends_on", name), f"it waits for {name} with {condition or 'no condition'}"


def _stays_down(service: Service) -> Iterator[Place]:
    policy = service.part("deploy", "restart_policy", "condition") or service.says.get("restart")
    if str(policy).partition(":")[0] not in _RESTARTS and policy != "any" and not service.is_job():
        yield service.line("restart"), f"its restart policy is {policy or 'not given'}"


def _writable_configuration(service: Service) -> Iterator[Place]:
    for index, mount in enumerate(service.items("volumes")):
        source, is_read_only = _mount(mount)
        if source.startswith(("/", ".", "~")) and not is_read_only:
            yield service.line("volumes", index), f"{source} is mounted for writing"


def _mount(mount: Any) -> tuple[str, bool]:
    """Return a mount's source, and whether it is read-only."""
    if isinstance(mount, dict):
        return str(mount.get("source", "")), is_yes(mount.get("read_only"))
    source, *rest = str(mount).split(":")
    return (source if rest else ""), "ro" in (rest[1].split(",") if len(rest) > 1 else ())


def _secret_inside(service: Service) -> Iterator[Place]:
    for name, value, key in service.variables():
        is_secret = bool(_SECRET.search(name)) and not _FILE_SUFFIX.search(name)
        passwords = [value] if is_secret else _PASSWORD_IN_URL.findall(value or "")
        if any(each and not _FROM_OUTSIDE.match(each) for each in passwords):
            yield service.line("environment", key), f"the value of {name} stands in the file"


def _open_to_everybody(service: Service) -> Iterator[Place]:
    for index, port in enumerate(service.items("ports")):
        host = port.get("host_ip", "") if isinstance(port, dict) else _host_of(str(port))
        if host not in {"127.0.0.1", "::1", "[::1]", "localhost"}:
            yield service.line("ports", index), f"the port {_port_text(port)} is published on every interface"


def _host_of(port: str) -> str:
    return port.rsplit(":", 2)[0] if port.count(":") >= 2 else ""


def _port_text(port: Any) -> str:
    return str(port.get("published", port.get("target"))) if isinstance(port, dict) else str(port)


def _reaches_outside(service: Service) -> Iterator[Place]:
    networks = service.items("networks")
    if service.says.get("ports") or service.says.get("network_mode"):  # a mode is none, another's, or `no-privileges`
        return
    outside = [str(name) for name in networks if not service.compose.is_internal(str(name))]
    if outside or not networks:
        said = f"the network {', '.join(outside)}" if outside else "the default network"
        yield service.line("networks"), f"it publishes nothing, and yet {said} reaches the world"


def _forgets_its_state(service: Service) -> Iterator[Place]:
    named = service.compose.volumes()
    keeps = any(_mount(mount)[0] in named for mount in service.items("volumes"))
    forgets = any(not _SCRATCH.match(str(path)) for path in service.items("tmpfs"))
    if _STATEFUL.fullmatch(_image_name(service)[0]) and not keeps and not forgets:
        yield service.line("volumes"), "it keeps state, and no named volume holds it"


def _image_name(service: Service) -> tuple[str, str]:
    """Return the last word of its image, and the tag."""
    name, _, tag = str(service.says.get("image") or "").partition("@")[0].rpartition("/")[2].partition(":")
    return name, tag


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
        if _mount(mount)[0].endswith("docker.sock"):
            yield service.line("volumes", index), "it is given the engine's socket"


def _may_gain_privileges(service: Service) -> Iterator[Place]:
    options = {str(option).replace("=", ":") for option in service.items("security_opt")}
    if not options & {"no-new-privileges", "no-new-privileges:true"}:
        yield service.line("security_opt"), "a setuid program in it may become root"


def _unpinned(service: Service) -> Iterator[Place]:
    image = service.says.get("image")
    if image is None:
        if "build" not in service.says:
            yield service.line(), "it has neither an image nor a build"
        return
    name, tag = _image_name(service)
    if "@sha256:" not in str(image) and tag in {"", "latest"}:
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
