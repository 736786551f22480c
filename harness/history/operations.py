"""What was written and read, exactly: a second table beside the samples, for promises without a sampling error.

A sample says how a request went; an operation says what it carried. Only requests that a scenario wants remembered
have one, and the question whether a value was lost needs nothing else. Times are seconds since the run's origin.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ABSENT = 0
"""The digest of nothing: the answer says that there is no such item."""

GONE = (404, 410)
"""Of a read, these statuses say that there is no such thing: an answer like any other."""

NO_VERSION = -1
"""The version of an answer that names none."""

OPERATION = np.dtype(
    [
        ("sent_s", "<f8"),  # when the request left
        ("answered_s", "<f8"),  # when its answer was whole, or when it was given up
        ("digest", "<u8"),  # of the value that was sent, or of the one that was answered; ABSENT for none
        ("version", "<i8"),  # what the answer calls the value's version; NO_VERSION if it does not say
        ("key", "<i8"),  # whose value it is
        ("sample", "<i8"),  # its row in the samples, which know what it was called, how it ended and who answered
        ("is_write", "?"),  # else it read
        ("is_acknowledged", "?"),  # the answer says that it happened; without one a write may have happened or not
    ]
)
"""One operation, 50 bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Operations:
    """What the remembered requests of one run wrote and read.

    Attributes:
        records: One-dimensional array of `OPERATION`, in order of `sample`.
    """

    records: NDArray[np.void]

    def __len__(self) -> int:
        return len(self.records)


def digest_of(value: bytes) -> int:
    """Return 8 bytes of BLAKE2b as a number that is never `ABSENT`."""
    return int.from_bytes(blake2b(value, digest_size=8).digest(), "little") or 1


def no_operations() -> Operations:
    """Return a run in which nothing was remembered."""
    return Operations(np.empty(0, dtype=OPERATION))
