"""What happened beside the requests: phases, faults with their dose, and events, all on the run's own time.

Every time is in seconds since the run's origin, the first intended moment of its load.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseMark:
    """When a phase really was: samples belong to it by their intended start, in [began_s, ended_s).

    Attributes:
        name: As the scenario calls it.
        began_s: Seconds since the origin.
        ended_s: Seconds since the origin.
        looks: How often its promises were looked at, each look but the last having made it longer.
        was_stopped: Whether it was ended early, because a promise was broken beyond doubt.
    """

    name: str
    began_s: float
    ended_s: float
    looks: int = 1
    was_stopped: bool = False

    @property
    def lasted_s(self) -> float:
        """Return its length in seconds."""
        return self.ended_s - self.began_s

    def after(self, after_s: float) -> PhaseMark:
        """Return the part of it that begins `after_s` seconds after its beginning; an empty one if it was shorter."""
        return replace(self, began_s=min(self.began_s + after_s, self.ended_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dose:
    """One look at whether a fault is really there, through the same door that the judged service uses.

    Attributes:
        at_s: When it was looked at.
        is_delivered: Whether what was seen is what was asked for, within the fault's tolerance.
        seen: What was seen, with numbers: `replica-1.redis: PING answered after 402 ms (asked: +400 ms)`.
    """

    at_s: float
    is_delivered: bool
    seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultMark:
    """When a fault was there, and the proof that it was.

    Attributes:
        id: `fault-1`, `fault-2`, … in the order of the scenario's file, all phases counted through.
        fault: The fault as one would say it: `redis +400ms`.
        kind: `down`, `latency`, `kill`, …
        target: The service or edge; empty of a fault of the load, which hits none in particular.
        phase: The phase it belongs to.
        planned: When it was to be there: from, to. It is the scenario's window, moved by what earlier phases were
            extended, and its end by what its own was; None in a history of schema 1, which did not say.
        injected_s: When injecting it had succeeded.
        healed_s: When undoing it had succeeded; None if the run ended before that.
        doses: Looks at it, in order; none at all proves nothing.
        crossed_bytes: What the service sent through it while it was there, our own looks aside; None where nothing can
            be counted, because the fault refuses everything.
        before_bytes: What the service sent on the fault's paths from the load's beginning until it was injected; None
            if that was not counted.
    """

    id: str
    fault: str
    kind: str
    target: str
    phase: str
    planned: tuple[float, float] | None = None
    injected_s: float
    healed_s: float | None
    doses: tuple[Dose, ...]
    crossed_bytes: int | None = None
    before_bytes: int | None = None

    @property
    def is_delivered(self) -> bool:
        """Tell whether every look saw the dose, and there was at least one."""
        return bool(self.doses) and all(dose.is_delivered for dose in self.doses)


@dataclass(frozen=True, slots=True, kw_only=True)
class PointMark:
    """Whether a point that only the service can speak of was reached.

    Attributes:
        point: The point as one would say it: `reference_breaker_state{breaker=redis, state=open} ≥ 1`.
        phase: The phase it was looked out for in.
        reached_s: When it was first seen to be; None if never.
        seen: What was seen last, and of whom; empty if nothing was said of it.
    """

    point: str
    phase: str
    reached_s: float | None = None
    seen: str = ""

    @property
    def is_reached(self) -> bool:
        """Tell whether it was."""
        return self.reached_s is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """How an experiment began, in a run whose stories share stacks.

    Attributes:
        after: The stories that its stack had been through, in order; none if it was a fresh one.
        kept: What vouches for the time before the first fault, where there were any: what the first of them proved of
            the same promises, a sentence each.
        seen: What was seen of the state in which the last of them left the stack.
        why_fresh: Why the stack was a fresh one although another story had been through one before; empty for the
            first, and where it was none.
    """

    after: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    why_fresh: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something worth a line in the timeline.

    Attributes:
        at_s: When.
        kind: One word: `stack`, `phase`, `fault`, `load`, `warning`.
        text: One line.
    """

    at_s: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Startup:
    """How long one part of the stack took from its start to its first healthy answer.

    Attributes:
        part: The component's name.
        began_s: Seconds after the stack began to start; None of what ran already, which was not started.
        took_s: Seconds until it was ready; None as well.
        version: What it says it is.
    """

    part: str
    began_s: float | None
    took_s: float | None
    version: str

    @property
    def ready_s(self) -> float | None:
        """Return when it was ready, seconds after the stack began to start; None of what ran already."""
        return None if self.began_s is None or self.took_s is None else self.began_s + self.took_s
