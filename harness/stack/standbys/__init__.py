"""Which components can have a standby: one file per kind, which exports one value; a new kind is listed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.stack.standbys import postgres, redis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.stack.replication import Replication

REPLICATIONS: Mapping[str, Replication] = {"redis": redis.REPLICATION, "postgres": postgres.REPLICATION}
"""By kind of component."""
