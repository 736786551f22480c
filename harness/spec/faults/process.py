"""Faults of a process: a target is a service, on whatever it runs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from harness.spec.faults.target import (
    ENDS_WITHIN_S,
    LOOK_OVERHEAD_S,
    RELOADS_WITHIN_S,
    SILENCE_S,
    Targeted,
    Windowed,
)
from harness.spec.quantity import Duration, duration_text

ReplicaName = Annotated[str, Field(pattern=r"^replica-[1-9][0-9]?$")]


class Kill(Windowed):
    """The target's process gets SIGKILL; healing starts it again on the same address."""

    kind: Literal["kill"]

    def __str__(self) -> str:
        return f"{self.target} killed{self.when}"


class Pause(Windowed):
    """All processes of the target are frozen: its connections stay open, and nothing answers until they are thawed."""

    leaves_trace: ClassVar[bool] = False
    kind: Literal["pause"]

    @property
    def look_s(self) -> float:
        """Return how long silence is listened to."""
        return SILENCE_S

    def __str__(self) -> str:
        return f"{self.target} paused{self.when}"


class SlowStart(Targeted):
    """The target is restarted, and its start takes longer by `delay`: its process is there, and does not listen.

    Attributes:
        delay: From the restart until its program begins to run; the fault is over then, so it has neither `for` nor
            `until`, and no profile stretches it.
    """

    kind: Literal["slow-start"]
    delay: Duration = Field(gt=0, le=3600)

    @property
    def end_key(self) -> str:
        """Return the key that says when it ends."""
        return "delay"

    def ends_after_s(self, phase_lasts_s: float) -> float:  # noqa: ARG002 - its own length is what it does
        """Return when its program begins to run, in seconds after its phase has begun."""
        return self.at + self.delay

    @property
    def spans(self) -> bool:
        """Tell that it does not: a start that took longer in a longer phase would be another fault."""
        return False

    def __str__(self) -> str:
        return f"{self.target} starts {duration_text(self.delay)} late{self.when}"


class Restart(Windowed):
    """The target is asked to end (SIGTERM, or its own signal), and started again when it has; insisted on after 5 s."""

    kind: Literal["restart"]

    @property
    def look_s(self) -> float:
        """Return how long its end may take."""
        return ENDS_WITHIN_S

    def __str__(self) -> str:
        return f"{self.target} restarted{self.when}"


class RollingRestart(Windowed):
    """The target, which is `replicas`, is restarted one by one: the next when the one before has served again.

    Attributes:
        settles: How long one that is ready again serves before the next is asked to end. A load balancer that met a
            dead one tries it again after a while, which is a second here (nginx's `fail_timeout`); without that time
            it may know of none. Kubernetes calls it `minReadySeconds`.
    """

    kind: Literal["rolling-restart"]
    settles: Duration = Field(default=2.0, ge=0, le=60)

    @property
    def look_s(self) -> float:
        """Return how long the end of one may take."""
        return ENDS_WITHIN_S

    @property
    def least_s(self) -> float:
        """Return what two looks take: the first sees that it has begun, and the last one that all had their turn."""
        return 2 * (self.look_s + LOOK_OVERHEAD_S) + self.settles

    def __str__(self) -> str:
        return f"{self.target} restarted one by one{self.when}"


class CrashLoop(Windowed):
    """The target is killed and started at once, again and again.

    Attributes:
        every: From one SIGKILL to the next.
    """

    kind: Literal["crash-loop"]
    every: Duration = Field(ge=0.5, le=600)

    @property
    def least_s(self) -> float:
        """Return when it has been killed for the second time: once is no loop."""
        return self.every + LOOK_OVERHEAD_S

    def __str__(self) -> str:
        return f"{self.target} killed every {duration_text(self.every)}{self.when}"


class Reload(Windowed):
    """The target, the load balancer, reads its configuration again: new workers serve, and the former finish.

    Attributes:
        without: A replica that the configuration leaves out while the fault is there, as one that is drained; another
            reload at its end brings it back. None where the configuration is as it was.
    """

    kind: Literal["reload"]
    without: ReplicaName | None = None

    @property
    def look_s(self) -> float:
        """Return how long its new workers may take."""
        return RELOADS_WITHIN_S

    @property
    def spans(self) -> bool:
        """Tell that it does not: it happens once, and a longer phase would be an easier one."""
        return False

    def __str__(self) -> str:
        without = f" without {self.without}" if self.without else ""
        return f"{self.target} reloaded{without}{self.when}"


ProcessFault = (
    Kill
    | Pause
    | SlowStart
    | Restart
    | RollingRestart
    | CrashLoop
    | Reload
)  # fmt: skip
