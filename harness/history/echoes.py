"""Whose answer a request got: a third table beside the samples, for answers that must be the request's own.

A service that tells in its answer what it was asked for (an item's id, a tenant's name) echoes it. Only requests that
declare such echoes have a row here, and only where an answer told: one that says nothing of itself proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.history.samples import NAMELESS

if TYPE_CHECKING:
    from numpy.typing import NDArray

OWN = -1
"""The place of no echo: all that were told are the request's own."""

TEXT_MAX = 120
"""Characters that are kept of what another's echo says: an id is short, and a body may be of any length."""

ECHO = np.dtype(
    [
        ("sample", "<i8"),  # its row in the samples, which know what was asked for, when, and who answered
        ("place", "i1"),  # which of its request's echoes is not its own, the first of them; OWN if all are
        ("told", "u1"),  # index into Echoes.told: what that one says; 0 if it is OWN, or one of too many others
    ]
)
"""One answer that told whose it is, 10 bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Echoes:
    """What the answers of one run said of whose they are.

    Attributes:
        records: One-dimensional array of `ECHO`, in order of `sample`.
        told: What stood where another's echo did, each once; the first is `NAMELESS`.
    """

    records: NDArray[np.void]
    told: tuple[str, ...] = (NAMELESS,)

    def __len__(self) -> int:
        return len(self.records)


def no_echoes() -> Echoes:
    """Return a run in which no answer told whose it is."""
    return Echoes(np.empty(0, dtype=ECHO))
