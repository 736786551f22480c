"""Faults of data: a target is a component of one kind, such as a Redis, by the name that readiness.toml gives it.

Its process runs and its network is well: what it holds, takes or grants is not as it should be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from harness.spec.faults.target import ENDS_WITHIN_S, SILENCE_S, Windowed
from harness.spec.quantity import Duration, Ratio, Size, duration_text, percent_text, size_text

if TYPE_CHECKING:
    from collections.abc import Iterable

Table = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}(\.[a-z_][a-z0-9_]{0,62})?$")]

REDIS, POSTGRES = "redis", "postgres"
"""Kinds of component, as readiness.toml calls them."""


UNNOTICED_S = 2.0
"""How long a death is not noticed where a failover says nothing."""

PROMOTED_WITHIN_S = 3.0
"""What promoting and leading the paths there may take: thirty times what it does on two idle cores (0.1 s)."""

DISK_BYTES = 256_000_000
"""A cluster that is new has 40 MB, and its log grows by segments of 16 MB; what is not written takes no memory."""

LEAST_DISK_BYTES = 100_000_000
"""Less is full before a story has begun: a new cluster, and the segment that is begun for the fault, have 56 MB."""

MOST_LEFT_BYTES = 10_000_000
"""A look at the dose has to want more than is left."""


class Flush(Windowed):
    """Everything in the target is gone at once; the window is the time in which it is missed."""

    component: ClassVar[str] = REDIS
    kind: Literal["flush"]

    @property
    def setting(self) -> None:
        """Say that it sets nothing: it may be done twice, and beside others."""

    @property
    def spans(self) -> bool:
        """Tell that it does not: what is missed in a longer phase, when all of it was loaded anew, is less."""
        return False

    def __str__(self) -> str:
        return f"{self.target} flushed{self.when}"


class PauseClients(Windowed):
    """The target is well and answers no client: its connections stay open, and what they ask waits.

    Attributes:
        blocks: Whether it answers nothing, or everything but writes, as in a failover.
    """

    component: ClassVar[str] = REDIS
    leaves_trace: ClassVar[bool] = False
    kind: Literal["pause-clients"]
    blocks: Literal["everything", "writes"] = "everything"

    @property
    def setting(self) -> str:
        """Return what it sets that has one value at a time."""
        return "pause"

    @property
    def look_s(self) -> float:
        """Return how long silence is listened to."""
        return SILENCE_S

    @property
    def lasts_s(self) -> float | None:
        """Return how long it says to last, in seconds; None if that is with its phase."""
        if self.for_ is not None:
            return self.for_
        return None if self.until is None else self.until - self.at

    @model_validator(mode="after")
    def _says_how_long(self) -> Self:
        if self.blocks == "everything" and self.lasts_s is None:
            raise ValueError(
                "Redis is told beforehand how long it answers nothing, since it takes no word back meanwhile; "
                "say `for` or `until`, or `blocks: writes`"
            )
        return self

    def __str__(self) -> str:
        return f"{self.target} pauses {'clients' if self.blocks == 'everything' else 'writes'}{self.when}"


class Evict(Windowed):
    """The target has room for a part of what it holds, and drops the rest, now and whenever more comes.

    Attributes:
        keep: Of what it holds when the fault begins, how much it has room for.
        policy: What it drops; the names are those of Redis.
    """

    component: ClassVar[str] = REDIS
    kind: Literal["evict"]
    keep: Ratio = Field(gt=0, lt=1)
    policy: Literal["allkeys-lru", "allkeys-lfu", "allkeys-random"] = "allkeys-lru"

    @property
    def setting(self) -> str:
        """Return what it sets that has one value at a time."""
        return "memory"

    def __str__(self) -> str:
        return f"{self.target} has room for {percent_text(self.keep)}{self.when}"


class Full(Windowed):
    """The target has no room left: it refuses what needs some, and answers reads."""

    component: ClassVar[str] = REDIS
    kind: Literal["full"]

    @property
    def setting(self) -> str:
        """Return what it sets that has one value at a time."""
        return "memory"

    def __str__(self) -> str:
        return f"{self.target} full{self.when}"


class ReadOnly(Windowed):
    """The target answers reads and refuses writes, on connections that are open as well as on new ones."""

    component: ClassVar[str] = POSTGRES
    kind: Literal["read-only"]

    @property
    def setting(self) -> str:
        """Return what it sets that has one value at a time."""
        return "read-only"

    def __str__(self) -> str:
        return f"{self.target} read-only{self.when}"


class Lock(Windowed):
    """A stranger's transaction holds a table of the target, and what wants it waits.

    Attributes:
        table: Its name, with its schema if it is not the one that is looked into first.
        blocks: Everything (as a migration does), writes (as making an index does), or what would change a row that is
            there when the fault begins.
    """

    component: ClassVar[str] = POSTGRES
    leaves_trace: ClassVar[bool] = False
    kind: Literal["lock"]
    table: Table
    blocks: Literal["everything", "writes", "rows"] = "everything"

    @property
    def setting(self) -> str:
        """Return what it holds that one transaction can hold at a time."""
        return f"lock {self.table}"

    def __str__(self) -> str:
        what = {"everything": "", "writes": " for writes", "rows": "'s rows"}[self.blocks]
        return f"{self.target} has {self.table}{what} locked{self.when}"


class LongTransaction(Windowed):
    """A stranger has read a table of the target, and leaves its transaction open.

    Attributes:
        table: Its name, with its schema if it is not the one that is looked into first.
    """

    component: ClassVar[str] = POSTGRES
    kind: Literal["long-transaction"]
    table: Table

    @property
    def setting(self) -> str:
        """Return what it holds: a lock of the same table would wait for it."""
        return f"lock {self.table}"

    def __str__(self) -> str:
        return f"{self.target} has a long transaction on {self.table}{self.when}"


class Connections(Windowed):
    """A stranger takes connections of the target until few are left.

    Attributes:
        leaving: How many, also of those that are reserved for an administrator, who the service is here.
    """

    component: ClassVar[str] = POSTGRES
    kind: Literal["connections"]
    leaving: int = Field(default=0, ge=0, le=10_000)

    @property
    def setting(self) -> str:
        """Return what it takes that there is one lot of."""
        return "connections"

    def __str__(self) -> str:
        return f"{self.target} has {self.leaving or 'no'} connections left{self.when}"


class DiskFull(Windowed):
    """The target has no room left on its disk: it may write over what it has there, and add nothing.

    Its data stand on a small disk of their own from its start on, which is memory, and which one file fills.

    Attributes:
        size: How large that disk is.
        leaving: How much the file leaves, to the block of the disk.
    """

    component: ClassVar[str] = POSTGRES
    kind: Literal["disk-full"]
    size: Size = Field(default=DISK_BYTES, ge=LEAST_DISK_BYTES, le=10_000_000_000)
    leaving: Size = Field(default=0, ge=0, le=MOST_LEFT_BYTES)

    @property
    def setting(self) -> str:
        """Return what it takes that there is one of."""
        return "disk"

    def __str__(self) -> str:
        left = size_text(self.leaving) if self.leaving else "no room"
        return f"{self.target} has {left} left on its disk{self.when}"


class Failover(Windowed):
    """The target is gone, and its standby takes its place: every path of a client leads there from then on.

    What died stays dead, and has no standby any more; the window is the time in which the new server is looked at.

    Attributes:
        how: It dies in the middle of writes (SIGKILL), or hands over in order: it ends when its standby has all.
        takes: From its death until the standby is promoted, 2 s where it says nothing. It stands for what notices the
            death, such as Sentinel (`down-after-milliseconds`) or Patroni (`ttl`); an orderly handover is decided on.
    """

    component: ClassVar[str] = "component with a standby"
    kind: Literal["failover"]
    how: Literal["crash", "planned"] = "crash"
    takes: Duration | None = Field(default=None, ge=0, le=600)

    @property
    def setting(self) -> str:
        """Return what it does that can be done once at a time."""
        return "failover"

    @property
    def unnoticed_s(self) -> float:
        """Return how long its death is not noticed, in seconds."""
        if self.how == "planned":
            return 0.0
        return UNNOTICED_S if self.takes is None else self.takes

    @property
    def look_s(self) -> float:
        """Return how long a look may wait until a server is there again."""
        return (ENDS_WITHIN_S if self.how == "planned" else self.unnoticed_s) + PROMOTED_WITHIN_S

    @property
    def spans(self) -> bool:
        """Tell that it does not: the same gap is less of a longer phase."""
        return False

    @model_validator(mode="after")
    def _waits_for_what_is_not_known(self) -> Self:
        if self.how == "planned" and self.takes is not None:
            raise ValueError("`takes` is how long a death is not noticed, and nobody dies when `how` is `planned`")
        return self

    def __str__(self) -> str:
        after = ", handed over in order" if self.how == "planned" else f" after {duration_text(self.unnoticed_s)}"
        return f"{self.target} fails over{after}{self.when}"


DataFault = Flush | PauseClients | Evict | Full | ReadOnly | Lock | LongTransaction | Connections | DiskFull | Failover


def disks_of(faults: Iterable[Any]) -> dict[str, int]:
    """Return how large a disk for itself each component needs that one of `faults` fills, in bytes, by its name."""
    sizes = dict[str, int]()
    for fault in faults:
        if isinstance(fault, DiskFull):
            sizes[fault.target] = max(fault.size, sizes.get(fault.target, 0))
    return sizes
