"""readiness.toml: the system that is judged, what it promises by default, and the profiles."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr, field_validator, model_validator

from harness.spec.abort import AbortWhen
from harness.spec.address import ON_THIS_MACHINE, is_host, is_port
from harness.spec.balancer import USUAL, Balancer
from harness.spec.claim import TIERS, Tier
from harness.spec.clean import CleanMetric
from harness.spec.composed import Composed
from harness.spec.external import CommandedProcess, Prometheus, Toxiproxy
from harness.spec.invariant import Invariant
from harness.spec.login import Login, unknown_words
from harness.spec.model import Argv, Model, Plain, Variable, is_unsaid
from harness.spec.objective import Objective, usual_phase
from harness.spec.path import PathBelow
from harness.spec.phase import Slug
from harness.spec.quantity import Duration
from harness.spec.requests import HeaderName, Requests, ResponseHeaders
from harness.spec.scenario import WORKERS_MAX, Extension
from harness.spec.standby import Replicates, Standbys

if TYPE_CHECKING:
    from collections.abc import Mapping

_APPLICATION = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"

_USUAL_PORTS = {"http": "80", "https": "443"}


def _application(text: str) -> str:
    if not re.fullmatch(_APPLICATION, text):
        raise ValueError(f"{text!r} names no application; write package.module:name, such as shop.main:create_app")
    return text


def _host(text: str) -> str:
    if not is_host(text):
        raise ValueError(f"{text!r} names no machine; write it as a URL does, without a port: staging.example.internal")
    return text.lower()


def _service_url(text: str) -> str:
    parts = urlsplit(text)
    place = parts.netloc if ":" in parts.netloc else f"{parts.netloc}:{_USUAL_PORTS.get(parts.scheme)}"
    host, _, port = place.rpartition(":")
    if (
        parts.scheme not in _USUAL_PORTS
        or not is_host(host)
        or not is_port(port)
        or parts.path not in {"", "/"}
        or parts.query
    ):
        raise ValueError(f"{text!r} cannot be judged; write http://127.0.0.1:PORT or https://HOST, without a path")
    return f"{parts.scheme}://{host.lower()}:{port}"


def _local_address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if host not in ON_THIS_MACHINE or not is_port(port):
        raise ValueError(f"{text!r} is no address on this machine; write 127.0.0.1:PORT")
    return text


Application = Annotated[str, AfterValidator(_application), Field(json_schema_extra={"pattern": _APPLICATION})]
"""An application, or a function that makes one, by its module."""

ServiceUrl = Annotated[str, AfterValidator(_service_url)]
"""The base address of a service; on this machine, or on one that `allowed_hosts` names."""

Host = Annotated[str, AfterValidator(_host)]
"""The name of a machine, or its IPv4 address, as a URL has it; in small letters."""

LocalAddress = Annotated[str, AfterValidator(_local_address)]
"""Where something on this machine listens."""


class Worker(Model):
    """A further process of the judged service, which takes no requests: a queue's consumer, a scheduler.

    Attributes:
        command: Program and arguments.
        defect_command: Run instead of it when a seeded defect was asked for; `{defect}` tells either which.
        count: How many of it; a scenario may ask for others, so that none runs (0) where no scenario is about it.
    """

    command: Argv
    defect_command: Argv | None = None
    count: int = Field(default=1, ge=0, le=WORKERS_MAX)


class ProxiedDependency(Model):
    """A path to something that an external subject uses, which it was given instead of the real one.

    Attributes:
        kind: What stands at its end, as in `components`; its name if this says nothing.
        listen: Where the subject looks for it: the fault proxy listens there.
        upstream: Where it really is.
    """

    kind: Slug | None = None
    listen: LocalAddress
    upstream: LocalAddress


KINDS = ("app", "wsgi", "command", "external", "service")
"""What a subject can be; it is exactly one."""

_NOT_STARTED = (
    "init",
    "workers",
    "environment",
    "secrets",
    "python",
    "defects",
    "clock",
    "clean",
    "folder",
    "image",
    "dockerfile",
)
"""What says how a subject is started, or what it is when it was, and so means nothing where it runs already."""

_AROUND = ("proxies", "toxiproxy", "processes", "prometheus")
"""What stands around a subject that runs already, and is made for one that is started here."""
_IN_THE_COMPOSE_FILE = ("factory", "python", "folder", "init", "init_within", "workers", "image", "dockerfile")
"""What a compose file says of its services, so that readiness.toml must not."""


class SubjectClock(Model):
    """How the clocks of a replica are set off while it runs, and seen (docs/system.md).

    Attributes:
        variable: Gets the path of a file in which a replica reads how far its clocks are off.
        header: Of the answer to `ready`: the time by its own clocks.
    """

    variable: Variable
    header: HeaderName


class Subject(Model):
    """The judged service: what its replicas run, or where it runs already.

    Attributes:
        app: `package.module:factory` of an ASGI application, importable from the folder that holds readiness.toml.
        wsgi: The same of a WSGI application.
        command: Program and arguments of a service in any language; `{port}` is where it must listen.
        external: The address of a service that runs already, `http://127.0.0.1:8000`; it is not started, nor ended. On
            another machine it must be one of the system's `allowed_hosts`.
        ca: Whom to believe that they are an external service on https: certificates in PEM, in a file below the folder
            of readiness.toml; those that this machine trusts, if None.
        service: The service of the system's `compose` file that is judged; `port` is where it listens.
        port: Where a `service` listens in its container.
        factory: Whether `app` or `wsgi` names a function that makes the application, or the application itself.
        python: The Python that serves `app` or `wsgi`, and that `python` means in commands, such as `.venv/bin/python`;
            the one that runs the harness if None. In a container it is the image's own.
        defect_app: Served instead of `app` or `wsgi` when a seeded defect was asked for; it wraps the app from outside.
        ready: Path that answers 200 when a replica can serve.
        ready_within: How long a replica may take until it does.
        breakers: Path at which a replica tells what its circuit breakers did (docs/system.md); asked only where an
            invariant is about that. None where it does not tell.
        metrics: Path of its metrics in Prometheus' format; asked only where a scenario's `sometimes` speaks of one, and
            for those that are `clean`.
        clean: What its metrics say when nothing of a story is left in it; asked before another one begins there.
        folder: Where a replica, `init` and the workers run, below the folder that holds readiness.toml; that one if
            None. In a container it is the image's own working directory.
        environment: Variables of each process; `{redis.port}` and the like are filled in at start.
        secrets: Names of variables of ours that each process gets as they are, and whose values are never written.
        init: Commands that are run once, one after the other, before the first replica: migrations, seeding.
        init_within: How long each of them may take.
        workers: Further processes, by name; each is called by that and a number.
        proxies: The paths that an external subject was given, by name: where its dependencies can be hurt.
        toxiproxy: Or the proxies that stand on such paths already, in a Toxiproxy of the caller's own.
        processes: What of an external system can be killed or frozen by commands, by name.
        prometheus: Where the metrics of an external system are collected; its replicas are asked themselves if None.
        defects: Seeded defects that it can be started with (`{defect}`), by id, with a line on each.
        clock: How its clocks can be set off; None if they cannot.
        image: A ready image of it, for containers: a reference that the engine has or can pull.
        dockerfile: Or how that image is built: a file below the folder that holds readiness.toml, which is also what
            the build is given, as far as .dockerignore leaves it (docs/containers.md).
    """

    app: Application | None = None
    wsgi: Application | None = None
    command: Argv | None = None
    external: ServiceUrl | None = None
    ca: PathBelow | None = Field(default=None, exclude_if=is_unsaid)
    service: Annotated[Plain, Field(min_length=1)] | None = Field(default=None, exclude_if=is_unsaid)
    port: int | None = Field(default=None, ge=1, le=65535, exclude_if=is_unsaid)
    factory: bool = True
    python: Annotated[Plain, Field(min_length=1)] | None = None
    defect_app: Application | None = None
    ready: str = Field(default="/health/ready", pattern=r"^/")
    ready_within: Duration = Field(default=20.0, gt=0, le=600)
    metrics: str = Field(default="/metrics", pattern=r"^/")
    breakers: str | None = Field(default=None, pattern=r"^/")
    clean: Annotated[tuple[CleanMetric, ...], Field(max_length=50)] = ()
    folder: PathBelow | None = None
    environment: dict[str, Plain] = Field(default_factory=dict)
    secrets: tuple[Variable, ...] = ()
    init: tuple[Argv, ...] = ()
    init_within: Duration = Field(default=60.0, gt=0, le=3600)
    workers: dict[Slug, Worker] = Field(default_factory=dict)
    proxies: dict[Slug, ProxiedDependency] = Field(default_factory=dict)
    toxiproxy: Toxiproxy | None = None
    processes: dict[Slug, CommandedProcess] = Field(default_factory=dict)
    prometheus: Prometheus | None = None
    defects: dict[Slug, str] = Field(default_factory=dict)
    clock: SubjectClock | None = None
    image: str | None = Field(default=None, min_length=1)
    dockerfile: PathBelow | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            told = f"{' and '.join(given)} are {len(given)} subjects" if given else "there is nothing to judge"
            raise ValueError(f"{told}; say exactly one of {', '.join(KINDS)}")
        return self

    @model_validator(mode="after")
    def _says_nothing_that_is_not_heard(self) -> Self:
        if self.external is not None:
            unheard = [key for key in _NOT_STARTED if key in self.model_fields_set]
            if unheard:
                raise ValueError(f"{unheard[0]} means nothing for an external subject; it is not started here")
            if self.ca is not None and not self.external.startswith("https:"):
                raise ValueError('ca says whom to believe on https; write external = "https://…", or leave ca out')
        elif self.ca is not None:
            raise ValueError("ca is for an external subject on https; what is started here is asked over plain HTTP")
        elif unheard := [key for key in _AROUND if getattr(self, key)]:
            raise ValueError(f"{unheard[0]} are for an external subject; what is started here gets its own")
        if self.service is not None:
            unheard = [key for key in _IN_THE_COMPOSE_FILE if key in self.model_fields_set]
            if unheard:
                raise ValueError(f"{unheard[0]} stands in the compose file; here it would be said a second time")
        if (self.service is None) != (self.port is None):
            raise ValueError("service and port go together: which service of the compose file, and where it listens")
        if self.defect_app and not (self.app or self.wsgi):
            raise ValueError("defect_app is served like app or wsgi; a command is told of a defect by {defect}")
        return self

    @model_validator(mode="after")
    def _has_one_image(self) -> Self:
        if self.image and self.dockerfile:
            raise ValueError("image and dockerfile are two answers to one question; keep the one that is meant")
        return self

    @model_validator(mode="after")
    def _has_one_proxy_server(self) -> Self:
        if self.proxies and self.toxiproxy:
            raise ValueError("proxies and toxiproxy are two answers to one question; keep the one that is meant")
        return self

    @property
    def paths(self) -> tuple[str, ...]:
        """Return what the paths lead to that an external subject was given, whoever's proxies stand on them."""
        return tuple(self.toxiproxy.edges if self.toxiproxy else self.proxies)

    def with_defect(self) -> Subject:
        """Return what runs when a seeded defect was asked for: what wraps application or worker, where one is named."""
        workers = {
            name: worker.model_copy(update={"command": worker.defect_command or worker.command})
            for name, worker in self.workers.items()
        }
        served = {} if self.defect_app is None else {"app" if self.app else "wsgi": self.defect_app}
        return self.model_copy(update={"workers": workers, **served})


class Part(Model):
    """Something that the judged service depends on, such as Redis.

    Attributes:
        kind: What it is; its name in readiness.toml if that says nothing, so that only a second one of a kind needs it.
            Of a service of the compose file it says what its image does not tell.
        port: Where faults hit a service of the compose file that listens in several places.
        answers: Of an `http-stub`: the file of the project that says what it answers (docs/system.md).
        command: Of a `tcp`: program and arguments; `{host}` and `{port}` say where it must listen, and `{data}` names
            an empty folder of its own.
        asks: Of a `tcp`: what it is asked, such as a PING and an end of line.
        says: Of a `tcp`: what is in its answer when it is well; of one that is asked nothing, in its greeting.
        ends: Of a `tcp`: what it is told so that it ends the connection, such as a QUIT and an end of line.
        ready_within: Of a `tcp`: how long it may take until it is ready; 20 s if it says nothing.
    """

    kind: Slug | None = None
    port: int | None = Field(default=None, ge=1, le=65535, exclude_if=is_unsaid)
    answers: PathBelow | None = Field(default=None, exclude_if=is_unsaid)
    command: Argv | None = Field(default=None, exclude_if=is_unsaid)
    asks: Annotated[str, Field(min_length=1)] | None = Field(default=None, exclude_if=is_unsaid)
    says: Annotated[str, Field(min_length=1)] | None = Field(default=None, exclude_if=is_unsaid)
    ends: Annotated[str, Field(min_length=1)] | None = Field(default=None, exclude_if=is_unsaid)
    ready_within: Annotated[Duration, Field(gt=0, le=600)] | None = Field(default=None, exclude_if=is_unsaid)


class Locust(Model):
    """What a locustfile gets of the environment in which a run is started; nothing else of it gets there.

    Attributes:
        variables: Names of variables that it gets as they are.
        secrets: The same, and their values are never written.
    """

    variables: Annotated[tuple[Variable, ...], Field(max_length=100)] = ()
    secrets: Annotated[tuple[Variable, ...], Field(max_length=100)] = ()

    @property
    def inherited(self) -> tuple[str, ...]:
        """Return all names, each once."""
        return tuple(dict.fromkeys((*self.variables, *self.secrets)))


USUAL_COMPONENTS = ("redis", "postgres")
"""What is started where readiness.toml names no components."""


class System(Model):
    """What runs: replicas of the subject behind nginx, with what they depend on, and a fault proxy on every edge.

    Attributes:
        name: Of the judged service.
        replicas: How many processes of it.
        subject: The judged service.
        components: What it depends on, by name; the name is what faults and placeholders call it.
        requests: What it is asked; a scenario may ask otherwise. Without any, `GET /`.
        headers: What its answers tell of themselves.
        login: How users make themselves known before they ask; nobody does, where it says nothing.
        secrets: Names of variables of ours that requests may say as `{secret.NAME}`; their values are never written.
        allowed_hosts: Other machines that may be loaded: those that are yours, and nothing else but this one is.
        sticky: The header of a request that names its client, whose WebSockets come back to the same replica; where
            it says nothing, and in a request without it, the client's address does.
        locust: What a locustfile gets of the environment.
        standbys: Which components have a standby in every scenario, and how it is kept; a scenario may add some.
        balancer: What the load balancer before the replicas allows.
        compose: The compose file that says what runs, or several, one over the other; below the folder of
            readiness.toml. `components` then says what it does not tell of its services, and `replicas` how many of
            the judged one run, where that is not to be as many as it says.
        compose_profiles: Its profiles that are active, beside those of the judged service.
    """

    name: Slug
    replicas: int = Field(default=2, ge=1, le=16)
    subject: Subject
    components: dict[Slug, Part] = Field(default_factory=lambda: {name: Part() for name in USUAL_COMPONENTS})
    requests: Requests = ()
    headers: ResponseHeaders = ResponseHeaders()
    login: Login | None = Field(default=None, exclude_if=is_unsaid)
    secrets: Annotated[tuple[Variable, ...], Field(exclude_if=is_unsaid)] = ()
    allowed_hosts: Annotated[tuple[Host, ...], Field(max_length=20)] = ()
    sticky: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,79}$")] | None = None
    locust: Locust = Locust()
    standbys: Standbys = Field(default_factory=dict)
    balancer: Balancer = USUAL
    compose: PathBelow | Annotated[tuple[PathBelow, ...], Field(min_length=1, max_length=10)] | None = Field(
        default=None, exclude_if=is_unsaid
    )
    compose_profiles: Annotated[tuple[Plain, ...], Field(max_length=20, exclude_if=is_unsaid)] = ()
    _composed: Composed | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _is_composed_as_a_whole(self) -> Self:
        if (self.compose is None) != (self.subject.service is None):
            told = "compose says what runs, and nothing which of it is judged" if self.compose else "nothing says where"
            raise ValueError(f'{told}; write both: compose = "compose.yaml", and subject.service = "web" with its port')
        if self.compose is not None and self.standbys:
            raise ValueError("standbys are not started beside a compose file; it says what runs")
        if self.compose is None and self.compose_profiles:
            raise ValueError("compose_profiles are those of a compose file, and none is named")
        if self.compose is None and any(part.port is not None for part in self.components.values()):
            raise ValueError("port is for services of a compose file; a component is started on one of our own")
        return self

    @model_validator(mode="after")
    def _starts_nothing_for_what_runs_already(self) -> Self:
        unheard = [
            key for key in ("replicas", "components", "sticky", "standbys", "balancer") if key in self.model_fields_set
        ]
        if unheard and self.subject.external is not None:
            raise ValueError(f"{unheard[0]} means nothing for an external subject; its proxies say what it depends on")
        return self

    @model_validator(mode="after")
    def _says_what_is_known(self) -> Self:
        for what, fix in unknown_words(self.requests, self.login, self.secrets):
            raise ValueError(f"{what}: {fix}")
        return self

    @property
    def compose_files(self) -> tuple[str, ...]:
        """Return the compose files, in their order; none where the system is not one of them."""
        return (self.compose,) if isinstance(self.compose, str) else self.compose or ()

    @property
    def composed(self) -> Composed | None:
        """Return what the compose files say, once they were read; None where there are none."""
        return self._composed

    def with_composed(self, composed: Composed) -> System:
        """Return the same with what its compose files say; as many replicas as they do, unless it says so itself."""
        judged = composed.services[str(self.subject.service)]
        replicas = self.replicas if "replicas" in self.model_fields_set else max(1, judged.count)
        system = self.model_copy(update={"replicas": replicas})
        system._composed = composed  # noqa: SLF001 - one of our own
        return system

    def with_environment(self, variables: Mapping[str, str]) -> System:
        """Return the same with these variables for each process of the judged service, beside or instead of its own."""
        environment = {**self.subject.environment, **variables}
        return self.model_copy(update={"subject": self.subject.model_copy(update={"environment": environment})})

    def with_standbys(self, standbys: Mapping[str, Replicates]) -> System:
        """Return the same with these standbys, beside or instead of its own."""
        return self.model_copy(update={"standbys": {**self.standbys, **standbys}})

    def with_workers(self, counts: Mapping[str, int]) -> System:
        """Return the same with so many of each further process; those that are not named stay as many as they are."""
        workers = {
            name: worker.model_copy(update={"count": counts.get(name, worker.count)})
            for name, worker in self.subject.workers.items()
        }
        return self.model_copy(update={"subject": self.subject.model_copy(update={"workers": workers})})

    @property
    def stranger(self) -> str | None:
        """Return the machine of an external subject that may not be loaded; None where it may, or is this one."""
        if self.subject.external is None:
            return None
        host = str(urlsplit(self.subject.external).hostname)
        return None if self.may_reach(host) else host

    def may_reach(self, host: str) -> bool:
        """Tell whether a machine is this one, or named as one that is the caller's own."""
        return host in ON_THIS_MACHINE or host.lower() in self.allowed_hosts

    @property
    def kinds(self) -> dict[str, str]:
        """Return the kind of each component that is started, by its name; a compose file's services are not ours."""
        if self.subject.external is not None or self.compose is not None:
            return {}
        return {name: part.kind or name for name, part in self.components.items()}


class Profile(Model):
    """How much time a run may take.

    Attributes:
        stretch: Factor on the length of every phase.
        extends_to: How many times as long as that a phase may become, while its promises are neither kept nor broken.
        confidence: Of each one-sided bound, where it is not the one of all profiles.
        tiers: Of the scenarios that it runs where none is named; all of them, where it says nothing.
        shared_stack: Whether a scenario may begin where another one has left its stack clean, and rest on the baseline
            that was proved there.
    """

    stretch: float = Field(gt=0, le=1000)
    extends_to: Extension = 1.0
    confidence: float | None = Field(default=None, gt=0.5, lt=1)
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1)] = TIERS
    shared_stack: bool = False


class Settings(Model):
    """The whole of readiness.toml.

    Attributes:
        confidence: Of each one-sided bound, unless a profile says otherwise; 0.95 by default, 0.99 for release gates.
        system: What is judged.
        objectives: What holds in every scenario's baseline.
        invariants: What must never happen in any scenario, whatever its own invariants are.
        profiles: By name.
        abort_when: What ends any scenario at once that does not say so itself.
    """

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    system: System
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)]
    invariants: tuple[Invariant, ...] = ()
    profiles: Annotated[dict[Slug, Profile], Field(min_length=1)]
    abort_when: AbortWhen | None = None

    @field_validator("objectives")
    @classmethod
    def _of_every_scenario(cls, objectives: tuple[Objective, ...]) -> tuple[Objective, ...]:
        for objective in objectives:
            usual = usual_phase(objective)
            if objective.during != usual:
                raise ValueError(
                    f"`{objective}` is about the phase {objective.during!r}; a default holds in {usual!r}, and where a "
                    "scenario has no such phase nobody would miss it; promise it in the scenario"
                )
        return objectives

    def with_workers(self, counts: Mapping[str, int]) -> Settings:
        """Return the same for a scenario that asks for so many of each further process of the service."""
        return self.model_copy(update={"system": self.system.with_workers(counts)})

    def confidence_of(self, profile: str) -> float:
        """Return the confidence of each one-sided bound in one of the profiles."""
        own = self.profiles[profile].confidence
        return self.confidence if own is None else own
