"""What must never happen: an invariant is broken by one counterexample, however many requests kept it.

No share is estimated, so nothing here is a matter of chance: an invariant holds for all that was seen, or one case
shows that it does not, or nothing was seen that could have broken it, which proves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from pydantic import Field

from harness.spec.model import Model
from harness.spec.objective import KINDS, Objective, Unit
from harness.spec.quantity import Duration, duration_text

if TYPE_CHECKING:
    from collections.abc import Mapping


class NoAcknowledgedWriteLost(Model):
    """Every read sees each write that was acknowledged `within` before it, or a later one, and no value but those.

    Attributes:
        within: The staleness that the service promises: how long after a write's acknowledgement a read may still
            answer with what it replaced. Nothing, unless it is said.
        stale_from: Sources (values of the header `cache`) whose answers say themselves that they are outdated, as a
            cache's does in place of an error: they must be a value that was written, whatever its age.
    """

    is_floor: ClassVar[bool] = False
    is_statistical: ClassVar[bool] = False
    unit: ClassVar[Unit] = Unit.COUNT

    kind: Literal["no-acknowledged-write-lost"]
    within: Duration = Field(default=0.0, ge=0, le=3600)
    stale_from: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} (within {duration_text(self.within)})" if self.within else self.kind


Invariant = NoAcknowledgedWriteLost
"""Any invariant that a scenario may hold a service to; `kind` says which it is."""

Promise = Objective | Invariant
"""Whatever a claim is made of; the class of each has the facts that `Objective` lists."""

PROMISES: Mapping[str, type[Promise]] = {
    **KINDS,
    **{get_args(kind.model_fields["kind"].annotation)[0]: kind for kind in (NoAcknowledgedWriteLost,)},
}
"""Every kind of promise by the word that its claim is filed under."""


def word_of(promise: Promise) -> str:
    """Return that word."""
    return next(word for word, kind in PROMISES.items() if kind is type(promise))
