"""What stands around a service that runs already: processes that commands hit, a Toxiproxy, a Prometheus.

All of it is somebody else's. So none of it is started or ended here, what is done to it is undone, and every address is
on this machine or on one of the system's `allowed_hosts`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from harness.spec.address import HOST, ON_THIS_MACHINE, is_host, is_port
from harness.spec.model import Argv, Model, Variable
from harness.spec.phase import Slug
from harness.spec.quantity import Duration
from harness.spec.sometimes import Name

if TYPE_CHECKING:
    from collections.abc import Iterator

SUBJECT = "subject"
"""Name of the judged service where it runs already; a process of that name is one that every request meets."""

HALVES = {"kill": "restore", "pause": "resume"}
"""What a fault does to a process that runs elsewhere, by the word for that kind of fault, and what undoes it."""

_URL = re.compile(rf"https?://{HOST.pattern}:([0-9]{{1,5}})(?:/[^\s?#]*)?")


def _ready(said: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Return what tells whether a process serves; a text is a URL."""
    if isinstance(said, tuple):
        return said
    found = _URL.fullmatch(said)
    if found is None or not is_port(found[1]):
        raise ValueError(f"{said!r} cannot be asked; write http://HOST:PORT/PATH, or a command as a list of its words")
    return said


Ready = Annotated[str | Argv, AfterValidator(_ready)]
"""What answers 200 to a GET while a process serves, or a command that ends with 0 then."""


def _base_url(text: str) -> str:
    scheme, _, rest = text.removesuffix("/").partition("://")
    host, _, port = rest.rpartition(":")
    if scheme != "http" or not is_host(host) or not is_port(port):
        raise ValueError(f"{text!r} cannot be told anything; write http://HOST:PORT, without a path")
    return f"{scheme}://{rest.lower()}"


def _host_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not is_host(host) or not is_port(port):
        raise ValueError(f"{text!r} is no address; write HOST:PORT, as seen from here")
    return text.lower()


_API = re.compile(rf"https?://{HOST.pattern}(?::([0-9]{{1,5}}))?(?:/[A-Za-z0-9._~/-]*)?")


def _api_url(text: str) -> str:
    found = _API.fullmatch(text)
    if found is None or (found[1] and not is_port(found[1])):
        raise ValueError(f"{text!r} cannot be asked; write http://HOST:PORT, or https://HOST/PATH")
    return text.rstrip("/")


ApiUrl = Annotated[str, AfterValidator(_api_url)]
"""Where an API is, maybe below a path, maybe over TLS."""

BaseUrl = Annotated[str, AfterValidator(_base_url)]
"""Where an API is."""

HostPort = Annotated[str, AfterValidator(_host_port)]
"""Where something listens."""


class CommandedProcess(Model):
    """A process that runs elsewhere, and the commands by which a fault hits it and is undone.

    Commands are argument lists that no shell reads; they are run here, in the folder of readiness.toml, with the
    environment of whoever runs us. What undoes may be run twice, and must do no harm the second time.

    Attributes:
        kill: Ends it, for the fault `kill`.
        restore: Brings it back.
        pause: Freezes it, for the fault `pause`.
        resume: Thaws it.
        ready: How it is seen: the URL of what answers 200 while it serves, or a command that ends with 0 then. Where
            that is not said no fault on it could be seen, and none is done.
        within: How long each command may take.
        ready_within: How long it may take until it is seen to serve, before the load and after a fault.
    """

    kill: Argv | None = None
    restore: Argv | None = None
    pause: Argv | None = None
    resume: Argv | None = None
    ready: Ready | None = None
    within: Duration = Field(default=30.0, gt=0, le=600)
    ready_within: Duration = Field(default=60.0, gt=0, le=600)

    @model_validator(mode="after")
    def _is_undone(self) -> Self:
        for doing, undoing in HALVES.items():
            said = [each for each in (doing, undoing) if getattr(self, each) is not None]
            if len(said) == 1:
                raise ValueError(f"it says {said[0]} alone; what {doing} does must be undone by {undoing}: say both")
        if not self.kinds:
            raise ValueError("nothing can be done to it; say kill and restore, or pause and resume")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of faults that commands do to it."""
        return tuple(kind for kind in HALVES if getattr(self, kind) is not None)

    def command(self, word: str) -> tuple[str, ...]:
        """Return the command called so, which is there: `kill`, or `restore`."""
        found: tuple[str, ...] = getattr(self, word)
        return found

    @property
    def commands(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield every command, by its key."""
        for key in (*HALVES, *HALVES.values(), "ready"):
            if isinstance(said := getattr(self, key), tuple):
                yield key, said

    @property
    def host(self) -> str | None:
        """Return the machine that is asked whether it serves; None where a command tells, or nothing does."""
        return urlsplit(self.ready).hostname if isinstance(self.ready, str) else None


class ToxiproxyEdge(Model):
    """A proxy of a Toxiproxy that stands on a path of an external subject already.

    Attributes:
        proxy: Its name there.
        kind: What stands at its end, as in `components`; the name of the edge if this says nothing.
        listen: Where it listens as seen from here; if this says nothing, what it says, on its Toxiproxy's machine
            where that is every address of it.
        upstream: Where what stands at its end listens as seen from here; if this says nothing, what the proxy says.
    """

    proxy: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    kind: Slug | None = None
    listen: HostPort | None = None
    upstream: HostPort | None = None


class Toxiproxy(Model):
    """A Toxiproxy of the caller's own, whose proxies stand on the paths of an external subject already.

    Attributes:
        address: Of its API.
        edges: Its proxies, by what is at their ends: the names that faults have as targets.
    """

    address: BaseUrl
    edges: Annotated[dict[Slug, ToxiproxyEdge], Field(min_length=1)]

    @model_validator(mode="after")
    def _are_apart(self) -> Self:
        names = [edge.proxy for edge in self.edges.values()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two edges are the same proxy, {twice[0]}: a fault on one would be one on both; keep one")
        ours = [name for name in names if name.startswith(f"{SUBJECT}.")]
        if ours:
            raise ValueError(f"a proxy called {ours[0]} would be taken for one of the harness's own; rename it there")
        return self

    @property
    def hosts(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield every machine that it speaks of, with the keys that say so."""
        yield ("address",), urlsplit(self.address).hostname or ""
        for name, edge in self.edges.items():
            for key in ("listen", "upstream"):
                if said := getattr(edge, key):
                    yield ("edges", name, key), said.rpartition(":")[0]


class Prometheus(Model):
    """A Prometheus that collects the metrics of an external system; it is asked where a scenario speaks of one.

    Attributes:
        address: Of its API, before `/api/v1`.
        token: Name of a variable of ours whose value it gets as a bearer token, and which is never written.
        labels: What a series must carry to be the service's, among all that it collects.
        replica: The label that tells replicas apart.
    """

    address: ApiUrl
    token: Variable | None = None
    labels: dict[Name, str] = Field(default_factory=dict)
    replica: Name = "instance"

    @model_validator(mode="after")
    def _keeps_its_token(self) -> Self:
        if self.token and self.address.startswith("http:") and self.host not in ON_THIS_MACHINE:
            raise ValueError(f"{self.token} would be sent in the clear to {self.host}; write https://")
        return self

    @property
    def host(self) -> str:
        """Return its machine."""
        return urlsplit(self.address).hostname or ""
