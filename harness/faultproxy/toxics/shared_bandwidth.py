"""`shared_bandwidth`: so many bytes per second for all connections of the proxy together. An extension of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.faultproxy.toxics.bandwidth import Bandwidth, BandwidthStage, Wire

if TYPE_CHECKING:
    from harness.faultproxy.toxics.stage import Stub


@dataclass(frozen=True, slots=True)
class SharedBandwidth(Bandwidth):
    """`bandwidth`, with one wire for this direction of the whole proxy; connections take turns on it.

    Attributes:
        rate: KB/s of 1000 bytes; 0 stalls.
    """

    def stage(self, stub: Stub) -> BandwidthStage:
        """Return the stage for one link, on the wire of all."""
        return BandwidthStage(self, stub, stub.shared.setdefault("wire", Wire()))
