"""What services can depend on: one file per kind, which exports one value; a new kind is listed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.stack.components import memcached, postgres, redis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.stack.component import Component

COMPONENTS: Mapping[str, Component] = {
    module.COMPONENT.kind: module.COMPONENT for module in (redis, postgres, memcached)
}
"""By kind."""
