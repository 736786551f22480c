"""Operations on the keys of a made-up service, for whoever asks whether a write was lost."""

from __future__ import annotations

import numpy as np

from harness.history.history import History
from harness.history.operations import NO_VERSION, OPERATION, Operations


def operation(
    sent_s: float,
    answered_s: float,
    digest: int,
    *,
    is_write: bool = False,
    version: int = NO_VERSION,
    key: int = 0,
    is_acknowledged: bool = True,
) -> tuple:
    """Return one row, but for its sample."""
    return sent_s, answered_s, digest, version, key, is_write, is_acknowledged


def write(sent_s: float, answered_s: float, digest: int, **told) -> tuple:
    """Return an acknowledged write, or what `told` makes of it."""
    return operation(sent_s, answered_s, digest, is_write=True, **told)


def read(sent_s: float, answered_s: float, digest: int, **told) -> tuple:
    """Return an answered read, or what `told` makes of it."""
    return operation(sent_s, answered_s, digest, **told)


def history_of(rows, *, faults=()) -> History:
    """Return a history in which these operations were remembered; each is the sample of its place in the list."""
    records = np.array(
        [
            (sent_s, answered_s, digest, version, key, sample, is_write, is_acknowledged)
            for sample, (sent_s, answered_s, digest, version, key, is_write, is_acknowledged) in enumerate(rows)
        ],
        dtype=OPERATION,
    )
    return History(run_id="r", began_at="", seed=1, backend="embedded", operations=Operations(records), faults=faults)
