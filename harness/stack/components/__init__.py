"""What services can depend on: one file per kind, which exports one value; a new kind is listed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.stack.components import http_stub, memcached, mysql, postgres, rabbitmq, redis, smtp, tcp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.stack.component import Component

COMPONENTS: Mapping[str, Component] = {
    module.COMPONENT.kind: module.COMPONENT
    for module in (redis, postgres, memcached, mysql, rabbitmq, smtp, http_stub, tcp)
}
"""By kind."""
