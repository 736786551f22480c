"""The batch processor of the reference core, as an `Offer` of the contract."""

from __future__ import annotations

from typing import Any

from fixtures.reference.core.batch import BatchClosed, BatchFull, BatchPolicy, BatchProcessor, WhenFull


class OurBatches:
    """The reference core's."""

    fulls = (BatchFull,)
    closings = (BatchClosed,)

    def make(self, handle, *, waits: bool, key, **policy: Any) -> BatchProcessor[Any, Any]:
        when_full = WhenFull.WAIT if waits else WhenFull.REJECT
        return BatchProcessor("any", handle, BatchPolicy(**policy, when_full=when_full), key=key)
