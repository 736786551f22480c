"""`connect_blackhole`: connects time out, as towards a machine that is gone. An extension of ours."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.faultproxy.toxics.noop import NoopStage

if TYPE_CHECKING:
    from harness.faultproxy.toxics.stage import Stub


@dataclass(frozen=True, slots=True)
class ConnectBlackhole:
    """Drop the SYN of each new connection; open connections live on.

    Not a refusal: client code that handles ECONNREFUSED and read timeouts may still hang in connect(). After the
    toxic is gone a waiting client gets in when its kernel next tries: 1 s, 3 s, 7 s after its first try (measured
    1.03 s on Linux 5.10), so recovery is to be asserted with that granularity.

    It concerns the proxy as a whole: stream, toxicity, and connection counts of `when` make no difference.
    """

    def problem(self) -> str | None:
        """Refuse where kernels behave otherwise."""
        return None if sys.platform == "linux" else "connect_blackhole works on Linux only"

    def stage(self, stub: Stub) -> NoopStage:
        """Return a stage that does nothing: the fault is at the door."""
        return NoopStage(stub, is_counted=False)

    def shuts(self) -> bool:
        """Keep the door shut."""
        return True

    def admits(self, open_count: int) -> bool:  # noqa: ARG002  # the door is shut either way
        """Keep the connections that were accepted before."""
        return True
