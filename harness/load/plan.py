"""What the load generator is told."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from harness.errors import LoadError
from harness.load.arrivals import schedule_of
from harness.load.clients import login_lasts_s
from harness.load.replay import recorded_s
from harness.load.traffic import peak_per_s, with_traffic
from harness.spec.faults import SlowReaders
from harness.spec.faults.traffic import TrafficWindow
from harness.spec.load import Load
from harness.spec.requests import secrets_in
from harness.spec.schedule import Replay
from harness.stack.tls import Tls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.load.arrivals import ArrivalSchedule

CONNECT_WITHIN_S = 2.0
ANSWER_WITHIN_S = 5.0
"""Locust's own 60 s would outlive a run: a request into a black hole would never be counted."""

LEAVE_WITHIN_S = 10.0
"""What a locustfile does at the end of a test, such as logging its users out, is broken off after this."""

CONNECT_FACTOR = 10.0
"""Of the tightest objective's time: a connection is not given up before it has clearly broken a promise."""

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """One run's load.

    Attributes:
        base_url: Where requests go.
        load: Rate, requests, keys, caps.
        lasts_s: No request starts after this.
        seed: Of everything random.
        connect_within_s: A connection that takes longer has failed.
        answer_within_s: An answer that pauses for longer has failed.
        share: Which part of the schedule is this generator's, and of how many: (0, 1) is all of it.
        project: The folder that paths in `load` start from.
        calibration_s: How long the generator measures what it adds by itself, before it is ready; 0 for not at all,
            and without a control either: then no verdict can rest on its load.
        adds_below_s: What it may add for the load to prove anything; measured again, up to twice, where it adds more.
            None for anything.
        allow_remote: Whether any other machine may be pressed; by default only this one.
        allowed_hosts: Machines that may be pressed besides this one, as a URL names them.
        remembers: Whether requests that write or read a value are remembered with it, which takes time of the
            generator: only where something is promised of values. Of a group nothing is remembered.
        compares_echoes: Whether answers are looked at for what they echo, which takes time of the generator as well.
        keeps_accepted: Whether it is kept what answers call the things that they accept.
        traffic: Faults of the load, each with its window.
        secrets: Values of `{secret.NAME}` in requests, by name; they go to the generator, and nowhere else.
        ca: The file of those who are believed on https; None for those that this machine trusts.
        told_apart: Names that promises speak of, by the list that they stand in (`operations`, `sources`, `replicas`):
            however many others turn up, these are told apart.
        variables: Names of variables that a locustfile gets, as they are where its generator is started.
        loads_before: How many loads of this seed pressed the same system before: what is `{unique}` in this one must
            be none of theirs, or a value that it reads could be its own or another's.
    """

    base_url: str
    load: Load
    lasts_s: float
    seed: int
    connect_within_s: float = CONNECT_WITHIN_S
    answer_within_s: float = ANSWER_WITHIN_S
    share: tuple[int, int] = (0, 1)
    project: str = "."
    calibration_s: float = 1.0
    adds_below_s: float | None = None
    allow_remote: bool = False
    allowed_hosts: tuple[str, ...] = ()
    remembers: bool = False
    compares_echoes: bool = False
    keeps_accepted: bool = False
    traffic: tuple[TrafficWindow, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca: str | None = None
    loads_before: int = 0
    variables: tuple[str, ...] = ()
    told_apart: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """Return what `{unique}` begins with: the seed, and of a later load on the same system which one it is."""
        return f"{self.seed:x}" + (f".{self.loads_before}" if self.loads_before else "")

    def check(self) -> None:
        """See that the address can be, and may be, loaded, and that a recording can be repeated.

        Raises:
            LoadError: If not.
        """
        parts = urlsplit(self.base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or not _has_port(parts):
            fix = "write it as http://host:port or https://host"
            raise LoadError("this is no address that can be loaded", where=self.base_url, fix=fix)
        if parts.username or parts.password:
            fix = "send them in a header of [[system.requests]]: what stands in an address is shown"
            raise LoadError("an address holds no credentials", where=parts.netloc.rpartition("@")[2], fix=fix)
        if parts.path.strip("/") or parts.query or parts.fragment:
            fix = "say what is asked in [[system.requests]] of readiness.toml, or in a locustfile"
            raise LoadError("an address to be loaded has no path", where=self.base_url, fix=fix)
        if parts.hostname not in {*LOOPBACK_HOSTS, *self.allowed_hosts} and not self.allow_remote:
            fix = "load only what you may: name it in readiness.toml, [system] allowed_hosts, or add --allow-remote"
            raise LoadError("the address is on another machine", where=self.base_url, fix=fix)
        self._check_secrets()
        if parts.scheme == "https":
            self._check_tls()
        if isinstance(self.load.schedule, Replay):
            self.arrivals()
        if self.load.locustfile is not None and not self.locustfile.is_file():
            fix = "name a file below the project's folder"
            raise LoadError("the locustfile is not there", where=str(self.locustfile), fix=fix)

    def _check_secrets(self) -> None:
        """See that what is said in headers can stand there.

        Raises:
            LoadError: If not; it names the variable, and not its value.
        """
        for name in sorted({word for text in self.load.headers_said for word in secrets_in(text)}):
            value = self.secrets[name]
            if not (value.isascii() and value.isprintable()):
                fix = "see whether it ends in a line break; a header takes one line of printable ASCII"
                raise LoadError(f"the value of {name} cannot stand in a header", where=name, fix=fix)

    def _check_tls(self) -> None:
        """See that what presses speaks TLS, and that whom it is to believe can be read.

        Raises:
            LoadError: If not.
        """
        bare = 'client = "lean"' if self.load.client == "lean" and self.load.locustfile is None else None
        bare = next((str(each.fault) for each in self.traffic if isinstance(each.fault, SlowReaders)), bare)
        if bare:
            what = f"{bare} is done on bare sockets, which speak no TLS"
            raise LoadError(what, where=self.base_url, fix="leave it out, or load an address on plain http")
        try:
            Tls(Path(self.ca) if self.ca else None).context()
        except OSError as error:
            fix = "name a file of certificates in PEM, as the service's own authority gives it"
            raise LoadError(f"nobody can be believed: {error}", where=str(self.ca), fix=fix) from error

    @property
    def login_lasts_s(self) -> float:
        """Return how long all users may take to log in before the load; seconds."""
        return login_lasts_s(self.load.login, self.answer_within_s)

    @property
    def needs_bodies(self) -> bool:
        """Tell whether anything is asked of what an answer holds, beside its head."""
        reads = self.remembers and any(request.reads is not None for request in self.load.asked)
        echoes = self.compares_echoes and any(request.echoes for request in self.load.asked)
        checks = any(check.at is not None for request in self.load.asked for check in request.checks)
        accepted = self.keeps_accepted and any(request.settles for request in self.load.asked)
        return reads or echoes or checks or accepted

    @property
    def locustfile(self) -> Path:
        """Return where the locustfile is; only asked if there is one."""
        return (Path(self.project) / (self.load.locustfile or "")).absolute()

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that its locustfile gets; none, where it has none.

        Args:
            given: What there is, by name.

        Raises:
            LoadError: If one is not there.
        """
        if self.load.locustfile is None:
            return {}
        missing = [name for name in self.variables if name not in given]
        if missing:
            what = f"the locustfile is to get {', '.join(missing)}, which is not set here"
            raise LoadError(what, where="[system.locust]", fix="set it where this is started, or leave it out there")
        return {name: given[name] for name in self.variables}

    def arrivals(self) -> ArrivalSchedule:
        """Lay out this generator's share of the run.

        Raises:
            LoadError: If the schedule repeats a recording that cannot be used.
        """
        schedule = self.load.schedule
        recording_s = recorded_s(Path(self.project) / schedule.file) if isinstance(schedule, Replay) else None
        whole = schedule_of(self.load, lasts_s=self.lasts_s, seed=self.seed, recording_s=recording_s)
        return with_traffic(whole, self.traffic, self.load, seed=self.seed).part(*self.share)

    @property
    def peak_per_s(self) -> float:
        """Return the highest rate of the run."""
        return max(self.load.peak_per_s(self.lasts_s), peak_per_s(self.traffic, self.load))

    def to_json(self) -> str:
        """Return it on one line."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        load, traffic = self.load.model_dump(mode="json"), [_said(each) for each in self.traffic]
        return json.dumps({**said, "load": load, "traffic": traffic})


@dataclass(frozen=True, slots=True)
class Assignment:
    """What of a schedule one generator is to send.

    Attributes:
        steps: Each takes, of what the one before it left, what is meant to start at or after a moment (seconds since
            the origin), and of that every n-th request from an index on: (moment, index, n).
    """

    steps: tuple[tuple[float, int, int], ...]

    @classmethod
    def own(cls, share: tuple[int, int]) -> Assignment:
        """Return a share of the whole."""
        return cls(((0.0, *share),))

    def left(self, from_s: float, index: int, of: int) -> Assignment:
        """Return a part of what is left of it from a moment on."""
        return Assignment((*self.steps, (from_s, index, of)))

    def arrivals(self, plan: LoadPlan) -> ArrivalSchedule:
        """Lay out its requests; `plan` may be that of any generator of the same load."""
        schedule = replace(plan, share=(0, 1)).arrivals()
        for from_s, index, of in self.steps:
            schedule = schedule.beginning(from_s).part(index, of)
        return schedule

    def to_json(self) -> str:
        """Return it on one line, as an order to take it over."""
        return json.dumps({"take_over": self.steps})

    @classmethod
    def from_json(cls, steps: list[list[Any]]) -> Assignment:
        """Read what `to_json` said, inside its `take_over`."""
        return cls(tuple((from_s, index, of) for from_s, index, of in steps))


def connect_within_s(tightest_s: float | None) -> float:
    """Return how long a connection may take, where the tightest objective speaks of `tightest_s`."""
    return max(CONNECT_WITHIN_S, CONNECT_FACTOR * (tightest_s or 0.0))


def _has_port(parts: SplitResult) -> bool:
    """Tell whether the port is a number, or left out; reading one that is not raises."""
    try:
        return parts.port != 0
    except ValueError:
        return False


def plan_from_json(line: str) -> LoadPlan:
    """Read what `to_json` said."""
    said = json.loads(line)
    told = {
        "share": tuple(said["share"]),
        "allowed_hosts": tuple(said["allowed_hosts"]),
        "variables": tuple(said["variables"]),
        "told_apart": {column: tuple(names) for column, names in said["told_apart"].items()},
        "load": Load.model_validate(said["load"]),
        "traffic": tuple(TrafficWindow.model_validate(each) for each in said["traffic"]),
    }
    return LoadPlan(**{**said, **told})


def _said(window: TrafficWindow) -> dict[str, Any]:
    """Say a window by its moments alone: what its fault says of it is rounded for people."""
    return window.model_dump(mode="json", exclude={"fault": {"at", "for_", "until"}})
